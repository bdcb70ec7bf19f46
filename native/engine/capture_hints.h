// From events to hints, and hints that were already given in the same delivery dropped. A hint means "look"; all events of
// one delivery happened before it began, so looking once is enough.
#pragma once

#include <sys/inotify.h>

#include <functional>
#include <string_view>
#include <vector>

#include "base.h"
#include "capture.h"

namespace understudy {

inline constexpr u64 kFanRename = 0x1000'0000;   // fanotify's own, a rename in one event; glibc may be older than it

// What an event asks to be looked at. Both interfaces of the kernel use the same bits otherwise.
inline u32 hint_bits(u64 mask) {
  u32 what = 0;
  if ((mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | kFanRename)) != 0) what |= kHintName;
  if ((mask & IN_MODIFY) != 0) what |= kHintContent | kHintWritten;
  // Stores through a mapping are not reported; the close of the last writer is the one chance to notice them.
  if ((mask & IN_CLOSE_WRITE) != 0) what |= kHintContent | kHintClosed;
  if ((mask & IN_ATTRIB) != 0) what |= kHintAttributes;
  if ((mask & IN_ISDIR) != 0) what |= kHintDirectory;
  return what;
}

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
