// XXH3-64 of a block. Every width of registers gives the same number.
#include "block_index.h"

#include <xxhash.h>

namespace understudy {

#if defined(__x86_64__)
u64 block_hash_wide(const void* data, std::size_t size);   // block_hash_avx2.cc

u64 block_hash(const void* data, std::size_t size) {
  static const bool wide = __builtin_cpu_supports("avx2");
  return wide ? block_hash_wide(data, size) : XXH3_64bits(data, size);
}
#else
u64 block_hash(const void* data, std::size_t size) { return XXH3_64bits(data, size); }
#endif

}  // namespace understudy
