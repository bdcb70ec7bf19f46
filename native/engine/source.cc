#include "source.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>

#include "capture_mounts.h"
#include "memory.h"
#include "state_file.h"

namespace understudy {

namespace {
constexpr i64 kRestNs = 4'000'000'000;         // before memory that was freed goes back to the system (memory.h)
constexpr i64 kRootCheckNs = 1'000'000'000;
constexpr i64 kSnapshotEveryNs = 300'000'000'000;
constexpr u64 kTouchedLogMax = 64u << 20;      // beyond it a new snapshot is due
constexpr i64 kSettleStopNs = 2'000'000'000;        // a clean stop waits this long for its targets
constexpr i64 kAttachPatienceNs = 10'000'000'000;   // streams of an earlier run are attached by then, or never

// File system and inode: survives a reboot, unlike device numbers.
std::string identity_of(int fd) {
  struct stat stat;
  struct statfs fs;
  if (::fstat(fd, &stat) != 0 || ::fstatfs(fd, &fs) != 0) return {};
  return std::to_string(static_cast<u64>(fs.f_type)) + ":" + std::to_string(static_cast<u32>(fs.f_fsid.__val[0])) + "." +
         std::to_string(static_cast<u32>(fs.f_fsid.__val[1])) + ":" + std::to_string(stat.st_ino);
}
}  // namespace

Source::Source(SourceOptions options, Tell tell)
    : options_(std::move(options)), tell_(std::move(tell)), rules_(options_.rules),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  for (std::string& root : options_.roots) {
    while (root.size() > 1 && root.back() == '/') root.pop_back();
    roots_.push_back({root, -1});
  }
  options_.exclude.push_back(options_.state_dir);
  identities_ = options_.root_identity;
  identities_.resize(roots_.size());
}

Source::~Source() { close(); }

void Source::start() { worker_ = std::thread([this] { work(); }); }

void Source::suspend() {
  if (!worker_.joinable()) return;
  suspend_ = true;
  wake();
  std::unique_lock lock(command_mutex_);
  suspended_now_.wait(lock, [this] { return suspended_; });
}

void Source::close() {
  if (!worker_.joinable()) return;
  stopping_ = true;
  wake();
  worker_.join();
}

void Source::wake() {
  const u64 one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void Source::run(std::function<void()> command) {
  {
    std::lock_guard lock(command_mutex_);
    commands_.push_back(std::move(command));
  }
  wake();
}

void Source::run_commands() {
  std::vector<std::function<void()>> now;
  {
    std::lock_guard lock(command_mutex_);
    now.swap(commands_);
  }
  for (auto& command : now) command();
}

// Ahead of a clean stop: what was told is made durable, so that nothing of it need be compared at the next start. A target
// that is slow or away is not waited for; its paths stay in the log.
void Source::settle_streams() {
  auto waits = [](const Channel& channel) { return channel.flowing() && !channel.broken && channel.stream.undurable(); };
  while (stop_snapshot_ == 0)
    if (::getrandom(&stop_snapshot_, sizeof stop_snapshot_, 0) < 0) stop_snapshot_ = static_cast<u64>(realtime_ns());
  for (const auto& channel : channels_) flush(*channel);
  for (const auto& channel : channels_) {
    if (!waits(*channel)) continue;
    wire::OpHeader header{};
    header.kind = static_cast<u8>(wire::OpKind::checkpoint);
    emit_to(*channel, false, header, {}, {}, {});
    flush(*channel);
  }
  const i64 until = monotonic_ns() + kSettleStopNs;
  while (monotonic_ns() < until &&
         std::any_of(channels_.begin(), channels_.end(), [&](const auto& channel) { return waits(*channel); })) {
    pollfd wait{wake_.get(), POLLIN, 0};
    u64 drop;
    if (::poll(&wait, 1, 20) > 0) (void)!::read(wake_.get(), &drop, sizeof drop);
    run_commands();
  }
}

SourceStatistics Source::statistics() const {
  std::lock_guard lock(statistics_mutex_);
  return statistics_;
}

void Source::add_channel(std::shared_ptr<Channel> channel) {
  run([this, channel] { attach(channel); });
}

void Source::remove_channel(const std::shared_ptr<Channel>& channel, bool forget) {
  channel->disconnect();   // Its thread is gone then; what it queued as commands runs before the next line's.
  run([this, channel, forget] { detach(*channel, forget); });
}

void Source::attach(const std::shared_ptr<Channel>& channel) {
  for (u32 slot = 0; slot < 32 && channel->bit == 0; ++slot)
    if (!(all_ & (1u << slot))) channel->bit = 1u << slot;
  if (channel->bit == 0) {
    tell_(Fact("stream_broken").with("connection", i64{channel->options().id}).with("why", std::string("a set carries at most 32 connections")));
    return;
  }
  all_ |= channel->bit;
  if (channel->replicating) replicating_ |= channel->bit;
  if (!channel->apart.empty()) apart_ |= channel->bit;
  channels_.push_back(channel);
  channel->attached = true;
  // A connection of an earlier run: the shadow says what it holds, the touched log what is uncertain.
  const std::string marker = channel->attached_path();
  const bool known = ::access(marker.c_str(), F_OK) == 0;
  // Told everything the shadow says? Not when it was left out while the set went on, now or in an earlier run.
  if (known && ready_told_) channel->note_missed();
  const char* const gap = !known ? nullptr
                          : !shadow_loaded_ ? "the source was restarted without its shadow"
                          : power_lost_ ? "the source lost power, and with it the record of what was told last"
                          : channel->missed() ? "the set went on while this connection was closed" : nullptr;
  // What the first scan finds is no change, with nothing to compare it with: a mirror tells it, once.
  channel->told_by_mirror = channel->options().mirror_follows;
  channel->told_after_scan = !channel->told_by_mirror && !ready_told_ && (!known || !shadow_loaded_);
  if (!channel->told_after_scan && !channel->told_by_mirror)
    for (NodeId node = 1; node < shadow_.limit(); ++node) shadow_.at(node).told |= channel->bit;
  else
    for (NodeId node = 1; node < shadow_.limit(); ++node) shadow_.at(node).told &= ~channel->bit;
  Fd(::open(marker.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  channel->expects_replica = known && gap == nullptr;
  // The queue of an orderly stop goes on where it was; in any other case its files go.
  const bool sound = known && gap == nullptr && !ready_told_ && !unclean_ && loaded_snapshot_ != 0;
  const Stream::Taken queue = channel->stream.resume(channel->queue_path(), sound ? loaded_snapshot_ : 0, channel->doubts);
  channel->resumed = queue == Stream::Taken::taken;
  if (known && queue != Stream::Taken::nothing)
    tell_(Fact(channel->resumed ? "queue_resumed" : "queue_dropped").with("connection", i64{channel->options().id})
              .with("bytes", static_cast<i64>(channel->stream.counters().held)));
  // After the first look: only then is it known what is there now.
  channel->repair_pending = known && !ready_told_ && (!channel->resumed || !channel->doubts.empty());
  recall_point(*channel, known, channel->resumed && !channel->repair_pending, gap != nullptr);
  if (!known) keep_point(*channel);   // An empty file is one of an earlier release, whose replica was complete.
  if (channel->repair_pending && gap == nullptr) begin_repair(*channel);
  if (gap != nullptr) {
    channel->note_missed();   // Whoever is killed before the control plane has heard of it finds it again.
    tell_(Fact("stream_broken").with("connection", i64{channel->options().id}).with("why", std::string(gap)));
  }
  channel->connect();
}

void Source::detach(Channel& channel, bool forget) {
  // Streams are closed before their source at a clean stop: what waited in them must be looked at again.
  std::erase_if(replies_, [&](const auto& each) { return each.first == &channel; });
  channel.attached = false;
  if (!forget) left_behind_ |= unsettled(channel) || !jobs_.empty();   // The log is kept for its next start.
  if (!forget && suspended_) (void)queue_kept(channel);
  if (!forget) keep_point(channel);   // While what is under way still counts.
  cancel_work(channel);
  replicating_ &= ~channel.bit;
  all_ &= ~channel.bit;
  apart_ &= ~channel.bit;
  if (forget) ::unlink(channel.attached_path().c_str());
  else if (!suspended_) channel.note_missed();
  for (auto at = barriers_.begin(); at != barriers_.end();) {
    if (at->channel != &channel) {
      ++at;
      continue;
    }
    barrier_failed(*at, "disconnected");
    at = barriers_.erase(at);
  }
  force_ = !barriers_.empty();
  for (auto at = channels_.begin(); at != channels_.end(); ++at) {
    if (at->get() != &channel) continue;
    const std::shared_ptr<Channel> keep = *at;   // `channel` lives until here returns.
    channels_.erase(at);
    return;
  }
}

// What was told in the last run and may not have arrived, or may have moved on since.
void Source::repair_after_restart() {
  doubting_ = false;
  for (const auto& channel : channels_) {
    if (!channel->repair_pending) continue;
    channel->repair_pending = false;
    retell_all(*channel, channel->resumed ? channel->doubts : startup_repair_);
    channel->doubts.clear();
  }
}

void Source::set_replicating(Channel& channel, bool on) {
  if (!on) {
    in_doubt_until_mirrored(channel);   // What changes from here on is told by a mirror only.
    channel.mirror.missed = true;       // And not by this one where it has been.
  }
  channel.replicating = on;
  channel.counters.replicating = on;
  if (on) replicating_ |= channel.bit;
  else replicating_ &= ~channel.bit;
}

void Source::on_welcome(Channel& channel, u64 epoch, const wire::StreamPosition& position, Bytes payload) {
  auto up = [&](bool resumed) {
    return Fact("link_up").with("connection", i64{channel.options().id}).with("welcome", std::move(payload)).flag("resumed", resumed);
  };
  std::vector<SetPath> repair;
  const bool fresh = (position.flags & wire::kPositionFresh) != 0;
  const bool wiped = channel.expects_replica && fresh;
  if (fresh && channel.must_mirror) {
    in_doubt(channel, kNeverNs);   // Whatever it held once.
    keep_point(channel);
  }
  if (!channel.broken) flush(channel);   // What is in no batch yet is in doubt as well, should the rest be.
  const Resume resume = channel.broken || wiped ? Resume::broken : channel.stream.welcome(position, repair);
  if (resume == Resume::broken || resume == Resume::lost) {
    const bool unknown = fresh || (!channel.broken && !channel.stream.damaged());   // Nothing says what it holds.
    channel_broken(channel, resume == Resume::lost ? "the target lacks what it had made durable: its disk was rolled back, or does not keep what it says"
                                                   : "the target does not know this stream any more");
    if (unknown) in_doubt_until_mirrored(channel, kNeverNs);
    channel.arrived(epoch, false, up(false));
    return;
  }
  if (resume == Resume::repair) {
    if (channel.stream.spilled()) read_logged(repair);
    std::move(channel.touched.begin(), channel.touched.end(), std::back_inserter(repair));
    channel.touched.clear();
    in_doubt(channel);   // Applied and not durable counts as well, and a new stream knows nothing of it.
    restart_stream(channel);
    forget_listings(channel);
    (void)open_roots();   // Between two cycles they are closed, and extended attributes are read now.
    retell_all(channel, repair);
    channel.expects_replica = true;
    begin_repair(channel);
    channel.connect();
    return;
  }
  reissue(channel);
  channel.arrived(epoch, true, up(true));
}

// An answer is worked off with the roots open; one to a stream that has ended since is of no use.
void Source::keep_reply(Channel& channel, u64 stream, std::shared_ptr<Bytes> frame) {
  if (channel.attached && stream == channel.stream.id()) replies_.emplace_back(&channel, std::move(frame));
  else --channel.replies_pending;
}

// A new stream; the caller connects. Nothing that still comes of the old one shall be taken for the new one's.
void Source::restart_stream(Channel& channel) {
  channel.disconnect();
  channel.replies_pending -= std::erase_if(replies_, [&](const auto& each) { return each.first == &channel; });
  channel.refusals_confirmed = 0;
  channel.stream.restart();
  // Sequences begin anew: what waits for one of the old stream asks again.
  channel.mirror.waiting = false;
  for (auto& [path, entry] : channel.quarantine) {
    entry.from = entry.sequence = 0;
    if (entry.retry_ns == 0) entry.retry_ns = 1;   // What it was told may have been dropped.
  }
  tasks_lost(channel, "the stream began anew");
  for (Barrier& barrier : barriers_)
    if (barrier.channel == &channel) barrier.sequence = 0;
  force_ = !barriers_.empty();
}

void Source::continue_stopped(bool never_again) {
  run([this, never_again] {
    if (stopped_) accept_roots_ = true;
    if (held_) guard_off_once_ = true;
    if (never_again) options_.guard_percent = options_.guard_count = 0;
    root_check_ns_ = 0;
  });
}

void Source::request_rescan(std::string why) {
  run([this, why] { lost(why); });
}

void Source::close_roots() {
  fds_.clear();
  retired_.clear();
  for (CaptureRoot& root : roots_) {
    if (root.fd >= 0) ::close(root.fd);
    root.fd = -1;
  }
  roots_open_ = false;
}

void Source::root_problem(const std::string& detail) {
  close_roots();
  if (stopped_) return;
  stopped_ = true;
  if (capture_) capture_->stop();
  capture_.reset();
  tell_(Fact("source_stopped").with("source", i64{options_.id}).with("why", std::string("root_changed")).with("detail", detail)
            .with("deleted", 0).with("total", static_cast<i64>(shadow_.count())));
}

// Opens the roots for this cycle and makes sure that each is the directory it was (I11): an unmounted file system
// shows an empty directory, and nothing may be concluded from that.
bool Source::open_roots() {
  if (roots_open_) return true;
  const i64 now = monotonic_ns();
  if (stopped_ && now - root_check_ns_ < kRootCheckNs) return false;
  root_check_ns_ = now;
  std::vector<bool> same(roots_.size());   // as it was when it was seen last
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    Fd fd(::open(roots_[i].path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
      root_problem(roots_[i].path + ": " + std::strerror(errno));
      return false;
    }
    const std::string identity = identity_of(fd.get());
    same[i] = identities_[i] == identity;
    if (identities_[i].empty() || (accept_roots_ && stopped_)) identities_[i] = identity;
    if (identities_[i] != identity) {
      root_problem(roots_[i].path + " is not the directory it was (" + identity + " in place of " + identities_[i] +
                   "): unmounted or replaced");
      return false;
    }
    roots_[i].fd = fd.release();
  }
  roots_open_ = true;
  if (stopped_) {
    stopped_ = accept_roots_ = false;
    tell_(Fact("source_continues").with("source", i64{options_.id}));
  }
  renumber(same);
  // Marks and watches end with a file system's last mount, and one that was mounted again meanwhile has none.
  std::vector<u64> mounts;
  for (const CaptureRoot& root : roots_) mounts.push_back(mount_mark(root.fd));
  const bool mounted_anew = capture_ && mounts != mounts_;
  mounts_ = std::move(mounts);
  if (mounted_anew) {
    capture_->stop();
    capture_.reset();
  }
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    struct stat stat;
    if (::fstat(roots_[i].fd, &stat) != 0) continue;
    const NodeId root = static_cast<NodeId>(i + 1);
    shadow_.set_identity(root, stat.st_dev, stat.st_ino);
    // A root of a new shadow: a directory, of which the scan will learn the rest.
    if (shadow_.mode(root) == 0) shadow_.set_attributes(root, Attributes{.mode = S_IFDIR});
  }
  if (!capture_) {
    if (!start_capture()) {
      close_roots();
      return false;
    }
    if (mounted_anew) lost("a file system was mounted anew");
    else doubt();
    publish();
  }
  return true;
}

// A known file system on a device of another number: the next boot found its disks in another order, or it was mounted
// anew. Its objects are the ones that they were (I2: nothing is told again).
void Source::renumber(const std::vector<bool>& same) {
  std::vector<std::pair<u64, u64>> devices;
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    struct stat stat;
    const u64 before = shadow_.device(shadow_.at(static_cast<NodeId>(i + 1)).device);
    if (before != 0 && same[i] && ::fstat(roots_[i].fd, &stat) == 0 && stat.st_dev != before) devices.emplace_back(before, stat.st_dev);
  }
  if (devices.empty()) return;
  shadow_.renumber(devices);
  for (auto& [object, written] : written_)
    for (const auto& [from, to] : devices)
      if (written.device == from) {
        written.device = to;
        break;
      }
}

bool Source::start_capture() {
  std::string degraded;
  Result<std::unique_ptr<Capture>> capture = open_capture(options_.capture, CaptureOptions{}, roots_, wake_.get(), degraded);
  if (!capture) {
    root_problem(std::string("capture cannot start: ") + capture.error().call + ": " + std::strerror(capture.error().code));
    return false;
  }
  capture_ = std::move(*capture);
  open_ranges();
  if (!degraded.empty() && degraded != degraded_) {
    degraded_ = degraded;
    tell_(Fact("source_degraded").with("source", i64{options_.id}).with("why", std::string("capture")).with("detail", degraded));
  }
  return true;
}

// Everything but directories; counted anew when the number of objects has changed, at most once a second unless `exact`.
u64 Source::count_files(bool exact) {
  const i64 now = monotonic_ns();
  if (counted_objects_ == shadow_.count() || (!exact && now - counted_ns_ < 1'000'000'000)) return counted_files_;
  counted_ns_ = now;
  counted_objects_ = shadow_.count();
  counted_files_ = 0;
  for (NodeId node = 1; node < shadow_.limit(); ++node) counted_files_ += shadow_.live(node) && !shadow_.is_directory(node);
  return counted_files_;
}

void Source::publish() {
  SourceStatistics now;
  now.state = stopped_ || held_ ? "stopped" : !ready_told_ ? "opening" : doubt_ ? "rescanning" : "watching";
  if (capture_) {
    const CaptureStatistics capture = capture_->statistics();
    now.capture = capture_->name();
    now.events = capture.events;
    now.lost = capture.lost;
  }
  now.files = count_files(false);
  now.directories = counted_objects_ - now.files;
  now.bytes = total_bytes_;
  publish_waiting();
  now.dirty = dirty_.size() + jobs_.size() + missing_.size();
  now.shadow_bytes = shadow_.memory() + indexes_.bytes();
  now.unreadable = unreadable_;
  {
    std::lock_guard lock(statistics_mutex_);
    statistics_ = std::move(now);
  }
  for (const auto& channel : channels_) {
    const MirrorRun& mirror = channel->mirror;
    channel->counters.mirror = !mirror.active ? 0 : mirror.verify ? (mirror.options.orphans == MirrorOptions::Orphans::automatic ? 4 : 5) : mirror.paused ? 2 : mirror.waiting ? 3 : 1;
    channel->counters.failed = channel->quarantine.size();
  }
}

// Whether anything here goes on by what a target has applied; other acknowledgements need not wake us. True when that
// has just become so: one may have been passed over meanwhile.
bool Source::note_waiting() {
  bool news = false;
  const bool starved = !room_ && !(dirty_.empty() && jobs_.empty() && scan_.empty());
  for (const auto& channel : channels_) {
    const bool matter = starved || !barriers_.empty() || channel->behind || channel->full_told || !channel->tasks.empty() || !channel->quarantine.empty() || channel->mirror.active ||
                        channel->settling || channel->repair_pending || mirror_running(*channel);
    news |= matter && !channel->acks_matter.exchange(matter);
    channel->acks_matter = matter;
  }
  return news;
}

// One round of everything. True when more can be done at once.
bool Source::work_once() {
  run_commands();
  note_waiting();
  if (!open_roots()) {
    finish_barriers();
    return false;
  }
  retired_.clear();   // Nobody is up the stack: a long mirror must not keep every directory open that it has seen.
  // What changed while this thread stood still is as old as its last look, not as young as this one (GLO-29).
  const i64 now = monotonic_ns();
  current_since_ns_ = delivered_ns_ != 0 && now - delivered_ns_ > kLookNs ? delivered_ns_ : 0;
  delivered_ns_ = now;
  capture_->deliver(roots_, *this);
  drain_ranges();
  current_since_ns_ = 0;
  begin_barriers();
  ask_proofs();
  std::vector<std::pair<Channel*, std::shared_ptr<Bytes>>> replies;
  replies.swap(replies_);
  for (const auto& [channel, frame] : replies) {
    on_reply(*channel, *frame);
    waits_on(*channel);
    --channel->replies_pending;
  }
  for (const auto& channel : channels_) {
    if (channel->stream.move_in_doubt()) retell_moved(*channel);
    channel->confirm_refusals();
  }
  bool more = false;
  // While no channel can take more, changes wait as dirty names: bounded by the number of files, not of writes.
  const bool room = room_ = room_for(replicating_);
  watch_queues(room);
  if (room) {
    more |= process_dirty();
    for (int i = 0; i < 64 && !scan_.empty(); ++i) more |= scan_step();
  }
  if (scanning_ && scan_.empty()) {
    scanning_ = false;
    sweep_due_ns_ = 0;
    if (!ready_told_) {
      ready_told_ = true;
      directory_times();   // Of what was found: whom it is new to hears of it by his mirror.
      for (const auto& channel : channels_) {
        if (!channel->told_after_scan) continue;
        channel->told_after_scan = false;
        for (NodeId node = 1; node < shadow_.limit(); ++node) shadow_.at(node).told |= channel->bit;
      }
      tell_(Fact("source_ready").with("source", i64{options_.id}).with("capture", std::string(capture_->name()))
                .with("rootIdentity", identities_).with("files", static_cast<i64>(count_files(true)))
                .with("bytes", static_cast<i64>(total_bytes_)).with("ms", (monotonic_ns() - scan_started_ns_) / 1'000'000));
    }
    if (sweep_again_) {
      sweep_again_ = false;
      begin_rescan();
    } else {
      if (std::exchange(doubt_, false))   // What it found is as old as the doubt: told, or waiting to be.
        for (const auto& channel : channels_) channel->repair_since_ns = monotonic_ns();
    }
    more = true;
  }
  note_changes_wait(room);
  if (ready_told_ && room) repair_after_restart();
  more |= step_jobs();
  if (room && !scanning_) more |= release_deletes(force_);
  if (room && dirty_.empty()) directory_times();
  for (std::size_t i = 0; i < channels_.size(); ++i) more |= mirror_step(*channels_[i]);
  flush_all();
  for (const auto& channel : channels_) settle_repair(*channel);
  finish_barriers();
  tasks_passed();
  return note_waiting() || more;
}

int Source::idle_ms() {
  const i64 now = monotonic_ns();
  i64 next = now + 1'000'000'000;
  // Names that wait for room are due all the time: an acknowledgement wakes us (note_waiting).
  for (const Dirty& dirty : dirty_) {
    if (!room_) break;
    next = std::min(next, dirty.due_ns);
    if (next <= now) break;
  }
  if (!missing_.empty() && !held_) next = std::min(next, last_missing_ns_ + 150'000'000);
  if (!jobs_.empty() || !barriers_.empty()) next = std::min(next, now + 5'000'000);
  for (const auto& [object, written] : written_) next = std::min(next, proof_due_ns(written));
  if (options_.sweep_ms != 0 && ready_told_) next = std::min(next, sweep_due_ns_);
  return static_cast<int>(std::clamp<i64>((next - now + 999'999) / 1'000'000, 0, 1'000));
}

void Source::work() {
  ::pthread_setname_np(::pthread_self(), "us-source");
  ::unshare(CLONE_FS);   // This thread may change its directory (xattr.cc) without moving the others.
  shadow_loaded_ = load_state(startup_repair_);
  doubting_ = !startup_repair_.empty();
  if (!shadow_loaded_)
    while (shadow_.root_count() < roots_.size()) shadow_.add_root();
  for (NodeId node = 1; node < shadow_.limit(); ++node)
    if (shadow_.live(node) && shadow_.is_regular(node)) total_bytes_ += static_cast<u64>(shadow_.at(node).size);
  i64 heartbeat_ns = 0, published_ns = 0, busy_ns = 0;
  snapshot_ns_ = monotonic_ns();
  // What changed while nobody looked is found by the first look, and must be told to every stream of the earlier run.
  while (!stopping_ && shadow_loaded_ && channels_.size() < options_.streams && monotonic_ns() - snapshot_ns_ < kAttachPatienceNs) {
    pollfd wait{wake_.get(), POLLIN, 0};
    u64 drop;
    if (::poll(&wait, 1, 100) > 0) (void)!::read(wake_.get(), &drop, sizeof drop);
    run_commands();
  }
  while (!stopping_) {
    if (suspend_) {
      if (!suspended_) settle_streams();
      run_commands();
      {
        std::lock_guard lock(command_mutex_);
        suspended_ = true;
      }
      suspended_now_.notify_all();
      pollfd wait{wake_.get(), POLLIN, 0};
      u64 drop;
      if (::poll(&wait, 1, -1) > 0) (void)!::read(wake_.get(), &drop, sizeof drop);
      continue;
    }
    const bool more = work_once();
    const i64 now = monotonic_ns();
    if (now - published_ns > 50'000'000 || !more) {
      publish();
      published_ns = now;
    }
    if (const i64 every = options_.tuning->heartbeat_ns; every > 0 && now - heartbeat_ns >= every) {
      heartbeat_ns = now;
      for (const auto& channel : channels_) {
        if (!channel->ready() || channel->broken || channel->stream.oldest_unapplied_ns() != 0) continue;
        wire::OpHeader header{};
        header.kind = static_cast<u8>(wire::OpKind::heartbeat);
        header.arg0 = static_cast<u64>(realtime_ns());
        emit_to(*channel, false, header, {}, {}, {});
        flush(*channel);
      }
    }
    if (options_.sweep_ms != 0 && ready_told_ && !scanning_) {
      if (sweep_due_ns_ == 0) sweep_due_ns_ = now + i64{options_.sweep_ms} * 1'000'000;
      else if (now >= sweep_due_ns_) begin_rescan();
    }
    if (ready_told_ && !shadow_loaded_ && !first_saved_) {
      // From here on a crash is repaired from the shadow, not by comparing everything.
      first_saved_ = true;
      save_state();
    }
    if (ready_told_ && (touched_log_bytes_ > kTouchedLogMax || (now - snapshot_ns_ > kSnapshotEveryNs && touched_log_bytes_ > 0)))
      save_state();
    if (more) {
      busy_ns = now;
      memory_used();
      continue;
    }
    if (now - busy_ns > kRestNs) read_buffer_ = {};
    memory_rests();
    close_roots();
    pollfd wait{wake_.get(), POLLIN, 0};
    if (::poll(&wait, 1, idle_ms()) > 0) {
      u64 drop;
      (void)!::read(wake_.get(), &drop, sizeof drop);
    }
  }
  run_commands();
  if (capture_) capture_->stop();
  if (ready_told_ && !stopped_) {
    save_state();
    ::unlink(state_path("running").c_str());
    (void)sync_folder(options_.state_dir);
  }
  close_roots();
  std::vector<std::shared_ptr<Channel>> channels;
  channels.swap(channels_);
}

}  // namespace understudy
