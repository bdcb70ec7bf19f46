#include "state_file.h"

#include <sys/stat.h>

namespace understudy {

Status write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t done = ::write(fd, at, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return sys_error("write");
    at += done;
    size -= static_cast<std::size_t>(done);
  }
  return ok();
}

Result<Bytes> read_file(const std::string& path, u64 most) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return sys_error("open");
  struct stat stat;
  if (::fstat(fd.get(), &stat) != 0) return sys_error("fstat");
  if (static_cast<u64>(stat.st_size) > most) return SysError{EFBIG, "read"};
  Bytes bytes;
  bytes.resize(static_cast<std::size_t>(stat.st_size));
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

Status sync_folder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return sys_error("fsync");
  return ok();
}

Status replace_file(const std::string& path, std::initializer_list<std::string_view> parts) {
  const std::string fresh = path + ".new";
  const Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return sys_error("open");
  for (const std::string_view part : parts)
    if (Status written = write_all(fd.get(), part.data(), part.size()); !written) return written;
  if (::fsync(fd.get()) != 0) return sys_error("fsync");
  if (::rename(fresh.c_str(), path.c_str()) != 0) return sys_error("rename");
  return sync_folder(folder_of(path));
}

}  // namespace understudy
