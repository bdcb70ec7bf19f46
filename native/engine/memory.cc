#include "memory.h"

#include <malloc.h>

#include <atomic>

namespace understudy {

namespace {
constexpr i64 kRestNs = 5'000'000'000;
std::atomic<i64> last_used{0};   // 0: given back since
}  // namespace

void memory_used() { last_used.store(monotonic_ns(), std::memory_order_relaxed); }

void memory_rests() {
  i64 used = last_used.load(std::memory_order_relaxed);
  if (used == 0 || monotonic_ns() - used < kRestNs) return;
  if (!last_used.compare_exchange_strong(used, 0, std::memory_order_relaxed)) return;
  ::malloc_trim(0);
}

}  // namespace understudy
