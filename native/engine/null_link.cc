#include "null_link.h"

#include <pthread.h>

#include "batch_reader.h"
#include "compress.h"

namespace understudy {

namespace {
constexpr u32 kMappingsMax = 0x1'0000;   // whatever the set has
}

NullLink::NullLink(LinkHandler& handler, int compression) : handler_(handler), compression_(compression) {
  thread_ = std::thread([this] { run(); });
}

NullLink::~NullLink() {
  close({ECANCELED, "close"});
  thread_.join();
}

bool NullLink::post(wire::FrameType type, Bytes payload) {
  if (type != wire::FrameType::hello) return true;   // There is nobody to read it.
  {
    std::lock_guard lock(mutex_);
    hellos_.push_back(std::move(payload));
    woken_ = true;
  }
  wake_.notify_one();
  return true;
}

void NullLink::wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_one();
}

void NullLink::close(SysError why, bool) {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    reason_ = std::move(why);
  }
  wake_.notify_one();
}

void NullLink::run() {
  ::pthread_setname_np(::pthread_self(), "us-tdu");
  up_ = true;
  handler_.on_up({});
  for (;;) {
    Bytes hello;
    {
      std::unique_lock lock(mutex_);
      if (closing_) break;
      if (!hellos_.empty()) {
        hello = std::move(hellos_.front());
        hellos_.pop_front();
      }
      woken_ = false;
    }
    if (!hello.empty()) welcome(hello);
    OutFrame frame;
    if (handler_.next_frame(frame)) {
      take(frame);
      continue;
    }
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return woken_ || closing_; });
  }
  up_ = false;
  handler_.on_down(reason_);
}

// Holds whatever it was told, as far as anybody can say.
void NullLink::welcome(const Bytes& hello) {
  wire::StreamPosition position{};
  if (hello.size() < sizeof position) return;
  std::memcpy(&position, hello.data(), sizeof position);
  position.durable = position.applied;
  position.boot = 1;
  position.flags = 0;
  position.applied_ops = 0;
  Bytes payload;
  payload.append(&position, sizeof position);
  handler_.on_frame(wire::FrameType::welcome, std::move(payload));
}

void NullLink::take(OutFrame& frame) {
  const Bytes& raw = *frame.bytes;
  frame.packed = compress_batch(compression_, raw.data(), raw.size(), compressed_);
  const u64 bytes = sizeof(wire::FrameHeader) + (frame.packed ? compressed_.size() : raw.size());
  wire_bytes_ += bytes;
  handler_.on_sent(frame, bytes);
  auto reader = BatchReader::open(raw.data(), raw.size(), kMappingsMax);
  if (!reader) return close(reader.error());
  OpView op;
  while (reader->next(op)) {
    written_ += op.data.size();
    answer(op.header);
  }
  wire::Ack ack{};
  ack.applied = ack.durable = frame.tag;
  ack.written_bytes = written_;
  ack.applied_ns = reader->header().sent_ns;
  Bytes payload;
  payload.append(&ack, sizeof ack);
  handler_.on_frame(wire::FrameType::ack, std::move(payload));
}

void NullLink::answer(const wire::OpHeader& op) {
  wire::ReplyHeader reply{};
  switch (static_cast<wire::OpKind>(op.kind)) {
    case wire::OpKind::manifest: reply.kind = static_cast<u8>(wire::Reply::manifest); break;
    case wire::OpKind::hashes: reply.kind = static_cast<u8>(wire::Reply::hashes); break;
    case wire::OpKind::digest: reply.kind = static_cast<u8>(wire::Reply::digest); break;
    default: return;
  }
  reply.flags = wire::kReplyLast;
  reply.error = ENOENT;
  reply.id = op.id;
  Bytes payload;
  payload.append(&reply, sizeof reply);
  handler_.on_frame(wire::FrameType::reply, std::move(payload));
}

}  // namespace understudy
