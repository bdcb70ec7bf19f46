// Compression of batches for the wire (TRN-40, TRN-41).
#pragma once

#include "base.h"

namespace understudy {

// False: the batch travels as it is, because compression is off, it is tiny, or it does not shrink by a sixteenth. Data
// that is compressed already is told by a few samples, before work is spent on all of it (TRN-43).
// `level` 0 off, 1 minimum, 2 medium, 3 maximum. Any thread.
bool compress_batch(int level, const u8* data, std::size_t size, Bytes& out);
bool decompress_batch(const u8* data, std::size_t size, u8* out, std::size_t out_size);

}  // namespace understudy
