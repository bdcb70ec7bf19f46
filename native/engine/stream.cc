#include "stream.h"

#include <sys/random.h>

#include <algorithm>
#include <iterator>

namespace understudy {

namespace {
// Paths remembered for repair after a power loss of the target. Beyond it the whole tree is compared instead.
constexpr u64 kTouchedMax = 2'000'000;

u64 random_id() {
  u64 id = 0;
  while (id == 0)
    if (::getrandom(&id, sizeof id, 0) != sizeof id) id = static_cast<u64>(monotonic_ns()) | 1;
  return id;
}
}  // namespace

Stream::Stream(u64 bytes_max)
    : id_(random_id()), bytes_max_(bytes_max), room_bytes_(std::min<u64>(bytes_max / 2, 24u << 20)) {}

bool Stream::push(StreamBatch batch, std::vector<SetPath> touched) {
  std::lock_guard lock(mutex_);
  if (broken_) return false;
  const u64 bytes = batch.bytes->size();
  if (queued_bytes_ + bytes > bytes_max_ || touched_count_ + touched.size() > kTouchedMax) {
    broken_ = true;
    batches_.clear();
    touched_.push_back({batch.sequence, std::move(touched)});   // for take_touched
    sent_index_ = 0;
    in_flight_ = 0;
    queued_bytes_ = 0;
    counters_.queued_ops = counters_.queued_bytes = counters_.queued_mirror_ops = counters_.queued_mirror_bytes = 0;
    return false;
  }
  queued_bytes_ += bytes;
  counters_.queued_ops += batch.operations;
  counters_.queued_bytes += batch.data_bytes;
  if (batch.mirror) {
    counters_.queued_mirror_ops += batch.operations;
    counters_.queued_mirror_bytes += batch.data_bytes;
  }
  touched_count_ += touched.size();
  touched_.push_back({batch.sequence, std::move(touched)});
  next_ = batch.sequence + 1;
  batches_.push_back(std::move(batch));
  return true;
}

bool Stream::undurable() const {
  std::lock_guard lock(mutex_);
  return touched_count_ > 0;
}

std::vector<SetPath> Stream::take_touched() {
  std::lock_guard lock(mutex_);
  std::vector<SetPath> all;
  for (Touched& touched : touched_) std::move(touched.paths.begin(), touched.paths.end(), std::back_inserter(all));
  touched_.clear();
  touched_count_ = 0;
  return all;
}

void Stream::restart() {
  std::lock_guard lock(mutex_);
  id_ = random_id();
  next_ = 1;
  broken_ = false;
  batches_.clear();
  touched_.clear();
  sent_index_ = 0;
  in_flight_ = touched_count_ = 0;
  queued_bytes_ = 0;
  target_ = {};
  refusals_taken_ = 0;
  counters_.queued_ops = counters_.queued_bytes = counters_.queued_mirror_ops = counters_.queued_mirror_bytes = 0;
}

u64 Stream::id() const {
  std::lock_guard lock(mutex_);
  return id_;
}

wire::StreamPosition Stream::hello() const {
  std::lock_guard lock(mutex_);
  wire::StreamPosition position{};
  position.stream = id_;
  position.applied = batches_.empty() ? next_ - 1 : batches_.front().sequence - 1;
  position.durable = refusals_taken_;
  return position;
}

void Stream::refusal_taken(u64 id) {
  std::lock_guard lock(mutex_);
  refusals_taken_ = std::max(refusals_taken_, id);
}

u64 Stream::refusals_taken() const {
  std::lock_guard lock(mutex_);
  return refusals_taken_;
}

Resume Stream::welcome(const wire::StreamPosition& target, std::vector<SetPath>& repair) {
  std::lock_guard lock(mutex_);
  sent_index_ = 0;
  in_flight_ = 0;
  // After a loss of power the target holds any part of what it had not made durable, not a beginning of it: nothing
  // of that may be repeated as it was told.
  const bool power_lost = boot_ != 0 && (target.boot != boot_ || target.boot == 0);
  boot_ = target.boot;
  const u64 lowest = batches_.empty() ? next_.load() : batches_.front().sequence;
  if (target.stream != id_ || target.applied >= next_) {
    // The target does not know this stream: fine while nothing of it was ever applied.
    if (target.stream != id_ && lowest == 1) return Resume::resumed;
    return Resume::broken;
  }
  if (target.applied + 1 < lowest || (power_lost && !touched_.empty())) {
    // Batches which we dropped as applied are gone on the target (power loss: it stands at its durable mark). Every
    // path touched since then is compared again; the caller restarts the stream, which drops what still waits.
    for (const Touched& touched : touched_)
      if (touched.sequence > target.durable) repair.insert(repair.end(), touched.paths.begin(), touched.paths.end());
    return Resume::repair;
  }
  return Resume::resumed;
}

StreamBatch Stream::take(u64 window) {
  std::lock_guard lock(mutex_);
  if (sent_index_ >= batches_.size() || (in_flight_ > 0 && in_flight_ >= window)) return {};
  StreamBatch batch = batches_[sent_index_++];
  in_flight_ += batch.bytes->size();
  return batch;
}

void Stream::sent(const StreamBatch& batch, u64 wire_bytes) {
  std::lock_guard lock(mutex_);
  counters_.sent_bytes += batch.data_bytes;
  counters_.sent_compressed += wire_bytes;
  if (batch.mirror) {
    counters_.sent_mirror += batch.data_bytes;
    counters_.sent_mirror_compressed += wire_bytes;
  }
}

void Stream::acknowledge(const wire::Ack& ack) {
  std::lock_guard lock(mutex_);
  target_ = {ack.applied, ack.durable, ack.queued_bytes, ack.flags, ack.failed};
  while (!batches_.empty() && batches_.front().sequence <= ack.applied) {
    const StreamBatch& batch = batches_.front();
    const u64 bytes = batch.bytes->size();
    queued_bytes_ -= bytes;
    counters_.queued_ops -= batch.operations;
    counters_.queued_bytes -= batch.data_bytes;
    if (batch.mirror) {
      counters_.queued_mirror_ops -= batch.operations;
      counters_.queued_mirror_bytes -= batch.data_bytes;
    }
    if (sent_index_ > 0) {
      --sent_index_;
      in_flight_ -= bytes;
    }
    batches_.pop_front();
  }
  while (!touched_.empty() && touched_.front().sequence <= ack.durable) {
    touched_count_ -= touched_.front().paths.size();
    touched_.pop_front();
  }
}

void Stream::link_lost() {
  std::lock_guard lock(mutex_);
  sent_index_ = 0;
  in_flight_ = 0;
}

TargetFacts Stream::target() const {
  std::lock_guard lock(mutex_);
  return target_;
}

StreamCounters Stream::counters() const {
  std::lock_guard lock(mutex_);
  StreamCounters now = counters_;
  now.held = queued_bytes_;
  now.room = room_bytes_;
  return now;
}

i64 Stream::oldest_unapplied_ns() const {
  std::lock_guard lock(mutex_);
  return batches_.empty() ? 0 : batches_.front().since_ns;
}

}  // namespace understudy
