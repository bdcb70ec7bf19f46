#include "freeze.h"

#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

namespace understudy {
namespace {

constexpr int kPathsMax = 64;

// What the holder says; one each.
struct Word {
  enum : u32 { frozen = 1, failed = 2, released = 3, timed_out = 4, abandoned = 5 };
  u32 what;
  i32 error;
};

void say(int socket, u32 what, int error) {
  const Word word{what, error};
  (void)!::send(socket, &word, sizeof word, MSG_NOSIGNAL);
}

void close_all(unsigned from, unsigned to) {
  if (from > to || ::syscall(SYS_close_range, from, to, 0) == 0) return;
  for (unsigned fd = from; fd <= to && fd < 65'536; ++fd) ::close(static_cast<int>(fd));   // before Linux 5.9
}

void thaw_all(const int* files, int count) {
  for (int i = count - 1; i >= 0; --i) (void)::ioctl(files[i], FITHAW, 0);
}

// In the forked process: async-signal-safe calls only. Never returns.
[[noreturn]] void hold(const int* files, int count, int socket, u32 limit_ms) {
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGQUIT, SIGUSR1, SIGUSR2}) ::signal(signal, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_NAME, "us-freeze");
  const i64 end = monotonic_ns() + i64{limit_ms} * 1'000'000;
  for (int done = 0; done < count; ++done) {
    if (::ioctl(files[done], FIFREEZE, 0) == 0) continue;
    const int error = errno;
    thaw_all(files, done);
    say(socket, Word::failed, error);
    ::_exit(0);
  }
  say(socket, Word::frozen, 0);
  u32 how = Word::timed_out;
  for (;;) {
    const i64 left = (end - monotonic_ns() + 999'999) / 1'000'000;
    if (left <= 0) break;
    pollfd wait{socket, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) break;
    char order;
    how = ::recv(socket, &order, 1, 0) == 1 ? Word::released : Word::abandoned;
    break;
  }
  say(socket, how, 0);   // First: from here on nothing more counts as read of the frozen state.
  thaw_all(files, count);
  ::_exit(0);
}

}  // namespace

Result<std::string> file_system_of(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("open");
  struct statfs kind;
  if (::fstatfs(fd.get(), &kind) != 0) return sys_error("fstatfs");
  if (kind.f_type == static_cast<decltype(kind.f_type)>(BTRFS_SUPER_MAGIC)) {
    btrfs_ioctl_fs_info_args info{};
    if (::ioctl(fd.get(), BTRFS_IOC_FS_INFO, &info) != 0) return sys_error("ioctl(BTRFS_IOC_FS_INFO)");
    std::string text = "btrfs:";
    for (u8 byte : info.fsid) {
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
    }
    return text;
  }
  struct stat stat;
  if (::fstat(fd.get(), &stat) != 0) return sys_error("fstat");
  return std::to_string(stat.st_dev);
}

Status thaw(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("open");
  if (::ioctl(fd.get(), FITHAW, 0) != 0) return sys_error("ioctl(FITHAW)");
  return ok();
}

Freeze::Freeze(i32 id, std::vector<std::string> paths, u32 limit_ms, Tell tell)
    : id_(id), paths_(std::move(paths)), limit_ms_(limit_ms), tell_(std::move(tell)) {
  thread_ = std::thread([this] { run(); });
}

Freeze::~Freeze() {
  release();
  thread_.join();
}

bool Freeze::held() {
  if (!frozen_ || ended_) return false;
  // The next word of the holder is its last, and it is said before anything is thawed.
  std::lock_guard lock(mutex_);
  pollfd wait{socket_.get(), POLLIN, 0};
  return socket_ && ::poll(&wait, 1, 0) == 0;
}

void Freeze::release() {
  std::lock_guard lock(mutex_);
  if (socket_) (void)!::send(socket_.get(), "T", 1, MSG_NOSIGNAL);
}

void Freeze::run() {
  ::pthread_setname_np(::pthread_self(), "us-freeze");
  auto failed = [&](const SysError& error) {
    ended_ = true;
    tell_(Fact("freeze_failed").with("freeze", i64{id_}).error(error));
  };
  std::vector<Fd> files;
  int numbers[kPathsMax];
  if (paths_.size() > kPathsMax) return failed({E2BIG, "freeze"});
  for (const std::string& path : paths_) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return failed(sys_error("open"));
    (void)::syncfs(fd.get());   // What the freeze would write while everybody waits.
    numbers[files.size()] = fd.get();
    files.push_back(std::move(fd));
  }
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return failed(sys_error("socketpair"));
  Fd ours(pair[0]), theirs(pair[1]);
  const int count = static_cast<int>(files.size());
  const i64 began = monotonic_ns();
  const pid_t child = ::fork();
  if (child < 0) return failed(sys_error("fork"));
  if (child == 0) {
    // Keeps nothing of this process alive: neither its ports nor the locks of its state.
    int keep[kPathsMax + 1];
    for (int i = 0; i < count; ++i) keep[i] = numbers[i];
    keep[count] = theirs.get();
    for (int i = 0; i <= count; ++i)   // ascending
      for (int k = i + 1; k <= count; ++k)
        if (keep[k] < keep[i]) {
          const int other = keep[i];
          keep[i] = keep[k];
          keep[k] = other;
        }
    unsigned from = 0;
    for (int i = 0; i <= count; ++i) {
      const unsigned fd = static_cast<unsigned>(keep[i]);
      if (fd > from) close_all(from, fd - 1);
      from = fd + 1;
    }
    close_all(from, ~0u);
    hold(numbers, count, theirs.get(), limit_ms_);
  }
  theirs.reset();
  {
    std::lock_guard lock(mutex_);
    socket_ = std::move(ours);
  }
  const int socket = socket_.get();
  Word word{};
  ssize_t size = ::recv(socket, &word, sizeof word, 0);
  if (size == sizeof word && word.what == Word::frozen) {
    frozen_ = true;
    tell_(Fact("freeze_held").with("freeze", i64{id_}).with("ms", (monotonic_ns() - began) / 1'000'000));
    // Not received but looked for: `held` looks for the same word.
    pollfd wait{socket, POLLIN, 0};
    while (::poll(&wait, 1, -1) < 0 && errno == EINTR) {}
    ended_ = true;
    size = ::recv(socket, &word, sizeof word, 0);
  }
  ended_ = true;
  const bool silent = size != sizeof word;
  if (silent) thaw_all(numbers, count);   // The holder was killed.
  ::waitpid(child, nullptr, 0);
  {
    std::lock_guard lock(mutex_);
    socket_.reset();
  }
  if (!frozen_) return failed(silent ? SysError{ESRCH, "freeze: its holder is gone"} : SysError{word.error, "ioctl(FIFREEZE)"});
  const char* how = silent ? "killed" : word.what == Word::released ? "released" : "timed_out";
  tell_(Fact("freeze_ended").with("freeze", i64{id_}).with("how", std::string(how)).with("ms", (monotonic_ns() - began) / 1'000'000));
}

}  // namespace understudy
