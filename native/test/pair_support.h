// Both ends of a connection without Node: the whole engine, and in place of the control plane a driver that keeps the
// same rules as agentd's (connection-run.ts, mirror-run.ts, grants.ts) on one thread of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "channel.h"
#include "inbound.h"
#include "listener.h"
#include "source.h"

namespace understudy::test {

// Runs jobs one after the other on its thread.
class Loop {
 public:
  Loop() : thread_([this] { run(); }) {}
  ~Loop() { end(); }
  void post(std::function<void()> job) { after(0, std::move(job)); }
  void after(i64 ms, std::function<void()> job);
  void call(const std::function<void()>& job);   // and waits until it is done
  void end();                                    // drops what waits
  bool ended() const;

 private:
  void run();
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<i64, std::function<void()>> jobs_;   // by due time; equal times keep their order
  bool ended_ = false;
  std::thread thread_;
};

// What a side tells its user, in words: "mirror_done", "barrier_done 3", "source_stopped why".
using Say = std::function<void(const std::string& line)>;

struct SourceSideOptions {
  std::string root;
  std::string state_dir;          // survives restarts, as an agent's does
  u16 port = 0;                   // of the target, on 127.0.0.1
  std::string target_key;
  PemIdentity identity;
  std::string capture = "auto";
  i64 retry_ms = 20;              // until a link that went down is opened again
  u64 queue_memory = 128u << 20;
  DiskQueueOptions queue;         // its folder is below state_dir
  bool disconnect_when_full = false;
  bool hold_mirrors = false;
  i64 snapshot_every_ns = SourceOptions{}.snapshot_every_ns;
  u64 log_max = SourceOptions{}.log_max;
  std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>();
};

class SourceSide {
 public:
  SourceSide(SourceSideOptions options, Say say);
  ~SourceSide();                                  // a clean stop
  void mirror(const std::string& compare);        // none, attributes, content
  void verify();                                  // by contents: "verify_done DIFFERENCES"
  void barrier(i64 token);                        // tried until it is reached: "barrier_done TOKEN"
  void pause(bool paused);                        // of transmission
  void limit(u64 bytes_per_second);               // 0: none
  void replicate(bool on);
  void stand_still(i64 ms);                       // nothing of the set is looked at for so long
  void hold_mirrors(bool hold);                   // one that is wanted waits until they are let go
  StreamCounters counters();
  bool linked() const { return channel_->ready(); }
  std::string statistics();
  Lag lag() const { return source_->lag(*channel_); }

 private:
  enum class Phase { idle, wanted, starting, mirroring };
  enum class LinkPhase { linking, linked, waiting };
  void open();
  void fact(const Fact& fact);
  void start_mirror();                            // when it is wanted and possible
  void broken();
  void pump();
  void load();
  void save();
  template <typename Command>
  void on_worker(Command command);

  SourceSideOptions options_;
  Say say_;
  std::unique_ptr<Source> source_;
  std::shared_ptr<Channel> channel_;
  std::vector<std::string> root_identity_;
  Phase phase_ = Phase::wanted;
  MirrorOptions mirror_;
  bool complete_ = false, ever_linked_ = false;
  bool ready_ = false;
  LinkPhase link_ = LinkPhase::linking;
  u32 gave_up_ = 0;
  std::set<i64> waiting_, issued_;                // barriers
  Loop loop_;                                     // the last member: it ends first
};

struct TargetSideOptions {
  std::string root;
  std::string state_dir;
  std::string source_key;
  PemIdentity identity;
  u64 boot = 0;                   // ReceiverOptions::boot
  std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>();
};

class TargetSide {
 public:
  TargetSide(TargetSideOptions options, Say say);
  ~TargetSide();
  u16 port() const { return listener_->port(); }
  std::string statistics();

 private:
  void fact(const Fact& fact);

  TargetSideOptions options_;
  Say say_;
  std::shared_ptr<TlsIdentity> identity_;
  std::map<i32, std::shared_ptr<Inbound>> links_;   // the loop's only
  i32 last_id_ = 0, accepted_ = 0;
  std::unique_ptr<Listener> listener_;
  Loop loop_;
};

// One line that names everything in a fact.
std::string described(const Fact& fact);

// What a side said, to be waited for. Lines that begin with # are kept for the story only.
class Heard {
 public:
  void add(const std::string& line);
  // False when it is not said in time; what was said before counts once.
  bool wait_for(const std::string& line, i64 timeout_ms);
  std::string story() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_, story_;
};

}  // namespace understudy::test
