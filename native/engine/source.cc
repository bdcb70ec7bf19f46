#include "source.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include <algorithm>

#include "memory.h"
#include "state_file.h"

namespace understudy {

namespace {
constexpr i64 kRestNs = 4'000'000'000;         // before memory that was freed goes back to the system (memory.h)
constexpr i64 kSettleStopNs = 2'000'000'000;        // a clean stop waits this long for its targets
constexpr i64 kAttachPatienceNs = 10'000'000'000;   // streams of an earlier run are attached by then, or never
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
    if (snapshot_due(now)) save_state();
    settle_old_log();
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
