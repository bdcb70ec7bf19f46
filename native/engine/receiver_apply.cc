// The applier's thread: batches in order, each operation until it is done, refused, or the receiver is closed.
#include <pthread.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "memory.h"
#include "target_receiver.h"

namespace understudy {
namespace {

using std::chrono::milliseconds;
using wire::OpKind;

constexpr std::size_t kHeartbeatBytes = sizeof(wire::BatchHeader) + sizeof(wire::OpHeader);
constexpr i64 kAckIntervalNs = 1'000'000;
constexpr i64 kDirectoryAgeNs = 1'000'000'000;   // how long a cached directory is trusted
constexpr int kQuickTriesMax = 5;
constexpr milliseconds kQuickPause{10};
constexpr u32 kReportsPerSecondMax = 50;         // of single paths (I8); every refusal is counted and answered anyway
constexpr u64 kRoomLeftMin = 1u << 20;           // with less free than this the disk counts as full

// Conditions of the whole server, not of one path: nothing may be skipped (I2), so the stream waits.
bool blocks_stream(int code) {
  switch (code) {
    case ENOSPC: case EDQUOT: case EROFS: case EIO: case ENOMEM: case EMFILE: case ENFILE: return true;
    default: return false;
  }
}

bool passes_quickly(int code) {
  return code == EAGAIN || code == EINTR || code == EBUSY || code == ETXTBSY || code == ESTALE;
}

bool is_request(OpKind kind) {
  return kind == OpKind::manifest || kind == OpKind::hashes || kind == OpKind::digest;
}

}  // namespace

void TargetReceiver::apply_loop() {
  ::pthread_setname_np(::pthread_self(), "us-apply");
  applier_.adopt_thread();
  answerer_.set_own_cwd(applier_.has_own_umask());
  i64 directories_since = monotonic_ns();
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return closing_ || (!queue_.empty() && !paused_ && !abandon_); });
    if (closing_) return;
    Queued batch = std::move(queue_.front());
    queue_.pop_front();
    applying_ = true;
    lock.unlock();

    const i64 now = monotonic_ns();
    if (now - directories_since > kDirectoryAgeNs) {
      applier_.forget_directories();
      directories_since = now;
    }
    auto reader = BatchReader::open(batch.bytes.data(), batch.bytes.size(), static_cast<u32>(options_.roots.size()));
    const bool whole = reader && apply_batch(*reader);   // it was valid when it came in
    applier_.settle();

    std::function<void()> room;
    lock.lock();
    applying_ = false;
    queued_bytes_ -= std::min<u64>(queued_bytes_, batch.bytes.size());
    const u64 released = std::min(mirror_bytes_, batch.mirror_bytes);
    mirror_bytes_ -= released;
    const bool first_undurable = whole && applied_ == durable_ && changing_;
    if (whole) {
      // A heartbeat on top of what is durable leaves nothing to make durable: an idle disk may sleep.
      if (applied_ == durable_ && !changing_) durable_ = batch.sequence;
      applied_ = batch.sequence;
      applied_ns_ = reader->header().sent_ns;
      ++statistics_.batches;
    }
    if (full_ && queued_bytes_ <= options_.queue_bytes_max) {
      full_ = false;
      room = room_call_;
    }
    const bool idle = queue_.empty() || paused_;   // what is paused is told at once, too
    const bool due = written_ - written_synced_ >= options_.checkpoint_bytes;
    const bool sync_now = whole && sync_asked_;
    sync_asked_ = false;
    const u64 epoch = epoch_;
    lock.unlock();
    wake_.notify_all();
    mirror_memory_.give(released);
    if (first_undurable) sync_wake_.notify_one();
    if (batch.bytes.size() > kHeartbeatBytes) memory_used();
    else if (idle) memory_rests();
    if (idle) applier_.forget_directories();   // nothing of the replica stays busy while nothing happens
    if (room) room();
    if (sync_now) request_checkpoint();
    else if (due) sync_wake_.notify_one();
    if (sync_now) await_durable(batch.sequence, epoch);
    else if (idle || monotonic_ns() - last_ack_ns_.load() >= kAckIntervalNs) send_ack();
    lock.lock();
  }
}

// False when the batch was left before its end (close, or the stream was given up).
bool TargetReceiver::apply_batch(BatchReader& reader) {
  const u64 sequence = reader.header().sequence;
  const u32 done = marks_->applied_ops();
  const bool doubt = marks_->in_doubt();
  u64 operations = 0;
  OpView op;
  std::string_view last_path;
  changing_ = done > 0;
  if (!await_roots()) return false;
  while (reader.next(op)) {
    if (op.index < done) continue;   // before this process was started again
    if (interrupt_.load(std::memory_order_relaxed) && !await_go()) {
      note_progress(operations, last_path);
      return false;
    }
    applier_.set_ignore_deletes(ignore_deletes_.load(std::memory_order_relaxed));
    const u64 id = (sequence << 17 | op.index) + 1;
    const bool doubtful = doubt && op.index == done;
    marks_->begin_operation(sequence, op.index);
    const bool performed = perform(op, sequence, id, doubtful);
    written_.store(applier_.written_bytes(), std::memory_order_relaxed);
    if (!performed) {
      // The mark says "begun": after a restart this operation is the doubtful one, which it is.
      note_progress(operations, last_path);
      return false;
    }
    marks_->end_operation(sequence, op.index);
    if (doubtful) marks_->doubt_settled();
    ++operations;
    if (!op.path.empty()) last_path = op.path;
  }
  marks_->doubt_settled();
  marks_->end_batch(sequence);
  note_progress(operations, last_path);
  return true;
}

void TargetReceiver::note_progress(u64 operations, std::string_view last_path) {
  std::lock_guard lock(mutex_);
  statistics_.operations += operations;
  if (!last_path.empty()) statistics_.last_path.assign(last_path);
}

// True when the operation is done with (applied, or handed back to the source); false when we must stop.
bool TargetReceiver::perform(const OpView& op, u64 sequence, u64 id, bool doubtful) {
  const auto kind = static_cast<OpKind>(op.header.kind);
  if (kind == OpKind::heartbeat) return true;   // the acknowledgement of its batch is the answer
  changing_ = true;
  switch (kind) {
    case OpKind::checkpoint: {
      std::lock_guard lock(mutex_);
      sync_asked_ = true;
      return true;
    }
    case OpKind::task: return run_task(op, sequence);
    case OpKind::orphan: {
      OrphanOptions wanted;
      {
        std::lock_guard lock(mutex_);
        wanted = orphan_options_;
      }
      applier_.settle();
      orphans_.handle(applier_.paths(), op, wanted);
      return true;
    }
    default: break;
  }
  int quick = 0;
  bool retrying = false;
  for (;;) {
    Status status = is_request(kind) ? answer(op) : applier_.apply(op, id, doubtful);
    if (status) {
      if (retrying) leave_retrying("retry_succeeded", op.path);
      if (!quarantine_.empty() && !is_request(kind)) repaired(op);
      return true;
    }
    SysError error = status.error();
    applier_.settle();
    if (error.code == ECANCELED) return false;
    if (passes_quickly(error.code) && quick++ < kQuickTriesMax) {
      if (!wait_for(kQuickPause)) return false;
      continue;
    }
    const std::string* gone = roots_.missing();
    const bool blocked = gone != nullptr || (blocks_stream(error.code) && !only_this_object(op, error));
    if (!blocked) {
      if (retrying) leave_retrying("retry_ended", op.path);
      return refuse(op, sequence, std::move(error));
    }
    if (!retrying) {
      retrying = true;
      if (gone != nullptr) enter_retrying("root_gone", *gone, std::move(error));
      else enter_retrying("retrying", std::string(op.path), std::move(error));
    }
    if (!wait_for(milliseconds(options_.retry_ms))) return false;
    doubtful = true;   // parts of it may have happened in the failed try
  }
}

// Whether the task has run before is not known here: the control plane keeps a record of it (REP-20). False when we must
// stop; the mark then says that this operation had begun, and it comes again.
bool TargetReceiver::run_task(const OpView& op, u64 sequence) {
  applier_.settle();
  if (!options_.on_task) {
    report_("task", std::string(op.data), {});
    return true;
  }
  const bool ready = op.header.arg0 != wire::kTaskDurable || make_durable(sequence - 1);
  Bytes payload(op.data.size());
  payload.append(op.data.data(), op.data.size());
  u64 ticket;
  {
    std::lock_guard lock(mutex_);
    if (closing_ || abandon_) return false;
    task_runs_ = true;
    ticket = ++task_ticket_;
  }
  options_.on_task(ticket, std::move(payload), ready);
  send_ack();   // says that a task runs
  bool done;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return !task_runs_ || closing_ || abandon_; });
    done = !task_runs_;
    task_runs_ = false;
  }
  applier_.forget_directories();   // the task may have moved anything
  return done;
}

Status TargetReceiver::answer(const OpView& op) {
  applier_.settle();
  return answerer_.answer(op, [this](Bytes reply) { send_(wire::FrameType::reply, std::move(reply)); });
}

// ext4 says ENOSPC when one object's attributes do not fit into their block; waiting would not help.
bool TargetReceiver::only_this_object(const OpView& op, const SysError& error) {
  if (error.code != ENOSPC || static_cast<OpKind>(op.header.kind) != OpKind::xattrs) return false;
  struct statvfs room;
  const int root = applier_.paths().root(op.header.mapping);
  return ::fstatvfs(root, &room) == 0 && room.f_bavail * room.f_frsize > kRoomLeftMin;
}

void TargetReceiver::enter_retrying(const char* kind, std::string detail, SysError error) {
  {
    std::lock_guard lock(mutex_);
    retrying_ = true;
  }
  report_(kind, std::move(detail), std::move(error));
  send_ack();
}

void TargetReceiver::leave_retrying(const char* kind, std::string_view path) {
  {
    std::lock_guard lock(mutex_);
    retrying_ = false;
  }
  report_(kind, std::string(path), {});
  send_ack();
}

// Hands a failed operation back to the source, which repairs the path (P6). False when we must stop.
bool TargetReceiver::refuse(const OpView& op, u64 sequence, SysError error) {
  // The source takes them at once, or there is none and we are about to end.
  while (refusals_.full())
    if (!wait_for(milliseconds(100))) return false;
  const std::string_view call = std::string_view(error.call).substr(0, wire::kNakCallMax);
  Bytes reply(sizeof(wire::ReplyHeader) + sizeof(wire::OpHeader) + op.path.size() + op.path2.size() + call.size());
  wire::ReplyHeader header{};
  header.kind = static_cast<u8>(wire::Reply::nak);
  header.flags = wire::kReplyLast;
  header.error = static_cast<u32>(error.code);
  header.id = refusals_.next_id();
  header.arg0 = sequence;
  header.arg1 = op.index;
  wire::OpHeader failed = op.header;
  failed.data_len = 0;
  failed.size = static_cast<u32>((sizeof failed + op.path.size() + op.path2.size() + 7) & ~std::size_t{7});
  reply.append(&header, sizeof header);
  reply.append(&failed, sizeof failed);
  reply.append(op.path.data(), op.path.size());
  reply.append(op.path2.data(), op.path2.size());
  reply.append(call.data(), call.size());
  quarantine_.add(op);
  {
    std::lock_guard lock(mutex_);
    quarantined_ = quarantine_.count();
    ++statistics_.failed;
  }
  if (Status kept = refusals_.add(reply); !kept) report_("checkpoint_failed", options_.mark_path, kept.error());
  send_(wire::FrameType::reply, std::move(reply));
  const i64 now = monotonic_ns();
  if (now - reports_since_ns_ > 1'000'000'000) {
    reports_since_ns_ = now;
    reports_ = 0;
  }
  if (reports_++ < kReportsPerSecondMax) report_("quarantined", std::string(op.path), std::move(error));
  return true;
}

void TargetReceiver::repaired(const OpView& op) {
  quarantine_.succeeded(op);
  std::lock_guard lock(mutex_);
  quarantined_ = quarantine_.count();
}

// Nothing is written to a root that is not there any more; waits until it is back.
bool TargetReceiver::await_roots() {
  bool reported = false;
  while (const std::string* gone = roots_.missing()) {
    if (!reported) enter_retrying("root_gone", *gone, SysError{ENOENT, "stat(root)"});
    reported = true;
    if (!wait_for(milliseconds(options_.retry_ms))) return false;
  }
  if (reported) {
    applier_.forget_directories();
    leave_retrying("root_returned", {});
  }
  return true;
}

// Between operations: waits while paused. False when the batch shall be left.
bool TargetReceiver::await_go() {
  applier_.settle();
  std::unique_lock lock(mutex_);
  if (paused_ && !closing_ && !abandon_) {
    holding_ = true;
    lock.unlock();
    send_ack();   // pending until now
    lock.lock();
    wake_.wait(lock, [&] { return closing_ || abandon_ || !paused_; });
    holding_ = false;
  }
  return !closing_ && !abandon_;
}

// False when it was ended by close or by a new stream.
bool TargetReceiver::wait_for(milliseconds time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [&] { return closing_ || abandon_; });
}

}  // namespace understudy
