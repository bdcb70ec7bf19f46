// Opens what an operation names beneath the roots granted to a connection (I5). No path, link or race leads outside:
// directories are opened with openat2(RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_MAGICLINKS), and the last
// component is used only in calls which do not follow it. Where the kernel lacks openat2 the path is walked component
// by component with O_NOFOLLOW.
//
// Not thread-safe: one applier owns it.
#pragma once

#include <sys/stat.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base.h"
#include "wire.h"

namespace understudy {

// Opens the directory `path` (checked by path_valid, or empty for `root` itself) beneath `root`.
Result<Fd> open_directory_beneath(int root, std::string_view path, int flags);
// Opens one child without following it and without crossing into another mount (EXDEV).
Result<Fd> open_child_directory(int directory, const char* name);

// What decides the looks of a new object in a directory.
struct DirectoryTraits {
  bool known = false;
  bool sets_group = false;     // setgid bit: children get the directory's group, directories the bit too
  bool default_acl = false;    // children inherit an ACL, and their mode is not what open(2) was given
  u32 gid = 0;
};

// Where the last component of a path lives. Valid until the next call of `PathBeneath`.
struct Place {
  int directory = -1;          // O_PATH; for the root itself: the root, with an empty name
  const char* name = "";       // NUL-terminated last component
  DirectoryTraits* traits = nullptr;   // null for the root itself
};

class PathBeneath {
 public:
  static constexpr std::size_t kDescriptorsMax = 64;

  // `roots`: open directory descriptors, index = mapping; they outlive this.
  explicit PathBeneath(std::vector<int> roots) : roots_(std::move(roots)) {}

  // The place of `path`; its parent directories must exist. Two places can be held at a time: `slot` 0 and 1.
  Result<Place> locate(u32 mapping, std::string_view path, int slot = 0);
  // Fills `place.traits` on first use.
  const DirectoryTraits& traits(const Place& place);
  int root(u32 mapping) const { return roots_[mapping]; }

  // The object at `path` was moved or removed, or another took its place: descriptors at and beneath it are dropped.
  void forget(u32 mapping, std::string_view path);
  // Mode, owner or ACL of the directory changed.
  void forget_traits(u32 mapping, std::string_view path);
  void clear();
  // True when a descriptor from the cache has served since the last `clear` (so a failure may be due to a stale one).
  bool served_from_cache() const { return served_; }
  void reset_served() { served_ = false; }

 private:
  struct Entry {
    u64 hash = 0;
    u64 used = 0;            // 0: empty
    u32 mapping = 0;
    std::string path;
    Fd fd;
    DirectoryTraits traits;
  };
  std::vector<int> roots_;
  std::array<Entry, kDescriptorsMax> entries_;
  std::array<char, wire::kNameBytesMax + 1> names_[2];
  u64 clock_ = 0;
  Entry* last_[2] = {nullptr, nullptr};
  bool served_ = false;
};

}  // namespace understudy
