#include "pair_support.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "check.h"

namespace understudy::test {

namespace {

template <typename T>
T field(const Fact& fact, const char* name) {
  for (const auto& [key, value] : fact.fields)
    if (std::strcmp(key, name) == 0)
      if (auto* found = std::get_if<T>(&value)) return *found;
  failed(__FILE__, __LINE__, fact.kind + " has no " + name);
}

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) failed(__FILE__, __LINE__, "mkdir " + path);
}

// Whole or not at all, as agentd's documents appear.
void replace_file(const std::string& path, const std::string& text) {
  write_file(path + ".new", text, 0600);
  if (::rename((path + ".new").c_str(), path.c_str()) != 0) failed(__FILE__, __LINE__, "rename " + path);
}

std::shared_ptr<TlsIdentity> identity_of(const PemIdentity& pem) {
  auto identity = TlsIdentity::load(pem.key, pem.certificate);
  CHECK_OK(identity);
  return *identity;
}

}  // namespace

std::string described(const Fact& fact) {
  std::string line = fact.kind;
  for (const auto& [name, value] : fact.fields) {
    line += std::string(" ") + name + "=";
    if (auto* number = std::get_if<i64>(&value)) line += std::to_string(*number);
    else if (auto* flag = std::get_if<bool>(&value)) line += *flag ? "yes" : "no";
    else if (auto* text = std::get_if<std::string>(&value)) line += *text;
    else if (auto* texts = std::get_if<std::vector<std::string>>(&value)) line += std::to_string(texts->size()) + " texts";
    else line += std::to_string(std::get<std::shared_ptr<Bytes>>(value)->size()) + " bytes";
  }
  return line;
}

// ------------------------------------------------------------------------------------------------------------ heard

void Heard::add(const std::string& line) {
  {
    std::lock_guard lock(mutex_);
    if (line[0] != '#') lines_.push_back(line);
    if (story_.size() < 2'000) story_.push_back(line);
  }
  changed_.notify_all();
}

bool Heard::wait_for(const std::string& line, i64 timeout_ms) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return std::erase(lines_, line) != 0; });
}

std::string Heard::story() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const std::string& line : story_) text += "  " + line + "\n";
  return text;
}

// ------------------------------------------------------------------------------------------------------------- loop

void Loop::after(i64 ms, std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    jobs_.emplace(monotonic_ns() + ms * 1'000'000, std::move(job));
  }
  changed_.notify_all();
}

void Loop::call(const std::function<void()>& job) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  post([&] {
    job();
    std::lock_guard lock(mutex);
    done = true;
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return done; });
}

void Loop::run() {
  std::unique_lock lock(mutex_);
  while (!ended_) {
    if (jobs_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const i64 wait = jobs_.begin()->first - monotonic_ns();
    if (wait > 0) {
      changed_.wait_for(lock, std::chrono::nanoseconds(wait));
      continue;
    }
    std::function<void()> job = std::move(jobs_.begin()->second);
    jobs_.erase(jobs_.begin());
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

void Loop::end() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// ----------------------------------------------------------------------------------------------------------- source

SourceSide::SourceSide(SourceSideOptions options, Say say) : options_(std::move(options)), say_(std::move(say)) {
  make_directory(options_.state_dir);
  make_directory(options_.state_dir + "/set");
  make_directory(options_.state_dir + "/stream");
  mirror_.compare = MirrorOptions::Compare::content;
  load();
  loop_.call([this] { open(); });
}

SourceSide::~SourceSide() {
  loop_.end();
  // Streams next: the shadow is saved by what they reached.
  source_->suspend();
  if (channel_) source_->remove_channel(channel_, false);
  source_->close();
}

void SourceSide::open() {
  const Tell tell = [this](Fact fact) {
    loop_.post([this, shared = std::make_shared<Fact>(std::move(fact))] { this->fact(*shared); });
  };
  SourceOptions set;
  set.id = 1;
  set.name = "set";
  set.state_dir = options_.state_dir + "/set";
  set.roots = {options_.root};
  set.capture = options_.capture;
  set.sweep_ms = 60'000;
  set.root_identity = root_identity_;
  set.streams = 1;
  set.tuning = options_.tuning;
  set.snapshot_every_ns = options_.snapshot_every_ns;
  set.log_max = options_.log_max;
  source_ = std::make_unique<Source>(std::move(set), tell);
  source_->start();
  ChannelOptions stream;
  stream.id = 2;
  stream.host = "127.0.0.1";
  stream.port = options_.port;
  stream.peer_key = options_.target_key;
  stream.state_dir = options_.state_dir + "/stream";
  stream.budget = std::make_shared<QueueBudget>(options_.queue_memory);
  stream.queue = options_.queue;
  stream.tuning = options_.tuning;
  stream.queue.folder = options_.state_dir + "/queue";
  stream.mirror_follows = phase_ == Phase::wanted;
  stream.disconnect_when_full = options_.disconnect_when_full;
  channel_ = std::make_shared<Channel>(*source_, std::move(stream), identity_of(options_.identity), tell);
  source_->add_channel(channel_);
}

template <typename Command>
void SourceSide::on_worker(Command command) {
  source_->run([this, channel = channel_, command] {
    if (channel->attached) command(*source_, *channel);
  });
}

void SourceSide::fact(const Fact& fact) {
  if (fact.kind != "message") say_("# " + described(fact));
  if (fact.kind == "source_ready") {
    ready_ = true;
    root_identity_ = field<std::vector<std::string>>(fact, "rootIdentity");
    save();
    start_mirror();
    pump();
  } else if (fact.kind == "source_stopped") {
    say_("source_stopped " + field<std::string>(fact, "detail"));
  } else if (fact.kind == "link_up") {
    link_ = LinkPhase::linked;
    const bool gap = !field<bool>(fact, "resumed") && ever_linked_;
    ever_linked_ = true;
    if (gap && phase_ != Phase::wanted) broken();
    save();
    start_mirror();
    pump();
  } else if (fact.kind == "link_down") {
    if (link_ == LinkPhase::waiting) return;
    link_ = LinkPhase::waiting;
    loop_.after(options_.retry_ms, [this] {
      if (link_ != LinkPhase::waiting) return;
      link_ = LinkPhase::linking;
      on_worker([](Source&, Channel& channel) { channel.connect(); });
    });
  } else if (fact.kind == "link_refused") {
    say_("link_refused");
  } else if (fact.kind == "queue_resumed" || fact.kind == "queue_dropped" || fact.kind == "queue_full" || fact.kind == "queue_room") {
    say_(fact.kind);
  } else if (fact.kind == "stream_broken") {
    waiting_.insert(issued_.begin(), issued_.end());
    issued_.clear();
    if (phase_ != Phase::wanted) broken();
    start_mirror();
  } else if (fact.kind == "mirror_started") {
    if (phase_ == Phase::wanted || phase_ == Phase::starting) phase_ = Phase::mirroring;
    save();
  } else if (fact.kind == "mirror_done") {
    if (phase_ != Phase::starting && phase_ != Phase::mirroring) return;
    phase_ = Phase::idle;
    complete_ = true;
    gave_up_ = 0;
    save();
    say_("mirror_done");
    pump();
  } else if (fact.kind == "mirror_stopped") {
    if (phase_ != Phase::starting && phase_ != Phase::mirroring) return;
    phase_ = Phase::idle;
    complete_ = false;
    save();
    loop_.after(std::min<i64>(20ll << std::min(gave_up_++, 6u), 1'000), [this] {
      if (phase_ != Phase::idle || complete_) return;
      broken();
      start_mirror();
    });
  } else if (fact.kind == "verify_done") {
    for (const std::string& path : field<std::vector<std::string>>(fact, "paths")) say_("# verification: " + path);
    say_("verified");
    say_("verify_done " + std::to_string(field<i64>(fact, "different") + field<i64>(fact, "missing") + field<i64>(fact, "orphans")));
  } else if (fact.kind == "barrier_done") {
    const i64 token = field<i64>(fact, "token");
    if (issued_.erase(token) != 0) say_("barrier_done " + std::to_string(token));
  } else if (fact.kind == "barrier_failed") {
    const i64 token = field<i64>(fact, "token");
    if (issued_.erase(token) == 0) return;
    waiting_.insert(token);
    loop_.after(20, [this] { pump(); });
  }
}

void SourceSide::pause(bool paused) {
  loop_.call([this, paused] { channel_->set_paused(paused); });
}

void SourceSide::limit(u64 bytes_per_second) {
  channel_->throttle().set_rate(bytes_per_second);
  channel_->wake_link();
}

void SourceSide::replicate(bool on) {
  on_worker([on](Source& source, Channel& channel) { source.set_replicating(channel, on); });
}

void SourceSide::stand_still(i64 ms) {
  on_worker([ms](Source&, Channel&) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); });
}

void SourceSide::hold_mirrors(bool hold) {
  loop_.call([this, hold] {
    options_.hold_mirrors = hold;
    start_mirror();
  });
}

StreamCounters SourceSide::counters() { return channel_->stream.counters(); }

void SourceSide::broken() {
  phase_ = Phase::wanted;
  complete_ = false;
  mirror_ = {};
  mirror_.compare = MirrorOptions::Compare::content;
  save();
}

void SourceSide::start_mirror() {
  if (phase_ != Phase::wanted || link_ != LinkPhase::linked || !ready_ || options_.hold_mirrors) return;
  phase_ = Phase::starting;
  save();
  on_worker([options = mirror_](Source& source, Channel& channel) { source.mirror_start(channel, options, false); });
}

void SourceSide::mirror(const std::string& compare) {
  loop_.post([this, compare] {
    if (phase_ != Phase::idle && phase_ != Phase::wanted) return say_("mirror runs already");
    mirror_ = {};
    mirror_.compare = compare == "none"         ? MirrorOptions::Compare::none
                      : compare == "attributes" ? MirrorOptions::Compare::attributes
                                                : MirrorOptions::Compare::content;
    phase_ = Phase::wanted;
    save();
    start_mirror();
  });
}

void SourceSide::verify() {
  MirrorOptions options;
  options.compare = MirrorOptions::Compare::content;
  options.checksum = true;
  loop_.post([this, options] {
    on_worker([options](Source& source, Channel& channel) { source.mirror_start(channel, options, true); });
  });
}

void SourceSide::barrier(i64 token) {
  loop_.post([this, token] {
    waiting_.insert(token);
    pump();
  });
}

// Issues barriers when they can be reached: the mirror is complete.
void SourceSide::pump() {
  if (phase_ != Phase::idle || !complete_) return;
  for (i64 token : waiting_) {
    issued_.insert(token);
    on_worker([token](Source& source, Channel& channel) { source.barrier(channel, token); });
  }
  waiting_.clear();
}

std::string SourceSide::statistics() {
  std::string line;
  loop_.call([&] {
    static const char* const kPhases[] = {"idle", "wanted", "starting", "mirroring"};
    const SourceStatistics set = source_->statistics();
    const StreamCounters queue = channel_->stream.counters();
    const TargetFacts target = channel_->stream.target();
    line = "state=" + set.state + " capture=" + set.capture + " files=" + std::to_string(set.files) +
           " dirty=" + std::to_string(set.dirty) + " lost=" + std::to_string(set.lost) +
           " unreadable=" + std::to_string(set.unreadable) + " linked=" + (channel_->ready() ? "yes" : "no") +
           " phase=" + kPhases[static_cast<int>(phase_)] + (complete_ ? " complete" : " incomplete") +
           " mirror=" + std::to_string(channel_->counters.mirror) + " queued=" + std::to_string(queue.queued_ops) +
           " sequence=" + std::to_string(channel_->stream.last_sequence()) + " applied=" + std::to_string(target.applied) +
           " durable=" + std::to_string(target.durable) + " failed=" + std::to_string(channel_->counters.failed) +
           " memory=" + std::to_string(queue.memory) + " disk=" + std::to_string(queue.disk) +
           " behind=" + (channel_->counters.behind ? "yes" : "no") + " repairing=" + (channel_->counters.repairing ? "yes" : "no") +
           " barriers=" + std::to_string(issued_.size()) + "+" + std::to_string(waiting_.size());
  });
  return line;
}

// A mirror that was under way begins again after a restart; a complete one is believed.
void SourceSide::load() {
  std::ifstream file(options_.state_dir + "/connection");
  std::string phase, identity;
  if (!(file >> phase >> complete_ >> ever_linked_)) return;   // the first start: a mirror is wanted
  phase_ = phase == "idle" ? Phase::idle : Phase::wanted;
  if (phase_ == Phase::wanted) complete_ = false;
  while (file >> identity) root_identity_.push_back(identity);
  // A mirror that was given up is tried again.
  if (phase_ == Phase::idle && !complete_) phase_ = Phase::wanted;
}

void SourceSide::save() {
  std::string text = phase_ == Phase::idle ? "idle" : phase_ == Phase::wanted ? "wanted" : "mirroring";
  text += complete_ ? " 1" : " 0";
  text += ever_linked_ ? " 1" : " 0";
  for (const std::string& identity : root_identity_) text += "\n" + identity;
  replace_file(options_.state_dir + "/connection", text + "\n");
}

// ----------------------------------------------------------------------------------------------------------- target

TargetSide::TargetSide(TargetSideOptions options, Say say)
    : options_(std::move(options)), say_(std::move(say)), identity_(identity_of(options_.identity)) {
  make_directory(options_.state_dir);
  auto listener = Listener::open("127.0.0.1", 0, [this](Fd socket) {
    loop_.post([this, shared = std::make_shared<Fd>(std::move(socket))] {
      const i32 id = ++last_id_;
      auto link = std::make_shared<Inbound>(id, [this](Fact fact) {
        loop_.post([this, held = std::make_shared<Fact>(std::move(fact))] { this->fact(*held); });
      });
      links_.emplace(id, link);
      link->start(identity_, std::move(*shared), options_.tuning);
    });
  });
  CHECK_OK(listener);
  listener_ = std::move(*listener);
}

TargetSide::~TargetSide() {
  listener_.reset();
  loop_.end();
  for (auto& [id, link] : links_) link->stop();
}

void TargetSide::fact(const Fact& fact) {
  say_("# " + described(fact));
  const i32 id = static_cast<i32>(field<i64>(fact, "link"));
  const auto at = links_.find(id);
  if (at == links_.end()) return;
  const std::shared_ptr<Inbound> link = at->second;
  if (fact.kind == "incoming") {
    if (field<std::string>(fact, "peerKey") != options_.source_key) return link->refuse({});
    // Two appliers must never share a mark: the newer link waits for the end of the older one.
    if (const auto old = links_.find(accepted_); old != links_.end()) {
      old->second->stop();
      links_.erase(old);
    }
    ReceiverOptions receiver;
    receiver.mark_path = options_.state_dir + "/mark";
    receiver.roots = {{options_.root, ""}};
    receiver.retry_ms = 500;
    receiver.boot = options_.boot;
    receiver.tuning = options_.tuning;
    accepted_ = id;
    if (Status taken = link->accept(std::move(receiver), {}); !taken)
      say_("accept_failed " + taken.error().call + ": " + std::strerror(taken.error().code));
  } else if (fact.kind == "link_closed") {
    link->stop();
    links_.erase(id);
  }
}

std::string TargetSide::statistics() {
  std::string line = "no link";
  loop_.call([&] {
    const auto at = links_.find(accepted_);
    ReceiverStatistics now;
    bool linked = false;
    if (at == links_.end() || !at->second->statistics(now, linked)) return;
    line = std::string("linked=") + (linked ? "yes" : "no") + " batches=" + std::to_string(now.batches) +
           " operations=" + std::to_string(now.operations) + " applied=" + std::to_string(now.applied) +
           " durable=" + std::to_string(now.durable) + " queued=" + std::to_string(now.queued_bytes) +
           " failed=" + std::to_string(now.failed) + " last=" + now.last_path;
  });
  return line;
}

}  // namespace understudy::test
