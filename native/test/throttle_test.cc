// The bucket at 28 kbit/s to 1 Gbit/s on a clock of the test's own, with threads that wake late.
#include "throttle.h"

#include <deque>
#include <random>

#include "check.h"

using namespace understudy;

namespace {

constexpr i64 kSecond = 1'000'000'000;

struct Sent {
  i64 at_ns;
  u64 wire;
};

// Sends as links do: asks, sends what is granted, sleeps as told and up to `late_ns` longer.
std::vector<Sent> send_for(Throttle& throttle, i64 from_ns, i64 to_ns, const Segments& segments, i64 late_ns, u32 seed, u64 waiting) {
  std::mt19937_64 random(seed);
  std::vector<Sent> all;
  for (i64 now = from_ns; now < to_ns;) {
    const Throttle::Grant grant = throttle.ask(now, waiting, segments);
    if (grant.bytes > 0) {
      const u64 wire = segments.cost(grant.bytes);
      all.push_back({now, wire});
      now += 1'000;
      continue;
    }
    now += grant.wait_ns + (late_ns > 0 ? static_cast<i64>(random() % static_cast<u64>(late_ns)) : 0);
  }
  return all;
}

// Most and least within any window of `span_ns` that lies in the run.
std::pair<u64, u64> extremes(const std::vector<Sent>& all, i64 from_ns, i64 to_ns, i64 span_ns) {
  u64 most = 0, least = ~u64{0};
  std::size_t low = 0, high = 0;
  u64 inside = 0;
  for (i64 begin = from_ns; begin + span_ns <= to_ns; begin += kSecond / 200) {
    while (high < all.size() && all[high].at_ns < begin + span_ns) inside += all[high++].wire;
    while (low < high && all[low].at_ns < begin) inside -= all[low++].wire;
    most = std::max(most, inside);
    least = std::min(least, inside);
  }
  return {most, least};
}

}  // namespace

TEST("TRN-33: within 5 % under the limit over any second, never above it over ten, from 64 kbit/s to 1 Gbit/s") {
  for (const u64 rate : {8'000ull, 16'000ull, 64'000ull, 125'000ull, 1'250'000ull, 12'500'000ull, 125'000'000ull}) {
    for (const i64 late : {i64{0}, i64{2'000'000}, i64{20'000'000}}) {
      Throttle throttle;
      throttle.set_rate(rate);
      const Segments segments;
      const auto all = send_for(throttle, kSecond, 31 * kSecond, segments, late, static_cast<u32>(rate + late), 1u << 20);
      const auto [most10, least10] = extremes(all, kSecond, 31 * kSecond, 10 * kSecond);
      CHECK(most10 <= rate * 10);
      CHECK(least10 * 100 >= rate * 10 * 95);
      const auto [most1, least1] = extremes(all, 2 * kSecond, 31 * kSecond, kSecond);
      // A slow line moves whole packets: a second may hold one less. A late thread sends the same in larger pieces.
      const u64 packet = segments.cost(std::min<u64>(Throttle::quantum(rate, segments), segments.payload));
      const u64 slack = late > 2'000'000 ? rate * 3 / 100 : 0;
      CHECK(least1 + packet + slack >= rate * 95 / 100);
      CHECK(most1 * 100 <= rate * 106);
    }
  }
}

TEST("TRN-32: the smallest limit, 3500 bytes a second, is held over ten seconds") {
  Throttle throttle;
  throttle.set_rate(3'500);
  const auto all = send_for(throttle, kSecond, 41 * kSecond, Segments{}, 5'000'000, 7, 1u << 20);
  const auto [most, least] = extremes(all, kSecond, 41 * kSecond, 10 * kSecond);
  CHECK(most <= 35'000);
  CHECK(least >= 33'250);
}

TEST("TRN-33: time without data to send is not saved up") {
  Throttle throttle;
  throttle.set_rate(125'000);
  const Segments segments;
  (void)send_for(throttle, kSecond, 2 * kSecond, segments, 0, 1, 1u << 20);
  // An hour of silence, then everything at once.
  const i64 later = 3'600 * kSecond;
  const auto all = send_for(throttle, later, later + 20 * kSecond, segments, 0, 1, 1u << 20);
  const auto [most, least] = extremes(all, later, later + 20 * kSecond, 10 * kSecond);
  CHECK(most <= 1'250'000);
  CHECK(least >= 1'187'500);
}

TEST("TRN-35: links to one address share the limit, and none is left without") {
  Throttle throttle;
  throttle.set_rate(1'250'000);
  const Segments segments;
  u64 sent[3] = {};
  i64 next[3] = {kSecond, kSecond, kSecond};
  std::mt19937_64 random(3);
  while (true) {
    const int link = static_cast<int>(std::min_element(next, next + 3) - next);
    const i64 now = next[link];
    if (now > 21 * kSecond) break;
    const Throttle::Grant grant = throttle.ask(now, 1u << 20, segments);
    if (grant.bytes > 0) {
      sent[link] += segments.cost(grant.bytes);
      next[link] += 2'000;
    } else {
      next[link] += grant.wait_ns + static_cast<i64>(random() % 200'000);
    }
  }
  const u64 total = sent[0] + sent[1] + sent[2];
  CHECK(total <= 25'000'000);
  CHECK(total >= 23'750'000);
  for (const u64 each : sent) CHECK(each > total / 6);
}

TEST("TRN-35: of two links that ask at the same moment one is granted a piece, not both the same") {
  Throttle throttle;
  throttle.set_rate(8'000);
  const Segments segments;
  const auto first = throttle.ask(kSecond, 1u << 20, segments);   // begins to fill
  const i64 full = kSecond + std::max<i64>(first.wait_ns, 1);
  const Throttle::Grant one = throttle.ask(full, 1u << 20, segments);
  const Throttle::Grant other = throttle.ask(full, 1u << 20, segments);
  CHECK(one.bytes > 0);
  CHECK_EQUAL(other.bytes, 0u);
  CHECK(other.wait_ns > 0);
  // What was granted and not sent is there for the other.
  throttle.charge(-one.taken);
  CHECK(throttle.ask(full, 1u << 20, segments).bytes > 0);
}

TEST("TRN-33: segments sent again are charged, so a lossy line stays under the limit, too") {
  Throttle throttle;
  throttle.set_rate(125'000);
  const Segments segments;
  u64 wire = 0;
  std::mt19937_64 random(5);
  for (i64 now = kSecond; now < 11 * kSecond;) {
    const Throttle::Grant grant = throttle.ask(now, 1u << 20, segments);
    if (grant.bytes == 0) {
      now += grant.wait_ns;
      continue;
    }
    const u64 cost = segments.cost(grant.bytes);
    wire += cost;
    if (random() % 10 == 0) {   // What the kernel tells of a retransmission.
      throttle.charge(1514);
      wire += 1514;
    }
  }
  CHECK(wire <= 1'250'000 + 1'514);
}

TEST("TRN-16: a budget lets whole frames through and never more than it holds") {
  Throttle throttle;
  CHECK(throttle.admit(1u << 30));
  throttle.release(1u << 30);
  throttle.set_budget(10'000'000);
  u64 sent = 0;
  std::mt19937_64 random(11);
  for (;;) {
    const u64 frame = 1 + random() % 2'000'000;
    if (!throttle.admit(Throttle::reservation(frame))) break;
    CHECK(!throttle.exhausted());
    const u64 on_wire = frame + frame / 16'384 * 22 + 22;
    throttle.spend(on_wire);
    throttle.release(Throttle::reservation(frame));
    sent += on_wire;
  }
  CHECK(throttle.exhausted());
  CHECK(sent <= 10'000'000);
  CHECK(sent >= 7'900'000);
  CHECK_EQUAL(throttle.spent(), sent);
  throttle.set_budget(Throttle::kNoBudget);
  CHECK(!throttle.exhausted());
  CHECK(throttle.admit(1u << 30));
}

TEST("a new limit counts at once, and what was saved under the old one does not") {
  Throttle throttle;
  throttle.set_rate(125'000'000);
  const Segments segments;
  CHECK_EQUAL(throttle.ask(kSecond, 100, segments).bytes, 0u);
  throttle.set_rate(8'000);
  const auto all = send_for(throttle, 2 * kSecond, 12 * kSecond, segments, 0, 1, 1u << 20);
  u64 wire = 0;
  for (const Sent& each : all) wire += each.wire;
  CHECK(wire <= 80'000);
  throttle.set_rate(0);
  CHECK_EQUAL(throttle.ask(13 * kSecond, 1u << 20, segments).bytes, u64{1u << 20});
}

TEST_MAIN
