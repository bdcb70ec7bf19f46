// What is told again, by what it is now and not by its history: what a target refused (P6), what it may have lost,
// what was moved on top of either, and what a rename carried past a walk.
#include <algorithm>
#include <tuple>

#include "batch_reader.h"
#include "source.h"

namespace understudy {

namespace {
constexpr std::size_t kQuarantineMax = 10'000;
constexpr std::size_t kGoneMax = 200'000;      // names that wait for what may have moved; more are not waited with
constexpr std::size_t kLateTurn = 4'096;
constexpr std::size_t kGoneTurn = 64u << 10;   // bytes of removals after which there may be no more room

// Refused because no directory is where one was told.
bool nothing_there(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }
}  // namespace

// The target could not do one operation. It is told again by its result, not by its history; a path that keeps
// failing stays on the list with growing pauses while everything else goes on (P6).
void Source::on_nak(Channel& channel, const wire::ReplyHeader& header, const u8* body, std::size_t size) {
  wire::OpHeader op;
  if (size < sizeof op) return;
  std::memcpy(&op, body, sizeof op);
  if (sizeof op + op.path_len + op.path2_len > size || op.mapping >= shadow_.root_count()) return;
  const std::string path(reinterpret_cast<const char*>(body) + sizeof op, op.path_len);
  const std::string path2(reinterpret_cast<const char*>(body) + sizeof op + op.path_len, op.path2_len);
  const std::size_t told = sizeof op + op.path_len + op.path2_len;
  const std::string call(reinterpret_cast<const char*>(body) + told, std::min(size - told, wire::kNakCallMax));
  auto note = [&](u32 mapping, const std::string& which, bool deep) {
    if (channel.quarantine.size() >= kQuarantineMax && !channel.quarantine.count({mapping, which})) {
      channel_broken(channel, "too many operations failed on the target");
      return;
    }
    Quarantined& entry = channel.quarantine[{mapping, which}];
    if (entry.missing_ns == 0) entry.missing_ns = earlier(monotonic_ns(), earlier(channel.doubt_ns, channel.stream.oldest_change_ns(true)));
    // A burst of refusals is one failed try. One of before it was told again says nothing of that, unless it says more
    // than what it was told again for.
    const bool before = entry.attempts != 0 && entry.retry_ns == 0 && header.arg0 < entry.from;
    if (before && (entry.deep || !deep) && (nothing_there(entry.error) || !nothing_there(static_cast<int>(header.error)))) return;
    const bool tried = entry.attempts == 0 || (entry.retry_ns == 0 && !before);
    if (tried) ++entry.attempts;
    entry.deep |= deep;
    entry.error = static_cast<int>(header.error);
    entry.kind = op.kind;
    entry.call = call;
    if (entry.since_ns == 0) entry.since_ns = monotonic_ns();
    entry.retry_ns = monotonic_ns() + quarantine_pause_ns(channel.options(), entry.attempts);
    if (!tried || entry.attempts < 2) return;
    channel.refusals_told = true;
    tell_(Fact("quarantined").with("connection", i64{channel.options().id})
              .with("path", set_path(mapping, which)).error({static_cast<int>(header.error), call.empty() ? "apply" : call})
              .with("count", static_cast<i64>(channel.quarantine.size())));
  };
  // The other end of a rename or link may be what is missing there; and nobody knows what a name stands for that was
  // to be moved away or over.
  const auto kind = static_cast<wire::OpKind>(op.kind);
  const bool moves = kind == wire::OpKind::rename;
  if (kind == wire::OpKind::link && header.error == EXDEV && op.mapping != op.aux && op.aux < shadow_.root_count()) {
    channel.learn_apart(op.mapping, op.aux);
    apart_ |= channel.bit;
  }
  note(op.mapping, path, moves);
  if ((moves || kind == wire::OpKind::link) && op.aux < shadow_.root_count()) note(op.aux, path2, moves);
}

// With a directory that is missing there all below it is told again: it need not be tried by itself.
void Source::merge_refused(Channel& channel) {
  const auto covered = [&](const auto& each) {
    const auto& [place, entry] = each;
    if (!nothing_there(entry.error)) return false;
    for (std::size_t slash = place.second.find('/'); slash != std::string::npos; slash = place.second.find('/', slash + 1)) {
      const auto above = channel.quarantine.find({place.first, place.second.substr(0, slash)});
      if (above == channel.quarantine.end() || above->second.retry_ns == 0 || !nothing_there(above->second.error)) continue;
      above->second.missing_ns = earlier(above->second.missing_ns, entry.missing_ns);
      return true;
    }
    return false;
  };
  std::erase_if(channel.quarantine, covered);
}

void Source::retry_quarantine(Channel& channel) {
  if (channel.quarantine.empty()) return;
  const i64 now = monotonic_ns();
  const u64 applied = channel.stream.target().applied;
  if (channel.replies_pending != 0) return;   // Refused once more, perhaps: that came before this acknowledgement.
  const auto due = [&](const auto& each) { return each.second.retry_ns != 0 && each.second.retry_ns <= now; };
  if (std::any_of(channel.quarantine.begin(), channel.quarantine.end(), due)) {
    merge_refused(channel);
    flush(channel);   // What was told before is not part of the next try.
  }
  Ensured ensured;
  for (auto at = channel.quarantine.begin(); at != channel.quarantine.end();) {
    Quarantined& entry = at->second;
    if (entry.retry_ns == 0 && entry.sequence == kNotTold && channel.mirror.extra.empty()) {
      flush(channel);
      entry.sequence = channel.stream.last_sequence();
    }
    if (entry.retry_ns == 0 && applied >= entry.sequence) {
      // Told again, applied, and not refused: healed. But no more durable there than anything else up to here.
      channel.stream.vouched(entry.missing_ns);
      at = channel.quarantine.erase(at);
      continue;
    }
    if (due(*at)) {
      entry.retry_ns = 0;
      entry.from = channel.stream.next_sequence();
      retell(channel, {at->first.first, at->first.second, entry.deep}, nothing_there(entry.error) ? Retold::missing : Retold::refused, ensured);
      mirror_extra(channel);
      flush(channel);
      if (channel.behind || channel.broken) {
        entry.retry_ns = 1;   // The queue had no room for it: that was no try.
        break;
      }
      entry.sequence = channel.mirror.extra.empty() ? channel.stream.last_sequence() : kNotTold;
    }
    ++at;
  }
  channel.counters.failed = channel.quarantine.size();
  if (!channel.quarantine.empty() || !std::exchange(channel.refusals_told, false)) return;
  tell_(Fact("quarantine_emptied").with("connection", i64{channel.options().id}));
}

// Something was refused, and behind it in the stream objects were moved or linked: under their names the target may hold
// what was not meant. What was refused itself has its own turns.
void Source::retell_moved(Channel& channel) {
  bool beyond = false;
  std::vector<SetPath> moved = channel.stream.take_moved(beyond);
  std::vector<SetPath> more = channel.touched;   // of the batch that is being filled
  if (beyond) read_logged(more);
  std::copy_if(more.begin(), more.end(), std::back_inserter(moved), [](const SetPath& path) { return path.moved; });
  std::erase_if(moved, [&](SetPath& path) {
    path.deep = true;
    const auto refused = channel.quarantine.find({path.mapping, path.path});
    if (refused == channel.quarantine.end()) return false;
    refused->second.deep = true;
    return true;
  });
  if (moved.empty()) return;
  if (channel.broken || channel.behind) {
    for (const SetPath& path : moved) {
      if (channel.broken) note_lost(channel, path.mapping, path.path, true);
      else note_later(channel, path.mapping, path.path, true);
    }
    return;
  }
  retell_all(channel, moved);
  begin_repair(channel);
}

// Compares what the target may not hold: each path once, a deep one for all below it.
void Source::retell_all(Channel& channel, const std::vector<SetPath>& paths) {
  const auto place = [](const SetPath* path) { return std::tie(path->mapping, path->path); };
  std::vector<const SetPath*> order;   // They may be a million.
  order.reserve(paths.size());
  for (const SetPath& path : paths) order.push_back(&path);
  std::sort(order.begin(), order.end(), [&](const SetPath* one, const SetPath* other) { return place(one) < place(other); });
  Ensured ensured;
  for (auto at = order.begin(); at != order.end();) {
    SetPath path = **at;
    for (++at; at != order.end() && place(*at) == std::tie(path.mapping, path.path); ++at) path.deep |= (*at)->deep;
    retell(channel, path, Retold::doubted, ensured);
  }
}

// Under this name an object is gone which the target may hold only by it (I2).
void Source::gone_later(Channel& channel, u32 mapping, const std::string& path) {
  if (channel.broken) return note_lost(channel, mapping, path, true);
  if (channel.behind) return note_later(channel, mapping, path, true);
  log_doubt(mapping, path, true);
  if (channel.gone.size() >= kGoneMax) tell_gone(channel, mapping, path);
  else channel.gone.push_back({mapping, path, true});
}

// Only below a directory that is still there; otherwise removing that one covered it.
void Source::tell_gone(Channel& channel, u32 mapping, const std::string& path) {
  tell_removed(channel.bit, mapping, path);
  const std::size_t slash = path.rfind('/');
  const NodeId above = shadow_.find_path(mapping, slash == std::string::npos ? std::string_view{} : std::string_view(path).substr(0, slash));
  if (above != kNoNode && shadow_.is_directory(above) && (shadow_.at(above).told & channel.bit)) times_.insert(above);
}

// Taken again since, it was told as what it is.
void Source::take_away(Channel& channel, const SetPath& gone) {
  if (shadow_.find_path(gone.mapping, gone.path) == kNoNode) tell_gone(channel, gone.mapping, gone.path);
}

// A directory moves, there too, and with it what is still to be taken away below it. `to` is empty where two change
// places: then it is taken away now.
void Source::gone_moves(Mask mask, NodeId node, u32 mapping, std::string_view to) {
  if (!shadow_.is_directory(node)) return;
  for (const auto& channel : channels_) {
    if (!(channel->bit & mask) || channel->gone.empty()) continue;
    const u32 before = shadow_.mapping(node);
    const std::string from = shadow_.path(node) + "/";
    std::vector<SetPath> below;
    std::erase_if(channel->gone, [&](SetPath& each) {
      if (each.mapping != before || each.path.compare(0, from.size(), from) != 0) return false;
      below.push_back(std::move(each));
      return true;
    });
    for (const SetPath& each : below) {
      if (to.empty()) take_away(*channel, each);
      else gone_later(*channel, mapping, std::string(to) + "/" + each.path.substr(from.size()));
    }
  }
}

// What has moved is on the target by its new name now.
void Source::remove_gone(Channel& channel) {
  while (!channel.gone.empty() && channel.stream.walk_room(channel.mirror.active)) {
    const SetPath path = std::move(channel.gone.back());
    channel.gone.pop_back();
    take_away(channel, path);
    if (channel.writer.size() >= kGoneTurn) flush(channel);
  }
  flush(channel);
}

// Everything else is told: now what may be in the place of something that moved, and then what is gone. True when some of
// it was told.
bool Source::tell_last(Channel& channel) {
  MirrorRun& mirror = channel.mirror;
  if (!mirror.late.empty()) {
    const std::size_t count = std::min(mirror.late.size(), kLateTurn);
    mirror.extra.insert(mirror.extra.end(), mirror.late.end() - static_cast<std::ptrdiff_t>(count), mirror.late.end());
    mirror.late.resize(mirror.late.size() - count);
    return true;
  }
  if (channel.gone.empty()) return false;
  remove_gone(channel);
  return channel.gone.empty();
}

// What these targets hold is not known: of the last run, or while leftovers of our own are looked for there.
Source::Mask Source::in_doubt_there() const {
  if (doubting_) return replicating_;
  Mask mask = 0;
  for (const auto& channel : channels_)
    if (!channel->clean.empty() || !channel->gone.empty() || !channel->mirror.late.empty()) mask |= channel->bit;
  return mask & replicating_;
}

// Tells one path again by what it is now. `ensured`: directories that were told in this turn already.
void Source::retell(Channel& channel, const SetPath& which, Retold why, Ensured& ensured) {
  const u32 mapping = which.mapping;
  const std::string& path = which.path;
  if (!path.empty() && !path_valid(path)) return;   // Of an operation that was not told (open_batch): a mirror follows.
  NodeId node = shadow_.find_path(mapping, path);
  if (node == kNoNode) {
    if (path.empty()) return;
    if (why != Retold::doubted) tell_gone(channel, mapping, path);
    else gone_later(channel, mapping, path);
    return;
  }
  if (which.deep && shadow_.is_directory(node)) channel.clean.insert(node);
  const bool whole = (why == Retold::missing || which.deep) && !shadow_.is_root(node);
  const bool plain = shadow_.is_directory(node) && !whole;   // Only itself is in doubt, nothing below it.
  // Missing there: then nothing that was told below it can have arrived either. Taken back before anything else, so that
  // a walk which is still to come tells it. A walk passes by what counts as told: below an untold directory nothing does.
  if (whole) untell(node, channel.bit);
  else if (!plain) untell_one(node, channel.bit);
  std::vector<NodeId> above;
  for (NodeId at = plain ? node : shadow_.at(node).parent; at != kNoNode; at = shadow_.at(at).parent) above.push_back(at);
  for (auto at = above.rbegin(); at != above.rend(); ++at) {
    if (!(shadow_.at(*at).told & channel.bit)) return;   // The walk will come by.
    const bool itself = *at == node;
    if (!itself && !ensured.insert(*at).second) continue;
    if (itself && shadow_.is_root(node)) return tell_attributes(channel.bit, false, node, true);
    wire::OpHeader header = header_for(wire::OpKind::mkdir, *at);
    // One that has gone there all the same took with it what counts as told below it: it is refused, and told whole.
    if (!itself) header.flags |= wire::kOpPresent;
    emit_to(channel, false, header, shadow_.path(*at), {}, {});
    const bool attributes = itself || shadow_.attributes(*at).xattr_digest != 0;
    const int fd = attributes ? directory_fd(*at) : -1;
    if (fd >= 0) tell_xattrs(channel.bit, false, *at, fd, nullptr);
    else if (attributes) xattrs_untold(*at);   // It moved, or its root is gone: it is looked at again.
    times_.insert(*at);
  }
  if (!plain) tell_later(channel, node, why == Retold::doubted && !shadow_.is_directory(node));
}

// Objects told one by one: behind the walk's back or after a refusal.
void Source::mirror_extra(Channel& channel) {
  MirrorRun& mirror = channel.mirror;
  std::vector<NodeId> extra;
  extra.swap(mirror.extra);
  for (NodeId node : extra) {
    if (!shadow_.live(node) || (shadow_.at(node).told & channel.bit)) continue;
    if (shadow_.is_root(node)) {
      mirror.stack.emplace_back(node, false);
      continue;
    }
    const NodeId parent = shadow_.at(node).parent;
    if (!(shadow_.at(parent).told & channel.bit)) continue;   // The walk comes to the parent, or the parent is here too.
    if (busy(node) || !channel.stream.walk_room(mirror.active)) {
      mirror.extra.push_back(node);
      continue;
    }
    const int fd = directory_fd(parent);
    if (fd < 0) {
      add_dirty(shadow_.at(parent).parent == kNoNode ? parent : shadow_.at(parent).parent,
                shadow_.is_root(parent) ? std::string_view{} : shadow_.name(parent), kHintName | kHintDirectory, 0);
      mirror.extra.push_back(node);
      continue;
    }
    if (!tell_afresh(channel, node, fd)) {
      add_dirty(parent, shadow_.name(node), kHintName | kHintContent, 0);
      if (shadow_.live(node)) mirror.extra.push_back(node);   // Gone, or moved on: its hint decides, we wait for that.
    }
  }
}

// Told as a link, its bytes and attributes were not, and they may be what the target refused or lost.
void Source::tell_beneath_link(Channel& channel, NodeId node) {
  const bool mirror = channel.mirror.active;
  if (shadow_.is_regular(node) && !busy(node)) request_hashes(channel, node, mirror, nullptr);
  tell_attributes(channel.bit, mirror, node, true);
}

// One object whose parent was told, whatever the target has at its place. False when it is not there now.
bool Source::tell_afresh(Channel& channel, NodeId node, int directory) {
  MirrorRun& mirror = channel.mirror;
  if (busy(node)) return false;
  const bool is_dir = shadow_.is_directory(node), linked = shadow_.linked(node);
  times_.insert(shadow_.at(node).parent);
  const bool compared = compared_there(shadow_.mode(node), static_cast<u64>(shadow_.at(node).size));
  if (compared && tell_link(channel.bit, mirror.active, node) == 0) {
    compare_there(channel, node);
    return true;
  }
  // What lies at this place on the target may be a name of something else: it must not be written through.
  if (!compared && !tell_object(channel.bit, mirror.active, node, directory, false, true)) return false;
  shadow_.at(node).told |= channel.bit;
  if (is_dir) mirror.stack.emplace_back(node, false);
  else if (linked) tell_beneath_link(channel, node);
  else tell_attributes(channel.bit, mirror.active, node, true);
  return true;
}

// What may be there is compared where it lies, and not taken away to be sent once more (I2). It may be a name of something
// else. The name must exist from now on: links and renames may follow.
void Source::compare_there(Channel& channel, NodeId node) {
  wire::OpHeader header = header_for(wire::OpKind::create, node);
  header.flags = wire::kOpUnshare;
  emit_to(channel, channel.mirror.active, header, shadow_.path(node), {}, {});
  times_.insert(shadow_.at(node).parent);
  request_hashes(channel, node, channel.mirror.active, nullptr);
}

}  // namespace understudy
