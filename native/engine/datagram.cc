#include "datagram.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace understudy {

Result<std::size_t> send_datagram(const std::string& path, const Bytes& bytes) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return SysError{ENAMETOOLONG, "sendto(unix)"};
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return sys_error("socket(unix)");
  const ssize_t sent = ::sendto(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                                reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (sent < 0) return sys_error("sendto(unix)");
  return static_cast<std::size_t>(sent);
}

}  // namespace understudy
