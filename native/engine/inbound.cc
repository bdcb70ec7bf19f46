#include "inbound.h"

namespace understudy {

void Inbound::start(std::shared_ptr<TlsIdentity> identity, Fd socket, std::shared_ptr<Tuning> tuning) {
  LinkOptions options;
  options.tuning = std::move(tuning);
  std::lock_guard lock(mutex_);
  link_ = Link::serve(std::move(identity), std::move(socket), *this, std::move(options));
}

Status Inbound::accept(ReceiverOptions options, const Bytes& welcome) {
  if (phase_ != 1) return SysError{EINVAL, "accept: no hello is waiting"};
  mark_path_ = options.mark_path;
  options.hold_acks = true;   // Behind `welcome`, or the source would take them for another stream's.
  options.on_task = [this](u64 ticket, Bytes task, bool ready) {
    tell_(Fact("receiver_task").with("link", i64{id_}).with("ticket", static_cast<i64>(ticket))
              .with("payload", std::move(task)).flag("ready", ready));
  };
  auto post = [this](wire::FrameType type, Bytes payload) {
    std::lock_guard lock(mutex_);
    if (link_) link_->post(type, std::move(payload));
  };
  auto report = [this](const char* kind, std::string detail, SysError error) {
    tell_(Fact("receiver_report").with("link", i64{id_}).with("what", std::string(kind)).with("detail", std::move(detail)).error(error));
  };
  Result<std::unique_ptr<Receiver>> receiver = Receiver::open(std::move(options), post, report);
  if (!receiver) {
    close(receiver.error());
    return receiver.error();
  }
  std::shared_ptr<Receiver> shared(std::move(*receiver));
  shared->on_room([this] {
    std::lock_guard lock(mutex_);
    if (link_) link_->wake();
  });
  const wire::StreamPosition position = shared->position(hello_);
  Bytes payload;
  payload.append(&position, sizeof position);
  payload.append(welcome.data(), welcome.size());
  {
    std::lock_guard lock(mutex_);
    receiver_ = shared;
    phase_ = 2;
    if (!link_) return ok();
    link_->trust();
    link_->post(wire::FrameType::welcome, std::move(payload));
  }
  shared->announce(position.stream == hello_.stream ? hello_.durable : 0);
  std::lock_guard lock(mutex_);
  if (link_) link_->wake();
  return ok();
}

void Inbound::refuse(Bytes payload) {
  std::lock_guard lock(mutex_);
  if (!link_) return;
  link_->post(wire::FrameType::refuse, std::move(payload));
  link_->close({ECONNREFUSED, "refused by the control plane"});
}

bool Inbound::send_message(Bytes payload) {
  std::lock_guard lock(mutex_);
  return link_ && link_->up() && link_->post(wire::FrameType::message, std::move(payload));
}

void Inbound::close(SysError why) {
  std::lock_guard lock(mutex_);
  if (link_) link_->close(std::move(why));
}

void Inbound::stop() {
  std::unique_ptr<Link> link;
  std::shared_ptr<Receiver> receiver;
  {
    std::lock_guard lock(mutex_);
    link = std::move(link_);
    receiver = receiver_;
  }
  link.reset();   // Joins its thread: no frame comes after this.
  if (receiver) receiver->close();
}

void Inbound::pause(bool paused) {
  std::shared_ptr<Receiver> receiver;
  {
    std::lock_guard lock(mutex_);
    receiver = receiver_;
  }
  if (receiver) receiver->pause(paused);   // It acknowledges, which takes the lock.
}

void Inbound::task_done(u64 ticket) {
  std::lock_guard lock(mutex_);
  if (receiver_) receiver_->task_done(ticket);
}

void Inbound::ignore_deletes(bool ignore) {
  std::lock_guard lock(mutex_);
  if (receiver_) receiver_->set_ignore_deletes(ignore);
}

void Inbound::orphans(OrphanOptions orphans) {
  std::lock_guard lock(mutex_);
  if (receiver_) receiver_->set_orphans(std::move(orphans));
}

bool Inbound::statistics(ReceiverStatistics& out, bool& linked) const {
  std::lock_guard lock(mutex_);
  if (!receiver_) return false;
  out = receiver_->statistics();
  linked = link_ && link_->up();
  return true;
}

void Inbound::on_up(const std::string& peer_key) { peer_key_ = peer_key; }

void Inbound::on_frame(wire::FrameType type, Bytes payload) {
  if (phase_ == 0) {
    if (type != wire::FrameType::hello || payload.size() < sizeof hello_) return close({EPROTO, "the first frame is not hello"});
    std::memcpy(&hello_, payload.data(), sizeof hello_);
    Bytes rest;
    rest.append(payload.data() + sizeof hello_, payload.size() - sizeof hello_);
    std::string address;
    {
      std::lock_guard lock(mutex_);
      if (link_) address = link_->address();
    }
    phase_ = 1;
    tell_(Fact("incoming").with("link", i64{id_}).with("peerKey", peer_key_).with("address", address).with("hello", std::move(rest)));
    return;
  }
  if (type == wire::FrameType::batch && phase_ == 2) {
    std::shared_ptr<Receiver> receiver;
    {
      std::lock_guard lock(mutex_);
      receiver = receiver_;
    }
    Status taken = receiver->receive(std::move(payload));
    if (taken) return;
    std::lock_guard lock(mutex_);
    if (!link_) return;
    // Sent again it would be as wrong: the source has to end its stream.
    if (taken.error().code == EBADMSG) {
      Bytes reason;
      reason.append(taken.error().call.data(), taken.error().call.size());
      link_->post(wire::FrameType::invalid, std::move(reason));
    }
    link_->close(taken.error());
    return;
  }
  if (type == wire::FrameType::taken && phase_ == 2) {
    u64 id = 0;
    if (payload.size() != sizeof id) return;
    std::memcpy(&id, payload.data(), sizeof id);
    std::shared_ptr<Receiver> receiver;
    {
      std::lock_guard lock(mutex_);
      receiver = receiver_;
    }
    receiver->refusals_taken(id);
    return;
  }
  if (type == wire::FrameType::message) {
    tell_(Fact("link_message").with("link", i64{id_}).with("payload", std::move(payload)));
    return;
  }
  if (type == wire::FrameType::hello || type == wire::FrameType::batch) close({EPROTO, "frame out of turn"});
}

bool Inbound::wants_frames() {
  if (phase_ == 1) return false;   // Nothing more before the control plane has answered.
  if (phase_ == 0) return true;
  std::shared_ptr<Receiver> receiver;
  {
    std::lock_guard lock(mutex_);
    receiver = receiver_;
  }
  return receiver->has_room();
}

void Inbound::on_heartbeat(i64 round_trip_ns, u32 missed) {
  if (phase_ != 2) return;   // Nobody we know yet.
  tell_(Fact("link_heartbeat").with("link", i64{id_}).with("roundTripUs", round_trip_ns / 1'000).with("missed", i64{missed}));
}

void Inbound::on_down(const SysError& error) { tell_(Fact("link_closed").with("link", i64{id_}).error(error)); }

}  // namespace understudy
