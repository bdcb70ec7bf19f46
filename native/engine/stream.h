// One connection's ordered batches on the source (I1, I2): filled by the set's worker, emptied by the link thread.
//
// A batch is kept until the target has applied it; the paths it touched are kept until it is durable there, because
// after a power loss of the target exactly those must be compared again (DESIGN 8).
//
// Two stages (QUE-01): the oldest batches are in memory, as far as the agent's budget goes, the others on disk. Sending
// moves them from there into memory again. With `keep` and `resume` a stream goes on after a clean stop of the agent.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base.h"
#include "disk_queue.h"
#include "queue_budget.h"
#include "recovery_marks.h"
#include "stream_batch.h"
#include "touched_paths.h"
#include "tuning.h"
#include "wire.h"

namespace understudy {

struct StreamCounters {
  u64 queued_ops = 0, queued_bytes = 0, queued_mirror_ops = 0, queued_mirror_bytes = 0;
  u64 held = 0;             // encoded bytes in the queue
  u64 memory = 0, disk = 0; // where they are: bytes in memory (with paths), and of the files
  u64 capacity = 0;         // how many it could hold in both stages
  u64 sent_bytes = 0, sent_compressed = 0, sent_mirror = 0, sent_mirror_compressed = 0;
};

// What a target told about itself in the last acknowledgement.
struct TargetFacts {
  u64 applied = 0, durable = 0, queued_bytes = 0;
  u32 flags = 0, failed = 0;
};

// broken: the target does not know this stream. lost: it lacks what it had acknowledged as durable.
enum class Resume { resumed, repair, broken, lost };

class Stream {
 public:
  Stream(std::shared_ptr<QueueBudget> budget, DiskQueueOptions disk, std::shared_ptr<const Tuning> tuning = std::make_shared<Tuning>());
  ~Stream();

  // --- worker side ---
  // Takes the next sequence number. The batch must be pushed with it, in order.
  u64 next_sequence() const { return next_; }
  // False when neither stage takes it: the queue is exhausted, and nothing of the batch was taken.
  bool push(StreamBatch batch, const std::vector<SetPath>& touched);
  // May the worker read more changes for this stream? While batches flow, what is read waits for what is sent: a name
  // is a smaller thing to keep than its bytes. While they do not, until both stages are full.
  // `begun`: reading that has begun may go on for a while, so that it need not begin too often.
  bool has_room(bool flowing, bool begun = false);
  // The same for a mirror, which never fills the disk, and for what is told again. A mirror waits while as many of its
  // operations are not applied as SRV-53 says, or 32 KiB of its data for each of those: a change waits behind no more.
  bool walk_room(bool mirror) const;
  // Why there is no room: 0 (memory is full and there is no disk stage), EDQUOT, ENOSPC or the system's own.
  int full_why() const { return disk_.enabled() ? disk_.why() : 0; }
  u64 held() const { return queued_bytes_.load(std::memory_order_relaxed); }   // encoded bytes, both stages
  bool spilled() const { return disk_.unread() != 0 || moving_ != 0; }
  u64 last_sequence() const { return next_ - 1; }
  // What is on disk cannot be read any more: the stream cannot go on.
  bool damaged() const { return damaged_.load(std::memory_order_acquire); }
  SysError damage() const;
  // Something was told that is not known to be on the target's stable storage.
  bool undurable() const;
  // What the target may lack when the stream ends: all that was touched in memory and is not durable there. What is on
  // disk the touched log knows, too. Both stages are empty then.
  std::vector<SetPath> break_off();
  // A fresh stream (new id, sequence 1); everything queued is dropped.
  void restart();

  // --- worker side, while there is no link ---
  // Writes down everything that is needed to go on after a restart, for the shadow snapshot `snapshot`, until then
  // (monotonic). `doubts`: paths that have to be told again. False: it cannot be kept, and nothing is left.
  bool keep(const std::string& path, u64 snapshot, const std::vector<SetPath>& doubts, i64 until_ns);
  // Goes on where `keep` left off, or is a fresh stream. What lay there is used up or removed in any case.
  enum class Taken { nothing, taken, dropped };
  Taken resume(const std::string& path, u64 snapshot, std::vector<SetPath>& doubts);

  // --- link side ---
  u64 id() const;
  wire::StreamPosition hello() const;
  // The last refusal that the worker has taken; told to the target, which keeps the others (receiver_refusals.h).
  void refusal_taken(u64 id);
  u64 refusals_taken() const;
  // Compares the target's position with ours and rewinds. `repair` receives the paths whose fate is unknown;
  // the caller compares them, on Resume::repair after restarting the stream.
  Resume welcome(const wire::StreamPosition& target, std::vector<SetPath>& repair);
  // Something of this batch was refused: whatever was moved or linked since may be another object than was meant. The
  // paths of that are kept until `take_moved` hands them out. `beyond`: and there is more, on disk.
  void refused(u64 sequence);
  bool move_in_doubt() const { return refused_from_.load(std::memory_order_acquire) != 0; }
  std::vector<SetPath> take_moved(bool& beyond);
  // The next batch to send, or an empty one. `window` bounds what is sent and not yet applied.
  StreamBatch take(u64 window);
  void sent(const StreamBatch& batch, u64 wire_bytes);
  // True when so much waited that there may be room again.
  bool acknowledge(const wire::Ack& ack);
  void link_lost();

  TargetFacts target() const;
  StreamCounters counters() const;
  u32 target_flags() const { return target_flags_.load(std::memory_order_relaxed); }
  // Monotonic time since when the oldest change waits that was told and is not applied; 0: everything told is.
  i64 oldest_unapplied_ns() const;
  // Since when the oldest change waits that is not applied, or not durable (recovery_marks.h); 0: none does.
  i64 oldest_change_ns(bool durable = false) const;
  // What was in doubt since then is known to be there now: as durable as everything that is applied.
  void vouched(i64 since_ns);
  // The target had applied everything that was in the stream by then; 0: it was not heard yet.
  i64 proven_ns() const;

 private:
  struct Touched {
    u64 sequence;
    TouchedPaths paths;
  };
  u64 lowest() const;
  void count(const StreamBatch& batch);
  void uncount(const StreamBatch& batch);
  void hold(StreamBatch batch, TouchedPaths touched);
  void remember(u64 sequence, TouchedPaths touched);
  void forget_durable(u64 durable);
  void release(u64 bytes);
  void forget_queued();
  void damage(SysError error);

  mutable std::mutex mutex_;
  const std::shared_ptr<QueueBudget> budget_;
  const std::shared_ptr<const Tuning> tuning_;
  DiskQueue disk_;
  u64 id_ = 0;
  std::atomic<u64> next_{1};          // read without the mutex by whoever shows it
  const u64 room_bytes_;              // reading waits while more is on its way
  const u64 typical_;                 // what has to fit before anything more is read
  std::atomic<u64> queued_bytes_{0}, mirror_bytes_{0};   // encoded, both stages
  std::atomic<u64> mirror_ops_{0};
  std::atomic<u64> memory_{0};        // taken of the budget
  std::deque<StreamBatch> batches_;   // applied+1 .., as far as memory goes; the rest is on disk
  std::atomic<u64> moving_{0};        // sequence of a batch that has left the disk and is not in memory yet; 0: none
  std::size_t sent_index_ = 0;        // batches_[0 .. sent_index_) were handed to the link
  u64 in_flight_ = 0;                 // bytes of those
  std::deque<Touched> touched_;       // durable+1 .., as far as memory goes
  u64 touched_count_ = 0;
  std::atomic<u64> refused_from_{0};  // touched_ from here on is kept; 0: nothing was refused
  u64 generation_ = 0;                // counts what empties the queue
  std::atomic<bool> damaged_{false};
  SysError damage_;
  u64 forgotten_ = 0;                 // the last batch whose paths were forgotten, because it was durable
  i64 resumed_since_ns_ = 0;          // of the oldest change on disk, while nothing of it is in memory
  RecoveryMarks marks_;
  TargetFacts target_;
  std::atomic<u32> target_flags_{0};
  u64 refusals_taken_ = 0;
  u64 boot_ = 0;                      // of the target, as it last said; 0: not heard yet
  StreamCounters counters_;
};

}  // namespace understudy
