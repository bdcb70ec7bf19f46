// Connections of a set come and go, and their streams begin, go on, or are repaired.
#include "source.h"

namespace understudy {

void Source::add_channel(std::shared_ptr<Channel> channel) {
  run([this, channel] { attach(channel); });
}

void Source::remove_channel(const std::shared_ptr<Channel>& channel, bool forget) {
  channel->disconnect();   // Its thread is gone then; what it queued as commands runs before the next line's.
  run([this, channel, forget] { detach(*channel, forget); });
}

void Source::attach(const std::shared_ptr<Channel>& channel) {
  for (u32 slot = 0; slot < 32 && channel->bit == 0; ++slot)
    if (!(all_ & (1u << slot))) channel->bit = 1u << slot;
  if (channel->bit == 0) {
    tell_(Fact("stream_broken").with("connection", i64{channel->options().id}).with("why", std::string("a set carries at most 32 connections")));
    return;
  }
  all_ |= channel->bit;
  if (channel->replicating) replicating_ |= channel->bit;
  if (!channel->apart.empty()) apart_ |= channel->bit;
  channels_.push_back(channel);
  channel->attached = true;
  // A connection of an earlier run: the shadow says what it holds, the touched log what is uncertain.
  const std::string marker = channel->attached_path();
  const bool known = ::access(marker.c_str(), F_OK) == 0;
  // Told everything the shadow says? Not when it was left out while the set went on, now or in an earlier run.
  if (known && ready_told_) channel->note_missed();
  const char* const gap = !known ? nullptr
                          : !shadow_loaded_ ? "the source was restarted without its shadow"
                          : power_lost_ ? "the source lost power, and with it the record of what was told last"
                          : channel->missed() ? "the set went on while this connection was closed" : nullptr;
  // What the first scan finds is no change, with nothing to compare it with: a mirror tells it, once.
  channel->told_by_mirror = channel->options().mirror_follows;
  channel->told_after_scan = !channel->told_by_mirror && !ready_told_ && (!known || !shadow_loaded_);
  if (!channel->told_after_scan && !channel->told_by_mirror)
    for (NodeId node = 1; node < shadow_.limit(); ++node) shadow_.at(node).told |= channel->bit;
  else
    for (NodeId node = 1; node < shadow_.limit(); ++node) shadow_.at(node).told &= ~channel->bit;
  Fd(::open(marker.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  channel->expects_replica = known && gap == nullptr;
  // The queue of an orderly stop goes on where it was; in any other case its files go.
  const bool sound = known && gap == nullptr && !ready_told_ && !unclean_ && loaded_snapshot_ != 0;
  const Stream::Taken queue = channel->stream.resume(channel->queue_path(), sound ? loaded_snapshot_ : 0, channel->doubts);
  channel->resumed = queue == Stream::Taken::taken;
  if (known && queue != Stream::Taken::nothing)
    tell_(Fact(channel->resumed ? "queue_resumed" : "queue_dropped").with("connection", i64{channel->options().id})
              .with("bytes", static_cast<i64>(channel->stream.counters().held)));
  // After the first look: only then is it known what is there now.
  channel->repair_pending = known && !ready_told_ && (!channel->resumed || !channel->doubts.empty());
  recall_point(*channel, known, channel->resumed && !channel->repair_pending, gap != nullptr);
  if (!known) keep_point(*channel);   // An empty file is one of an earlier release, whose replica was complete.
  if (channel->repair_pending && gap == nullptr) begin_repair(*channel);
  if (gap != nullptr) {
    channel->note_missed();   // Whoever is killed before the control plane has heard of it finds it again.
    tell_(Fact("stream_broken").with("connection", i64{channel->options().id}).with("why", std::string(gap)));
  }
  channel->connect();
}

void Source::detach(Channel& channel, bool forget) {
  // Streams are closed before their source at a clean stop: what waited in them must be looked at again.
  std::erase_if(replies_, [&](const auto& each) { return each.first == &channel; });
  channel.attached = false;
  if (!forget) left_behind_ |= unsettled(channel) || !jobs_.empty();   // The log is kept for its next start.
  if (!forget && suspended_) (void)queue_kept(channel);
  if (!forget) keep_point(channel);   // While what is under way still counts.
  cancel_work(channel);
  replicating_ &= ~channel.bit;
  all_ &= ~channel.bit;
  apart_ &= ~channel.bit;
  if (forget) ::unlink(channel.attached_path().c_str());
  else if (!suspended_) channel.note_missed();
  for (auto at = barriers_.begin(); at != barriers_.end();) {
    if (at->channel != &channel) {
      ++at;
      continue;
    }
    barrier_failed(*at, "disconnected");
    at = barriers_.erase(at);
  }
  force_ = !barriers_.empty();
  for (auto at = channels_.begin(); at != channels_.end(); ++at) {
    if (at->get() != &channel) continue;
    const std::shared_ptr<Channel> keep = *at;   // `channel` lives until here returns.
    channels_.erase(at);
    return;
  }
}

// What was told in the last run and may not have arrived, or may have moved on since.
void Source::repair_after_restart() {
  doubting_ = false;
  for (const auto& channel : channels_) {
    if (!channel->repair_pending) continue;
    channel->repair_pending = false;
    retell_all(*channel, channel->resumed ? channel->doubts : startup_repair_);
    channel->doubts.clear();
  }
  startup_repair_ = {};   // They may be a million.
}

void Source::set_replicating(Channel& channel, bool on) {
  if (!on) {
    in_doubt_until_mirrored(channel);   // What changes from here on is told by a mirror only.
    channel.mirror.missed = true;       // And not by this one where it has been.
  }
  channel.replicating = on;
  channel.counters.replicating = on;
  if (on) replicating_ |= channel.bit;
  else replicating_ &= ~channel.bit;
}

void Source::on_welcome(Channel& channel, u64 epoch, const wire::StreamPosition& position, Bytes payload) {
  auto up = [&](bool resumed) {
    return Fact("link_up").with("connection", i64{channel.options().id}).with("welcome", std::move(payload)).flag("resumed", resumed);
  };
  std::vector<SetPath> repair;
  const bool fresh = (position.flags & wire::kPositionFresh) != 0;
  const bool wiped = channel.expects_replica && fresh;
  if (fresh && channel.must_mirror) {
    in_doubt(channel, kNeverNs);   // Whatever it held once.
    keep_point(channel);
  }
  if (!channel.broken) flush(channel);   // What is in no batch yet is in doubt as well, should the rest be.
  const Resume resume = channel.broken || wiped ? Resume::broken : channel.stream.welcome(position, repair);
  if (resume == Resume::broken || resume == Resume::lost) {
    const bool unknown = fresh || (!channel.broken && !channel.stream.damaged());   // Nothing says what it holds.
    channel_broken(channel, resume == Resume::lost ? "the target lacks what it had made durable: its disk was rolled back, or does not keep what it says"
                                                   : "the target does not know this stream any more");
    if (unknown) in_doubt_until_mirrored(channel, kNeverNs);
    channel.arrived(epoch, false, up(false));
    return;
  }
  if (resume == Resume::repair) {
    if (channel.stream.spilled()) read_logged(repair);
    std::move(channel.touched.begin(), channel.touched.end(), std::back_inserter(repair));
    channel.touched.clear();
    in_doubt(channel);   // Applied and not durable counts as well, and a new stream knows nothing of it.
    restart_stream(channel);
    forget_listings(channel);
    (void)open_roots();   // Between two cycles they are closed, and extended attributes are read now.
    retell_all(channel, repair);
    channel.expects_replica = true;
    begin_repair(channel);
    channel.connect();
    return;
  }
  reissue(channel);
  channel.arrived(epoch, true, up(true));
}

// An answer is worked off with the roots open; one to a stream that has ended since is of no use.
void Source::keep_reply(Channel& channel, u64 stream, std::shared_ptr<Bytes> frame) {
  if (channel.attached && stream == channel.stream.id()) replies_.emplace_back(&channel, std::move(frame));
  else --channel.replies_pending;
}

// A new stream; the caller connects. Nothing that still comes of the old one shall be taken for the new one's.
void Source::restart_stream(Channel& channel) {
  channel.disconnect();
  channel.replies_pending -= std::erase_if(replies_, [&](const auto& each) { return each.first == &channel; });
  channel.refusals_confirmed = 0;
  channel.stream.restart();
  // Sequences begin anew: what waits for one of the old stream asks again.
  channel.mirror.waiting = false;
  for (auto& [path, entry] : channel.quarantine) {
    entry.from = entry.sequence = 0;
    if (entry.retry_ns == 0) entry.retry_ns = 1;   // What it was told may have been dropped.
  }
  tasks_lost(channel, "the stream began anew");
  for (Barrier& barrier : barriers_)
    if (barrier.channel == &channel) barrier.sequence = 0;
  force_ = !barriers_.empty();
}

}  // namespace understudy
