// A wire between two network interfaces that can be slow, lossy, or cut in one direction.
//
//   faulty-wire NEAR FAR SEED
//
// Takes every frame that one interface receives and sends it out of the other one. Lines on standard input change how:
//
//   DELAY_MS JITTER_MS LOST_NEAR LOST_FAR TWICE
//
// Lost and twice are permille of the frames that came in at NEAR or FAR; 1000 cuts that direction. Each line is answered
// with `ok`. Ends with its standard input. The same seed draws the same fate for the same frames. It stands in for
// netem, which many kernels are built without, and which keeps no seed.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kFrameMax = 70'000;   // the largest segment and the kernel's header for offloads
constexpr std::size_t kWaitingMax = 4'000;  // frames under way in one direction; more are lost, as on any queue

struct Fate {
  unsigned delay_ms = 0, jitter_ms = 0, lost[2] = {0, 0}, twice = 0;
};

struct Random {
  uint64_t state;
  uint64_t below(uint64_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % n;
  }
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "faulty-wire: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

int attach(const char* name) {
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  // Checksums that a card would have filled in are told beside the frame and handed on.
  const int on = 1, room = 4 << 20;
  if (::setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on)) fail("PACKET_VNET_HDR");
  if (::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on)) fail("PACKET_IGNORE_OUTGOING");
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(::if_nametoindex(name));
  if (at.sll_ifindex == 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at)) fail(name);
  return fd;
}

class Wire {
 public:
  Wire(const char* near, const char* far, uint64_t seed) : sockets_{attach(near), attach(far)}, random_{seed} {}

  void run() {
    for (;;) {
      pollfd watched[3] = {{0, POLLIN, 0}, {sockets_[0], POLLIN, 0}, {sockets_[1], POLLIN, 0}};
      if (::poll(watched, 3, wait_ms()) < 0 && errno != EINTR) fail("poll");
      if (watched[0].revents && !obey()) return;
      for (int side = 0; side < 2; ++side)
        if (watched[side + 1].revents) take(side);
      for (int side = 0; side < 2; ++side) give(side);
    }
  }

 private:
  int wait_ms() const {
    auto first = Clock::time_point::max();
    for (const auto& waiting : waiting_)
      if (!waiting.empty()) first = std::min(first, waiting.begin()->first);
    if (first == Clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now()).count();
    return left < 0 ? 0 : static_cast<int>(left);
  }
  bool obey() {
    char text[512];
    const ssize_t size = ::read(0, text, sizeof text);
    if (size <= 0) return false;
    line_.append(text, static_cast<std::size_t>(size));
    for (std::size_t end; (end = line_.find('\n')) != std::string::npos; line_.erase(0, end + 1)) {
      Fate fate;
      const std::string line = line_.substr(0, end);
      if (std::sscanf(line.c_str(), "%u %u %u %u %u", &fate.delay_ms, &fate.jitter_ms, &fate.lost[0], &fate.lost[1], &fate.twice) != 5) {
        std::fprintf(stderr, "faulty-wire: what is \"%s\"?\n", line.c_str());
        std::exit(64);
      }
      fate_ = fate;
      if (::write(1, "ok\n", 3) != 3) return false;
    }
    return true;
  }
  void take(int side) {
    for (int frames = 0; frames < 256; ++frames) {
      const ssize_t size = ::recv(sockets_[side], buffer_.data(), buffer_.size(), 0);
      if (size <= 0) return;   // Nothing more, or the interface is down.
      if (random_.below(1'000) < fate_.lost[side]) continue;
      const unsigned copies = random_.below(1'000) < fate_.twice ? 2 : 1;
      for (unsigned copy = 0; copy < copies && waiting_[side].size() < kWaitingMax; ++copy) {
        const uint64_t late_ms = fate_.delay_ms + (fate_.jitter_ms ? random_.below(fate_.jitter_ms + 1) : 0);
        waiting_[side].emplace(Clock::now() + std::chrono::milliseconds(late_ms), std::vector<char>(buffer_.begin(), buffer_.begin() + size));
      }
    }
  }
  void give(int side) {
    auto& waiting = waiting_[side];
    const auto now = Clock::now();
    while (!waiting.empty() && waiting.begin()->first <= now) {
      const auto& frame = waiting.begin()->second;
      // What cannot be sent is lost, as it is on a wire that was pulled.
      (void)!::send(sockets_[1 - side], frame.data(), frame.size(), 0);
      waiting.erase(waiting.begin());
    }
  }

  int sockets_[2];
  Random random_;
  Fate fate_;
  std::multimap<Clock::time_point, std::vector<char>> waiting_[2];
  std::vector<char> buffer_ = std::vector<char>(kFrameMax);
  std::string line_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: faulty-wire NEAR FAR SEED\n");
    return 64;
  }
  Wire wire(argv[1], argv[2], std::strtoull(argv[3], nullptr, 10));
  (void)!::write(1, "ok\n", 3);
  wire.run();
  return 0;
}
