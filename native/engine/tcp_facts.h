// What the kernel counts for a TCP socket, in bytes as the network interface counts them.
#pragma once

#include <optional>

#include "throttle.h"

namespace understudy {

struct TcpFacts {
  Segments segments;
  u64 left = 0;     // with headers and retransmissions, since the connection began
  u64 unsent = 0;   // payload that waits in the kernel and was never sent
};
// Nothing where the kernel does not tell (before 4.19) or the socket is not TCP.
std::optional<TcpFacts> tcp_facts(int fd);

}  // namespace understudy
