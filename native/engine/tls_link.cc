#include "tls_link.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>

#include "compress.h"
#include "crc.h"
#include "sockets.h"
#include "tls_util.h"

namespace understudy {

namespace {

constexpr std::size_t kReadChunk = 256u << 10;
constexpr i64 kRestNs = 10'000'000'000;         // after that its buffers are given back
constexpr std::size_t kControlMax = 65'536;
constexpr u32 kLookEvery = 8;                   // rounds of sending alone between two looks for something to read
constexpr i64 kWaitNs = 500'000'000;            // between two looks at what no descriptor tells
constexpr i64 kAbsentNs = 2 * kWaitNs;          // between two looks: this process stood still, or the whole machine
constexpr i64 kStrangerPatienceNs = 30'000'000'000;
constexpr i64 kPeerEveryMinNs = 200'000'000;    // nobody makes us send heartbeats more often
constexpr u32 kNoHeartbeatTimeoutMs = 20'000;   // without heartbeats the kernel judges a line that takes nothing
constexpr i64 kKernelSlackMs = 2'000;           // the kernel gives up later than we do, so that we say why
constexpr i64 kUserTimeoutMaxMs = 86'400'000;

}  // namespace

// The TLS engine reads and writes our own buffers, so that one system call moves many records.
int link_bio_write(BIO* bio, const char* data, int size) {
  auto* link = static_cast<Link*>(BIO_get_data(bio));
  link->out_.append(data, static_cast<std::size_t>(size));
  // Counted before the frame's reservation is given back, so that the budget is never seen larger than it is.
  if (link->options_.throttle) link->options_.throttle->spend(static_cast<u64>(size));
  return size;
}

int link_bio_read(BIO* bio, char* data, int size) {
  auto* link = static_cast<Link*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t have = link->in_.size() - link->in_at_;
  if (have == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t take = std::min(have, static_cast<std::size_t>(size));
  std::memcpy(data, link->in_.data() + link->in_at_, take);
  link->in_at_ += take;
  return static_cast<int>(take);
}

namespace {

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* bio_method() {
  static BIO_METHOD* method = [] {
    BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "understudy link");
    BIO_meth_set_write(fresh, link_bio_write);
    BIO_meth_set_read(fresh, link_bio_read);
    BIO_meth_set_ctrl(fresh, bio_control);
    return fresh;
  }();
  return method;
}

}  // namespace

Link::Link(std::shared_ptr<TlsIdentity> identity, LinkHandler& handler, LinkOptions options)
    : identity_(std::move(identity)), handler_(handler), options_(std::move(options)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), compression_(options_.compression) {}

std::unique_ptr<Link> Link::connect(std::shared_ptr<TlsIdentity> identity, std::string host, u16 port,
                                    LinkHandler& handler, LinkOptions options) {
  std::unique_ptr<Link> link(new Link(std::move(identity), handler, std::move(options)));
  link->host_ = std::move(host);
  link->port_ = port;
  link->trusted_ = true;   // The pinned key is checked before the first frame.
  link->thread_ = std::thread([raw = link.get()] { raw->run(); });
  return link;
}

std::unique_ptr<Link> Link::serve(std::shared_ptr<TlsIdentity> identity, Fd socket, LinkHandler& handler,
                                  LinkOptions options) {
  std::unique_ptr<Link> link(new Link(std::move(identity), handler, std::move(options)));
  link->server_ = true;
  link->socket_ = std::move(socket);
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(link->socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0)
    link->address_ = address_text(reinterpret_cast<sockaddr*>(&peer), size);
  link->thread_ = std::thread([raw = link.get()] { raw->run(); });
  return link;
}

Link::~Link() {
  close({ECANCELED, "close"});
  if (thread_.joinable()) thread_.join();
  if (ssl_ != nullptr) SSL_free(ssl_);
}

bool Link::post(wire::FrameType type, Bytes payload) {
  {
    std::lock_guard lock(mutex_);
    if (control_.size() >= kControlMax) return false;
    control_.push_back({type, std::make_shared<const Bytes>(std::move(payload)), 0});
  }
  wake();
  return true;
}

void Link::wake() {
  const u64 one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void Link::close(SysError why, bool now) {
  {
    std::lock_guard lock(mutex_);
    if (!closing_) close_reason_ = std::move(why);
    closing_ = true;
    close_now_ |= now;
  }
  wake();
}

void Link::run() {
  Status status = open_socket();
  if (status) status = start_tls();
  if (status) status = loop();
  up_ = false;
  if (options_.throttle && reserved_ > 0) options_.throttle->release(reserved_);
  bool now;
  {
    std::lock_guard lock(mutex_);   // Whoever closes may do so while this ends by itself.
    now = close_now_;
  }
  if (now && socket_) {
    // What waits in the kernel's buffer must not leave any more: a reset drops it, where a plain close would send it.
    const linger drop{1, 0};
    if (writing_ || out_at_ < out_.size()) ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
  }
  socket_.reset();
  handler_.on_down(status ? SysError{ECONNRESET, "link"} : status.error());
}

Status Link::open_socket() {
  const u32 window = options_.tuning->window;
  if (server_) {
    tune_socket(socket_.get(), window);
    ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
    return ok();
  }
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  const int failed = ::getaddrinfo(host_.c_str(), std::to_string(port_).c_str(), &hints, &list);
  if (failed != 0) return SysError{EHOSTUNREACH, std::string("getaddrinfo: ") + ::gai_strerror(failed)};
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  SysError last{EHOSTUNREACH, "connect"};
  const std::string local = options_.tuning->local_address();
  for (addrinfo* each = list; each != nullptr; each = each->ai_next) {
    Fd fd(::socket(each->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) continue;
    tune_socket(fd.get(), window);
    if (!local.empty())
      if (Status bound = bind_to(fd.get(), local, each->ai_family); !bound) {
        last = bound.error();
        continue;
      }
    if (::connect(fd.get(), each->ai_addr, each->ai_addrlen) != 0 && errno != EINPROGRESS) {
      last = sys_error("connect");
      continue;
    }
    const i64 deadline = monotonic_ns() + i64{options_.connect_timeout_ms} * 1'000'000;
    for (;;) {
      {
        std::lock_guard lock(mutex_);
        if (closing_) return close_reason_;
      }
      const i64 left_ms = (deadline - monotonic_ns()) / 1'000'000;
      if (left_ms <= 0) {
        last = {ETIMEDOUT, "connect"};
        break;
      }
      if (Status waited = wait_socket(fd.get(), POLLOUT, static_cast<u32>(left_ms), wake_.get()); !waited) {
        last = waited.error();
        break;
      }
      u64 drop;
      (void)!::read(wake_.get(), &drop, sizeof drop);
      pollfd now{fd.get(), POLLOUT, 0};
      if (::poll(&now, 1, 0) <= 0) continue;
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) {
        last = {error, "connect"};
        break;
      }
      address_ = address_text(each->ai_addr, each->ai_addrlen);
      socket_ = std::move(fd);
      return ok();
    }
  }
  return last;
}

Status Link::start_tls() {
  ssl_ = SSL_new(server_ ? identity_->server() : identity_->client());
  if (ssl_ == nullptr) return tls_error("SSL_new");
  BIO* bio = BIO_new(bio_method());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  if (server_) SSL_set_accept_state(ssl_);
  else SSL_set_connect_state(ssl_);
  const i64 deadline = monotonic_ns() + i64{options_.connect_timeout_ms} * 1'000'000;
  for (;;) {
    const int done = SSL_do_handshake(ssl_);
    const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_, done);
    SysError refused = done != 1 && why != SSL_ERROR_WANT_READ ? tls_error("TLS handshake") : SysError{};
    bool progressed = false;
    while (out_at_ < out_.size()) {
      if (Status sent = flush(progressed); !sent) return sent;
      if (out_at_ < out_.size())
        if (Status waited = wait_socket(socket_.get(), POLLOUT, 1'000, wake_.get()); !waited) return waited;
    }
    if (done == 1) break;
    if (why != SSL_ERROR_WANT_READ) return refused;
    {
      std::lock_guard lock(mutex_);
      if (closing_) return close_reason_;
    }
    const i64 left_ms = (deadline - monotonic_ns()) / 1'000'000;
    if (left_ms <= 0) return SysError{ETIMEDOUT, "TLS handshake"};
    if (Status read = drain(progressed); !read) return read;
    if (in_at_ == in_.size()) {
      if (Status waited = wait_socket(socket_.get(), POLLIN, static_cast<u32>(left_ms), wake_.get()); !waited)
        return SysError{ETIMEDOUT, "TLS handshake"};
      u64 drop;
      (void)!::read(wake_.get(), &drop, sizeof drop);
    }
  }
  X509* certificate = SSL_get1_peer_certificate(ssl_);
  if (certificate == nullptr) return SysError{EACCES, "peer showed no certificate"};
  const std::string key = key_digest(certificate);
  X509_free(certificate);
  if (!options_.expected_key.empty() && key != options_.expected_key)
    return SysError{EACCES, "peer key " + key + " is not the pinned one"};
  last_heard_ = monotonic_ns();
  up_ = true;
  handler_.on_up(key);
  return ok();
}

Status Link::loop() {
  attentive_ns_ = looked_ns_ = monotonic_ns();
  for (;;) {
    bool progressed = false;
    {
      std::lock_guard lock(mutex_);
      if (closing_) {
        const i64 now = monotonic_ns();
        if (close_ns_ == 0) close_ns_ = now + 1'000'000'000;
        if (close_now_ && (writing_ || out_at_ < out_.size())) return close_reason_;
        if ((control_.empty() && !writing_ && out_at_ == out_.size()) || now > close_ns_) return close_reason_;
      }
    }
    adopt_rate(monotonic_ns());
    adopt_patience();
    if (fill()) progressed = true;
    if (Status sent = flush(progressed); !sent) return sent;
    const bool reading = handler_.wants_frames();
    if (reading) {
      // Asked only where something may have come; while we send without a pause, now and then.
      if (readable_ || ++sends_ % kLookEvery == 0)
        if (Status read = drain(progressed); !read) return read;
      if (Status taken = take_frames(progressed); !taken) return taken;
    }
    const i64 now = monotonic_ns();
    // Silence counts only while we run and listen: who was stopped itself, or holds the peer back by its full queue, has
    // heard nothing because of that.
    if (!reading || now - looked_ns_ > kAbsentNs) attentive_ns_ = now;
    looked_ns_ = now;
    if (Status alive = keep_alive(now); !alive) return alive;
    if (out_.size() > kQuietChunk || in_.size() > kQuietChunk) busy_ns_ = now;
    if (progressed) continue;
    if (now - busy_ns_ > kRestNs) give_back();
    const i64 paused = throttled_until_ - monotonic_ns();
    const bool wants_out = out_at_ < out_.size() && paused <= 0;
    pollfd polls[2] = {{socket_.get(), static_cast<short>((reading ? POLLIN : 0) | (wants_out ? POLLOUT : 0)), 0},
                       {wake_.get(), POLLIN, 0}};
    const i64 look = std::clamp<i64>(next_look_ns_ - monotonic_ns(), 0, kWaitNs);
    const timespec timeout{0, paused > 0 ? std::min(paused, look) : look};
    if (::ppoll(polls, 2, &timeout, nullptr) < 0 && errno != EINTR) return sys_error("poll");
    readable_ = polls[0].revents != 0 || !reading;   // What came while we did not ask is still to be looked for.
    if (polls[1].revents & POLLIN) {
      u64 drop;
      (void)!::read(wake_.get(), &drop, sizeof drop);
    }
  }
}

// Many links rest most of the time, and each has been busy once.
void Link::give_back() {
  if (out_.empty() && out_.capacity() > kQuietChunk) out_ = {};
  if (in_at_ == in_.size() && chunk_ > kQuietChunk) {
    in_ = {};
    in_at_ = 0;
    chunk_ = kQuietChunk;
  }
  if (!writing_ && !held_frame_.bytes) compressed_ = {};
}

// SRV-35, SRV-36: sends what is due, and judges the silence of the peer. Each side asks the other to be heard as often as
// it needs to, so that settings of one side are enough.
Status Link::keep_alive(i64 now) {
  const Tuning& tuning = *options_.tuning;
  const i64 every = tuning.heartbeat_ns, silent = now - std::max(last_heard_.load(), attentive_ns_);
  const i64 patience = trusted_.load() ? every * tuning.missed_limit : kStrangerPatienceNs;
  if (patience > 0 && silent > patience) return SysError{ETIMEDOUT, "heartbeat"};
  if (every > 0 && tuning.show_heartbeats) note_missed(now, every);
  const i64 due = every == 0 ? peer_every_ns_ : peer_every_ns_ == 0 ? every : std::min(every, peer_every_ns_);
  next_look_ns_ = now + kWaitNs;
  if (patience > 0) next_look_ns_ = std::min(next_look_ns_, now + patience - silent + 1);
  if (due > 0) next_look_ns_ = std::min(next_look_ns_, std::max(ping_ns_, now - due) + due);
  if (due == 0 || now - ping_ns_ < due) return ok();
  ping_ns_ = now;
  const i64 said[2] = {now, every};
  Bytes payload;
  payload.append(said, sizeof said);
  post(wire::FrameType::ping, std::move(payload));
  return ok();
}

void Link::note_missed(i64 now, i64 every) {
  const auto missed = static_cast<u32>((now - std::max(last_heard_.load(), attentive_ns_)) / every);
  if (missed > missed_) handler_.on_heartbeat(0, missed);
  missed_ = missed;
}

void Link::take_pong(const Bytes& payload) {
  i64 sent;
  if (!options_.tuning->show_heartbeats || payload.size() < sizeof sent) return;
  std::memcpy(&sent, payload.data(), sizeof sent);
  handler_.on_heartbeat(std::max<i64>(0, monotonic_ns() - sent), 0);
}

// The kernel must not give up a line before the heartbeats do.
void Link::adopt_patience() {
  const i64 patience_ms = options_.tuning->heartbeat_ns * options_.tuning->missed_limit / 1'000'000;
  const u32 wanted = patience_ms == 0 ? kNoHeartbeatTimeoutMs : static_cast<u32>(std::min(patience_ms + kKernelSlackMs, kUserTimeoutMaxMs));
  if (wanted == user_timeout_ms_) return;
  user_timeout_ms_ = wanted;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &wanted, sizeof wanted);
}

Status Link::drain(bool& progressed) {
  if (in_at_ < in_.size()) return ok();
  in_.resize(chunk_);
  in_at_ = 0;
  const ssize_t got = ::recv(socket_.get(), in_.data(), chunk_, MSG_DONTWAIT);
  in_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  if (in_.size() == chunk_) chunk_ = kReadChunk;
  if (got > 0) {
    wire_bytes_ += static_cast<u64>(got);
    progressed = true;
    return ok();
  }
  if (got == 0) return SysError{ECONNRESET, "peer closed the link"};
  if (errno == EAGAIN) readable_ = false;
  if (errno == EAGAIN || errno == EINTR) return ok();
  return sys_error("recv");
}

Status Link::take_frames(bool& progressed) {
  for (;;) {
    u8* to;
    std::size_t want;
    if (in_have_ < sizeof in_header_) {
      to = reinterpret_cast<u8*>(&in_header_) + in_have_;
      want = sizeof in_header_ - in_have_;
    } else {
      to = in_payload_.data() + (in_have_ - sizeof in_header_);
      want = in_header_.length - (in_have_ - sizeof in_header_);
    }
    if (want > 0) {
      const int got = SSL_read(ssl_, to, static_cast<int>(std::min<std::size_t>(want, 1u << 30)));
      if (got <= 0) {
        const int why = SSL_get_error(ssl_, got);
        if (why == SSL_ERROR_WANT_READ) {
          if (in_at_ < in_.size()) continue;
          return ok();
        }
        if (why == SSL_ERROR_ZERO_RETURN) return SysError{ECONNRESET, "peer closed the link"};
        return tls_error("SSL_read");
      }
      progressed = true;
      // A part counts, too: on a slow line a whole frame may take longer than the patience of the other side.
      last_heard_ = monotonic_ns();
      in_have_ += static_cast<std::size_t>(got);
      if (in_have_ == sizeof in_header_) {
        const u32 most = trusted_.load() ? wire::kFrameBytesMax : options_.first_frame_bytes_max;
        if (in_header_.version != wire::kVersion) return SysError{EPROTO, "frame version"};
        if (in_header_.length > most || in_header_.raw_length > wire::kFrameBytesMax)
          return SysError{EMSGSIZE, "frame of " + std::to_string(in_header_.length) + " bytes"};
        const bool packed = in_header_.flags & wire::kFrameCompressed;
        if (!packed && in_header_.raw_length != in_header_.length) return SysError{EPROTO, "frame length"};
        const bool batch = in_header_.type == static_cast<u8>(wire::FrameType::batch);
        const bool reply = in_header_.type == static_cast<u8>(wire::FrameType::reply);
        if (packed && !reply && (!batch || in_header_.raw_length > wire::kBatchBytesMax))
          return SysError{EPROTO, "compressed frame"};
        in_payload_ = Bytes();
        in_payload_.resize(in_header_.length);
      }
      if (in_have_ < sizeof in_header_ || in_have_ - sizeof in_header_ < in_header_.length) continue;
    }
    if (checksum(in_payload_.data(), in_payload_.size()) != in_header_.checksum)
      return SysError{EBADMSG, "frame checksum"};
    if (in_header_.flags & wire::kFrameCompressed) {
      Bytes raw;
      raw.resize(in_header_.raw_length);
      if (!decompress_batch(in_payload_.data(), in_payload_.size(), raw.data(), raw.size()))
        return SysError{EBADMSG, "ZSTD_decompress"};
      in_payload_ = std::move(raw);
    }
    in_have_ = 0;
    last_heard_ = monotonic_ns();
    const auto type = static_cast<wire::FrameType>(in_header_.type);
    if (type == wire::FrameType::ping) {
      if (i64 said[2]; in_payload_.size() == sizeof said) {   // Older peers do not say how often.
        std::memcpy(said, in_payload_.data(), sizeof said);
        peer_every_ns_ = said[1] <= 0 ? 0 : std::max(said[1], kPeerEveryMinNs);
      }
      post(wire::FrameType::pong, std::move(in_payload_));
    } else if (type == wire::FrameType::pong) take_pong(in_payload_);
    else handler_.on_frame(type, std::move(in_payload_));
    in_payload_ = Bytes();
    if (!handler_.wants_frames()) return ok();
  }
}

}  // namespace understudy
