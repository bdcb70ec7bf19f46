// Making applied batches durable, and telling the source (I2).
#include <pthread.h>

#include <algorithm>

#include "target_receiver.h"

namespace understudy {

using std::chrono::milliseconds;

namespace {
// A checkpoint makes the disk work ahead of what the kernel would choose, at the cost of whoever writes meanwhile: this
// many times as long as one took passes before the next, unless somebody waits for it.
constexpr int kRestFactor = 4;
constexpr milliseconds kRestMax(10'000);
}  // namespace

void TargetReceiver::checkpoint_loop() {
  ::pthread_setname_np(::pthread_self(), "us-sync");
  const milliseconds interval(std::max<u32>(1, options_.checkpoint_ms));
  milliseconds rest(0);
  std::unique_lock lock(mutex_);
  while (!closing_) {
    // Sleeps without a timer while everything is durable: an idle connection costs nothing.
    sync_wake_.wait(lock, [&] { return closing_ || checkpoint_asked_ || applied_ != durable_; });
    sync_wake_.wait_for(lock, std::max(interval, rest), [&] {
      return closing_ || checkpoint_asked_ || written_ - written_synced_ >= options_.checkpoint_bytes;
    });
    if (closing_) return;   // close() does the last one
    checkpoint_asked_ = false;
    if (applied_ == durable_) continue;
    lock.unlock();
    const i64 began_ns = monotonic_ns();
    checkpoint();
    rest = std::min(kRestMax, milliseconds((monotonic_ns() - began_ns) / 1'000'000 * kRestFactor));
    lock.lock();
  }
}

void TargetReceiver::request_checkpoint() {
  {
    std::lock_guard lock(mutex_);
    checkpoint_asked_ = true;
  }
  sync_wake_.notify_one();
}

void TargetReceiver::await_durable(u64 sequence, u64 epoch) {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] {
    return durable_ >= sequence || closing_ || abandon_ || epoch != epoch_ || mark_failed_;
  });
  lock.unlock();
  send_ack();
}

// Everything up to `sequence`, all of it applied. False when that cannot be said.
bool TargetReceiver::make_durable(u64 sequence) {
  std::unique_lock lock(mutex_);
  if (durable_ >= sequence) return true;
  mark_failed_ = false;
  checkpoint_asked_ = true;
  sync_wake_.notify_one();
  wake_.wait(lock, [&] { return durable_ >= sequence || closing_ || abandon_ || mark_failed_; });
  return durable_ >= sequence;
}

void TargetReceiver::checkpoint() {
  u64 sequence, epoch, written;
  {
    std::lock_guard lock(mutex_);
    if (applied_ == durable_) return;
    sequence = applied_;
    epoch = epoch_;
    written = written_;
  }
  auto synced = roots_.sync();
  if (!synced) {
    // The kernel reports lost writes once and forgets them, so a later success would prove nothing. The stream ends
    // here: the target no longer knows it, refuses its batches, and the source has to mirror (I2, I3).
    std::unique_lock lock(mutex_);
    if (epoch != epoch_) return;   // another stream began meanwhile
    begin_stream(lock, 0);
    lock.unlock();
    report_("checkpoint_failed", {}, synced.error());
    return;
  }
  Status written_mark = ok();
  {
    std::lock_guard marks_lock(marks_mutex_);
    {
      std::lock_guard lock(mutex_);
      if (epoch != epoch_) return;
    }
    written_mark = refusals_.sync();
    if (written_mark) written_mark = marks_->write_durable(sequence);   // syncs, so nobody else shall wait for it
  }
  {
    std::lock_guard lock(mutex_);
    if (epoch != epoch_) return;
    mark_failed_ = !written_mark;
    if (written_mark) {
      durable_ = sequence;
      written_synced_ = written;
      ++statistics_.checkpoints;
    }
  }
  wake_.notify_all();
  if (!written_mark) report_("checkpoint_failed", options_.mark_path, written_mark.error());
  send_ack();
}

void TargetReceiver::send_ack() {
  wire::Ack ack{};
  {
    std::lock_guard lock(mutex_);
    if (marks_->stream() == 0 || !announced_) return;
    ack.applied = applied_;
    ack.durable = durable_;
    ack.queued_bytes = queued_bytes_;
    ack.written_bytes = written_ - written_base_;
    ack.flags = (!paused_ ? 0 : pausing() ? wire::kAckPausePending : wire::kAckPaused) |
                (retrying_ ? wire::kAckRetrying : 0) | (task_runs_ ? wire::kAckTask : 0) | (mirror_memory_.held() ? wire::kAckMirrorHold : 0);
    ack.failed = quarantined_;
    ack.applied_ns = applied_ns_;
  }
  last_ack_ns_.store(monotonic_ns());
  Bytes payload(sizeof ack);
  payload.append(&ack, sizeof ack);
  send_(wire::FrameType::ack, std::move(payload));
}

}  // namespace understudy
