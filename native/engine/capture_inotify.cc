// Capture by inotify: one watch per directory. Slower to start and dearer than fanotify, but works without privileges
// and on file systems that fanotify cannot mark.
//
// A directory must be watched before it is listed: what is created in between is then reported or listed, or both.
#include <sys/inotify.h>

#include <unordered_map>

#include "capture.h"
#include "capture_hints.h"
#include "capture_reader.h"

namespace understudy {
namespace {

// IN_MOVE_SELF brings no hint; it wakes the source when a root is moved away, and the source then looks at its roots.
// IN_EXCL_UNLINK: writes to a file that has lost its name concern nobody.
constexpr u32 kWatchMask = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |
                           IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;

struct Event {
  int watch = 0;
  u32 mask = 0;
  std::string_view name;
};

bool next_event(const u8*& bytes, std::size_t& size, Event& event) {
  inotify_event header;
  if (size < sizeof header) return false;
  std::memcpy(&header, bytes, sizeof header);
  if (header.len > size - sizeof header) return false;
  const char* name = reinterpret_cast<const char*>(bytes + sizeof header);
  event = Event{header.wd, header.mask, {name, ::strnlen(name, header.len)}};
  bytes += sizeof header + header.len;
  size -= sizeof header + header.len;
  return true;
}

u64 count_events(const u8* bytes, std::size_t size) {
  u64 count = 0;
  for (Event event; next_event(bytes, size, event);) ++count;
  return count;
}

// The two halves of a rename are queued one right after the other, but a read can come between them.
bool ends_in_half(const u8* bytes, std::size_t size) {
  Event event;
  while (next_event(bytes, size, event)) {}
  return (event.mask & IN_MOVED_FROM) != 0;
}

class InotifyCapture final : public Capture {
 public:
  InotifyCapture(Fd queue, const CaptureOptions& options)
      : queue_(std::move(queue)), reader_(options), merger_(statistics_) {}
  ~InotifyCapture() override { stop(); }

  const char* name() const override { return "inotify"; }
  Status start(const std::vector<CaptureRoot>&, int wake_fd) override {
    return reader_.start(queue_.get(), wake_fd, count_events, ends_in_half);
  }
  void deliver(const std::vector<CaptureRoot>& roots, CaptureSink& sink) override;
  void barrier() override { reader_.barrier(); }
  Status watch(NodeId directory, int directory_fd) override;
  void forget(NodeId directory) override;
  CaptureStatistics statistics() const override;
  void stop() override {
    reader_.stop();
    queue_.reset();
    nodes_.clear();
    watches_.clear();
  }

 private:
  void lose(CaptureSink& sink, std::string_view why) {
    ++statistics_.lost;
    sink.lost(why);
  }
  void hint(const Event& event, CaptureSink& sink);
  void drop(int watch, CaptureSink& sink);

  Fd queue_;
  EventReader reader_;
  CaptureStatistics statistics_;
  HintMerger merger_;
  Bytes batch_;
  std::unordered_map<int, NodeId> nodes_;    // by watch descriptor; the kernel gives each number once
  std::unordered_map<NodeId, int> watches_;  // the reverse
};

Status InotifyCapture::watch(NodeId directory, int directory_fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory_fd);
  const int watch = ::inotify_add_watch(queue_.get(), path.c_str(), kWatchMask);
  if (watch < 0) return sys_error("inotify_add_watch");
  // The same directory keeps its number; the shadow may know it as another node by now (it was moved).
  if (auto before = nodes_.find(watch); before != nodes_.end() && before->second != directory) {
    watches_.erase(before->second);
  }
  if (auto before = watches_.find(directory); before != watches_.end() && before->second != watch) {
    const int stale = before->second;
    nodes_.erase(stale);
    ::inotify_rm_watch(queue_.get(), stale);
  }
  nodes_[watch] = directory;
  watches_[directory] = watch;
  return ok();
}

void InotifyCapture::forget(NodeId directory) {
  const auto found = watches_.find(directory);
  if (found == watches_.end()) return;
  ::inotify_rm_watch(queue_.get(), found->second);  // refused when the directory itself is gone: as wanted
  nodes_.erase(found->second);
  watches_.erase(found);
}

// The kernel has removed this watch because its directory is gone. If the shadow still has it, a directory of the same
// name and inode number may stand there by now, unwatched: only the sink can tell.
void InotifyCapture::drop(int watch, CaptureSink& sink) {
  const auto found = nodes_.find(watch);
  if (found == nodes_.end()) return;
  const NodeId node = found->second;
  watches_.erase(node);
  nodes_.erase(found);
  ++statistics_.hints;
  sink.hint(node, {}, kHintName | kHintDirectory);
}

void InotifyCapture::hint(const Event& event, CaptureSink& sink) {
  const u32 what = hint_bits(event.mask);
  if ((what & ~kHintDirectory) == 0) return;
  const auto found = nodes_.find(event.watch);
  if (found == nodes_.end()) return;  // a watch that was given up while its events were waiting
  merger_.hint(sink, found->second, event.name, event.name.empty() ? kHintAttributes | kHintDirectory : what);
}

void InotifyCapture::deliver(const std::vector<CaptureRoot>&, CaptureSink& sink) {
  const EventReader::Losses losses = reader_.take(batch_);
  merger_.begin();
  if (losses.buffer) lose(sink, "buffer");
  if (losses.read_error != 0) lose(sink, std::string("read(inotify): ") + ::strerrordesc_np(losses.read_error));

  // New names of renames come first: their old names are then recognised as moved instead of found missing.
  Event event;
  const u8* bytes = batch_.data();
  std::size_t size = batch_.size();
  while (next_event(bytes, size, event)) {
    if ((event.mask & IN_MOVED_TO) != 0) hint(event, sink);
  }
  bytes = batch_.data();
  size = batch_.size();
  while (next_event(bytes, size, event)) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) lose(sink, "overflow");
    if ((event.mask & IN_UNMOUNT) != 0) lose(sink, "unmount");
    hint(event, sink);
    if ((event.mask & IN_IGNORED) != 0) drop(event.watch, sink);
  }
}

CaptureStatistics InotifyCapture::statistics() const {
  CaptureStatistics statistics = statistics_;
  statistics.events = reader_.events();
  statistics.buffered = reader_.buffered();
  statistics.watches = nodes_.size();
  return statistics;
}

}  // namespace

Result<std::unique_ptr<Capture>> open_inotify(const CaptureOptions& options) {
  Fd queue(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!queue) return sys_error("inotify_init1");
  return std::unique_ptr<Capture>(new InotifyCapture(std::move(queue), options));
}

}  // namespace understudy
