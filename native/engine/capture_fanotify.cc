// Capture by fanotify: one mark per superblock tells of every change on it, whatever the number of directories.
//
// An event is taken as "look at this name in this directory". The kernel merges events of one name into one, so their
// order within a name is lost; names of renames are given first, new before old, so that a rename can be recognised
// before its old name is found missing.
#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/vfs.h>

#include <algorithm>

#include "capture.h"
#include "capture_handles.h"
#include "capture_hints.h"
#include "capture_mounts.h"
#include "capture_reader.h"

namespace understudy {
namespace {

// hint_bits
static_assert(FAN_CREATE == IN_CREATE && FAN_DELETE == IN_DELETE && FAN_MOVED_FROM == IN_MOVED_FROM && FAN_MOVED_TO == IN_MOVED_TO &&
              FAN_MODIFY == IN_MODIFY && FAN_CLOSE_WRITE == IN_CLOSE_WRITE && FAN_ATTRIB == IN_ATTRIB && FAN_ONDIR == IN_ISDIR);

// glibc may be older than the kernel.
constexpr unsigned kFanReportTarget = 0x1000;
constexpr u8 kInfoOldName = 10, kInfoNewName = 12;

constexpr u64 kBaseMask = FAN_CREATE | FAN_DELETE | FAN_CLOSE_WRITE | FAN_MODIFY | FAN_ATTRIB | FAN_ONDIR;
constexpr u64 kMovedMask = FAN_MOVED_FROM | FAN_MOVED_TO;

// A directory and a name in it, as one information record of an event gives them.
struct Place {
  HandleResolver::Key directory;
  std::string_view name;
};

struct Event {
  u64 mask = 0;
  Place place, old_place, new_place;
  HandleResolver::Key object;  // what the event is about; the name's object or, without a place, some open file
};

// Cuts the next event off `bytes`. Records of unknown types are skipped; a malformed tail ends the batch (`false`).
bool next_event(const u8*& bytes, std::size_t& size, Event& event) {
  fanotify_event_metadata metadata;
  if (size < sizeof metadata) return false;
  std::memcpy(&metadata, bytes, sizeof metadata);
  if (metadata.event_len < sizeof metadata || metadata.event_len > size) return false;
  event = Event{};
  event.mask = metadata.mask;
  for (std::size_t at = metadata.metadata_len; at + sizeof(fanotify_event_info_header) <= metadata.event_len;) {
    fanotify_event_info_header header;
    std::memcpy(&header, bytes + at, sizeof header);
    if (header.len < sizeof header || at + header.len > metadata.event_len) break;
    Place* place = header.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME ? &event.place
                   : header.info_type == FAN_EVENT_INFO_TYPE_DFID    ? &event.place
                   : header.info_type == kInfoOldName                ? &event.old_place
                   : header.info_type == kInfoNewName                ? &event.new_place
                                                                     : nullptr;
    const bool is_object = header.info_type == FAN_EVENT_INFO_TYPE_FID;
    const char* const record = reinterpret_cast<const char*>(bytes + at);
    constexpr std::size_t kFsidAt = sizeof header, kHandleAt = kFsidAt + sizeof(__kernel_fsid_t);
    if ((place != nullptr || is_object) && header.len >= kHandleAt + sizeof(file_handle)) {
      file_handle handle;
      std::memcpy(&handle, record + kHandleAt, sizeof handle);
      const std::size_t name_at = kHandleAt + sizeof handle + handle.handle_bytes;
      if (is_object && name_at <= header.len) event.object = {record + kFsidAt, name_at - kFsidAt};
      if (place != nullptr && name_at <= header.len) {
        place->directory = {record + kFsidAt, name_at - kFsidAt};
        if (header.info_type != FAN_EVENT_INFO_TYPE_DFID) {
          place->name = {record + name_at, ::strnlen(record + name_at, header.len - name_at)};
        }
      }
    }
    at += header.len;
  }
  bytes += metadata.event_len;
  size -= metadata.event_len;
  return true;
}

u64 count_events(const u8* bytes, std::size_t size) {
  u64 count = 0;
  for (u32 length; size >= sizeof(fanotify_event_metadata); bytes += length, size -= length, ++count) {
    std::memcpy(&length, bytes, sizeof length);
    if (length < sizeof(fanotify_event_metadata) || length > size) break;
  }
  return count;
}

constexpr std::size_t kRemovedSlots = 4096;

class FanotifyCapture final : public Capture {
 public:
  FanotifyCapture(Fd group, const CaptureOptions& options)
      : group_(std::move(group)), reader_(options), merger_(statistics_), removed_(kRemovedSlots), rename_events_(!options.old_kernel) {}
  ~FanotifyCapture() override { stop(); }

  const char* name() const override { return "fanotify"; }
  Status start(const std::vector<CaptureRoot>& roots, int wake_fd) override;
  void deliver(const std::vector<CaptureRoot>& roots, CaptureSink& sink) override;
  void barrier() override { reader_.barrier(); }
  Status watch(NodeId, int) override { return ok(); }
  void forget(NodeId directory) override { resolver_.forget(directory); }
  CaptureStatistics statistics() const override;
  void stop() override;

 private:
  Result<u64> mark_root(int fd);
  Status mark_superblock(int fd);
  void report_losses(const EventReader::Losses& losses, CaptureSink& sink);
  void lose(CaptureSink& sink, std::string_view why);
  void hint_place(const Place& place, u32 what, CaptureSink& sink);
  void hint_object(const Event& event, CaptureSink& sink);
  void note_moved_directory(const Place& to, CaptureSink& sink);

  Fd group_;
  EventReader reader_;
  CaptureStatistics statistics_;
  HintMerger merger_;
  HandleResolver resolver_;
  Bytes batch_;
  std::vector<u64> removed_;   // hashes of objects that lost a name in this batch; direct-mapped, see hint_object
  bool rename_events_;  // false before Linux 5.17: a rename comes as two halves
};

Status FanotifyCapture::mark_superblock(int fd) {
  const u64 mask = kBaseMask | (rename_events_ ? kFanRename : kMovedMask);
  if (::fanotify_mark(group_.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, fd, ".") == 0) return ok();
  if (errno == EINVAL && rename_events_) {
    rename_events_ = false;
    return mark_superblock(fd);
  }
  return sys_error("fanotify_mark");
}

// Marks the superblock below `fd`; returns the fsid which its events will carry.
Result<u64> FanotifyCapture::mark_root(int fd) {
  const auto fsid_of = [](int of) -> Result<u64> {
    struct statfs status;
    if (::fstatfs(of, &status) != 0) return sys_error("fstatfs");
    u64 fsid;
    static_assert(sizeof fsid == sizeof status.f_fsid);
    std::memcpy(&fsid, &status.f_fsid, sizeof fsid);
    return fsid;
  };
  const Status marked = mark_superblock(fd);
  if (marked) return fsid_of(fd);
  if (marked.error().code != EXDEV) return marked.error();
  // A btrfs subvolume: only the top level can be marked. The mark outlives the mount it was made through.
  Result<MountInfo> mount = find_mount(fd);
  if (!mount || mount->type != "btrfs") return marked.error();
  Result<Fd> top = open_btrfs_top(*mount);
  if (!top) return top.error();
  if (Status again = mark_superblock(top->get()); !again) return again.error();
  return fsid_of(top->get());
}

// Resolving a handle needs a capability of its own; without it every event would be worthless.
Status check_handles(int root_fd) {
  alignas(file_handle) u8 bytes[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(bytes);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (::name_to_handle_at(root_fd, "", handle, &mount_id, AT_EMPTY_PATH) != 0) return sys_error("name_to_handle_at");
  const Fd mount(::openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!mount) return sys_error("openat");
  const Fd opened(::open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC));
  if (!opened) return sys_error("open_by_handle_at");
  return ok();
}

Status FanotifyCapture::start(const std::vector<CaptureRoot>& roots, int wake_fd) {
  for (const CaptureRoot& root : roots) {
    if (root.fd < 0) continue;
    if (Status usable = check_handles(root.fd); !usable) return usable;
    Result<u64> fsid = mark_root(root.fd);
    if (!fsid) return fsid.error();
    resolver_.add_root(root.path, *fsid);
    ++statistics_.watches;
  }
  return reader_.start(group_.get(), wake_fd, count_events, nullptr);
}

void FanotifyCapture::stop() {
  reader_.stop();
  group_.reset();
  statistics_.watches = 0;
}

void FanotifyCapture::lose(CaptureSink& sink, std::string_view why) {
  ++statistics_.lost;
  resolver_.directory_moved();  // one of the lost events may have told so
  sink.lost(why);
}

void FanotifyCapture::report_losses(const EventReader::Losses& losses, CaptureSink& sink) {
  if (losses.buffer) lose(sink, "buffer");
  if (losses.read_error != 0) lose(sink, std::string("read(fanotify): ") + ::strerrordesc_np(losses.read_error));
}

void FanotifyCapture::hint_place(const Place& place, u32 what, CaptureSink& sink) {
  if (place.directory.empty()) return;
  std::string_view name = place.name;
  if (name == ".") name = {};
  const DirectoryPlace& directory = resolver_.resolve(place.directory, sink);
  switch (directory.kind) {
    case DirectoryPlace::kKnown:
      if (name.empty()) what = kHintAttributes | kHintDirectory;
      merger_.hint(sink, directory.node, name, what);
      break;
    case DirectoryPlace::kInside:
      ++statistics_.hints;
      sink.unknown_directory(directory.path, name, what);
      break;
    case DirectoryPlace::kOutside:
    case DirectoryPlace::kGone:
      break;
  }
}

// An object that was opened by its handle and not by a name. The kernel also tells of each removed name that its
// object's link count changed; that says nothing which the removal does not say.
void FanotifyCapture::hint_object(const Event& event, CaptureSink& sink) {
  const u64 hash = std::hash<std::string_view>{}(event.object);
  if (event.mask == FAN_ATTRIB && removed_[hash % kRemovedSlots] == hash) return;
  u64 device = 0, inode = 0;
  if (!resolver_.identify(event.object, device, inode)) return;
  ++statistics_.hints;
  sink.hint_object(device, inode, hint_bits(event.mask));
}

// A directory that was outside came into the set only if its new parent lies inside. (A parent that is moved later
// has an event of its own, later.)
void FanotifyCapture::note_moved_directory(const Place& to, CaptureSink& sink) {
  if (to.directory.empty()) return;
  const DirectoryPlace::Kind kind = resolver_.resolve(to.directory, sink).kind;
  if (kind == DirectoryPlace::kKnown || kind == DirectoryPlace::kInside) resolver_.directory_moved();
}

void FanotifyCapture::deliver(const std::vector<CaptureRoot>& roots, CaptureSink& sink) {
  const EventReader::Losses losses = reader_.take(batch_);
  merger_.begin();
  resolver_.begin(roots);
  report_losses(losses, sink);

  Event event;
  const u8* bytes = batch_.data();
  std::size_t size = batch_.size();
  std::fill(removed_.begin(), removed_.end(), 0);
  while (next_event(bytes, size, event)) {
    if ((event.mask & FAN_DELETE) != 0 && !event.object.empty()) {
      const u64 hash = std::hash<std::string_view>{}(event.object);
      removed_[hash % kRemovedSlots] = hash;
    }
    const Place& to = (event.mask & kFanRename) != 0 ? event.new_place : event.place;
    if ((event.mask & (kFanRename | FAN_MOVED_TO)) == 0) continue;
    if ((event.mask & FAN_ONDIR) != 0) note_moved_directory(to, sink);
    hint_place(to, hint_bits(event.mask), sink);
  }
  bytes = batch_.data();
  size = batch_.size();
  while (next_event(bytes, size, event)) {
    if ((event.mask & FAN_Q_OVERFLOW) != 0) {
      lose(sink, "overflow");
      continue;
    }
    hint_place(event.old_place, hint_bits(event.mask), sink);
    hint_place(event.place, hint_bits(event.mask), sink);
    if (event.place.directory.empty() && !event.object.empty() && (event.mask & kFanRename) == 0) hint_object(event, sink);
  }
  if (const int code = resolver_.failure(); code != 0) {
    // Events whose directory cannot be found are lost events.
    lose(sink, std::string("open_by_handle_at: ") + ::strerrordesc_np(code));
  }
  resolver_.end();
}

CaptureStatistics FanotifyCapture::statistics() const {
  CaptureStatistics statistics = statistics_;
  statistics.events = reader_.events();
  statistics.buffered = reader_.buffered();
  return statistics;
}

}  // namespace

Result<std::unique_ptr<Capture>> open_fanotify(const CaptureOptions& options) {
  constexpr unsigned kBase = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_REPORT_DFID_NAME;
  Fd group;
  if (!options.old_kernel) {
    group.reset(::fanotify_init(kBase | FAN_REPORT_FID | kFanReportTarget, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
    if (!group && errno != EINVAL) return sys_error("fanotify_init");
  }
  if (!group) group.reset(::fanotify_init(kBase, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
  if (!group) return sys_error("fanotify_init");
  return std::unique_ptr<Capture>(new FanotifyCapture(std::move(group), options));
}

}  // namespace understudy
