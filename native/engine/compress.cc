#include "compress.h"

#include <zstd.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

namespace understudy {

namespace {
constexpr int kLevels[] = {0, 1, 3, 9};
constexpr std::size_t kSmall = 512;
constexpr std::size_t kSample = 4'096, kSamples = 6;
constexpr std::size_t kProbeFrom = 128u << 10;   // smaller batches cost about as much to probe as to compress

bool worth(std::size_t packed, std::size_t size) { return packed < size - size / 16; }

// What zstd works with is 13 MiB at the highest level: there is one for each processor, not one for each connection.
class Contexts {
 public:
  ZSTD_CCtx* take() {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) return ZSTD_createCCtx();
    ZSTD_CCtx* const taken = idle_.back();
    idle_.pop_back();
    return taken;
  }
  void give(ZSTD_CCtx* context) {
    {
      std::lock_guard lock(mutex_);
      if (idle_.size() < most_) {
        idle_.push_back(context);
        return;
      }
    }
    ZSTD_freeCCtx(context);
  }

 private:
  const std::size_t most_ = std::max(1u, std::thread::hardware_concurrency());
  std::mutex mutex_;
  std::vector<ZSTD_CCtx*> idle_;
};

struct Borrowed {
  static Contexts& contexts() {
    static Contexts& all = *new Contexts;   // Links may outlive whatever ends with the process.
    return all;
  }
  ZSTD_CCtx* const context = contexts().take();
  Borrowed() = default;
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() {
    if (context != nullptr) contexts().give(context);
  }
};

// True when samples of the data shrink by a sixteenth.
bool looks_compressible(ZSTD_CCtx* context, const u8* data, std::size_t size) {
  // Several places, as one batch may hold a picture and a table: any that shrinks is enough.
  u8 packed[ZSTD_COMPRESSBOUND(kSample)];
  const std::size_t step = (size - kSample) / (kSamples - 1);
  for (std::size_t i = 0; i < kSamples; ++i) {
    const std::size_t got = ZSTD_compressCCtx(context, packed, sizeof packed, data + i * step, kSample, 1);
    if (!ZSTD_isError(got) && worth(got, kSample)) return true;
  }
  return false;
}
}  // namespace

bool compress_batch(int level, const u8* data, std::size_t size, Bytes& out) {
  if (level <= 0 || size <= kSmall) return false;
  const Borrowed borrowed;
  ZSTD_CCtx* const context = borrowed.context;
  if (context == nullptr) return false;
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

}  // namespace understudy
