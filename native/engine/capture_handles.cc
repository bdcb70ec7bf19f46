#include "capture_handles.h"

#include <time.h>

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <utility>

namespace understudy {
namespace {

constexpr std::size_t kGenerationMax = 32'768;
constexpr std::size_t kFsidBytes = 8;
constexpr int kOpenAttempts = 60;

// A file handle with room for the largest one, as open_by_handle_at wants it.
struct HandleBuffer {
  alignas(file_handle) u8 bytes[sizeof(file_handle) + MAX_HANDLE_SZ];
  file_handle* get() { return reinterpret_cast<file_handle*>(bytes); }
};

u64 fsid_of(HandleResolver::Key key) {
  u64 fsid;
  std::memcpy(&fsid, key.data(), sizeof fsid);
  return fsid;
}

}  // namespace

std::string descriptor_path(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  std::string path(PATH_MAX, '\0');
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  // A path that fills the buffer may be cut, and /proc fails for those which it cannot show at all.
  if (size <= 0 || static_cast<std::size_t>(size) >= path.size()) return {};
  path.resize(static_cast<std::size_t>(size));
  return path;
}

std::string rebase_path(std::string_view path, std::string_view real_root, std::string_view root) {
  // The kernel writes "//name" for an object which the mount used cannot reach.
  if (path.empty() || path[0] != '/' || path.starts_with("//")) return {};
  if (real_root == "/") real_root = "";
  if (!path.starts_with(real_root)) return {};
  std::string_view rest = path.substr(real_root.size());
  if (rest == "/") rest = "";
  if (!rest.empty() && rest[0] != '/') return {};
  std::string result(root == "/" ? std::string_view() : root);
  result += rest;
  if (result.empty()) result = "/";
  return result;
}

HandleResolver::HandleResolver() : forgotten_(kForgottenSlots, 0) {}

void HandleResolver::add_root(const std::string& path, u64 event_fsid) {
  Root root;
  root.path = path;
  root.event_fsid = event_fsid;
  roots_.push_back(std::move(root));
}

void HandleResolver::begin(const std::vector<CaptureRoot>& roots) {
  ++delivery_;
  failure_ = 0;
  for (Root& mine : roots_) {
    mine.fd = -1;
    mine.opened = false;
    for (const CaptureRoot& root : roots) {
      if (root.path == mine.path) mine.fd = root.fd;
    }
  }
}

void HandleResolver::end() {
  for (Root& root : roots_) {
    root.fd = -1;
    root.mount.reset();
  }
}

HandleResolver::Root* HandleResolver::open_root(Root& root) {
  if (root.fd < 0) return nullptr;
  if (!root.opened) {
    root.opened = true;
    root.mount.reset(::openat(root.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root.mount && errno != ENOENT && errno != ESTALE) failure_ = errno;
    root.real_path = root.mount ? descriptor_path(root.mount.get()) : std::string();
  }
  return root.mount ? &root : nullptr;
}

bool HandleResolver::fresh(const Entry& entry, CaptureSink& sink) const {
  switch (entry.place.kind) {
    case DirectoryPlace::kKnown:
      return entry.forgotten == forgotten_[entry.place.node % kForgottenSlots] &&
             sink.is_directory(entry.place.node, entry.place.inode);
    case DirectoryPlace::kOutside:
      return entry.round == outside_round_;
    case DirectoryPlace::kInside:
      // The shadow may have learned of it meanwhile.
      return entry.round == delivery_ && sink.find_directory(entry.place.device, entry.place.inode) == kNoNode;
    case DirectoryPlace::kGone:
      return entry.round == delivery_;
  }
  return false;
}

HandleResolver::Entry& HandleResolver::entry_of(Key key) {
  if (auto found = young_.find(key); found != young_.end()) return found->second;
  if (young_.size() >= kGenerationMax) {
    old_ = std::move(young_);
    young_ = Table();
  }
  if (auto found = old_.find(key); found != old_.end()) {
    auto node = old_.extract(found);
    return young_.insert(std::move(node)).position->second;
  }
  return young_.emplace(std::string(key), Entry{}).first->second;
}

const DirectoryPlace& HandleResolver::resolve(Key key, CaptureSink& sink) {
  Entry& entry = entry_of(key);
  if (!fresh(entry, sink)) look(key, entry, sink);
  return entry.place;
}

// Nothing when the object is gone; its removal has an event of its own. Any other failure leaves a doubt.
Fd HandleResolver::open_handle(const Root& root, Key key) {
  HandleBuffer handle;
  const std::string_view bytes = key.substr(kFsidBytes);
  if (bytes.size() < sizeof(file_handle) || bytes.size() > sizeof handle.bytes) return Fd();
  std::memcpy(handle.bytes, bytes.data(), bytes.size());
  Fd object(::open_by_handle_at(root.mount.get(), handle.get(), O_PATH | O_CLOEXEC));
  // The kernel answers ENOMEM, not ESTALE, while the directory is just being removed (seen on Linux 6.18).
  for (int attempt = 0; !object && errno == ENOMEM && attempt < kOpenAttempts; ++attempt) {
    const timespec pause{0, attempt < 4 ? 0 : 200'000};   // Its removal is over within a moment.
    ::nanosleep(&pause, nullptr);
    object.reset(::open_by_handle_at(root.mount.get(), handle.get(), O_PATH | O_CLOEXEC));
  }
  if (!object && errno != ESTALE && errno != ENOENT) failure_ = errno;
  return object;
}

bool HandleResolver::identify(Key key, u64& device, u64& inode) {
  const u64 fsid = fsid_of(key);
  for (Root& candidate : roots_) {
    if (candidate.event_fsid != fsid) continue;
    const Root* root = open_root(candidate);
    if (root == nullptr) continue;
    // Every mount of a superblock opens every object on it.
    const Fd object = open_handle(*root, key);
    struct stat status;
    if (!object || ::fstat(object.get(), &status) != 0) return false;
    device = status.st_dev;
    inode = status.st_ino;
    return true;
  }
  return false;
}

void HandleResolver::look(Key key, Entry& entry, CaptureSink& sink) {
  entry.place = DirectoryPlace{};
  entry.round = delivery_;
  const u64 fsid = fsid_of(key);

  // One superblock may be mounted in several places, and only some of them reach the object: each root is tried.
  for (Root& candidate : roots_) {
    if (candidate.event_fsid != fsid) continue;
    const Root* root = open_root(candidate);
    if (root == nullptr) continue;
    const Fd directory = open_handle(*root, key);
    if (!directory) continue;
    struct stat status;
    if (::fstat(directory.get(), &status) != 0 || status.st_nlink == 0) continue;
    entry.place.device = status.st_dev;
    entry.place.inode = status.st_ino;
    entry.place.node = sink.find_directory(status.st_dev, status.st_ino);
    if (entry.place.node != kNoNode) {
      entry.place.kind = DirectoryPlace::kKnown;
      entry.forgotten = forgotten_[entry.place.node % kForgottenSlots];
      return;
    }
    std::string path = rebase_path(descriptor_path(directory.get()), root->real_path, root->path);
    if (!path.empty()) {
      entry.place.kind = DirectoryPlace::kInside;
      entry.place.path = std::move(path);
      return;
    }
    entry.place.kind = DirectoryPlace::kOutside;
    entry.round = outside_round_;
  }
}

}  // namespace understudy
