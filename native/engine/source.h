// One replication set on its source (DESIGN 6 and 7): shadow tree, capture, reconcile, mirror, and the channels that
// carry the result. One worker thread owns everything except what is marked thread-safe.
//
//   hints -> dirty names -> reconcile (statx against the shadow) -> operations -> each channel's stream
//
// "Told" is the key word: a channel has been told about an object when its stream holds the object's state. Changes
// are told to channels that were told before; a mirror tells the rest, walking directories parents first. So one pass
// of reading serves every channel, and a mirror can never overwrite a newer change (I1).
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "block_index.h"
#include "capture.h"
#include "capture_ranges_bpf.h"
#include "channel.h"
#include "fact.h"
#include "rules.h"
#include "shadow.h"
#include "told_links.h"

namespace understudy {

struct SourceOptions {
  i32 id = 0;
  std::string name;
  std::string state_dir;
  std::vector<std::string> roots;
  std::vector<Rule> rules;
  std::vector<std::string> exclude;
  std::string capture = "auto";
  u32 sweep_ms = 0;
  u32 guard_percent = 0, guard_count = 0;   // both 0: no mass-delete guard
  std::vector<std::string> root_identity;   // as reported by `source_ready`; empty at first start
  u64 boot = 0;      // tests of power loss: what boot_digest() shall be taken for; 0: as it is
  i64 snapshot_every_ns = 300'000'000'000;   // while something is told
  u64 log_max = 64u << 20;                   // beyond it a snapshot is due, and an old log is gone through for what it has twice
  std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>();
  u32 streams = 0;   // channels of an earlier run that are attached right after `start`; the first look waits for them
};

struct SourceStatistics {
  std::string state = "opening", capture;
  u64 files = 0, directories = 0, bytes = 0, dirty = 0, events = 0, lost = 0, shadow_bytes = 0, unreadable = 0;
};

// Opens a regular file for reading without moving its time of access, where that is allowed.
Fd open_for_read(int directory, const char* name);

class Freeze;

// How far a target is (recovery.cc).
inline constexpr u64 kSmallMax = 256u << 10;    // a file is told whole up to here, in one operation; above, what may be on a target is compared
inline constexpr i64 kLookNs = 3'000'000'000;   // a worker comes by within a second, whatever it does

struct Lag {
  i64 since_ns = 0;       // monotonic; what changed before it is there. 0: everything is; kNeverNs: that is not known
  i64 ms = 0;             // age of that; -1: not known
  i64 point_ms = 0;       // wall clock; 0: everything is there, or nothing is known
  i64 unapplied_ms = 0;   // age of the oldest change that is known and not applied; 0: there is none
  u64 bytes = 0;          // of operations not applied
  bool at_least = false;  // and things that are not in operations yet
  i64 proof_ms = -1;      // since the target had applied everything of its stream; -1: never yet
};

class Source final : CaptureSink {
 public:
  Source(SourceOptions options, Tell tell);
  ~Source() override;

  // --- thread-safe ---
  void start();
  // From here on the worker looks at nothing more, and streams that are closed (not forgotten) miss nothing: to be
  // called before they are, ahead of `close`. Returns when the worker has stopped.
  void suspend();
  void close();                                   // persists the shadow and joins the worker
  SourceStatistics statistics() const;
  Lag lag(const Channel& channel) const;
  void add_channel(std::shared_ptr<Channel> channel);
  void remove_channel(const std::shared_ptr<Channel>& channel, bool forget);
  // Runs `command` on the worker, soon.
  void run(std::function<void()> command);
  void wake();
  void continue_stopped(bool never_again);
  void request_rescan(std::string why);

  // --- worker only (called by commands) ---
  void mirror_start(Channel& channel, const MirrorOptions& options, bool verify);
  void mirror_stop(Channel& channel, const char* why);
  void barrier(Channel& channel, i64 token);
  // Puts `payload` into the stream behind everything that changed before this call, once: `task_placed`, or
  // `task_failed` with what became of it. `freeze`: only while that lasts.
  void task(Channel& channel, i64 token, std::shared_ptr<Bytes> payload, bool durable, std::shared_ptr<Freeze> freeze);
  void task_cancel(Channel& channel, i64 token);
  // `quarantine_listed`: what the target refused, in order behind `after` (a path of this set; empty: from the start).
  void quarantine_list(Channel& channel, i64 token, const std::string& after, std::size_t limit);
  // Tells it now (`path` empty: all of it) in place of waiting; `quarantine_retried` says how many.
  void quarantine_retry(Channel& channel, i64 token, const std::string& path);
  void set_replicating(Channel& channel, bool on);
  void channel_broken(Channel& channel, const char* why);
  void on_welcome(Channel& channel, u64 epoch, const wire::StreamPosition& position, Bytes payload);
  void keep_reply(Channel& channel, u64 stream, std::shared_ptr<Bytes> frame);
  void link_opened(Channel& channel);

 private:
  using Mask = u32;

  // One hint, merged per directory and name.
  struct Dirty {
    NodeId directory;
    std::string name;
    u32 what;
    u32 attempts;
    i64 since_ns;   // first hint, monotonic
    i64 due_ns;     // not before
  };
  struct Missing {
    NodeId node;
    i64 seen_ns;    // monotonic
    i64 since_ns;   // of the hint that led there
  };
  using Span = std::pair<u64, u64>;   // bytes of a file: begin and end
  // Where a file was written of which it is known what was told (written.cc).
  struct Written {
    u64 device = 0, inode = 0;
    std::vector<Span> spans;   // since it was looked at last
    bool whole = false;        // places are missing, or it is time for the proof
    i64 unproven_ns = 0;       // since when not everything was looked at; 0: all was
    i64 last_ns = 0;           // last time that it was written
    i64 asked_ns = 0;          // when the proof was asked for
  };
  // Reading one large file in steps, for one mirror or for all channels that were told about it.
  struct FileJob {
    NodeId node = kNoNode;
    u64 inode = 0;
    u64 object = 0, device = 0;
    Mask mask = 0;
    Channel* mirror = nullptr;      // set: belongs to this channel's mirror
    enum class Mode { whole, delta, exchange } mode = Mode::whole;
    bool fresh = false;
    bool over = false;              // what is there keeps its contents until they are written over
    Fd file;
    struct statx before {};
    i64 ctime_ns = 0;               // of the stat after which the extended attributes were read
    u64 offset = 0;
    u64 size = 0;
    u32 block = 4096;
    BlockIndex index;               // hashes of what is told by this job
    std::vector<u64> theirs;        // exchange: target's hashes
    u64 their_size = 0;
    bool attributes_differ = true;
    bool created = false;           // the create operation is out
    bool begun = false;
    std::vector<Span> spans;        // the only places to look at, by blocks; none: everything
    std::size_t span = 0;           // the one at hand
    bool stale = false;             // changed while we read: look again afterwards
    bool racy = false;              // changed just before we read
    bool changed = false;           // something had to be sent
    u64 skipped = 0;
    bool counted = false;           // a verification counts what differs
    wire::ManifestEntry their_entry{};
    u64 blocks_differ = 0;
    i64 started_ns = 0, spent_ns = 0;
    i64 since_ns = 0;               // age of the oldest hint behind it (barriers wait for that); 0: older than any
    void writes_over(const struct statx& stat);      // sends everything, whatever is there; before anything is told
    void reads(Fd opened, const struct statx& stat);   // `stat`: of `opened`, before anything of it is read
  };
  struct Barrier {
    Channel* channel;
    i64 token;
    i64 asked_ns;                   // changes up to here must be told ...
    u64 sequence;                   // ... 0 until they are; then the batch that must be durable
    std::shared_ptr<Bytes> task{};  // this goes into the stream there; a task ends with that
    bool durable = false;
    std::shared_ptr<Freeze> freeze{};
  };

  // source.cc: life and loop
  void work();
  bool open_roots();
  void renumber(const std::vector<bool>& same, const std::vector<struct stat>& stats);
  void close_roots();
  void root_problem(const std::string& detail);
  void run_commands();
  void settle_streams();
  bool start_capture();
  u64 count_files(bool exact);
  void publish();
  int idle_ms();
  void repair_after_restart();
  void begin_barriers();
  void finish_barriers();
  bool barrier_met(const Barrier& barrier) const;
  const char* barrier_blocked(const Barrier& barrier) const;
  void barrier_failed(const Barrier& barrier, const char* why);
  void tasks_lost(Channel& channel, const char* why);
  void tasks_passed();
  bool note_waiting();
  bool work_once();

  // recovery.cc: what each target holds for certain
  void in_doubt(Channel& channel, i64 since_ns = 0);
  void in_doubt_until_mirrored(Channel& channel, i64 since_ns = 0);
  void vouch(Channel& channel);
  void begin_repair(Channel& channel, i64 since_ns = 0);
  void doubt();
  void settle_repair(Channel& channel);
  i64 noticed_ns() const { return current_since_ns_ != 0 ? current_since_ns_ : monotonic_ns(); }   // what is told now
  i64 waits_since(const Channel& channel) const;
  void publish_waiting();
  void waits_on(Channel& channel);
  void keep_point(const Channel& channel);
  void recall_point(Channel& channel, bool known, bool resumed, bool gap);

  // queueing.cc: what becomes of changes that the queues cannot take
  bool room_for(Mask mask, bool begun = false) const;
  void watch_queues(bool room);
  void fall_behind(Channel& channel, const std::vector<SetPath>& touched, i64 since_ns);
  void leave_work(Channel& channel);
  void out_of_memory(const Channel& channel);
  void give_up(Channel& channel, const std::string& why);
  void note_later(Channel& channel, u32 mapping, std::string_view path, bool deep);
  void catch_up(Channel& channel);
  bool queue_kept(Channel& channel);
  bool holds_back(const Channel& channel) const;

  // reconcile.cc: hints into operations
  NodeId find_directory(u64 device, u64 inode) override;
  bool is_directory(NodeId node, u64 inode) override;
  void hint(NodeId directory, std::string_view name, u32 what) override;
  void unknown_directory(std::string_view path, std::string_view name, u32 what) override;
  void hint_object(u64 device, u64 inode, u32 what) override;
  void lost(std::string_view why) override;
  Fd open_object(int directory, std::string_view name, const struct statx& stat) const;
  Result<u64> digest_of(int directory, std::string_view name, const struct statx& stat) const;
  bool same_object(NodeId node, const struct statx& stat) const;
  void other_names(NodeId node);
  void add_dirty(NodeId directory, std::string_view name, u32 what, i64 delay_ns, u32 attempts = 0, i64 since_ns = 0);
  bool process_dirty();
  enum class Outcome { done, later, occupied };
  Outcome reconcile(NodeId directory, const std::string& name, u32 what, u32 attempts, bool final);
  void appear(NodeId directory, int directory_fd, const std::string& name, const struct statx& stat, u32 what);
  void replace(NodeId occupant, NodeId directory, int directory_fd, const std::string& name, const struct statx& stat, u32 what);
  void update(NodeId node, int directory_fd, const struct statx& stat, u32 what);
  void create(NodeId directory, int directory_fd, const std::string& name, const struct statx& stat, bool replaces);
  void release_inode(const struct statx& stat);
  void link_to(NodeId existing, NodeId directory, int directory_fd, const std::string& name, const struct statx& stat);
  void rename_to(NodeId node, NodeId directory, const std::string& name);
  void untell_one(NodeId node, Mask mask);
  void untell(NodeId node, Mask mask);
  void take_back(NodeId node, Mask mask);
  void forget_listed(NodeId node, Mask mask);
  void missing(NodeId node);
  bool release_deletes(bool force);
  void remove_node(NodeId node, Mask tell);
  void forget_node(NodeId node);
  void hand_over(NodeId node);
  bool still_there(NodeId node, u64 device, u64 inode, u64* found = nullptr);
  void directory_times();
  void apply_stat(NodeId node, const struct statx& stat);
  Attributes attributes_of(const struct statx& stat, u64 xattr_digest) const;
  Verdict verdict(NodeId directory, const std::string& name, bool is_directory) const;
  int directory_fd(NodeId directory);             // cached for this cycle; -1: not there now
  bool scanning_first() const { return !ready_told_; }
  bool scan_step();                               // lists directories waiting in scan_
  void begin_rescan();
  void list_later(NodeId directory);              // once, however often it is asked for
  std::string absolute_path(NodeId node) const;
  std::string set_path(u32 mapping, std::string_view path) const;   // the same for a path below a root of the set
  void unreadable(const std::string& path, const SysError& error);
  void mounted_inside(const std::string& path);

  // emit.cc: operations into batches
  Mask told_mask(NodeId node) const { return shadow_.at(node).told & replicating_; }
  // After a crash the shadow may hold names that were taken back since: told through one of them, it would be there again.
  bool believed(NodeId name) {
    return !doubting_ || still_there(name, shadow_.device(shadow_.at(name).device), shadow_.at(name).inode);
  }
  // Calls `each` with a name and the channels that know the object by it; every channel at most once, unless its names
  // may be several files there.
  template <typename Each>
  void speakers(NodeId node, Each each) {
    if (shadow_.is_directory(node) || !shadow_.linked(node)) {
      each(node, told_mask(node));
      return;
    }
    Mask left = replicating_;
    const Mask own = told_mask(node);
    if (own != 0) each(node, own);
    left &= ~own | apart_;
    std::vector<NodeId> names;
    for (NodeId at = shadow_.first_name(node); at != kNoNode; at = shadow_.next_name(at)) names.push_back(at);
    for (NodeId at : names) {
      if (at == node) continue;
      const Mask mask = told_mask(at) & left;
      if (mask == 0 || !believed(at)) continue;
      each(at, mask);
      left &= ~mask | apart_;
    }
  }
  void emit(Mask mask, bool mirror, wire::OpHeader& header, std::string_view path, std::string_view path2 = {},
            std::string_view data = {});
  void emit_to(Channel& channel, bool mirror, const wire::OpHeader& header, std::string_view path,
               std::string_view path2, std::string_view data);
  bool open_batch(Channel& channel, bool mirror, const wire::OpHeader& header, std::string_view path,
                  std::string_view path2, std::size_t data);
  void note_untold(Channel& channel, const wire::OpHeader& header, std::string_view path, std::string_view path2);
  Channel* only_channel(Mask mask) const;   // the one that all of it goes to; none when there are several
  void changes(Channel& channel, u32 mapping, std::string_view path, bool deep = false, bool moved = false);
  void touch(Channel& channel, u32 mapping, std::string_view path, bool deep = false, bool moved = false);
  void retell_moved(Channel& channel);
  void log_doubt(u32 mapping, std::string_view path, bool deep);
  void found_equal(Channel& channel, NodeId node);
  void tell_later(Channel& channel, NodeId node, bool late = false);
  void tell_anew(Mask mask, NodeId node, Mask compared);
  void flush(Channel& channel);
  void flush_all();
  wire::OpHeader header_for(wire::OpKind kind, NodeId node);
  void tell_removed(Mask mask, u32 mapping, std::string_view path);
  Mask tell_link(Mask mask, bool mirror, NodeId node);
  void tell_attributes(Mask mask, bool mirror, NodeId node, bool times);
  void tell_xattrs(Mask mask, bool mirror, NodeId node, int directory_fd, const char* name);
  void set_xattr_digest(NodeId node, u64 digest);
  void xattrs_untold(NodeId node);
  void tell_attributes_all(NodeId node, bool times);
  void tell_xattrs_all(NodeId node, int directory_fd, const char* name);
  // A regular file that the caller has opened already, and its facts as read through it.
  struct Opened {
    Fd file;
    struct statx stat {};
  };
  bool tell_object(Mask mask, bool mirror, NodeId node, int directory_fd, bool fresh, bool replaces,
                   Opened* opened = nullptr);
  void note_lost(Channel& channel, u32 mapping, std::string_view path, bool deep);
  void restart_stream(Channel& channel);
  void forget_listings(Channel& channel);

  // content.cc: bytes of regular files
  bool tell_small(Mask mask, bool mirror, NodeId node, int file, const struct statx& stat, bool fresh, bool replaces);
  void content_changed(NodeId node, int directory_fd, const struct statx& stat);
  void content_changed_for(NodeId speaker, Mask mask, int file, const struct statx& stat, const struct statx& before);
  FileJob* start_job(NodeId node, Mask mask, Channel* mirror, FileJob::Mode mode, bool fresh);
  bool step_job(FileJob& job);                    // false: finished or given up
  // `set` for a node and for every other name of its object: they share everything.
  template <typename Set>
  void each_name(NodeId node, const Set& set) {
    set(node);
    if (shadow_.is_directory(node)) return;
    for (NodeId each = shadow_.first_name(node); each != kNoNode; each = shadow_.next_name(each))
      if (each != node) set(each);
  }
  void set_ctime(NodeId node, i64 ctime_ns);
  void set_racy(NodeId node, bool racy);
  void time_unknown(NodeId node);
  void revisit(u64 device, u64 inode);
  bool step_jobs();
  void tell_created(FileJob& job);
  void finish_job(FileJob& job);
  void send_range(FileJob& job, u64 offset, std::string_view data);
  void request_hashes(Channel& channel, NodeId node, bool mirror, const wire::ManifestEntry* entry);
  bool busy(NodeId node) const { return busy_.count(shadow_.object(node)) != 0; }
  void unbusy(u64 object);
  void drop_request(Channel& channel, const HashRequest& request);

  // written.cc: where to look first
  void open_ranges();
  void drain_ranges();
  void note_range(u64 device, u64 inode, u64 offset, u64 length);
  bool places_known(u64 object) const;
  std::vector<Span> places_to_look(u64 object, const BlockIndex& index, u64 size, bool& nothing);
  void proven(u64 object);
  void ask_proofs();
  i64 proof_due_ns(const Written& written) const;

  // mirror.cc: the walk
  bool mirror_step(Channel& channel);
  bool mirror_turn(const Channel& channel) const;
  void note_changes_wait(bool room);
  void mirror_request(Channel& channel);
  bool mirror_directory(Channel& channel);
  bool mirror_node(Channel& channel, NodeId node, int directory_fd);
  void mirror_finish(Channel& channel);
  bool mirror_running(const Channel& channel) const;
  void mirror_open(Channel& channel);
  void mirror_close(Channel& channel);
  void mirror_extra(Channel& channel);
  void tell_beneath_link(Channel& channel, NodeId node);
  bool tell_afresh(Channel& channel, NodeId node, int directory);
  void cancel_work(Channel& channel);
  void attach(const std::shared_ptr<Channel>& channel);
  void detach(Channel& channel, bool forget);
  u32 mirror_jobs(const Channel& channel) const;
  void on_reply(Channel& channel, const Bytes& frame);
  void on_manifest(Channel& channel, u64 id, const wire::ReplyHeader& header, const u8* body, std::size_t size);
  void on_hashes(Channel& channel, u64 id, const wire::ReplyHeader& header, const u8* body, std::size_t size);
  void on_nak(Channel& channel, const wire::ReplyHeader& header, const u8* body, std::size_t size);
  using Ensured = std::unordered_set<NodeId>;
  // Why: it is in doubt what the target holds; it did not take it; it had not what the path is below of.
  enum class Retold { doubted, refused, missing };
  void retell(Channel& channel, const SetPath& path, Retold why, Ensured& ensured);
  void gone_later(Channel& channel, u32 mapping, const std::string& path);
  void tell_gone(Channel& channel, u32 mapping, const std::string& path);
  void take_away(Channel& channel, const SetPath& gone);
  void remove_gone(Channel& channel);
  bool tell_last(Channel& channel);
  void compare_there(Channel& channel, NodeId node);
  static bool compared_there(u32 mode, u64 size) { return S_ISREG(mode) && size > kSmallMax; }
  void gone_moves(Mask mask, NodeId node, u32 mapping, std::string_view to);
  Mask in_doubt_there() const;
  void retell_all(Channel& channel, const std::vector<SetPath>& paths);
  void reissue(Channel& channel);
  void retry_quarantine(Channel& channel);
  static void merge_refused(Channel& channel);
  static i64 quarantine_pause_ns(const ChannelOptions& options, u32 attempts);
  bool entry_differs(const wire::ManifestEntry& entry, NodeId node, i64 mtime_ns, bool metadata) const;
  bool entry_differs(const wire::ManifestEntry& entry, NodeId node, bool metadata) const {
    return entry_differs(entry, node, shadow_.at(node).mtime_ns, metadata);
  }
  i64 time_there(NodeId node, int directory_fd) const;

  // verify.cc: the walk without telling
  void verify_node(Channel& channel, NodeId node, int directory_fd, const wire::ManifestEntry* entry);
  void verify_job(const FileJob& job);
  void verify_note(Channel& channel, const char* what, const std::string& path, NodeId node, i64 mtime_ns,
                   const wire::ManifestEntry* entry, u64 blocks_differ, u64 blocks);
  void verify_finish(Channel& channel, MirrorRun& done, i64 ms);

  // orphans.cc
  void tell_orphan(Channel& channel, NodeId directory, std::string_view name, const wire::ManifestEntry& entry);
  void tell_orphans_end(Channel& channel);

  // persist.cc: snapshots of the shadow
  bool load_state(std::vector<SetPath>& repair);
  bool snapshot_due(i64 now) const;
  void save_state();
  void note_running();
  void write_running(u64 boot);

  // touched_log.cc
  void log_touched();
  Status read_logs(std::vector<SetPath>& out, bool mend) const;
  void read_logged(std::vector<SetPath>& out);
  Status append_touched(const Bytes& records);
  bool under_way(const Channel& channel) const;
  bool unsettled(const Channel& channel) const;
  void keep_log();
  void thin_old_log();
  void drop_logs();
  void drop_old_log();
  void settle_old_log();
  std::string state_path(const char* name) const { return options_.state_dir + "/" + name; }

  friend class Channel;

  SourceOptions options_;
  Tell tell_;
  Rules rules_;
  Shadow shadow_;
  BlockIndexes indexes_{48u << 20};
  std::unique_ptr<Capture> capture_;
  Fd wake_;
  std::thread worker_;
  std::atomic<bool> stopping_{false}, suspend_{false};
  bool suspended_ = false;                     // worker, and whoever waits for it under command_mutex_
  std::condition_variable suspended_now_;

  std::mutex command_mutex_;
  std::vector<std::function<void()>> commands_;
  mutable std::mutex statistics_mutex_;
  SourceStatistics statistics_;

  std::vector<std::shared_ptr<Channel>> channels_;
  Mask replicating_ = 0;          // channels that replication operations go to
  Mask apart_ = 0;                // Channel::apart
  Mask all_ = 0;                  // bits in use

  std::vector<CaptureRoot> roots_;
  std::vector<std::string> identities_;
  std::vector<u64> mounts_;                            // mount_mark of the roots under capture
  bool roots_open_ = false;
  bool stopped_ = false;          // a root is not what it was
  bool held_ = false;             // mass-delete guard
  bool guard_off_once_ = false;
  bool ready_told_ = false;
  bool accept_roots_ = false;
  i64 root_check_ns_ = 0;
  std::string degraded_;

  std::unordered_map<std::string, u32> dirty_index_;   // directory id + name -> position
  std::vector<Dirty> dirty_;
  std::vector<Missing> missing_;
  i64 last_missing_ns_ = 0;
  std::deque<std::pair<i64, u64>> deleted_;            // time, objects: the guard's window
  std::unordered_set<NodeId> times_;                   // directories whose mtime is to be told
  ToldLinks told_links_;
  std::unordered_map<NodeId, Fd> fds_;                 // open directories of this cycle
  std::vector<Fd> retired_;                            // closed when nobody up the stack can use them
  std::vector<NodeId> scan_;                           // directories to list
  u32 scan_what_ = 0;
  bool scanning_ = false;
  bool doubt_ = false;                                 // events were lost: until the scan is over, nothing is vouched for
  std::atomic<i64> looked_ns_{0};                      // monotonic: what was noticed by then is accounted for
  bool room_ = true;                                   // of the last round: changes could be told
  i64 delivered_ns_ = 0;                               // last time that capture was asked
  i64 oldest_name_ns_ = 0, names_counted_ns_ = 0;      // of dirty_ and missing_
  i64 points_kept_ns_ = 0;
  i64 scan_started_ns_ = 0;
  i64 sweep_due_ns_ = 0;
  bool sweep_again_ = false;                           // asked for while one was running
  i64 scan_since_ns_ = 0;
  i64 current_since_ns_ = 0;                           // of the hint being worked off; 0: none
  bool retelling_ = false;                             // what is begun now repairs: every barrier waits for it
  bool force_ = false;                                 // a barrier waits: nothing may be delayed
  std::vector<Barrier> barriers_;

  std::deque<std::unique_ptr<FileJob>> jobs_;
  std::unordered_map<u64, u32> busy_;                  // objects with a job or an exchange, counted
  std::unordered_set<u64> stale_;                      // changed while busy
  std::unique_ptr<RangeHints> ranges_;
  std::unordered_map<u64, Written> written_;           // by object; bounded
  std::unordered_map<u64, i64> hot_;                   // large files: not to be read again before
  Bytes read_buffer_;
  u64 next_request_ = 1;
  std::vector<std::pair<Channel*, std::shared_ptr<Bytes>>> replies_;   // answers of targets, worked off with the roots open

  std::unordered_set<std::string> mounts_said_;        // bounded
  std::vector<SetPath> startup_repair_;                // touched in the last run: compared on every channel
  bool power_lost_ = false;                            // the last run ended with the power of this machine
  u64 running_boot_ = 0;                               // to be written down after a loss of power; 0: it is
  bool unclean_ = false;                               // it did not end in order
  u64 loaded_snapshot_ = 0, stop_snapshot_ = 0;        // names of the snapshot taken over, and of the one at a clean stop
  bool left_behind_ = false;                           // a stream was closed before its target had everything
  bool doubting_ = false;                              // until they are: what is told meanwhile is in doubt as well
  bool shadow_loaded_ = false;
  bool first_saved_ = false;
  std::vector<SetPath> logged_;                        // touched since the log was last written
  Fd touched_log_;
  bool log_lost_ = false;                              // some were never written
  u64 touched_log_bytes_ = 0;
  bool old_log_ = false;                               // what was told before the snapshot may not be on every target
  bool old_log_marked_ = false;                        // it is when Channel::log_until is durable
  u64 old_log_once_ = 0;                               // its size when each path was in it once; 0: that was never made
  bool mirror_ended_ = false;                          // since the last snapshot
  i64 snapshot_ns_ = 0;
  u64 unreadable_ = 0;
  i64 unreadable_told_ns_ = 0;
  u64 unreadable_untold_ = 0;
  u64 total_bytes_ = 0;
  u64 counted_objects_ = 0, counted_files_ = 0;
  i64 counted_ns_ = 0;
};

}  // namespace understudy
