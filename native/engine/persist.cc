// What survives the process: snapshots of the shadow and a log of the paths told since (DESIGN 8).
//
// A path is written to the touched log before the batch that tells it can leave. After a crash the newest snapshot
// says what the replica held, the log says which paths may have moved on; only those are compared with the target.
// Log segments are dropped when a newer snapshot is on disk and every channel has made their batches durable.
#include <sys/stat.h>

#include "crc.h"
#include "source.h"

namespace understudy {

namespace {
constexpr u32 kDeep = 1u << 31;                  // SetPath::deep, in the mapping of a record
constexpr u64 kMagic = 0x32776f6461685355ull;   // "UShadow2"

struct SnapshotHead {
  u64 magic;
  u64 size;
  u32 checksum;
  u32 roots;
};

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

Result<Bytes> read_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("open");
  struct stat stat;
  if (::fstat(fd.get(), &stat) != 0) return sys_error("fstat");
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

// Names of streams, ahead of the shadow in the snapshot: u32 count, then u32 length and bytes of each.
bool read_names(const u8*& at, std::size_t& size, std::set<std::string>& out) {
  auto number = [&](u32& value) {
    if (size < sizeof value) return false;
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
    size -= sizeof value;
    return true;
  };
  u32 count = 0, length = 0;
  if (!number(count)) return false;
  for (u32 i = 0; i < count; ++i) {
    if (!number(length) || length > size) return false;
    out.emplace(reinterpret_cast<const char*>(at), length);
    at += length;
    size -= length;
  }
  return true;
}

// Records: u32 mapping (and kDeep), u32 length, bytes. A torn last record is ignored.
void read_log(const std::string& path, std::vector<SetPath>& out) {
  Result<Bytes> bytes = read_file(path);
  if (!bytes) return;
  const u8* at = bytes->data();
  const u8* end = at + bytes->size();
  std::unordered_set<std::string> seen;
  while (end - at >= 8) {
    u32 head[2];
    std::memcpy(head, at, sizeof head);
    at += sizeof head;
    if (head[1] > wire::kPathBytesMax || head[1] > end - at) return;
    std::string text(reinterpret_cast<const char*>(at), head[1]);
    at += head[1];
    if (seen.insert(std::to_string(head[0]) + "/" + text).second)   // A deep record counts besides a shallow one.
      out.push_back({head[0] & ~kDeep, std::move(text), (head[0] & kDeep) != 0});
  }
}
}  // namespace

bool Source::load_state(std::vector<SetPath>& repair) {
  Result<Bytes> bytes = read_file(state_path("shadow"));
  if (!bytes || bytes->size() < sizeof(SnapshotHead)) return false;
  SnapshotHead head;
  std::memcpy(&head, bytes->data(), sizeof head);
  const u8* body = bytes->data() + sizeof head;
  std::size_t size = bytes->size() - sizeof head;
  if (head.magic != kMagic || head.size != size || head.roots != roots_.size() || checksum(body, size) != head.checksum ||
      !read_names(body, size, vouched_) || !shadow_.load(body, size)) {
    shadow_ = Shadow();
    vouched_.clear();
    tell_(Fact("source_degraded").with("source", i64{options_.id}).with("why", std::string("shadow"))
              .with("detail", std::string("the saved shadow is damaged or of another set and was put aside; a mirror is required")));
    return false;
  }
  read_log(state_path("touched.old"), repair);
  read_log(state_path("touched"), repair);
  for (const SetPath& path : repair) touched_log_bytes_ += path.path.size();   // A new snapshot is due when that is settled.
  return true;
}

// Appends what is about to be told. Survives a kill (page cache), not a power loss of the source.
void Source::log_touched() {
  if (logged_.empty()) return;
  Bytes out;
  for (const SetPath& path : logged_) {
    const u32 head[2] = {path.mapping | (path.deep ? kDeep : 0), static_cast<u32>(path.path.size())};
    out.append(head, sizeof head);
    out.append(path.path.data(), path.path.size());
  }
  logged_.clear();
  if (!touched_log_) {
    touched_log_ = Fd(::open(state_path("touched").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!touched_log_) {
      unreadable(state_path("touched"), sys_error("open"));
      return;
    }
  }
  if (Status written = write_all(touched_log_.get(), out.data(), out.size()); !written)
    unreadable(state_path("touched"), written.error());
  touched_log_bytes_ += out.size();
}

void Source::save_state() {
  snapshot_ns_ = monotonic_ns();
  log_touched();
  Bytes body;
  auto number = [&](std::size_t value) {
    const u32 word = static_cast<u32>(value);
    body.append(&word, sizeof word);
  };
  number(vouched_.size());
  for (const std::string& name : vouched_) {
    number(name.size());
    body.append(name.data(), name.size());
  }
  shadow_.save(body);
  SnapshotHead head{kMagic, body.size(), checksum(body.data(), body.size()), static_cast<u32>(roots_.size())};
  const std::string temporary = state_path("shadow.new");
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd || !write_all(fd.get(), &head, sizeof head) || !write_all(fd.get(), body.data(), body.size()) ||
      ::fsync(fd.get()) != 0 || ::rename(temporary.c_str(), state_path("shadow").c_str()) != 0) {
    unreadable(temporary, sys_error("write"));
    return;   // The old snapshot and the whole log still hold.
  }
  // What is not durable on every target yet must be looked at again after a restart, so those paths stay in the log.
  std::vector<SetPath> open;
  bool behind = false;
  for (const auto& channel : channels_) {
    behind |= channel->broken || channel->repair_pending || mirror_running(*channel) || !channel->quarantine.empty() ||
              !channel->hash_requests.empty() || channel->stream.target().durable < channel->stream.last_sequence() ||
              channel->replies_pending != 0;   // Looked at last: counted before the acknowledgement behind it.
  }
  behind |= !jobs_.empty();
  if (!behind && !channels_.empty()) startup_repair_.clear();
  touched_log_.reset();
  const std::string log = state_path("touched"), old = state_path("touched.old");
  if (behind || !startup_repair_.empty()) {
    // Append the current segment to the old one: nothing of it may be forgotten yet.
    Result<Bytes> bytes = read_file(log);
    Fd keep(::open(old.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (bytes && keep && write_all(keep.get(), bytes->data(), bytes->size())) ::unlink(log.c_str());
  } else {
    ::unlink(old.c_str());
    ::unlink(log.c_str());
  }
  Fd directory(::open(options_.state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
  touched_log_bytes_ = 0;
}

}  // namespace understudy
