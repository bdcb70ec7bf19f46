// One connection's ordered batches on the source (I1, I2): filled by the set's worker, emptied by the link thread.
//
// A batch is kept until the target has applied it; the paths it touched are kept until it is durable there, because
// after a power loss of the target exactly those must be compared again (DESIGN 8).
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base.h"
#include "wire.h"

namespace understudy {

// A path of the set: mapping and path below its root.
struct SetPath {
  u32 mapping = 0;
  std::string path;
  bool deep = false;   // another object may have taken this name: in doubt, all below it is
};

struct StreamBatch {
  u64 sequence = 0;
  std::shared_ptr<const Bytes> bytes;
  bool mirror = false;
  u32 operations = 0;
  u64 data_bytes = 0;
  i64 since_ns = 0;   // monotonic: when the oldest change in it was noticed
};

struct StreamCounters {
  u64 queued_ops = 0, queued_bytes = 0, queued_mirror_ops = 0, queued_mirror_bytes = 0;
  u64 held = 0, room = 0;   // encoded bytes in the queue, and how many it takes before reading waits
  u64 sent_bytes = 0, sent_compressed = 0, sent_mirror = 0, sent_mirror_compressed = 0;
};

// What a target told about itself in the last acknowledgement.
struct TargetFacts {
  u64 applied = 0, durable = 0, queued_bytes = 0;
  u32 flags = 0, failed = 0;
};

enum class Resume { resumed, repair, broken };

class Stream {
 public:
  explicit Stream(u64 bytes_max);

  // --- worker side ---
  // Takes the next sequence number. The batch must be pushed with it, in order.
  u64 next_sequence() const { return next_; }
  // False when the queue would exceed its limit: the stream is then broken (see broken()) and empty.
  bool push(StreamBatch batch, std::vector<SetPath> touched);
  // True while the worker may read more for this stream: less than `low` bytes wait.
  bool has_room() const { return queued_bytes_.load(std::memory_order_relaxed) < room_bytes_; }
  u64 last_sequence() const { return next_ - 1; }
  bool broken() const { return broken_; }
  // Something was told that is not known to be on the target's stable storage.
  bool undurable() const;
  // What the target may lack when the stream ends: all that was touched and is not durable there. Forgotten here.
  std::vector<SetPath> take_touched();
  // A fresh stream (new id, sequence 1); everything queued is dropped.
  void restart();

  // --- link side ---
  u64 id() const;
  wire::StreamPosition hello() const;
  // The last refusal that the worker has taken; told to the target, which keeps the others (receiver_refusals.h).
  void refusal_taken(u64 id);
  u64 refusals_taken() const;
  // Compares the target's position with ours and rewinds. `repair` receives the paths whose fate is unknown;
  // the caller compares them, on Resume::repair after restarting the stream.
  Resume welcome(const wire::StreamPosition& target, std::vector<SetPath>& repair);
  // The next batch to send, or an empty one. `window` bounds what is sent and not yet applied.
  StreamBatch take(u64 window);
  void sent(const StreamBatch& batch, u64 wire_bytes);
  // Returns true when room or a barrier may have come of it.
  void acknowledge(const wire::Ack& ack);
  void link_lost();

  TargetFacts target() const;
  StreamCounters counters() const;
  // Monotonic time since when the oldest change waits that was told and is not applied; 0: everything told is.
  i64 oldest_unapplied_ns() const;

 private:
  struct Touched {
    u64 sequence;
    std::vector<SetPath> paths;
  };
  mutable std::mutex mutex_;
  u64 id_ = 0;
  std::atomic<u64> next_{1};          // read without the mutex by whoever shows it
  u64 bytes_max_;
  u64 room_bytes_;
  std::atomic<u64> queued_bytes_{0};
  bool broken_ = false;
  std::deque<StreamBatch> batches_;   // applied+1 .. next-1
  std::size_t sent_index_ = 0;        // batches_[0 .. sent_index_) were handed to the link
  u64 in_flight_ = 0;                 // bytes of those
  std::deque<Touched> touched_;       // durable+1 .. next-1
  u64 touched_count_ = 0;
  TargetFacts target_;
  u64 refusals_taken_ = 0;
  u64 boot_ = 0;                      // of the target, as it last said; 0: not heard yet
  StreamCounters counters_;
};

}  // namespace understudy
