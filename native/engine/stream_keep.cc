// A stream over a clean stop of its agent: what waits is on disk, and one file says how it goes on.
//
// The file is bound to the shadow snapshot of the same stop, and it is gone before anything of it is used: a queue is
// never taken up twice, nor beside a shadow that has moved on.
#include <sys/stat.h>

#include <algorithm>

#include "crc.h"
#include "stream.h"

namespace understudy {

namespace {
constexpr u64 kMagic = 0x3130657565755155ull;   // "UQueue01"
constexpr u64 kBytesMax = 1u << 30;
constexpr u32 kDeep = 1u << 31;

struct Front {
  u64 magic;
  u64 size;
  u32 checksum;   // of what follows
  u32 reserved;
};

struct Position {
  u64 snapshot, stream, next, lowest;
  u64 boot, applied, durable, refusals_taken;
  i64 since_ns;   // CLOCK_REALTIME
  u64 ops, bytes, mirror_ops, mirror_bytes, held, mirror_held;
  u64 touched, doubts;   // lists behind it
};

void put(Bytes& out, const std::vector<SetPath>& paths) {
  const u64 count = paths.size();
  out.append(&count, sizeof count);
  for (const SetPath& path : paths) {
    const u32 head[2] = {path.mapping | (path.deep ? kDeep : 0), static_cast<u32>(path.path.size())};
    out.append(head, sizeof head);
    out.append(path.path.data(), path.path.size());
  }
}

struct Reader {
  const u8* at;
  const u8* end;
  bool good = true;
  template <typename T>
  T take() {
    T value{};
    if (end - at < static_cast<std::ptrdiff_t>(sizeof value)) good = false;
    else std::memcpy(&value, at, sizeof value), at += sizeof value;
    return value;
  }
  std::vector<SetPath> paths() {
    std::vector<SetPath> list;
    for (u64 left = take<u64>(); good && left > 0; --left) {
      const u32 mapping = take<u32>(), size = take<u32>();
      if (size > end - at) good = false;
      else list.push_back({mapping & ~kDeep, std::string(reinterpret_cast<const char*>(at), size), (mapping & kDeep) != 0, (mapping & kDeep) != 0}), at += size;
    }
    return list;
  }
};

Status sync_folder_of(const std::string& path) {
  const Fd folder(::open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return sys_error("fsync");
  return ok();
}

Status write_whole(const std::string& path, const Bytes& front, const Bytes& body) {
  const std::string fresh = path + ".new";
  const Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return sys_error("open");
  for (const Bytes* part : {&front, &body})
    for (std::size_t done = 0; done < part->size();) {
      const ssize_t put = ::write(fd.get(), part->data() + done, part->size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return sys_error("write");
      done += static_cast<std::size_t>(put);
    }
  if (::fsync(fd.get()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) return sys_error("rename");
  return sync_folder_of(path);
}
}  // namespace

bool Stream::keep(const std::string& path, u64 snapshot, const std::vector<SetPath>& doubts, i64 until_ns) {
  std::lock_guard lock(mutex_);
  const bool queued = !batches_.empty() || disk_.unread() != 0;
  if (damaged_ || (queued && !disk_.enabled())) return false;
  // What is in memory goes to its place before what is on disk. Its paths go along; the file has the older ones.
  auto touched = touched_.begin();
  for (const StreamBatch& batch : batches_) {
    while (touched != touched_.end() && touched->sequence < batch.sequence) ++touched;
    static const std::vector<SetPath> kNone;
    const bool own = touched != touched_.end() && touched->sequence == batch.sequence;
    if (monotonic_ns() > until_ns || !disk_.keep_batch(id_, batch, own ? touched->paths : kNone)) return false;
  }
  if (queued && !disk_.keep(until_ns)) return false;
  Position position{};
  position.snapshot = snapshot;
  position.stream = id_;
  position.next = next_;
  position.lowest = lowest();
  position.boot = boot_;
  position.applied = target_.applied;
  position.durable = target_.durable;
  position.refusals_taken = refusals_taken_;
  const i64 oldest = !batches_.empty() ? batches_.front().since_ns : resumed_since_ns_;
  position.since_ns = oldest == 0 ? 0 : realtime_ns() - (monotonic_ns() - oldest);
  position.ops = counters_.queued_ops;
  position.bytes = counters_.queued_bytes;
  position.mirror_ops = counters_.queued_mirror_ops;
  position.mirror_bytes = counters_.queued_mirror_bytes;
  position.held = queued_bytes_;
  position.mirror_held = mirror_bytes_;
  Bytes body;
  body.append(&position, sizeof position);
  u64 older = 0;
  for (const Touched& each : touched_) older += each.sequence < position.lowest;
  body.append(&older, sizeof older);
  for (const Touched& each : touched_) {
    if (each.sequence >= position.lowest) continue;
    body.append(&each.sequence, sizeof each.sequence);
    put(body, each.paths);
  }
  put(body, doubts);
  const Front front{kMagic, body.size(), checksum(body.data(), body.size()), 0};
  Bytes head;
  head.append(&front, sizeof front);
  return static_cast<bool>(write_whole(path, head, body));
}

Stream::Taken Stream::resume(const std::string& path, u64 snapshot, std::vector<SetPath>& doubts) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat stat;
  Bytes bytes;
  if (file && ::fstat(file.get(), &stat) == 0 && static_cast<u64>(stat.st_size) <= kBytesMax) {
    bytes.resize(static_cast<std::size_t>(stat.st_size));
    std::size_t have = 0;
    for (ssize_t got; have < bytes.size() && (got = ::read(file.get(), bytes.data() + have, bytes.size() - have)) > 0;)
      have += static_cast<std::size_t>(got);
    bytes.resize(have);
  }
  auto fresh = [&] {
    const bool some = disk_.bytes() != 0 || file;
    disk_.clear();
    return disk_.discard_leftovers() || some ? Taken::dropped : Taken::nothing;
  };
  // Used up before it is used.
  if (file && (::unlink(path.c_str()) != 0 || !sync_folder_of(path))) return fresh();
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  const Front front = reader.take<Front>();
  if (!reader.good || front.magic != kMagic || front.size != bytes.size() - sizeof front ||
      front.checksum != checksum(reader.at, front.size))
    return fresh();
  const Position position = reader.take<Position>();
  std::deque<Touched> touched;
  for (u64 left = reader.take<u64>(); reader.good && left > 0; --left) {
    const u64 sequence = reader.take<u64>();
    std::vector<SetPath> paths = reader.paths();
    const u64 cost = DiskQueue::cost(paths);
    touched.push_back({sequence, cost, std::move(paths)});
  }
  std::vector<SetPath> again = reader.paths();
  if (!reader.good || position.snapshot != snapshot || snapshot == 0 || position.stream == 0 || position.lowest > position.next) return fresh();
  std::lock_guard lock(mutex_);
  if (position.lowest < position.next && (!disk_.enabled() || !disk_.adopt(position.stream, position.lowest, position.next - 1))) return fresh();
  if (position.lowest == position.next) disk_.discard_leftovers();
  id_ = position.stream;
  next_ = position.next;
  boot_ = position.boot;
  target_.applied = position.applied;
  target_.durable = position.durable;
  refusals_taken_ = position.refusals_taken;
  resumed_since_ns_ = position.since_ns == 0 ? 0 : std::max<i64>(1, monotonic_ns() - std::max<i64>(0, realtime_ns() - position.since_ns));
  counters_.queued_ops = position.ops;
  counters_.queued_bytes = position.bytes;
  counters_.queued_mirror_ops = position.mirror_ops;
  counters_.queued_mirror_bytes = position.mirror_bytes;
  queued_bytes_ = position.held;
  mirror_bytes_ = position.mirror_held;
  for (Touched& each : touched) {
    budget_->charge(memory_, each.cost);
    memory_ += each.cost;
    touched_count_ += each.paths.size();
  }
  touched_ = std::move(touched);
  doubts = std::move(again);
  return Taken::taken;
}

}  // namespace understudy
