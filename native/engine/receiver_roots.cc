#include "receiver_roots.h"

#include <sys/stat.h>
#include <sys/statfs.h>

#include <xxhash.h>

namespace understudy {
namespace {

Status make_directories(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) return sys_error("mkdir");
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return sys_error("mkdir");
  return ok();
}

}  // namespace

Result<Roots> Roots::open(const std::vector<GrantRoot>& grants) {
  Roots roots;
  for (const GrantRoot& grant : grants) {
    if (grant.path.empty() || grant.path[0] != '/') return SysError{EINVAL, "open(root)"};
    Root root;
    root.path = grant.path;
    while (root.path.size() > 1 && root.path.back() == '/') root.path.pop_back();
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    root.fd.reset(::open(root.path.c_str(), kFlags));
    if (!root.fd && errno == ENOENT) {
      auto made = make_directories(root.path);
      if (!made) return made.error();
      root.fd.reset(::open(root.path.c_str(), kFlags));
    }
    if (!root.fd) return sys_error("open(root)");
    struct stat status;
    if (::fstat(root.fd.get(), &status) != 0) return sys_error("fstat(root)");
    root.device = status.st_dev;
    root.inode = status.st_ino;
    roots.roots_.push_back(std::move(root));
  }
  return roots;
}

std::vector<int> Roots::descriptors() const {
  std::vector<int> descriptors;
  for (const Root& root : roots_) descriptors.push_back(root.fd.get());
  return descriptors;
}

const std::string* Roots::missing() const {
  for (const Root& root : roots_) {
    struct stat status;
    if (::stat(root.path.c_str(), &status) != 0 || status.st_dev != root.device || status.st_ino != root.inode) {
      return &root.path;
    }
  }
  return nullptr;
}

u64 Roots::identity() const {
  std::string text;
  for (const Root& root : roots_) {
    struct statfs system{};
    ::fstatfs(root.fd.get(), &system);
    struct statx status{};   // the time of birth, because a new directory may get the inode of a removed one
    ::statx(root.fd.get(), "", AT_EMPTY_PATH, STATX_BTIME, &status);
    const i64 born[2] = {status.stx_btime.tv_sec, status.stx_btime.tv_nsec};
    text.append(root.path.c_str(), root.path.size() + 1);
    text.append(reinterpret_cast<const char*>(&root.inode), sizeof root.inode);
    text.append(reinterpret_cast<const char*>(&system.f_fsid), sizeof system.f_fsid);
    text.append(reinterpret_cast<const char*>(born), sizeof born);
  }
  return XXH3_64bits(text.data(), text.size());
}

Status Roots::sync() const {
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    bool done = false;
    for (std::size_t before = 0; before < i; ++before) done = done || roots_[before].device == roots_[i].device;
    if (!done && ::syncfs(roots_[i].fd.get()) != 0) return sys_error("syncfs");
  }
  return ok();
}

}  // namespace understudy
