// QUE-01..09: the two stages of a queue: order, limits, damage, and what a stop leaves behind.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <thread>

#include "check.h"
#include "ops.h"
#include "stream.h"

namespace understudy::test {
namespace {

// A batch that says who it is.
StreamBatch batch_of(u64 sequence, std::size_t size = 1'000, bool mirror = false) {
  Bytes bytes;
  bytes.resize(size);
  for (std::size_t i = 0; i < size; ++i) bytes.data()[i] = static_cast<u8>(sequence * 31 + i);
  StreamBatch batch;
  batch.sequence = sequence;
  batch.bytes = std::make_shared<const Bytes>(std::move(bytes));
  batch.operations = static_cast<u32>(sequence % 7 + 1);
  batch.data_bytes = size / 2;
  batch.mirror = mirror;
  batch.since_ns = monotonic_ns();
  return batch;
}

bool same(const StreamBatch& a, const StreamBatch& b) {
  return a.sequence == b.sequence && a.bytes->size() == b.bytes->size() && a.operations == b.operations && a.mirror == b.mirror &&
         a.data_bytes == b.data_bytes && std::memcmp(a.bytes->data(), b.bytes->data(), a.bytes->size()) == 0;
}

std::vector<SetPath> touched_of(u64 sequence) {
  return {{0, "d/" + std::to_string(sequence), false}, {1, "deep" + std::to_string(sequence), true}};
}

DiskQueueOptions options_in(const std::string& folder, u64 segment = 16u << 10) {
  DiskQueueOptions options;
  options.folder = folder;
  options.bytes_max = DiskQueueOptions::kUnlimited;
  options.free_min = 0;
  options.segment_bytes = segment;
  return options;
}

std::size_t files_in(const std::string& folder) {
  std::error_code error;
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) count += entry.is_regular_file();
  return count;
}

std::shared_ptr<QueueBudget> budget(u64 bytes) { return std::make_shared<QueueBudget>(bytes); }

wire::Ack ack_of(u64 applied, u64 durable) {
  wire::Ack ack{};
  ack.applied = applied;
  ack.durable = durable;
  return ack;
}

wire::StreamPosition position_of(u64 stream, u64 applied, u64 durable, u64 boot = 7) {
  wire::StreamPosition position{};
  position.stream = stream;
  position.applied = applied;
  position.durable = durable;
  position.boot = boot;
  return position;
}

constexpr u64 kWindow = 1u << 30;

// Takes what the link would send, up to `count` batches, and applies and syncs it.
u64 drain(Stream& stream, u64 count, u64 from) {
  for (u64 sequence = from; sequence < from + count; ++sequence) {
    const StreamBatch batch = stream.take(kWindow);
    CHECK(batch.bytes != nullptr);
    CHECK(same(batch, batch_of(sequence, batch.bytes->size(), batch.mirror)));
    stream.acknowledge(ack_of(sequence, sequence));
  }
  return from + count;
}

}  // namespace

TEST("I2, I8: paths that wait to be durable are remembered as they were, and names of one directory in a quarter of the memory") {
  Random random(11);
  const std::string parts[] = {"a", "", "ab", "abc/d", std::string(130, 'x'), "\xff\xfe", std::string(1, '\0'), std::string(4'094, 'p')};
  for (int round = 0; round < 2'000; ++round) {
    std::vector<SetPath> paths;
    for (u64 left = random.below(12); left > 0; --left) {
      SetPath path;
      path.mapping = static_cast<u32>(random.below(3) == 0 ? random.below(70'000) : 0);
      for (u64 more = random.below(3); more > 0; --more) path.path += parts[random.below(std::size(parts))];
      path.deep = random.below(4) == 0;
      path.moved = random.below(4) == 0;
      paths.push_back(path);
    }
    const TouchedPaths packed(paths);
    std::vector<SetPath> back;
    packed.append_to(back);
    CHECK_EQUAL(packed.count(), paths.size());
    CHECK_EQUAL(packed.empty(), paths.empty());
    CHECK_EQUAL(back.size(), paths.size());
    for (std::size_t i = 0; i < paths.size(); ++i)
      CHECK(back[i].mapping == paths[i].mapping && back[i].path == paths[i].path && back[i].deep == paths[i].deep && back[i].moved == paths[i].moved);
  }
  std::vector<SetPath> names;
  u64 whole = 0;
  for (int i = 0; i < 1'000; ++i) {
    names.push_back({0, "area12/directory34/document-" + std::to_string(1'000'000 + i * 7) + ".txt", false});
    whole += sizeof(SetPath) + names.back().path.size();
  }
  const u64 takes = TouchedPaths(names).bytes();
  if (takes * 4 > whole) failed(__FILE__, __LINE__, std::to_string(takes) + " bytes of " + std::to_string(whole));
}

TEST("QUE-01: records come back in order over many segments, which go when all in them is applied") {
  Scratch scratch;
  DiskQueue queue(options_in(scratch / "queue"));
  u64 written = 0, read = 0;
  for (u64 round = 0; round < 20; ++round) {
    for (u64 i = 0; i < 17; ++i, ++written) CHECK_OK(queue.append(5, batch_of(written + 1, 500 + written * 37 % 4'000), touched_of(written + 1)));
    for (u64 i = 0; i < 15; ++i, ++read) {
      auto size = queue.peek();
      CHECK_OK(size);
      auto record = queue.read();
      CHECK_OK(record);
      CHECK(same(record->batch, batch_of(read + 1, 500 + read * 37 % 4'000)));
      CHECK_EQUAL(record->touched.size(), 2u);
      CHECK_EQUAL(record->touched[1].path, "deep" + std::to_string(read + 1));
      CHECK(record->touched[1].deep && !record->touched[0].deep && record->touched[1].mapping == 1);
      const u64 takes = DiskQueue::cost(record->batch) + TouchedPaths(record->touched).bytes();
      CHECK(*size >= takes && *size <= takes + record->touched.size() * kSetPathHead);
      if (read % 3 == 0) queue.applied(read + 1);
    }
    CHECK_EQUAL(queue.unread(), written - read);
    CHECK(files_in(scratch / "queue") * (16u << 10) < (written - read + 24) * 4'700 + (32u << 10));
  }
  while (queue.unread() != 0) CHECK_OK(queue.read());
  queue.applied(written);
  CHECK_EQUAL(queue.bytes(), 0u);
  CHECK_EQUAL(files_in(scratch / "queue"), 0u);
}

TEST("QUE-06, QUE-07, QUE-08: both limits refuse, nothing of a refused record stays, and room comes back") {
  Scratch scratch;
  DiskQueueOptions options = options_in(scratch / "limited");
  options.bytes_max = 64u << 10;
  DiskQueue limited(options);
  u64 sequence = 1;
  while (limited.append(5, batch_of(sequence, 4'000), {})) ++sequence;
  CHECK_EQUAL(limited.why(), EDQUOT);
  CHECK(limited.bytes() <= (64u << 10) && limited.bytes() > (59u << 10));
  CHECK_EQUAL(limited.unread(), sequence - 1);
  CHECK(!limited.room());

  struct statvfs volume;
  CHECK(::statvfs(scratch.path().c_str(), &volume) == 0);
  options = options_in(scratch / "free");
  options.free_min = static_cast<u64>(volume.f_bavail) * volume.f_frsize + (1u << 30);
  DiskQueue guarded(options);
  CHECK(!guarded.append(5, batch_of(1), {}));
  CHECK_EQUAL(guarded.why(), ENOSPC);
  CHECK_EQUAL(guarded.bytes(), 0u);

  options.bytes_max = 0;
  DiskQueue off(options);
  CHECK(!off.enabled() && !off.append(5, batch_of(1), {}));
}

TEST("QUE-09: a volume that fills up is a full queue; what is there stays good and goes on (needs root)") {
  if (::geteuid() != 0) return;
  Scratch scratch;
  const std::string folder = scratch / "small";
  CHECK(::mkdir(folder.c_str(), 0700) == 0);
  if (!Scratch::run("mount -t tmpfs -o size=300k understudy-test '" + folder + "' 2>/dev/null")) return;
  {
    DiskQueue queue(options_in(folder + "/queue"));
    u64 sequence = 1;
    while (queue.append(5, batch_of(sequence, 3'000), touched_of(sequence))) ++sequence;
    CHECK_EQUAL(queue.why(), ENOSPC);
    CHECK(sequence > 60);
    // As the writer sees it when others fill the volume at the same moment: the system's own word.
    CHECK(!queue.append(5, batch_of(sequence, 200'000), {}));
    for (u64 i = 1; i < sequence; ++i) {
      auto record = queue.read();
      CHECK_OK(record);
      CHECK(same(record->batch, batch_of(i, 3'000)));
      queue.applied(i);
    }
    for (u64 i = sequence; i < sequence + 60; ++i) CHECK_OK(queue.append(5, batch_of(i, 3'000), {}));
    auto record = queue.read();
    CHECK_OK(record);
    CHECK_EQUAL(record->batch.sequence, sequence);
  }
  CHECK(Scratch::run("umount '" + folder + "'"));
}

TEST("I3, CAP-17: a damaged, shortened or missing record is never taken for a batch") {
  for (int kind = 0; kind < 4; ++kind) {
    Scratch scratch;
    const std::string folder = scratch / "queue";
    DiskQueue queue(options_in(folder));
    for (u64 i = 1; i <= 40; ++i) CHECK_OK(queue.append(5, batch_of(i, 2'000), touched_of(i)));
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    const Fd second(::open(files.at(1).c_str(), O_RDWR));
    u8 byte;
    const off_t at = kind == 0 ? 3'100 : kind == 1 ? 20 : 90;   // a batch, a head, a path
    if (kind == 3) CHECK(::ftruncate(second.get(), 5'000) == 0);
    else {
      CHECK(::pread(second.get(), &byte, 1, at) == 1);
      byte ^= 0x10;
      CHECK(::pwrite(second.get(), &byte, 1, at) == 1);
    }
    u64 good = 0;
    for (;;) {
      auto record = queue.read();
      if (!record) {
        CHECK_EQUAL(record.error().code, EBADMSG);
        break;
      }
      CHECK(same(record->batch, batch_of(++good, 2'000)));
    }
    CHECK(good >= 7 && good < 12);
  }
}

TEST("QUE-01, QUE-04: a stream fills memory, then the disk, and sends in order; memory holds the head only") {
  Scratch scratch;
  Stream stream(budget(64u << 10), options_in(scratch / "queue"));
  for (u64 i = 1; i <= 300; ++i) {
    CHECK(stream.push(batch_of(i, 1'000, i % 5 == 0), touched_of(i)));
    CHECK(stream.counters().memory <= (64u << 10));
  }
  CHECK(stream.spilled());
  StreamCounters full = stream.counters();
  CHECK(full.disk > 200'000);
  CHECK_EQUAL(full.held, 300'000u);
  CHECK_EQUAL(full.queued_bytes, 150'000u);
  CHECK_EQUAL(stream.hello().applied, 0u);
  // The link goes and comes: what is in memory is sent again, what is on disk comes behind it.
  for (int i = 0; i < 20; ++i) CHECK(stream.take(kWindow).bytes != nullptr);
  stream.link_lost();
  u64 next = drain(stream, 150, 1);
  CHECK(stream.counters().memory <= (64u << 10));
  for (u64 i = 301; i <= 350; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
  next = drain(stream, 200, next);
  CHECK(!stream.spilled() && !stream.undurable());
  CHECK(stream.take(kWindow).bytes == nullptr);
  const StreamCounters empty = stream.counters();
  CHECK(empty.held == 0 && empty.memory == 0 && empty.disk == 0 && empty.queued_ops == 0 && empty.queued_mirror_bytes == 0);
  // Back in memory, then on disk once more behind a gap that only memory knew.
  for (u64 i = 351; i <= 500; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
  drain(stream, 150, 351);
  CHECK_EQUAL(files_in(scratch / "queue"), 0u);
}

TEST("QUE-04: many targets share one budget, and each of them can always go on") {
  Scratch scratch;
  auto shared = budget(256u << 10);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(std::make_unique<Stream>(shared, options_in(scratch / ("queue" + std::to_string(i)).c_str())));
  for (u64 i = 1; i <= 200; ++i)
    for (auto& stream : streams) CHECK(stream->push(batch_of(i, 3'000), touched_of(i)));
  u64 memory = 0;
  for (auto& stream : streams) memory += stream->counters().memory;
  CHECK(memory <= (256u << 10) && memory > (100u << 10));
  for (auto& stream : streams) drain(*stream, 200, 1);
  // One alone may use most of it, and leaves the rest to who comes later.
  for (u64 i = 201; i <= 400; ++i) CHECK(streams[0]->push(batch_of(i, 3'000), {}));
  const u64 most = streams[0]->counters().memory;
  CHECK(most > (10u << 10));
  for (u64 i = 201; i <= 220; ++i) CHECK(streams[1]->push(batch_of(i, 3'000), {}));
  CHECK(streams[1]->counters().memory > 3'000);
  streams.clear();
  Stream alone(shared, options_in(scratch / "alone"));
  for (u64 i = 1; i <= 200; ++i) CHECK(alone.push(batch_of(i, 3'000), {}));
  CHECK(alone.counters().memory > (150u << 10));
}

TEST("QUE-09: without a disk stage a full memory refuses the batch and nothing else is lost") {
  Stream stream(budget(64u << 10), {});
  u64 sequence = 1;
  while (stream.push(batch_of(sequence, 3'000), touched_of(sequence))) ++sequence;
  CHECK(!stream.has_room(false) && sequence > 10);
  CHECK_EQUAL(stream.next_sequence(), sequence);
  drain(stream, 12, 1);
  CHECK(stream.has_room(false));
  CHECK(stream.push(batch_of(sequence, 3'000), touched_of(sequence)));
  drain(stream, sequence - 12, 13);
}

TEST("I2, I3: a target that lacks what it had made durable is found out, before and after a stop of the source") {
  Scratch scratch;
  const std::string file = scratch / "position";
  std::vector<SetPath> repair;
  u64 id = 0;
  {
    Stream stream(budget(64u << 10), options_in(scratch / "queue"));
    id = stream.id();
    CHECK(stream.welcome(position_of(id, 0, 0), repair) == Resume::resumed);
    for (u64 i = 1; i <= 20; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
    // Heartbeats, which nobody makes durable: a target that was killed says a little less.
    for (u64 i = 21; i <= 30; ++i) CHECK(stream.push(batch_of(i), {}));
    for (int i = 0; i < 30; ++i) CHECK(stream.take(kWindow).bytes != nullptr);
    stream.acknowledge(ack_of(30, 30));
    stream.link_lost();
    CHECK(stream.welcome(position_of(id, 20, 20), repair) == Resume::repair && repair.empty());
    for (const u64 boot : {u64{7}, u64{8}}) CHECK(stream.welcome(position_of(id, 19, 19, boot), repair) == Resume::lost);
    CHECK(stream.keep(file, 4711, {}, monotonic_ns() + 10'000'000'000));
  }
  Stream stream(budget(64u << 10), options_in(scratch / "queue"));
  CHECK(stream.resume(file, 4711, repair) == Stream::Taken::taken);
  CHECK(stream.welcome(position_of(id, 30, 20), repair) == Resume::resumed);
  CHECK(stream.welcome(position_of(id, 30, 19), repair) == Resume::lost);
  // Another stream has other numbers.
  stream.restart();
  CHECK(stream.welcome(position_of(stream.id(), 0, 0), repair) == Resume::resumed);
}

TEST("CLM-13: a stream goes on after a stop: what was on disk, in memory, under way, and what was only applied") {
  Scratch scratch;
  const std::string file = scratch / "position";
  u64 id = 0;
  {
    Stream stream(budget(64u << 10), options_in(scratch / "queue"));
    id = stream.id();
    std::vector<SetPath> repair;
    CHECK(stream.welcome(position_of(id, 0, 0), repair) == Resume::resumed);
    for (u64 i = 1; i <= 200; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
    drain(stream, 60, 1);
    for (int i = 0; i < 20; ++i) CHECK(stream.take(kWindow).bytes != nullptr);
    stream.acknowledge(ack_of(70, 65));
    stream.link_lost();
    stream.refusal_taken(9);
    CHECK(stream.keep(file, 4711, {{0, "in doubt", true}}, monotonic_ns() + 10'000'000'000));
  }
  CHECK(files_in(scratch / "queue") > 1);
  Stream stream(budget(64u << 10), options_in(scratch / "queue"));
  std::vector<SetPath> doubts;
  CHECK(stream.resume(file, 4711, doubts) == Stream::Taken::taken);
  CHECK(::access(file.c_str(), F_OK) != 0);
  CHECK(doubts.size() == 1 && doubts[0].path == "in doubt" && doubts[0].deep);
  CHECK_EQUAL(stream.id(), id);
  CHECK_EQUAL(stream.next_sequence(), 201u);
  CHECK_EQUAL(stream.hello().applied, 70u);
  CHECK_EQUAL(stream.refusals_taken(), 9u);
  CHECK_EQUAL(stream.counters().held, 130'000u);
  CHECK(stream.undurable() && stream.oldest_unapplied_ns() != 0);
  for (u64 i = 201; i <= 220; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
  // The target had applied more than we heard of.
  std::vector<SetPath> repair;
  CHECK(stream.welcome(position_of(id, 90, 65), repair) == Resume::resumed);
  stream.acknowledge(ack_of(90, 65));
  const u64 next = drain(stream, 130, 91);
  CHECK_EQUAL(next, 221u);
  CHECK(!stream.undurable());
  CHECK_EQUAL(stream.counters().held, 0u);
  CHECK_EQUAL(stream.counters().queued_ops, 0u);
  CHECK_EQUAL(files_in(scratch / "queue"), 0u);
}

TEST("I2: after a stop, a target that lost its power meanwhile is repaired and not sent the old queue") {
  Scratch scratch;
  const std::string file = scratch / "position";
  u64 id = 0;
  for (int memory : {0, 1}) {
    {
      Stream stream(budget(memory ? 1u << 20 : 64u << 10), options_in(scratch / "queue"));
      id = stream.id();
      std::vector<SetPath> repair;
      CHECK(stream.welcome(position_of(id, 0, 0, 7), repair) == Resume::resumed);
      for (u64 i = 1; i <= 100; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
      for (int i = 0; i < 10; ++i) CHECK(stream.take(kWindow).bytes != nullptr);
      stream.acknowledge(ack_of(10, 5));
      stream.link_lost();
      CHECK(stream.keep(file, 1, {}, monotonic_ns() + 10'000'000'000));
    }
    Stream stream(budget(64u << 10), options_in(scratch / "queue"));
    std::vector<SetPath> doubts, repair;
    CHECK(stream.resume(file, 1, doubts) == Stream::Taken::taken);
    CHECK(stream.welcome(position_of(id, 7, 5, 8), repair) == Resume::repair);
    // 6..10 were applied and not durable; what is on disk the touched log knows.
    CHECK_EQUAL(repair.size(), 10u);
    CHECK_EQUAL(repair[0].path, "d/6");
    CHECK(stream.spilled());
    stream.restart();
    CHECK_EQUAL(files_in(scratch / "queue"), 0u);
  }
}

TEST("I2: a stream that a target lost with its power is compared, not repeated") {
  constexpr u64 kOther = 12'345;
  for (int applied : {0, 3}) {
    Stream stream(budget(1u << 20), {});
    std::vector<SetPath> repair;
    CHECK(stream.welcome(position_of(stream.id(), 0, 0, 7), repair) == Resume::resumed);
    for (u64 i = 1; i <= 10; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
    for (int i = 0; i < 5; ++i) CHECK(stream.take(kWindow).bytes != nullptr);
    stream.acknowledge(ack_of(static_cast<u64>(applied), 0));
    stream.link_lost();
    CHECK(stream.welcome(position_of(kOther, 90, 90, 8), repair) == Resume::repair);
    CHECK_EQUAL(repair.size(), 20u);   // All of it, whatever is durable of the stream that it still knows.
    stream.restart();
    repair.clear();
    // Nothing was told in the new one yet; then something was, and the power stays on.
    CHECK(stream.welcome(position_of(kOther, 90, 90, 9), repair) == Resume::resumed);
    CHECK(stream.push(batch_of(1), touched_of(1)));
    CHECK(stream.welcome(position_of(kOther, 90, 90, 9), repair) == Resume::resumed);
    CHECK(repair.empty());
    stream.acknowledge(ack_of(1, 1));
    CHECK(stream.welcome(position_of(kOther, 90, 90, 10), repair) == Resume::broken);   // It was durable, and is not there.
  }
}

TEST("I3: a queue of another snapshot, a damaged file, lost segments or a missing folder are not taken up") {
  for (int kind = 0; kind < 5; ++kind) {
    Scratch scratch;
    const std::string file = scratch / "position", folder = scratch / "queue";
    u64 id = 0;
    {
      Stream stream(budget(64u << 10), options_in(folder));
      id = stream.id();
      for (u64 i = 1; i <= 100; ++i) CHECK(stream.push(batch_of(i), touched_of(i)));
      CHECK(stream.keep(file, 5, {}, monotonic_ns() + 10'000'000'000));
    }
    u64 snapshot = 5;
    if (kind == 0) snapshot = 6;
    if (kind == 1) {
      const Fd fd(::open(file.c_str(), O_RDWR));
      const char byte = 'x';
      CHECK(::pwrite(fd.get(), &byte, 1, 60) == 1);
    }
    if (kind == 2) std::filesystem::remove_all(folder);
    if (kind == 3) CHECK(::unlink(file.c_str()) == 0);
    if (kind == 4) {
      std::vector<std::string> files;
      for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
      std::sort(files.begin(), files.end());
      CHECK(files.size() > 3 && ::unlink(files.at(1).c_str()) == 0);
    }
    Stream stream(budget(64u << 10), options_in(folder));
    std::vector<SetPath> doubts;
    const auto taken = stream.resume(file, snapshot, doubts);
    if (kind == 4) {   // Seen when it comes to that: nothing behind the hole is sent.
      CHECK(taken == Stream::Taken::taken);
      u64 sequence = 0;
      while (stream.take(kWindow).bytes) stream.acknowledge(ack_of(sequence + 1, sequence + 1)), ++sequence;
      CHECK(stream.damaged() && sequence < 40);
      continue;
    }
    CHECK(taken == Stream::Taken::dropped);
    CHECK(stream.id() != id && stream.next_sequence() == 1 && !stream.undurable());
    CHECK_EQUAL(files_in(folder), 0u);
    CHECK(stream.push(batch_of(1), touched_of(1)));
    drain(stream, 1, 1);
    // Once only.
    CHECK(::access(file.c_str(), F_OK) != 0);
  }
}

TEST("I2: one thread fills, one drains, links break, both stages turn over") {
  Scratch scratch;
  Stream stream(budget(64u << 10), options_in(scratch / "queue"));
  constexpr u64 kCount = 6'000;
  std::thread filler([&] {
    for (u64 i = 1; i <= kCount; ++i) {
      CHECK(stream.push(batch_of(i, 200 + i % 3'000, i % 4 == 0), touched_of(i)));
      (void)stream.has_room(i % 2 == 0);
      if (i % 64 == 0) ::usleep(300);
    }
  });
  u64 applied = 0, sent = 0;
  for (u64 turn = 0; applied < kCount; ++turn) {
    const StreamBatch batch = stream.take(40'000);
    if (batch.bytes) {
      CHECK_EQUAL(batch.sequence, sent + 1);
      CHECK(same(batch, batch_of(batch.sequence, 200 + batch.sequence % 3'000, batch.sequence % 4 == 0)));
      sent = batch.sequence;
    }
    if (turn % 997 == 0) {
      stream.link_lost();
      sent = applied;
      continue;
    }
    if (sent > applied && (!batch.bytes || turn % 3 == 0)) {
      applied += (sent - applied + 1) / 2;
      stream.acknowledge(ack_of(applied, applied - std::min<u64>(applied, 3)));
    }
    (void)stream.counters();
  }
  filler.join();
  stream.acknowledge(ack_of(kCount, kCount));
  const StreamCounters empty = stream.counters();
  CHECK(empty.held == 0 && empty.memory == 0 && empty.disk == 0 && empty.queued_ops == 0);
}

}  // namespace understudy::test

int main(int count, char** arguments) { return understudy::test::run_cases(count, arguments); }
