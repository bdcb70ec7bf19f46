// The data link: TLS 1.3 over TCP, both sides pinned (DESIGN 4). One thread per link encrypts, sends, receives,
// decrypts and hands whole frames over. Knows frames, not their meaning.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base.h"
#include "road.h"
#include "throttle.h"
#include "tuning.h"
#include "wire.h"

struct ssl_ctx_st;
struct ssl_st;
struct bio_st;

namespace understudy {

// Key and certificate of this agent, ready for both roles.
class TlsIdentity {
 public:
  static Result<std::shared_ptr<TlsIdentity>> load(const std::string& key_pem, const std::string& certificate_pem);
  ~TlsIdentity();
  ssl_ctx_st* server() const { return server_; }
  ssl_ctx_st* client() const { return client_; }

 private:
  ssl_ctx_st* server_ = nullptr;
  ssl_ctx_st* client_ = nullptr;
};

struct PemIdentity {
  std::string key, certificate;
};
Result<PemIdentity> create_identity(const std::string& common_name);
Result<std::string> public_key_digest(const std::string& certificate_pem);

// A frame on its way out. `bytes` may be shared by several links.
struct OutFrame {
  wire::FrameType type = wire::FrameType::ping;
  std::shared_ptr<const Bytes> bytes;
  u64 tag = 0;   // returned in `on_sent`
  bool packed = false;   // set by the link: it travelled compressed
};

// All calls come from the link's thread.
class LinkHandler {
 public:
  virtual ~LinkHandler() = default;
  virtual void on_up(const std::string& peer_key) = 0;
  virtual void on_frame(wire::FrameType type, Bytes payload) = 0;
  // Next frame of the bulk stream, or false. Asked whenever the link can take more.
  virtual bool next_frame(OutFrame& frame) = 0;
  virtual void on_sent(const OutFrame& frame, u64 wire_bytes) = 0;
  virtual bool wants_frames() { return true; }   // false: stop reading for now; wake() when it changes
  // SRV-37: one was answered after `round_trip_ns`, or (`missed` not 0) so many in a row were not. Only while they are shown.
  virtual void on_heartbeat(i64 /*round_trip_ns*/, u32 /*missed*/) {}
  // The link is over; no call follows.
  virtual void on_down(const SysError& error) = 0;
};

struct LinkOptions {
  int compression = 0;               // 0..3 (TRN-41)
  std::string expected_key;          // empty: whoever comes is reported by on_up
  u32 connect_timeout_ms = 10'000;
  u32 first_frame_bytes_max = 256u << 10;   // until `trust` is called
  std::shared_ptr<Throttle> throttle;       // shared by all links to one address; null: neither limit nor count
  std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>();
};

class Link final : public Road {
 public:
  // Connects to host:port in the link's own thread.
  static std::unique_ptr<Link> connect(std::shared_ptr<TlsIdentity> identity, std::string host, u16 port,
                                       LinkHandler& handler, LinkOptions options);
  // Serves an accepted socket.
  static std::unique_ptr<Link> serve(std::shared_ptr<TlsIdentity> identity, Fd socket, LinkHandler& handler,
                                     LinkOptions options);
  ~Link() override;   // closes and joins; never call from the link's own thread

  // Thread-safe. Control frames go before the bulk stream; at most kControlMax wait.
  bool post(wire::FrameType type, Bytes payload) override;
  void wake() override;
  // Ends the link; pending control frames are still sent if they can be within a second. `now`: a frame that is under
  // way is cut off, what the kernel still holds is not sent, and control frames go only when nothing is under way.
  void close(SysError why, bool now = false) override;
  void trust() { trusted_.store(true); }                 // frames up to kFrameBytesMax from now on
  void set_compression(int level) override { compression_.store(level); }   // from the next batch on
  u64 wire_bytes() const override { return wire_bytes_.load(std::memory_order_relaxed); }
  i64 last_heard_ns() const override { return last_heard_.load(std::memory_order_relaxed); }
  bool up() const override { return up_.load(); }
  const std::string& address() const { return address_; }

 private:
  Link(std::shared_ptr<TlsIdentity> identity, LinkHandler& handler, LinkOptions options);
  void run();
  Status open_socket();
  Status start_tls();
  Status loop();
  Status flush(bool& progressed);
  bool fill();
  Status drain(bool& progressed);
  Status take_frames(bool& progressed);
  bool start_frame();
  bool pack_frame();
  void prepare();
  void adopt_rate(i64 now);
  void adopt_patience();
  Status keep_alive(i64 now);
  void give_back();
  void take_pong(const Bytes& payload);
  void note_missed(i64 now, i64 every);
  void reconcile(i64 now);

  std::shared_ptr<TlsIdentity> identity_;
  LinkHandler& handler_;
  LinkOptions options_;
  std::string host_;
  u16 port_ = 0;
  bool server_ = false;
  std::string address_;
  Fd socket_;
  Fd wake_;
  ssl_st* ssl_ = nullptr;

  Bytes out_;                  // encrypted, waiting for the socket
  std::size_t out_at_ = 0;
  Bytes in_;                   // received, waiting for decryption
  std::size_t in_at_ = 0;
  static constexpr std::size_t kQuietChunk = 4u << 10;   // of a link that carries heartbeats only
  std::size_t chunk_ = kQuietChunk;   // how much is read at once; more while much comes
  i64 busy_ns_ = 0;                // when there was more than heartbeats
  friend int link_bio_write(bio_st*, const char*, int);
  friend int link_bio_read(bio_st*, char*, int);

  OutFrame frame_;             // being written
  bool readable_ = true;       // something may wait in the socket
  u32 sends_ = 0;
  bool writing_ = false;
  bool held_ = false;          // `held_frame_` is ready to go and does not fit into the budget
  OutFrame held_frame_;
  u64 reserved_ = 0;           // of the budget, for the frame being written
  wire::FrameHeader out_header_{};
  Bytes compressed_;
  u64 rate_ = 0;               // the limit the socket is set up for
  Segments segments_;
  double charged_ = 0;         // bytes at the interface, as estimated and corrected
  i64 reconciled_ns_ = 0, throttled_until_ = 0;
  const u8* out_data_ = nullptr;
  std::size_t out_position_ = 0, out_length_ = 0;   // over header and payload

  wire::FrameHeader in_header_{};
  std::size_t in_have_ = 0;    // bytes of header + payload received
  Bytes in_payload_;

  std::mutex mutex_;
  std::deque<OutFrame> control_;
  bool closing_ = false, close_now_ = false;
  SysError close_reason_;
  std::atomic<bool> trusted_{false}, up_{false};
  std::atomic<u64> wire_bytes_{0};
  std::atomic<int> compression_;
  std::atomic<i64> last_heard_{0};
  i64 ping_ns_ = 0, close_ns_ = 0;
  i64 attentive_ns_ = 0;       // since when we run and listen: silence before that proves nothing
  i64 looked_ns_ = 0, next_look_ns_ = 0;
  i64 peer_every_ns_ = 0;      // how often the peer wants to hear of us; 0: it did not say
  u32 missed_ = 0;             // heartbeats in a row, as told
  u32 user_timeout_ms_ = 0;    // as the socket has it
  std::thread thread_;
};

}  // namespace understudy
