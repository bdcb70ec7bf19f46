// The memory that mirrors take on a target, all its connections together (QUE-12, QUE-13): above the high mark every
// source is asked to pause its mirror, at the low mark to go on. What is on its way by then still comes.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>

#include "base.h"

namespace understudy {

class MirrorMemory {
 public:
  static constexpr u64 kNoMark = ~u64{0};

  // Bytes. A mirror that is paused goes on at `low` or less.
  void set_marks(u64 high, u64 low) {
    high_ = high;
    low_ = low;
    look();
  }
  // Only counts; `look` is to follow.
  void count(u64 bytes) { bytes_ += bytes; }
  void give(u64 bytes) {
    bytes_ -= bytes;
    look();
  }
  // Tells whom it concerns when a mark was passed.
  void look() {
    if (held_ ? bytes_ > low_ : bytes_ <= high_) return;
    std::lock_guard lock(mutex_);
    const bool held = held_ ? bytes_ > low_ : bytes_ > high_;
    if (held == held_) return;
    held_ = held;
    for (const auto& [id, changed] : members_) changed();
  }
  u64 bytes() const { return bytes_; }
  bool held() const { return held_; }

  // Each change is told to all members, by whoever brought it about. A member is not called after `leave`. To be called
  // without a lock that the call takes.
  u64 join(std::function<void()> changed) {
    std::lock_guard lock(mutex_);
    members_.emplace(++last_, std::move(changed));
    return last_;
  }
  void leave(u64 member) {
    std::lock_guard lock(mutex_);
    members_.erase(member);
  }

 private:
  std::atomic<u64> bytes_{0}, high_{kNoMark}, low_{kNoMark};
  std::atomic<bool> held_{false};
  std::mutex mutex_;
  u64 last_ = 0;
  std::map<u64, std::function<void()>> members_;
};

}  // namespace understudy
