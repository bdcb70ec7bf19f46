// Holds file systems frozen for a bounded time (FIFREEZE), so that what is read of them is one point.
//
// A process of its own holds them, and thaws when it is told to, when its time is over, or when this process is gone.
// It was forked, does not run JavaScript, allocates nothing and has no descriptors but the file systems and a socket.
// Should it be killed, this process thaws. Should both be killed at once, whoever starts next thaws what the agent's
// journal names (drivers/freezes.ts); thawing what is not frozen does no harm.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base.h"
#include "fact.h"

namespace understudy {

// The directory's file system as one text, the same for every subvolume and bind mount of it.
Result<std::string> file_system_of(const std::string& path);
// Thaws the file system that holds `path`; EINVAL when it is not frozen.
Status thaw(const std::string& path);

class Freeze {
 public:
  // Begins at once on a thread of its own; tells `freeze_held` or `freeze_failed`, later `freeze_ended` {how, ms}.
  Freeze(i32 id, std::vector<std::string> paths, u32 limit_ms, Tell tell);
  ~Freeze();
  Freeze(const Freeze&) = delete;
  Freeze& operator=(const Freeze&) = delete;
  // Thread-safe. True: every file system is frozen, and was since it was told.
  bool held();
  void release();

 private:
  void run();
  const i32 id_;
  const std::vector<std::string> paths_;
  const u32 limit_ms_;
  const Tell tell_;
  std::mutex mutex_;
  Fd socket_;                        // to the holder; it says how it ended before it closes
  std::atomic<bool> frozen_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace understudy
