#include "capture_reader.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

namespace understudy {
namespace {

constexpr std::size_t kReadBytes = 256u << 10;
// More than any single event of either interface: a read that leaves this much room found the queue empty.
constexpr std::size_t kEventBytesMax = 4096;
constexpr u32 kReadsPerWake = 16;      // a long drain tells the consumer in between
constexpr u32 kHalfWaitUs = 200;       // how long the second half of a rename may take to be queued
constexpr u32 kFailurePauseMsMax = 10'000;
constexpr i64 kBusyNs = 200'000'000;   // as many rounds as are remembered within this time: events keep coming

timespec duration_us(u64 us) {
  timespec time;
  time.tv_sec = static_cast<time_t>(us / 1'000'000);
  time.tv_nsec = static_cast<long>(us % 1'000'000) * 1'000;
  return time;
}

}  // namespace

Status EventReader::start(int queue, int wake_fd, Count count, HalfTest half) {
  control_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!control_) return sys_error("eventfd");
  queue_ = queue;
  wake_fd_ = wake_fd;
  count_ = count;
  half_ = half;
  running_ = true;
  // Signals belong to the main program; a thread inherits its creator's mask.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(thread_.native_handle(), "us-capture");
  return ok();
}

void EventReader::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  (void)::eventfd_write(control_.get(), 1);
  thread_.join();
}

EventReader::Losses EventReader::take(Bytes& out) {
  out.clear();
  std::lock_guard lock(mutex_);
  std::swap(out, waiting_);
  buffered_.store(0, std::memory_order_relaxed);
  return std::exchange(losses_, Losses{});
}

void EventReader::barrier() {
  std::unique_lock lock(mutex_);
  if (!running_) return;
  const u64 mine = ++barriers_asked_;
  (void)::eventfd_write(control_.get(), 1);
  passed_.wait(lock, [&] { return barriers_done_ >= mine || !running_; });
}

void EventReader::run() {
  Bytes chunk(kReadBytes);
  while (wait()) {
    u64 asked;
    {
      std::lock_guard lock(mutex_);
      asked = barriers_asked_;
    }
    drain(chunk);
    {
      std::lock_guard lock(mutex_);
      barriers_done_ = asked;
    }
    passed_.notify_all();
    rest();
  }
  {
    std::lock_guard lock(mutex_);
    running_ = false;
  }
  passed_.notify_all();
}

// Blocks until the queue has something or a barrier is asked for; false: the end is asked for.
bool EventReader::wait() {
  for (;;) {
    pollfd fds[2] = {{queue_, POLLIN, 0}, {control_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return false;
    eventfd_t ignored;
    if (fds[1].revents != 0) (void)::eventfd_read(control_.get(), &ignored);
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (fds[0].revents != 0 || barriers_asked_ > barriers_done_) return true;
  }
}

// Reads until the kernel's queue is empty.
void EventReader::drain(Bytes& chunk) {
  u32 reads = 0;
  bool news = false, waited_for_half = false;
  for (;;) {
    chunk.resize(kReadBytes);
    const ssize_t size = ::read(queue_, chunk.data(), kReadBytes);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size <= 0) {
      // Not expected of either interface. What the kernel dropped is unknown, so this is a loss, and it is tried
      // again (ever more slowly) because a capture that silently ended would look like a quiet disk.
      ++read_failures_;
      std::lock_guard lock(mutex_);
      losses_.read_error = size < 0 ? errno : EIO;
      news = true;
      break;
    }
    read_failures_ = 0;
    chunk.resize(static_cast<std::size_t>(size));
    events_.fetch_add(count_(chunk.data(), chunk.size()), std::memory_order_relaxed);
    publish(chunk);
    news = true;
    if (chunk.size() + kEventBytesMax < kReadBytes) {
      if (waited_for_half || half_ == nullptr || !half_(chunk.data(), chunk.size())) break;
      waited_for_half = true;
      const timespec time = duration_us(kHalfWaitUs);
      ::nanosleep(&time, nullptr);
    }
    if (++reads % kReadsPerWake == 0) signal_wake();
  }
  if (news) signal_wake();
}

void EventReader::publish(const Bytes& chunk) {
  std::lock_guard lock(mutex_);
  if (waiting_.size() + chunk.size() > options_.buffer_bytes_max) {
    // Everything is compared again anyway; keeping the rest would only hold the memory longer.
    waiting_ = Bytes();
    losses_.buffer = true;
  } else {
    waiting_.append(chunk.data(), chunk.size());
  }
  buffered_.store(waiting_.size(), std::memory_order_relaxed);
}

// The pause which lets the kernel merge events and keeps the writers' cost low; a barrier or the end cuts it short.
void EventReader::rest() {
  const i64 now = monotonic_ns();
  i64& oldest = rounds_[round_++ % rounds_.size()];
  u64 us = now - std::exchange(oldest, now) < kBusyNs ? std::max(options_.busy_us, options_.batch_us) : options_.batch_us;
  if (read_failures_ > 0) us = std::min<u64>(100u << std::min(read_failures_, 7u), kFailurePauseMsMax) * 1'000;
  const timespec time = duration_us(us);
  pollfd fd = {control_.get(), POLLIN, 0};
  (void)::ppoll(&fd, 1, &time, nullptr);
}

void EventReader::signal_wake() {
  if (wake_fd_ >= 0) (void)::eventfd_write(wake_fd_, 1);
}

}  // namespace understudy
