#include "path_beneath.h"

#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <atomic>
#include <cstdio>

#include <xxhash.h>

namespace understudy {
namespace {

constexpr u64 kBeneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
constexpr int kRacesMax = 16;   // openat2 says EAGAIN while a rename elsewhere on the path is under way

std::atomic<bool> g_openat2_missing{false};

int openat2_retrying(int directory, const char* path, int flags, u64 resolve) {
  open_how how{};
  how.flags = static_cast<u64>(flags);
  how.resolve = resolve;
  for (int attempt = 0;; ++attempt) {
    const long fd = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if ((errno == EAGAIN || errno == EINTR) && attempt < kRacesMax) continue;
    // EPERM: a seccomp filter that does not know the call.
    if (errno == ENOSYS || errno == EPERM) g_openat2_missing.store(true, std::memory_order_relaxed);
    return -1;
  }
}

// The same promise with openat alone: every component is opened from its parent and must be a real directory.
Result<Fd> walk(int root, std::string_view path, int flags) {
  Fd held;
  int at = root;
  char name[wire::kNameBytesMax + 1];
  for (std::size_t start = 0; start <= path.size();) {
    std::size_t slash = path.find('/', start);
    if (slash == std::string_view::npos) slash = path.size();
    const std::size_t length = slash - start;
    std::memcpy(name, path.data() + start, length);
    name[length] = '\0';
    const bool last = slash == path.size();
    const int fd = ::openat(at, name, (last ? flags : O_PATH) | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return sys_error("openat");
    held.reset(fd);
    at = fd;
    start = slash + 1;
  }
  return held;
}

u64 hash_of(u32 mapping, std::string_view path) { return XXH3_64bits_withSeed(path.data(), path.size(), mapping + 1); }

bool at_or_beneath(std::string_view path, std::string_view top) {
  if (path.size() < top.size() || path.compare(0, top.size(), top) != 0) return false;
  return top.empty() || path.size() == top.size() || path[top.size()] == '/';
}

}  // namespace

Result<Fd> open_directory_beneath(int root, std::string_view path, int flags) {
  if (path.empty()) {
    const int fd = ::openat(root, ".", flags | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return sys_error("openat");
    return Fd(fd);
  }
  if (!g_openat2_missing.load(std::memory_order_relaxed)) {
    char text[wire::kPathBytesMax + 1];
    if (path.size() > wire::kPathBytesMax) return SysError{ENAMETOOLONG, "openat2"};
    std::memcpy(text, path.data(), path.size());
    text[path.size()] = '\0';
    const int fd = openat2_retrying(root, text, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, kBeneath);
    if (fd >= 0) return Fd(fd);
    if (!g_openat2_missing.load(std::memory_order_relaxed)) return sys_error("openat2");
  }
  return walk(root, path, flags);
}

Result<Fd> open_child_directory(int directory, const char* name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  if (!g_openat2_missing.load(std::memory_order_relaxed)) {
    const int fd = openat2_retrying(directory, name, kFlags, kBeneath | RESOLVE_NO_XDEV);
    if (fd >= 0) return Fd(fd);
    if (!g_openat2_missing.load(std::memory_order_relaxed)) return sys_error("openat2");
  }
  const int fd = ::openat(directory, name, kFlags);
  if (fd < 0) return sys_error("openat");
  struct stat parent, child;
  Fd held(fd);
  if (::fstat(directory, &parent) != 0 || ::fstat(fd, &child) != 0) return sys_error("fstat");
  if (parent.st_dev != child.st_dev) return SysError{EXDEV, "openat"};
  return held;
}

Result<Place> PathBeneath::locate(u32 mapping, std::string_view path, int slot) {
  Place place;
  if (path.empty()) {
    place.directory = roots_[mapping];
    return place;
  }
  const std::size_t slash = path.rfind('/');
  const std::string_view parent = slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  char* text = names_[slot].data();
  std::memcpy(text, name.data(), name.size());
  text[name.size()] = '\0';
  place.name = text;

  const auto serve = [&](Entry& entry) {
    entry.used = ++clock_;
    last_[slot] = &entry;
    place.directory = entry.fd.get();
    place.traits = &entry.traits;
    return place;
  };
  const auto is = [&](const Entry& entry) {
    return entry.used != 0 && entry.mapping == mapping && entry.path == parent;
  };
  if (last_[slot] != nullptr && is(*last_[slot])) {
    served_ = true;
    return serve(*last_[slot]);
  }
  const u64 hash = hash_of(mapping, parent);
  Entry* oldest = nullptr;
  for (Entry& entry : entries_) {
    if (entry.hash == hash && is(entry)) {
      served_ = true;
      return serve(entry);
    }
    if (&entry == last_[1 - slot]) continue;   // the other place of this operation must stay open
    if (oldest == nullptr || entry.used < oldest->used) oldest = &entry;
  }
  auto fd = open_directory_beneath(roots_[mapping], parent, O_PATH);
  if (!fd) return fd.error();
  oldest->fd = std::move(*fd);
  oldest->hash = hash;
  oldest->mapping = mapping;
  oldest->path.assign(parent);
  oldest->traits = {};
  return serve(*oldest);
}

const DirectoryTraits& PathBeneath::traits(const Place& place) {
  static const DirectoryTraits none{};
  if (place.traits == nullptr) return none;
  DirectoryTraits& traits = *place.traits;
  if (traits.known) return traits;
  struct stat status;
  if (::fstat(place.directory, &status) == 0) {
    traits.sets_group = (status.st_mode & S_ISGID) != 0;
    traits.gid = status.st_gid;
  } else {
    traits.sets_group = true;   // unknown: take the careful road
  }
  char path[40];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", place.directory);
  traits.default_acl = ::getxattr(path, "system.posix_acl_default", nullptr, 0) > 0;
  traits.known = true;
  return traits;
}

void PathBeneath::forget(u32 mapping, std::string_view path) {
  for (Entry& entry : entries_) {
    if (entry.used == 0 || entry.mapping != mapping || !at_or_beneath(entry.path, path)) continue;
    entry.fd.reset();
    entry.used = 0;
  }
}

void PathBeneath::forget_traits(u32 mapping, std::string_view path) {
  for (Entry& entry : entries_) {
    if (entry.used != 0 && entry.mapping == mapping && entry.path == path) entry.traits = {};
  }
}

void PathBeneath::clear() {
  for (Entry& entry : entries_) {
    entry.fd.reset();
    entry.used = 0;
  }
  last_[0] = last_[1] = nullptr;
  served_ = false;
}

}  // namespace understudy
