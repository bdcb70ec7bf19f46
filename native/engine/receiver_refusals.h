// Operations that this target refused and the source has not confirmed to know of (P6).
//
// A refusal is an answer, and answers die with their link. Lost, it would leave a path different for ever while both
// sides believe that everything was applied. So it is kept, in memory and in a file beside the mark, until the source
// says that it has taken it; each new link begins with what is left. The file is appended to before the live mark
// moves on, which makes it survive the death of the process, and synced before the durable mark says more.
#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "base.h"

namespace understudy {

class Refusals {
 public:
  static constexpr std::size_t kCountMax = 10'000;

  explicit Refusals(std::string path) : path_(std::move(path)) {}
  // Takes up what an earlier process left of `stream`. A torn last record is dropped: its operation is still in doubt
  // and will be refused again.
  void load(u64 stream);

  // --- thread-safe ---
  // A new stream: the old refusals concern nobody any more.
  void clear(u64 stream);
  bool full() const;
  u64 next_id() const;
  // `reply`: a whole reply frame, numbered next_id(). The error of the file; the refusal is kept in memory anyway.
  Status add(const Bytes& reply);
  void taken(u64 id);
  // Makes the file durable, if it was written since.
  Status sync();
  template <typename Each>
  void each(Each call) const {
    std::lock_guard lock(mutex_);
    for (const Entry& entry : entries_) {
      Bytes copy(entry.reply.size());
      copy.append(entry.reply.data(), entry.reply.size());
      call(std::move(copy));
    }
  }

 private:
  struct Entry {
    u64 id;
    Bytes reply;
  };
  Status append(const Entry& entry);
  Status rewrite();

  const std::string path_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
  u64 stream_ = 0;
  u64 last_id_ = 0;
  u64 file_bytes_ = 0;
  Fd file_;
  bool unsynced_ = false;
};

}  // namespace understudy
