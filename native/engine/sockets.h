// Sockets of data links: waiting for them, their addresses and their buffers.
#pragma once

#include <sys/socket.h>

#include <string>

#include "base.h"

namespace understudy {

// Until `fd` is ready, or something is written to `wake`. ETIMEDOUT when neither happens.
Status wait_socket(int fd, short events, u32 timeout_ms, int wake);

// SRV-38. Before the socket is connected or listens, or the scale of its window is agreed without it. 0: the kernel tunes.
void set_buffers(int fd, u32 bytes);

// Bytes of socket buffers that the kernel gives to whoever asks for `bytes` (SRV-38).
u32 granted_window(u32 bytes);

// What every socket of a data link is set to.
void tune_socket(int fd, u32 window);

// SRV-30: the socket is bound to our own `address` before it connects to a peer of this family.
Status bind_to(int fd, const std::string& address, int family);

// HOST:PORT in figures.
std::string address_text(const sockaddr* address, socklen_t size);

}  // namespace understudy
