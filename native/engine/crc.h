// The checksum of frames and state files.
#pragma once

#include <cstddef>

#include "base.h"

namespace understudy {

// Plain CRC-32C (Castagnoli) of the bytes, continuing from `crc` (0 to begin).
u32 crc32c(u32 crc, const void* bytes, std::size_t size);

// Below kChecksumLaneMin bytes: crc32c(0, bytes). From there on the bytes are cut into three lanes of
// `size / 24 * 8` bytes each and a tail of less than 24 bytes; the result is
// crc32c(crc32c(0, the three lane CRCs as little-endian u32), tail).
// Three lanes keep the processor's CRC unit busy (it finishes one every cycle but needs three for each), and unlike
// the usual trick of combining lanes into the CRC of the whole, this needs no polynomial arithmetic afterwards.
u32 checksum(const void* bytes, std::size_t size);
inline constexpr std::size_t kChecksumLaneMin = 1'024;

// The same results without the processor's instruction; here so that tests can compare the two.
u32 crc32c_table(u32 crc, const void* bytes, std::size_t size);

}  // namespace understudy
