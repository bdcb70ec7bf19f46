// Datagrams to Unix sockets, which Node cannot send: journald and syslog listen at such.
#pragma once

#include "base.h"

namespace understudy {

// Sends all of `bytes` as one datagram to the socket at `path`. Never blocks: a receiver that does not keep up is EAGAIN.
Result<std::size_t> send_datagram(const std::string& path, const Bytes& bytes);

}  // namespace understudy
