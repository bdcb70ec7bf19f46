// Names: mkdir, symlink, link, mknod, remove, rename.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <cstdio>

#include "apply.h"
#include "remove_tree.h"

namespace understudy {
namespace {

bool same_object(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

bool stat_of(const Place& place, struct stat& status) {
  return ::fstatat(place.directory, place.name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

Fd open_path(const Place& place) {
  return Fd(::openat(place.directory, place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

// Rename's ways to say that path2 is something which path cannot replace.
bool in_the_way(int code) { return code == ENOTEMPTY || code == EEXIST || code == ENOTDIR || code == EISDIR; }

}  // namespace

bool take_name(const Place& place, const struct stat& old, const std::function<bool(const char* name)>& make) {
  if (S_ISDIR(old.st_mode)) return false;
  char temporary[64];
  // Named after the old one, so that whoever repeats an interrupted try finds what it left.
  std::snprintf(temporary, sizeof temporary, "%snew-%llx", kTemporaryPrefix, static_cast<unsigned long long>(old.st_ino));
  if (!make(temporary) && (errno != EEXIST || ::unlinkat(place.directory, temporary, 0) != 0 || !make(temporary))) return false;
  if (::renameat(place.directory, temporary, place.directory, place.name) == 0) return true;
  ::unlinkat(place.directory, temporary, 0);
  return false;
}

Status Applier::clear_name(const Place& place, u32 mapping, std::string_view path) {
  auto removed = remove_tree(place.directory, place.name);
  if (!removed) {
    paths_.forget(mapping, path);   // parts of a directory may be gone
    return removed.error();
  }
  if (removed->directory) paths_.forget(mapping, path);
  return ok();
}

Status Applier::mkdir(const OpView& op) {
  if (op.path.empty()) return setattr([&] {
    OpView root = op;
    root.header.flags |= wire::kOpNoTimes;
    return root;
  }());
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  const bool present = (op.header.flags & wire::kOpPresent) != 0;
  for (int attempt = 0;; ++attempt) {
    if (!present && ::mkdirat(place->directory, place->name, op.header.mode & 0777) == 0) {
      if (!new_needs_dress(*place, op.header, true)) return ok();
      const Fd fd = open_path(*place);
      if (!fd) return sys_error("openat");
      return dress_new(fd.get(), *place, op.header, op.path);
    }
    if (!present && (errno != EEXIST || attempt > 0)) return sys_error("mkdirat");
    const Fd fd = open_path(*place);
    struct stat now;
    if (!fd || ::fstat(fd.get(), &now) != 0) return sys_error("openat");
    if (S_ISDIR(now.st_mode)) {
      paths_.forget_traits(op.header.mapping, op.path);
      return set_owner_and_mode(fd.get(), true, now, op.header, op.path);
    }
    if (present) return SysError{ENOTDIR, "openat"};
    auto cleared = clear_name(*place, op.header.mapping, op.path);
    if (!cleared) return cleared.error();
  }
}

Status Applier::symlink(const OpView& op) {
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  const std::string text = links_.empty() ? std::string(op.path2) : links_.to_target(op.path2);
  if (::symlinkat(text.c_str(), place->directory, place->name) != 0) {
    if (errno != EEXIST) return sys_error("symlinkat");
    char existing[wire::kPathBytesMax + 2];
    const ssize_t size = ::readlinkat(place->directory, place->name, existing, sizeof existing);
    const bool same = size >= 0 && std::string_view(existing, static_cast<std::size_t>(size)) == text;
    const auto make = [&](const char* name) { return ::symlinkat(text.c_str(), place->directory, name) == 0; };
    struct stat old;
    if (!same && !(stat_of(*place, old) && take_name(*place, old, make))) {
      auto cleared = clear_name(*place, op.header.mapping, op.path);
      if (!cleared) return cleared.error();
      if (!make(place->name)) return sys_error("symlinkat");
    }
  }
  const Fd fd = open_path(*place);
  struct stat now;
  if (!fd || ::fstat(fd.get(), &now) != 0) return sys_error("openat");
  auto owned = set_owner_and_mode(fd.get(), true, now, op.header, op.path);
  if (!owned) return owned.error();
  return set_times(fd.get(), true, op.header.mtime_ns);
}

Status Applier::link(const OpView& op) {
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  auto other = paths_.locate(op.header.aux, op.path2, 1);
  if (!other) return other.error();
  const auto make = [&](const char* name) { return ::linkat(other->directory, other->name, place->directory, name, 0) == 0; };
  if (make(place->name)) return ok();
  if (errno != EEXIST) return sys_error("linkat");
  struct stat existing, wanted;
  if (!stat_of(*other, wanted)) return sys_error("fstatat");   // nothing to link to: keep what is there
  if (S_ISDIR(wanted.st_mode)) return SysError{EPERM, "linkat"};
  if (stat_of(*place, existing) && same_object(existing, wanted)) return ok();
  if (existing.st_dev != wanted.st_dev) return SysError{EXDEV, "linkat"};
  // Clearing a directory might remove path2 with it.
  if (op.header.mapping == op.header.aux && op.path2.size() > op.path.size() &&
      op.path2.substr(0, op.path.size()) == op.path && op.path2[op.path.size()] == '/') {
    return SysError{EINVAL, "linkat"};
  }
  if (take_name(*place, existing, make)) return ok();
  auto cleared = clear_name(*place, op.header.mapping, op.path);
  if (!cleared) return cleared.error();
  if (!make(place->name)) return sys_error("linkat");
  return ok();
}

Status Applier::mknod(const OpView& op) {
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  const u32 type = op.header.mode & S_IFMT;
  const bool device = type == S_IFCHR || type == S_IFBLK;
  const dev_t rdev = device ? static_cast<dev_t>(op.header.arg1) : 0;
  for (int attempt = 0;; ++attempt) {
    // Permissions come with the owner, afterwards.
    if (::mknodat(place->directory, place->name, type | (op.header.mode & 0700), rdev) == 0) break;
    if (errno != EEXIST || attempt > 0) {
      SysError error = sys_error("mknodat");
      if (device && tolerate("node_not_created", op.path, error)) return ok();
      return error;
    }
    struct stat existing;
    if (stat_of(*place, existing) && (existing.st_mode & S_IFMT) == type &&
        (!device || existing.st_rdev == rdev)) {
      break;
    }
    auto cleared = clear_name(*place, op.header.mapping, op.path);
    if (!cleared) return cleared.error();
  }
  const Fd fd = open_path(*place);
  struct stat now;
  if (!fd || ::fstat(fd.get(), &now) != 0) return sys_error("openat");
  auto dressed = dress_new(fd.get(), *place, op.header, op.path);
  if (!dressed) return dressed.error();
  return set_times(fd.get(), true, op.header.mtime_ns);
}

Status Applier::remove(const OpView& op) {
  if (ignore_deletes_) return ok();
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) {
    // Nothing exists at a path whose parents are missing or are no directories.
    const int code = place.error().code;
    if (code == ENOENT || code == ENOTDIR || code == ELOOP) return ok();
    return place.error();
  }
  return clear_name(*place, op.header.mapping, op.path);
}

Status Applier::rename(const OpView& op, u64 id, bool doubtful) {
  auto from = paths_.locate(op.header.mapping, op.path);
  if (!from) {
    if (doubtful && from.error().code == ENOENT) return ok();
    return from.error();
  }
  auto to = paths_.locate(op.header.aux, op.path2, 1);
  if (!to) return to.error();
  if (op.header.flags & wire::kOpExchange) return exchange(op, *from, *to, id, doubtful);

  struct stat moved, replaced;
  if (!stat_of(*from, moved)) {
    if (errno == ENOENT && doubtful && stat_of(*to, replaced)) return ok();   // it happened
    return sys_error("fstatat");
  }
  if (op.header.mapping == op.header.aux && op.path == op.path2) return ok();
  if (!S_ISDIR(moved.st_mode) && moved.st_nlink > 1 && stat_of(*to, replaced) && same_object(moved, replaced)) {
    // rename(2) leaves both names of one object alone; here the first shall be gone.
    if (::unlinkat(from->directory, from->name, 0) != 0) return sys_error("unlinkat");
    return ok();
  }
  const auto move = [&] { return ::renameat(from->directory, from->name, to->directory, to->name) == 0; };
  if (!move()) {
    if (!in_the_way(errno)) return sys_error("renameat");
    const SysError error = sys_error("renameat");
    // Removing a directory to make way must not remove what is to be moved.
    if (op.header.mapping == op.header.aux && op.path.size() > op.path2.size() &&
        op.path.substr(0, op.path2.size()) == op.path2 && op.path[op.path2.size()] == '/') {
      return error;
    }
    auto cleared = clear_name(*to, op.header.aux, op.path2);
    if (!cleared) return cleared.error();
    if (!move()) return sys_error("renameat");
  }
  if (S_ISDIR(moved.st_mode)) {
    paths_.forget(op.header.mapping, op.path);
    paths_.forget(op.header.aux, op.path2);
  }
  return ok();
}

// Swaps two names. Before it begins, the inodes of both are noted in the shared mark; after a crash they tell how far
// it came. Where the file system cannot swap in one step, three renames do it, and the temporary name tells the rest.
Status Applier::exchange(const OpView& op, const Place& from, const Place& to, u64 id, bool doubtful) {
  struct stat a, b, parked;
  char temporary[64];
  std::snprintf(temporary, sizeof temporary, "%sswap-%llx", kTemporaryPrefix, static_cast<unsigned long long>(id));
  const Place aside{from.directory, temporary, nullptr};
  const auto move = [](const Place& one, const Place& other) {
    return ::renameat(one.directory, one.name, other.directory, other.name) == 0;
  };
  const auto finish = [&]() -> Status {
    paths_.forget(op.header.mapping, op.path);
    paths_.forget(op.header.aux, op.path2);
    return ok();
  };
  const bool have_a = stat_of(from, a);
  const bool have_b = stat_of(to, b);
  if (doubtful && evidence_->operation == id) {
    if (have_a && have_b && a.st_ino == evidence_->second && b.st_ino == evidence_->first) return finish();
    if (stat_of(aside, parked) && parked.st_ino == evidence_->first) {
      if (!have_a && !move(to, from)) return sys_error("renameat");
      if (!move(aside, to)) return sys_error("renameat");
      return finish();
    }
  }
  if (!have_a || !have_b) return SysError{ENOENT, "renameat2"};

  std::atomic_ref<u64> recorded(evidence_->operation);
  recorded.store(0, std::memory_order_release);
  evidence_->first = a.st_ino;
  evidence_->second = b.st_ino;
  recorded.store(id, std::memory_order_release);
  if (::renameat2(from.directory, from.name, to.directory, to.name, RENAME_EXCHANGE) == 0) return finish();
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return sys_error("renameat2");
  if (op.header.mapping == op.header.aux) {
    // EINVAL also says that one is inside the other; three renames would not do better.
    const std::string_view inner = op.path.size() > op.path2.size() ? op.path : op.path2;
    const std::string_view outer = op.path.size() > op.path2.size() ? op.path2 : op.path;
    if (inner.substr(0, outer.size()) == outer && (inner.size() == outer.size() || inner[outer.size()] == '/')) {
      return SysError{EINVAL, "renameat2"};
    }
  }
  if (!move(from, aside)) return sys_error("renameat");
  if (!move(to, from)) {
    const SysError error = sys_error("renameat");
    move(aside, from);
    return error;
  }
  if (!move(aside, to)) return sys_error("renameat");
  return finish();
}

}  // namespace understudy
