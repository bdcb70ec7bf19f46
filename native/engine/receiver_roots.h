// The directories granted to a connection, held open.
#pragma once

#include <string>
#include <vector>

#include "base.h"
#include "receiver.h"

namespace understudy {

class Roots {
 public:
  // Opens every root; makes missing ones (0700, their parents 0755).
  static Result<Roots> open(const std::vector<GrantRoot>& grants);

  std::vector<int> descriptors() const;
  // The path of a root which is no longer where it was (removed, unmounted, something mounted over it), or null.
  const std::string* missing() const;
  // Names these very directories: paths, inodes, times of birth and file systems. Stable over restarts and, where the file system has
  // a stable id (ext4, btrfs), over reboots.
  u64 identity() const;
  // syncfs, once per file system.
  Status sync() const;

 private:
  struct Root {
    std::string path;
    Fd fd;
    u64 device = 0;
    u64 inode = 0;
  };
  std::vector<Root> roots_;
};

}  // namespace understudy
