// Owner, mode, times and extended attributes; always in this order: owner, mode, extended attributes, times.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cstdio>

#include "apply.h"
#include "xattr.h"

namespace understudy {
namespace {

constexpr char kCapability[] = "security.capability";
constexpr char kAccessAcl[] = "system.posix_acl_access";
constexpr char kDefaultAcl[] = "system.posix_acl_default";
constexpr u32 kModeBits = 07777;
constexpr u32 kIdBits = S_ISUID | S_ISGID;

struct ProcPath {
  char text[40];
  explicit ProcPath(int fd) { std::snprintf(text, sizeof text, "/proc/self/fd/%d", fd); }
};

timespec time_of(i64 ns) {
  constexpr i64 kSecond = 1'000'000'000;
  i64 seconds = ns / kSecond;
  i64 rest = ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  timespec time;
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>(rest);
  return time;
}

}  // namespace

Status Applier::set_times(int fd, bool path_only, i64 mtime_ns) {
  timespec times[2];
  times[0].tv_sec = 0;
  times[0].tv_nsec = UTIME_OMIT;
  times[1] = time_of(mtime_ns);
  if (!path_only) {
    if (::futimens(fd, times) != 0) return sys_error("futimens");
    return ok();
  }
  if (::utimensat(fd, "", times, AT_EMPTY_PATH) == 0) return ok();
  if (errno != EINVAL) return sys_error("utimensat");
  // Kernels before 5.8; the link of an O_PATH descriptor leads to the very object, a symbolic link included.
  if (::utimensat(AT_FDCWD, ProcPath(fd).text, times, 0) != 0) return sys_error("utimensat");
  return ok();
}

Status Applier::set_owner_and_mode(int fd, bool path_only, const struct stat& now, const wire::OpHeader& wanted,
                                   std::string_view path) {
  bool owned = true;
  bool changed = false;
  if (now.st_uid != wanted.uid || now.st_gid != wanted.gid) {
    // A change of owner drops file capabilities. Whoever tells an owner does not always tell them again.
    char capability[64];
    ssize_t capability_size = -1;
    const ProcPath proc(fd);
    if (S_ISREG(now.st_mode)) capability_size = ::getxattr(proc.text, kCapability, capability, sizeof capability);
    if (::fchownat(fd, "", wanted.uid, wanted.gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
      SysError error = sys_error("fchownat");
      if (!tolerate("ownership_not_preserved", path, error)) return error;
      owned = false;
    } else {
      changed = true;
      if (capability_size > 0 &&
          ::setxattr(proc.text, kCapability, capability, static_cast<std::size_t>(capability_size), 0) != 0) {
        SysError error = sys_error("setxattr");
        if (!tolerate("attribute_not_preserved", path, error)) return error;
      }
    }
  }
  if (S_ISLNK(now.st_mode)) return ok();
  u32 mode = wanted.mode & kModeBits;
  if (!owned && !S_ISDIR(now.st_mode)) mode &= ~kIdBits;   // they would lend the rights of the wrong owner
  if (mode == (now.st_mode & kModeBits) && !(changed && (mode & kIdBits))) return ok();
  if ((path_only ? ::chmod(ProcPath(fd).text, mode) : ::fchmod(fd, mode)) != 0) return sys_error("chmod");
  return ok();
}

bool Applier::new_needs_dress(const Place& place, const wire::OpHeader& wanted, bool directory) {
  const DirectoryTraits& traits = paths_.traits(place);
  return !own_umask_ || wanted.uid != uid_ || wanted.gid != gid_ || traits.gid != gid_ || traits.default_acl ||
         (wanted.mode & 07000) != 0 || (directory && traits.sets_group);
}

Status Applier::dress_new(int fd, const Place& place, const wire::OpHeader& wanted, std::string_view path) {
  struct stat now;
  if (::fstat(fd, &now) != 0) return sys_error("fstat");
  const bool path_only = S_ISDIR(now.st_mode) || !S_ISREG(now.st_mode);   // only files are opened for real
  if (paths_.traits(place).default_acl) {
    // The ACL it inherited is not what the source said; if the source has one, `xattrs` tells it next.
    const ProcPath proc(fd);
    ::removexattr(proc.text, kAccessAcl);
    if (S_ISDIR(now.st_mode)) ::removexattr(proc.text, kDefaultAcl);
    if (::fstat(fd, &now) != 0) return sys_error("fstat");
  }
  return set_owner_and_mode(fd, path_only, now, wanted, path);
}

Status Applier::setattr(const OpView& op) {
  Fd opened;
  int fd = -1;
  bool path_only = false;
  if (op.path.empty()) {
    fd = paths_.root(op.header.mapping);
  } else if (is_current(op)) {
    fd = current_.get();
  } else {
    settle();
    auto place = paths_.locate(op.header.mapping, op.path);
    if (!place) return place.error();
    opened.reset(::openat(place->directory, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) return sys_error("openat");
    fd = opened.get();
    path_only = true;
  }
  struct stat now;
  if (::fstat(fd, &now) != 0) return sys_error("fstat");
  if (S_ISDIR(now.st_mode)) paths_.forget_traits(op.header.mapping, op.path);
  auto set = set_owner_and_mode(fd, path_only, now, op.header, op.path);
  if (!set) return set.error();
  if (op.header.flags & wire::kOpNoTimes) return ok();
  return set_times(fd, path_only, op.header.mtime_ns);
}

Status Applier::xattrs(const OpView& op) {
  Fd opened;
  int fd = -1;
  if (op.path.empty()) {
    fd = paths_.root(op.header.mapping);
  } else if (is_current(op)) {
    fd = current_.get();
  } else {
    settle();
    auto place = paths_.locate(op.header.mapping, op.path);
    if (!place) return place.error();
    opened.reset(::openat(place->directory, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) return sys_error("openat");
    fd = opened.get();
  }
  auto written = write_xattrs(fd, nullptr, op.data.data(), op.data.size());
  paths_.forget_traits(op.header.mapping, op.path);
  if (!written) return written.error();
  if (written->refused > 0) tolerate("attribute_not_preserved", op.path, written->error);
  return ok();
}

}  // namespace understudy
