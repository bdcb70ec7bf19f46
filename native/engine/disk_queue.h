// The second stage of a connection's queue (QUE-01): batches that do not fit into memory, in segment files, in order.
//
// One thread appends (the set's worker), one reads (the link's). A segment is removed when all of it is applied. Each
// record carries its stream, its sequence and its checksums: what is torn, missing or of another time is never taken
// for a batch. Nothing here decides what a full or damaged queue means.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base.h"
#include "stream_batch.h"

namespace understudy {

struct DiskQueueOptions {
  static constexpr u64 kUnlimited = ~u64{0};
  std::string folder;                  // of this connection alone; made when needed. Empty: there is no disk stage
  u64 bytes_max = 0;                   // QUE-06; 0: off
  u64 free_min = 50u << 20;            // QUE-07: left to everybody else on the volume
  u64 segment_bytes = 16u << 20;
};

// A record and what belongs to it.
struct DiskRecord {
  StreamBatch batch;
  std::vector<SetPath> touched;
};

class DiskQueue {
 public:
  explicit DiskQueue(DiskQueueOptions options);
  ~DiskQueue();                        // removes the files, unless they were kept
  DiskQueue(const DiskQueue&) = delete;
  DiskQueue& operator=(const DiskQueue&) = delete;

  bool enabled() const { return options_.bytes_max != 0 && !options_.folder.empty(); }

  // --- appending thread ---
  // EDQUOT: beyond the maximum. ENOSPC: the volume would be left with less than its minimum, or says so itself. Nothing
  // of a record that failed stays behind.
  Status append(u64 stream, const StreamBatch& batch, const std::vector<SetPath>& touched);
  // May more be appended? Looks at the volume now and then.
  bool room();
  // Why the last append failed, or why there is no room: EDQUOT, ENOSPC, or what the system said. 0: there is room.
  int why() const { return why_.load(std::memory_order_relaxed); }
  void clear();                        // forgets and removes everything

  // --- while nobody reads ---
  // A batch of the memory stage, to be kept as well; nothing is done when a segment has it. The maximum does not count.
  Status keep_batch(u64 stream, const StreamBatch& batch, const std::vector<SetPath>& touched);
  // Makes everything durable by then (monotonic) and leaves the files behind; nothing may be called afterwards.
  Status keep(i64 until_ns);
  // Takes over what was kept: the records `first` to `last` of `stream`.
  Status adopt(u64 stream, u64 first, u64 last);
  bool discard_leftovers();            // removes what an earlier run left, without using it; true: there was something

  // --- reading thread ---
  // What the oldest record that was not read will take in memory, at most (its paths: TouchedPaths).
  Result<u64> peek();
  Result<DiskRecord> read();           // ECANCELED: it was cleared meanwhile
  // Everything up to `sequence` is applied: segments that hold nothing else go.
  void applied(u64 sequence);

  // --- any thread ---
  u64 unread() const { return unread_.load(std::memory_order_acquire); }   // records
  u64 first_unread() const;            // sequence of the oldest one, if there is any
  u64 bytes() const { return bytes_.load(std::memory_order_relaxed); }     // of the files
  u64 capacity() const;                // what it could hold altogether: the maximum, or what the volume gives

  // What a batch takes in memory.
  static u64 cost(const StreamBatch& batch) { return batch.bytes->size(); }

 private:
  struct Head;
  struct Segment {
    std::string path;
    Fd file;
    u64 first = 0, last = 0;           // sequences; last == first - 1 while it is empty
    u64 size = 0;
    bool synced = false;
  };
  using SegmentPtr = std::shared_ptr<Segment>;
  Result<SegmentPtr> make_segment(u64 first);
  static u64 record_size(const StreamBatch& batch, const std::vector<SetPath>& touched);
  Status write_record(Segment& segment, u64 stream, const StreamBatch& batch, const std::vector<SetPath>& touched);
  Status make_folder();
  Status fits(u64 size, bool limited);
  Result<Head> read_head(const Segment& segment, u64 offset) const;
  bool position(SegmentPtr& segment, u64& offset);
  void forget(const Segment& segment);

  const DiskQueueOptions options_;
  mutable std::mutex mutex_;           // of what follows, but for the contents of files
  std::deque<SegmentPtr> segments_;    // in order of their sequences
  std::size_t read_segment_ = 0;
  u64 read_offset_ = 0;
  u64 next_read_ = 0;                  // sequence
  u64 generation_ = 0;                 // counts clear()
  bool appending_ = false;
  u64 stream_ = 0;
  std::atomic<u64> unread_{0}, bytes_{0}, available_{0};
  std::atomic<int> why_{0};
  bool kept_ = false;
  Fd folder_;
  i64 measured_ns_ = 0;
};

}  // namespace understudy
