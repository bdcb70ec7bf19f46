// What survives the process: snapshots of the shadow, which say what the replica held; touched_log.cc has what may have
// moved on since (DESIGN 8).
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

constexpr u64 kMirrorLogMax = 1u << 20;     // beyond it the end of a mirror is worth one: a crash need not compare all of that
}  // namespace

bool Source::load_state(std::vector<SetPath>& repair) {
  // Also without a snapshot: what the log names was told by us, and is no orphan when it is gone here.
  const Status logged = read_logs(repair, true);
  for (const SetPath& path : repair) touched_log_bytes_ += path.path.size();   // A new snapshot is due when that is settled.
  old_log_ = !repair.empty();
  note_running();
  if (!logged) {
    unreadable(state_path("touched"), logged.error());
    return false;   // Not all that is in doubt is known: a mirror is required, as without a snapshot.
  }
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

bool Source::snapshot_due(i64 now) const {
  if (!ready_told_ || touched_log_bytes_ == 0) return false;
  if (touched_log_bytes_ > options_.log_max) return true;
  if (old_log_marked_) return false;   // It is about to go; with another snapshot it would have to stay.
  return now - snapshot_ns_ > options_.snapshot_every_ns || (mirror_ended_ && touched_log_bytes_ > kMirrorLogMax);
}

void Source::save_state() {
  snapshot_ns_ = monotonic_ns();
  mirror_ended_ = false;
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
  if (behind || (old_log_ && channels_.empty())) keep_log();
  else drop_logs();
  (void)sync_folder(options_.state_dir);
  touched_log_bytes_ = 0;
  // What was open at the loss is open again by the first snapshot of a run.
  if (power_lost_ && ready_told_ && running_boot_ != 0) write_running(std::exchange(running_boot_, 0));
}

}  // namespace understudy
