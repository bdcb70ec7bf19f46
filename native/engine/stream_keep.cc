// A stream over a clean stop of its agent: what waits is on disk, and one file says how it goes on.
//
// The file is bound to the shadow snapshot of the same stop, and it is gone before anything of it is used: a queue is
// never taken up twice, nor beside a shadow that has moved on.
#include <algorithm>

#include "crc.h"
#include "state_file.h"
#include "stream.h"

namespace understudy {

namespace {
constexpr u64 kMagic = 0x3130657565755155ull;   // "UQueue01"
constexpr u64 kBytesMax = 1u << 30;

struct Front {
  u64 magic;
  u64 size;
  u32 checksum;   // of what follows
  u32 reserved;
};

struct Position {
  u64 snapshot, stream, next, lowest;
  u64 boot, applied, durable, refusals_taken;
  i64 since_wall_ns;
  u64 ops, bytes, mirror_ops, mirror_bytes, held, mirror_held;
  u64 touched, doubts;   // lists behind it
};

void put(Bytes& out, const std::vector<SetPath>& paths) {
  const u64 count = paths.size();
  out.append(&count, sizeof count);
  for (const SetPath& path : paths) put_path(out, path);
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
      SetPath path;
      good = take_path(at, end, path);
      if (good) list.push_back(std::move(path));
    }
    return list;
  }
};
}  // namespace

bool Stream::keep(const std::string& path, u64 snapshot, const std::vector<SetPath>& doubts, i64 until_ns) {
  std::lock_guard lock(mutex_);
  const bool queued = !batches_.empty() || spilled();
  if (damaged_ || (queued && !disk_.enabled())) return false;
  // What is in memory goes to its place before what is on disk. Its paths go along; the file has the older ones.
  auto touched = touched_.begin();
  for (const StreamBatch& batch : batches_) {
    while (touched != touched_.end() && touched->sequence < batch.sequence) ++touched;
    std::vector<SetPath> paths;
    if (touched != touched_.end() && touched->sequence == batch.sequence) touched->paths.append_to(paths);
    if (monotonic_ns() > until_ns || !disk_.keep_batch(id_, batch, paths)) return false;
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
  const KeptClock kept = KeptClock::now();
  position.since_wall_ns = oldest == 0 ? 0 : kept.to_wall(oldest);
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
    const u64 count = each.paths.count();
    body.append(&count, sizeof count);
    each.paths.each([&](const SetPath& path) { put_path(body, path); });
  }
  put(body, doubts);
  // Last, so that an earlier release, which does not know of them, reads the rest.
  const u64 marks = marks_.changes().size();
  body.append(&marks, sizeof marks);
  for (const RecoveryMarks::Mark& mark : marks_.changes()) {
    const i64 wall_ns = kept.to_wall(mark.at_ns);
    body.append(&mark.sequence, sizeof mark.sequence);
    body.append(&wall_ns, sizeof wall_ns);
  }
  body.append(&kept, sizeof kept);
  body.append(&forgotten_, sizeof forgotten_);
  const Front front{kMagic, body.size(), checksum(body.data(), body.size()), 0};
  return static_cast<bool>(replace_file(path, {view_of(front), view(body)}));
}

Stream::Taken Stream::resume(const std::string& path, u64 snapshot, std::vector<SetPath>& doubts) {
  Result<Bytes> file = read_file(path, kBytesMax);
  const bool there = file || file.error().code != ENOENT;
  auto fresh = [&] {
    const bool some = disk_.bytes() != 0 || there;
    disk_.clear();
    return disk_.discard_leftovers() || some ? Taken::dropped : Taken::nothing;
  };
  // Used up before it is used.
  if (there && (::unlink(path.c_str()) != 0 || !sync_folder(folder_of(path)))) return fresh();
  if (!file) return fresh();
  Reader reader{file->data(), file->data() + file->size()};
  const Front front = reader.take<Front>();
  if (!reader.good || front.magic != kMagic || front.size != file->size() - sizeof front ||
      front.checksum != checksum(reader.at, front.size))
    return fresh();
  const Position position = reader.take<Position>();
  std::deque<Touched> touched;
  for (u64 left = reader.take<u64>(); reader.good && left > 0; --left) {
    const u64 sequence = reader.take<u64>();
    touched.push_back({sequence, TouchedPaths(reader.paths())});
  }
  std::vector<SetPath> again = reader.paths();
  std::vector<RecoveryMarks::Mark> marks;
  const bool marked = reader.good && reader.at != reader.end;   // Not by an earlier release.
  if (marked) {
    for (u64 left = reader.take<u64>(); reader.good && left > 0; --left) {
      const u64 sequence = reader.take<u64>();
      marks.push_back({sequence, reader.take<i64>()});
    }
  } else if (position.since_wall_ns != 0) {
    marks.push_back({position.next - 1, position.since_wall_ns});
  }
  const KeptClock today = KeptClock::now();
  // An earlier release said only by the wall clock how old they were.
  const KeptClock kept = reader.good && reader.at != reader.end ? reader.take<KeptClock>() : KeptClock{0, today.monotonic_ns, today.wall_ns};
  const auto recall = [&](i64 wall_ns) { return kept.recall(kept.from_wall(wall_ns), today); };
  const u64 forgotten = reader.good && reader.at != reader.end ? reader.take<u64>() : 0;
  for (RecoveryMarks::Mark& mark : marks) mark.at_ns = recall(mark.at_ns);
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
  forgotten_ = forgotten;
  resumed_since_ns_ = position.since_wall_ns == 0 ? 0 : recall(position.since_wall_ns);
  counters_.queued_ops = position.ops;
  counters_.queued_bytes = position.bytes;
  counters_.queued_mirror_ops = position.mirror_ops;
  counters_.queued_mirror_bytes = position.mirror_bytes;
  queued_bytes_ = position.held;
  mirror_bytes_ = position.mirror_held;
  for (Touched& each : touched) {
    budget_->charge(memory_, each.paths.bytes());
    memory_ += each.paths.bytes();
    touched_count_ += each.paths.count();
  }
  for (const RecoveryMarks::Mark& mark : marks) marks_.closed(mark.sequence, mark.at_ns, monotonic_ns());
  touched_ = std::move(touched);
  doubts = std::move(again);
  return Taken::taken;
}

}  // namespace understudy
