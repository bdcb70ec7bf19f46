// Objects of several names that were told since everything was durable on every target. What was told by one name is in
// doubt by another once that name is gone: the name alone would not bring it back.
#pragma once

#include <unordered_set>

#include "base.h"

namespace understudy {

class ToldLinks {
 public:
  void note(u64 object) {
    if (any_) return;
    if (objects_.size() < kMost) {
      objects_.insert(object);
      return;
    }
    objects_.clear();
    any_ = true;
  }
  bool may_hold(u64 object) const { return any_ || objects_.count(object) != 0; }
  bool empty() const { return !any_ && objects_.empty(); }
  void forget() {
    objects_.clear();
    any_ = false;
  }

 private:
  static constexpr std::size_t kMost = 100'000;
  std::unordered_set<u64> objects_;
  bool any_ = true;   // What an earlier run told is not known.
};

}  // namespace understudy
