// The sending half of a data link: which frame is next, its compression, its encryption, and how fast it leaves.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>

#include "compress.h"
#include "crc.h"
#include "tcp_facts.h"
#include "tls_link.h"
#include "tls_util.h"

namespace understudy {

namespace {
constexpr std::size_t kOutMax = 512u << 10;     // encrypted bytes waiting for the socket
constexpr std::size_t kReplyWorth = 1u << 10;   // bytes from which an answer is compressed
constexpr int kReplyLevel = 1;
constexpr std::size_t kWriteChunk = 64u << 10;  // plain bytes per SSL_write
constexpr i64 kReconcileNs = 20'000'000;        // how often a limited link asks the kernel what really left
}  // namespace

// Sets the socket up for a new limit: little may wait in the kernel, or a line that stood still would be followed by a
// burst above the limit.
void Link::adopt_rate(i64 now) {
  if (!options_.throttle) return;
  const u64 rate = options_.throttle->rate();
  if (rate == rate_) return;
  if (rate_ == 0) {
    // What left before was not limited; what the kernel still holds is counted as sent.
    if (const auto facts = tcp_facts(socket_.get())) {
      segments_ = facts->segments;
      charged_ = static_cast<double>(facts->left) + static_cast<double>(segments_.cost(facts->unsent));
    }
    reconciled_ns_ = now;
  }
  rate_ = rate;
  throttled_until_ = 0;
  const int low = rate == 0 ? 0 : static_cast<int>(std::clamp<u64>(rate / 20, 4'096, 64u << 20));
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof low);
}

// Corrects what was charged by what the kernel says has left: acknowledgements, small segments, retransmissions.
void Link::reconcile(i64 now) {
  if (rate_ == 0 || now - reconciled_ns_ < kReconcileNs) return;
  reconciled_ns_ = now;
  const auto facts = tcp_facts(socket_.get());
  if (!facts) return;
  segments_ = facts->segments;
  const double left = static_cast<double>(facts->left) + static_cast<double>(segments_.cost(facts->unsent));
  options_.throttle->charge(left - charged_);
  charged_ = left;
}

// Takes the next frame: what is posted first, then the stream.
bool Link::start_frame() {
  bool bulk = false;
  {
    std::lock_guard lock(mutex_);
    if (!control_.empty()) {
      frame_ = std::move(control_.front());
      control_.pop_front();
    } else if (!closing_) {
      bulk = true;
    } else {
      return false;
    }
  }
  if (bulk) return pack_frame();
  // Listings are names and numbers much alike.
  frame_.packed = frame_.type == wire::FrameType::reply && !held_ && frame_.bytes->size() >= kReplyWorth &&
                  compress_batch(kReplyLevel, frame_.bytes->data(), frame_.bytes->size(), compressed_);
  prepare();
  return true;
}

// The stream's next frame, compressed where that pays, if the budget has room for it.
bool Link::pack_frame() {
  if (!held_) {
    if (!handler_.next_frame(held_frame_)) return false;
    held_ = true;
    const Bytes& raw = *held_frame_.bytes;
    held_frame_.packed = held_frame_.type == wire::FrameType::batch &&
                         compress_batch(compression_.load(), raw.data(), raw.size(), compressed_);
  }
  const std::size_t size = held_frame_.packed ? compressed_.size() : held_frame_.bytes->size();
  if (options_.throttle) {
    if (!options_.throttle->admit(Throttle::reservation(size))) return false;
    reserved_ = Throttle::reservation(size);
  }
  held_ = false;
  frame_ = std::move(held_frame_);
  held_frame_ = {};
  prepare();
  return true;
}

void Link::prepare() {
  const Bytes& payload = frame_.packed ? compressed_ : *frame_.bytes;
  out_data_ = payload.data();
  out_header_ = {};
  out_header_.raw_length = static_cast<u32>(frame_.bytes->size());
  out_header_.type = static_cast<u8>(frame_.type);
  out_header_.version = wire::kVersion;
  if (frame_.packed) out_header_.flags = wire::kFrameCompressed;
  out_header_.length = static_cast<u32>(payload.size());
  out_header_.checksum = checksum(payload.data(), payload.size());
  out_length_ = sizeof out_header_ + payload.size();
  out_position_ = 0;
  writing_ = true;
}

// Encrypts until the outgoing buffer is full or nothing is left to send. True when something was encrypted.
bool Link::fill() {
  bool moved = false;
  // A limited link encrypts little ahead, in records small enough that the other side hears of us often.
  const std::size_t ahead = rate_ == 0 ? kOutMax : std::min<std::size_t>(kOutMax, Throttle::ahead(rate_));
  const std::size_t piece = rate_ == 0 ? kWriteChunk : std::clamp<std::size_t>(Throttle::ahead(rate_) / 2, 1'024, kWriteChunk);
  while (out_.size() - out_at_ < ahead) {
    if (!writing_ && !start_frame()) break;
    const u8* from;
    std::size_t count;
    u8 joined[4096];
    if (out_position_ < sizeof out_header_) {
      // The header travels with the payload's first bytes, so that a small frame is one record.
      const std::size_t more = std::min(out_length_ - sizeof out_header_, std::min(piece, sizeof joined) - sizeof out_header_);
      std::memcpy(joined, &out_header_, sizeof out_header_);
      std::memcpy(joined + sizeof out_header_, out_data_, more);
      from = joined;
      count = sizeof out_header_ + more;
    } else {
      from = out_data_ + (out_position_ - sizeof out_header_);
      count = std::min<std::size_t>(out_length_ - out_position_, piece);
    }
    if (out_at_ == out_.size()) out_.clear(), out_at_ = 0;
    if (SSL_write(ssl_, from, static_cast<int>(count)) <= 0) {
      const SysError error = tls_error("SSL_write");
      std::lock_guard lock(mutex_);
      closing_ = true;
      close_reason_ = error;
      writing_ = false;
      control_.clear();
      return moved;
    }
    out_position_ += count;
    moved = true;
    if (out_position_ == out_length_) {
      writing_ = false;
      if (reserved_ > 0) options_.throttle->release(reserved_);
      reserved_ = 0;
      handler_.on_sent(frame_, out_length_);
      frame_.bytes.reset();
    }
  }
  return moved;
}

Status Link::flush(bool& progressed) {
  const i64 now = rate_ == 0 ? 0 : monotonic_ns();
  if (rate_ != 0) reconcile(now);
  while (out_at_ < out_.size()) {
    std::size_t size = out_.size() - out_at_;
    Throttle::Grant grant;
    if (rate_ != 0) {
      grant = options_.throttle->ask(now, size, segments_);
      throttled_until_ = grant.bytes == 0 ? now + grant.wait_ns : 0;
      if (grant.bytes == 0) break;
      size = std::min<std::size_t>(size, grant.bytes);
    }
    const ssize_t sent = ::send(socket_.get(), out_.data() + out_at_, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (rate_ != 0) {
      const double cost = sent > 0 ? static_cast<double>(segments_.cost(static_cast<u64>(sent))) : 0;
      options_.throttle->charge(cost - grant.taken);
      charged_ += cost;
    }
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      return sys_error("send");
    }
    out_at_ += static_cast<std::size_t>(sent);
    wire_bytes_ += static_cast<u64>(sent);
    progressed = true;
  }
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
  } else if (out_at_ > kOutMax) {
    std::memmove(out_.data(), out_.data() + out_at_, out_.size() - out_at_);
    out_.resize(out_.size() - out_at_);
    out_at_ = 0;
  }
  return ok();
}

}  // namespace understudy
