// The applied mark: exact after kill -9, modest after a reboot (I2, DESIGN 8).
#include <sys/mman.h>

#include <csignal>

#include "check.h"
#include "marks.h"

namespace understudy::test {
namespace {

constexpr u64 kBoot = 111, kOtherBoot = 222, kReplica = 333;

TEST("I2: a mark begins with nothing and remembers its stream") {
  Scratch scratch;
  const std::string path = scratch / "mark";
  {
    auto marks = Marks::open(path, kBoot, kReplica);
    CHECK_OK(marks);
    CHECK_EQUAL((*marks)->stream(), 0u);
    CHECK_EQUAL((*marks)->applied(), 0u);
    CHECK(!(*marks)->in_doubt());
    CHECK_ERROR(Marks::open(path, kBoot, kReplica), EWOULDBLOCK);   // one receiver per mark
    CHECK_OK((*marks)->start_stream(77));
    (*marks)->begin_operation(1, 0);
    (*marks)->end_operation(1, 0);
    (*marks)->end_batch(1);
    (*marks)->begin_operation(2, 0);
    (*marks)->end_operation(2, 0);
  }
  auto marks = Marks::open(path, kBoot, kReplica);
  CHECK_OK(marks);
  CHECK_EQUAL((*marks)->stream(), 77u);
  CHECK_EQUAL((*marks)->applied(), 1u);
  CHECK_EQUAL((*marks)->applied_ops(), 1u);
  CHECK(!(*marks)->in_doubt());
  CHECK_EQUAL((*marks)->durable(), 0u);
}

TEST("I2: after a reboot only the durable record counts") {
  Scratch scratch;
  const std::string path = scratch / "mark";
  {
    auto marks = Marks::open(path, kBoot, kReplica);
    CHECK_OK(marks);
    CHECK_OK((*marks)->start_stream(5));
    for (u64 batch = 1; batch <= 9; ++batch) {
      (*marks)->begin_operation(batch, 0);
      (*marks)->end_operation(batch, 0);
      (*marks)->end_batch(batch);
      if (batch == 4 || batch == 6) CHECK_OK((*marks)->write_durable(batch));
    }
    (*marks)->begin_operation(10, 3);
  }
  {
    auto same = Marks::open(path, kBoot, kReplica);
    CHECK_OK(same);
    CHECK_EQUAL((*same)->applied(), 9u);
    CHECK_EQUAL((*same)->applied_ops(), 3u);
    CHECK((*same)->in_doubt());
    CHECK_EQUAL((*same)->durable(), 6u);
  }
  for (int again = 0; again < 2; ++again) {
    auto other = Marks::open(path, kOtherBoot, kReplica);
    CHECK_OK(other);
    CHECK_EQUAL((*other)->stream(), 5u);
    CHECK_EQUAL((*other)->applied(), 6u);
    CHECK_EQUAL((*other)->applied_ops(), 0u);
    CHECK(!(*other)->in_doubt());
  }
}

TEST("I2: a torn durable record gives way to the one before") {
  Scratch scratch;
  const std::string path = scratch / "mark";
  {
    auto marks = Marks::open(path, kBoot, kReplica);
    CHECK_OK(marks);
    CHECK_OK((*marks)->start_stream(5));    // generation 1
    (*marks)->end_batch(1);
    CHECK_OK((*marks)->write_durable(1));   // 2, in slot 0
    (*marks)->end_batch(2);
    CHECK_OK((*marks)->write_durable(2));   // 3, in slot 1
  }
  const Fd fd(::open(path.c_str(), O_RDWR));
  const u8 wrong = 0xEE;
  CHECK(::pwrite(fd.get(), &wrong, 1, 8'192 + 24) == 1);
  auto marks = Marks::open(path, kOtherBoot, kReplica);
  CHECK_OK(marks);
  CHECK_EQUAL((*marks)->durable(), 1u);
  CHECK_EQUAL((*marks)->applied(), 1u);
  CHECK_EQUAL((*marks)->stream(), 5u);
}

TEST("I3: a mark of other directories is not believed, on the same boot or another") {
  for (const u64 boot : {kBoot, kOtherBoot}) {
    Scratch scratch;
    const std::string path = scratch / "mark";
    {
      auto marks = Marks::open(path, kBoot, kReplica);
      CHECK_OK(marks);
      CHECK(!(*marks)->replica_changed());
      CHECK_OK((*marks)->start_stream(5));
      (*marks)->end_batch(1);
      CHECK_OK((*marks)->write_durable(1));
    }
    auto marks = Marks::open(path, boot, kReplica + 1);
    CHECK_OK(marks);
    CHECK((*marks)->replica_changed());
    CHECK_EQUAL((*marks)->stream(), 0u);
    CHECK_EQUAL((*marks)->applied(), 0u);
    CHECK_EQUAL((*marks)->durable(), 0u);
    CHECK_OK((*marks)->start_stream(6));
    marks->reset();
    auto again = Marks::open(path, boot, kReplica + 1);
    CHECK_OK(again);
    CHECK_EQUAL((*again)->stream(), 6u);
    CHECK(!(*again)->replica_changed());
  }
}

TEST("I2: a file of garbage is no mark") {
  Scratch scratch;
  std::string garbage(12'288, '\0');
  Random random(4);
  for (char& c : garbage) c = static_cast<char>(random.next());
  write_file(scratch / "mark", garbage);
  auto marks = Marks::open(scratch / "mark", kBoot, kReplica);
  CHECK_OK(marks);
  CHECK_EQUAL((*marks)->stream(), 0u);
  CHECK_EQUAL((*marks)->applied(), 0u);
}

// A process counts in shared memory what it has really done, and is killed at a random moment. The mark must say
// the same number, or that number plus "one in doubt".
TEST("I2: kill -9 at any moment leaves exactly one operation in doubt, or none") {
  Scratch scratch;
  const std::string path = scratch / "mark";
  auto* done = static_cast<volatile u64*>(
      ::mmap(nullptr, 4'096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  constexpr u32 kOps = 7;
  Random random(9);
  u64 doubts = 0;
  for (int round = 0; round < 60; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto marks = Marks::open(path, kBoot, kReplica);
      if (!marks) ::_exit(1);
      if ((*marks)->stream() == 0 && !(*marks)->start_stream(3)) ::_exit(1);
      u32 first = (*marks)->applied_ops();
      for (u64 batch = (*marks)->applied() + 1;; ++batch) {
        for (u32 op = first; op < kOps; ++op) {
          (*marks)->begin_operation(batch, op);
          *done = (batch - 1) * kOps + op + 1;   // the operation's effect: at once, and idempotent
          (*marks)->end_operation(batch, op);
        }
        (*marks)->end_batch(batch);
        first = 0;
      }
    }
    const u64 before = *done;
    while (*done == before) ::usleep(10);
    ::usleep(static_cast<useconds_t>(random.below(3'000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    auto marks = Marks::open(path, kBoot, kReplica);
    CHECK_OK(marks);
    const u64 marked = (*marks)->applied() * kOps + (*marks)->applied_ops();
    if ((*marks)->in_doubt()) {
      ++doubts;
      CHECK(*done == marked || *done == marked + 1);
    } else {
      CHECK_EQUAL(u64{*done}, marked);
    }
  }
  CHECK(doubts > 0);   // otherwise the test proves little
  ::munmap(const_cast<u64*>(done), 4'096);
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
