#include "tcp_facts.h"

#include <linux/tcp.h>   // Newer than netinet/tcp.h, which it cannot be mixed with.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace understudy {

namespace {
constexpr u32 kEthernet = 14, kIpv4 = 20, kIpv6 = 40, kTcp = 20, kTimestamps = 12;
}

std::optional<TcpFacts> tcp_facts(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  if (size < offsetof(tcp_info, tcpi_bytes_sent) + sizeof info.tcpi_bytes_sent) return std::nullopt;
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) return std::nullopt;
  const bool six = peer.ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&reinterpret_cast<sockaddr_in6*>(&peer)->sin6_addr);
  TcpFacts facts;
  facts.segments.header = kEthernet + (six ? kIpv6 : kIpv4) + kTcp + (info.tcpi_options & TCPI_OPT_TIMESTAMPS ? kTimestamps : 0);
  if (info.tcpi_snd_mss > 0) facts.segments.payload = info.tcpi_snd_mss;
  facts.left = info.tcpi_bytes_sent + u64{info.tcpi_segs_out} * facts.segments.header;
  facts.unsent = info.tcpi_notsent_bytes;
  return facts;
}

}  // namespace understudy
