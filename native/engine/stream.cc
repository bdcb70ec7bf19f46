#include "stream.h"

#include <sys/random.h>

#include <algorithm>
#include <iterator>

namespace understudy {

namespace {
// Paths remembered in memory for repair after a power loss of the target.
constexpr u64 kTouchedMax = 2'000'000;
constexpr u64 kRoomMax = 24u << 20;
constexpr u64 kTypicalMax = 512u << 10;   // of a batch
constexpr u64 kMirrorOpBytes = 32u << 10; // of mirror data that count as one operation (SRV-54)
constexpr u64 kLittle = 256u << 10;       // waiting bytes that nobody waits for room because of

u64 random_id() {
  u64 id = 0;
  while (id == 0)
    if (::getrandom(&id, sizeof id, 0) != sizeof id) id = static_cast<u64>(monotonic_ns()) | 1;
  return id;
}
}  // namespace

Stream::Stream(std::shared_ptr<QueueBudget> budget, DiskQueueOptions disk, std::shared_ptr<const Tuning> tuning)
    : budget_(std::move(budget)), tuning_(std::move(tuning)), disk_(std::move(disk)), id_(random_id()),
      room_bytes_(std::min<u64>(budget_->bytes() / 2, kRoomMax)), typical_(std::min<u64>(budget_->bytes() / 16, kTypicalMax)) {
  budget_->join();
}

Stream::~Stream() {
  budget_->give(memory_, memory_);
  budget_->leave();
}

// ------------------------------------------------------------------------------------------------------------ counting

void Stream::count(const StreamBatch& batch) {
  const u64 bytes = batch.bytes->size();
  queued_bytes_ += bytes;
  counters_.queued_ops += batch.operations;
  counters_.queued_bytes += batch.data_bytes;
  if (!batch.mirror) return;
  mirror_bytes_ += bytes;
  mirror_ops_ += batch.operations;
  counters_.queued_mirror_ops += batch.operations;
  counters_.queued_mirror_bytes += batch.data_bytes;
}

void Stream::uncount(const StreamBatch& batch) {
  const u64 bytes = batch.bytes->size();
  queued_bytes_ -= bytes;
  counters_.queued_ops -= batch.operations;
  counters_.queued_bytes -= batch.data_bytes;
  if (!batch.mirror) return;
  mirror_bytes_ -= bytes;
  mirror_ops_ -= batch.operations;
  counters_.queued_mirror_ops -= batch.operations;
  counters_.queued_mirror_bytes -= batch.data_bytes;
}

// Into memory; the budget has been asked.
void Stream::hold(StreamBatch batch, TouchedPaths touched) {
  remember(batch.sequence, std::move(touched));
  memory_ += DiskQueue::cost(batch);
  batches_.push_back(std::move(batch));
}

void Stream::remember(u64 sequence, TouchedPaths touched) {
  memory_ += touched.bytes();
  touched_count_ += touched.count();
  touched_.push_back({sequence, std::move(touched)});
}

void Stream::release(u64 bytes) {
  budget_->give(memory_, bytes);
  memory_ -= bytes;
}

void Stream::forget_queued() {
  batches_.clear();
  touched_.clear();
  refused_from_ = forgotten_ = 0;
  sent_index_ = 0;
  moving_ = 0;
  in_flight_ = touched_count_ = 0;
  queued_bytes_ = mirror_bytes_ = mirror_ops_ = 0;
  release(memory_);
  ++generation_;
  damaged_ = false;
  damage_ = {};
  counters_.queued_ops = counters_.queued_bytes = counters_.queued_mirror_ops = counters_.queued_mirror_bytes = 0;
  marks_.clear();
}

void Stream::damage(SysError error) {
  damage_ = std::move(error);
  damaged_.store(true, std::memory_order_release);
}

SysError Stream::damage() const {
  std::lock_guard lock(mutex_);
  return damage_;
}

// -------------------------------------------------------------------------------------------------------- worker side

bool Stream::push(StreamBatch batch, const std::vector<SetPath>& touched) {
  const u64 sequence = batch.sequence;
  const i64 change_ns = batch.change_ns;
  TouchedPaths packed(touched);
  {
    std::lock_guard lock(mutex_);
    const bool fits = !spilled() && touched_count_ + packed.count() <= kTouchedMax &&
                      budget_->take(memory_, DiskQueue::cost(batch) + packed.bytes(), !disk_.enabled());
    if (!fits && !disk_.enabled()) return false;
    count(batch);
    next_ = batch.sequence + 1;
    if (fits) {
      marks_.closed(sequence, change_ns, monotonic_ns());
      hold(std::move(batch), std::move(packed));
      return true;
    }
  }
  // Not under the mutex: acknowledgements go on while the disk is slow. Only this thread adds, so the order is kept.
  const Status appended = disk_.append(id_, batch, touched);
  std::lock_guard lock(mutex_);
  if (appended) {
    marks_.closed(sequence, change_ns, monotonic_ns());
    return true;
  }
  uncount(batch);
  next_ = batch.sequence;
  return false;
}

bool Stream::has_room(bool flowing, bool begun) {
  const u64 most = begun ? 2 * room_bytes_ : room_bytes_;
  if (!spilled() && (queued_bytes_ == 0 || budget_->would_take(memory_, typical_)) && (!flowing || queued_bytes_ < most)) return true;
  return !flowing && disk_.room();
}

bool Stream::walk_room(bool mirror) const {
  const bool behind = spilled();
  if (!mirror) return !behind && queued_bytes_ < room_bytes_;
  // Beside a backlog of changes on disk a mirror has its share, and no more.
  const u64 pending = tuning_->mirror_pending;
  return mirror_ops_ < pending && mirror_bytes_ < std::min(room_bytes_, pending * kMirrorOpBytes) && (behind || queued_bytes_ == 0 || budget_->would_take(memory_, typical_));
}

bool Stream::undurable() const {
  std::lock_guard lock(mutex_);
  return touched_count_ > 0 || spilled();
}

std::vector<SetPath> Stream::break_off() {
  std::vector<SetPath> all;
  std::lock_guard lock(mutex_);
  for (const Touched& touched : touched_) touched.paths.append_to(all);
  forget_queued();
  disk_.clear();
  return all;
}

void Stream::restart() {
  std::lock_guard lock(mutex_);
  id_ = random_id();
  next_ = 1;
  forget_queued();
  disk_.clear();
  target_ = {};
  target_flags_ = 0;
  refusals_taken_ = 0;
}

u64 Stream::id() const {
  std::lock_guard lock(mutex_);
  return id_;
}

// ---------------------------------------------------------------------------------------------------------- link side

u64 Stream::lowest() const {
  if (!batches_.empty()) return batches_.front().sequence;
  if (moving_ != 0) return moving_;
  return disk_.unread() != 0 ? disk_.first_unread() : next_.load();
}

wire::StreamPosition Stream::hello() const {
  std::lock_guard lock(mutex_);
  wire::StreamPosition position{};
  position.stream = id_;
  position.applied = lowest() - 1;
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
  if (damaged_) return Resume::broken;
  const bool known = target.stream == id_;
  if (known && target.applied >= next_) return Resume::broken;
  // A disk that lied, or one that was rolled back: what was told since then is known by no name any more.
  if (known && target.durable < forgotten_) return Resume::lost;
  // A stream that the target does not know: fine while nothing of it was ever applied. Or it was lost with the power,
  // and then everything told in it may be there in any part.
  if (!known && target_.durable != 0) return Resume::broken;
  if (!known && !power_lost) return lowest() == 1 ? Resume::resumed : Resume::broken;
  if ((known && target.applied + 1 < lowest()) || (power_lost && (!touched_.empty() || spilled()))) {
    // Batches which we dropped as applied are gone on the target (power loss: it stands at its durable mark). Every
    // path touched since then is compared again; the caller restarts the stream, which drops what still waits.
    const u64 durable = known ? target.durable : 0;
    for (const Touched& touched : touched_)
      if (touched.sequence > durable) touched.paths.append_to(repair);
    return Resume::repair;
  }
  return Resume::resumed;
}

StreamBatch Stream::take(u64 window) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (in_flight_ > 0 && in_flight_ >= window) return {};
    if (sent_index_ < batches_.size()) {
      StreamBatch batch = batches_[sent_index_++];
      in_flight_ += batch.bytes->size();
      return batch;
    }
    if (damaged_ || disk_.unread() == 0) return {};
    // The next one is on disk. The mutex is not held while it is read; only this thread reads.
    const u64 generation = generation_;
    lock.unlock();
    Result<u64> cost = disk_.peek();
    lock.lock();
    if (generation != generation_) continue;
    if (!cost) {
      if (cost.error().code != ECANCELED) damage(cost.error());
      return {};
    }
    // An acknowledgement makes room. With nothing on its way none would come: then it goes in any case.
    if (batches_.empty()) budget_->charge(memory_, *cost);
    else if (!budget_->take(memory_, *cost)) return {};
    memory_ += *cost;
    moving_ = disk_.first_unread();
    lock.unlock();
    Result<DiskRecord> record = disk_.read();
    lock.lock();
    if (generation != generation_) continue;   // What was taken went with the rest.
    moving_ = 0;
    release(*cost);
    if (!record) {
      if (record.error().code != ECANCELED) damage(record.error());
      return {};
    }
    const u64 sequence = record->batch.sequence;
    const bool applied = sequence <= target_.applied;   // Before the stop of an earlier run, and we did not hear of it.
    TouchedPaths touched(record->touched);
    budget_->charge(memory_, touched.bytes() + (applied ? 0 : DiskQueue::cost(record->batch)));
    if (!applied) {
      hold(std::move(record->batch), std::move(touched));
      continue;
    }
    uncount(record->batch);
    remember(sequence, std::move(touched));
    forget_durable(target_.durable);
    disk_.applied(sequence);
  }
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

bool Stream::acknowledge(const wire::Ack& ack) {
  std::lock_guard lock(mutex_);
  const bool much = memory_ > kLittle || queued_bytes_ > kLittle || disk_.bytes() != 0;
  target_ = {ack.applied, ack.durable, ack.queued_bytes, ack.flags, ack.failed};
  target_flags_ = ack.flags;
  marks_.acknowledged(ack.applied, ack.durable);
  while (!batches_.empty() && batches_.front().sequence <= ack.applied) {
    const StreamBatch& batch = batches_.front();
    const u64 bytes = batch.bytes->size();
    uncount(batch);
    if (sent_index_ > 0) {
      --sent_index_;
      in_flight_ -= bytes;
    }
    release(bytes);
    batches_.pop_front();
  }
  forget_durable(ack.durable);
  if (disk_.bytes() != 0) disk_.applied(std::min(ack.applied, lowest() - 1));
  return much;
}

void Stream::refused(u64 sequence) {
  std::lock_guard lock(mutex_);
  if (sequence == 0 || sequence >= next_) return;
  if (refused_from_ == 0 || sequence < refused_from_) refused_from_ = sequence;
}

std::vector<SetPath> Stream::take_moved(bool& beyond) {
  std::lock_guard lock(mutex_);
  std::vector<SetPath> moved;
  for (const Touched& touched : touched_) {
    if (touched.sequence < refused_from_) continue;
    touched.paths.each([&](const SetPath& path) {
      if (path.moved) moved.push_back(path);
    });
  }
  beyond = spilled();
  refused_from_ = 0;
  forget_durable(target_.durable);
  return moved;
}

void Stream::forget_durable(u64 durable) {
  if (refused_from_ != 0) durable = std::min(durable, refused_from_ - 1);
  while (!touched_.empty() && touched_.front().sequence <= durable) {
    if (!touched_.front().paths.empty()) forgotten_ = touched_.front().sequence;
    touched_count_ -= touched_.front().paths.count();
    release(touched_.front().paths.bytes());
    touched_.pop_front();
  }
}

void Stream::link_lost() {
  std::lock_guard lock(mutex_);
  sent_index_ = 0;
  in_flight_ = 0;
  target_flags_ = 0;
}

TargetFacts Stream::target() const {
  std::lock_guard lock(mutex_);
  return target_;
}

StreamCounters Stream::counters() const {
  std::lock_guard lock(mutex_);
  StreamCounters now = counters_;
  now.held = queued_bytes_;
  now.memory = memory_;
  now.disk = disk_.bytes();
  now.capacity = budget_->share() + disk_.capacity();
  return now;
}

i64 Stream::oldest_unapplied_ns() const {
  std::lock_guard lock(mutex_);
  if (!batches_.empty()) return batches_.front().since_ns;
  return spilled() ? resumed_since_ns_ : 0;
}

i64 Stream::oldest_change_ns(bool durable) const {
  std::lock_guard lock(mutex_);
  return marks_.oldest_behind(durable ? target_.durable : target_.applied);
}

void Stream::vouched(i64 since_ns) {
  std::lock_guard lock(mutex_);
  if (target_.applied > target_.durable) marks_.vouched(target_.applied, since_ns);
}

i64 Stream::proven_ns() const {
  std::lock_guard lock(mutex_);
  return marks_.proven_ns();
}

}  // namespace understudy
