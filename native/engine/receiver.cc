#include "receiver.h"

#include <pthread.h>
#include <sched.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "apply.h"
#include "batch_reader.h"
#include "manifest.h"
#include "marks.h"
#include "quarantine.h"
#include "receiver_roots.h"

namespace understudy {
namespace {

using wire::OpKind;
using std::chrono::milliseconds;

constexpr i64 kAckIntervalNs = 1'000'000;
constexpr i64 kDirectoryAgeNs = 1'000'000'000;   // how long a cached directory is trusted
constexpr int kQuickTriesMax = 5;
constexpr milliseconds kQuickPause{10};

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

struct Queued {
  u64 sequence;
  Bytes bytes;
};

class TargetReceiver final : public Receiver {
 public:
  TargetReceiver(ReceiverOptions options, Send send, Report report, Roots roots, std::unique_ptr<Marks> marks)
      : options_(std::move(options)),
        send_(std::move(send)),
        report_(std::move(report)),
        roots_(std::move(roots)),
        marks_(std::move(marks)),
        links_(options_.roots, options_.remap_links),
        applier_(roots_.descriptors(), links_, marks_->evidence(),
                 [this](const char* kind, std::string detail, SysError error) {
                   report_(kind, std::move(detail), std::move(error));
                 }),
        answerer_(applier_.paths(), links_, stop_answer_),
        ignore_deletes_(options_.ignore_deletes) {
    applied_ = last_received_ = marks_->applied();
    durable_ = marks_->durable();
    apply_thread_ = std::thread([this] { apply_loop(); });
    checkpoint_thread_ = std::thread([this] { checkpoint_loop(); });
  }

  ~TargetReceiver() override { close(); }

  wire::StreamPosition position(const wire::StreamPosition& hello) override {
    std::unique_lock lock(mutex_);
    if (hello.stream != 0 && hello.stream != marks_->stream()) begin_stream(lock, hello.stream);
    written_base_ = written_;
    wire::StreamPosition position{};
    position.stream = marks_->stream();
    position.applied = applied_;
    position.durable = durable_;
    position.boot = marks_->boot();
    position.applied_ops = marks_->applied() == applied_ ? marks_->applied_ops() : 0;
    return position;
  }

  Status receive(Bytes batch) override {
    auto reader = BatchReader::open(batch.data(), batch.size(), static_cast<u32>(options_.roots.size()));
    if (!reader) return reader.error();
    const u64 sequence = reader->header().sequence;
    {
      std::lock_guard lock(mutex_);
      if (closing_) return SysError{ESHUTDOWN, "receive"};
      if (marks_->stream() == 0) return SysError{EPROTO, "receive: batch before the stream was named"};
      if (sequence <= last_received_) return ok();   // sent again after a reconnect
      if (sequence != last_received_ + 1) return SysError{EPROTO, "receive: gap in the sequence of batches"};
      last_received_ = sequence;
      queued_bytes_ += batch.size();
      if (queued_bytes_ > options_.queue_bytes_max) full_ = true;
      queue_.push_back({sequence, std::move(batch)});
    }
    wake_.notify_all();
    return ok();
  }

  bool has_room() const override {
    std::lock_guard lock(mutex_);
    return queued_bytes_ <= options_.queue_bytes_max;
  }

  void on_room(std::function<void()> call) override {
    std::lock_guard lock(mutex_);
    room_call_ = std::move(call);
  }

  void pause(bool paused) override {
    {
      std::lock_guard lock(mutex_);
      if (paused_ == paused) return;
      paused_ = paused;
      interrupt_.store(paused_ || closing_ || abandon_);
    }
    wake_.notify_all();
    send_ack();
  }

  void set_ignore_deletes(bool ignore) override { ignore_deletes_.store(ignore); }

  ReceiverStatistics statistics() const override {
    std::lock_guard lock(mutex_);
    ReceiverStatistics out = statistics_;
    out.written_bytes = written_;
    out.applied = applied_;
    out.durable = durable_;
    out.queued_bytes = queued_bytes_;
    return out;
  }

  void close() override {
    {
      std::lock_guard lock(mutex_);
      if (closing_) return;
      closing_ = true;
      interrupt_.store(true);
      stop_answer_.store(true);
      room_call_ = nullptr;
    }
    wake_.notify_all();
    apply_thread_.join();
    checkpoint_thread_.join();
    checkpoint();
  }

 private:
  // ---- applying -------------------------------------------------------------------------------------------------

  void apply_loop() {
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
      applier_.set_ignore_deletes(ignore_deletes_.load());
      auto reader = BatchReader::open(batch.bytes.data(), batch.bytes.size(), static_cast<u32>(options_.roots.size()));
      const bool whole = reader && apply_batch(*reader);   // it was valid when it came in
      applier_.settle();

      std::function<void()> room;
      lock.lock();
      applying_ = false;
      queued_bytes_ -= std::min<u64>(queued_bytes_, batch.bytes.size());
      if (whole) {
        applied_ = batch.sequence;
        applied_ns_ = reader->header().sent_ns;
        ++statistics_.batches;
      }
      if (full_ && queued_bytes_ <= options_.queue_bytes_max) {
        full_ = false;
        room = room_call_;
      }
      const bool idle = queue_.empty();
      const bool due = written_ - written_synced_ >= options_.checkpoint_bytes;
      const bool sync_now = whole && sync_asked_;
      sync_asked_ = false;
      const u64 epoch = epoch_;
      lock.unlock();
      wake_.notify_all();
      if (idle) applier_.forget_directories();   // nothing of the replica stays busy while nothing happens
      if (room) room();
      if (due || sync_now) request_checkpoint();
      if (sync_now) await_durable(batch.sequence, epoch);
      else if (idle || monotonic_ns() - last_ack_ns_.load() >= kAckIntervalNs) send_ack();
      lock.lock();
    }
  }

  // False when the batch was left before its end (close, or the stream was given up).
  bool apply_batch(BatchReader& reader) {
    const u64 sequence = reader.header().sequence;
    const u32 done = marks_->applied_ops();
    const bool doubt = marks_->in_doubt();
    u64 operations = 0;
    OpView op;
    std::string_view last_path;
    if (!await_roots()) return false;
    while (reader.next(op)) {
      if (op.index < done) continue;   // before this process was started again
      if (interrupt_.load(std::memory_order_relaxed) && !await_go()) return false;
      const u64 id = (sequence << 17 | op.index) + 1;
      const bool doubtful = doubt && op.index == done;
      marks_->begin_operation(sequence, op.index);
      const u64 before = applier_.written_bytes();
      if (!perform(op, sequence, id, doubtful)) {
        // Left in the middle of an operation that had not succeeded: it stays the doubtful one.
        note_progress(operations, last_path, applier_.written_bytes() - before);
        return false;
      }
      marks_->end_operation(sequence, op.index);
      if (doubtful) marks_->doubt_settled();
      ++operations;
      if (!op.path.empty()) last_path = op.path;
      if (applier_.written_bytes() != before) note_written(applier_.written_bytes() - before);
    }
    marks_->doubt_settled();
    marks_->end_batch(sequence);
    note_progress(operations, last_path, 0);
    return true;
  }

  void note_written(u64 more) {
    std::lock_guard lock(mutex_);
    written_ += more;
  }
  void note_progress(u64 operations, std::string_view last_path, u64 written) {
    std::lock_guard lock(mutex_);
    statistics_.operations += operations;
    written_ += written;
    if (!last_path.empty()) statistics_.last_path.assign(last_path);
  }

  // True when the operation is done with (applied, or handed back to the source); false when we must stop.
  bool perform(const OpView& op, u64 sequence, u64 id, bool doubtful) {
    const auto kind = static_cast<OpKind>(op.header.kind);
    switch (kind) {
      case OpKind::heartbeat: return true;   // the acknowledgement of its batch is the answer
      case OpKind::checkpoint: {
        std::lock_guard lock(mutex_);
        sync_asked_ = true;
        return true;
      }
      case OpKind::task:
        report_("task", std::string(op.data), {});
        return true;
      default: break;
    }
    int quick = 0;
    bool retrying = false;
    for (;;) {
      Status status = is_request(kind) ? answer(op) : applier_.apply(op, id, doubtful);
      if (status) {
        if (retrying) leave_retrying(op);
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
        if (retrying) leave_retrying(op);
        refuse(op, sequence, std::move(error));
        return true;
      }
      if (!retrying) {
        enter_retrying(gone != nullptr ? "root_gone" : "retrying", gone != nullptr ? *gone : std::string(op.path), error);
        retrying = true;
      }
      if (!wait_for(milliseconds(options_.retry_ms))) return false;
      doubtful = true;   // parts of it may have happened in the failed try
    }
  }

  Status answer(const OpView& op) {
    applier_.settle();
    return answerer_.answer(op, [this](Bytes reply) { send_(wire::FrameType::reply, std::move(reply)); });
  }

  // ext4 says ENOSPC when one object's attributes do not fit into their block; waiting would not help.
  bool only_this_object(const OpView& op, const SysError& error) {
    if (error.code != ENOSPC || static_cast<OpKind>(op.header.kind) != OpKind::xattrs) return false;
    struct statvfs room;
    const int root = applier_.paths().root(op.header.mapping);
    return ::fstatvfs(root, &room) == 0 && room.f_bavail * room.f_frsize > (1u << 20);
  }

  void enter_retrying(const char* kind, std::string detail, SysError error) {
    {
      std::lock_guard lock(mutex_);
      retrying_ = true;
    }
    report_(kind, std::move(detail), std::move(error));
    send_ack();
  }

  void leave_retrying(const OpView& op) {
    {
      std::lock_guard lock(mutex_);
      retrying_ = false;
    }
    report_("retry_succeeded", std::string(op.path), {});
    send_ack();
  }

  // Hands a failed operation back to the source, which repairs the path (P6).
  void refuse(const OpView& op, u64 sequence, SysError error) {
    Bytes reply(sizeof(wire::ReplyHeader) + sizeof(wire::OpHeader) + op.path.size() + op.path2.size());
    wire::ReplyHeader header{};
    header.kind = static_cast<u8>(wire::Reply::nak);
    header.flags = wire::kReplyLast;
    header.error = static_cast<u32>(error.code);
    header.arg0 = sequence;
    header.arg1 = op.index;
    wire::OpHeader failed = op.header;
    failed.data_len = 0;
    failed.size = static_cast<u32>((sizeof failed + op.path.size() + op.path2.size() + 7) & ~std::size_t{7});
    reply.append(&header, sizeof header);
    reply.append(&failed, sizeof failed);
    reply.append(op.path.data(), op.path.size());
    reply.append(op.path2.data(), op.path2.size());
    {
      std::lock_guard lock(mutex_);
      quarantine_.add(op);
      quarantined_ = quarantine_.count();
      ++statistics_.failed;
    }
    send_(wire::FrameType::reply, std::move(reply));
    report_("quarantined", std::string(op.path), std::move(error));
  }

  void repaired(const OpView& op) {
    quarantine_.succeeded(op);
    std::lock_guard lock(mutex_);
    quarantined_ = quarantine_.count();
  }

  // Nothing is written to a root that is not there any more; waits until it is back.
  bool await_roots() {
    bool reported = false;
    while (const std::string* gone = roots_.missing()) {
      if (!reported) enter_retrying("root_gone", *gone, SysError{ENOENT, "stat(root)"});
      reported = true;
      if (!wait_for(milliseconds(options_.retry_ms))) return false;
    }
    if (reported) {
      applier_.forget_directories();
      {
        std::lock_guard lock(mutex_);
        retrying_ = false;
      }
      report_("root_returned", {}, {});
      send_ack();
    }
    return true;
  }

  // Between operations: waits while paused. False when the batch shall be left.
  bool await_go() {
    std::unique_lock lock(mutex_);
    if (paused_ && !closing_ && !abandon_) applier_.settle();
    wake_.wait(lock, [&] { return closing_ || abandon_ || !paused_; });
    return !closing_ && !abandon_;
  }

  // False when it was ended by close or by a new stream.
  bool wait_for(milliseconds time) {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, time, [&] { return closing_ || abandon_; });
  }

  // The source lost its queue: what is still queued here belongs to a past which it no longer vouches for.
  void begin_stream(std::unique_lock<std::mutex>& lock, u64 stream) {
    abandon_ = true;
    interrupt_.store(true);
    stop_answer_.store(true);
    wake_.notify_all();
    wake_.wait(lock, [&] { return !applying_; });
    queue_.clear();
    queued_bytes_ = 0;
    full_ = false;
    applied_ = durable_ = last_received_ = 0;
    applied_ns_ = 0;
    retrying_ = false;
    sync_failed_ = false;
    quarantine_.clear();
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
    lock.lock();
  }

  // ---- checkpoints ----------------------------------------------------------------------------------------------

  void checkpoint_loop() {
    ::pthread_setname_np(::pthread_self(), "us-sync");
    const milliseconds interval(std::max<u32>(1, options_.checkpoint_ms));
    std::unique_lock lock(mutex_);
    while (!closing_) {
      wake_.wait_for(lock, interval, [&] { return closing_ || checkpoint_asked_; });
      if (closing_) return;   // close() does the last one
      checkpoint_asked_ = false;
      if (applied_ == durable_) continue;
      lock.unlock();
      checkpoint();
      lock.lock();
    }
  }

  void request_checkpoint() {
    {
      std::lock_guard lock(mutex_);
      checkpoint_asked_ = true;
    }
    wake_.notify_all();
  }

  void await_durable(u64 sequence, u64 epoch) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] {
      return durable_ >= sequence || closing_ || abandon_ || sync_failed_ || epoch != epoch_ || mark_failed_;
    });
    lock.unlock();
    send_ack();
  }

  void checkpoint() {
    u64 sequence, epoch, written;
    {
      std::lock_guard lock(mutex_);
      if (sync_failed_ || applied_ == durable_) return;
      sequence = applied_;
      epoch = epoch_;
      written = written_;
    }
    auto synced = roots_.sync();
    if (!synced) {
      std::unique_lock lock(mutex_);
      if (epoch != epoch_) return;   // another stream began meanwhile
      // The kernel reports lost writes once and forgets them, so a later success would prove nothing: the durable mark
      // stays where it is until a new stream begins (I2).
      sync_failed_ = true;
      lock.unlock();
      report_("checkpoint_failed", {}, synced.error());
      wake_.notify_all();
      return;
    }
    Status written_mark = ok();
    {
      std::lock_guard marks_lock(marks_mutex_);
      {
        std::lock_guard lock(mutex_);
        if (epoch != epoch_) return;
      }
      written_mark = marks_->write_durable(sequence);   // syncs, so nobody else waits for it
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

  void send_ack() {
    wire::Ack ack{};
    {
      std::lock_guard lock(mutex_);
      if (marks_->stream() == 0) return;
      ack.applied = applied_;
      ack.durable = durable_;
      ack.queued_bytes = queued_bytes_;
      ack.written_bytes = written_ - written_base_;
      ack.flags = (paused_ ? wire::kAckPaused : 0) | (retrying_ ? wire::kAckRetrying : 0);
      ack.failed = quarantined_;
      ack.applied_ns = applied_ns_;
    }
    last_ack_ns_.store(monotonic_ns());
    Bytes payload(sizeof ack);
    payload.append(&ack, sizeof ack);
    send_(wire::FrameType::ack, std::move(payload));
  }

  const ReceiverOptions options_;
  const Send send_;
  const Report report_;
  Roots roots_;
  const std::unique_ptr<Marks> marks_;
  const LinkMap links_;
  std::atomic<bool> stop_answer_{false};
  Applier applier_;           // apply thread only
  Answerer answerer_;         // apply thread only
  Quarantine quarantine_;     // apply thread; cleared by begin_stream while that thread is idle
  std::atomic<bool> ignore_deletes_;
  std::atomic<bool> interrupt_{false};   // paused_, closing_ or abandon_, cheap to look at before each operation
  std::atomic<i64> last_ack_ns_{0};

  std::mutex marks_mutex_;    // writing the durable record, starting a stream; taken before mutex_
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Queued> queue_;
  u64 queued_bytes_ = 0;      // with the batch being applied
  u64 last_received_ = 0;
  u64 applied_ = 0, durable_ = 0;
  i64 applied_ns_ = 0;
  u64 written_ = 0, written_base_ = 0, written_synced_ = 0;
  u64 epoch_ = 0;             // counts streams
  u32 quarantined_ = 0;
  bool full_ = false;
  bool applying_ = false;
  bool paused_ = false;
  bool closing_ = false;
  bool abandon_ = false;
  bool retrying_ = false;
  bool sync_asked_ = false;
  bool checkpoint_asked_ = false;
  bool sync_failed_ = false;
  bool mark_failed_ = false;
  ReceiverStatistics statistics_;
  std::function<void()> room_call_;
  std::thread apply_thread_;
  std::thread checkpoint_thread_;
};

}  // namespace

Result<std::unique_ptr<Receiver>> Receiver::open(ReceiverOptions options, Send send, Report report) {
  auto roots = Roots::open(options.roots);
  if (!roots) return roots.error();
  auto marks = Marks::open(options.mark_path, boot_digest());
  if (!marks) return marks.error();
  return std::unique_ptr<Receiver>(new TargetReceiver(std::move(options), std::move(send), std::move(report),
                                                      std::move(*roots), std::move(*marks)));
}

}  // namespace understudy
