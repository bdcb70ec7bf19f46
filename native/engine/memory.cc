#include "memory.h"

#include <malloc.h>

#include <atomic>

namespace understudy {

namespace {
constexpr i64 kRestNs = 5'000'000'000;
constexpr i64 kAmidWorkNs = 2'000'000'000;
std::atomic<i64> last_used{0};   // 0: given back since
std::atomic<i64> last_given{0};
}  // namespace

void memory_used() {
  const i64 now = monotonic_ns();
  last_used.store(now, std::memory_order_relaxed);
  i64 given = last_given.load(std::memory_order_relaxed);
  if (now - given > kAmidWorkNs && last_given.compare_exchange_strong(given, now, std::memory_order_relaxed)) ::malloc_trim(0);
}

void memory_rests() {
  i64 used = last_used.load(std::memory_order_relaxed);
  if (used == 0 || monotonic_ns() - used < kRestNs) return;
  if (!last_used.compare_exchange_strong(used, 0, std::memory_order_relaxed)) return;
  ::malloc_trim(0);
}

}  // namespace understudy
