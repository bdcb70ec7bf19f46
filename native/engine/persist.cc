// What survives the process: snapshots of the shadow and a log of the paths told since (DESIGN 8).
//
// A path is written to the touched log before the batch that tells it can leave. After a crash the newest snapshot
// says what the replica held, the log says which paths may have moved on; only those are compared with the target.
// Log segments are dropped when a newer snapshot is on disk and every channel has made their batches durable.
#include <algorithm>

#include "crc.h"
#include "marks.h"
#include "source.h"
#include "state_file.h"

namespace understudy {

namespace {
constexpr u64 kMagic = 0x34776f6461685355ull;   // "UShadow4"

struct SnapshotHead {
  u64 magic;
  u64 size;
  u32 checksum;   // CRC-32C of what follows
  u32 roots;
  u64 name;       // of this snapshot; what else was kept at the same stop bears it, too
};

constexpr std::size_t kLoggedMax = 100'000;   // paths that wait for a log which cannot be written

// Whoever is killed while it writes leaves a torn last record. `mend`: it is cut off, because nothing that was appended
// behind it could be read.
void read_log(const std::string& path, std::vector<SetPath>& out, bool mend) {
  Result<Bytes> bytes = read_file(path);
  if (!bytes) return;
  const u8* const begin = bytes->data();
  const u8* at = begin;
  const u8* const end = begin + bytes->size();
  std::unordered_set<std::string> seen;
  SetPath next;
  while (take_path(at, end, next))   // A deep record counts besides a shallow one.
    if (seen.insert(std::to_string(next.mapping | (next.deep ? kSetPathDeep : 0)) + "/" + next.path).second) out.push_back(std::move(next));
  if (mend && at != end) (void)!::truncate(path.c_str(), at - begin);
}
}  // namespace

bool Source::load_state(std::vector<SetPath>& repair) {
  // Also without a snapshot: what the log names was told by us, and is no orphan when it is gone here.
  read_log(state_path("touched.old"), repair, true);
  read_log(state_path("touched"), repair, true);
  for (const SetPath& path : repair) touched_log_bytes_ += path.path.size();   // A new snapshot is due when that is settled.
  note_running();
  Result<FileFeed> file = FileFeed::open(state_path("shadow"));
  if (!file) return false;
  SnapshotHead head{};
  const bool headed = file->take(&head, sizeof head) && head.magic == kMagic && head.size == file->left() && head.roots == roots_.size();
  const Result<u32> crc = headed ? file->crc_of_rest() : Result<u32>(SysError{EBADMSG, "read"});
  if (!crc || *crc != head.checksum || !shadow_.load(*file)) {
    shadow_ = Shadow();
    tell_(Fact("source_degraded").with("source", i64{options_.id}).with("why", std::string("shadow"))
              .with("detail", std::string("the saved shadow is damaged or of another set and was put aside; a mirror is required")));
    return false;
  }
  loaded_snapshot_ = head.name;
  return true;
}

// A file says that this source runs, and since which boot of the machine. Left behind by another boot it means that
// the last run ended with the power: the log, which is not synced at each batch, may lack its end.
void Source::note_running() {
  const u64 boot = options_.boot != 0 ? options_.boot : boot_digest();
  if (Result<Bytes> left = read_file(state_path("running"))) {
    unclean_ = true;
    u64 before = 0;
    if (left->size() == sizeof before) std::memcpy(&before, left->data(), sizeof before);
    power_lost_ = before != boot || boot == 0;
  }
  // A loss of power stays known until the connections have noted it: whoever is killed before finds it again.
  running_boot_ = boot;
  write_running(power_lost_ ? 0 : boot);
}

void Source::write_running(u64 boot) {
  const std::string path = state_path("running");
  if (Status written = replace_file(path, {view_of(boot)}); !written) unreadable(path, written.error());
}

// Appends what is about to be told. Survives a kill (page cache), not a power loss of the source.
void Source::log_touched() {
  if (logged_.empty()) return;
  Bytes out;
  for (const SetPath& path : logged_) put_path(out, path);
  const Status written = append_touched(out);
  if (written) {
    logged_.clear();
    touched_log_bytes_ += out.size();
    return;
  }
  unreadable(state_path("touched"), written.error());
  // Until they are written, with the next batch, a crash would not know what is in doubt: without its snapshot it is
  // followed by a mirror.
  ::unlink(state_path("shadow").c_str());
  if (logged_.size() <= kLoggedMax) return;
  logged_.clear();
  log_lost_ = true;
}

Status Source::append_touched(const Bytes& records) {
  if (!touched_log_) touched_log_ = Fd(::open(state_path("touched").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!touched_log_) return sys_error("open");
  return append_all(touched_log_.get(), records.data(), records.size());
}

// What the log names of all that was told and may not be on every target: more than any one stream needs, and there when
// the disk of a queue is not.
void Source::read_logged(std::vector<SetPath>& out) {
  log_touched();
  read_log(state_path("touched.old"), out, false);
  read_log(state_path("touched"), out, false);
  out.insert(out.end(), logged_.begin(), logged_.end());
}

// May the target lack something of what the shadow calls told?
bool Source::unsettled(const Channel& channel) const {
  return channel.broken || channel.behind || channel.repair_pending || mirror_running(channel) || !channel.quarantine.empty() ||
         !channel.hash_requests.empty() || channel.stream.undurable() || !channel.touched.empty() ||
         channel.replies_pending != 0;   // Looked at last: counted before the acknowledgement behind it.
}

void Source::save_state() {
  snapshot_ns_ = monotonic_ns();
  log_touched();
  // A snapshot says more than is certain while paths of what is under way are in no log.
  if (log_lost_) log_lost_ = std::any_of(channels_.begin(), channels_.end(), [&](const auto& channel) { return unsettled(*channel); });
  if (log_lost_ || !logged_.empty()) return;
  // Times of directories that are still to be told: no time equals this, so that the next start tells them.
  for (NodeId node : times_)
    if (shadow_.live(node)) shadow_.at(node).mtime_ns = kUnknownTime;
  FileReplacement file(state_path("shadow"), sizeof(SnapshotHead));
  shadow_.save(file);
  const SnapshotHead head{kMagic, file.size(), file.crc(), static_cast<u32>(roots_.size()), stop_snapshot_};
  if (Status written = file.commit(view_of(head)); !written) {
    unreadable(state_path("shadow"), written.error());
    return;   // The old snapshot and the whole log still hold.
  }
  // What is not durable on every target yet must be looked at again after a restart, so those paths stay in the log.
  bool behind = left_behind_;
  for (const auto& channel : channels_) behind |= unsettled(*channel);
  behind |= !jobs_.empty();
  if (!behind && !channels_.empty()) startup_repair_.clear();
  touched_log_.reset();
  const std::string log = state_path("touched"), old = state_path("touched.old");
  if (behind || !startup_repair_.empty()) {
    // Append the current segment to the old one: nothing of it may be forgotten yet.
    Result<Bytes> bytes = read_file(log);
    Fd keep(::open(old.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    // On the disk before the end of this run is called an orderly one.
    if (bytes && keep && append_all(keep.get(), bytes->data(), bytes->size()) && ::fdatasync(keep.get()) == 0) ::unlink(log.c_str());
  } else {
    ::unlink(old.c_str());
    ::unlink(log.c_str());
  }
  (void)sync_folder(options_.state_dir);
  touched_log_bytes_ = 0;
  // What was open at the loss is open again by the first snapshot of a run.
  if (power_lost_ && ready_told_ && running_boot_ != 0) write_running(std::exchange(running_boot_, 0));
}

}  // namespace understudy
