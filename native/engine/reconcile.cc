// Hints into operations: what a name means now, compared with what was told (DESIGN 6). Every function compares
// facts; none trusts an event for more than "look here". What a name turns out to be is told in objects.cc.
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <algorithm>

#include "object_facts.h"
#include "source.h"
#include "xattr.h"

namespace understudy {

namespace {
constexpr i64 kSettleNs = 3'000'000;           // a new or open file: wait for its close
constexpr std::size_t kDirtyMax = 1'000'000;   // beyond it the tree is compared as a whole
constexpr u32 kAttemptsMax = 200;
constexpr std::size_t kFdsMax = 256;

std::string dirty_key(NodeId directory, std::string_view name) {
  std::string key(reinterpret_cast<const char*>(&directory), sizeof directory);
  key.append(name);
  return key;
}
}  // namespace

NodeId Source::find_directory(u64 device, u64 inode) {
  const NodeId node = shadow_.by_inode(device, inode);
  return node != kNoNode && shadow_.is_directory(node) ? node : kNoNode;
}

bool Source::is_directory(NodeId node, u64 inode) {
  return shadow_.live(node) && shadow_.at(node).inode == inode && shadow_.is_directory(node);
}

void Source::hint(NodeId directory, std::string_view name, u32 what) {
  if (what & kHintName) times_.insert(directory);
  // A name that just appeared is usually still being written: give it the settle time unless it was closed.
  const bool wait = !(what & (kHintClosed | kHintDirectory)) && (what & (kHintName | kHintContent));
  add_dirty(directory, name, what, wait ? kSettleNs : 0);
}

void Source::unknown_directory(std::string_view path, std::string_view, u32) {
  // Its topmost directory that we do not know holds the answer: look at that name in its known parent.
  for (u32 i = 0; i < options_.roots.size(); ++i) {
    const std::string& root = options_.roots[i];
    if (path.size() <= root.size() + 1 || path.substr(0, root.size()) != root || path[root.size()] != '/') continue;
    std::string_view rest = path.substr(root.size() + 1);
    NodeId at = i + 1;
    while (!rest.empty()) {
      const std::size_t slash = rest.find('/');
      const std::string_view part = rest.substr(0, slash);
      const NodeId next = shadow_.child(at, part);
      if (next == kNoNode || !shadow_.is_directory(next)) {
        add_dirty(at, part, kHintName | kHintDirectory, 0);
        break;
      }
      at = next;
      if (slash == std::string_view::npos) {
        add_dirty(shadow_.at(at).parent, shadow_.name(at), kHintName | kHintDirectory, 0);
        break;
      }
      rest.remove_prefix(slash + 1);
    }
  }
}

void Source::lost(std::string_view why) {
  doubt();
  publish();   // Before it is told: whoever hears of it may ask at once.
  tell_(Fact("source_lost").with("source", i64{options_.id}).with("why", std::string(why)));
}

void Source::add_dirty(NodeId directory, std::string_view name, u32 what, i64 delay_ns, u32 attempts, i64 since_ns) {
  if (!shadow_.live(directory)) return;
  const i64 now = monotonic_ns();
  if (since_ns == 0) since_ns = current_since_ns_ != 0 ? current_since_ns_ : now;
  auto [at, fresh] = dirty_index_.try_emplace(dirty_key(directory, name), static_cast<u32>(dirty_.size()));
  if (fresh) {
    dirty_.push_back({directory, std::string(name), what, attempts, since_ns, now + delay_ns});
    if (dirty_.size() > kDirtyMax) {
      dirty_.clear();
      dirty_index_.clear();
      lost("more changed names than can be remembered");
    }
    return;
  }
  Dirty& dirty = dirty_[at->second];
  dirty.what |= what;
  dirty.since_ns = std::min(dirty.since_ns, since_ns);
  if (delay_ns == 0) dirty.due_ns = std::min(dirty.due_ns, now);
}

// Works off what is due. Names whose place is taken by another object wait until all others had their turn: by then
// a moved object has usually been found at its new place. True when anything was done.
bool Source::process_dirty() {
  if (dirty_.empty()) return false;
  const i64 now = monotonic_ns();
  std::vector<Dirty> batch;
  batch.swap(dirty_);
  dirty_index_.clear();
  std::vector<Dirty> occupied;
  bool worked = false, unreachable = false;
  for (Dirty& dirty : batch) {
    if (!retired_.empty()) retired_.clear();
    if (!shadow_.live(dirty.directory)) continue;
    if ((dirty.due_ns > now && !force_) || (worked && !room_for(replicating_, true))) {
      const auto [at, fresh] = dirty_index_.try_emplace(dirty_key(dirty.directory, dirty.name), static_cast<u32>(dirty_.size()));
      if (fresh) {
        dirty_.push_back(std::move(dirty));
        continue;
      }
      Dirty& known = dirty_[at->second];   // Found anew meanwhile, perhaps for less.
      known.what |= dirty.what;
      known.since_ns = std::min(known.since_ns, dirty.since_ns);
      known.due_ns = std::min(known.due_ns, dirty.due_ns);
      continue;
    }
    worked = true;
    current_since_ns_ = dirty.since_ns;
    const Outcome outcome = reconcile(dirty.directory, dirty.name, dirty.what, dirty.attempts, false);
    if (outcome == Outcome::occupied) occupied.push_back(std::move(dirty));
    else if (outcome == Outcome::later) {
      bool going = false;   // Below something that is about to be removed: that says it all.
      for (NodeId at = dirty.directory; at != kNoNode && !going; at = shadow_.at(at).parent) going = shadow_.at(at).flags & kNodeMissing;
      if (going) {   // Or moved, and found again in a moment: the hint stays.
        add_dirty(dirty.directory, dirty.name, dirty.what, 50'000'000, dirty.attempts);
        continue;
      }
      if (dirty.attempts > kAttemptsMax) unreachable = true;
      else add_dirty(dirty.directory, dirty.name, dirty.what, dirty.attempts < 3 ? 0 : 5'000'000, dirty.attempts + 1);
    }
  }
  // First those whose object is known elsewhere (renames), again and again while that frees places; then the rest.
  for (bool progress = true; progress && !occupied.empty();) {
    progress = false;
    std::vector<Dirty> rest;
    for (Dirty& dirty : occupied) {
      if (!shadow_.live(dirty.directory)) continue;
      current_since_ns_ = dirty.since_ns;
      const Outcome outcome = reconcile(dirty.directory, dirty.name, dirty.what, 1, false);
      if (outcome == Outcome::occupied) rest.push_back(std::move(dirty));
      else progress = true;
      if (outcome == Outcome::later) add_dirty(dirty.directory, dirty.name, dirty.what, 0, dirty.attempts + 1);
    }
    occupied.swap(rest);
  }
  for (Dirty& dirty : occupied) {
    if (!shadow_.live(dirty.directory)) continue;
    current_since_ns_ = dirty.since_ns;
    if (reconcile(dirty.directory, dirty.name, dirty.what, 2, true) == Outcome::later)
      add_dirty(dirty.directory, dirty.name, dirty.what, 0, dirty.attempts + 1);
  }
  current_since_ns_ = 0;
  if (unreachable) lost("a name could not be reached");   // Once for all of them: below a directory that went there are many.
  return worked;
}

std::string Source::absolute_path(NodeId node) const {
  return set_path(shadow_.mapping(node), shadow_.path(node));
}

std::string Source::set_path(u32 mapping, std::string_view path) const {
  std::string full = options_.roots[mapping];
  if (path.empty()) return full;
  if (full.back() != '/') full += '/';
  return full.append(path);
}

Verdict Source::verdict(NodeId directory, const std::string& name, bool is_directory) const {
  const std::string path = absolute_path(directory) + "/" + name;
  for (const std::string& excluded : options_.exclude)
    if (path.compare(0, excluded.size(), excluded) == 0 && (path.size() == excluded.size() || path[excluded.size()] == '/'))
      return Verdict::excluded;
  return rules_.decide(path, is_directory);
}

int Source::directory_fd(NodeId directory) {
  if (!roots_open_) return -1;
  if (auto at = fds_.find(directory); at != fds_.end()) return at->second.get();
  const u32 mapping = shadow_.mapping(directory);
  const int root = roots_[mapping].fd;
  if (root < 0) return -1;
  std::string path = shadow_.path(directory);
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  Fd fd(static_cast<int>(::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how)));
  if (!fd && errno == ENOSYS) fd = Fd(::openat(root, path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == EACCES) unreadable(absolute_path(directory), sys_error("open"));
  if (!fd) return -1;
  struct statx stat;
  if (::statx(fd.get(), "", AT_EMPTY_PATH, kStatx, &stat) != 0 || !same_object(directory, stat)) return -1;   // Moved: its hint comes.
  if (fds_.size() >= kFdsMax) {
    // Callers up the stack may still use one of them: closed at the next safe place.
    for (auto& [node, old] : fds_) retired_.push_back(std::move(old));
    fds_.clear();
  }
  return fds_.emplace(directory, std::move(fd)).first->second.get();
}

Attributes Source::attributes_of(const struct statx& stat, u64 digest) const {
  Attributes attributes;
  attributes.mode = stat.stx_mode;
  attributes.uid = stat.stx_uid;
  attributes.gid = stat.stx_gid;
  if (S_ISCHR(stat.stx_mode) || S_ISBLK(stat.stx_mode)) attributes.rdev = makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
  attributes.xattr_digest = digest;
  return attributes;
}

void Source::apply_stat(NodeId node, const struct statx& stat) {
  each_name(node, [&](NodeId each) {
    Node& record = shadow_.at(each);
    if (S_ISREG(stat.stx_mode)) total_bytes_ += stat.stx_size - (shadow_.is_regular(each) ? static_cast<u64>(record.size) : 0);
    record.size = size_or_birth(stat);
    record.mtime_ns = stx_ns(stat.stx_mtime);
    record.ctime_ns = stx_ns(stat.stx_ctime);
    shadow_.set_attributes(each, attributes_of(stat, shadow_.attributes(each).xattr_digest));
  });
}

// The object that `stat` was taken of, without reading rights; none when another one has taken its name since.
Fd Source::open_object(int directory, std::string_view name, const struct statx& stat) const {
  Fd object(::openat(directory, std::string(name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat now;
  if (object && (::fstat(object.get(), &now) != 0 || now.st_ino != stat.stx_ino || now.st_dev != stx_device(stat))) object.reset();
  return object;
}

// Digest of the extended attributes of the object that `stat` was taken of. That it has none is believed by its name if
// the object is still there afterwards.
Result<u64> Source::digest_of(int directory, std::string_view name, const struct statx& stat) const {
  const std::string text(name);
  struct statx now;
  const auto none = has_no_xattrs(directory, text.c_str());
  if (none && *none && ::statx(directory, text.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO, &now) == 0 &&
      now.stx_ino == stat.stx_ino && stx_device(now) == stx_device(stat))
    return u64{0};
  const Fd object = open_object(directory, name, stat);
  if (!object) return SysError{ENOENT, "open"};
  return read_xattr_digest(object.get());
}

// Is this what the node stands for? Inode, type and, for directories, the time of birth. A file that was born after the
// node's last change was seen has only been given the same inode number again, unless the clock was put back.
bool Source::same_object(NodeId node, const struct statx& stat) const {
  const Node& record = shadow_.at(node);
  if (record.inode != stat.stx_ino || shadow_.device(record.device) != stx_device(stat)) return false;
  if (shadow_.is_root(node)) return true;
  if ((shadow_.mode(node) & S_IFMT) != (stat.stx_mode & S_IFMT)) return false;
  if (S_ISDIR(stat.stx_mode)) return record.size == 0 || size_or_birth(stat) == 0 || record.size == size_or_birth(stat);
  const i64 born = (stat.stx_mask & STATX_BTIME) ? stx_ns(stat.stx_btime) : 0;
  return record.ctime_ns <= 0 || born <= record.ctime_ns || born > stx_ns(stat.stx_ctime);
}

// True when the shadow's place of `node` still holds that very object. `found`: the inode that is there, 0 if none.
bool Source::still_there(NodeId node, u64 device, u64 inode, u64* found) {
  if (found != nullptr) *found = 0;
  if (shadow_.is_root(node)) return true;
  const int directory = directory_fd(shadow_.at(node).parent);
  if (directory < 0) return false;
  const std::string name(shadow_.name(node));
  struct statx stat;
  if (::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, kStatx, &stat) != 0) return false;
  if (found != nullptr) *found = stat.stx_ino;
  return stat.stx_ino == inode && stx_device(stat) == device && same_object(node, stat);
}

Source::Outcome Source::reconcile(NodeId parent, const std::string& name, u32 what, u32 attempts, bool final) {
  const int directory = directory_fd(parent);
  if (directory < 0) return shadow_.live(parent) && roots_open_ ? Outcome::later : Outcome::done;
  struct statx stat;
  if (name.empty() && (what & kHintName) && !shadow_.is_root(parent)) {
    // The watched directory itself is gone (inotify): what is at its place now?
    add_dirty(shadow_.at(parent).parent, shadow_.name(parent), kHintName | kHintDirectory, 0);
    return Outcome::done;
  }
  if (name.empty()) {
    const int above = shadow_.is_root(parent) ? directory : directory_fd(shadow_.at(parent).parent);
    if (above < 0) return Outcome::later;
    if (::statx(directory, "", AT_EMPTY_PATH, kStatx, &stat) == 0) update(parent, above, stat, what);
    return Outcome::done;
  }
  const NodeId known = shadow_.child(parent, name);
  if (::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, kStatx, &stat) != 0) {
    if (errno != ENOENT) unreadable(absolute_path(parent) + "/" + name, sys_error("statx"));
    else if (known != kNoNode) {
      if ((what & kHintWritten) && shadow_.is_regular(known)) time_unknown(known);   // Under its next name it is compared.
      missing(known);
      other_names(known);
    }
    return Outcome::done;
  }
  const bool is_dir = S_ISDIR(stat.stx_mode);
  const Verdict wanted = verdict(parent, name, is_dir);
  bool told = wanted != Verdict::excluded && told_kind(stat.stx_mode);   // Sockets live in processes, not in replicas.
  if (told && is_dir && (stat.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
    // Another file system; or a part of this one once more, whose changes are told by its other path. A directory that is
    // mounted below itself would never end.
    told = false;
    mounted_inside(absolute_path(parent) + "/" + name);
  }
  if (!told) {
    if (known != kNoNode) missing(known);
    return Outcome::done;
  }
  const u64 device = stx_device(stat);
  if (known != kNoNode) {
    if (same_object(known, stat)) {
      shadow_.at(known).flags &= static_cast<u16>(~kNodeMissing);
      update(known, directory, stat, what);
      return Outcome::done;
    }
    if (attempts == 0 && !final) return Outcome::occupied;
    const NodeId other = shadow_.by_inode(device, stat.stx_ino);
    if (!final && other == kNoNode) return Outcome::occupied;
    replace(known, parent, directory, name, stat, what);
    return Outcome::done;
  }
  if (absolute_path(parent).size() + 1 + name.size() > wire::kPathBytesMax) {
    unreadable(absolute_path(parent) + "/" + name, {ENAMETOOLONG, "path longer than 4094 bytes (CAP-10)"});
    return Outcome::done;
  }
  appear(parent, directory, name, stat, what);
  return Outcome::done;
}

// The same object as before; have its facts changed?
void Source::update(NodeId node, int directory, const struct statx& stat, u32 what) {
  const Node& record = shadow_.at(node);
  const Attributes before = shadow_.attributes(node);
  const bool root = shadow_.is_root(node);
  const bool is_dir = S_ISDIR(stat.stx_mode);
  if (is_dir && (record.flags & kNodeUnlisted)) list_later(node);
  const bool ctime_moved = record.ctime_ns != stx_ns(stat.stx_ctime);
  const bool mtime_moved = record.mtime_ns != stx_ns(stat.stx_mtime);
  const bool size_moved = !is_dir && record.size != static_cast<i64>(stat.stx_size);
  const bool racy = (record.flags & kNodeRacy) && (what & (kHintContent | kHintClosed | kHintSweep));
  const bool silent = (record.flags & kNodeSilent) && (what & kHintSweep);
  // The kernel sets the times first and moves the bytes afterwards: whoever read in between has seen the new times and
  // old bytes, and only the event tells that more has come.
  const bool ended = !is_dir && (what & kHintWritten);
  if (!ctime_moved && !mtime_moved && !size_moved && !racy && !silent && !ended) return;
  bool unread = false;   // the attributes could not be read: this ctime must not count as seen
  if (before.xattr_digest != 0 || ctime_moved) {
    const Result<u64> digest = root ? read_xattr_digest(directory) : digest_of(directory, shadow_.name(node), stat);
    unread = !digest;
    if (digest && *digest != before.xattr_digest) {
      set_xattr_digest(node, *digest);
      const Fd object = root ? Fd(::fcntl(directory, F_DUPFD_CLOEXEC, 0)) : open_object(directory, shadow_.name(node), stat);
      if (object) tell_xattrs_all(node, object.get(), nullptr);
      else xattrs_untold(node), unread = true;
      // An ACL carries mode bits with it, and setting it counts as a change of them on the target.
      tell_attributes_all(node, false);
    }
  }
  const Attributes now = attributes_of(stat, shadow_.attributes(node).xattr_digest);
  const bool attributes_moved = now.mode != before.mode || now.uid != before.uid || now.gid != before.gid;
  if (S_ISREG(stat.stx_mode)) {
    const bool by_event = !(what & kHintSweep);
    const bool written = size_moved || mtime_moved || racy || silent || ended ||
                         (ctime_moved && (!by_event || (what & (kHintContent | kHintClosed))));
    if (written) {
      if ((what & kHintSweep) && mtime_moved && !scanning_first()) shadow_.at(node).flags |= kNodeSilent;
      if (what & kHintContent) shadow_.at(node).flags &= static_cast<u16>(~kNodeSilent);
      if (attributes_moved && !busy(node)) {
        shadow_.set_attributes(node, now);
        if (stat.stx_size > (256u << 10)) tell_attributes_all(node, false);
      }
      content_changed(node, directory, stat);
      if (unread) {
        set_ctime(node, -1);
        add_dirty(shadow_.at(node).parent, shadow_.name(node), kHintAttributes, 1'000'000);
      }
      return;
    }
    if (busy(node)) {
      // The job writes these times over at its end unless it looks again.
      stale_.insert(shadow_.object(node));
    }
  }
  apply_stat(node, stat);
  if (unread) {
    set_ctime(node, -1);
    if (!root) add_dirty(shadow_.at(node).parent, shadow_.name(node), kHintAttributes, 1'000'000);
  }
  if (is_dir) {
    if (attributes_moved) tell_attributes(told_mask(node), false, node, false);
    if (mtime_moved || attributes_moved) times_.insert(node);
    return;
  }
  const bool device_moved = now.rdev != before.rdev;
  if ((S_ISLNK(stat.stx_mode) && ctime_moved) || device_moved) {
    // Deleted and made anew with the same inode number (and, out of an archive, the same time): it may be another
    // text or device. Other names of it in the shadow lose their identity and are looked at again.
    for (NodeId each = shadow_.first_name(node); each != kNoNode;) {
      const NodeId next = shadow_.next_name(each);
      if (each != node) {
        add_dirty(shadow_.at(each).parent, shadow_.name(each), kHintName, 0);
        shadow_.clear_identity(each);
      }
      each = next;
    }
    tell_object(told_mask(node), false, node, directory, false, true);
    return;
  }
  if (attributes_moved || mtime_moved) tell_attributes_all(node, true);
}

void Source::unreadable(const std::string& path, const SysError& error) {
  ++unreadable_;
  ++unreadable_untold_;
  const i64 now = monotonic_ns();
  if (now - unreadable_told_ns_ < 300'000'000) return;   // A few a second; the count tells the rest.
  unreadable_told_ns_ = now;
  tell_(Fact("source_path").with("source", i64{options_.id}).with("path", path).error(error)
            .with("count", static_cast<i64>(unreadable_untold_)));
  unreadable_untold_ = 0;
}

// CAP-07. Said once for each place: sweeps come by again.
void Source::mounted_inside(const std::string& path) {
  constexpr std::size_t kSaidMax = 1'000;
  if (mounts_said_.size() >= kSaidMax || !mounts_said_.insert(path).second) return;
  tell_(Fact("source_mount").with("source", i64{options_.id}).with("path", path));
}

}  // namespace understudy
