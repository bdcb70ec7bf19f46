// Hints into operations: what a name means now, compared with what was told (DESIGN 6). Every function compares
// facts; none trusts an event for more than "look here".
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "source.h"
#include "xattr.h"

namespace understudy {

namespace {
constexpr u32 kHintSweep = 1u << 16;           // no event: everything about the object is compared
constexpr unsigned kStatx = STATX_BASIC_STATS | STATX_BTIME;
constexpr i64 kSettleNs = 3'000'000;           // a new or open file: wait for its close
constexpr std::size_t kDirtyMax = 1'000'000;   // beyond it the tree is compared as a whole
constexpr u32 kAttemptsMax = 200;
constexpr i64 kDeleteQuietNs = 150'000'000;    // deletes wait for the end of their burst (I11) ...
constexpr i64 kDeleteMaxNs = 2'000'000'000;    // ... but not longer than this
constexpr i64 kGuardWindowNs = 60'000'000'000;
constexpr std::size_t kFdsMax = 256;

i64 stx_ns(const statx_timestamp& at) { return i64{at.tv_sec} * 1'000'000'000 + at.tv_nsec; }
u64 stx_device(const struct statx& stat) { return makedev(stat.stx_dev_major, stat.stx_dev_minor); }
// Size of a file; birth time of a directory, which tells it from a later one with the same inode number.
i64 size_or_birth(const struct statx& stat) {
  if (!S_ISDIR(stat.stx_mode)) return static_cast<i64>(stat.stx_size);
  return (stat.stx_mask & STATX_BTIME) ? stx_ns(stat.stx_btime) : 0;
}
bool told_kind(u32 mode) {
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISFIFO(mode) || S_ISCHR(mode) || S_ISBLK(mode);
}
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
  tell_(Fact("source_lost").with("source", i64{options_.id}).with("why", std::string(why)));
  begin_rescan();
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
  bool worked = false;
  for (Dirty& dirty : batch) {
    if (!retired_.empty()) retired_.clear();
    if (!shadow_.live(dirty.directory)) continue;
    if (dirty.due_ns > now && !force_) {
      const u32 index = static_cast<u32>(dirty_.size());
      if (dirty_index_.try_emplace(dirty_key(dirty.directory, dirty.name), index).second) dirty_.push_back(std::move(dirty));
      continue;
    }
    worked = true;
    current_since_ns_ = dirty.since_ns;
    const Outcome outcome = reconcile(dirty.directory, dirty.name, dirty.what, dirty.attempts, false);
    if (outcome == Outcome::occupied) occupied.push_back(std::move(dirty));
    else if (outcome == Outcome::later) {
      bool going = false;   // Below something that is about to be removed: that says it all.
      for (NodeId at = dirty.directory; at != kNoNode && !going; at = shadow_.at(at).parent) going = shadow_.at(at).flags & kNodeMissing;
      if (going) continue;
      if (dirty.attempts > kAttemptsMax) lost("a name could not be reached");
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
  return worked;
}

std::string Source::absolute_path(NodeId node) const {
  const std::string path = shadow_.path(node);
  const std::string& root = options_.roots[shadow_.mapping(node)];
  return path.empty() ? root : (root == "/" ? root : root + "/") + path;
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
  auto set = [&](NodeId each) {
    Node& record = shadow_.at(each);
    if (S_ISREG(stat.stx_mode)) total_bytes_ += stat.stx_size - (shadow_.is_regular(each) ? static_cast<u64>(record.size) : 0);
    record.size = size_or_birth(stat);
    record.mtime_ns = stx_ns(stat.stx_mtime);
    record.ctime_ns = stx_ns(stat.stx_ctime);
    shadow_.set_attributes(each, attributes_of(stat, shadow_.attributes(each).xattr_digest));
  };
  set(node);
  if (S_ISDIR(stat.stx_mode)) return;
  // Other names of the same object share everything.
  for (NodeId each = shadow_.first_name(node); each != kNoNode; each = shadow_.at(each).next_link)
    if (each != node) set(each);
}

// The object that `stat` was taken of, without reading rights; none when another one has taken its name since.
Fd Source::open_object(int directory, std::string_view name, const struct statx& stat) const {
  Fd object(::openat(directory, std::string(name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat now;
  if (object && (::fstat(object.get(), &now) != 0 || now.st_ino != stat.stx_ino || now.st_dev != stx_device(stat))) object.reset();
  return object;
}

// Is this what the node stands for? Inode, type and, for directories, the time of birth.
bool Source::same_object(NodeId node, const struct statx& stat) const {
  const Node& record = shadow_.at(node);
  if (record.inode != stat.stx_ino || shadow_.device(record.device) != stx_device(stat)) return false;
  if (shadow_.is_root(node)) return true;
  if ((shadow_.mode(node) & S_IFMT) != (stat.stx_mode & S_IFMT)) return false;
  return !S_ISDIR(stat.stx_mode) || record.size == 0 || size_or_birth(stat) == 0 || record.size == size_or_birth(stat);
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
      missing(known);
      other_names(known);
    }
    return Outcome::done;
  }
  const bool is_dir = S_ISDIR(stat.stx_mode);
  const Verdict wanted = verdict(parent, name, is_dir);
  // Sockets live in processes, not in replicas; another file system mounted inside is not part of the set (CAP-07).
  const bool mounted = is_dir && stx_device(stat) != shadow_.device(shadow_.at(parent).device) &&
                       (stat.stx_attributes & STATX_ATTR_MOUNT_ROOT);
  if (wanted == Verdict::excluded || !told_kind(stat.stx_mode) || mounted) {
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

// A change may have come through a name that is gone now: the other names of the object show it.
void Source::other_names(NodeId node) {
  if (shadow_.is_directory(node) || !shadow_.linked(node)) return;
  for (NodeId each = shadow_.first_name(node); each != kNoNode; each = shadow_.at(each).next_link)
    if (each != node) add_dirty(shadow_.at(each).parent, shadow_.name(each), kHintContent | kHintAttributes, 0);
}

void Source::hint_object(u64 device, u64 inode, u32 what) {
  for (NodeId each = shadow_.by_inode(device, inode); each != kNoNode; each = shadow_.at(each).next_link)
    if (!shadow_.is_root(each)) hint(shadow_.at(each).parent, shadow_.name(each), what);
}

// A name that was not there: a moved object, a further name of one, or a new one.
void Source::appear(NodeId parent, int directory, const std::string& name, const struct statx& stat, u32 what) {
  const u64 device = stx_device(stat);
  const NodeId other = shadow_.by_inode(device, stat.stx_ino);
  if (other != kNoNode && same_object(other, stat) && !shadow_.is_root(other)) {
    // Every name of this inode that is gone from its place may be the one that moved here.
    NodeId gone = kNoNode;
    bool elsewhere = false;
    for (NodeId each = other; each != kNoNode; each = shadow_.at(each).next_link) {
      if (still_there(each, device, stat.stx_ino)) elsewhere = true;
      else gone = each;
    }
    if (gone != kNoNode && !shadow_.inside(parent, gone)) {
      rename_to(gone, parent, name);
      update(gone, directory, stat, what | kHintAttributes);
      return;
    }
    if (elsewhere && !S_ISDIR(stat.stx_mode)) {
      link_to(other, parent, directory, name, stat);
      return;
    }
  }
  create(parent, directory, name, stat, false);
}

// The name is taken, in the shadow, by another object than on disk.
void Source::replace(NodeId occupant, NodeId parent, int directory, const std::string& name, const struct statx& stat,
                     u32 what) {
  const u64 device = stx_device(stat);
  const NodeId other = shadow_.by_inode(device, stat.stx_ino);
  if (other != kNoNode && other != occupant && same_object(other, stat)) {
    NodeId gone = kNoNode;
    u64 found = 0;
    bool swapped = false;
    for (NodeId each = other; each != kNoNode; each = shadow_.at(each).next_link) {
      if (each == occupant || still_there(each, device, stat.stx_ino, &found)) continue;
      gone = each;
      swapped = found != 0 && found == shadow_.at(occupant).inode;
    }
    if (gone != kNoNode && !shadow_.inside(parent, gone) && !shadow_.inside(gone, occupant)) {
      if (swapped && !shadow_.inside(shadow_.at(gone).parent, occupant)) {
        // Both objects only changed places.
        const Mask mask = told_mask(gone) & told_mask(occupant);
        wire::OpHeader header = header_for(wire::OpKind::rename, gone);
        header.flags = wire::kOpExchange;
        header.aux = shadow_.mapping(occupant);
        emit(mask, false, header, shadow_.path(gone), shadow_.path(occupant));
        const Mask rest = replicating_ & ~mask;
        // A channel that knows only one of them: both places are emptied and told afresh, never written through.
        for (NodeId each : {gone, occupant}) {
          wire::OpHeader empty{};
          empty.kind = static_cast<u8>(wire::OpKind::remove);
          empty.mapping = static_cast<u16>(shadow_.mapping(each));
          emit(rest, false, empty, shadow_.path(each));
        }
        times_.insert(shadow_.at(gone).parent);
        times_.insert(parent);
        if (shadow_loaded_ && !ready_told_)
          for (NodeId each : {gone, occupant}) startup_repair_.push_back({shadow_.mapping(each), shadow_.path(each), true});
        shadow_.exchange(gone, occupant);
        if (rest != 0)
          for (const auto& channel : channels_)
            if (channel->bit & rest) {
              for (NodeId each : {gone, occupant}) untell(each, channel->bit), channel->mirror.extra.push_back(each);
            }
        update(gone, directory, stat, what | kHintAttributes);
        add_dirty(shadow_.at(occupant).parent, shadow_.name(occupant), kHintName | kHintAttributes, 0);
        return;
      }
      remove_node(occupant, shadow_.is_directory(occupant) || shadow_.is_directory(gone) ||
                                (told_mask(occupant) & ~told_mask(gone)) != 0);
      rename_to(gone, parent, name);
      update(gone, directory, stat, what | kHintAttributes);
      return;
    }
    if (gone == kNoNode && !S_ISDIR(stat.stx_mode)) {
      remove_node(occupant, shadow_.is_directory(occupant));
      link_to(other, parent, directory, name, stat);
      return;
    }
  }
  other_names(occupant);
  const bool plain = shadow_.is_regular(occupant) && S_ISREG(stat.stx_mode);
  remove_node(occupant, !plain);
  create(parent, directory, name, stat, plain);
}

// The kernel gives inode numbers out again: other nodes that still carry this one are names of something that is gone, and must not pass for further names of the new object.
void Source::release_inode(const struct statx& stat) {
  for (NodeId each = shadow_.by_inode(stx_device(stat), stat.stx_ino); each != kNoNode;) {
    const NodeId next = shadow_.at(each).next_link;
    if (!same_object(each, stat)) {
      shadow_.clear_identity(each);
      add_dirty(shadow_.at(each).parent, shadow_.name(each), kHintName, 0);
    }
    each = next;
  }
}

void Source::create(NodeId parent, int directory, const std::string& name, const struct statx& stat, bool replaces) {
  const Fd object = open_object(directory, name, stat);
  Result<u64> digest = object ? read_xattr_digest(object.get()) : Result<u64>(SysError{ENOENT, "open"});
  if (!digest) {
    if (digest.error().code != ENOENT) unreadable(absolute_path(parent) + "/" + name, digest.error());
    else add_dirty(parent, name, kHintName | kHintAttributes, 1'000'000);
  }
  release_inode(stat);
  const NodeId node = shadow_.add(parent, name);
  shadow_.set_attributes(node, attributes_of(stat, digest ? *digest : 0));
  shadow_.set_identity(node, stx_device(stat), stat.stx_ino);
  Node& record = shadow_.at(node);
  record.size = size_or_birth(stat);
  record.mtime_ns = stx_ns(stat.stx_mtime);
  record.ctime_ns = digest ? stx_ns(stat.stx_ctime) : -1;
  if (S_ISREG(stat.stx_mode)) total_bytes_ += stat.stx_size;
  const Mask mask = told_mask(parent);
  if (mask != 0 && S_ISDIR(stat.stx_mode) && shadow_loaded_ && !ready_told_) {
    // Made between the last snapshot and now: the last run may have told of it, or of another one at this place.
    wire::OpHeader empty = header_for(wire::OpKind::remove, node);
    emit(mask, false, empty, shadow_.path(node));
  }
  if (mask != 0 && tell_object(mask, false, node, directory, !replaces, replaces)) {
    shadow_.at(node).told = mask;
    times_.insert(parent);
  } else if (mask != 0) {
    remove_node(node, false);   // Gone again; a later hint tells what became of it.
    if (replaces) {
      wire::OpHeader header{};
      header.kind = static_cast<u8>(wire::OpKind::remove);
      header.mapping = static_cast<u16>(shadow_.mapping(parent));
      const std::string at = shadow_.path(parent);
      emit(mask, false, header, at.empty() ? name : at + "/" + name);
    }
    add_dirty(parent, name, kHintName, kSettleNs, 1);
    return;
  }
  // Replication off on a channel that knows the parent: it will only be right after its next mirror.
  if (S_ISDIR(stat.stx_mode)) {
    times_.insert(node);
    if (verdict(parent, name, true) == Verdict::traverse) shadow_.at(node).flags |= kNodePartial;
    scan_.push_back(node);
  }
}

void Source::link_to(NodeId existing, NodeId parent, int directory, const std::string& name, const struct statx& stat) {
  const NodeId node = shadow_.add(parent, name);
  shadow_.set_attributes(node, shadow_.attributes(existing));
  shadow_.set_identity(node, stx_device(stat), stat.stx_ino);
  Node& record = shadow_.at(node);
  record.size = shadow_.at(existing).size;
  record.mtime_ns = shadow_.at(existing).mtime_ns;
  record.ctime_ns = shadow_.at(existing).ctime_ns;
  if (shadow_.is_regular(node)) total_bytes_ += static_cast<u64>(record.size);
  const Mask mask = told_mask(parent);
  if (mask != 0 && tell_object(mask, false, node, directory, false, true)) shadow_.at(node).told = mask;
  times_.insert(parent);
  update(node, directory, stat, kHintAttributes);
}

// These channels hold nothing of the object any more, or not what we think. What was on its way to them under its old
// name is given up: it will be told from the beginning.
void Source::untell_one(NodeId node, Mask mask) {
  shadow_.at(node).told &= ~mask;
  if (!busy(node)) return;
  for (const auto& job : jobs_) {
    if (job->node != node || !(job->mask & mask)) continue;
    job->mask &= ~mask;
    if (job->mirror != nullptr && (job->mirror->bit & mask)) job->mirror = nullptr;
  }
  for (const auto& channel : channels_) {
    if (!(channel->bit & mask)) continue;
    std::erase_if(channel->hash_requests, [&](const auto& each) {
      if (each.second.node != node || each.second.verify) return false;
      channel->hash_requests_expected -= each.second.expected;
      unbusy(each.second.object);
      return true;
    });
  }
}

// The same for everything below as well.
void Source::untell(NodeId node, Mask mask) {
  std::vector<NodeId> stack{node};
  while (!stack.empty()) {
    const NodeId each = stack.back();
    stack.pop_back();
    untell_one(each, mask);
    for (NodeId child = shadow_.at(each).first_child; child != kNoNode; child = shadow_.at(child).next_sibling) stack.push_back(child);
  }
}

void Source::rename_to(NodeId node, NodeId parent, const std::string& name) {
  const std::string old_path = shadow_.path(node);
  const u32 old_mapping = shadow_.mapping(node);
  const NodeId old_parent = shadow_.at(node).parent;
  const Mask both = told_mask(node) & told_mask(parent);
  std::string new_path = shadow_.path(parent);
  if (!new_path.empty()) new_path += '/';
  new_path += name;
  wire::OpHeader header = header_for(wire::OpKind::rename, node);
  header.aux = shadow_.mapping(parent);
  emit(both, false, header, old_path, new_path);
  // A channel that has not met the object (or its new place) yet: nothing may stay at the old path, and the walk
  // might already be past the new one.
  const Mask rest = replicating_ & ~both;
  if (rest != 0) {
    wire::OpHeader gone{};
    gone.kind = static_cast<u8>(wire::OpKind::remove);
    gone.mapping = static_cast<u16>(old_mapping);
    emit(rest, false, gone, old_path);
  }
  // Moved while nobody looked: what the last run told at the old place went along with it on the target, so that its
  // repair must look at the new one.
  if (shadow_loaded_ && !ready_told_ && shadow_.is_directory(node)) startup_repair_.push_back({header.aux, new_path, true});
  if (old_mapping != shadow_.mapping(parent)) indexes_.drop(shadow_.object(node));
  times_.insert(old_parent);
  times_.insert(parent);
  shadow_.move(node, parent, name);
  shadow_.at(node).flags &= static_cast<u16>(~kNodeMissing);
  if (rest != 0) {
    untell(node, rest);
    for (const auto& channel : channels_)
      if (channel->bit & rest) channel->mirror.extra.push_back(node);
  }
  // Rules go by path: below its new place other things may be wanted.
  if (shadow_.is_directory(node) && !rules_.simple()) scan_.push_back(node);
}

// The same object as before; have its facts changed?
void Source::update(NodeId node, int directory, const struct statx& stat, u32 what) {
  const Node& record = shadow_.at(node);
  const Attributes before = shadow_.attributes(node);
  const bool root = shadow_.is_root(node);
  const bool is_dir = S_ISDIR(stat.stx_mode);
  const bool ctime_moved = record.ctime_ns != stx_ns(stat.stx_ctime);
  const bool mtime_moved = record.mtime_ns != stx_ns(stat.stx_mtime);
  const bool size_moved = !is_dir && record.size != static_cast<i64>(stat.stx_size);
  const bool racy = (record.flags & kNodeRacy) && (what & (kHintContent | kHintClosed | kHintSweep));
  const bool silent = (record.flags & kNodeSilent) && (what & kHintSweep);
  if (!ctime_moved && !mtime_moved && !size_moved && !racy && !silent) return;
  bool unread = false;   // the attributes could not be read: this ctime must not count as seen
  if (before.xattr_digest != 0 || ctime_moved) {
    const Fd object = root ? Fd(::fcntl(directory, F_DUPFD_CLOEXEC, 0)) : open_object(directory, shadow_.name(node), stat);
    Result<u64> digest = object ? read_xattr_digest(object.get()) : Result<u64>(SysError{ENOENT, "open"});
    unread = !digest;
    if (digest && *digest != before.xattr_digest) {
      set_xattr_digest(node, *digest);
      tell_xattrs_all(node, object.get(), nullptr);
      // An ACL carries mode bits with it, and setting it counts as a change of them on the target.
      tell_attributes_all(node, false);
    }
  }
  const Attributes now = attributes_of(stat, shadow_.attributes(node).xattr_digest);
  const bool attributes_moved = now.mode != before.mode || now.uid != before.uid || now.gid != before.gid;
  if (S_ISREG(stat.stx_mode)) {
    const bool by_event = !(what & kHintSweep);
    const bool written = size_moved || mtime_moved || racy || silent ||
                         (ctime_moved && (!by_event || (what & (kHintContent | kHintClosed))));
    if (written) {
      if ((what & kHintSweep) && mtime_moved && !scanning_first()) shadow_.at(node).flags |= kNodeSilent;
      if (what & kHintContent) shadow_.at(node).flags &= static_cast<u16>(~kNodeSilent);
      if (attributes_moved && !busy(node)) {
        shadow_.set_attributes(node, now);
        if (stat.stx_size > (256u << 10)) tell_attributes_all(node, false);
      }
      content_changed(node, directory, stat);
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
  if ((S_ISLNK(stat.stx_mode) && mtime_moved) || device_moved) {
    // Deleted and made anew with the same inode number: it may be another text or device. Other names of it in the
    // shadow lose their identity and are looked at again.
    for (NodeId each = shadow_.first_name(node); each != kNoNode;) {
      const NodeId next = shadow_.at(each).next_link;
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

void Source::missing(NodeId node) {
  Node& record = shadow_.at(node);
  if (shadow_.is_root(node) || (record.flags & kNodeMissing)) return;
  record.flags |= kNodeMissing;
  last_missing_ns_ = monotonic_ns();
  missing_.emplace_back(node, last_missing_ns_);
}

void Source::forget_node(NodeId node) {
  if (!shadow_.linked(node)) {
    const u64 object = shadow_.object(node);
    indexes_.drop(object);
    hot_.erase(object);
    stale_.erase(object);
  }
  times_.erase(node);
  if (auto at = fds_.find(node); at != fds_.end()) {
    retired_.push_back(std::move(at->second));
    fds_.erase(at);
  }
  if (shadow_.is_regular(node)) total_bytes_ -= static_cast<u64>(shadow_.at(node).size);
  if (!shadow_.is_directory(node)) return;
  if (capture_) capture_->forget(node);
  for (const auto& channel : channels_) channel->clean.erase(node);
}

// Takes a node and all below it out of the shadow and, with `emit`, off the targets.
void Source::remove_node(NodeId node, bool tell) {
  const NodeId parent = shadow_.at(node).parent;
  if (tell) {
    wire::OpHeader header{};
    header.kind = static_cast<u8>(wire::OpKind::remove);
    header.mapping = static_cast<u16>(shadow_.mapping(node));
    // Also to channels that were not told of it yet: they may hold it from earlier, and nobody would tell them later.
    emit(replicating_, false, header, shadow_.path(node));
    times_.insert(parent);
  }
  shadow_.remove(node, [this](NodeId each) { forget_node(each); });
}

// Deletes are held back until their burst is over, counted, and only then told (I11). True when some were told.
bool Source::release_deletes(bool force) {
  if (held_ && !guard_off_once_) {
    // What came back is no deletion any more. When all of it did, there is nothing left to ask a person.
    std::erase_if(missing_, [this](const auto& each) { return !shadow_.live(each.first) || !(shadow_.at(each.first).flags & kNodeMissing); });
    if (!missing_.empty()) return false;
    held_ = false;
    tell_(Fact("source_continues").with("source", i64{options_.id}));
  }
  if (missing_.empty()) return false;
  const i64 now = monotonic_ns();
  if (!force && now - last_missing_ns_ < kDeleteQuietNs && now - missing_.front().second < kDeleteMaxNs) return false;
  // Still gone? A name may have come back, or have been found again elsewhere.
  std::vector<NodeId> gone;
  for (const auto& [node, since] : missing_) {
    if (!shadow_.live(node) || !(shadow_.at(node).flags & kNodeMissing)) continue;
    const NodeId parent = shadow_.at(node).parent;
    const int directory = directory_fd(parent);
    struct statx stat;
    const std::string name(shadow_.name(node));
    if (directory >= 0 && ::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, kStatx, &stat) == 0 &&
        verdict(parent, name, S_ISDIR(stat.stx_mode)) != Verdict::excluded && told_kind(stat.stx_mode)) {
      shadow_.at(node).flags &= static_cast<u16>(~kNodeMissing);
      add_dirty(parent, name, kHintName | kHintContent | kHintAttributes, 0);
      continue;
    }
    gone.push_back(node);
  }
  // Only the topmost of each lost subtree travels.
  std::vector<NodeId> tops;
  u64 objects = 0;
  for (NodeId node : gone) {
    bool covered = false;
    for (NodeId at = shadow_.at(node).parent; at != kNoNode && !covered; at = shadow_.at(at).parent) covered = shadow_.at(at).flags & kNodeMissing;
    if (covered) continue;
    tops.push_back(node);
    std::vector<NodeId> stack{node};
    while (!stack.empty()) {
      const NodeId each = stack.back();
      stack.pop_back();
      ++objects;
      for (NodeId child = shadow_.at(each).first_child; child != kNoNode; child = shadow_.at(child).next_sibling) stack.push_back(child);
    }
  }
  while (!deleted_.empty() && now - deleted_.front().first > kGuardWindowNs) deleted_.pop_front();
  if (options_.guard_percent != 0 && !guard_off_once_ && objects > 0) {
    u64 recent = objects;
    for (const auto& [when, count] : deleted_) recent += count;
    bool emptied = false;
    for (NodeId root = 1; root <= shadow_.root_count() && objects > 1; ++root) {
      if (shadow_.at(root).first_child == kNoNode) continue;
      bool left = false;
      for (NodeId child = shadow_.at(root).first_child; child != kNoNode && !left; child = shadow_.at(child).next_sibling)
        left = !(shadow_.at(child).flags & kNodeMissing);
      emptied |= !left;
    }
    const u64 total = shadow_.count() + recent - objects;
    if (emptied || (recent > options_.guard_count && recent * 100 > total * options_.guard_percent)) {
      held_ = true;
      tell_(Fact("source_stopped").with("source", i64{options_.id}).with("why", std::string("mass_delete"))
                .with("detail", std::string(emptied ? "a root of the set is empty" : "more objects vanished than the guard allows"))
                .with("deleted", static_cast<i64>(recent)).with("total", static_cast<i64>(total)));
      return false;
    }
  }
  missing_.clear();
  guard_off_once_ = false;
  if (held_) tell_(Fact("source_continues").with("source", i64{options_.id}));
  held_ = false;
  if (objects > 0) deleted_.emplace_back(now, objects);
  for (NodeId node : tops)
    if (shadow_.live(node)) remove_node(node, true);
  return !tops.empty();
}

// Directory times follow everything that happened inside (DESIGN 8).
void Source::directory_times() {
  if (times_.empty()) return;
  std::unordered_set<NodeId> now;
  now.swap(times_);
  for (NodeId node : now) {
    if (!shadow_.live(node) || !shadow_.is_directory(node)) continue;
    const int fd = directory_fd(node);
    struct statx stat;
    if (fd < 0 || ::statx(fd, "", AT_EMPTY_PATH, kStatx, &stat) != 0) {
      // Moved and not yet found again: its times are still to be told, under its new name.
      if (shadow_.is_root(node)) continue;
      times_.insert(node);
      add_dirty(shadow_.at(node).parent, shadow_.name(node), kHintName | kHintDirectory, 5'000'000);
      continue;
    }
    const i64 ctime_ns = shadow_.at(node).ctime_ns;
    apply_stat(node, stat);
    shadow_.at(node).ctime_ns = ctime_ns;   // Extended attributes were not looked at: that is still to come.
    tell_attributes(told_mask(node), false, node, true);
  }
}

void Source::begin_rescan() {
  scan_.clear();
  for (NodeId root = 1; root <= shadow_.root_count(); ++root) scan_.push_back(root);
  scan_what_ = kHintSweep;
  scan_since_ns_ = monotonic_ns();
  // What a sweep finds may be as old as the barrier that asked for it.
  for (const Barrier& barrier : barriers_)
    if (barrier.sequence == 0 && barrier.asked_ns != 0) scan_since_ns_ = std::min(scan_since_ns_, barrier.asked_ns);
  if (!scanning_) {
    scanning_ = true;
    scan_started_ns_ = scan_since_ns_;
  }
}

// Lists one directory and compares every name in it. True while there is more to scan.
bool Source::scan_step() {
  if (scan_.empty()) return false;
  retired_.clear();
  const NodeId node = scan_.back();
  scan_.pop_back();
  struct Since {
    i64& at;
    ~Since() { at = 0; }
  } since{current_since_ns_};
  current_since_ns_ = scanning_ ? scan_since_ns_ : monotonic_ns();
  if (!shadow_.live(node) || !shadow_.is_directory(node)) return true;
  const int fd = directory_fd(node);
  if (fd < 0) {
    if (!shadow_.is_root(node)) add_dirty(shadow_.at(node).parent, shadow_.name(node), kHintName | kHintDirectory, kSettleNs, 1);
    return true;
  }
  if (capture_) {
    if (Status watched = capture_->watch(node, fd); !watched) {
      if (degraded_ != watched.error().call) {
        degraded_ = watched.error().call;
        tell_(Fact("source_degraded").with("source", i64{options_.id}).with("why", std::string("watch_limit"))
                  .with("detail", absolute_path(node) + ": " + watched.error().call + ": " + std::strerror(watched.error().code)));
      }
      shadow_.at(node).flags |= kNodeUnwatched;
    }
  }
  struct statx stat;
  if (::statx(fd, "", AT_EMPTY_PATH, kStatx, &stat) == 0 && (scan_what_ & kHintSweep) && !shadow_.is_root(node)) {
    const int parent = directory_fd(shadow_.at(node).parent);
    if (parent >= 0) update(node, parent, stat, scan_what_);
  } else if (shadow_.is_root(node)) {
    update(node, fd, stat, kHintSweep);
  }
  Fd listing(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!listing) return true;
  alignas(8) static thread_local char buffer[256u << 10];
  struct Entry {   // linux_dirent64
    u64 inode;
    i64 offset;
    u16 size;
    u8 type;
    char name[1];
  };
  std::unordered_set<std::string_view> seen;
  std::deque<std::string> names;
  for (;;) {
    const long got = ::syscall(SYS_getdents64, listing.get(), buffer, sizeof buffer);
    if (got <= 0) {
      if (got < 0) {
        unreadable(absolute_path(node), sys_error("getdents64"));
        return true;
      }
      break;
    }
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->size;
      const char* name = reinterpret_cast<const char*>(entry) + offsetof(Entry, name);
      if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
      names.emplace_back(name);
    }
  }
  for (const std::string& name : names) seen.insert(name);
  for (NodeId child = shadow_.at(node).first_child; child != kNoNode;) {
    const NodeId next = shadow_.at(child).next_sibling;
    if (!seen.count(shadow_.name(child))) missing(child);
    child = next;
  }
  const bool sweep = scan_what_ & kHintSweep;
  for (const std::string& name : names) {
    if (!shadow_.live(node)) break;
    const NodeId known = shadow_.child(node, name);
    // Inside a directory that is new, its subdirectories are pushed by `create`; a sweep goes down everywhere.
    const Outcome outcome = reconcile(node, name, scan_what_ | kHintName, 0, false);
    if (outcome != Outcome::done) add_dirty(node, name, kHintName | kHintContent | kHintAttributes, 0, 1);
    if (sweep && known != kNoNode && shadow_.live(known) && shadow_.is_directory(known) && shadow_.child(node, name) == known)
      scan_.push_back(known);
  }
  return true;
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

}  // namespace understudy
