#include "remove_tree.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstdio>

#include "path_beneath.h"

namespace understudy {
namespace {

constexpr std::size_t kDepthMax = 64;         // open descriptors; deeper directories are first moved up
constexpr std::size_t kReadBytes = 64u << 10;
constexpr int kPassesMax = 4;                 // a directory that keeps being filled by someone else is ENOTEMPTY

struct DirectoryEntry {   // linux_dirent64, see getdents64(2)
  u64 inode;
  i64 offset;
  u16 length;
  u8 type;
  char name[];
};

struct Level {
  Fd fd;
  std::string name;                    // in the level above
  std::vector<std::string> children;   // directories still to be removed
  int passes = 0;
};

bool is_dot(const char* name) { return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')); }

// Unlinks everything in the directory but directories, which are collected (empty ones go at once).
Status empty_of_files(Level& level, u8* buffer) {
  if (::lseek(level.fd.get(), 0, SEEK_SET) < 0) return sys_error("lseek");
  for (;;) {
    const long size = ::syscall(SYS_getdents64, level.fd.get(), buffer, kReadBytes);
    if (size < 0) return sys_error("getdents64");
    if (size == 0) return ok();
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(buffer + at);
      at += entry->length;
      if (is_dot(entry->name)) continue;
      bool directory = entry->type == DT_DIR;
      if (!directory && ::unlinkat(level.fd.get(), entry->name, 0) != 0) {
        if (errno == ENOENT) continue;
        struct stat status;
        if ((errno != EISDIR && errno != EPERM)) return sys_error("unlinkat");
        const int code = errno;
        if (::fstatat(level.fd.get(), entry->name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode)) {
          return SysError{code, "unlinkat"};
        }
        directory = true;
      }
      if (directory && ::unlinkat(level.fd.get(), entry->name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        if (errno != ENOTEMPTY && errno != EEXIST) return sys_error("unlinkat");
        level.children.emplace_back(entry->name);
      }
    }
  }
}

}  // namespace

Result<Removed> remove_tree(int directory, const char* name) {
  Removed removed;
  if (::unlinkat(directory, name, 0) == 0) return Removed{true, false};
  if (errno == ENOENT) return removed;
  if (errno != EISDIR && errno != EPERM) return sys_error("unlinkat");
  const int code = errno;
  if (::unlinkat(directory, name, AT_REMOVEDIR) == 0) return Removed{true, true};
  if (errno == ENOENT) return removed;
  if (errno == ENOTDIR) return SysError{code, "unlinkat"};   // EPERM came from a file that may not be removed
  if (errno != ENOTEMPTY && errno != EEXIST) return sys_error("unlinkat");

  std::unique_ptr<u8[]> buffer(new u8[kReadBytes]);
  std::vector<Level> levels;
  u64 moved = 0;
  const auto enter = [&](int parent, std::string child) -> Status {
    auto fd = open_child_directory(parent, child.c_str());
    if (!fd) {
      if (fd.error().code == ENOENT) return ok();
      if (fd.error().code == EXDEV) return SysError{EBUSY, "openat2"};   // something is mounted there
      return fd.error();
    }
    Level level;
    level.fd = std::move(*fd);
    level.name = std::move(child);
    auto emptied = empty_of_files(level, buffer.get());
    if (!emptied) return emptied.error();
    levels.push_back(std::move(level));
    return ok();
  };

  auto entered = enter(directory, name);
  if (!entered) return entered.error();
  while (!levels.empty()) {
    Level& level = levels.back();
    if (!level.children.empty()) {
      std::string child = std::move(level.children.back());
      level.children.pop_back();
      if (levels.size() < kDepthMax) {
        auto status = enter(level.fd.get(), std::move(child));
        if (!status) return status.error();
        continue;
      }
      // Too deep for more descriptors: the rest of the branch is hung up at the top and removed from there.
      char temporary[48];
      std::snprintf(temporary, sizeof temporary, ".understudy-removed-%llu", static_cast<unsigned long long>(moved++));
      if (::renameat(level.fd.get(), child.c_str(), levels.front().fd.get(), temporary) != 0) {
        if (errno == ENOENT) continue;
        if (errno != ENOTEMPTY && errno != EEXIST) return sys_error("renameat");
        level.children.push_back(std::move(child));   // left by an interrupted removal; the next number may be free
        continue;
      }
      levels.front().children.emplace_back(temporary);
      continue;
    }
    const int parent = levels.size() > 1 ? levels[levels.size() - 2].fd.get() : directory;
    if (::unlinkat(parent, level.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
      levels.pop_back();
      continue;
    }
    if ((errno != ENOTEMPTY && errno != EEXIST) || ++level.passes >= kPassesMax) return sys_error("unlinkat");
    auto emptied = empty_of_files(level, buffer.get());
    if (!emptied) return emptied.error();
  }
  return Removed{true, true};
}

}  // namespace understudy
