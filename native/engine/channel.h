// One connection at its source: stream, link, and the state of its mirror. See source.h for who may touch what.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "batch_writer.h"
#include "capture.h"
#include "fact.h"
#include "stream.h"
#include "tls_link.h"

namespace understudy {

class Source;

struct MirrorOptions {
  enum class Compare { none, attributes, content } compare = Compare::none;
  bool newer = false;   // MIR-22, MIR-25
  bool all = true;      // MIR-24: compare contents of every file
  // manual run (MIR-56): walk for orphans only. automatic: told along with a mirror or a verification (MIR-53)
  enum class Orphans { automatic, preview, remove } orphans = Orphans::automatic;
  bool checksum = false;// verify: compare contents
  bool remirror = false;// verify: send what differs; with `newer` only what is newer here
};

struct ChannelOptions {
  i32 id = 0;
  std::string host;
  u16 port = 0;
  std::string peer_key;
  Bytes hello;
  std::string state_dir;
  int compression = 0;
  std::shared_ptr<QueueBudget> budget;   // of the agent; null: one of its own
  DiskQueueOptions queue;
  bool disconnect_when_full = false;     // QUE-09; false: changes wait as names
  bool replication = true;
  bool linking = true;              // false: batches wait, no link is made before set_linking
  bool mirror_follows = false;      // a mirror begins as soon as it can: what changes until then is told by that
  bool simulated = false;           // CON-40: the target is one that is not there
  i64 retry_ns = 3'000'000'000;     // REP-10: first pause before something that was refused is told again
  std::shared_ptr<Throttle> throttle;
  std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>();
};

// A directory whose listing was asked of the target, or whose files are being told.
struct MirrorDirectory {
  NodeId node = kNoNode;
  u64 inode = 0;
  u64 request = 0;
  bool complete = false;    // listing has arrived
  bool absent = false;      // the target has no such directory
  Bytes listing;            // ManifestEntry + name, repeated
};

// A file whose block hashes were asked of the target.
struct HashRequest {
  NodeId node = kNoNode;
  u64 inode = 0;
  u64 device = 0;
  u64 object = 0;           // Shadow::object
  bool mirror = false;
  bool verify = false;
  bool have_entry = false;
  bool counted = false;     // a verification wants to know whether it differs
  wire::ManifestEntry entry{};
  u32 block = 4096;
  i64 since_ns = 0;
  u64 expected = 0;         // hashes, for the window
  std::vector<u64> hashes;
};

struct MirrorRun {
  bool active = false;
  bool paused = false;
  bool verify = false;
  bool counted = false;               // totals are known
  bool waiting = false;               // everything sent, target still writing
  bool missed = false;                // replication was off meanwhile: what changed behind the walk is not told
  u64 last_sequence = 0;
  MirrorOptions options;
  i64 started_ns = 0;
  u64 sent_before = 0;         // bytes of mirrors of this channel before this one
  std::vector<std::pair<NodeId, bool>> stack;   // directories to tell; true: new on the target, nothing to ask
  std::deque<MirrorDirectory> asked;  // in order of request
  bool open = false;                  // `current` is being told
  MirrorDirectory current;
  bool current_fresh = false;
  std::unordered_map<std::string_view, wire::ManifestEntry> entries;   // views into current.listing
  std::vector<NodeId> names;
  std::size_t next = 0;
  std::vector<NodeId> extra;          // objects the walk would miss (moved behind it, refused by the target)
  std::vector<NodeId> late;           // the same, but in place of what may be told by another name first
  u64 files = 0, different = 0, missing = 0, orphans = 0;
  u64 resent = 0;                     // verify: objects sent again
  std::vector<std::string> paths;     // verify: what differs, bounded
  std::vector<std::string> details;   // one for each path
  std::size_t path_bytes = 0;
  u64 omitted = 0;

  bool singles() const { return !extra.empty() || !late.empty(); }
  bool walks() const { return open || !stack.empty() || !asked.empty() || singles(); }
  // What is still to be told when the walk is over.
  MirrorRun left() && {
    MirrorRun run;
    run.extra = std::move(extra);
    run.late = std::move(late);
    return run;
  }
};

inline constexpr u64 kNotTold = ~u64{0};

struct Quarantined {
  u32 attempts = 0;
  i64 retry_ns = 0;            // 0: told again, waiting for what the target says
  u64 from = 0;                // first batch of what was told again last
  u64 sequence = 0;            // last batch before the answer; kNotTold: it found no room yet
  i64 missing_ns = 0;          // monotonic: what it should hold is missing there since
  int error = 0;
  bool deep = false;           // SetPath::deep
  u8 kind = 0;                 // wire::OpKind: what was refused last
  i64 since_ns = 0;            // monotonic: first refusal
  std::string call{};          // what failed on the target; empty: an older one, which does not say
};

// A task that is in the stream, and that the target has not passed (REP-20).
struct PlacedTask {
  i64 token = 0;
  u64 sequence = 0;
};

class Channel final : public LinkHandler {
 public:
  Channel(Source& source, ChannelOptions options, std::shared_ptr<TlsIdentity> identity, Tell tell);
  ~Channel() override;

  struct Counters {   // snapshot for the operator
    std::atomic<u64> skipped{0}, remaining{0}, files_done{0}, files_total{0}, failed{0}, wire{0};
    std::atomic<int> mirror{0};   // 0 idle, 1 mirroring, 2 paused, 3 waiting, 4 verifying
    std::atomic<bool> replicating{false};
    std::atomic<bool> behind{false};      // changes wait as names, because the queue is full
    std::atomic<bool> repairing{false};   // what is in doubt on the target is still compared or told again
  };

  // --- thread-safe ---
  const ChannelOptions& options() const { return options_; }
  void connect();                    // (re)opens the link, where one may be
  void disconnect(bool now = false); // ends the link and joins it
  // Whether a link may be (CON-03, CON-05). Without it the stream goes on and its batches wait.
  void set_linking(bool on);
  void stop_sending() { linking_ = false; }   // at once; set_linking ends the link itself
  bool send_message(Bytes payload);
  void set_paused(bool paused);
  bool paused() const { return paused_; }
  void set_compression(int level);
  // QUE-12: the target wants nothing more of a mirror for now.
  bool mirror_held() const { return (stream.target_flags() & wire::kAckMirrorHold) != 0; }
  Throttle& throttle() { return *options_.throttle; }
  bool ready() const { return ready_; }
  // Batches are on their way: the link is up, and neither side has paused.
  bool flowing() const {
    return ready_ && !paused_ && linking_ && (stream.target_flags() & (wire::kAckPaused | wire::kAckPausePending)) == 0;
  }
  i64 quiet_ms() const;
  u64 wire_bytes() const;
  std::string last_path() const;
  void wake_link();
  void confirm_refusals();           // worker: tells the target which refusals it need not keep
  // Worker: the target has answered on link `epoch`. False when that link is gone already; otherwise `told` is reported
  // ahead of anything that happens to the link later, and with `send` batches may flow.
  bool arrived(u64 epoch, bool send, Fact told);
  Stream stream;
  Counters counters;

  // --- the source's worker only ---
  u64 refusals_confirmed = 0;
  bool resumed = false;              // goes on with the queue of the last run: what that run told is not in doubt
  u32 bit = 0;                       // this channel's bit in Node::told
  bool attached = false;
  bool told_after_scan = false;      // new or without its shadow, and the first scan runs: nothing counts as told yet
  bool told_by_mirror = false;       // nothing counts as told until a mirror begins
  bool replicating = true;
  std::atomic<bool> broken{false};   // stream gave up; waits for a mirror
  // Mappings whose targets lie on different file systems, as refused links have shown (CAP-62). While there are any,
  // several names of one object may be several files there: each is told everything. Kept in the connection's folder.
  std::set<std::pair<u32, u32>> apart;
  bool lie_apart(u32 one, u32 other) const { return !apart.empty() && apart.count(std::minmax(one, other)) != 0; }
  void learn_apart(u32 one, u32 other);
  bool repair_pending = false;       // paths of the last run are still to be compared
  bool expects_replica = false;      // told before this process: a target that holds nothing has lost it
  BatchWriter writer;
  bool writer_mirror = false;
  i64 writer_captured_ns = 0;
  i64 writer_since_ns = 0;           // monotonic: since when the oldest change in the open batch waits
  u64 repair_until = 0;              // the batch behind the last that repairs; 0 while not everything of it is told
  i64 repair_since_ns = 0;           // what was found up to here is part of it
  i64 writer_change_ns = 0;          // the same of the oldest change in it; 0: it has none
  u64 writer_data = 0;
  u32 changes_since_mirror = 0;      // SRV-50: batches of changes since the last one of a mirror
  i64 changes_told_ns = 0;           // when the last of them was closed
  bool changes_wait = false;         // of this round: more of them than could be told
  std::vector<SetPath> touched;
  u64 log_stream = 0, log_until = 0; // the old log waits for this batch of this stream (settle_old_log)
  std::deque<PlacedTask> tasks;
  MirrorRun mirror;
  std::unordered_map<u64, HashRequest> hash_requests;
  u64 hash_requests_expected = 0;
  std::map<std::pair<u32, std::string>, Quarantined> quarantine;
  bool refusals_told = false;   // `quarantined` was said, `quarantine_emptied` not yet
  std::unordered_set<NodeId> clean;  // directories where what the target holds beyond ours is a leftover of our own
  std::vector<SetPath> lost;         // what the target was not told since the stream broke; compared by the next mirror
  bool lost_more = false;            // and more than that
  // Gone here, and perhaps only under this name: taken off the target when everything that may have moved is told there.
  std::vector<SetPath> gone;
  bool behind = false;               // the queue was exhausted: nothing is told until it is drained, names are kept
  std::map<std::pair<u32, std::string>, bool> later;   // these; true: deep
  bool full_told = false, use_told = false;
  bool settling = false;             // what is in doubt is told again (settle_repair)
  bool must_mirror = true;           // only a mirror ends the doubt
  i64 extra_since_ns = 0;            // of the first of mirror.extra that no walk asked for
  std::vector<SetPath> doubts;       // after a restart, beside the queue that was taken over
  std::unordered_set<NodeId> suspect;   // taken back: a listing of the target says nothing of them (forget_listed)
  std::atomic<bool> acks_matter{true};  // the worker waits for what the target has done
  std::atomic<u64> replies_pending{0};  // taken from the link, not yet by the worker; counted before a later ack is
  // recovery.cc; set by the worker, read by anybody.
  std::atomic<i64> waiting_ns{0};       // since when the oldest change waits that is not in the stream; 0: none does
  std::atomic<i64> doubt_ns{kNeverNs};  // since when what the target holds is in doubt; 0: it is not
  std::atomic<u64> open_bytes{0};       // in the batch that is being filled
  std::atomic<bool> names_wait{false};
  void set_last_path(const std::string& path);
  std::string attached_path() const { return options_.state_dir + "/attached"; }
  // Kept in its folder: the set went on without it, so that only a mirror brings the replica up to date.
  std::string missed_path() const { return options_.state_dir + "/missed"; }
  bool missed() const { return ::access(missed_path().c_str(), F_OK) == 0; }
  void note_missed() const { Fd(::open(missed_path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); }
  std::string apart_path() const { return options_.state_dir + "/apart"; }
  std::string queue_path() const { return options_.state_dir + "/queue"; }   // Stream::keep
  void clear_missed() const { ::unlink(missed_path().c_str()); }

  // --- link thread (LinkHandler) ---
  void on_up(const std::string& peer_key) override;
  void on_frame(wire::FrameType type, Bytes payload) override;
  bool next_frame(OutFrame& frame) override;
  void on_sent(const OutFrame& frame, u64 wire_bytes) override;
  void on_heartbeat(i64 round_trip_ns, u32 missed) override;
  void on_down(const SysError& error) override;

 private:
  Source& source_;
  ChannelOptions options_;
  std::shared_ptr<TlsIdentity> identity_;
  Tell tell_;
  mutable std::mutex link_mutex_;
  std::unique_ptr<Road> link_;
  u64 wire_before_ = 0;              // bytes of earlier links
  std::mutex life_mutex_;            // of the link at hand: what is reported of it is in order
  u64 epoch_ = 0;                    // counts links
  bool dead_ = true;                 // the last one is down
  bool held_told_ = false;           // link thread: mirror_held, as told
  std::atomic<bool> ready_{false};   // welcome was taken: batches may flow
  std::atomic<bool> paused_{false};
  std::atomic<bool> linking_;
  std::atomic<int> compression_;
  StreamBatch sending_;
  mutable std::mutex path_mutex_;
  std::string last_path_;
};

}  // namespace understudy
