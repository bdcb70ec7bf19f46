// Points in the stream: barriers that somebody waits for, and tasks that travel (REP-20).
#include <algorithm>

#include "freeze.h"
#include "source.h"

namespace understudy {

void Source::barrier(Channel& channel, i64 token) {
  barriers_.push_back({.channel = &channel, .token = token, .asked_ns = 0, .sequence = 0});
  force_ = true;
  if (capture_) capture_->barrier();   // The next delivery holds everything that happened before this call.
}

void Source::task(Channel& channel, i64 token, std::shared_ptr<Bytes> payload, bool durable, std::shared_ptr<Freeze> freeze) {
  barrier(channel, token);
  barriers_.back().task = std::move(payload);
  barriers_.back().durable = durable;
  barriers_.back().freeze = std::move(freeze);
}

void Source::task_cancel(Channel& channel, i64 token) {
  for (auto at = barriers_.begin(); at != barriers_.end(); ++at) {
    if (at->channel != &channel || at->token != token || !at->task) continue;
    barrier_failed(*at, "it was cancelled");
    barriers_.erase(at);
    return;
  }
}

void Source::barrier_failed(const Barrier& barrier, const char* why) {
  Fact told = Fact(barrier.task ? "task_failed" : "barrier_failed").with("connection", i64{barrier.channel->options().id})
                  .with("token", barrier.token).with("why", std::string(why));
  if (barrier.task) told = std::move(told).flag("placed", false);
  tell_(std::move(told));
}

// What is in a stream that ends here may have run on the target, or never will.
void Source::tasks_lost(Channel& channel, const char* why) {
  for (const PlacedTask& each : channel.tasks)
    tell_(Fact("task_failed").with("connection", i64{channel.options().id}).with("token", each.token)
              .with("why", std::string(why)).flag("placed", true));
  channel.tasks.clear();
}

void Source::tasks_passed() {
  for (const auto& channel : channels_)
    while (!channel->tasks.empty() && channel->tasks.front().sequence <= channel->stream.target().applied)
      channel->tasks.pop_front();
}

// After a delivery: barriers that asked for it begin to count from here.
void Source::begin_barriers() {
  bool fresh = false;
  for (Barrier& barrier : barriers_) {
    if (barrier.asked_ns != 0) continue;
    barrier.asked_ns = monotonic_ns();
    fresh = true;
  }
  if (!fresh) return;
  if (scanning_) sweep_again_ = true;
  else begin_rescan();   // Stores through mappings raise no event; the sweep finds them.
}

bool Source::barrier_met(const Barrier& barrier) const {
  const Channel& channel = *barrier.channel;
  if (scanning_ || sweep_again_ || !scan_.empty() || !missing_.empty() || !times_.empty()) return false;
  if (mirror_running(channel) || channel.told_by_mirror || channel.repair_pending || channel.behind) return false;
  for (const Dirty& dirty : dirty_)
    if (dirty.since_ns <= barrier.asked_ns || dirty.attempts > 0) return false;
  for (const auto& job : jobs_)
    if ((job->mask & channel.bit) && job->since_ns <= barrier.asked_ns) return false;
  for (const auto& [object, written] : written_)
    if (written.unproven_ns != 0 && written.unproven_ns <= barrier.asked_ns) return false;
  for (const auto& [id, request] : channel.hash_requests)
    if (!request.verify && request.since_ns <= barrier.asked_ns) return false;
  for (const auto& [path, entry] : channel.quarantine)
    if (entry.attempts < 4) return false;   // A path that keeps failing is named in the status, it does not block.
  return true;
}

// What keeps a barrier from ever being reached, until somebody acts; null: nothing.
const char* Source::barrier_blocked(const Barrier& barrier) const {
  const Channel& channel = *barrier.channel;
  if (channel.broken) return "a mirror is required";
  if (stopped_) return "the set is stopped: a root is not what it was";
  if (held_) return "the set is stopped by its mass-delete guard";
  if (!channel.replicating && !channel.mirror.active) return "replication is stopped";
  if (channel.mirror.paused) return "the mirror is paused";
  if (barrier.freeze && !barrier.freeze->held()) return "the file system was released before everything was read";
  return nullptr;
}

void Source::finish_barriers() {
  for (auto at = barriers_.begin(); at != barriers_.end();) {
    Channel& channel = *at->channel;
    const char* failed = barrier_blocked(*at);
    if (failed == nullptr && at->sequence == 0 && at->asked_ns != 0 && barrier_met(*at)) {
      wire::OpHeader header{};
      header.kind = static_cast<u8>(at->task ? wire::OpKind::task : wire::OpKind::checkpoint);
      if (at->task) {
        // In a batch of its own: what has to be durable before it are whole batches.
        flush(channel);
        header.arg0 = at->durable ? wire::kTaskDurable : 0;
        emit_to(channel, false, header, {}, {}, {reinterpret_cast<const char*>(at->task->data()), at->task->size()});
      } else {
        emit_to(channel, false, header, {}, {}, {});
      }
      flush(channel);
      if (channel.behind) {   // There was no room for it, or for what it stands behind.
        ++at;
        continue;
      }
      at->sequence = channel.stream.last_sequence();
      failed = barrier_blocked(*at);   // the queue may have been full
      if (failed == nullptr && at->task) {
        channel.tasks.push_back({at->token, at->sequence});
        tell_(Fact("task_placed").with("connection", i64{channel.options().id}).with("token", at->token)
                  .with("sequence", static_cast<i64>(at->sequence)));
        at = barriers_.erase(at);
        continue;
      }
    }
    if (failed != nullptr) {
      barrier_failed(*at, failed);
    } else if (at->sequence != 0 && channel.stream.target().durable >= at->sequence) {
      // What the target refused since is told again first.
      if (channel.replies_pending != 0) {
        ++at;
        continue;
      }
      if (!channel.quarantine.empty() && !barrier_met(*at)) {
        at->sequence = 0;
        ++at;
        continue;
      }
      tell_(Fact("barrier_done").with("connection", i64{channel.options().id}).with("token", at->token));
    } else {
      ++at;
      continue;
    }
    at = barriers_.erase(at);
  }
  force_ = std::any_of(barriers_.begin(), barriers_.end(), [](const Barrier& each) { return each.sequence == 0; });
}

}  // namespace understudy
