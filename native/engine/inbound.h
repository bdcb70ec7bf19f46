// A link that came in: hello, the control plane's answer, then batches for the receiver.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "fact.h"
#include "receiver.h"
#include "tls_link.h"

namespace understudy {

class Inbound final : public LinkHandler {
 public:
  Inbound(i32 id, Tell tell) : id_(id), tell_(std::move(tell)) {}
  ~Inbound() override { stop(); }
  void start(std::shared_ptr<TlsIdentity> identity, Fd socket, std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>());

  // --- control plane's thread ---
  // Answers hello with `welcome` and starts to apply. An error leaves the link closed.
  Status accept(ReceiverOptions options, const Bytes& welcome);
  void refuse(Bytes payload);
  bool send_message(Bytes payload);
  void close(SysError why);
  void stop();                       // closes the link, then the receiver; joins both
  void pause(bool paused);
  void ignore_deletes(bool ignore);
  void task_done(u64 ticket);
  void orphans(OrphanOptions orphans);
  bool statistics(ReceiverStatistics& out, bool& linked) const;
  const std::string& mark_path() const { return mark_path_; }

  // --- link thread ---
  void on_up(const std::string& peer_key) override;
  void on_frame(wire::FrameType type, Bytes payload) override;
  bool next_frame(OutFrame&) override { return false; }
  void on_sent(const OutFrame&, u64) override {}
  void on_heartbeat(i64 round_trip_ns, u32 missed) override;
  bool wants_frames() override;
  void on_down(const SysError& error) override;

 private:
  i32 id_;
  Tell tell_;
  std::string peer_key_, mark_path_;
  std::atomic<int> phase_{0};        // 0: waiting for hello, 1: hello told, 2: accepted
  wire::StreamPosition hello_{};
  mutable std::mutex mutex_;         // guards link_ and receiver_ pointers
  std::unique_ptr<Link> link_;
  std::shared_ptr<Receiver> receiver_;
};

}  // namespace understudy
