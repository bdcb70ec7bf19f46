// Drops hints that were already given in the same delivery. A hint means "look"; all events of one delivery happened
// before it began, so looking once is enough.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base.h"
#include "capture.h"

namespace understudy {

// A small direct-mapped table: forgets when two names share a slot (the hint is then given twice, which is harmless).
// Names must stay where they are until the next `begin`.
class HintMerger {
 public:
  explicit HintMerger(CaptureStatistics& statistics) : statistics_(statistics), slots_(kSlots) {}

  void begin() { ++round_; }

  void hint(CaptureSink& sink, NodeId directory, std::string_view name, u32 what) {
    const std::size_t hash = std::hash<std::string_view>{}(name) ^ (directory * 0x9E3779B97F4A7C15ull);
    Slot& slot = slots_[(hash ^ (hash >> 32)) & (kSlots - 1)];
    if (slot.round == round_ && slot.directory == directory && slot.name == name) {
      if ((slot.what & what) == what) return;
      slot.what |= what;
    } else {
      slot = Slot{name, round_, directory, what};
    }
    ++statistics_.hints;
    sink.hint(directory, name, what);
  }

 private:
  static constexpr std::size_t kSlots = 1u << 14;
  struct Slot {
    std::string_view name;
    u64 round = 0;
    NodeId directory = kNoNode;
    u32 what = 0;
  };
  CaptureStatistics& statistics_;
  std::vector<Slot> slots_;
  u64 round_ = 0;
};

}  // namespace understudy
