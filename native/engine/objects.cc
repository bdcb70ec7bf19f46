// What became of a name: a new object, a moved one, a further name of one, another one in its place. Each is told to the
// channels that know enough to take it, and taken back from those that do not.
#include "object_facts.h"
#include "source.h"
#include "xattr.h"

namespace understudy {

namespace {
constexpr i64 kLookAgainNs = 3'000'000;   // a name that went while it was being told
}

// A change may have come through a name that is gone now: the other names of the object show it.
void Source::other_names(NodeId node) {
  if (shadow_.is_directory(node) || !shadow_.linked(node)) return;
  for (NodeId each = shadow_.first_name(node); each != kNoNode; each = shadow_.next_name(each))
    if (each != node) add_dirty(shadow_.at(each).parent, shadow_.name(each), kHintContent | kHintAttributes, 0);
}

void Source::hint_object(u64 device, u64 inode, u32 what) {
  for (NodeId each = shadow_.by_inode(device, inode); each != kNoNode; each = shadow_.next_name(each))
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
    for (NodeId each = other; each != kNoNode; each = shadow_.next_name(each)) {
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
  const Mask shaky = in_doubt_there();
  if (other != kNoNode && other != occupant && same_object(other, stat)) {
    NodeId gone = kNoNode, here = kNoNode;
    u64 found = 0;
    bool swapped = false;
    for (NodeId each = other; each != kNoNode; each = shadow_.next_name(each)) {
      if (each == occupant) continue;
      if (still_there(each, device, stat.stx_ino, &found)) {
        if (!shadow_.inside(each, occupant)) here = each;   // What is inside goes with the occupant.
        continue;
      }
      gone = each;
      swapped = found != 0 && found == shadow_.at(occupant).inode;
    }
    if (gone != kNoNode && !shadow_.inside(parent, gone) && !shadow_.inside(gone, occupant)) {
      if (swapped && !shadow_.inside(shadow_.at(gone).parent, occupant)) {
        // Both objects only changed places.
        const Mask mask = doubting_ ? 0 : told_mask(gone) & told_mask(occupant);
        for (NodeId each : {gone, occupant}) gone_moves(mask, each, 0, {});
        wire::OpHeader header = header_for(wire::OpKind::rename, gone);
        header.flags = wire::kOpExchange;
        header.aux = shadow_.mapping(occupant);
        emit(mask, false, header, shadow_.path(gone), shadow_.path(occupant));
        const Mask rest = replicating_ & ~mask;
        // A channel that knows only one of them: both places are emptied and told afresh, never written through.
        for (NodeId each : {gone, occupant}) tell_removed(rest & ~shaky, shadow_.mapping(each), shadow_.path(each));
        times_.insert(shadow_.at(gone).parent);
        times_.insert(parent);
        shadow_.exchange(gone, occupant);
        for (NodeId each : {gone, occupant})
          if (scanning_ && shadow_.is_directory(each)) shadow_.at(each).flags |= kNodeUnlisted;
        for (NodeId each : {gone, occupant}) tell_anew(rest, each, shaky);
        update(gone, directory, stat, what | kHintAttributes);
        add_dirty(shadow_.at(occupant).parent, shadow_.name(occupant), kHintName | kHintAttributes, 0);
        return;
      }
      const bool tell = shadow_.is_directory(occupant) || shadow_.is_directory(gone) || (told_mask(occupant) & ~told_mask(gone)) != 0;
      remove_node(occupant, tell ? replicating_ & ~shaky : 0);
      rename_to(gone, parent, name);
      update(gone, directory, stat, what | kHintAttributes);
      return;
    }
    if (gone == kNoNode && here != kNoNode && !S_ISDIR(stat.stx_mode)) {
      remove_node(occupant, shadow_.is_directory(occupant) ? replicating_ & ~shaky : 0);
      link_to(here, parent, directory, name, stat);
      return;
    }
  }
  other_names(occupant);
  const bool plain = shadow_.is_regular(occupant) && S_ISREG(stat.stx_mode);
  remove_node(occupant, plain ? 0 : replicating_ & ~shaky);
  create(parent, directory, name, stat, plain);
}

// The kernel gives inode numbers out again: other nodes that still carry this one are names of something that is gone, and must not pass for further names of the new object.
void Source::release_inode(const struct statx& stat) {
  for (NodeId each = shadow_.by_inode(stx_device(stat), stat.stx_ino); each != kNoNode;) {
    const NodeId next = shadow_.next_name(each);
    if (!same_object(each, stat)) {
      shadow_.clear_identity(each);
      add_dirty(shadow_.at(each).parent, shadow_.name(each), kHintName, 0);
    }
    each = next;
  }
}

void Source::create(NodeId parent, int directory, const std::string& name, const struct statx& stat, bool replaces) {
  const Result<u64> digest = digest_of(directory, name, stat);
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
  // While it is in doubt what a target holds, the name may be taken there, by what belongs there or by a name of something
  // else. A directory or a large file is then found out about, and not taken away to be told from the beginning; and what is
  // none comes last, because in its place there may be a directory with what has moved elsewhere.
  const Mask all = told_mask(parent), shaky = all & in_doubt_there();
  const bool compared = S_ISDIR(stat.stx_mode) || compared_there(stat.stx_mode, stat.stx_size);
  const Mask later = compared || doubting_ ? shaky : 0, mask = all & ~later;
  const bool unsure = (mask & shaky) != 0;
  if (mask != 0 && tell_object(mask, false, node, directory, !replaces && !unsure, replaces || unsure)) {
    shadow_.at(node).told = mask;
    times_.insert(parent);
  } else if (mask != 0) {
    remove_node(node, 0);   // Gone again; a later hint tells what became of it.
    if (replaces || unsure) {
      const std::string at = shadow_.path(parent);
      tell_removed(mask, shadow_.mapping(parent), at.empty() ? name : at + "/" + name);
    }
    add_dirty(parent, name, kHintName, kLookAgainNs, 1);
    return;
  }
  tell_anew(later, node, later);
  // Replication off on a channel that knows the parent: it will only be right after its next mirror.
  if (S_ISDIR(stat.stx_mode)) {
    times_.insert(node);
    if (verdict(parent, name, true) == Verdict::traverse) shadow_.at(node).flags |= kNodePartial;
    shadow_.at(node).flags |= kNodeUnlisted;
    list_later(node);
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
  const Mask all = told_mask(parent), later = compared_there(stat.stx_mode, stat.stx_size) ? all & in_doubt_there() : 0;
  const Mask mask = all & ~later;
  tell_anew(later, node, later);
  if (mask != 0 && tell_object(mask, false, node, directory, false, true)) {
    shadow_.at(node).told = mask;
  } else if (mask != 0) {
    // Moved on while it was being told. Untold below a told directory it would be forgotten: it is told when found.
    for (const auto& channel : channels_)
      if (channel->bit & mask) tell_later(*channel, node);
  }
  times_.insert(parent);
  update(node, directory, stat, kHintAttributes);
}

// These channels hold nothing of the object any more, or not what we think. What was on its way to them under its old
// name is given up: it will be told from the beginning.
void Source::untell_one(NodeId node, Mask mask) {
  take_back(node, mask);
  forget_listed(node, mask);
}

// The same for everything below as well.
void Source::untell(NodeId node, Mask mask) {
  std::vector<NodeId> stack{node};
  while (!stack.empty()) {
    const NodeId each = stack.back();
    stack.pop_back();
    take_back(each, mask);
    for (NodeId child = shadow_.at(each).first_child; child != kNoNode; child = shadow_.at(child).next_sibling) stack.push_back(child);
  }
  forget_listed(node, mask);
}

// Told again from the beginning, soon. `compared`: those of whom what they have there may be right.
void Source::tell_anew(Mask mask, NodeId node, Mask compared) {
  if (mask == 0) return;
  untell(node, mask);
  const bool directory = shadow_.is_directory(node);
  for (const auto& channel : channels_) {
    if (!(channel->bit & mask)) continue;
    const bool over = (channel->bit & compared) != 0;
    if (over && directory) channel->clean.insert(node);
    tell_later(*channel, node, over && !directory);
  }
}

void Source::take_back(NodeId node, Mask mask) {
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
      drop_request(*channel, each.second);
      return true;
    });
  }
}

// What a target listed before tells nothing of what was taken back since: a walk must not find it equal by that.
void Source::forget_listed(NodeId node, Mask mask) {
  for (const auto& channel : channels_) {
    MirrorRun& mirror = channel->mirror;
    if (!(channel->bit & mask) || mirror.verify || !mirror_running(*channel)) continue;
    channel->suspect.insert(node);   // In the listing of its directory.
    if (!shadow_.is_directory(node)) continue;
    // Directories taken back are told and listed anew.
    const auto stale = [&](const MirrorDirectory& each) {
      return shadow_.live(each.node) && !shadow_.is_root(each.node) && !(shadow_.at(each.node).told & channel->bit);
    };
    std::erase_if(mirror.asked, stale);
    if (mirror.open && stale(mirror.current)) mirror.open = false;
  }
}

void Source::rename_to(NodeId node, NodeId parent, const std::string& name) {
  const std::string old_path = shadow_.path(node);
  const u32 old_mapping = shadow_.mapping(node);
  const NodeId old_parent = shadow_.at(node).parent;
  // While it is in doubt what the target holds, a move there might move something else.
  const Mask both = doubting_ ? 0 : told_mask(node) & told_mask(parent);
  std::string new_path = shadow_.path(parent);
  if (!new_path.empty()) new_path += '/';
  new_path += name;
  wire::OpHeader header = header_for(wire::OpKind::rename, node);
  header.aux = shadow_.mapping(parent);
  gone_moves(both, node, shadow_.mapping(parent), new_path);
  emit(both, false, header, old_path, new_path);
  // A channel that has not met the object (or its new place) yet: nothing may stay at the old path, and the walk
  // might already be past the new one.
  const Mask rest = replicating_ & ~both, shaky = in_doubt_there();
  tell_removed(rest & ~shaky, old_mapping, old_path);
  if (old_mapping != shadow_.mapping(parent)) indexes_.drop(shadow_.object(node));
  times_.insert(old_parent);
  times_.insert(parent);
  shadow_.move(node, parent, name);
  shadow_.at(node).flags &= static_cast<u16>(~kNodeMissing);
  for (const auto& channel : channels_)
    if (channel->bit & rest & shaky) gone_later(*channel, old_mapping, old_path);
  tell_anew(rest, node, shaky);
  // Rules go by path: below its new place other things may be wanted.
  if (shadow_.is_directory(node) && !rules_.simple()) list_later(node);
  // From where the sweep has not been to where it has: it would not come by.
  if (shadow_.is_directory(node) && scanning_) shadow_.at(node).flags |= kNodeUnlisted;
}

}  // namespace understudy
