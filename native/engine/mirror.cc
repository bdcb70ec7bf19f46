// The walk: tells a channel what it was not told yet, directory by directory, comparing with the target's listings
// where that was asked for (MIR-20..25). Verification is the same walk without telling. The same machine tells single
// objects (retell.cc).
#include <algorithm>
#include <utility>

#include "batch_reader.h"
#include "object_facts.h"
#include "source.h"

#include <xxhash.h>

namespace understudy {

namespace {
constexpr std::size_t kAskedMax = 128;         // listings asked for and not worked off
constexpr std::size_t kHashRequestsMax = 256;
constexpr u64 kHashesMax = 2u << 20;           // hashes on their way, all requests together
constexpr std::size_t kNamesPerStep = 128;
constexpr u32 kJobsMax = 2;
constexpr i64 kChangesPatienceNs = 1'000'000'000;

}  // namespace

bool Source::mirror_running(const Channel& channel) const {
  return channel.mirror.active || channel.mirror.walks() || !channel.gone.empty();
}

u32 Source::mirror_jobs(const Channel& channel) const {
  u32 count = 0;
  for (const auto& job : jobs_) count += job->mirror == &channel;
  return count;
}

// Ends what a mirror was about. A verification only looks: what replication and repairs still have to tell goes on.
void Source::cancel_work(Channel& channel) {
  const bool only_look = channel.mirror.active && channel.mirror.verify;
  std::erase_if(channel.hash_requests, [&](const auto& each) {
    if (only_look && !each.second.verify) return false;
    drop_request(channel, each.second);
    return true;
  });
  for (auto& job : jobs_) {
    if (job->mirror == &channel) {
      if (only_look && job->mask != 0) continue;
      job->mask = 0, job->mirror = nullptr;   // Ends at its next step.
    } else if (!only_look) {
      job->mask &= ~channel.bit;
    }
  }
  channel.mirror = only_look ? std::move(channel.mirror).left() : MirrorRun{};
}

void Source::mirror_start(Channel& channel, const MirrorOptions& options, bool verify) {
  if (channel.mirror.active) mirror_stop(channel, "started again");
  const bool fresh_stream = channel.broken;
  if (!verify) {
    channel.told_after_scan = channel.told_by_mirror = false;   // The mirror tells.
    // What changes ahead of the walk is told by the walk, and nothing of what was refused is named any more.
    i64 since_ns = 0;
    for (const auto& [path, entry] : channel.quarantine) since_ns = earlier(since_ns, entry.missing_ns);
    in_doubt_until_mirrored(channel, since_ns);
    channel.clear_missed();   // From here on the control plane knows that a mirror is not complete.
    // Everything is told again, and what still fails is refused again. But of what is gone here no walk tells: its name
    // may have stayed there.
    for (const auto& [place, entry] : channel.quarantine) channel.lost.push_back({place.first, place.second, entry.deep});
    channel.quarantine.clear();
    channel.refusals_told = false;
  }
  cancel_work(channel);
  MirrorRun& mirror = channel.mirror;
  mirror.active = true;
  mirror.verify = verify;
  mirror.options = options;
  mirror.started_ns = monotonic_ns();
  mirror.missed = !channel.replicating;
  if (!verify) {
    for (NodeId node = 1; node < shadow_.limit(); ++node) shadow_.at(node).told &= ~channel.bit;
  }
  if (fresh_stream) {
    restart_stream(channel);
    channel.writer.begin();
    channel.writer_change_ns = 0;
    channel.broken = false;
    // What the target has lost is told anew now: that it holds nothing yet is no reason to give up again.
    channel.expects_replica = false;
    channel.counters.repairing = false;
    channel.settling = false;
    channel.connect();   // The target learns the new stream by a new hello.
  }
  for (NodeId root = shadow_.root_count(); root >= 1; --root) mirror.stack.emplace_back(root, false);
  if (!verify && !channel.lost.empty()) {
    const std::vector<SetPath> lost = std::exchange(channel.lost, {});
    retell_all(channel, lost);
    channel.lost_more = false;
  }
  mirror.sent_before = channel.stream.counters().sent_mirror;
  channel.counters.skipped = 0;
  channel.counters.files_done = 0;
  if (!verify) tell_(Fact("mirror_started").with("connection", i64{channel.options().id}));
}

void Source::mirror_stop(Channel& channel, const char* why) {
  if (!channel.mirror.active) return;
  const bool verify = channel.mirror.verify;
  cancel_work(channel);
  tell_(Fact(verify ? "verify_stopped" : "mirror_stopped").with("connection", i64{channel.options().id}).with("why", std::string(why)));
}

void Source::mirror_request(Channel& channel) {
  MirrorRun& mirror = channel.mirror;
  while (mirror.asked.size() < kAskedMax && !mirror.stack.empty()) {
    const auto [node, fresh] = mirror.stack.back();
    // Told directories only: one that was taken back meanwhile (a rename behind the walk) comes again as an extra.
    if (!shadow_.live(node) || !shadow_.is_directory(node) ||
        (!mirror.verify && !shadow_.is_root(node) && !(shadow_.at(node).told & channel.bit))) {
      mirror.stack.pop_back();
      continue;
    }
    // Sent whole: only a root's listing matters (an empty target takes the fast path everywhere below).
    const bool ask = !fresh && (channel.clean.count(node) || !mirror.active || mirror.options.compare != MirrorOptions::Compare::none || shadow_.is_root(node));
    if (!ask && !mirror.asked.empty()) return;   // In order: what was asked for comes first.
    mirror.stack.pop_back();
    MirrorDirectory directory;
    directory.node = node;
    directory.inode = shadow_.at(node).inode;
    directory.complete = !ask;
    directory.absent = fresh;
    if (ask) {
      directory.request = next_request_++;
      wire::OpHeader header = header_for(wire::OpKind::manifest, node);
      header.id = directory.request;
      if (shadow_.is_root(node) && !mirror.verify) {
        wire::OpHeader root = header_for(wire::OpKind::mkdir, node);
        emit_to(channel, mirror.active, root, {}, {}, {});
        shadow_.at(node).told |= channel.bit;
      }
      emit_to(channel, mirror.active, header, shadow_.path(node), {}, {});
    }
    mirror.asked.push_back(std::move(directory));
    if (!ask) return;
  }
}

void Source::on_manifest(Channel& channel, u64 id, const wire::ReplyHeader& header, const u8* body, std::size_t size) {
  for (MirrorDirectory& directory : channel.mirror.asked) {
    if (directory.request != id || directory.complete) continue;
    if (header.error != 0) directory.absent = true;
    else directory.listing.append(body, size);
    if (header.error != 0 || (header.flags & wire::kReplyLast)) directory.complete = true;
    return;
  }
}

void Source::mirror_open(Channel& channel) {
  MirrorRun& mirror = channel.mirror;
  mirror.current = std::move(mirror.asked.front());
  mirror.asked.pop_front();
  mirror.open = true;
  mirror.next = 0;
  mirror.names.clear();
  mirror.entries.clear();
  const NodeId node = mirror.current.node;
  if (!shadow_.live(node) || shadow_.at(node).inode != mirror.current.inode ||
      (!mirror.verify && !(shadow_.at(node).told & channel.bit))) {
    mirror.open = false;
    return;
  }
  const u8* at = mirror.current.listing.data();
  const u8* end = at + mirror.current.listing.size();
  while (end - at >= static_cast<std::ptrdiff_t>(sizeof(wire::ManifestEntry))) {
    wire::ManifestEntry entry;
    std::memcpy(&entry, at, sizeof entry);
    at += sizeof entry;
    if (entry.name_len == 0 || entry.name_len > end - at) break;
    mirror.entries.emplace(std::string_view(reinterpret_cast<const char*>(at), entry.name_len), entry);
    at += entry.name_len;
  }
  mirror.current_fresh = mirror.current.absent || (shadow_.is_root(node) && mirror.entries.empty() && mirror.current.request != 0);
  for (NodeId child = shadow_.at(node).first_child; child != kNoNode; child = shadow_.at(child).next_sibling)
    mirror.names.push_back(child);
}

void Source::mirror_close(Channel& channel) {
  MirrorRun& mirror = channel.mirror;
  const NodeId node = mirror.current.node;
  mirror.open = false;
  if (!shadow_.live(node)) return;
  const bool clean = !mirror.verify && channel.clean.erase(node) > 0;
  for (const auto& [name, entry] : mirror.entries) {
    const NodeId child = shadow_.child(node, name);
    if (child != kNoNode) continue;
    if (clean) {
      const std::string at = shadow_.path(node);
      gone_later(channel, shadow_.mapping(node), at.empty() ? std::string(name) : at + "/" + std::string(name));
      continue;
    }
    // MIR-59: what a rule excludes is nobody's orphan.
    if (rules_.keeps_orphan(absolute_path(node) + "/" + std::string(name), S_ISDIR(entry.mode))) continue;
    ++mirror.orphans;
    tell_orphan(channel, node, name, entry);
    if (mirror.verify) verify_note(channel, "orphan", absolute_path(node) + "/" + std::string(name), kNoNode, 0, &entry, 0, 0);
  }
  if (mirror.verify) return;
  const int fd = directory_fd(node);
  struct statx stat;
  if (fd >= 0 && ::statx(fd, "", AT_EMPTY_PATH, kStatx, &stat) == 0) {
    const i64 ctime_ns = shadow_.at(node).ctime_ns;
    apply_stat(node, stat);
    shadow_.at(node).ctime_ns = ctime_ns;
  }
  tell_attributes(channel.bit, mirror.active, node, true);
  if (shadow_.attributes(node).xattr_digest != 0 && fd >= 0) tell_xattrs(channel.bit, mirror.active, node, fd, nullptr);
}

// Has replication nothing more to tell than it could in this round, or its mirror waited long enough?
void Source::note_changes_wait(bool room) {
  // Only a mirror asks, and without one nobody is to look through all that waits in every round.
  if (std::none_of(channels_.begin(), channels_.end(), [](const auto& channel) { return channel->mirror.active; })) return;
  const i64 now = monotonic_ns();
  bool due = false;
  for (const Dirty& dirty : dirty_)
    if (due = dirty.due_ns <= now; due) break;
  for (const auto& channel : channels_) {
    bool wait = due && channel->replicating && (replicating_ & channel->bit) != 0;
    for (const auto& job : jobs_) wait |= job->mirror == nullptr && (job->mask & channel->bit) != 0;
    // Changes that do not come although there is room may wait for what the mirror has to do.
    channel->changes_wait = wait && (!room || now - channel->changes_told_ns < kChangesPatienceNs);
  }
}

// SRV-50: while changes wait to be told, a mirror has one batch for so many of theirs. QUE-12: none while its target
// wants none.
bool Source::mirror_turn(const Channel& channel) const {
  if (!channel.mirror.active) return true;   // What has to be told again is no mirror.
  if (channel.mirror_held()) return false;
  return !channel.changes_wait || channel.changes_since_mirror >= options_.tuning->replication_ratio;
}

// One turn of the walk. True when something was done.
bool Source::mirror_step(Channel& channel) {
  MirrorRun& mirror = channel.mirror;
  if (channel.broken || channel.behind || !channel.ready() || scanning_first()) return false;
  struct Retelling {
    bool& on;
    ~Retelling() { on = false; }
  } retelling{retelling_};
  retelling_ = true;
  retry_quarantine(channel);
  if (!mirror_running(channel)) channel.suspect.clear();
  if (!mirror_running(channel) || mirror.paused) return false;
  if (mirror.waiting) {
    if (channel.stream.target().applied >= mirror.last_sequence) mirror_finish(channel);
    return false;
  }
  if (!channel.stream.walk_room(mirror.active) || !mirror_turn(channel) || channel.hash_requests.size() >= kHashRequestsMax ||
      channel.hash_requests_expected > kHashesMax || mirror_jobs(channel) >= kJobsMax)
    return false;
  if (mirror.active && !mirror.counted) {   // Not before the first scan: nothing is known of the set until then.
    mirror.counted = true;
    channel.counters.files_total = count_files(true);
    channel.counters.remaining = total_bytes_;
  }
  mirror_extra(channel);
  mirror_request(channel);
  if (!mirror.open) {
    if (!mirror.asked.empty() && mirror.asked.front().complete) {
      mirror_open(channel);
    } else {
      if (!mirror.asked.empty() || !mirror.stack.empty() || !mirror.extra.empty() || !channel.hash_requests.empty() ||
          mirror_jobs(channel) > 0) {
        flush(channel);
        return false;
      }
      if (tell_last(channel)) return true;
      if (!channel.gone.empty()) return false;
      if (!mirror.active) return false;
      tell_orphans_end(channel);
      flush(channel);
      if (channel.behind) return false;
      mirror.waiting = true;
      mirror.last_sequence = channel.stream.last_sequence();
      return true;
    }
  }
  const NodeId directory = mirror.current.node;
  const int fd = mirror.open && shadow_.live(directory) ? directory_fd(directory) : -1;
  if (mirror.open && fd < 0) {
    // The directory moved or went while we were at it: its own hint tells what became of it.
    if (shadow_.live(directory) && !shadow_.is_root(directory)) {
      if (!mirror.verify) tell_anew(channel.bit, directory, 0);
      add_dirty(shadow_.at(directory).parent, shadow_.name(directory), kHintName | kHintDirectory, 1'000'000, 1);
    }
    mirror.open = false;
    return false;
  }
  for (std::size_t done = 0; mirror.open && done < kNamesPerStep; ++done) {
    if (mirror.next == mirror.names.size()) {
      mirror_close(channel);
      break;
    }
    const NodeId node = mirror.names[mirror.next++];
    if (!shadow_.live(node) || shadow_.at(node).parent != directory) continue;
    if (!mirror.verify && (shadow_.at(node).told & channel.bit)) continue;
    if (!mirror_node(channel, node, fd) && shadow_.live(node) && !mirror.verify) mirror.extra.push_back(node);
    if (!channel.stream.walk_room(mirror.active) || !mirror_turn(channel) || mirror_jobs(channel) >= kJobsMax || channel.hash_requests.size() >= kHashRequestsMax) break;
  }
  return true;
}

// Size or time differ (MIR-20..25), or kind; with `metadata` also mode, owner and extended attributes. `mtime_ns`: of the node.
bool Source::entry_differs(const wire::ManifestEntry& entry, NodeId node, i64 mtime_ns, bool metadata) const {
  const Attributes& attributes = shadow_.attributes(node);
  const Node& record = shadow_.at(node);
  const bool regular = S_ISREG(attributes.mode);
  if ((entry.mode & S_IFMT) != (attributes.mode & S_IFMT)) return true;
  if (regular && static_cast<i64>(entry.size) != record.size) return true;
  if (!S_ISDIR(attributes.mode) && entry.mtime_ns != mtime_ns) return true;
  if (!metadata) return false;
  return (!S_ISLNK(attributes.mode) && entry.mode != attributes.mode) || entry.uid != attributes.uid ||
         entry.gid != attributes.gid || entry.xattr_digest != attributes.xattr_digest;
}

bool Source::mirror_node(Channel& channel, NodeId node, int fd) {
  MirrorRun& mirror = channel.mirror;
  const std::string name(shadow_.name(node));
  const auto found = mirror.entries.find(name);
  const wire::ManifestEntry* entry = found == mirror.entries.end() ? nullptr : &found->second;
  const bool full = mirror.active && !mirror.verify && mirror.options.compare == MirrorOptions::Compare::none;
  // What will be read whole is opened at once: one look at it serves the comparison and the telling.
  Opened opened;
  struct statx& stat = opened.stat;
  if (!mirror.verify && shadow_.is_regular(node) && !shadow_.linked(node) && (full || entry == nullptr)) opened.file = open_for_read(fd, name.c_str());
  if ((opened.file ? ::statx(opened.file.get(), "", AT_EMPTY_PATH, kStatx, &stat)
                   : ::statx(fd, name.c_str(), AT_SYMLINK_NOFOLLOW, kStatx, &stat)) != 0 ||
      stat.stx_ino != shadow_.at(node).inode || (stat.stx_mode & S_IFMT) != (shadow_.mode(node) & S_IFMT)) {
    add_dirty(shadow_.at(node).parent, name, kHintName | kHintContent | kHintAttributes, 0);
    return false;
  }
  update(node, fd, stat, kHintContent | kHintAttributes);   // What others were told must not be older than what we tell.
  if (!mirror.verify) found_equal(channel, node);   // Or told, which counts as much.
  if (!S_ISDIR(stat.stx_mode)) {
    ++channel.counters.files_done;
    ++mirror.files;
  }
  const u64 size = S_ISREG(stat.stx_mode) ? stat.stx_size : 0;
  u64 left = channel.counters.remaining;
  channel.counters.remaining = left > size ? left - size : 0;
  if (mirror.verify) {
    if (mirror.options.orphans == MirrorOptions::Orphans::automatic) verify_node(channel, node, fd, entry);
    if (S_ISDIR(stat.stx_mode) && entry != nullptr && S_ISDIR(entry->mode)) mirror.stack.emplace_back(node, false);
    return true;
  }
  if (!channel.suspect.empty() && channel.suspect.erase(node) > 0) return tell_afresh(channel, node, fd);
  const bool fresh = mirror.current_fresh || (!full && entry == nullptr && mirror.current.request != 0);
  if (entry != nullptr && S_ISDIR(entry->mode) && !S_ISDIR(stat.stx_mode) && channel.clean.count(mirror.current.node)) {
    tell_later(channel, node, true);
    return true;
  }
  Node& record = shadow_.at(node);
  if (S_ISDIR(stat.stx_mode)) {
    if (channel.clean.count(mirror.current.node)) channel.clean.insert(node);
    const bool present = entry != nullptr && S_ISDIR(entry->mode);
    if (full || !present) {
      if (!tell_object(channel.bit, mirror.active, node, fd, fresh, false)) return false;
    } else if (entry_differs(*entry, node, true)) {
      tell_attributes(channel.bit, mirror.active, node, false);
      if (const Fd object = open_object(fd, name, stat)) tell_xattrs(channel.bit, mirror.active, node, object.get(), nullptr);
      else xattrs_untold(node);
    }
    record.told |= channel.bit;
    mirror.stack.emplace_back(node, full ? mirror.current_fresh : !present && entry == nullptr);
    return true;
  }
  bool whole = full || fresh || entry == nullptr || (entry->mode & S_IFMT) != (stat.stx_mode & S_IFMT);
  const bool content = !mirror.active || mirror.options.compare == MirrorOptions::Compare::content;
  const bool linked = shadow_.linked(node);
  // On the target this name shares its bytes with another one, here it does not: writing through it would be wrong.
  const bool split = entry != nullptr && (entry->flags & wire::kManifestLinks) && !linked;
  // An object that has none is told without: it must not be written into one that has some.
  const bool leftover = entry != nullptr && entry->xattr_digest != 0 && shadow_.attributes(node).xattr_digest == 0;
  if (!whole && mirror.active && mirror.options.newer && stx_ns(stat.stx_mtime) <= entry->mtime_ns) {
    record.told |= channel.bit;
    channel.counters.skipped += size;
    return true;
  }
  if (linked || split || !S_ISREG(stat.stx_mode)) {
    bool same = !whole && !linked && !split && !entry_differs(*entry, node, true);
    if (same && S_ISLNK(stat.stx_mode)) {
      char text[4096];
      const ssize_t length = ::readlinkat(fd, name.c_str(), text, sizeof text);
      same = length > 0 && entry->detail == XXH3_64bits(text, static_cast<std::size_t>(length));
    } else if (same) {
      same = entry->detail == shadow_.attributes(node).rdev;
    }
    const bool alias = entry != nullptr && (entry->flags & wire::kManifestLinks);
    const bool compared = !whole && content && compared_there(stat.stx_mode, size);
    if (compared && tell_link(channel.bit, mirror.active, node) == 0) {
      if (busy(node)) return false;
      compare_there(channel, node);
      return true;
    }
    if (!same && !compared && !tell_object(channel.bit, mirror.active, node, fd, fresh, alias || leftover || (full && !fresh))) return false;
    record.told |= channel.bit;
    // In a repair, what counts as told by another name may be in doubt by this one only.
    if (linked && (!mirror.active || channel.settling)) tell_beneath_link(channel, node);
    return true;
  }
  const bool differs = whole || entry_differs(*entry, node, false);
  if (!whole && content && (differs || !mirror.active || mirror.options.all)) {
    request_hashes(channel, node, mirror.active, entry);
    return true;
  }
  if (whole || differs) {
    // Sent whole over whatever is there: nothing is known of its links, so the place is taken anew.
    if (!tell_object(channel.bit, mirror.active, node, fd, fresh, leftover || (full && !fresh), opened.file ? &opened : nullptr)) return false;
  } else {
    channel.counters.skipped += size;
    if (entry_differs(*entry, node, true)) {
      tell_attributes(channel.bit, mirror.active, node, true);
      if (const Fd object = open_object(fd, name, stat)) tell_xattrs(channel.bit, mirror.active, node, object.get(), nullptr);
      else xattrs_untold(node);
    }
  }
  shadow_.at(node).told |= channel.bit;
  return true;
}

void Source::mirror_finish(Channel& channel) {
  MirrorRun done = std::move(channel.mirror);
  channel.mirror = std::move(done).left();
  const i64 ms = (monotonic_ns() - done.started_ns) / 1'000'000;
  channel.counters.remaining = 0;
  if (done.verify) return verify_finish(channel, done, ms);
  mirror_ended_ = true;
  channel.must_mirror = done.missed;
  vouch(channel);
  const u64 sent = channel.stream.counters().sent_mirror - done.sent_before;
  tell_(Fact("mirror_done").with("connection", i64{channel.options().id}).with("files", static_cast<i64>(done.files))
            .with("sentBytes", static_cast<i64>(sent)).with("skippedBytes", static_cast<i64>(channel.counters.skipped.load()))
            .with("orphans", static_cast<i64>(done.orphans)).with("ms", ms));
}

void Source::on_reply(Channel& channel, const Bytes& frame) {
  wire::ReplyHeader header;
  if (frame.size() < sizeof header) return;
  std::memcpy(&header, frame.data(), sizeof header);
  const u8* body = frame.data() + sizeof header;
  const std::size_t size = frame.size() - sizeof header;
  switch (static_cast<wire::Reply>(header.kind)) {
    case wire::Reply::manifest: return on_manifest(channel, header.id, header, body, size);
    case wire::Reply::hashes: return on_hashes(channel, header.id, header, body, size);
    case wire::Reply::nak:
      on_nak(channel, header, body, size);
      channel.stream.refusal_taken(header.id);
      return;
    default: return;
  }
}

// What the target said before it lost power is no longer true. reissue() asks again.
void Source::forget_listings(Channel& channel) {
  MirrorRun& mirror = channel.mirror;
  for (MirrorDirectory& directory : mirror.asked) {
    directory.listing.clear();
    if (directory.request != 0) directory.complete = directory.absent = false;
  }
  if (mirror.open) mirror.stack.emplace_back(mirror.current.node, false);
  mirror.open = false;
}

// After a new link: answers that were on their way may be lost, so everything open is asked again.
void Source::reissue(Channel& channel) {
  for (MirrorDirectory& directory : channel.mirror.asked) {
    // Of one that is gone no answer is wanted any more, nor waited for.
    if (!shadow_.live(directory.node)) directory.complete = true;
    if (directory.complete) continue;
    directory.listing.clear();
    directory.request = next_request_++;
    wire::OpHeader header = header_for(wire::OpKind::manifest, directory.node);
    header.id = directory.request;
    emit_to(channel, channel.mirror.active, header, shadow_.path(directory.node), {}, {});
  }
  std::unordered_map<u64, HashRequest> open;
  open.swap(channel.hash_requests);
  for (auto& [id, request] : open) {
    request.hashes.clear();
    if (!shadow_.live(request.node)) {
      drop_request(channel, request);
      continue;
    }
    const u64 fresh = next_request_++;
    wire::OpHeader header = header_for(wire::OpKind::hashes, request.node);
    header.arg0 = request.block;
    header.id = fresh;
    emit_to(channel, request.mirror, header, shadow_.path(request.node), {}, {});
    channel.hash_requests.emplace(fresh, std::move(request));
  }
  flush(channel);
}

}  // namespace understudy
