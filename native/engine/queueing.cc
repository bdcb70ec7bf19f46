// What becomes of changes that the queues of a set cannot take (QUE-09, MIR-30).
//
// Nothing flows to any target: changes are read and queued, first in memory, then on disk; when a queue is full they
// wait as names. Something flows: reading goes at the pace of the fastest target that takes anything, because a name is
// a smaller thing to keep than its bytes, and names merge. A queue that overflows then, because another target is
// faster, is left to drain: until it has, the names of what its target was not told are kept, and then each is told by
// what it is by that time. Or, if the setting wants it, the stream is given up and a mirror follows.
#include <algorithm>
#include <cstring>

#include "source.h"

namespace understudy {

namespace {
constexpr u64 kUseful = 2u << 20;              // beyond it somebody may want to look how full the queue is
constexpr std::size_t kLaterMax = 2'000'000;   // names kept for one target
constexpr std::size_t kBatchWorth = 256u << 10;
constexpr i64 kHoldBackNs = 1'000'000'000;
constexpr i64 kKeepNs = 10'000'000'000;        // a clean stop writes queues down for so long

std::string reason(int code) {
  switch (code) {
    case 0: return "the memory for queues is used up";
    case EDQUOT: return "the maximum disk space for the queue is used up";
    case ENOSPC: return "no more than the minimum free space is left on the queue's volume";
    default: return std::string("the queue folder cannot be written: ") + std::strerror(code);
  }
}
}  // namespace

// May changes be read for these channels now?
bool Source::room_for(Mask mask, bool begun) const {
  bool any = false, behind = false, flowing = false, flowing_room = false, all_room = true;
  for (const auto& channel : channels_) {
    // Nothing is queued for a broken one, so it holds nobody up: it must not keep the first look from its end.
    if (!(channel->bit & mask) || channel->broken) continue;
    any = true;
    if (channel->behind) {
      behind = true;
      continue;
    }
    const bool flows = channel->flowing(), room = channel->stream.has_room(flows, begun);
    flowing |= flows;
    flowing_room |= flows && room;
    all_room &= room;
  }
  if (!any) return true;
  return flowing ? flowing_room : all_room && !behind;
}

// Batches that cannot leave now are filled up first: a queue of many small ones would cost more than what they carry.
bool Source::holds_back(const Channel& channel) const {
  return !channel.writer.empty() && !channel.flowing() && channel.writer.size() < kBatchWorth &&
         channel.stream.oldest_unapplied_ns() != 0 && monotonic_ns() - channel.writer_since_ns < kHoldBackNs;
}

void Source::note_later(Channel& channel, u32 mapping, std::string_view path, bool deep) {
  if (channel.later.size() >= kLaterMax) {
    out_of_memory(channel);
    channel_broken(channel, "more names wait than can be remembered");
    return;
  }
  const auto [at, fresh] = channel.later.try_emplace({mapping, std::string(path)}, deep);
  if (fresh || (deep && !at->second)) log_doubt(mapping, path, deep);
  at->second |= deep;
}

// REP-09.
void Source::out_of_memory(const Channel& channel) {
  tell_(Fact("memory_exhausted").with("connection", i64{channel.options().id}));
}

// MIR-30.
void Source::give_up(Channel& channel, const std::string& why) {
  if (channel.stream.full_why() == 0) out_of_memory(channel);
  tell_(Fact("queue_exhausted").with("connection", i64{channel.options().id}).with("why", why));
  channel_broken(channel, ("its queue is full: " + why).c_str());
}

// A batch found no place: its paths are told later, and so is everything that comes until then.
void Source::fall_behind(Channel& channel, const std::vector<SetPath>& touched, i64 since_ns) {
  in_doubt(channel, since_ns);
  const std::string why = reason(channel.stream.full_why());
  if (channel.options().disconnect_when_full) {
    for (const SetPath& path : touched) channel.lost.push_back(path);
    give_up(channel, why);
    return;
  }
  channel.behind = true;
  for (const SetPath& path : touched)
    if (channel.behind) note_later(channel, path.mapping, path.path, path.deep);
  begin_repair(channel);
}

// What is told in steps, and has lost one of them, is not gone on with.
void Source::leave_work(Channel& channel) {
  // A mirror waits; what its steps had told by then is told again. A verification would count wrong.
  if (channel.mirror.active && channel.mirror.verify) mirror_stop(channel, "the queue is full");
  for (auto& job : jobs_) {
    if ((job->mask & channel.bit) == 0) continue;
    if (shadow_.live(job->node) && channel.behind) note_later(channel, shadow_.mapping(job->node), shadow_.path(job->node), false);
    job->mask &= ~channel.bit;
    if (job->mirror == &channel) job->mirror = nullptr;
  }
}

// The queue is drained: each path is told by what it is now.
void Source::catch_up(Channel& channel) {
  if (!channel.behind || !channel.flowing() || !channel.stream.walk_room(false)) return;
  channel.behind = false;
  std::vector<SetPath> paths;
  paths.reserve(channel.later.size());
  for (const auto& [place, deep] : channel.later) paths.push_back({place.first, place.second, deep});
  channel.later.clear();
  retell_all(channel, paths);
  reissue(channel);   // Questions of that time were not asked.
}

void Source::watch_queues(bool room) {
  const bool waits = !room && (!dirty_.empty() || !jobs_.empty());
  for (std::size_t i = 0; i < channels_.size(); ++i) {
    Channel& channel = *channels_[i];
    if (channel.broken) continue;
    if (channel.stream.damaged()) {
      const SysError damage = channel.stream.damage();
      channel_broken(channel, ("the disk queue cannot be read: " + damage.call +
                               (damage.code == EBADMSG ? "" : std::string(": ") + std::strerror(damage.code))).c_str());
      continue;
    }
    if (channel.behind) leave_work(channel);
    const bool flows = channel.flowing();
    const bool full = channel.behind || (waits && !flows && channel.replicating && !channel.stream.has_room(false));
    if (full && !channel.behind && channel.options().disconnect_when_full) {
      give_up(channel, reason(channel.stream.full_why()));
      continue;
    }
    catch_up(channel);
    channel.counters.behind = full;
    const u64 held = channel.stream.held();
    if (held == 0) {
      channel.use_told = false;
    } else if (held > kUseful && !channel.use_told) {
      channel.use_told = true;
      tell_(Fact("queue_used").with("connection", i64{channel.options().id}));
    }
    if (full && !channel.full_told) {
      channel.full_told = true;
      tell_(Fact("queue_full").with("connection", i64{channel.options().id}).with("why", reason(channel.stream.full_why())));
    } else if (channel.full_told && !channel.behind && (flows ? channel.stream.walk_room(false) : !waits && channel.stream.has_room(false))) {
      channel.full_told = false;
      tell_(Fact("queue_room").with("connection", i64{channel.options().id}));
    }
  }
}

// A clean stop: the stream goes on after the next start if nothing but its queue stands between it and its target.
bool Source::queue_kept(Channel& channel) {
  if (channel.options().simulated || channel.broken || channel.behind || channel.repair_pending || mirror_running(channel) || channel.mirror.paused ||
      !channel.clean.empty() || !channel.suspect.empty() || !channel.lost.empty() || channel.lost_more ||
      channel.told_after_scan || channel.told_by_mirror || !channel.tasks.empty() ||   // No task outlives the agent that placed it.
      !channel.writer.empty() || !channel.touched.empty() || !ready_told_ || stopped_)
    return false;
  if (!channel.stream.undurable() && channel.hash_requests.empty() && channel.quarantine.empty() && jobs_.empty()) return false;
  channel.disconnect();   // Something may have connected since.
  // Asked and not answered, refused, or told by halves.
  std::vector<SetPath> doubts;
  auto doubt = [&](NodeId node) {
    if (shadow_.live(node)) doubts.push_back({shadow_.mapping(node), shadow_.path(node), false});
  };
  for (const auto& [id, request] : channel.hash_requests) doubt(request.node);
  for (const auto& job : jobs_)
    if (job->mask & channel.bit) doubt(job->node);
  for (const auto& [place, entry] : channel.quarantine) doubts.push_back({place.first, place.second, entry.deep});
  return channel.stream.keep(channel.queue_path(), stop_snapshot_, doubts, monotonic_ns() + kKeepNs);
}

}  // namespace understudy
