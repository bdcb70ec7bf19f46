// What this machine can do for capture at one path, in words for the operator (`doctor`).
#pragma once

#include <string>

#include "base.h"

namespace understudy {

struct Probe {
  bool fanotify_usable = false;
  std::string fanotify;       // "usable", or the refusing call and why
  bool inotify_usable = false;
  std::string inotify;        // limits; and when they do not suffice the line that raises them
  std::string file_system;    // "ext4 on /dev/vda, mounted at /"
  std::string kernel;         // "Linux 6.1.0"
  bool openat2 = false;
  u64 open_files_max = 0;     // RLIMIT_NOFILE, soft
  u64 watches_max = 0;        // fs.inotify.max_user_watches
  u64 instances_max = 0;      // fs.inotify.max_user_instances
  u64 directories = 0;        // below the path, on its file system
  bool directories_complete = false;  // false: counting stopped at the limit below
};

inline constexpr u64 kProbeDirectoriesMax = 2'000'000;

// Never fails: what cannot be found out is said in the words. `count_directories` walks the tree (0.1 to 10 s per
// million directories), which only inotify's limit needs.
Probe probe_capture(const std::string& path, bool count_directories);

// "fanotify_mark refused: Operation not permitted (EPERM); needs CAP_SYS_ADMIN ..."
std::string explain_fanotify_refusal(const SysError& error);

}  // namespace understudy
