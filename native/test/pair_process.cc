#include "pair_process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <mutex>

#include "check.h"
#include "pair_support.h"

namespace understudy::test {

// ---------------------------------------------------------------------------------------------------------- process

namespace {
constexpr std::size_t kReportBytesMax = 16u << 10;
}

Process::Process(const std::vector<std::string>& arguments, const std::string& log) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) failed(__FILE__, __LINE__, "socketpair");
  std::vector<char*> list{const_cast<char*>("/proc/self/exe")};
  for (const std::string& each : arguments) list.push_back(const_cast<char*>(each.c_str()));
  list.push_back(nullptr);
  id_ = ::fork();
  if (id_ < 0) failed(__FILE__, __LINE__, "fork");
  if (id_ == 0) {   // Only calls that are safe after a fork of a process with threads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(ends[1], 0);
    ::dup2(ends[1], 1);
    if (out >= 0) ::dup2(out, 2);
    ::execv(list[0], list.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  socket_ = Fd(ends[0]);
}

void Process::kill() {
  if (id_ < 0) return;
  ::kill(id_, SIGKILL);
  ::waitpid(id_, &status_, 0);
  id_ = -1;
  gone_ = true;
}

bool Process::stop() {
  if (id_ < 0) return false;
  ::shutdown(socket_.get(), SHUT_WR);   // The child ends at the end of its input.
  while (line(60'000)) {
  }
  if (!gone_) return false;
  ::waitpid(id_, &status_, 0);
  id_ = -1;
  return WIFEXITED(status_) && WEXITSTATUS(status_) == 0;
}

bool Process::send(const std::string& line) {
  const std::string text = line + "\n";
  return ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::optional<std::string> Process::line(i64 timeout_ms) {
  const i64 until = monotonic_ns() + timeout_ms * 1'000'000;
  for (;;) {
    if (const std::size_t end = have_.find('\n'); end != std::string::npos) {
      std::string line = have_.substr(0, end);
      have_.erase(0, end + 1);
      return line;
    }
    if (gone_) return std::nullopt;
    pollfd wait{socket_.get(), POLLIN, 0};
    const i64 left = (until - monotonic_ns()) / 1'000'000;
    if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) == 0) return std::nullopt;
    char buffer[4'096];
    const ssize_t got = ::read(socket_.get(), buffer, sizeof buffer);
    if (got > 0) have_.append(buffer, static_cast<std::size_t>(got));
    else if (got == 0 || (errno != EINTR && errno != EAGAIN)) gone_ = true;
  }
}

std::string Process::how_it_ended() {
  if (id_ >= 0) {
    ::waitpid(id_, &status_, 0);
    id_ = -1;
  }
  return WIFSIGNALED(status_) ? "signal " + std::to_string(WTERMSIG(status_)) : "status " + std::to_string(WEXITSTATUS(status_));
}

std::string sanitizer_report(const std::string& log) {
  const std::string text = exists(log) ? read_file(log) : "";
  std::size_t at = std::string::npos;
  for (const char* sign : {"WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", ": runtime error: "})
    at = std::min(at, text.find(sign));
  if (at == std::string::npos) return "";
  const std::size_t line = text.rfind('\n', at);
  return text.substr(line == std::string::npos ? 0 : line + 1, kReportBytesMax) + "\n";
}

// ------------------------------------------------------------------------------------------------------------ churn

Churn::Churn(const std::string& root, u64 seed, u64 operations, u64 per_second) {
  std::string program = read_link("/proc/self/exe");
  program.replace(program.rfind('/') + 1, std::string::npos, "churn");
  const std::string numbers[] = {std::to_string(seed), std::to_string(operations), std::to_string(per_second)};
  id_ = ::fork();
  if (id_ < 0) failed(__FILE__, __LINE__, "fork");
  if (id_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(::open("/dev/null", O_RDWR), 1);
    ::execl(program.c_str(), "churn", root.c_str(), numbers[0].c_str(), numbers[1].c_str(), numbers[2].c_str(), nullptr);
    ::_exit(127);
  }
}

bool Churn::finish() {
  if (id_ < 0) return true;
  int status = 0;
  ::waitpid(id_, &status, 0);
  id_ = -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// ------------------------------------------------------------------------------------------------------------- wire

namespace {

constexpr std::size_t kForwardBytes = 64u << 10;

sockaddr_in loopback(u16 port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

void reset(Fd& socket) {
  if (!socket) return;
  const linger now{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  socket.reset();
}

}  // namespace

Wire::Wire() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_.get(), 16) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    failed(__FILE__, __LINE__, "listening on 127.0.0.1");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

Wire::~Wire() {
  ended_ = true;
  poke();
  thread_.join();
}

void Wire::poke() {
  const u64 one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

// Reads what came and writes what waits. False: this direction is broken.
bool Wire::forward(Half& from, Half& to) {
  if (from.at == from.waiting.size() && !from.ended) {
    from.waiting.resize(kForwardBytes);
    const ssize_t got = ::recv(from.from.get(), from.waiting.data(), kForwardBytes, MSG_DONTWAIT);
    from.at = 0;
    from.waiting.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (got == 0) from.ended = true;
    else if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
  }
  if (from.at < from.waiting.size()) {
    const ssize_t put = ::send(to.from.get(), from.waiting.data() + from.at, from.waiting.size() - from.at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put > 0) from.at += static_cast<std::size_t>(put);
    else if (put < 0 && errno != EAGAIN && errno != EINTR) return false;
  }
  return !(from.ended && from.at == from.waiting.size());
}

void Wire::run() {
  u32 cuts = 0;
  while (!ended_) {
    std::vector<pollfd> polls{{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    const bool held = held_;
    for (const Pair& pair : pairs_) {
      if (held) break;
      const bool near_waits = pair.near.at < pair.near.waiting.size(), far_waits = pair.far.at < pair.far.waiting.size();
      polls.push_back({pair.near.from.get(), static_cast<short>((near_waits ? 0 : POLLIN) | (far_waits ? POLLOUT : 0)), 0});
      polls.push_back({pair.far.from.get(), static_cast<short>((far_waits ? 0 : POLLIN) | (near_waits ? POLLOUT : 0)), 0});
    }
    ::poll(polls.data(), polls.size(), -1);
    u64 drop;
    (void)!::read(wake_.get(), &drop, sizeof drop);
    if (const u32 now = cuts_; now != cuts) {
      cuts = now;
      for (Pair& pair : pairs_) reset(pair.near.from), reset(pair.far.from);
      pairs_.clear();
    }
    std::erase_if(pairs_, [this, held](Pair& pair) {
      if (held) return false;
      const bool on = forward(pair.near, pair.far) & forward(pair.far, pair.near);
      if (!on) reset(pair.near.from), reset(pair.far.from);
      return !on;
    });
    Fd near(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!near) continue;
    const int one = 1;
    ::setsockopt(near.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const sockaddr_in address = loopback(to_);
    Fd far(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (to_ == 0 || ::connect(far.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      reset(near);
      continue;
    }
    ::setsockopt(far.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Pair pair;
    pair.near.from = std::move(near);
    pair.far.from = std::move(far);
    pairs_.push_back(std::move(pair));
  }
}

// ------------------------------------------------------------------------------------------------------------- disk

namespace {
// EXT4_IOC_SHUTDOWN of the kernel, which it does not export: the file system goes down at once.
constexpr unsigned long kShutdown = _IOR('X', 125, u32);
constexpr u32 kWithJournal = 1, kAtOnce = 2;
}  // namespace

Disk::Disk(std::string image, std::string folder, u64 megabytes) : image_(std::move(image)), folder_(std::move(folder)) {
  if (!Scratch::run("truncate -s " + std::to_string(megabytes) + "M '" + image_ + "' && mkfs.ext4 -q -F -m 0 -b 4096 '" + image_ + "'"))
    failed(__FILE__, __LINE__, "mkfs.ext4 " + image_);
  mount();
}

Disk::~Disk() { Scratch::run("umount '" + folder_ + "'"); }

void Disk::mount() {
  if (!Scratch::run("mount -o loop '" + image_ + "' '" + folder_ + "'")) failed(__FILE__, __LINE__, "mount " + image_);
}

void Disk::lose_power(bool with_journal) {
  {
    const Fd root(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const u32 how = with_journal ? kWithJournal : kAtOnce;
    if (!root || ::ioctl(root.get(), kShutdown, &how) != 0) failed(__FILE__, __LINE__, "EXT4_IOC_SHUTDOWN " + folder_);
  }
  if (::umount(folder_.c_str()) != 0) failed(__FILE__, __LINE__, "umount " + folder_);
  mount();
}

bool Disk::possible() {
  static const bool is = ::geteuid() == 0 && ::access("/dev/loop-control", W_OK) == 0 &&
                         Scratch::run("command -v mkfs.ext4 >/dev/null") && ::unshare(CLONE_NEWNS) == 0 &&
                         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return is;
}

// --------------------------------------------------------------------------------------------------------- children

namespace {

PemIdentity read_identity(const std::string& folder, const char* who) {
  return {read_file(folder + "/" + who + ".key"), read_file(folder + "/" + who + ".pem")};
}

std::string key_of(const std::string& folder, const char* who) {
  auto digest = public_key_digest(read_file(folder + "/" + who + ".pem"));
  CHECK_OK(digest);
  return *digest;
}

// Lines for the parent go to stdout, those that begin with # to the log.
void say(const std::string& line) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  const std::string stamped = std::to_string(realtime_ns() / 1'000'000 % 100'000'000) + " " + line + "\n";
  (void)!::write(2, stamped.data(), stamped.size());
  if (line[0] == '#') return;
  const std::string text = line + "\n";
  (void)!::write(1, text.data(), text.size());
}

// Queues that a small tree fills.
void small_queue(SourceSideOptions& options, const std::string& kind) {
  if (kind == "large") return;
  options.queue_memory = kind == "spill" ? 1u << 20 : 12u << 20;
  options.queue.free_min = 0;
  options.queue.segment_bytes = 64u << 10;
  options.queue.bytes_max = kind == "spill" ? DiskQueueOptions::kUnlimited : kind == "memory" ? 0 : 4u << 20;
  options.disconnect_when_full = kind == "disconnect";
}

template <typename Each>
void each_command(Each each) {
  std::string have;
  char buffer[256];
  ssize_t got;
  while ((got = ::read(0, buffer, sizeof buffer)) > 0) {
    have.append(buffer, static_cast<std::size_t>(got));
    for (std::size_t end; (end = have.find('\n')) != std::string::npos; have.erase(0, end + 1)) each(have.substr(0, end));
  }
}

}  // namespace

void make_identities(const std::string& folder) {
  for (const char* who : {"source", "target"}) {
    auto made = create_identity(who);
    CHECK_OK(made);
    write_file(folder + "/" + who + ".key", made->key, 0600);
    write_file(folder + "/" + who + ".pem", made->certificate, 0600);
  }
}

int pair_child(const std::vector<std::string>& arguments) {
  const std::string& role = arguments.at(0);
  const std::string& folder = arguments.at(1);
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(0);
  say("# " + role + " " + std::to_string(::getpid()) + " starts");
  if (role == "target") {
    TargetSide side({folder + "/disk/target", folder + "/disk/state", key_of(folder, "source"), read_identity(folder, "target"),
                     std::stoull(arguments.at(2))},
                    say);
    say("port " + std::to_string(side.port()));
    each_command([&](const std::string& line) {
      if (line == "statistics") say("statistics " + side.statistics());
    });
    say("# stops");
  } else {
    SourceSideOptions options;
    options.root = folder + "/source";
    options.state_dir = folder + "/source-state";
    options.port = static_cast<u16>(std::stoi(arguments.at(2)));
    options.target_key = key_of(folder, "target");
    options.identity = read_identity(folder, "source");
    small_queue(options, arguments.size() > 3 ? arguments.at(3) : "large");
    if (arguments.size() > 4) options.snapshot_every_ns = std::stoll(arguments.at(4)) * 1'000'000;
    SourceSide side(std::move(options), say);
    each_command([&](const std::string& line) {
      if (line == "statistics") say("statistics " + side.statistics());
      else if (line.starts_with("barrier ")) side.barrier(std::stoll(line.substr(8)));
      else if (line.starts_with("mirror ")) side.mirror(line.substr(7));
      else if (line == "pause" || line == "flow") side.pause(line == "pause");
    });
    say("# stops");
  }
  say("# ended");
  return 0;
}

}  // namespace understudy::test
