// The memory for changes that wait, shared by all streams of this agent (QUE-04): many targets do not multiply it.
//
// Each member has a small floor of its own, so that everybody can always go on. What it holds beyond that comes from
// a pool, and nobody takes more of the pool than twice what he leaves: one dead target cannot starve the others.
#pragma once

#include <algorithm>
#include <atomic>

#include "base.h"

namespace understudy {

class QueueBudget {
 public:
  static constexpr u64 kFloorMax = 2u << 20;   // one batch of the largest kind

  explicit QueueBudget(u64 bytes) : bytes_(bytes), floor_(std::clamp<u64>(bytes / 8, 4u << 10, kFloorMax)) {}
  void join() { members_.fetch_add(1); }
  void leave() { members_.fetch_sub(1); }

  // True: `cost` more bytes are the caller's, who holds `own` already. Who holds nothing always gets them. `urgent`: up to
  // the last byte, for what has no other place to go.
  bool take(u64 own, u64 cost, bool urgent = false) {
    const u64 more = beyond(own + cost) - beyond(own);
    if (more == 0) return true;
    u64 used = used_.load(std::memory_order_relaxed);
    do {
      if (!fits(used, own, more, urgent)) return false;
    } while (!used_.compare_exchange_weak(used, used + more));
    return true;
  }
  // Without taking.
  bool would_take(u64 own, u64 cost) const {
    const u64 more = beyond(own + cost) - beyond(own);
    return more == 0 || fits(used_.load(std::memory_order_relaxed), own, more, false);
  }
  // Whether it fits or not: it is there already.
  void charge(u64 own, u64 cost) { used_.fetch_add(beyond(own + cost) - beyond(own)); }
  void give(u64 own, u64 cost) { used_.fetch_sub(beyond(own) - beyond(own - cost)); }

  u64 bytes() const { return bytes_; }
  // The most that one member can hold while the others hold nothing.
  u64 share() const { return std::min(bytes_, floor_ + pool() / 3 * 2); }

 private:
  u64 beyond(u64 own) const { return own > floor_ ? own - floor_ : 0; }
  u64 pool() const {
    const u64 floors = floor_ * members_.load(std::memory_order_relaxed);
    return bytes_ > floors ? bytes_ - floors : 0;
  }
  bool fits(u64 used, u64 own, u64 more, bool urgent) const {
    if (own == 0) return true;
    const u64 all = pool();
    const u64 left = all > used ? all - used : 0;
    return more <= left && (urgent || beyond(own) < 2 * left);
  }

  const u64 bytes_, floor_;
  std::atomic<u64> members_{0}, used_{0};
};

}  // namespace understudy
