#include "disk_queue.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdio>

#include "crc.h"
#include "wire.h"

namespace understudy {

namespace {
constexpr u32 kMagic = 0x31715355;               // "USq1"
constexpr u32 kMirror = 1;
constexpr u32 kTouchedBytesMax = 64u << 20;
constexpr u64 kSpare = 1u << 20;                 // room means room for more than one small batch
constexpr i64 kMeasureNs = 200'000'000;
constexpr char kSuffix[] = ".queue";

Status read_all(int fd, void* data, std::size_t size, u64 offset) {
  u8* at = static_cast<u8*>(data);
  while (size > 0) {
    const ssize_t got = ::pread(fd, at, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return sys_error("pread(queue)");
    if (got == 0) return SysError{EBADMSG, "queue: a record ends too early"};
    at += got;
    offset += static_cast<u64>(got);
    size -= static_cast<std::size_t>(got);
  }
  return ok();
}

Status write_all(int fd, const void* data, std::size_t size, u64 offset) {
  const u8* at = static_cast<const u8*>(data);
  while (size > 0) {
    const ssize_t put = ::pwrite(fd, at, size, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put < 0 ? sys_error("write(queue)") : SysError{EIO, "write(queue)"};
    at += put;
    offset += static_cast<u64>(put);
    size -= static_cast<std::size_t>(put);
  }
  return ok();
}

SysError damaged(const char* what) { return SysError{EBADMSG, std::string("queue: ") + what}; }
}  // namespace

struct DiskQueue::Head {
  u32 magic;
  u32 checksum;          // of the rest of the head
  u64 stream;
  u64 sequence;
  u32 size;              // of the batch
  u32 batch_checksum;
  u32 touched_size;
  u32 touched_checksum;
  u32 touched_count;
  u32 operations;
  u64 data_bytes;
  i64 since_ns;          // CLOCK_REALTIME: it may be read after a restart
  u32 flags;
  u32 reserved;
};

DiskQueue::DiskQueue(DiskQueueOptions options) : options_(std::move(options)) {}

DiskQueue::~DiskQueue() {
  if (kept_) return;
  clear();
  if (folder_) ::rmdir(options_.folder.c_str());
}

Status DiskQueue::make_folder() {
  if (folder_) return ok();
  if (::mkdir(options_.folder.c_str(), 0700) != 0 && errno != EEXIST) return sys_error("mkdir(queue)");
  folder_ = Fd(::open(options_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_) return sys_error("open(queue folder)");
  return ok();
}

// QUE-07, QUE-08: both limits count.
Status DiskQueue::fits(u64 size, bool limited) {
  if (limited && (size > options_.bytes_max || bytes_ > options_.bytes_max - size)) return SysError{EDQUOT, "the maximum disk space for the queue"};
  struct statvfs volume;
  if (::fstatvfs(folder_.get(), &volume) != 0) return sys_error("fstatvfs(queue)");
  measured_ns_ = monotonic_ns();
  available_ = static_cast<u64>(volume.f_bavail) * volume.f_frsize;
  if (available_ < size || available_ - size < options_.free_min) return SysError{ENOSPC, "the minimum free space of the queue's volume"};
  return ok();
}

bool DiskQueue::room() {
  if (!enabled() || kept_) return false;
  if (monotonic_ns() - measured_ns_ < kMeasureNs) return why_ == 0;
  Status possible = make_folder();
  if (possible) possible = fits(kSpare, true);
  measured_ns_ = monotonic_ns();
  why_ = possible ? 0 : possible.error().code;
  return why_ == 0;
}

u64 DiskQueue::capacity() const {
  if (!enabled()) return 0;
  const u64 free = available_ > options_.free_min ? available_ - options_.free_min : 0;
  return std::min(options_.bytes_max, bytes_ + free);
}

Result<DiskQueue::SegmentPtr> DiskQueue::make_segment(u64 first) {
  auto segment = std::make_shared<Segment>();
  char name[17 + sizeof kSuffix];
  std::snprintf(name, sizeof name, "%016llx%s", static_cast<unsigned long long>(first), kSuffix);
  segment->path = options_.folder + "/" + name;
  segment->first = first;
  segment->last = first - 1;
  segment->file = Fd(::openat(folder_.get(), name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!segment->file) return sys_error("open(queue segment)");
  return segment;
}

u64 DiskQueue::record_size(const StreamBatch& batch, const std::vector<SetPath>& touched) {
  u64 size = sizeof(Head) + batch.bytes->size() + touched.size() * kSetPathHead;
  for (const SetPath& path : touched) size += path.path.size();
  return size;
}

// At the end of the segment, whole or not at all.
Status DiskQueue::write_record(Segment& segment, u64 stream, const StreamBatch& batch, const std::vector<SetPath>& touched) {
  Head head{};
  Bytes front(sizeof head);
  front.resize(sizeof head);
  for (const SetPath& path : touched) put_path(front, path);
  head.magic = kMagic;
  head.stream = stream;
  head.sequence = batch.sequence;
  head.size = static_cast<u32>(batch.bytes->size());
  head.batch_checksum = checksum(batch.bytes->data(), batch.bytes->size());
  head.touched_size = static_cast<u32>(front.size() - sizeof head);
  head.touched_checksum = checksum(front.data() + sizeof head, head.touched_size);
  head.touched_count = static_cast<u32>(touched.size());
  head.operations = batch.operations;
  head.data_bytes = batch.data_bytes;
  head.since_ns = batch.since_ns == 0 ? 0 : realtime_ns() - (monotonic_ns() - batch.since_ns);
  head.flags = batch.mirror ? kMirror : 0;
  head.checksum = checksum(&head.stream, sizeof head - offsetof(Head, stream));
  std::memcpy(front.data(), &head, sizeof head);
  Status written = write_all(segment.file.get(), front.data(), front.size(), segment.size);
  if (written) written = write_all(segment.file.get(), batch.bytes->data(), batch.bytes->size(), segment.size + front.size());
  if (!written) (void)!::ftruncate(segment.file.get(), static_cast<off_t>(segment.size));
  return written;
}

Status DiskQueue::append(u64 stream, const StreamBatch& batch, const std::vector<SetPath>& touched) {
  const u64 size = record_size(batch, touched);
  auto failed = [this](SysError error) {
    why_ = error.code == 0 ? EIO : error.code;
    measured_ns_ = monotonic_ns();
    return error;
  };
  if (!enabled() || kept_) return SysError{EDQUOT, "there is no disk queue"};
  Status possible = make_folder();
  if (possible) possible = fits(size, true);
  if (!possible) return failed(possible.error());
  SegmentPtr segment;
  {
    std::lock_guard lock(mutex_);
    appending_ = true;
    if (!segments_.empty()) segment = segments_.back();
  }
  bool fresh = false;
  if (!segment || segment->size >= options_.segment_bytes || segment->last + 1 != batch.sequence) {
    // Its end is known to the disk soon, so that a stop of the agent has little to wait for.
    if (segment) ::sync_file_range(segment->file.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    Result<SegmentPtr> made = make_segment(batch.sequence);
    if (!made) {
      std::lock_guard lock(mutex_);
      appending_ = false;
      return failed(made.error());
    }
    segment = *made;
    fresh = true;
  }
  const Status written = write_record(*segment, stream, batch, touched);
  std::lock_guard lock(mutex_);
  appending_ = false;
  if (!written) {
    if (fresh) ::unlink(segment->path.c_str());
    return failed(written.error());
  }
  if (unread_ == 0) next_read_ = batch.sequence;
  if (fresh) {
    segments_.push_back(segment);
    if (unread_ == 0) {   // Whatever lies before it was read.
      read_segment_ = segments_.size() - 1;
      read_offset_ = 0;
    }
  }
  segment->size += size;
  segment->last = batch.sequence;
  segment->synced = false;
  stream_ = stream;
  bytes_ += size;
  unread_.fetch_add(1, std::memory_order_release);
  why_ = 0;
  return ok();
}

// Where reading goes on. Under mutex_.
bool DiskQueue::position(SegmentPtr& segment, u64& offset) {
  if (unread_ == 0) return false;
  while (read_segment_ + 1 < segments_.size() && read_offset_ >= segments_[read_segment_]->size) {
    ++read_segment_;
    read_offset_ = 0;
  }
  if (read_segment_ >= segments_.size()) return false;
  segment = segments_[read_segment_];
  offset = read_offset_;
  return true;
}

Result<DiskQueue::Head> DiskQueue::read_head(const Segment& segment, u64 offset) const {
  Head head;
  if (Status got = read_all(segment.file.get(), &head, sizeof head, offset); !got) return got.error();
  if (head.magic != kMagic || head.checksum != checksum(&head.stream, sizeof head - offsetof(Head, stream)))
    return damaged("the head of a record is damaged");
  if (head.size > wire::kBatchBytesMax || head.touched_size > kTouchedBytesMax) return damaged("a record is too long");
  return head;
}

Result<u64> DiskQueue::peek() {
  SegmentPtr segment;
  u64 offset;
  {
    std::lock_guard lock(mutex_);
    if (!position(segment, offset)) return SysError{ECANCELED, "queue"};
  }
  Result<Head> head = read_head(*segment, offset);
  if (!head) return head.error();
  return u64{head->size} + head->touched_size;
}

Result<DiskRecord> DiskQueue::read() {
  SegmentPtr segment;
  u64 offset, generation, wanted, stream;
  {
    std::lock_guard lock(mutex_);
    if (!position(segment, offset)) return SysError{ECANCELED, "queue"};
    generation = generation_;
    wanted = next_read_;
    stream = stream_;
  }
  auto cancelled = [&] {
    std::lock_guard lock(mutex_);
    return generation != generation_;
  };
  Result<Head> head = read_head(*segment, offset);
  if (!head) return cancelled() ? SysError{ECANCELED, "queue"} : head.error();
  if (head->stream != stream || head->sequence != wanted) return cancelled() ? SysError{ECANCELED, "queue"} : damaged("a record is missing");
  Bytes names, bytes;
  names.resize(head->touched_size);
  bytes.resize(head->size);
  Status got = read_all(segment->file.get(), names.data(), names.size(), offset + sizeof(Head));
  if (got) got = read_all(segment->file.get(), bytes.data(), bytes.size(), offset + sizeof(Head) + names.size());
  if (got && (checksum(names.data(), names.size()) != head->touched_checksum || checksum(bytes.data(), bytes.size()) != head->batch_checksum))
    got = damaged("a record is damaged");
  if (!got) return cancelled() ? SysError{ECANCELED, "queue"} : got.error();
  DiskRecord record;
  const u8* at = names.data();
  const u8* const end = at + names.size();
  while (at != end) {
    SetPath path;
    if (!take_path(at, end, path)) return damaged("a record is damaged");
    record.touched.push_back(std::move(path));
  }
  record.batch.sequence = head->sequence;
  record.batch.mirror = (head->flags & kMirror) != 0;
  record.batch.operations = head->operations;
  record.batch.data_bytes = head->data_bytes;
  record.batch.since_ns = head->since_ns == 0 ? 0 : std::max<i64>(1, monotonic_ns() - std::max<i64>(0, realtime_ns() - head->since_ns));
  record.batch.bytes = std::make_shared<const Bytes>(std::move(bytes));
  std::lock_guard lock(mutex_);
  if (generation != generation_) return SysError{ECANCELED, "queue"};
  read_offset_ += sizeof(Head) + head->touched_size + head->size;
  next_read_ = wanted + 1;
  unread_.fetch_sub(1, std::memory_order_release);
  return record;
}

u64 DiskQueue::first_unread() const {
  std::lock_guard lock(mutex_);
  return next_read_;
}

void DiskQueue::forget(const Segment& segment) {
  ::unlink(segment.path.c_str());
  bytes_ -= segment.size;
}

void DiskQueue::applied(u64 sequence) {
  std::lock_guard lock(mutex_);
  while (!segments_.empty() && segments_.front()->last <= sequence) {
    const bool read = read_segment_ > 0 || read_offset_ >= segments_.front()->size;
    if (!read || (segments_.size() == 1 && appending_)) return;
    forget(*segments_.front());
    segments_.pop_front();
    if (read_segment_ > 0) --read_segment_;
    else read_offset_ = 0;
  }
}

void DiskQueue::clear() {
  std::lock_guard lock(mutex_);
  for (const SegmentPtr& segment : segments_) forget(*segment);
  segments_.clear();
  read_segment_ = 0;
  read_offset_ = 0;
  unread_ = 0;
  ++generation_;
  measured_ns_ = 0;
}

// ------------------------------------------------------------------------------------------- from one run to the next

Status DiskQueue::keep_batch(u64 stream, const StreamBatch& batch, const std::vector<SetPath>& touched) {
  if (Status possible = make_folder(); !possible) return possible;
  std::size_t at = 0;
  for (; at < segments_.size() && segments_[at]->first <= batch.sequence; ++at)
    if (batch.sequence <= segments_[at]->last) return ok();
  const u64 size = record_size(batch, touched);
  if (Status possible = fits(size, false); !possible) return possible;
  if (at == 0 || segments_[at - 1]->last + 1 != batch.sequence || segments_[at - 1]->size >= options_.segment_bytes) {
    Result<SegmentPtr> made = make_segment(batch.sequence);
    if (!made) return made.error();
    segments_.insert(segments_.begin() + static_cast<std::ptrdiff_t>(at), *made);
    ++at;
  }
  Segment& segment = *segments_[at - 1];
  if (Status written = write_record(segment, stream, batch, touched); !written) return written;
  segment.size += size;
  segment.last = batch.sequence;
  bytes_ += size;
  return ok();
}

Status DiskQueue::keep(i64 until_ns) {
  if (Status possible = make_folder(); !possible) return possible;
  for (const SegmentPtr& segment : segments_) {
    if (monotonic_ns() > until_ns) return SysError{ETIMEDOUT, "fdatasync(queue)"};
    if (!segment->synced && ::fdatasync(segment->file.get()) != 0) return sys_error("fdatasync(queue)");
    segment->synced = true;
  }
  if (::fsync(folder_.get()) != 0) return sys_error("fsync(queue folder)");
  kept_ = true;
  return ok();
}

Status DiskQueue::adopt(u64 stream, u64 first, u64 last) {
  if (Status possible = make_folder(); !possible) return possible;
  std::vector<u64> names;
  if (DIR* listing = ::fdopendir(::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))) {
    while (const dirent* entry = ::readdir(listing)) {
      u64 number = 0;
      int length = 0;
      if (std::sscanf(entry->d_name, "%16llx.queue%n", reinterpret_cast<unsigned long long*>(&number), &length) == 1 &&
          length > 0 && entry->d_name[length] == 0)
        names.push_back(number);
    }
    ::closedir(listing);
  }
  std::sort(names.begin(), names.end());
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto segment = std::make_shared<Segment>();
    char name[17 + sizeof kSuffix];
    std::snprintf(name, sizeof name, "%016llx%s", static_cast<unsigned long long>(names[i]), kSuffix);
    segment->path = options_.folder + "/" + name;
    segment->first = names[i];
    segment->last = i + 1 < names.size() ? names[i + 1] - 1 : last;
    segment->file = Fd(::openat(folder_.get(), name, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    struct stat stat;
    if (!segment->file || ::fstat(segment->file.get(), &stat) != 0) return sys_error("open(queue segment)");
    segment->size = static_cast<u64>(stat.st_size);
    segment->synced = true;
    bytes_ += segment->size;
    segments_.push_back(segment);
  }
  // What was applied before the stop is passed over.
  while (!segments_.empty() && segments_.front()->last < first) {
    forget(*segments_.front());
    segments_.pop_front();
  }
  if (segments_.empty()) return damaged("its files are gone");
  u64 at = segments_.front()->first;
  for (; at < first; ++at) {
    Result<Head> head = read_head(*segments_.front(), read_offset_);
    if (!head) return head.error();
    if (head->sequence != at) return damaged("a record is missing");
    read_offset_ += sizeof(Head) + head->touched_size + head->size;
  }
  if (at != first) return damaged("a record is missing");
  stream_ = stream;
  next_read_ = first;
  unread_ = last - first + 1;
  return ok();
}

bool DiskQueue::discard_leftovers() {
  DIR* listing = ::opendir(options_.folder.c_str());
  if (listing == nullptr) return false;
  bool any = false;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name(entry->d_name);
    if (name.ends_with(kSuffix)) any |= ::unlinkat(::dirfd(listing), entry->d_name, 0) == 0;
  }
  ::closedir(listing);
  return any;
}

}  // namespace understudy
