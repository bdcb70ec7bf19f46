// Throughput Diagnostics Utility: a road to a target that is not there (CON-40, CON-41).
//
// What would be sent is read, encoded, compressed and counted, and then dropped; what was asked is answered with "nothing
// is there". Nothing crosses the network, nothing is written. So the source does exactly the work of a real connection.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "road.h"
#include "tls_link.h"

namespace understudy {

class NullLink final : public Road {
 public:
  NullLink(LinkHandler& handler, int compression);
  ~NullLink() override;

  bool post(wire::FrameType type, Bytes payload) override;
  void wake() override;
  void close(SysError why, bool now = false) override;
  void set_compression(int level) override { compression_ = level; }
  // What would have crossed the network: frames with their headers, TLS and TCP left out.
  u64 wire_bytes() const override { return wire_bytes_; }
  i64 last_heard_ns() const override { return monotonic_ns(); }
  bool up() const override { return up_; }

 private:
  void run();
  void welcome(const Bytes& hello);
  void take(OutFrame& frame);
  void answer(const wire::OpHeader& op);

  LinkHandler& handler_;
  std::atomic<int> compression_;
  std::atomic<u64> wire_bytes_{0};
  std::atomic<bool> up_{false};
  Bytes compressed_;
  u64 written_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Bytes> hellos_;
  bool woken_ = false, closing_ = false;
  SysError reason_;
  std::thread thread_;
};

}  // namespace understudy
