// Freezing file systems for a bounded time: released, timed out, its holder killed, this process killed.
#include "freeze.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <condition_variable>

#include "check.h"
#include "ops.h"

namespace understudy::test {
namespace {

bool shell(const std::string& command) { return Scratch::run(command); }

class Disk {
 public:
  Disk() {
    mount_ = scratch_ / "mounted";
    const std::string image = scratch_ / "image";
    ok_ = shell("truncate -s 24M '" + image + "' && mkfs.ext4 -q '" + image + "' && mkdir '" + mount_ + "' && mount -o loop '" + image + "' '" + mount_ + "'");
  }
  ~Disk() {
    if (!ok_) return;
    (void)thaw(mount_);
    (void)shell("umount '" + mount_ + "'");
  }
  bool ok() const { return ok_; }
  const std::string& path() const { return mount_; }
  // A writer of its own, since one that waits in the kernel cannot be talked to. True: it has not written after a while.
  bool frozen() const {
    const pid_t child = ::fork();
    if (child == 0) {
      const int fd = ::open((mount_ + "/probe").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      (void)!::write(fd, "x", 1);
      ::_exit(0);
    }
    // The kernel says which of the two it is, however slow this machine: it has ended, or waits and cannot be talked to.
    for (int waits = 0; waits < 20;) {
      if (::waitpid(child, nullptr, WNOHANG) == child) return false;
      waits = state_of(child) == 'D' ? waits + 1 : 0;
      ::usleep(2'000);
    }
    waiting_.push_back(child);
    return true;
  }
  // Everybody who waited goes on.
  void thawed() const {
    for (pid_t child : waiting_) CHECK_EQUAL(::waitpid(child, nullptr, 0), child);
    waiting_.clear();
    CHECK(!frozen());
  }

 private:
  static char state_of(pid_t pid) {
    const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t name = stat.rfind(')');
    return name == std::string::npos || name + 2 >= stat.size() ? '?' : stat[name + 2];
  }
  Scratch scratch_;
  std::string mount_;
  bool ok_ = false;
  mutable std::vector<pid_t> waiting_;
};

class Listener {
 public:
  Tell tell() {
    return [this](Fact fact) {
      std::lock_guard lock(mutex_);
      std::string text = fact.kind;
      for (const auto& [name, value] : fact.fields)
        if (const auto* word = std::get_if<std::string>(&value); word != nullptr && std::string(name) == "how") text += " " + *word;
      told_.push_back(text);
      changed_.notify_all();
    };
  }
  void wait(const std::string& wanted) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(lock, std::chrono::seconds(30), [&] { return !told_.empty() && told_.back() == wanted; });
    if (!came) failed(__FILE__, __LINE__, "waited in vain for " + wanted + ", last: " + (told_.empty() ? "" : told_.back()));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
};

bool skipped(const Disk& disk) {
  if (disk.ok()) return false;
  std::printf("SKIP: needs loop devices\n");
  return true;
}

pid_t holder() {
  pid_t found = 0;
  FILE* list = ::popen(("pgrep -P " + std::to_string(::getpid()) + " us-freeze").c_str(), "r");
  CHECK(list != nullptr);
  (void)!std::fscanf(list, "%d", &found);
  ::pclose(list);
  return found;
}

TEST("DESIGN 6: a freeze holds until it is released, and its file system goes on") {
  if (skip_unless_root("mounts a small ext4")) return;
  Disk disk;
  if (skipped(disk)) return;
  Listener listener;
  Freeze freeze(1, {disk.path()}, 20'000, listener.tell());
  listener.wait("freeze_held");
  CHECK(freeze.held());
  CHECK(disk.frozen());
  freeze.release();
  listener.wait("freeze_ended released");
  CHECK(!freeze.held());
  disk.thawed();
  CHECK_ERROR(thaw(disk.path()), EINVAL);
}

TEST("DESIGN 6: a freeze that nobody releases ends by itself, and is not called held from then on") {
  if (skip_unless_root("mounts a small ext4")) return;
  Disk disk;
  if (skipped(disk)) return;
  Listener listener;
  Freeze freeze(1, {disk.path()}, 500, listener.tell());
  listener.wait("freeze_held");
  CHECK(disk.frozen());
  listener.wait("freeze_ended timed_out");
  CHECK(!freeze.held());
  disk.thawed();
}

TEST("DESIGN 6: whoever is killed, the file system is thawed: the holder") {
  if (skip_unless_root("mounts a small ext4")) return;
  Disk disk;
  if (skipped(disk)) return;
  Listener listener;
  Freeze freeze(1, {disk.path()}, 20'000, listener.tell());
  listener.wait("freeze_held");
  const pid_t pid = holder();
  CHECK(pid > 0);
  CHECK_EQUAL(::kill(pid, SIGTERM), 0);   // an orderly stop of the whole service does not reach it
  ::usleep(50'000);
  CHECK(freeze.held());
  CHECK_EQUAL(::kill(pid, SIGKILL), 0);
  listener.wait("freeze_ended killed");
  CHECK(!freeze.held());
  disk.thawed();
}

TEST("DESIGN 6: whoever is killed, the file system is thawed: the agent") {
  if (skip_unless_root("mounts a small ext4")) return;
  Disk disk;
  if (skipped(disk)) return;
  int ready[2];
  CHECK_EQUAL(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    Freeze freeze(1, {disk.path()}, 20'000, [&](Fact fact) { (void)!::write(ready[1], fact.kind.data(), fact.kind.size()); });
    ::pause();
    ::_exit(0);
  }
  ::close(ready[1]);
  char text[32] = {};
  CHECK(::read(ready[0], text, sizeof text) > 0);
  CHECK_EQUAL(std::string(text), "freeze_held");
  CHECK(disk.frozen());
  CHECK_EQUAL(::kill(agent, SIGKILL), 0);
  CHECK_EQUAL(::waitpid(agent, nullptr, 0), agent);
  disk.thawed();
  // Nothing of the agent lives on in the holder: its end of the pipe is closed.
  CHECK_EQUAL(::read(ready[0], text, sizeof text), 0);
  ::close(ready[0]);
}

TEST("DESIGN 6: what cannot be frozen is refused, and nothing stays frozen") {
  if (skip_unless_root("mounts a small ext4")) return;
  Disk disk;
  if (skipped(disk)) return;
  Listener listener;
  {
    Freeze freeze(1, {disk.path(), "/proc"}, 20'000, listener.tell());
    listener.wait("freeze_failed");
    CHECK(!freeze.held());
  }
  {
    Freeze freeze(1, {disk.path() + "/missing"}, 20'000, listener.tell());
    listener.wait("freeze_failed");
  }
  disk.thawed();
  CHECK_OK(file_system_of(disk.path()));
  CHECK(*file_system_of(disk.path()) != *file_system_of("/"));
  CHECK_ERROR(file_system_of("/missing"), ENOENT);
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
