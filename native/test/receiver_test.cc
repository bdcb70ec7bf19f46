// The receiver: order, acknowledgements, refusals, waiting, and starting again (I1, I2, I4, P6, REP-10).
#include <sys/mman.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "receiver_refusals.h"
#include "receiver_support.h"

namespace understudy::test {
namespace {

using wire::OpKind;

bool shell(const std::string& command) { return Scratch::run(command); }

TEST("I2: batches are applied in order, acknowledged, and durable a moment later") {
  Link link;
  const auto position = link.open(9);
  CHECK_EQUAL(position.stream, 9u);
  CHECK_EQUAL(position.applied, 0u);
  CHECK(position.boot != 0);
  CHECK_EQUAL(position.flags, wire::kPositionFresh);
  for (int i = 0; i < 50; ++i) {
    CHECK_OK(link.send({mkdir_op("d" + std::to_string(i)), file_op("d" + std::to_string(i) + "/f", std::to_string(i))}));
  }
  link.wait_applied(50);
  CHECK_EQUAL(read_file(link / "d49/f"), "49");
  link.wait_durable(50);
  CHECK_EQUAL(link.ack().applied_ns, 2);
  CHECK_EQUAL(link.ack().queued_bytes, 0u);
  CHECK_EQUAL(link.ack().written_bytes, 90u);
  const auto statistics = link.receiver->statistics();
  CHECK_EQUAL(statistics.batches, 50u);
  CHECK_EQUAL(statistics.operations, 100u);
  CHECK_EQUAL(statistics.last_path, "d49/f");
  CHECK(statistics.checkpoints > 0);
  link.receiver->close();
  CHECK_ERROR(link.send({mkdir_op("late")}), ESHUTDOWN);
  const auto again = link.open(9);
  CHECK_EQUAL(again.applied, 50u);
  CHECK_EQUAL(again.durable, 50u);
  CHECK_EQUAL(again.applied_ops, 0u);
  CHECK_EQUAL(again.flags, 0u);
}

TEST("QUE-12, QUE-13: what all receivers hold of mirrors is counted; at the marks every source is told") {
  Link one, other;
  auto tuning = std::make_shared<Tuning>();
  tuning->mirror_memory.set_marks(10'000, 3'000);
  one.options.tuning = other.options.tuning = tuning;
  one.open();
  other.open();
  one.receiver->pause(true);
  const std::string data(4'000, 'x');
  auto send = [&](u32 flags, const char* name) { CHECK_OK(one.receiver->receive(batch_of(++one.sequence, {file_op(name, data)}, flags))); };
  auto held = [](Link& link) { return (link.ack().flags & wire::kAckMirrorHold) != 0; };
  for (const char* name : {"a", "b", "c", "d"}) send(0, name);   // Changes do not count.
  CHECK_EQUAL(tuning->mirror_memory.bytes(), 0u);
  send(wire::kBatchMirror, "e");
  send(wire::kBatchMirror, "f");
  CHECK(!tuning->mirror_memory.held());
  CHECK_OK(one.receiver->receive(batch_of(one.sequence, {file_op("f", data)}, wire::kBatchMirror)));   // Again: dropped.
  CHECK(!tuning->mirror_memory.held());
  send(wire::kBatchMirror, "g");
  one.wait_flags(wire::kAckMirrorHold);
  other.wait_flags(wire::kAckMirrorHold);   // Though nothing of it is his.
  CHECK_EQUAL(one.receiver->statistics().mirror_bytes, tuning->mirror_memory.bytes());
  CHECK(other.receiver->statistics().mirror_held);
  one.receiver->pause(false);
  one.wait_applied(one.sequence);
  for (int i = 0; i < 3'000 && held(other); ++i) ::usleep(10'000);
  CHECK(!held(other));
  CHECK_EQUAL(tuning->mirror_memory.bytes(), 0u);
  // A receiver that ends, and a stream that begins anew, give back what they held.
  for (const bool ends : {true, false}) {
    one.receiver->pause(true);
    for (const char* name : {"e", "f", "g"}) send(wire::kBatchMirror, name);
    CHECK(tuning->mirror_memory.held());
    if (ends) {
      one.open();
    } else {
      wire::StreamPosition fresh{};
      fresh.stream = 77;
      one.receiver->position(fresh);
    }
    CHECK_EQUAL(tuning->mirror_memory.bytes(), 0u);
    CHECK(!held(other));
  }
}

TEST("CON-60: a target that is paused when a link comes applies nothing of it, and its first acknowledgement says so") {
  Link link;
  link.options.paused = true;
  for (int i = 0; i < 50; ++i) {
    link.open(9);
    CHECK_OK(link.send({mkdir_op("d")}));
    link.wait_flags(wire::kAckPaused);
    CHECK_EQUAL(link.ack().applied, 0u);
    CHECK(link.ack().queued_bytes > 0);
    CHECK(!exists(link / "d"));
  }
  link.receiver->pause(false);
  link.wait_applied(1);
  CHECK(exists(link / "d"));
}

TEST("I4: gaps, garbage and unnamed streams are refused, repeats are dropped") {
  Link link;
  link.open();
  CHECK_ERROR(link.receiver->receive(batch_of(2, {mkdir_op("d")})), EPROTO);
  link.must({mkdir_op("d")});
  CHECK_OK(link.receiver->receive(batch_of(1, {remove_op("d")})));   // not this one: it is the past
  link.must({mkdir_op("e")});
  CHECK(exists(link / "d"));
  Bytes garbage;
  std::memset(garbage.grow(100), 'g', 100);
  CHECK_ERROR(link.receiver->receive(std::move(garbage)), EBADMSG);
  CHECK_ERROR(link.receiver->receive(batch_of(3, {mkdir_op("d").mapping(1)})), EBADMSG);

  Link silent;
  silent.open(0);
  CHECK_ERROR(silent.send({mkdir_op("d")}), EPROTO);
}

TEST("I2: another stream begins at zero and drops what was queued") {
  Link link;
  link.open(1);
  link.must({mkdir_op("one")});
  link.receiver->pause(true);
  CHECK_OK(link.send({mkdir_op("queued")}));
  wire::StreamPosition hello{};
  hello.stream = 2;
  const auto position = link.receiver->position(hello);
  CHECK_EQUAL(position.stream, 2u);
  CHECK_EQUAL(position.applied, 0u);
  CHECK_EQUAL(link.receiver->statistics().queued_bytes, 0u);
  link.receiver->pause(false);
  link.forget_acks();
  link.sequence = 0;
  link.must({mkdir_op("two")});
  CHECK(exists(link / "two") && !exists(link / "queued"));
  CHECK_EQUAL(link.receiver->position(hello).applied, 1u);
}

TEST("I3: a replica that was wiped is not called up to date: the stream is not taken up again") {
  Link link;
  link.open(7);
  link.must({file_op("f", "x")});
  link.must({file_op("g", "y")});
  link.wait_durable(2);
  link.receiver.reset();
  CHECK(shell("rm -r '" + link.options.roots[0].path + "'"));
  link.open(0);
  link.wait_report("replica_changed " + link.options.roots[0].path);
  wire::StreamPosition hello{};
  hello.stream = 7;
  hello.applied = 2;   // the source has dropped what it knew to be applied
  CHECK(link.receiver->position(hello).stream != 7);
  CHECK_ERROR(link.receiver->receive(batch_of(3, {file_op("h", "z")})), EPROTO);
  CHECK_ERROR(link.receiver->receive(batch_of(1, {file_op("h", "z")})), EPROTO);
  hello.stream = 8;
  hello.applied = 0;   // mirrored from the beginning
  for (int again = 0; again < 2; ++again) {   // told until something is applied, should the first answer get lost
    const auto position = link.receiver->position(hello);
    CHECK_EQUAL(position.stream, 8u);
    CHECK_EQUAL(position.flags, wire::kPositionFresh);
  }
  hello.stream = 9;
  CHECK_EQUAL(link.receiver->position(hello).flags, wire::kPositionFresh);
  link.sequence = 0;
  link.must({file_op("h", "z")});
  CHECK_EQUAL(link.receiver->position(hello).flags, 0u);
  hello.stream = 10;   // a source that starts again and counts on what is here
  CHECK_EQUAL(link.receiver->position(hello).flags, 0u);
}

TEST("P6: a bad path goes back to the source, is counted, and the rest goes on") {
  Link link;
  link.open();
  link.must({mkdir_op("d"), file_op("missing/f", "x").id(7), Op(OpKind::setattr, "nothing"), file_op("d/g", "fine")});
  CHECK_EQUAL(read_file(link / "d/g"), "fine");
  const auto naks = link.naks();
  CHECK_EQUAL(naks.size(), std::size_t{2});
  CHECK_EQUAL(naks[0].header.error, u32{ENOENT});
  CHECK_EQUAL(naks[0].header.arg0, 1u);
  CHECK_EQUAL(naks[0].header.arg1, 1u);
  wire::OpHeader failed_op;
  std::memcpy(&failed_op, naks[0].body.data(), sizeof failed_op);
  CHECK_EQUAL(failed_op.kind, static_cast<u8>(OpKind::file));
  CHECK_EQUAL(failed_op.data_len, 0u);
  const std::string named = naks[0].body.substr(sizeof failed_op);
  CHECK_EQUAL(named.substr(0, failed_op.path_len), "missing/f");
  CHECK(named.size() > failed_op.path_len);   // The call that failed stands behind the paths.
  CHECK_EQUAL(link.ack().failed, 2u);
  link.wait_report("quarantined missing/f 2");
  link.must({mkdir_op("missing"), file_op("missing/f", "repaired")});
  CHECK_EQUAL(link.ack().failed, 1u);
  link.must({remove_op("nothing")});
  CHECK_EQUAL(link.ack().failed, 0u);
  CHECK_EQUAL(link.receiver->statistics().failed, 2u);
  CHECK_EQUAL(link.receiver->statistics().quarantined, 0u);
}

TEST("P6, I2: the number of a refusal is not given again, not by a target that has forgotten all that were taken") {
  Scratch scratch;
  const std::string path = scratch / "refusals";
  const auto reply = [] {
    Bytes bytes;
    bytes.append("refused", 7);
    return bytes;
  };
  const auto open = [](const Refusals& refusals) {
    std::size_t count = 0;
    refusals.each([&](Bytes) { ++count; });
    return count;
  };
  {
    Refusals first(path);
    first.load(9);
    CHECK_OK(first.add(reply()));
    CHECK_OK(first.add(reply()));
    first.taken(2);
    CHECK_EQUAL(open(first), 0u);
  }
  Refusals second(path);   // Of the next process. The source says hello with what it took of the one before.
  second.load(9);
  second.taken(2);
  CHECK_EQUAL(second.next_id(), 3u);
  CHECK_OK(second.add(reply()));
  second.taken(2);         // The link broke before it was heard of, and the next hello says the same.
  CHECK_EQUAL(open(second), 1u);
  second.taken(3);
  CHECK_EQUAL(open(second), 0u);
}

TEST("CON-60: a paused target keeps everything and says so") {
  Link link;
  link.options.queue_bytes_max = 1'000;
  link.open();
  std::atomic<int> room{0};
  link.receiver->on_room([&] { ++room; });
  link.receiver->pause(true);
  link.wait_flags(wire::kAckPaused);
  CHECK(link.receiver->has_room());
  CHECK_OK(link.send({file_op("f", std::string(2'000, 'x'))}));
  CHECK(!link.receiver->has_room());
  ::usleep(20'000);
  CHECK(!exists(link / "f"));
  link.receiver->pause(false);
  link.wait_applied(1);
  CHECK((link.ack().flags & wire::kAckPaused) == 0);
  CHECK(link.receiver->has_room());
  for (int i = 0; room.load() == 0 && i < 1'000; ++i) ::usleep(1'000);
  CHECK_EQUAL(room.load(), 1);
}

TEST("CON-60: pausing is pending until the operation at hand has ended, then paused") {
  Link link;
  link.open();
  link.must({file_op("before", "x")});
  const std::string root = link.options.roots[0].path;
  // An operation that cannot end by itself: its root is gone.
  CHECK_EQUAL(::rename(root.c_str(), (root + ".away").c_str()), 0);
  CHECK_OK(link.send({file_op("f", "x"), file_op("g", "x")}));
  link.wait_flags(wire::kAckRetrying);
  link.receiver->pause(true);
  link.wait_flags(wire::kAckPausePending);
  CHECK((link.ack().flags & wire::kAckPaused) == 0);
  CHECK(link.receiver->statistics().pausing);
  CHECK_EQUAL(::rename((root + ".away").c_str(), root.c_str()), 0);
  link.wait_flags(wire::kAckPaused);
  CHECK((link.ack().flags & wire::kAckPausePending) == 0);
  CHECK(!link.receiver->statistics().pausing);
  CHECK(!exists(link / "g"));
  link.receiver->pause(false);
  link.wait_applied(2);
  CHECK(exists(link / "f") && exists(link / "g"));
}

TEST("DESIGN 5: checkpoint makes everything before it durable at once; tasks come in order") {
  Link link;
  link.options.checkpoint_ms = 1'000'000;
  link.open();
  link.must({file_op("f", "x"), Op(OpKind::task).text("payload"), Op(OpKind::heartbeat).args(5)});
  CHECK_EQUAL(link.ack().durable, 0u);
  link.must({Op(OpKind::checkpoint)});
  link.wait_durable(2);
  link.wait_report("task payload 0");
}

TEST("REP-20: a task stands in the stream: all before it is there, nothing behind it until it is done") {
  Link link;
  link.options.checkpoint_ms = 1'000'000;
  std::mutex mutex;
  std::vector<std::string> seen;
  std::atomic<u64> ticket{0};
  link.options.on_task = [&](u64 number, Bytes payload, bool ready) {
    std::lock_guard lock(mutex);
    seen.push_back(std::string(reinterpret_cast<const char*>(payload.data()), payload.size()) + (ready ? " ready" : ""));
    ticket = number;
  };
  link.open();
  CHECK_OK(link.send({file_op("before", "x")}));
  CHECK_OK(link.send({Op(OpKind::task).text("one")}));
  CHECK_OK(link.send({file_op("behind", "x")}));
  link.wait_flags(wire::kAckTask);
  CHECK(link.receiver->statistics().task);
  CHECK(exists(link / "before"));
  CHECK_EQUAL(link.ack().durable, 0u);
  link.receiver->task_done(ticket + 1);   // of another past
  link.receiver->task_done(ticket - 1);
  ::usleep(20'000);
  CHECK(!exists(link / "behind"));
  CHECK_EQUAL(link.ack().applied, 1u);
  link.receiver->task_done(ticket);
  link.wait_applied(3);
  CHECK(exists(link / "behind"));
  CHECK((link.ack().flags & wire::kAckTask) == 0);

  // Durable first.
  CHECK_OK(link.send({file_op("more", "x")}));
  CHECK_OK(link.send({Op(OpKind::task).text("two").args(wire::kTaskDurable)}));
  link.wait_flags(wire::kAckTask);
  CHECK_EQUAL(link.ack().durable, 4u);
  // The link ends while it runs: it comes again, because only the control plane knows whether it has run.
  link.open();
  CHECK_EQUAL(link.sequence, 4u);
  CHECK_OK(link.send({Op(OpKind::task).text("two").args(wire::kTaskDurable)}));
  link.wait_flags(wire::kAckTask);
  // A new stream does not wait for a task of the old one.
  wire::StreamPosition hello{};
  hello.stream = 2;
  CHECK_EQUAL(link.receiver->position(hello).stream, 2u);
  link.forget_acks();
  link.sequence = 0;
  link.must({file_op("fresh", "x")});
  std::lock_guard lock(mutex);
  CHECK_EQUAL(seen.size(), std::size_t{3});
  CHECK_EQUAL(seen[0], "one ready");
  CHECK_EQUAL(seen[1], "two ready");
  CHECK_EQUAL(seen[2], "two ready");
}

TEST("I2: enough written bytes start a checkpoint by themselves") {
  Link link;
  link.options.checkpoint_ms = 1'000'000;
  link.options.checkpoint_bytes = 1u << 20;
  link.open();
  for (u64 i = 0; i < 4; ++i) CHECK_OK(link.send({write_op("f", i << 19, std::string(1 << 19, 'x'))}));
  link.wait_durable(2);
}

TEST("REP-10: a lost root stops the stream, and everything goes on when it is back") {
  Link link;
  link.open();
  link.must({mkdir_op("d")});
  const std::string root = link.options.roots[0].path;
  CHECK(::rename(root.c_str(), (root + "-away").c_str()) == 0);
  CHECK_OK(link.send({file_op("d/f", "x")}));
  link.wait_report("root_gone " + root);
  link.wait_flags(wire::kAckRetrying);
  CHECK(!exists(root + "-away/d/f"));
  CHECK(::mkdir(root.c_str(), 0755) == 0);   // another directory of that name is not the root
  ::usleep(60'000);
  CHECK(!exists(root + "/d"));
  CHECK(::rmdir(root.c_str()) == 0 && ::rename((root + "-away").c_str(), root.c_str()) == 0);
  link.wait_applied(2);
  CHECK_EQUAL(read_file(link / "d/f"), "x");
  CHECK((link.ack().flags & wire::kAckRetrying) == 0);
  CHECK_EQUAL(link.ack().failed, 0u);
}

TEST("REP-10, I2: a full disk blocks the stream; with space again nothing is missing") {
  if (skip_unless_root("mounts a small ext4")) return;
  Link link;
  const std::string image = link.scratch / "image", mount = link.scratch / "mounted";
  CHECK(shell("truncate -s 24M '" + image + "' && mkfs.ext4 -q -m0 '" + image + "' && mkdir '" + mount + "'"));
  if (!shell("mount -o loop '" + image + "' '" + mount + "'")) {
    std::printf("SKIP: needs loop devices\n");
    return;
  }
  link.options.roots[0].path = mount + "/root";
  link.open();
  CHECK(shell("head -c 12M /dev/zero > '" + mount + "/ballast'"));
  u64 megabytes = 0;
  for (; megabytes < 14; ++megabytes) {
    CHECK_OK(link.send({write_op("big", megabytes << 20, std::string(1 << 20, static_cast<char>('a' + megabytes)))}));
  }
  CHECK_OK(link.send({file_op("after", "small"), rename_op("after", "renamed")}));
  link.wait_report("retrying big 28");
  link.wait_flags(wire::kAckRetrying);
  ::usleep(80'000);
  CHECK(!exists(mount + "/root/renamed"));   // nothing is skipped
  CHECK(link.naks().empty());
  CHECK(::unlink((mount + "/ballast").c_str()) == 0);
  link.wait_applied(link.sequence);
  link.wait_report("retry_succeeded big");
  CHECK_EQUAL(read_file(mount + "/root/renamed"), "small");
  const std::string big = read_file(mount + "/root/big");
  CHECK_EQUAL(big.size(), megabytes << 20);
  for (u64 i = 0; i < megabytes; ++i) {
    CHECK_EQUAL(big[i << 20], static_cast<char>('a' + i));
    CHECK_EQUAL(big[((i + 1) << 20) - 1], static_cast<char>('a' + i));
  }
  // Closing while the disk is full again must not wait for space.
  CHECK(!shell("head -c 30M /dev/zero > '" + mount + "/ballast' 2>/dev/null"));
  CHECK_OK(link.send({write_op("more", 0, std::string(1 << 20, 'm'))}));
  link.wait_report("retrying more 28");
  link.receiver->close();
  CHECK(::unlink((mount + "/ballast").c_str()) == 0);
  const auto position = link.open();
  CHECK_EQUAL(position.applied, 15u);
  link.must({write_op("more", 0, std::string(1 << 20, 'm'))});
  link.receiver.reset();
  CHECK(shell("umount '" + mount + "'"));   // nothing of ours is open there
}

constexpr i64 kPatienceNs = 120'000'000'000;

// A model of the stream: the same random operations applied to a plain map. The process that applies is killed again
// and again; in the end the tree must be the model's, although no operation was ever checked before it was repeated.
TEST("I2: killed at random moments, the target repeats only what is in doubt") {
  Link link;
  link.options.checkpoint_ms = 5;
  struct Model {
    std::vector<std::pair<std::string, std::string>> names;   // name, contents
  } model;
  Random random(2'026);
  std::vector<std::vector<Op>> batches;
  u64 serial = 0;
  for (int b = 0; b < 1'500; ++b) {
    std::vector<Op> ops;
    for (int i = 0; i < 8; ++i) {
      auto& names = model.names;
      const u64 dice = random.below(10);
      if (names.size() < 5 || dice < 3) {
        const std::string name = "n" + std::to_string(serial++);
        const std::string text = std::to_string(random.next());
        ops.push_back(file_op(name, text, wire::kOpFresh));
        names.emplace_back(name, text);
      } else if (dice < 6) {   // a rename to a name that was never used: repeated blindly it would fail
        auto& one = names[random.below(names.size())];
        const std::string to = "r" + std::to_string(serial++);
        ops.push_back(rename_op(one.first, to));
        one.first = to;
      } else if (dice < 8) {   // a swap: repeated blindly it would undo itself
        const u64 a = random.below(names.size()), c = random.below(names.size());
        if (a == c) continue;
        ops.push_back(rename_op(names[a].first, names[c].first, wire::kOpExchange));
        std::swap(names[a].second, names[c].second);
      } else {
        const u64 gone = random.below(names.size());
        ops.push_back(remove_op(names[gone].first));
        names.erase(names.begin() + static_cast<long>(gone));
      }
    }
    batches.push_back(std::move(ops));
  }
  // What the child has got done, seen from outside.
  void* const page = ::mmap(nullptr, sizeof(std::atomic<u64>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  auto& applied = *new (page) std::atomic<u64>(0);
  u64 kills = 0, closings = 0;
  for (bool finished = false; !finished;) {
    const u64 before = applied.load();
    const pid_t child = ::fork();
    CHECK(child >= 0);
    if (child == 0) {
      std::atomic<bool> refused{false};
      auto receiver = Receiver::open(
          link.options,
          [&](wire::FrameType type, Bytes payload) {
            if (type == wire::FrameType::reply) refused = true;
            if (type != wire::FrameType::ack) return;
            wire::Ack ack;
            std::memcpy(&ack, payload.data(), sizeof ack);
            applied = ack.applied;
          },
          [](const char*, std::string, SysError) {});
      if (!receiver) ::_exit(1);
      wire::StreamPosition hello{};
      hello.stream = 5;
      const u64 from = (*receiver)->position(hello).applied;
      applied = from;
      for (u64 next = from; next < batches.size(); ++next) {
        BatchWriter writer;
        writer.begin();
        for (const Op& op : batches[next]) add(writer, op);
        if (!(*receiver)->receive(writer.close(next + 1, 0, 0, 0))) ::_exit(2);
        if (refused) ::_exit(3);
      }
      while (applied.load() < batches.size()) {
        if (refused) ::_exit(3);
        ::usleep(100);
      }
      (*receiver)->close();
      ::_exit(refused ? 3 : 0);
    }
    // When it dies is counted in batches, not in time: starting and the last sync take as long as machine and disk want,
    // and a child that never gets so far would be killed for ever. One of four dies while it starts, the first three
    // that have applied everything while they close.
    const bool early = before < batches.size() && random.below(4) == 0;
    const u64 wanted = early ? 0 : std::min<u64>(before + 1 + random.below(40), batches.size());
    const bool last = wanted == batches.size() && ++closings > 3;
    int status = 0;
    bool ended = false;
    for (const i64 began = monotonic_ns(); !ended && (last || applied.load() < wanted);
         ended = ::waitpid(child, &status, WNOHANG) == child) {
      if (monotonic_ns() - began > kPatienceNs) failed(__FILE__, __LINE__, "it gets no further");
      ::usleep(50);
    }
    if (!ended) {
      ::usleep(static_cast<useconds_t>(random.below(early ? 10'000 : 1'000)));
      ::kill(child, SIGKILL);
      CHECK(::waitpid(child, &status, 0) == child);
    }
    if (WIFEXITED(status)) {
      CHECK_EQUAL(WEXITSTATUS(status), 0);
      finished = true;
    } else {
      ++kills;
      CHECK(kills < 5'000);
    }
  }
  ::munmap(page, sizeof(std::atomic<u64>));
  std::printf("   %llu kills\n", static_cast<unsigned long long>(kills));
  CHECK(kills > 20);
  u64 count = 0;
  for (const auto& [name, text] : model.names) {
    CHECK_EQUAL(read_file(link / name), text);
    ++count;
  }
  FILE* list = ::popen(("ls -A '" + link.options.roots[0].path + "' | wc -l").c_str(), "r");
  unsigned long long found = 0;
  CHECK(std::fscanf(list, "%llu", &found) == 1);
  ::pclose(list);
  CHECK_EQUAL(u64{found}, count);
}

TEST("I8: statistics, pauses and closing from other threads while batches are applied") {
  Link link;
  link.options.checkpoint_ms = 1;
  link.open();
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    for (bool paused = false; !stop; paused = !paused) {
      link.receiver->pause(paused);
      (void)link.receiver->statistics();
      (void)link.receiver->has_room();
      link.receiver->set_ignore_deletes(paused);
    }
    link.receiver->pause(false);
  });
  for (int i = 0; i < 200; ++i) CHECK_OK(link.send({file_op("f" + std::to_string(i % 7), "x"), write_op("g", 0, "y")}));
  wire::StreamPosition hello{};
  hello.stream = 1;
  for (int i = 0; i < 20; ++i) (void)link.receiver->position(hello);
  stop = true;
  watcher.join();
  link.wait_applied(200);
  hello.stream = 2;
  for (int i = 0; i < 20; ++i) {
    link.sequence = 0;
    for (int b = 0; b < 5; ++b) CHECK_OK(link.send({file_op("h", std::to_string(b))}));
    ++hello.stream;
    CHECK_EQUAL(link.receiver->position(hello).applied, 0u);
  }
  link.sequence = 0;
  CHECK_OK(link.send({file_op("h", "x")}));
  link.receiver->close();
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
