// Contents of regular files: file, create, write, truncate, punch.
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "apply.h"
#include "xattr.h"

namespace understudy {
namespace {

constexpr u32 kPrivateMode = 0600;
constexpr std::size_t kCopyBytes = 256u << 10;

// Copies all bytes; holes become zeros (this is the rare road of a busy program file).
Status copy_contents(int from, int to) {
  for (;;) {
    const ssize_t done = ::copy_file_range(from, nullptr, to, nullptr, 1u << 30, 0);
    if (done == 0) return ok();
    if (done < 0) break;
  }
  if (errno != ENOSYS && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP) return sys_error("copy_file_range");
  std::unique_ptr<u8[]> buffer(new u8[kCopyBytes]);
  for (;;) {
    const ssize_t got = ::read(from, buffer.get(), kCopyBytes);
    if (got < 0) return sys_error("read");
    if (got == 0) return ok();
    for (ssize_t at = 0; at < got;) {
      const ssize_t put = ::write(to, buffer.get() + at, static_cast<std::size_t>(got - at));
      if (put < 0) return sys_error("write");
      at += put;
    }
  }
}

}  // namespace

bool Applier::is_current(const OpView& op) const {
  return current_ && current_mapping_ == op.header.mapping && current_path_ == op.path;
}

void Applier::keep(const OpView& op, Fd fd) {
  current_ = std::move(fd);
  current_mapping_ = op.header.mapping;
  current_path_.assign(op.path);
}

Status Applier::write_all(int fd, std::string_view data, u64 offset) {
  const char* at = data.data();
  std::size_t left = data.size();
  while (left > 0) {
    const ssize_t put = ::pwrite(fd, at, left, static_cast<off_t>(offset));
    if (put < 0) {
      if (errno == EINTR) continue;
      return sys_error("pwrite");
    }
    at += put;
    offset += static_cast<u64>(put);
    left -= static_cast<std::size_t>(put);
  }
  written_ += data.size();
  return ok();
}

Result<Fd> Applier::open_new(const Place& place, u32 mode) {
  const int fd = ::openat(place.directory, place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0) return sys_error("openat");
  return Fd(fd);
}

Result<Fd> Applier::open_existing(const Place& place, std::string_view path, struct stat& status) {
  if (::fstatat(place.directory, place.name, &status, AT_SYMLINK_NOFOLLOW) != 0) return sys_error("fstatat");
  if (S_ISDIR(status.st_mode)) return SysError{EISDIR, "fstatat"};
  if (S_ISLNK(status.st_mode)) return SysError{ELOOP, "fstatat"};
  if (!S_ISREG(status.st_mode)) return SysError{EEXIST, "fstatat"};   // opening a device could do things
  constexpr int kFlags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  Fd fd(::openat(place.directory, place.name, kFlags));
  if (!fd && errno == ETXTBSY) return replace_busy(place, path);
  if (!fd && errno == EACCES && uid_ != 0) {
    // Our own file without write permission for us; the mode is put back as soon as the descriptor is there.
    Fd handle(::openat(place.directory, place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!handle) return sys_error("openat");
    char proc[40];
    std::snprintf(proc, sizeof proc, "/proc/self/fd/%d", handle.get());
    if (::chmod(proc, (status.st_mode & 07777) | 0200) != 0) return SysError{EACCES, "openat"};
    fd.reset(::openat(place.directory, place.name, kFlags));
    const SysError error = sys_error("openat");
    ::chmod(proc, status.st_mode & 07777);
    if (!fd) return error;
  }
  if (!fd) return sys_error("openat");
  return fd;
}

// A program that runs cannot be opened for writing, so an equal file takes its name; the running one keeps the old
// file. Other hard links to it keep the old contents, which is why this is reported.
Result<Fd> Applier::replace_busy(const Place& place, std::string_view path) {
  auto fresh = copy_in_place(place, path);
  if (fresh) note_("busy_file_replaced", std::string(path), SysError{ETXTBSY, "openat"});
  return fresh;
}

// An equal file under an inode of its own takes the name.
Result<Fd> Applier::copy_in_place(const Place& place, std::string_view path) {
  Fd old(::openat(place.directory, place.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!old) return sys_error("openat");
  struct stat status;
  if (::fstat(old.get(), &status) != 0) return sys_error("fstat");
  char temporary[64];
  std::snprintf(temporary, sizeof temporary, "%sbusy-%llx", kTemporaryPrefix,
                static_cast<unsigned long long>(status.st_ino));
  ::unlinkat(place.directory, temporary, 0);   // of an interrupted try
  Fd fresh(::openat(place.directory, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kPrivateMode));
  if (!fresh) return sys_error("openat");
  const auto fill = [&]() -> Status {
    auto copied = copy_contents(old.get(), fresh.get());
    if (!copied) return copied.error();
    struct stat now;
    if (::fstat(fresh.get(), &now) != 0) return sys_error("fstat");
    wire::OpHeader looks{};
    looks.mode = status.st_mode;
    looks.uid = status.st_uid;
    looks.gid = status.st_gid;
    auto dressed = set_owner_and_mode(fresh.get(), false, now, looks, path);
    if (!dressed) return dressed.error();
    auto attributes = read_xattrs(old.get());
    if (!attributes) return attributes.error();
    auto written = write_xattrs(fresh.get(), nullptr, attributes->data(), attributes->size());
    if (!written) return written.error();
    const timespec times[2] = {status.st_atim, status.st_mtim};
    if (::futimens(fresh.get(), times) != 0) return sys_error("futimens");
    if (::renameat(place.directory, temporary, place.directory, place.name) != 0) return sys_error("renameat");
    return ok();
  };
  auto filled = fill();
  if (!filled) {
    ::unlinkat(place.directory, temporary, 0);
    return filled.error();
  }
  return fresh;
}

Result<Fd> Applier::make_way_and_open(const OpView& op, const Place& place, u32 mode) {
  const u8 flags = op.header.flags;
  if (flags & wire::kOpFresh) {
    // Something is there all the same: whatever it is, and whatever else it is a name of, it is not the new object.
    auto fd = open_new(place, mode);
    if (fd || fd.error().code != EEXIST) return fd;
  } else if (!(flags & wire::kOpReplace)) {
    struct stat status;
    if (::fstatat(place.directory, place.name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) return sys_error("fstatat");
      return open_new(place, mode);
    }
    if (S_ISREG(status.st_mode)) return Fd();
  }
  auto cleared = clear_name(place, op.header.mapping, op.path);
  if (!cleared) return cleared.error();
  return open_new(place, mode);
}

Status Applier::fill_new(int fd, const OpView& op, const Place& place) {
  auto written = write_all(fd, op.data, 0);
  if (!written) return written.error();
  if (new_needs_dress(place, op.header, false)) {
    auto dressed = dress_new(fd, place, op.header, op.path);
    if (!dressed) return dressed.error();
  }
  return set_times(fd, false, op.header.mtime_ns);
}

// The old file keeps its name until the new one is whole: neither the end of this process nor a full disk leaves the name
// with less than one of them. False: a directory has the name, or nothing has, or the file system has no unnamed files.
Result<bool> Applier::replace_whole(const OpView& op, const Place& place) {
  struct stat old;
  if (::fstatat(place.directory, place.name, &old, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(old.st_mode)) return false;
  const Fd fresh(::openat(place.directory, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, op.header.mode & 0777));
  if (!fresh) return false;
  auto filled = fill_new(fresh.get(), op, place);
  if (!filled) return filled.error();
  char unnamed[40];
  std::snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fresh.get());
  return take_name(place, old, [&](const char* name) { return ::linkat(AT_FDCWD, unnamed, place.directory, name, AT_SYMLINK_FOLLOW) == 0; });
}

Status Applier::file(const OpView& op) {
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  if (op.header.flags & wire::kOpReplace) {
    auto replaced = replace_whole(op, *place);
    if (!replaced) return replaced.error();
    if (*replaced) return ok();
  }
  // Special bits wait for the right owner: a moment of set-user-ID root would be a hole.
  auto fresh = make_way_and_open(op, *place, op.header.mode & 0777);
  if (!fresh) return fresh.error();
  if (*fresh) return fill_new(fresh->get(), op, *place);
  struct stat status;
  auto fd = open_existing(*place, op.path, status);
  if (!fd) return fd.error();
  auto written = write_all(fd->get(), op.data, 0);
  if (!written) return written.error();
  if (static_cast<u64>(status.st_size) > op.data.size() &&
      ::ftruncate(fd->get(), static_cast<off_t>(op.data.size())) != 0) {
    return sys_error("ftruncate");
  }
  if (::fstat(fd->get(), &status) != 0) return sys_error("fstat");   // writing may have dropped set-user-ID
  auto dressed = set_owner_and_mode(fd->get(), false, status, op.header, op.path);
  if (!dressed) return dressed.error();
  return set_times(fd->get(), false, op.header.mtime_ns);
}

Status Applier::create(const OpView& op) {
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  wire::OpHeader looks = op.header;
  looks.mode = kPrivateMode;
  auto fresh = make_way_and_open(op, *place, kPrivateMode);
  if (!fresh) return fresh.error();
  if (*fresh) {
    if (new_needs_dress(*place, looks, false)) {
      auto dressed = dress_new(fresh->get(), *place, looks, op.path);
      if (!dressed) return dressed.error();
    }
    keep(op, std::move(*fresh));
    return ok();
  }
  struct stat status;
  auto fd = open_existing(*place, op.path, status);
  if (!fd) return fd.error();
  if ((op.header.flags & wire::kOpUnshare) && status.st_nlink > 1) {
    fd = copy_in_place(*place, op.path);
    if (!fd) return fd.error();
    if (::fstat(fd->get(), &status) != 0) return sys_error("fstat");
  }
  if ((op.header.flags & wire::kOpTruncate) && ::ftruncate(fd->get(), 0) != 0) return sys_error("ftruncate");
  auto dressed = set_owner_and_mode(fd->get(), false, status, looks, op.path);
  if (!dressed) return dressed.error();
  keep(op, std::move(*fd));
  return ok();
}

Status Applier::open_current(const OpView& op, Missing missing) {
  if (is_current(op)) return ok();
  settle();
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  struct stat status;
  auto fd = open_existing(*place, op.path, status);
  if (!fd && fd.error().code == ENOENT && missing == Missing::create) fd = open_new(*place, kPrivateMode);
  if (!fd) return fd.error();
  keep(op, std::move(*fd));
  return ok();
}

Status Applier::write(const OpView& op) {
  auto opened = open_current(op, Missing::create);
  if (!opened) return opened.error();
  return write_all(current_.get(), op.data, op.header.arg0);
}

Status Applier::truncate(const OpView& op) {
  auto opened = open_current(op, Missing::fail);
  if (!opened) return opened.error();
  if (::ftruncate(current_.get(), static_cast<off_t>(op.header.arg0)) != 0) return sys_error("ftruncate");
  return ok();
}

Status Applier::punch(const OpView& op) {
  auto opened = open_current(op, Missing::fail);
  if (!opened) return opened.error();
  const off_t from = static_cast<off_t>(op.header.arg0);
  const off_t length = static_cast<off_t>(op.header.arg1);
  if (::fallocate(current_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, length) == 0) return ok();
  if (errno != EOPNOTSUPP && errno != ENOSYS) return sys_error("fallocate");
  // No holes on this file system: zeros say the same. A hole never makes the file longer.
  struct stat status;
  if (::fstat(current_.get(), &status) != 0) return sys_error("fstat");
  const off_t end = std::min<off_t>(from + length, status.st_size);
  static const char zeros[64u << 10] = {};
  for (off_t at = from; at < end;) {
    const std::size_t count = static_cast<std::size_t>(std::min<off_t>(end - at, sizeof zeros));
    auto written = write_all(current_.get(), {zeros, count}, static_cast<u64>(at));
    if (!written) return written.error();
    at += static_cast<off_t>(count);
  }
  return ok();
}

}  // namespace understudy
