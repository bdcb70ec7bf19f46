// A receiver with everything it sends and reports collected.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ops.h"
#include "receiver.h"

namespace understudy::test {

struct SentReply {
  wire::ReplyHeader header;
  std::string body;
};

class Link {
 public:
  Scratch scratch;
  ReceiverOptions options;
  std::unique_ptr<Receiver> receiver;
  u64 sequence = 0;

  explicit Link(u32 mappings = 1) {
    options.mark_path = scratch / "mark";
    for (u32 i = 0; i < mappings; ++i) options.roots.push_back({scratch / ("root" + std::to_string(i)), ""});
    options.retry_ms = 20;
    options.checkpoint_ms = 50;
  }
  ~Link() { receiver.reset(); }
  std::string operator/(const std::string& name) const { return options.roots[0].path + "/" + name; }

  wire::StreamPosition open(u64 stream = 1) {
    receiver.reset();   // it holds the mark
    forget_acks();
    auto opened = Receiver::open(
        options, [this](wire::FrameType type, Bytes payload) { sent(type, payload); },
        [this](const char* kind, std::string detail, SysError error) {
          std::lock_guard lock(mutex_);
          reports_.push_back(std::string(kind) + " " + detail + " " + std::to_string(error.code));
          changed_.notify_all();
        });
    CHECK_OK(opened);
    receiver = std::move(*opened);
    wire::StreamPosition hello{};
    hello.stream = stream;
    const wire::StreamPosition position = receiver->position(hello);
    sequence = position.applied;
    return position;
  }

  Status send(std::initializer_list<Op> ops) { return receiver->receive(batch_of(++sequence, ops)); }
  // ... and waits until it is applied.
  void must(std::initializer_list<Op> ops) {
    CHECK_OK(send(ops));
    wait_applied(sequence);
  }
  void wait_applied(u64 wanted) {
    wait("applied", [&] { return ack_.applied >= wanted; });
  }
  void wait_durable(u64 wanted) {
    wait("durable", [&] { return ack_.durable >= wanted; });
  }
  void wait_flags(u32 flags) {
    wait("flags", [&] { return (ack_.flags & flags) == flags; });
  }
  void wait_report(const std::string& begins) {
    wait(begins.c_str(), [&] {
      for (const std::string& one : reports_) {
        if (one.compare(0, begins.size(), begins) == 0) return true;
      }
      return false;
    });
  }
  // All replies to one request, the last with kReplyLast.
  std::vector<SentReply> wait_replies(u64 id) {
    std::vector<SentReply> found;
    wait("reply", [&] {
      found.clear();
      for (const SentReply& reply : replies_) {
        if (reply.header.id != id || reply.header.kind == static_cast<u8>(wire::Reply::nak)) continue;
        found.push_back(reply);
        if (reply.header.flags & wire::kReplyLast) return true;
      }
      return false;
    });
    return found;
  }
  std::vector<SentReply> naks() {
    std::lock_guard lock(mutex_);
    std::vector<SentReply> found;
    for (const SentReply& reply : replies_) {
      if (reply.header.kind == static_cast<u8>(wire::Reply::nak)) found.push_back(reply);
    }
    return found;
  }
  wire::Ack ack() {
    std::lock_guard lock(mutex_);
    return ack_;
  }
  std::vector<std::string> reports() {
    std::lock_guard lock(mutex_);
    return reports_;
  }
  void forget_acks() {
    std::lock_guard lock(mutex_);
    ack_ = {};
    acks_ = 0;
  }
  u64 acks() {
    std::lock_guard lock(mutex_);
    return acks_;
  }
  void wait(const char* what, const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), condition)) {
      for (const std::string& one : reports_) std::fprintf(stderr, "report: %s\n", one.c_str());
      failed(__FILE__, __LINE__, std::string("waited in vain for ") + what);
    }
  }

 private:
  void sent(wire::FrameType type, const Bytes& payload) {
    std::lock_guard lock(mutex_);
    if (type == wire::FrameType::ack) {
      CHECK_EQUAL(payload.size(), sizeof ack_);
      std::memcpy(&ack_, payload.data(), sizeof ack_);
      ++acks_;
      CHECK(ack_.durable <= ack_.applied);
    } else if (type == wire::FrameType::reply) {
      SentReply reply;
      CHECK(payload.size() >= sizeof reply.header);
      std::memcpy(&reply.header, payload.data(), sizeof reply.header);
      reply.body.assign(reinterpret_cast<const char*>(payload.data()) + sizeof reply.header,
                        payload.size() - sizeof reply.header);
      replies_.push_back(std::move(reply));
    } else {
      failed(__FILE__, __LINE__, "unexpected frame");
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  wire::Ack ack_{};
  u64 acks_ = 0;
  std::vector<SentReply> replies_;
  std::vector<std::string> reports_;
};

}  // namespace understudy::test
