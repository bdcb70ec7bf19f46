// Capture: what the kernel says about changes, turned into hints (DESIGN 6). A hint means "look at this name in this
// directory"; it is never replayed. Merged, repeated and late hints are normal; a lost one is reported as `lost`.
//
// A backend runs one thread that empties the kernel's queue into a bounded buffer. Everything else happens on the
// caller's (the source worker's) thread in `deliver`, so the shadow tree needs no lock.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base.h"

namespace understudy {

using NodeId = u32;                       // a node of the shadow tree
inline constexpr NodeId kNoNode = 0;

// What may have changed; bits of a hint.
inline constexpr u32 kHintName = 1;       // the name appeared, vanished or now means another object
inline constexpr u32 kHintContent = 2;    // bytes were written, truncated, punched, cloned ...
inline constexpr u32 kHintClosed = 4;     // a writer closed it: contents are likely complete
inline constexpr u32 kHintAttributes = 8; // mode, owner, times, links, extended attributes
inline constexpr u32 kHintDirectory = 16; // the object is a directory
inline constexpr u32 kHintWritten = 32;   // a call that wrote has ended; its time of change may be older than its last byte

// The receiving end of hints. All calls come from inside Capture::deliver, on its caller's thread.
class CaptureSink {
 public:
  virtual ~CaptureSink() = default;
  // The shadow's directory with this identity, or kNoNode.
  virtual NodeId find_directory(u64 device, u64 inode) = 0;
  // True while `node` is a live directory with this inode (a backend may cache node ids between deliveries).
  virtual bool is_directory(NodeId node, u64 inode) = 0;
  // Look at `name` in `directory`; an empty name means the directory's own attributes, and together with kHintName
  // (inotify only) that this directory is gone: if its name still stands there, it is another one, even with the same
  // inode number, and must be watched and listed again.
  // A directory may have been moved since; if it is not where the shadow has it, the hint must be kept until its new
  // place is known (the hint for that is on its way), not dropped.
  // A removed directory's inode number is often given to the next one made, even under the same name, and its own
  // children's removals are then never hinted: a directory is the same only if its birth time is the same too.
  virtual void hint(NodeId directory, std::string_view name, u32 what) = 0;
  // A change in a directory which the shadow does not know. `path` is where it was a moment ago (absolute; may lie
  // outside of the set; may be stale). Backends must not call this again and again for directories outside the roots.
  virtual void unknown_directory(std::string_view path, std::string_view name, u32 what) = 0;
  // The object with this inode was changed through no name that the kernel knows: by a handle, as an NFS server does.
  // Look at all its names. An object of which the shadow knows nothing is ignored.
  virtual void hint_object(u64 device, u64 inode, u32 what) { (void)device, (void)inode, (void)what; }
  // Events were lost; everything below the roots must be compared again. `why`: "overflow", "buffer", "unmount" ...
  virtual void lost(std::string_view why) = 0;
};

struct CaptureRoot {
  std::string path;   // absolute directory
  int fd;             // open O_PATH|O_DIRECTORY on it during `start` and `deliver`; -1 while the root is not there
};

struct CaptureStatistics {
  u64 events = 0;        // read from the kernel
  u64 hints = 0;         // delivered
  u64 lost = 0;          // times that events were lost
  u64 buffered = 0;      // bytes waiting now
  u64 watches = 0;       // inotify watches or fanotify marks held
};

struct CaptureOptions {
  u32 batch_us = 2'000;                 // pause between reads, so that the kernel can merge events
  u32 busy_us = 12'000;                 // the same while events keep coming: fewer rounds, each for more of them
  u64 buffer_bytes_max = 64u << 20;     // reaching it is a loss, never a stall
  bool old_kernel = false;              // fanotify as it was before Linux 5.17 (a rename comes in halves); for tests
};

class Capture {
 public:
  virtual ~Capture() = default;
  // "fanotify" or "inotify", for the operator.
  virtual const char* name() const = 0;
  // Begins to watch; everything that changes after the return of `start` is reported (inotify: in directories
  // watched so far). `wake_fd` is an eventfd which the backend signals when something waits to be delivered.
  virtual Status start(const std::vector<CaptureRoot>& roots, int wake_fd) = 0;
  // Hands over all that was captured so far; new names of renames first, so that an object is found at its new place
  // before it is missed at the old one; everything else in the kernel's order, repeated hints merged. Roots give the
  // mount descriptors for this call only: no descriptor on a watched file system stays open between calls (an unmount
  // must not fail because of us).
  virtual void deliver(const std::vector<CaptureRoot>& roots, CaptureSink& sink) = 0;
  // Returns when every event which the kernel had queued before the call will be seen by the next `deliver`.
  virtual void barrier() = 0;
  // Must be called before a directory is listed; inotify adds its watch here, fanotify does nothing.
  // ENOSPC (watch limit) comes back as the error; the caller reports it and covers the directory by sweeping.
  virtual Status watch(NodeId directory, int directory_fd) = 0;
  // The shadow has dropped this directory; its id may be used again.
  virtual void forget(NodeId directory) = 0;
  // On the thread that delivers.
  virtual CaptureStatistics statistics() const = 0;
  virtual void stop() = 0;
};

// One fanotify file-system mark per superblock of `roots` (needs CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH). Fails with
// the refusing call where a root's file system cannot be marked (overlayfs, FUSE, unprivileged).
Result<std::unique_ptr<Capture>> open_fanotify(const CaptureOptions& options);
// One inotify watch per directory; works everywhere.
Result<std::unique_ptr<Capture>> open_inotify(const CaptureOptions& options);

// The strongest backend which `mode` ("auto", "fanotify" or "inotify") allows and this system can do, started on
// `roots`. `degraded` says in words why a stronger one could not be used; empty when the strongest runs.
Result<std::unique_ptr<Capture>> open_capture(std::string_view mode, const CaptureOptions& options,
                                              const std::vector<CaptureRoot>& roots, int wake_fd,
                                              std::string& degraded);

}  // namespace understudy
