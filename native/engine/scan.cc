// Looking at everything: the first scan, sweeps, and rescans after lost events.
#include <dirent.h>
#include <sys/syscall.h>

#include <algorithm>

#include "object_facts.h"
#include "source.h"

namespace understudy {

namespace {
constexpr i64 kComesAgainNs = 3'000'000;   // a directory that moved: its own hint is on the way
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

void Source::list_later(NodeId directory) {
  Node& record = shadow_.at(directory);
  if (record.flags & kNodeQueued) return;
  record.flags |= kNodeQueued;
  scan_.push_back(directory);
}

void Source::begin_rescan() {
  for (NodeId node : scan_)
    if (shadow_.live(node)) shadow_.at(node).flags &= static_cast<u16>(~kNodeQueued);
  scan_.clear();
  for (NodeId root = 1; root <= shadow_.root_count(); ++root) list_later(root);
  scan_what_ = kHintSweep;
  // What an unfinished scan has not found yet is as old as that scan: it may have been cut short by a root that went.
  if (!scanning_) scan_since_ns_ = monotonic_ns();
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
  if (shadow_.live(node)) shadow_.at(node).flags &= static_cast<u16>(~kNodeQueued);
  struct Since {
    i64& at;
    ~Since() { at = 0; }
  } since{current_since_ns_};
  current_since_ns_ = scanning_ ? scan_since_ns_ : monotonic_ns();
  if (!shadow_.live(node) || !shadow_.is_directory(node)) return true;
  const int fd = directory_fd(node);
  if (fd < 0) {
    shadow_.at(node).flags |= kNodeUnlisted;   // Listed when it is found again.
    if (!shadow_.is_root(node)) add_dirty(shadow_.at(node).parent, shadow_.name(node), kHintName | kHintDirectory, kComesAgainNs, 1);
    return true;
  }
  shadow_.at(node).flags &= static_cast<u16>(~kNodeUnlisted);
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
        if (errno != ENOENT) unreadable(absolute_path(node), sys_error("getdents64"));   // ENOENT: removed meanwhile
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
      list_later(known);
  }
  return true;
}

}  // namespace understudy
