#include "sockets.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace understudy {

namespace {
constexpr int kTcpRtoMaxMs = 44;                // TCP_RTO_MAX_MS, Linux 6.15: glibc may be older than the kernel
constexpr int kRetransmitMs = 2'000;            // a line that was away for a minute is not tried again a minute later only
}  // namespace

Status wait_socket(int fd, short events, u32 timeout_ms, int wake) {
  pollfd polls[2] = {{fd, events, 0}, {wake, POLLIN, 0}};
  const int ready = ::poll(polls, 2, static_cast<int>(timeout_ms));
  if (ready < 0 && errno != EINTR) return sys_error("poll");
  if (ready == 0) return SysError{ETIMEDOUT, "connect"};
  return ok();
}

void set_buffers(int fd, u32 bytes) {
  if (bytes == 0) return;
  const int size = static_cast<int>(bytes);
  for (const auto &[forced, plain] : {std::pair{SO_SNDBUFFORCE, SO_SNDBUF}, std::pair{SO_RCVBUFFORCE, SO_RCVBUF}})
    if (::setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0) ::setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

u32 granted_window(u32 bytes) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || bytes == 0) return bytes;
  set_buffers(fd.get(), bytes);
  u32 least = bytes;
  for (const int which : {SO_SNDBUF, SO_RCVBUF}) {
    int size = 0;
    socklen_t length = sizeof size;
    if (::getsockopt(fd.get(), SOL_SOCKET, which, &size, &length) != 0) continue;
    least = std::min(least, static_cast<u32>(size / 2));   // The kernel doubles it, for its own books (socket(7)).
  }
  return least;
}

void tune_socket(int fd, u32 window) {
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  ::setsockopt(fd, IPPROTO_TCP, kTcpRtoMaxMs, &kRetransmitMs, sizeof kRetransmitMs);
  set_buffers(fd, window);
}

Status bind_to(int fd, const std::string& address, int family) {
  addrinfo hints{}, *own = nullptr;
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  const std::string call = "bind " + address;
  if (::getaddrinfo(address.c_str(), nullptr, &hints, &own) != 0) return SysError{EAFNOSUPPORT, call};
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(own, ::freeaddrinfo);
  const int one = 1;
  ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (::bind(fd, own->ai_addr, own->ai_addrlen) != 0) return SysError{errno, call};
  return ok();
}

std::string address_text(const sockaddr* address, socklen_t size) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "?";
  return std::string(host) + ":" + port;
}

}  // namespace understudy
