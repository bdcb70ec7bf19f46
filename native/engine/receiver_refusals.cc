#include "receiver_refusals.h"

#include <sys/stat.h>

#include <algorithm>

#include "crc.h"
#include "state_file.h"

namespace understudy {

namespace {
constexpr u64 kRewriteBytes = 4u << 20;   // a file longer than this is written anew when most of it is settled
constexpr u32 kReplyMax = 64u << 10;

struct Head {
  u64 stream;
  u64 id;
  u32 size;
  u32 checksum;   // of the reply
};
static_assert(sizeof(Head) == 24);
}  // namespace

void Refusals::load(u64 stream) {
  std::lock_guard lock(mutex_);
  stream_ = stream;
  entries_.clear();
  last_id_ = 0;
  const Fd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return;
  struct stat stat;
  if (::fstat(fd.get(), &stat) != 0) return;
  u64 at = 0;
  for (;;) {
    Head head;
    if (::pread(fd.get(), &head, sizeof head, static_cast<off_t>(at)) != static_cast<ssize_t>(sizeof head)) break;
    if (head.size > kReplyMax) break;
    Bytes reply;
    reply.resize(head.size);
    const ssize_t got = ::pread(fd.get(), reply.data(), head.size, static_cast<off_t>(at + sizeof head));
    if (got != static_cast<ssize_t>(head.size) || checksum(reply.data(), head.size) != head.checksum) break;
    at += sizeof head + head.size;
    if (head.stream != stream) continue;
    last_id_ = head.id;
    entries_.push_back({head.id, std::move(reply)});
  }
  // Whatever follows is torn or old; appending behind it would hide what comes.
  (void)rewrite();
}

void Refusals::clear(u64 stream) {
  std::lock_guard lock(mutex_);
  stream_ = stream;
  entries_.clear();
  last_id_ = 0;
  if (file_bytes_ > 0) (void)rewrite();
}

bool Refusals::full() const {
  std::lock_guard lock(mutex_);
  return entries_.size() >= kCountMax;
}

u64 Refusals::next_id() const {
  std::lock_guard lock(mutex_);
  return last_id_ + 1;
}

Status Refusals::append(const Entry& entry) {
  if (!file_) {
    file_ = Fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file_) return sys_error("open(refusals)");
  }
  const Head head{stream_, entry.id, static_cast<u32>(entry.reply.size()), checksum(entry.reply.data(), entry.reply.size())};
  Bytes record(sizeof head + entry.reply.size());
  record.append(&head, sizeof head);
  record.append(entry.reply.data(), entry.reply.size());
  unsynced_ = true;
  if (Status written = append_all(file_.get(), record.data(), record.size()); !written) return SysError{written.error().code, "write(refusals)"};
  file_bytes_ += record.size();
  return ok();
}

// The file holds just what is open. Old contents may stay when this fails: refusals told twice do no harm.
Status Refusals::rewrite() {
  file_.reset();
  file_bytes_ = 0;
  if (entries_.empty()) {
    if (::unlink(path_.c_str()) != 0 && errno != ENOENT) return sys_error("unlink(refusals)");
    return ok();
  }
  const std::string whole = path_, fresh = path_ + ".new";
  file_ = Fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file_) return sys_error("open(refusals)");
  for (const Entry& entry : entries_)
    if (Status added = append(entry); !added) return added;
  if (::fdatasync(file_.get()) != 0 || ::rename(fresh.c_str(), whole.c_str()) != 0) return sys_error("rename(refusals)");
  return ok();
}

Status Refusals::add(const Bytes& reply) {
  std::lock_guard lock(mutex_);
  Entry entry{++last_id_, Bytes(reply.size())};
  entry.reply.append(reply.data(), reply.size());
  Status written = append(entry);
  entries_.push_back(std::move(entry));
  return written;
}

void Refusals::taken(u64 id) {
  std::lock_guard lock(mutex_);
  while (!entries_.empty() && entries_.front().id <= id) entries_.pop_front();
  last_id_ = std::max(last_id_, id);   // A number that was taken is never given again, or what bears it would pass for taken.
  if (file_bytes_ > 0 && (entries_.empty() || file_bytes_ > kRewriteBytes)) (void)rewrite();
}

Status Refusals::sync() {
  std::lock_guard lock(mutex_);
  if (!unsynced_) return ok();
  unsynced_ = false;
  if (file_ && ::fdatasync(file_.get()) != 0) return sys_error("fdatasync(refusals)");
  return ok();
}

}  // namespace understudy
