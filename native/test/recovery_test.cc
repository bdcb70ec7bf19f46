// Recovery points: how old and how much is what a target has not applied (GLO-29, FIELD P24 and P26).
#include <algorithm>

#include "check.h"
#include "crc.h"
#include "recovery_marks.h"
#include "stream.h"

namespace understudy::test {
namespace {

struct Told {
  u64 sequence;
  i64 since;
};

// What a list of everything says.
i64 oldest_of(const std::vector<Told>& told, u64 behind) {
  i64 oldest = 0;
  for (const Told& each : told)
    if (each.sequence > behind) oldest = earlier(oldest, each.since);
  return oldest;
}

StreamBatch batch_of(u64 sequence, i64 change_ns, std::size_t size = 100) {
  auto bytes = std::make_shared<Bytes>();
  bytes->resize(size);
  StreamBatch batch;
  batch.sequence = sequence;
  batch.bytes = bytes;
  batch.operations = 1;
  batch.since_ns = monotonic_ns();
  batch.change_ns = change_ns;
  return batch;
}

wire::Ack ack_of(u64 applied, u64 durable) {
  wire::Ack ack{};
  ack.applied = applied;
  ack.durable = durable;
  return ack;
}

}  // namespace

TEST("GLO-29: the oldest change behind any batch is known exactly, in whatever order changes are told") {
  for (u64 seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    RecoveryMarks marks;
    std::vector<Told> told;
    u64 applied = 0, durable = 0;
    for (u64 sequence = 1; sequence <= 300; ++sequence) {
      // Some are put off and told long after they were noticed; before this machine was started moments are negative.
      const i64 since = random.below(4) == 0 ? 0 : static_cast<i64>(sequence) * 10 - static_cast<i64>(random.below(900)) - 500;
      marks.closed(sequence, since, static_cast<i64>(sequence) * 10);
      told.push_back({sequence, since});
      if (random.below(3) == 0) applied += random.below(sequence - applied + 1);
      if (random.below(3) == 0) durable += random.below(applied - durable + 1);
      marks.acknowledged(applied, durable);
      if (random.below(20) == 0 && applied > durable) {
        const i64 doubt = static_cast<i64>(applied) * 10 - static_cast<i64>(random.below(2'000)) - 1;
        marks.vouched(applied, doubt);
        told.push_back({applied, doubt});
      }
      CHECK_EQUAL(marks.oldest_behind(applied), oldest_of(told, applied));
      CHECK_EQUAL(marks.oldest_behind(durable), oldest_of(told, durable));
    }
    marks.acknowledged(300, 300);
    CHECK_EQUAL(marks.oldest_behind(300), i64{0});
  }
}

TEST("GLO-29, I8: however much waits, marks are bounded, and nothing looks younger than it is") {
  RecoveryMarks marks;
  constexpr i64 kSecond = 1'000'000'000;
  constexpr u64 kBatches = 200'000;
  for (u64 sequence = 1; sequence <= kBatches; ++sequence) {
    marks.closed(sequence, static_cast<i64>(sequence) * kSecond, static_cast<i64>(sequence) * kSecond);
    CHECK(marks.size() <= 2 * RecoveryMarks::kMax);
  }
  i64 worst = 0;
  for (u64 applied = 0; applied < kBatches; applied += 97) {
    const i64 truth = static_cast<i64>(applied + 1) * kSecond, said = marks.oldest_behind(applied);
    CHECK(said != 0 && said <= truth);
    worst = std::max(worst, truth - said);
  }
  CHECK(worst <= static_cast<i64>(kBatches / RecoveryMarks::kMax * 4) * kSecond);
  marks.acknowledged(kBatches, kBatches);
  CHECK_EQUAL(marks.oldest_behind(kBatches), i64{0});
}

TEST("P26: a quiet stream lags behind nothing, and its heartbeat tells that the target applies") {
  Stream stream(std::make_shared<QueueBudget>(u64{1} << 20), DiskQueueOptions{});
  CHECK_EQUAL(stream.proven_ns(), i64{0});
  const i64 begin = monotonic_ns();
  CHECK(stream.push(batch_of(1, 0), {}));
  CHECK(stream.oldest_unapplied_ns() != 0);
  CHECK_EQUAL(stream.oldest_change_ns(), i64{0});
  CHECK_EQUAL(stream.proven_ns(), i64{0});
  stream.acknowledge(ack_of(1, 1));
  CHECK(stream.proven_ns() >= begin);
  // A change behind a heartbeat that the target never applies.
  CHECK(stream.push(batch_of(2, 0), {}));
  CHECK(stream.push(batch_of(3, begin - 5), {{0, "a", false}}));
  stream.link_lost();
  CHECK_EQUAL(stream.oldest_change_ns(), begin - 5);
  const i64 proven = stream.proven_ns();
  stream.acknowledge(ack_of(3, 1));
  CHECK_EQUAL(stream.oldest_change_ns(), i64{0});
  CHECK_EQUAL(stream.oldest_change_ns(true), begin - 5);
  CHECK(stream.proven_ns() > proven);
  stream.restart();
  CHECK_EQUAL(stream.proven_ns(), i64{0});
}

TEST("I3, GLO-29: that nothing is known survives a stop, and the thinning of many marks") {
  const KeptClock kept = KeptClock::now();
  CHECK_EQUAL(kept.recall(kept.from_wall(kept.to_wall(kNeverNs)), KeptClock::now()), kNeverNs);
  RecoveryMarks marks;
  for (u64 sequence = 1; sequence <= 3 * RecoveryMarks::kMax; ++sequence) {
    const i64 at = static_cast<i64>(sequence) * 1'000;
    marks.closed(sequence, at, at);
    if (sequence == 10) marks.vouched(sequence, kNeverNs);
  }
  CHECK(marks.size() <= 2 * RecoveryMarks::kMax);
  CHECK_EQUAL(marks.oldest_behind(0), kNeverNs);
  marks.acknowledged(10, 10);
  CHECK(marks.oldest_behind(10) > 0);
}

TEST("CLM-13, GLO-29: marks outlive a stop of the agent, on disk and in memory") {
  Scratch scratch;
  const std::string file = scratch / "position";
  const i64 now = monotonic_ns();
  auto since_of = [now](u64 sequence) { return now - i64{1'000'000'000} * static_cast<i64>(1'000 - sequence); };
  DiskQueueOptions options;
  options.folder = scratch / "queue";
  options.bytes_max = 64u << 20;
  options.free_min = 0;
  {
    Stream stream(std::make_shared<QueueBudget>(u64{20'000}), options);
    std::vector<SetPath> repair;
    wire::StreamPosition at{};
    at.stream = stream.id();
    at.boot = 1;
    CHECK(stream.welcome(at, repair) == Resume::resumed);
    for (u64 i = 1; i <= 100; ++i) CHECK(stream.push(batch_of(i, since_of(i), 1'000), {{0, std::to_string(i), false}}));
    CHECK(stream.spilled());
    CHECK_EQUAL(stream.oldest_change_ns(), since_of(1));
    CHECK(stream.keep(file, 4711, {}, monotonic_ns() + 10'000'000'000));
  }
  Stream stream(std::make_shared<QueueBudget>(u64{20'000}), options);
  std::vector<SetPath> doubts;
  CHECK(stream.resume(file, 4711, doubts) == Stream::Taken::taken);
  CHECK_EQUAL(stream.oldest_change_ns(), since_of(1));
  stream.acknowledge(ack_of(40, 40));
  CHECK_EQUAL(stream.oldest_change_ns(), since_of(41));
}

TEST("GLO-29, P26: a moment outlives its process exactly, whoever sets the wall clock, and a boot as well as that clock knows") {
  constexpr i64 kHour = 3'600'000'000'000;
  const KeptClock kept{77, 50 * kHour, 900'000 * kHour};
  const i64 moment = 49 * kHour;
  for (const i64 step : {i64{0}, 24 * kHour, -24 * kHour}) {
    const KeptClock same{77, 52 * kHour, 900'002 * kHour + step};
    CHECK_EQUAL(kept.recall(moment, same), moment);
    // One hour old when it was written down, and an hour of the wall clock ago.
    const KeptClock other{78, kHour, 900'001 * kHour + step};
    CHECK_EQUAL(kept.recall(moment, other), step < 0 ? i64{-1} : -kHour - step);
  }
  // Without a boot nobody knows that it is the same one.
  CHECK_EQUAL((KeptClock{0, 50 * kHour, 900'000 * kHour}.recall(moment, KeptClock{0, 3 * kHour, 900'001 * kHour})), kHour);
  CHECK_EQUAL(kept.recall(kNeverNs, KeptClock{78, 1, 1}), kNeverNs);
  CHECK_EQUAL(kept.from_wall(kept.to_wall(moment)), moment);
}

}  // namespace understudy::test

TEST_MAIN
