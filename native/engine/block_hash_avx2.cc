// The same hash by registers of 256 bits; block_hash.cc asks the processor before it calls this.
#include "block_index.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2")
#define XXH_VECTOR 2   // XXH_AVX2, a name that only the header itself knows
#include <xxhash.h>

namespace understudy {

u64 block_hash_wide(const void* data, std::size_t size);
u64 block_hash_wide(const void* data, std::size_t size) { return XXH3_64bits(data, size); }

}  // namespace understudy
#pragma GCC pop_options
#endif
