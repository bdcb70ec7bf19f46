#include "receiver.h"

#include "target_receiver.h"

namespace understudy {

TargetReceiver::TargetReceiver(ReceiverOptions options, Send send, Report report, Roots roots,
                               std::unique_ptr<Marks> marks)
    : options_(std::move(options)),
      send_(std::move(send)),
      report_(std::move(report)),
      roots_(std::move(roots)),
      marks_(std::move(marks)),
      links_(options_.roots, options_.remap_links),
      refusals_(options_.mark_path + ".refused"),
      applier_(roots_.descriptors(), links_, marks_->evidence(),
               [this](const char* kind, std::string detail, SysError error) {
                 report_(kind, std::move(detail), std::move(error));
               }),
      answerer_(applier_.paths(), links_, stop_answer_),
      orphans_(options_.roots, report_),
      ignore_deletes_(options_.ignore_deletes),
      interrupt_(options_.paused),
      announced_(!options_.hold_acks),
      paused_(options_.paused),
      mirror_memory_(options_.tuning->mirror_memory) {
  refusals_.load(marks_->stream());
  orphan_options_ = options_.orphans;
  applied_ = last_received_ = marks_->applied();
  durable_ = marks_->durable();
  memory_member_ = mirror_memory_.join([this] { send_ack(); });
  apply_thread_ = std::thread([this] { apply_loop(); });
  checkpoint_thread_ = std::thread([this] { checkpoint_loop(); });
}

wire::StreamPosition TargetReceiver::position(const wire::StreamPosition& hello) {
  std::unique_lock lock(mutex_);
  // A stream which is new to us is taken up only at its beginning. When the source can no longer send that (our mark
  // is gone, or speaks of another directory), the answer names the stream we know; the source then mirrors (I3).
  if (hello.stream != 0 && hello.stream != marks_->stream() && hello.applied == 0) begin_stream(lock, hello.stream);
  foreign_ = hello.stream == 0 || hello.stream != marks_->stream();
  written_base_ = written_;
  wire::StreamPosition position{};
  position.stream = marks_->stream();
  position.applied = applied_;
  position.durable = durable_;
  position.boot = marks_->boot();
  position.flags = marks_->fresh() ? wire::kPositionFresh : 0;
  position.applied_ops = marks_->applied() == applied_ ? marks_->applied_ops() : 0;
  return position;
}

void TargetReceiver::announce(u64 taken) {
  refusals_.taken(taken);
  refusals_.each([this](Bytes reply) { send_(wire::FrameType::reply, std::move(reply)); });
  {
    std::lock_guard lock(mutex_);
    announced_ = true;
  }
  send_ack();
}

void TargetReceiver::refusals_taken(u64 id) {
  refusals_.taken(id);
  wake_.notify_all();
}

// The source lost its queue: what is still queued here belongs to a past which it no longer vouches for. Stream 0: we
// lost something ourselves, and forget the stream.
void TargetReceiver::begin_stream(std::unique_lock<std::mutex>& lock, u64 stream) {
  const u64 epoch = epoch_;
  abandon_ = true;
  interrupt_.store(true);
  stop_answer_.store(true);
  wake_.notify_all();
  wake_.wait(lock, [&] { return !applying_; });
  if (stream == 0 && epoch != epoch_) return;   // a new stream began while we waited: nothing is left to forget
  queue_.clear();
  queued_bytes_ = 0;
  const u64 dropped = std::exchange(mirror_bytes_, 0);
  full_ = false;
  applied_ = durable_ = last_received_ = 0;
  applied_ns_ = 0;
  retrying_ = false;
  foreign_ = true;
  quarantine_.clear();
  refusals_.clear(stream);
  quarantined_ = 0;
  ++epoch_;
  lock.unlock();
  Status started = ok();
  {
    std::lock_guard marks_lock(marks_mutex_);
    started = marks_->start_stream(stream);
  }
  lock.lock();
  abandon_ = false;
  stop_answer_.store(closing_);
  interrupt_.store(paused_ || closing_);
  lock.unlock();
  if (!started) report_("checkpoint_failed", options_.mark_path, started.error());
  wake_.notify_all();
  mirror_memory_.give(dropped);
  lock.lock();
}

Status TargetReceiver::receive(Bytes batch) {
  auto reader = BatchReader::open(batch.data(), batch.size(), static_cast<u32>(options_.roots.size()));
  if (!reader) return reader.error();
  const u64 sequence = reader->header().sequence;
  const u64 mirror_bytes = (reader->header().flags & wire::kBatchMirror) != 0 ? batch.size() : 0;
  bool paused;
  {
    std::lock_guard lock(mutex_);
    if (closing_) return SysError{ESHUTDOWN, "receive"};
    // Also after writes were lost here: the closed link makes the source say hello, and learn that it has to mirror.
    if (foreign_) return SysError{EPROTO, "receive: batch of a stream that was not taken up"};
    if (sequence <= last_received_) return ok();   // sent again after a reconnect
    if (sequence != last_received_ + 1) return SysError{EPROTO, "receive: gap in the sequence of batches"};
    last_received_ = sequence;
    queued_bytes_ += batch.size();
    if (queued_bytes_ > options_.queue_bytes_max) full_ = true;
    mirror_bytes_ += mirror_bytes;
    mirror_memory_.count(mirror_bytes);   // Before the applier can give it back.
    queue_.push_back({sequence, std::move(batch), mirror_bytes});
    paused = paused_;
  }
  wake_.notify_all();
  mirror_memory_.look();
  if (paused) send_ack();   // Else the applier does: the source is to know what waits here.
  return ok();
}

bool TargetReceiver::has_room() const {
  std::lock_guard lock(mutex_);
  return queued_bytes_ <= options_.queue_bytes_max;
}

void TargetReceiver::on_room(std::function<void()> call) {
  std::lock_guard lock(mutex_);
  room_call_ = std::move(call);
}

void TargetReceiver::task_done(u64 ticket) {
  {
    std::lock_guard lock(mutex_);
    if (!task_runs_ || ticket != task_ticket_) return;   // of a past that ended meanwhile
    task_runs_ = false;
  }
  wake_.notify_all();
}

void TargetReceiver::pause(bool paused) {
  {
    std::lock_guard lock(mutex_);
    if (paused_ == paused) return;
    paused_ = paused;
    interrupt_.store(paused_ || closing_ || abandon_);
  }
  wake_.notify_all();
  send_ack();
}

ReceiverStatistics TargetReceiver::statistics() const {
  std::lock_guard lock(mutex_);
  ReceiverStatistics out = statistics_;
  out.written_bytes = written_;
  out.applied = applied_;
  out.durable = durable_;
  out.queued_bytes = queued_bytes_;
  out.mirror_bytes = mirror_bytes_;
  out.mirror_held = mirror_memory_.held();
  out.quarantined = quarantined_;
  out.pausing = pausing();
  out.retrying = retrying_;
  out.task = task_runs_;
  return out;
}

void TargetReceiver::close() {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    interrupt_.store(true);
    stop_answer_.store(true);
    room_call_ = nullptr;
  }
  wake_.notify_all();
  sync_wake_.notify_all();
  apply_thread_.join();
  checkpoint_thread_.join();
  checkpoint();
  mirror_memory_.leave(memory_member_);
  u64 dropped;
  {
    std::lock_guard lock(mutex_);
    dropped = std::exchange(mirror_bytes_, 0);
  }
  mirror_memory_.give(dropped);
}

Result<std::unique_ptr<Receiver>> Receiver::open(ReceiverOptions options, Send send, Report report) {
  auto roots = Roots::open(options.roots);
  if (!roots) return roots.error();
  auto marks = Marks::open(options.mark_path, options.boot != 0 ? options.boot : boot_digest(), roots->identity());
  if (!marks) return marks.error();
  if ((*marks)->replica_changed()) report("replica_changed", options.roots.front().path, SysError{ESTALE, "open(mark)"});
  return std::unique_ptr<Receiver>(new TargetReceiver(std::move(options), std::move(send), std::move(report),
                                                      std::move(*roots), std::move(*marks)));
}

}  // namespace understudy
