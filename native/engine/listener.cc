#include "listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "sockets.h"

namespace understudy {

namespace {
constexpr int kBacklog = 64;   // connections that the kernel holds for us
}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(const std::string& host, u16 port, Accept accept) {
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  const int failed = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (failed != 0) return SysError{EINVAL, std::string("getaddrinfo: ") + ::gai_strerror(failed)};
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  SysError last{EADDRNOTAVAIL, "bind"};
  for (addrinfo* each = list; each != nullptr; each = each->ai_next) {
    Fd fd(::socket(each->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) continue;
    const int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (::bind(fd.get(), each->ai_addr, each->ai_addrlen) != 0) {
      last = sys_error("bind");
      continue;
    }
    if (::listen(fd.get(), kBacklog) != 0) {
      last = sys_error("listen");
      continue;
    }
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &size);
    std::unique_ptr<Listener> listener(new Listener());
    listener->port_ = ntohs(local.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&local)->sin6_port
                                                        : reinterpret_cast<sockaddr_in*>(&local)->sin_port);
    listener->socket_ = std::move(fd);
    listener->wake_ = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    listener->accept_ = std::move(accept);
    listener->thread_ = std::thread([raw = listener.get()] { raw->run(); });
    return listener;
  }
  return last;
}

void Listener::set_window(u32 bytes) { set_buffers(socket_.get(), bytes); }

Listener::~Listener() {
  const u64 one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

void Listener::run() {
  for (;;) {
    pollfd polls[2] = {{socket_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(polls, 2, -1) < 0 && errno != EINTR) return;
    if (polls[1].revents != 0) return;
    if (!(polls[0].revents & POLLIN)) continue;
    Fd peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (peer) {
      accept_(std::move(peer));
    } else if (errno == EMFILE || errno == ENFILE) {
      // Out of descriptors: leave the connection in the backlog for a moment in place of spinning.
      timespec pause{0, 50'000'000};
      ::nanosleep(&pause, nullptr);
    }
  }
}

}  // namespace understudy
