// What lies under a directory: its mount, and for btrfs a way to reach the whole file system.
#pragma once

#include <string>

#include "base.h"

namespace understudy {

struct MountInfo {
  u64 id = 0;
  std::string device;         // "major:minor" of the superblock
  std::string type;           // "ext4", "btrfs" ...
  std::string source;         // "/dev/vda" ...
  std::string mount_point;
  std::string super_options;  // "rw,subvolid=256,subvol=/home"
};

// Tells one mount from another, also from an earlier one of the same file system in the same place. Before Linux 6.8 a
// number is given again, and the device's is all that tells them apart. 0: not known.
u64 mount_mark(int fd);

// The mount that `fd` (O_PATH is enough) lies on.
Result<MountInfo> find_mount(int fd);

// A detached mount of a btrfs file system's top level (subvolume 5); it appears nowhere in the name space and goes
// away when the descriptor is closed. While it is open the file system stays busy: close it soon.
Result<Fd> open_btrfs_top(const MountInfo& mount);

}  // namespace understudy
