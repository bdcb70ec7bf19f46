#include "channel.h"

#include "null_link.h"
#include "source.h"
#include "state_file.h"

namespace understudy {

namespace {
constexpr u64 kWindow = 48u << 20;   // bytes sent and not yet applied by the target
constexpr u64 kApartBytesMax = 64u << 20;
constexpr std::size_t kReasonMax = 200;   // characters kept of what a target says
}

Channel::Channel(Source& source, ChannelOptions options, std::shared_ptr<TlsIdentity> identity, Tell tell)
    : stream(options.budget ? options.budget : std::make_shared<QueueBudget>(u64{128} << 20), options.queue, options.tuning), source_(source), options_(std::move(options)), identity_(std::move(identity)),
      tell_(std::move(tell)), linking_(options_.linking), compression_(options_.compression) {
  if (!options_.throttle) options_.throttle = std::make_shared<Throttle>();
  replicating = options_.replication;
  counters.replicating = replicating;
  writer.begin();
  if (options_.state_dir.empty()) return;
  if (Result<Bytes> kept = read_file(apart_path(), kApartBytesMax)) {
    const std::size_t count = kept->size() / sizeof(std::pair<u32, u32>);
    for (std::size_t i = 0; i < count; ++i) {
      u32 pair[2];
      std::memcpy(pair, kept->data() + i * sizeof pair, sizeof pair);
      apart.emplace(pair[0], pair[1]);
    }
  }
}

// What cannot be kept costs a mirror at the next start: until a link is refused again, changes would go to one file only.
void Channel::learn_apart(u32 one, u32 other) {
  if (!apart.insert(std::minmax(one, other)).second) return;
  std::string kept;
  for (const auto& [a, b] : apart) {
    const u32 pair[2] = {a, b};
    kept += view_of(pair);
  }
  if (!replace_file(apart_path(), {kept})) note_missed();
}

Channel::~Channel() { disconnect(); }

void Channel::connect() {
  disconnect();
  if (!linking_) return;
  LinkOptions link;
  link.compression = compression_;
  link.throttle = options_.throttle;
  link.tuning = options_.tuning;
  link.expected_key = options_.peer_key;
  {
    std::lock_guard lock(life_mutex_);
    ++epoch_;
    dead_ = false;
  }
  std::lock_guard lock(link_mutex_);
  if (options_.simulated) link_ = std::make_unique<NullLink>(*this, compression_);
  else link_ = Link::connect(identity_, options_.host, options_.port, *this, link);
}

void Channel::disconnect(bool now) {
  std::unique_ptr<Road> old;
  {
    std::lock_guard lock(link_mutex_);
    old = std::move(link_);
    if (old) wire_before_ += old->wire_bytes();
  }
  ready_ = false;
  if (old) old->close({ECANCELED, "close"}, now);
  old.reset();   // Joins; on_down may still report.
  stream.link_lost();
}

bool Channel::send_message(Bytes payload) {
  std::lock_guard lock(link_mutex_);
  return link_ && link_->up() && link_->post(wire::FrameType::message, std::move(payload));
}

void Channel::set_paused(bool paused) {
  paused_ = paused;
  wake_link();
  source_.wake();   // What was kept back for fuller batches goes now.
}

void Channel::set_linking(bool on) {
  linking_ = on;
  if (!on) disconnect(true);
}

void Channel::set_compression(int level) {
  compression_ = level;
  std::lock_guard lock(link_mutex_);
  if (link_) link_->set_compression(level);
}

i64 Channel::quiet_ms() const {
  std::lock_guard lock(link_mutex_);
  return link_ && link_->up() ? (monotonic_ns() - link_->last_heard_ns()) / 1'000'000 : -1;
}

u64 Channel::wire_bytes() const {
  std::lock_guard lock(link_mutex_);
  return wire_before_ + (link_ ? link_->wire_bytes() : 0);
}

std::string Channel::last_path() const {
  std::lock_guard lock(path_mutex_);
  return last_path_;
}

void Channel::set_last_path(const std::string& path) {
  std::lock_guard lock(path_mutex_);
  last_path_ = path;
}

void Channel::confirm_refusals() {
  const u64 taken = stream.refusals_taken();
  if (taken == refusals_confirmed) return;
  refusals_confirmed = taken;
  if (taken == 0) return;   // a new stream
  Bytes payload(sizeof taken);
  payload.append(&taken, sizeof taken);
  std::lock_guard lock(link_mutex_);
  if (link_ && link_->up()) link_->post(wire::FrameType::taken, std::move(payload));
}

void Channel::wake_link() {
  std::lock_guard lock(link_mutex_);
  if (link_) link_->wake();
}

void Channel::on_up(const std::string&) {
  const wire::StreamPosition position = stream.hello();
  Bytes hello;
  hello.append(&position, sizeof position);
  hello.append(options_.hello.data(), options_.hello.size());
  std::lock_guard lock(link_mutex_);
  if (link_) link_->post(wire::FrameType::hello, std::move(hello));
}

void Channel::on_frame(wire::FrameType type, Bytes payload) {
  switch (type) {
    case wire::FrameType::welcome: {
      wire::StreamPosition position;
      if (payload.size() < sizeof position) return;
      std::memcpy(&position, payload.data(), sizeof position);
      auto rest = std::make_shared<Bytes>();
      rest->append(payload.data() + sizeof position, payload.size() - sizeof position);
      u64 epoch;
      {
        std::lock_guard lock(life_mutex_);
        epoch = epoch_;
      }
      source_.run([this, epoch, position, rest] {
        if (attached) source_.on_welcome(*this, epoch, position, std::move(*rest));
      });
      return;
    }
    case wire::FrameType::refuse:
      tell_(Fact("link_refused").with("connection", i64{options_.id}).with("payload", std::move(payload)));
      return;
    case wire::FrameType::ack: {
      wire::Ack ack;
      if (payload.size() != sizeof ack) return;
      std::memcpy(&ack, payload.data(), sizeof ack);
      const bool room = stream.acknowledge(ack);
      if (const bool held = mirror_held(); held != held_told_) {
        held_told_ = held;
        tell_(Fact(held ? "mirror_held" : "mirror_released").with("connection", i64{options_.id}));
      }
      if (room || acks_matter) source_.wake();
      return;
    }
    case wire::FrameType::reply: {
      wire::ReplyHeader head;
      if (payload.size() >= sizeof head) {
        std::memcpy(&head, payload.data(), sizeof head);
        // Here already: an acknowledgement behind it must not forget what was told since.
        if (head.kind == static_cast<u8>(wire::Reply::nak)) stream.refused(head.arg0);
      }
      auto frame = std::make_shared<Bytes>(std::move(payload));
      ++replies_pending;
      source_.run([this, frame, id = stream.id()] { source_.keep_reply(*this, id, frame); });
      return;
    }
    case wire::FrameType::invalid: {
      const std::string why = "the target finds a batch invalid: " + std::string(view(payload).substr(0, kReasonMax));
      source_.run([this, why, id = stream.id()] {
        if (attached && id == stream.id()) source_.channel_broken(*this, why.c_str());
      });
      return;
    }
    case wire::FrameType::message:
      tell_(Fact("message").with("connection", i64{options_.id}).with("payload", std::move(payload)));
      return;
    default:
      return;   // A newer peer may know more; what we do not know we ignore.
  }
}

bool Channel::next_frame(OutFrame& frame) {
  if (!ready_ || paused_ || !linking_) return false;
  StreamBatch batch = stream.take(kWindow);
  if (!batch.bytes) {
    if (stream.damaged()) source_.wake();   // It sees to it.
    return false;
  }
  frame.type = wire::FrameType::batch;
  frame.bytes = batch.bytes;
  frame.tag = batch.sequence;
  sending_ = std::move(batch);
  return true;
}

void Channel::on_sent(const OutFrame& frame, u64 wire_bytes) {
  if (frame.type != wire::FrameType::batch) return;
  // TRN-44: what travels as it is counts the same in both.
  stream.sent(sending_, frame.packed ? wire_bytes : sending_.data_bytes);
  sending_ = {};
}

void Channel::on_heartbeat(i64 round_trip_ns, u32 missed) {
  tell_(Fact("heartbeat").with("connection", i64{options_.id}).with("roundTripUs", round_trip_ns / 1'000).with("missed", i64{missed}));
}

bool Channel::arrived(u64 epoch, bool send, Fact told) {
  {
    std::lock_guard lock(life_mutex_);
    if (epoch != epoch_ || dead_) return false;
    if (send) ready_ = true;
    tell_(std::move(told));
  }
  wake_link();
  return true;
}

void Channel::on_down(const SysError& error) {
  std::lock_guard lock(life_mutex_);
  dead_ = true;
  ready_ = false;
  stream.link_lost();
  source_.wake();   // What it holds itself back for may be different now.
  if (error.code != ECANCELED) tell_(Fact("link_down").with("connection", i64{options_.id}).error(error));
}

}  // namespace understudy
