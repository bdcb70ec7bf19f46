// Where a connection's stream stands on this target, in one small file.
//
// The *live* mark is a page shared with the kernel: one plain store per operation, and it survives the death of the
// process (kill -9), though not of the machine. After such a death it says which single operation is in doubt.
// The *durable* record (two slots, checksummed, written in turn and synced) says what is known to be on stable
// storage; after a change of the boot id it is all that counts.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "apply.h"
#include "base.h"

namespace understudy {

// Digest of the running kernel's boot id; 0 when it cannot be read (then every restart counts as a boot).
u64 boot_digest();

class Marks {
 public:
  // Opens or makes the mark file; EWOULDBLOCK when another receiver holds it. `boot`: boot_digest(). `replica` names
  // the directories which the mark speaks of; a mark of other directories is not believed.
  static Result<std::unique_ptr<Marks>> open(const std::string& path, u64 boot, u64 replica);
  ~Marks();
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;

  u64 stream() const;                       // 0: none yet
  u64 applied() const;                      // last batch fully applied
  u32 applied_ops() const;                  // operations of the next batch already done
  // The next operation (number applied_ops of batch applied + 1) had begun when the process died.
  bool in_doubt() const { return in_doubt_; }
  void doubt_settled() { in_doubt_ = false; }
  u64 durable() const { return durable_; }
  u64 boot() const { return boot_; }
  // There was a mark, but of other directories (wiped, not mounted, granted elsewhere): it now begins with nothing.
  bool replica_changed() const { return replica_changed_; }
  // No stream was ever known before this one, and nothing of this one is applied.
  bool fresh() const;
  Evidence* evidence();

  // A new stream: applied and durable are 0.
  Status start_stream(u64 stream);
  // Operation `index` of batch `sequence` begins, is done; the batch is done. `sequence` is always applied() + 1.
  void begin_operation(u64 sequence, u32 index);
  void end_operation(u64 sequence, u32 index);
  void end_batch(u64 sequence);
  // To be called when everything up to `sequence` is on stable storage. Safe beside the calls above.
  Status write_durable(u64 sequence);

  struct Page;

 private:
  Marks() = default;
  Status write_slot();

  Fd file_;
  Page* page_ = nullptr;
  u64 boot_ = 0;
  u64 replica_ = 0;
  u64 durable_ = 0;
  u64 generation_ = 0;
  std::atomic<bool> in_doubt_{false};
  bool replica_changed_ = false;
};

}  // namespace understudy
