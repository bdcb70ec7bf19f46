// Optional: which bytes of a file were written, as told by the kernel's tracepoints (BPF). Only an accelerator for
// large files: a range is a place to look first. Never needed for correctness, since some changes have no range
// (stores through a mapping to a page that is dirty already, swapped extents, reflinks): a file that changed without
// any range is compared whole, and so is, once in a while, one that has ranges.
//
// ext4 only: the other file systems have tracepoints of other shapes. The caller passes devices of ext4 only.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base.h"

namespace understudy {

inline constexpr u64 kRangeToEnd = ~u64{0};

class RangeHints {
 public:
  // `length` is kRangeToEnd when everything from `offset` on may have changed.
  using Take = std::function<void(u64 device, u64 inode, u64 offset, u64 length)>;

  // Watches the file systems with these device numbers (stat's st_dev). `ring_bytes`: a power of two, at least 4096.
  // Fails with the refusing call: EPERM without CAP_BPF and CAP_PERFMON, ENOENT where the kernel lacks BTF or a
  // tracepoint, EOPNOTSUPP when there is nothing to watch.
  static Result<std::unique_ptr<RangeHints>> open(const std::vector<u64>& devices, u32 ring_bytes = 512u << 10);
  virtual ~RangeHints() = default;
  // Hands over all ranges so far, in order. A range is there before the write that it announces has returned; so drain
  // after the event for a write was seen, before the file is read.
  virtual void drain(const Take& take) = 0;
  // True when ranges were dropped since the last call: compare whole files then.
  virtual bool lost() = 0;
};

}  // namespace understudy
