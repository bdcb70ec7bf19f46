// What all links to one target address may send together (TRN-33, TRN-35): a token bucket, and a budget of bytes for a
// session (TRN-16). Time comes in as an argument, so tests need no clock.
//
// The bucket counts bytes as the network interface counts them: TLS records, and for each TCP segment its TCP, IP and
// Ethernet header. The budget counts what is handed to the socket, TLS included, headers below it not.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base.h"

namespace understudy {

// How the payload of one socket becomes segments.
struct Segments {
  u32 payload = 1448;   // bytes in a full segment
  u32 header = 66;      // Ethernet 14, IPv4 20, TCP 20 with 12 of time stamps

  u64 cost(u64 bytes) const { return bytes + (bytes + payload - 1) / payload * header; }
  // Most payload whose cost is not above `wire`.
  u64 fits(u64 wire) const {
    const u64 whole = wire / (payload + header), rest = wire % (payload + header);
    return whole * payload + (rest > header ? rest - header : 0);
  }
};

class Throttle {
 public:
  static constexpr u64 kNoBudget = ~u64{0};
  // The bucket is filled a little slower than the limit, so that what no bucket sees (a window probe, an option more in
  // a header) does not carry the interface over it.
  static constexpr double kAim = 0.985;
  // Depth of the bucket in seconds of the limit: a late thread catches up on that much. Together with kAim it keeps
  // any ten seconds below the limit and any one second below 105 % of it.
  static constexpr double kDepth = 0.06;

  // Bytes per second; 0: no limit. What was saved up under the old limit does not count under the new one.
  void set_rate(u64 bytes_per_second);
  u64 rate() const { return rate_.load(std::memory_order_relaxed); }

  struct Grant {
    u64 bytes = 0;      // payload that may be handed to the socket now
    i64 wait_ns = 0;    // when 0 bytes: ask again after this
    double taken = 0;   // what these bytes cost at the interface
  };
  // Takes the cost of what it grants, so that no other link is granted the same: charge() the difference to what was
  // really sent.
  Grant ask(i64 now_ns, u64 wanted, const Segments& segments);
  // Bytes at the interface; negative when fewer left than were charged.
  void charge(double wire_bytes);

  // Payload handed to the socket at a time at this rate: a few milliseconds' worth, a twenty-fifth of a second at most.
  static u64 quantum(u64 rate, const Segments& segments);
  // Payload to encrypt ahead of the socket.
  static u64 ahead(u64 rate) { return std::max<u64>(rate / 20, 2'048); }

  // Begins to count anew; `bytes` may be sent until the next call.
  void set_budget(u64 bytes);
  // Reserves room for a frame. False: it does not fit, and exhausted() is true from then on.
  bool admit(u64 bytes);
  void release(u64 bytes);               // the frame is sent, or its link ended
  void spend(u64 bytes) { spent_.fetch_add(bytes, std::memory_order_relaxed); }
  u64 spent() const { return spent_.load(std::memory_order_relaxed); }
  bool exhausted() const { return exhausted_.load(std::memory_order_relaxed); }
  // What a frame of `size` bytes takes at most, records of TLS included.
  static u64 reservation(u64 size) { return size + size / 32 + 512; }

 private:
  double depth(const Segments& segments) const;

  std::mutex mutex_;
  std::atomic<u64> rate_{0};
  double tokens_ = 0;
  i64 filled_ns_ = 0;
  u64 budget_ = kNoBudget, reserved_ = 0;
  std::atomic<u64> spent_{0};
  std::atomic<bool> exhausted_{false};
};

}  // namespace understudy
