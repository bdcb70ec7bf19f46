// What an administrator may change while the engine runs, one for all of it. Links, sources and receivers look at it
// whenever it matters.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "base.h"
#include "mirror_memory.h"

namespace understudy {

struct Tuning {
  // SRV-35, SRV-36: a link sends a heartbeat this often (0: none), and is dead after as many times of silence.
  std::atomic<i64> heartbeat_ns{3'000'000'000};
  std::atomic<u32> missed_limit{20};
  std::atomic<bool> show_heartbeats{false};     // SRV-37
  // SRV-38: bytes of the socket's buffers; 0: the kernel tunes them. Counts for links that are made from then on.
  std::atomic<u32> window{0};
  std::atomic<u32> mirror_pending{1'000};       // SRV-53: see Stream::walk_room
  std::atomic<u32> replication_ratio{5};        // SRV-50: see Source::mirror_turn
  MirrorMemory mirror_memory;                   // QUE-12, QUE-13

  // SRV-30: links are made from this address; empty: from the one that the kernel chooses.
  std::string local_address() const {
    std::lock_guard lock(mutex_);
    return local_address_;
  }
  void set_local_address(std::string address) {
    std::lock_guard lock(mutex_);
    local_address_ = std::move(address);
  }

 private:
  mutable std::mutex mutex_;
  std::string local_address_;
};

}  // namespace understudy
