// The receiver's inside (see receiver.h for its promises). Three files share this class: receiver.cc is what the link
// calls, receiver_apply.cc the applier's thread, receiver_checkpoint.cc the syncing thread and acknowledgements.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "apply.h"
#include "apply_orphan.h"
#include "batch_reader.h"
#include "manifest.h"
#include "marks.h"
#include "quarantine.h"
#include "receiver.h"
#include "receiver_refusals.h"
#include "receiver_roots.h"

namespace understudy {

class TargetReceiver final : public Receiver {
 public:
  TargetReceiver(ReceiverOptions options, Send send, Report report, Roots roots, std::unique_ptr<Marks> marks);
  ~TargetReceiver() override { close(); }

  wire::StreamPosition position(const wire::StreamPosition& hello) override;
  void announce(u64 taken) override;
  void refusals_taken(u64 id) override;
  Status receive(Bytes batch) override;
  bool has_room() const override;
  void on_room(std::function<void()> call) override;
  void task_done(u64 ticket) override;
  void pause(bool paused) override;
  void set_orphans(OrphanOptions orphans) override {
    std::lock_guard lock(mutex_);
    orphan_options_ = std::move(orphans);
  }
  void set_ignore_deletes(bool ignore) override { ignore_deletes_.store(ignore); }
  ReceiverStatistics statistics() const override;
  void close() override;

 private:
  struct Queued {
    u64 sequence;
    Bytes bytes;
    u64 mirror_bytes;   // its size, if it comes from a mirror
  };

  void begin_stream(std::unique_lock<std::mutex>& lock, u64 stream);

  // Applier's thread.
  void apply_loop();
  bool apply_batch(BatchReader& reader);
  bool perform(const OpView& op, u64 sequence, u64 id, bool doubtful);
  Status answer(const OpView& op);
  bool run_task(const OpView& op, u64 sequence);
  bool make_durable(u64 sequence);
  bool only_this_object(const OpView& op, const SysError& error);
  void enter_retrying(const char* kind, std::string detail, SysError error);
  void leave_retrying(const char* kind, std::string_view path);
  bool refuse(const OpView& op, u64 sequence, SysError error);
  void repaired(const OpView& op);
  bool await_roots();
  bool await_go();
  bool wait_for(std::chrono::milliseconds time);
  // Asked to pause, and the operation at hand has not ended yet. Under mutex_.
  bool pausing() const { return paused_ && applying_ && !holding_; }
  void note_progress(u64 operations, std::string_view last_path);

  // Syncing thread, and whoever has news for the source.
  void checkpoint_loop();
  void checkpoint();
  void request_checkpoint();
  void await_durable(u64 sequence, u64 epoch);
  void send_ack();

  const ReceiverOptions options_;
  const Send send_;
  const Report report_;
  const Roots roots_;
  const std::unique_ptr<Marks> marks_;
  const LinkMap links_;
  Refusals refusals_;
  std::atomic<bool> stop_answer_{false};
  Applier applier_;           // apply thread only
  Answerer answerer_;         // apply thread only
  Orphans orphans_;           // apply thread only
  Quarantine quarantine_;     // apply thread; cleared by begin_stream while that thread is idle
  i64 reports_since_ns_ = 0;  // apply thread only
  u32 reports_ = 0;           // apply thread only
  std::atomic<bool> ignore_deletes_;
  std::atomic<bool> interrupt_;   // paused_, closing_ or abandon_, cheap to look at before each operation
  std::atomic<i64> last_ack_ns_{0};
  std::atomic<u64> written_{0};          // written by the apply thread only

  std::mutex marks_mutex_;    // writing the durable record, starting a stream; taken before mutex_
  mutable std::mutex mutex_;  // everything below
  std::condition_variable wake_;        // the applier, and who waits for it
  std::condition_variable sync_wake_;   // the syncing thread
  std::deque<Queued> queue_;
  u64 queued_bytes_ = 0;      // with the batch being applied
  u64 mirror_bytes_ = 0;      // of these, of mirrors; also counted in mirror_memory_
  u64 last_received_ = 0;
  u64 applied_ = 0, durable_ = 0;
  i64 applied_ns_ = 0;
  u64 written_base_ = 0, written_synced_ = 0;
  u64 epoch_ = 0;             // counts streams
  u32 quarantined_ = 0;
  bool foreign_ = true;       // no hello yet, or the last one named a stream that was not taken up
  OrphanOptions orphan_options_;
  bool announced_;            // acknowledgements may leave
  bool full_ = false;
  bool applying_ = false;
  bool paused_;
  bool holding_ = false;      // the applier waits between two operations, because of paused_
  bool closing_ = false;
  bool abandon_ = false;      // a new stream begins: leave the batch at hand
  bool retrying_ = false;
  bool changing_ = false;     // applier only: the batch at hand holds more than heartbeats
  bool sync_asked_ = false;   // the batch at hand holds a checkpoint operation
  bool checkpoint_asked_ = false;
  bool mark_failed_ = false;
  u64 task_ticket_ = 0;       // of the last task handed over
  bool task_runs_ = false;
  ReceiverStatistics statistics_;
  std::function<void()> room_call_;
  MirrorMemory& mirror_memory_;      // under mutex_ only counted: it calls send_ack
  u64 memory_member_ = 0;
  std::thread apply_thread_;
  std::thread checkpoint_thread_;
};

}  // namespace understudy
