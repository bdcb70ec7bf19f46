#include "compress.h"

#include <zstd.h>

#include <algorithm>

namespace understudy {

namespace {
constexpr int kLevels[] = {0, 1, 3, 9};
constexpr std::size_t kSmall = 512;
constexpr std::size_t kSample = 4'096, kSamples = 6;
constexpr std::size_t kProbeFrom = 128u << 10;   // smaller batches cost about as much to probe as to compress

bool worth(std::size_t packed, std::size_t size) { return packed < size - size / 16; }
}  // namespace

bool looks_compressible(ZSTD_CCtx_s* context, const u8* data, std::size_t size) {
  // Several places, as one batch may hold a picture and a table: any that shrinks is enough.
  u8 packed[ZSTD_COMPRESSBOUND(kSample)];
  const std::size_t step = (size - kSample) / (kSamples - 1);
  for (std::size_t i = 0; i < kSamples; ++i) {
    const std::size_t got = ZSTD_compressCCtx(context, packed, sizeof packed, data + i * step, kSample, 1);
    if (!ZSTD_isError(got) && worth(got, kSample)) return true;
  }
  return false;
}

bool compress_batch(ZSTD_CCtx_s*& context, int level, const u8* data, std::size_t size, Bytes& out) {
  if (level <= 0 || size <= kSmall) return false;
  if (context == nullptr && (context = ZSTD_createCCtx()) == nullptr) return false;
  if (size >= kProbeFrom && !looks_compressible(context, data, size)) return false;
  out.resize(ZSTD_compressBound(size));
  const std::size_t packed = ZSTD_compressCCtx(context, out.data(), out.size(), data, size, kLevels[std::min(level, 3)]);
  if (ZSTD_isError(packed) || !worth(packed, size)) return false;
  out.resize(packed);
  return true;
}

bool decompress_batch(const u8* data, std::size_t size, u8* out, std::size_t out_size) {
  const std::size_t got = ZSTD_decompress(out, out_size, data, size);
  return !ZSTD_isError(got) && got == out_size;
}

void free_compressor(ZSTD_CCtx_s* context) { ZSTD_freeCCtx(context); }

}  // namespace understudy
