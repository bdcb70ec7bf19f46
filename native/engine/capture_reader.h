// The thread that empties a kernel event queue (fanotify or inotify) into a bounded buffer. Both capture backends use
// it; they differ only in what the bytes mean.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base.h"
#include "capture.h"

namespace understudy {

class EventReader {
 public:
  // True when the last event in these bytes is one half of a pair whose other half should follow at once.
  using HalfTest = bool (*)(const u8* bytes, std::size_t size);
  // Counts the events in these bytes.
  using Count = u64 (*)(const u8* bytes, std::size_t size);

  // What happened since the last `take` besides the bytes.
  struct Losses {
    bool buffer = false;  // our own bound was reached; what waited was dropped
    int read_error = 0;   // errno of a failed read; events may be missing
  };

  explicit EventReader(const CaptureOptions& options) : options_(options) {}
  ~EventReader() { stop(); }
  EventReader(const EventReader&) = delete;
  EventReader& operator=(const EventReader&) = delete;

  // Begins to read the non-blocking `queue`, which must stay open until `stop`.
  Status start(int queue, int wake_fd, Count count, HalfTest half);
  // Replaces `out` by everything read so far.
  Losses take(Bytes& out);
  void barrier();
  void stop();
  u64 events() const { return events_.load(std::memory_order_relaxed); }
  u64 buffered() const { return buffered_.load(std::memory_order_relaxed); }

 private:
  void run();
  bool wait();
  void drain(Bytes& chunk);
  void publish(const Bytes& chunk);
  void rest();
  void signal_wake();

  const CaptureOptions options_;
  int queue_ = -1;
  int wake_fd_ = -1;
  Count count_ = nullptr;
  HalfTest half_ = nullptr;
  Fd control_;              // eventfd: a barrier or the end is asked for
  std::thread thread_;
  // Reader thread only:
  u32 read_failures_ = 0;   // in a row
  std::array<i64, 8> rounds_{};   // when the last ones ended; a ring
  u32 round_ = 0;

  std::atomic<u64> events_{0};
  std::atomic<u64> buffered_{0};

  std::mutex mutex_;
  std::condition_variable passed_;
  Bytes waiting_;           // all below: guarded by mutex_
  Losses losses_;
  u64 barriers_asked_ = 0;
  u64 barriers_done_ = 0;
  bool running_ = false;
  bool stopping_ = false;
};

}  // namespace understudy
