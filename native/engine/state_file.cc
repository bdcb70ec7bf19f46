#include "state_file.h"

#include <sys/stat.h>

#include <algorithm>

#include "crc.h"

namespace understudy {

namespace {
constexpr std::size_t kPiece = 256u << 10;

Result<std::size_t> read_at(int fd, void* to, std::size_t size, u64 at) {
  for (;;) {
    const ssize_t got = ::pread(fd, to, size, static_cast<off_t>(at));
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return sys_error("read");
  }
}

Status moved_in(const Fd& fd, const std::string& fresh, const std::string& path) {
  if (::fsync(fd.get()) != 0) return sys_error("fsync");
  if (::rename(fresh.c_str(), path.c_str()) != 0) return sys_error("rename");
  return sync_folder(folder_of(path));
}

std::string fresh_name(const std::string& path) { return path + ".new"; }
Fd open_fresh(const std::string& path) {
  return Fd(::open(fresh_name(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
}
}  // namespace

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

Status append_all(int fd, const void* data, std::size_t size) {
  const off_t end = ::lseek(fd, 0, SEEK_END);
  Status written = write_all(fd, data, size);
  if (!written && end >= 0) (void)!::ftruncate(fd, end);
  return written;
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
  const Fd fd = open_fresh(path);
  if (!fd) return sys_error("open");
  for (const std::string_view part : parts)
    if (Status written = write_all(fd.get(), part.data(), part.size()); !written) return written;
  return moved_in(fd, fresh_name(path), path);
}

FileReplacement::FileReplacement(const std::string& path, std::size_t head) : path_(path), fd_(open_fresh(path)) {
  if (!fd_ || ::lseek(fd_.get(), static_cast<off_t>(head), SEEK_SET) < 0) state_ = sys_error("open");
}

void FileReplacement::append(const void* data, std::size_t size) {
  pending_.append(data, size);
  size_ += size;
  if (pending_.size() >= kPiece) write_out();
}

u32 FileReplacement::crc() const { return crc32c(crc_, pending_.data(), pending_.size()); }

void FileReplacement::write_out() {
  crc_ = crc();
  if (state_) state_ = write_all(fd_.get(), pending_.data(), pending_.size());
  pending_.clear();
}

Status FileReplacement::commit(std::string_view head) {
  write_out();
  if (!state_) return state_;
  if (::lseek(fd_.get(), 0, SEEK_SET) != 0) return sys_error("lseek");
  if (Status written = write_all(fd_.get(), head.data(), head.size()); !written) return written;
  return moved_in(fd_, fresh_name(path_), path_);
}

Result<FileFeed> FileFeed::open(const std::string& path) {
  FileFeed feed;
  feed.fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat stat;
  if (!feed.fd_ || ::fstat(feed.fd_.get(), &stat) != 0) return sys_error("open");
  feed.size_ = static_cast<u64>(stat.st_size);
  return feed;
}

bool FileFeed::take(void* to, std::size_t size) {
  if (size > left()) return false;
  for (u8* out = static_cast<u8*>(to); size > 0;) {
    if (from_ == buffer_.size()) {
      buffer_.resize(kPiece);
      const Result<std::size_t> got = read_at(fd_.get(), buffer_.data(), kPiece, at_);
      buffer_.resize(got ? *got : 0);
      from_ = 0;
      if (buffer_.empty()) return false;
    }
    const std::size_t part = std::min(size, buffer_.size() - from_);
    std::memcpy(out, buffer_.data() + from_, part);
    from_ += part, at_ += part, out += part, size -= part;
  }
  return true;
}

Result<u32> FileFeed::crc_of_rest() const {
  Bytes piece(kPiece);
  u32 crc = 0;
  for (u64 at = at_; at < size_;) {
    const Result<std::size_t> got = read_at(fd_.get(), piece.data(), std::min<u64>(kPiece, size_ - at), at);
    if (!got) return got.error();
    if (*got == 0) return SysError{EIO, "read"};
    crc = crc32c(crc, piece.data(), *got);
    at += *got;
  }
  return crc;
}

}  // namespace understudy
