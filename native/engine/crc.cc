#include "crc.h"

#include <array>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace understudy {
namespace {

constexpr u32 kPolynomial = 0x82F63B78;   // Castagnoli, bits reversed

// Slicing by eight: row k advances a byte that is followed by k more bytes.
constexpr auto kTable = [] {
  std::array<std::array<u32, 256>, 8> table{};
  for (u32 byte = 0; byte < 256; ++byte) {
    u32 crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[0][byte] = crc;
  }
  for (std::size_t row = 1; row < 8; ++row) {
    for (u32 byte = 0; byte < 256; ++byte) {
      const u32 before = table[row - 1][byte];
      table[row][byte] = (before >> 8) ^ table[0][before & 0xFF];
    }
  }
  return table;
}();

u64 load8(const u8* at) {
  u64 word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

#if defined(__SSE4_2__)
u32 step8(u32 crc, u64 word) { return static_cast<u32>(_mm_crc32_u64(crc, word)); }
u32 step1(u32 crc, u8 byte) { return _mm_crc32_u8(crc, byte); }
#elif defined(__ARM_FEATURE_CRC32)
u32 step8(u32 crc, u64 word) { return __crc32cd(crc, word); }
u32 step1(u32 crc, u8 byte) { return __crc32cb(crc, byte); }
#else
u32 step1(u32 crc, u8 byte) { return (crc >> 8) ^ kTable[0][(crc ^ byte) & 0xFF]; }
u32 step8(u32 crc, u64 word) {
  word ^= crc;
  return kTable[7][word & 0xFF] ^ kTable[6][(word >> 8) & 0xFF] ^ kTable[5][(word >> 16) & 0xFF] ^
         kTable[4][(word >> 24) & 0xFF] ^ kTable[3][(word >> 32) & 0xFF] ^ kTable[2][(word >> 40) & 0xFF] ^
         kTable[1][(word >> 48) & 0xFF] ^ kTable[0][word >> 56];
}
#endif

}  // namespace

u32 crc32c_table(u32 crc, const void* bytes, std::size_t size) {
  const u8* at = static_cast<const u8*>(bytes);
  crc = ~crc;
  for (; size > 0; --size) crc = (crc >> 8) ^ kTable[0][(crc ^ *at++) & 0xFF];
  return ~crc;
}

u32 crc32c(u32 crc, const void* bytes, std::size_t size) {
  const u8* at = static_cast<const u8*>(bytes);
  crc = ~crc;
  for (; size >= 8; size -= 8, at += 8) crc = step8(crc, load8(at));
  for (; size > 0; --size) crc = step1(crc, *at++);
  return ~crc;
}

u32 checksum(const void* bytes, std::size_t size) {
  if (size < kChecksumLaneMin) return crc32c(0, bytes, size);
  const u8* at = static_cast<const u8*>(bytes);
  const std::size_t lane = size / 24 * 8;
  u32 lanes[3] = {~0u, ~0u, ~0u};
  for (std::size_t i = 0; i < lane; i += 8) {
    lanes[0] = step8(lanes[0], load8(at + i));
    lanes[1] = step8(lanes[1], load8(at + lane + i));
    lanes[2] = step8(lanes[2], load8(at + 2 * lane + i));
  }
  for (u32& crc : lanes) crc = ~crc;
  return crc32c(crc32c(0, lanes, sizeof lanes), at + 3 * lane, size - 3 * lane);
}

}  // namespace understudy
