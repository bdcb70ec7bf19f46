// How far a target is, in time (GLO-29): a stream's batches with the moment since when the oldest change in each waits,
// and the moment each was closed.
//
// Exact as long as few batches wait. Beyond the bound neighbours are merged, which can make what waits look older than it
// is, never younger. Batches without a change (heartbeats, questions) do not count: a quiet set lags behind nothing.
#pragma once

#include <algorithm>
#include <deque>

#include "kept_clock.h"

namespace understudy {

inline i64 earlier(i64 a, i64 b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

class RecoveryMarks {
 public:
  static constexpr std::size_t kMax = 4'096;
  static constexpr i64 kProofNs = 250'000'000;   // batches closed within this time share one mark

  struct Mark {
    u64 sequence;   // of the last batch it speaks of
    i64 at_ns;
  };

  // In order of sequences. `since_ns`: of the oldest change in it; 0: it carries none.
  void closed(u64 sequence, i64 since_ns, i64 closed_ns) {
    if (since_ns != 0) {
      // A later batch with an older change hides the younger ones before it: they are done with no later than it is.
      while (!changes_.empty() && changes_.back().at_ns >= since_ns) changes_.pop_back();
      changes_.push_back({sequence, since_ns});
      thin(changes_);
    }
    // A mark says that what was closed by then is there, so one of many batches has the moment of the first.
    if (!proofs_.empty() && closed_ns - proofs_.back().at_ns < kProofNs) {
      proofs_.back().sequence = sequence;
    } else {
      proofs_.push_back({sequence, closed_ns});
      thin(proofs_);
    }
  }

  // Everything up to this batch is known to be there, but no more durable than it is; the oldest of it since then.
  void vouched(u64 sequence, i64 since_ns) {
    std::size_t end = 0;
    while (end < changes_.size() && changes_[end].sequence <= sequence) ++end;
    std::size_t begin = end;
    while (begin > 0 && changes_[begin - 1].at_ns >= since_ns) --begin;
    changes_.erase(changes_.begin() + static_cast<std::ptrdiff_t>(begin), changes_.begin() + static_cast<std::ptrdiff_t>(end));
    if (begin < changes_.size() && changes_[begin].at_ns <= since_ns) return;   // Older ones come later.
    changes_.insert(changes_.begin() + static_cast<std::ptrdiff_t>(begin), {sequence, since_ns});
  }

  void acknowledged(u64 applied, u64 durable) {
    while (!changes_.empty() && changes_.front().sequence <= durable) changes_.pop_front();
    while (!proofs_.empty() && proofs_.front().sequence <= applied) {
      proven_ns_ = proofs_.front().at_ns;
      proofs_.pop_front();
    }
  }

  // Since when the oldest change waits that is in a batch behind this one; 0: none does.
  i64 oldest_behind(u64 sequence) const {
    std::size_t low = 0, high = changes_.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (changes_[middle].sequence <= sequence) low = middle + 1;
      else high = middle;
    }
    return low < changes_.size() ? changes_[low].at_ns : 0;
  }

  // The target had applied everything that was closed by then; 0: nothing was heard yet.
  i64 proven_ns() const { return proven_ns_; }

  void clear() { *this = {}; }

  const std::deque<Mark>& changes() const { return changes_; }
  std::size_t size() const { return changes_.size() + proofs_.size(); }

 private:
  // Those that are no further apart than a step become one, with the moment of the first and the end of the last: as
  // small a step as halves them, so that it stays a thousandth of the time they span.
  static void thin(std::deque<Mark>& marks) {
    if (marks.size() <= kMax) return;
    for (i64 step = kProofNs; marks.size() > kMax / 2; step *= 2) {
      std::size_t kept = 0;
      for (std::size_t i = 0; i < marks.size(); ++kept) {
        const i64 first = marks[i].at_ns;
        std::size_t end = i + 1;
        while (end < marks.size() && static_cast<u64>(marks[end].at_ns) - static_cast<u64>(first) < static_cast<u64>(step)) ++end;
        marks[kept] = {marks[end - 1].sequence, first};
        i = end;
      }
      marks.resize(kept);
    }
  }

  std::deque<Mark> changes_;   // moments ascend with the sequences
  std::deque<Mark> proofs_;
  i64 proven_ns_ = 0;
};

}  // namespace understudy
