// Target side of one connection: a bounded queue of received batches, one ordered applier, one checkpointer
// (DESIGN 8). Knows nothing of sockets: frames come in by calls and go out through a function.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base.h"
#include "tuning.h"
#include "wire.h"

namespace understudy {

// A directory which the target's administrator granted to the connection; index = mapping id.
struct GrantRoot {
  std::string path;          // absolute; created (0700, parents 0755) when missing
  std::string source_path;   // the source's root of this mapping, for remap_links; empty: links are left alone
};

// MIR-51..55: what a target does with orphans; the administrator's choice.
struct OrphanOptions {
  enum class Action { none, move, remove } action = Action::none;
  bool log = false;
  u64 age_ms = 0;        // only those not modified for this long; 0: all
  std::string folder;    // move: absolute, outside of every replica
};

struct ReceiverOptions {
  std::string mark_path;            // state file of this connection (applied mark, see marks.h); its directory exists
  std::vector<GrantRoot> roots;
  bool remap_links = true;          // CAP-31..34: absolute link texts inside a source root become target paths
  bool paused = false;              // CON-60: from its first operation on
  bool ignore_deletes = false;      // REP-13: `remove` is not executed (renames are)
  OrphanOptions orphans;
  u64 checkpoint_bytes = 1u << 30;  // written bytes after which a checkpoint starts at once
  u32 checkpoint_ms = 1'000;        // at least between two; longer where one takes long
  u32 retry_ms = 3'000;             // REP-10
  u64 queue_bytes_max = 64u << 20;  // the link stops reading when the queue holds more
  u64 boot = 0;                     // tests of power loss: what boot_digest() shall be taken for; 0: as it is
  std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>();   // its memory for mirrors is shared by all receivers
  bool hold_acks = false;           // no acknowledgement leaves before `announce`
  // REP-20: a task was reached. The stream stands still until `task_done` with this ticket, or the receiver ends; then
  // the task comes again with the next link. `ready`: what was asked to be durable before it, is. Without it tasks are
  // only reported.
  std::function<void(u64 ticket, Bytes payload, bool ready)> on_task;
};

struct ReceiverStatistics {
  u64 batches = 0, operations = 0;
  u64 written_bytes = 0;
  u64 applied = 0, durable = 0;
  u64 queued_bytes = 0;
  u64 mirror_bytes = 0;             // of these, of mirrors
  u64 failed = 0;                   // operations NAKed, ever
  u64 quarantined = 0;              // paths of these that were not put right since
  u64 checkpoints = 0;
  bool pausing = false;             // paused, but the operation at hand has not ended yet (CON-60)
  bool retrying = false;            // REP-10
  bool task = false;                // a task runs
  bool mirror_held = false;         // QUE-12
  std::string last_path;            // last file touched
};

class Receiver {
 public:
  // Sends a frame to the source. `payload` is complete without the frame header. Thread-safe, does not block.
  using Send = std::function<void(wire::FrameType, Bytes payload)>;
  // Something the control plane should know: kind, mapping-relative path (or as noted), errno, call.
  //   task                    detail: the payload of a task that nobody carries out
  //   orphan_found, orphan_moved, orphan_deleted, orphan_not_removed   detail: the path on this server
  //   orphans_done            detail: found, moved or deleted, then files, directories, bytes, kept, failed, not listed
  //   quarantined             an operation failed and was handed back to the source; the rest goes on. At most 50 a
  //                           second are told; ReceiverStatistics::failed counts all
  //   retrying, retry_succeeded, retry_ended   a full disk or the like stops the stream; it works again (or is refused)
  //   root_gone, root_returned                 detail: the root's path. Nothing is written meanwhile
  //   replica_changed         the mark speaks of other directories than these (wiped, not mounted, granted elsewhere)
  //   checkpoint_failed       detail empty: syncfs lost writes. The stream is forgotten and refused from now on, so that
  //                           the source mirrors under a new one. detail = mark path: the mark could not be written
  //   busy_file_replaced      a running program got a new inode; other hard links to it keep the old contents
  //   ownership_not_preserved, attribute_not_preserved, node_not_created   the target is not root; told once each
  using Report = std::function<void(const char* kind, std::string detail, SysError error)>;

  static Result<std::unique_ptr<Receiver>> open(ReceiverOptions options, Send send, Report report);
  virtual ~Receiver() = default;

  // What to say in `welcome` to a source whose `hello` named this stream. A new stream id starts at zero, if the source
  // can still send its first batch (hello.applied == 0). Otherwise the answer names another stream (0: none) and
  // batches are refused: the source must mirror under a new stream.
  virtual wire::StreamPosition position(const wire::StreamPosition& hello) = 0;
  // To be called once, behind `welcome`: sends what the source does not know it was refused (`taken`: the last refusal
  // it knows of), and only then acknowledgements.
  virtual void announce(u64 taken) = 0;
  virtual void refusals_taken(u64 id) = 0;
  // One received batch frame (decompressed). Validated whole before anything of it is applied; an error means the
  // peer broke the protocol and the link must be closed. Batches at or below the applied one are dropped silently;
  // a gap in sequence is an error.
  virtual Status receive(Bytes batch) = 0;
  // False while the queue is above its limit; the link then stops reading until `on_room` is called.
  virtual bool has_room() const = 0;
  virtual void on_room(std::function<void()> call) = 0;
  virtual void task_done(u64 ticket) = 0;
  virtual void pause(bool paused) = 0;                 // CON-60: the running operation finishes first
  virtual void set_ignore_deletes(bool ignore) = 0;
  virtual void set_orphans(OrphanOptions orphans) = 0;
  virtual ReceiverStatistics statistics() const = 0;
  // Waits for the running operation, writes the mark, syncs, ends the threads. Queued batches are dropped (the
  // source sends them again). The mark stays held until the object is destroyed.
  virtual void close() = 0;
};

}  // namespace understudy
