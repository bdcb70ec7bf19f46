// Deletes: held back until their burst is over, counted by the mass-delete guard, and only then told (I11).
#include <algorithm>

#include "object_facts.h"
#include "source.h"

namespace understudy {

namespace {
constexpr i64 kDeleteQuietNs = 150'000'000;    // deletes wait for the end of their burst ...
constexpr i64 kDeleteMaxNs = 2'000'000'000;    // ... but not longer than this
constexpr i64 kGuardWindowNs = 60'000'000'000;
}  // namespace

void Source::missing(NodeId node) {
  Node& record = shadow_.at(node);
  if (shadow_.is_root(node) || (record.flags & kNodeMissing)) return;
  record.flags |= kNodeMissing;
  if (scanning_ && shadow_.is_directory(node)) record.flags |= kNodeUnlisted;   // Found elsewhere, it has not been swept.
  last_missing_ns_ = monotonic_ns();
  missing_.push_back({node, last_missing_ns_, current_since_ns_ != 0 ? current_since_ns_ : last_missing_ns_});
}

// The object lives on under another name. What is still to be told of it by this one is told by that; what was told and
// may not have come to stay on a target, or may be refused, is in doubt by that name from here on.
void Source::hand_over(NodeId node) {
  const NodeId first = shadow_.first_name(node), other = first != node ? first : shadow_.next_name(node);
  const bool may_hold = told_links_.may_hold(shadow_.object(node));
  for (const auto& channel : channels_) {
    const Mask bit = channel->bit & replicating_;
    if (channel->broken || !((shadow_.at(node).told | shadow_.at(other).told) & bit)) continue;
    const bool waits = !(shadow_.at(node).told & bit) ||
                       (!channel->quarantine.empty() && channel->quarantine.count({shadow_.mapping(node), shadow_.path(node)}) != 0);
    if (waits && (shadow_.at(other).told & bit)) {
      untell_one(other, bit);
      tell_later(*channel, other);
    }
    if (!may_hold) continue;
    if (channel->behind) note_later(*channel, shadow_.mapping(other), shadow_.path(other), false);
    else touch(*channel, shadow_.mapping(other), shadow_.path(other), false, true);
  }
}

void Source::forget_node(NodeId node) {
  if (shadow_.linked(node)) {
    hand_over(node);
  } else {
    const u64 object = shadow_.object(node);
    indexes_.drop(object);
    hot_.erase(object);
    stale_.erase(object);
    written_.erase(object);
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

// Takes a node and all below it out of the shadow and off these targets.
void Source::remove_node(NodeId node, Mask tell) {
  const NodeId parent = shadow_.at(node).parent;
  if (tell != 0) {
    tell_removed(tell, shadow_.mapping(node), shadow_.path(node));
    times_.insert(parent);
  }
  shadow_.remove(node, [this](NodeId each) { forget_node(each); });
}

// Deletes are held back until their burst is over, counted, and only then told (I11). True when some were told.
bool Source::release_deletes(bool force) {
  if (held_ && !guard_off_once_) {
    // What came back is no deletion any more. When all of it did, there is nothing left to ask a person.
    std::erase_if(missing_, [this](const auto& each) { return !shadow_.live(each.node) || !(shadow_.at(each.node).flags & kNodeMissing); });
    if (!missing_.empty()) return false;
    held_ = false;
    tell_(Fact("source_continues").with("source", i64{options_.id}));
  }
  if (missing_.empty()) return false;
  const i64 now = monotonic_ns();
  if (!force && now - last_missing_ns_ < kDeleteQuietNs && now - missing_.front().seen_ns < kDeleteMaxNs) return false;
  // Still gone? A name may have come back, or have been found again elsewhere.
  std::vector<NodeId> gone;
  i64 since_ns = now;
  for (const auto& [node, seen, since] : missing_) {
    since_ns = std::min(since_ns, since);
    if (!shadow_.live(node) || !(shadow_.at(node).flags & kNodeMissing)) continue;
    const NodeId parent = shadow_.at(node).parent;
    const int directory = directory_fd(parent);
    struct statx stat;
    const std::string name(shadow_.name(node));
    if (directory >= 0 && ::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, kStatx, &stat) == 0 &&
        verdict(parent, name, S_ISDIR(stat.stx_mode)) != Verdict::excluded && told_kind(stat.stx_mode)) {
      shadow_.at(node).flags &= static_cast<u16>(~kNodeMissing);
      add_dirty(parent, name, kHintName | kHintContent | kHintAttributes, 0, 0, since);
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
  if (!told_links_.empty() && !doubting_ && jobs_.empty() &&
      std::none_of(channels_.begin(), channels_.end(), [&](const auto& channel) { return unsettled(*channel); }))
    told_links_.forget();
  current_since_ns_ = since_ns;
  // Also on channels that were not told of it yet: they may hold it from earlier, and nobody would tell them later.
  for (NodeId node : tops)
    if (shadow_.live(node)) remove_node(node, replicating_);
  current_since_ns_ = 0;
  return !tops.empty();
}

}  // namespace understudy
