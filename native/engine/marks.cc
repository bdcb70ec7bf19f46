#include "marks.h"

#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <atomic>

#include "crc.h"

#include <xxhash.h>

namespace understudy {
namespace {

constexpr std::size_t kPageBytes = 4'096;
constexpr std::size_t kFileBytes = 3 * kPageBytes;   // live page, two durable slots
constexpr u64 kMagic = 0x316B'72614D74'7355;         // "UstMark1", nearly

// sequence << 18 | operations done << 1 | next one begun: one word, so no store can be seen half.
constexpr u32 kOpsBits = 17;
constexpr u64 progress_of(u64 sequence, u32 ops, bool begun) {
  return sequence << (kOpsBits + 1) | u64{ops} << 1 | (begun ? 1 : 0);
}
static_assert(wire::kBatchOpsMax < (1u << kOpsBits));

struct Slot {
  u64 magic;
  u64 generation;
  u64 stream;
  u64 durable;
  u64 boot;
  u64 replica;
  u64 previous;   // the stream before this one; 0: none
  u32 reserved;
  u32 checksum;   // of the bytes before
};
static_assert(sizeof(Slot) == 64);

u32 slot_checksum(const Slot& slot) { return checksum(&slot, offsetof(Slot, checksum)); }

}  // namespace

// The live mark; only 64-bit words, all of them written with ordinary aligned stores.
struct Marks::Page {
  u64 magic;
  u64 boot;
  u64 replica;
  u64 stream;
  u64 previous;
  u64 progress;
  Evidence evidence;
};

namespace {

void store(u64& word, u64 value) { std::atomic_ref<u64>(word).store(value, std::memory_order_release); }
u64 load(u64& word) { return std::atomic_ref<u64>(word).load(std::memory_order_acquire); }

}  // namespace

u64 boot_digest() {
  char text[64];
  const Fd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  const ssize_t size = fd ? ::read(fd.get(), text, sizeof text) : -1;
  return size > 0 ? XXH3_64bits(text, static_cast<std::size_t>(size)) : 0;
}

Result<std::unique_ptr<Marks>> Marks::open(const std::string& path, u64 boot, u64 replica) {
  std::unique_ptr<Marks> marks(new Marks);
  marks->boot_ = boot;
  marks->replica_ = replica;
  marks->file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  const int fd = marks->file_.get();
  if (fd < 0) return sys_error("open(mark)");
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return sys_error("flock(mark)");
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (size < 0) return sys_error("lseek(mark)");
  if (size < static_cast<off_t>(kFileBytes)) {
    // Written in place from now on: a store to a page without a block of its own would end in SIGBUS on a full disk.
    int flags = 0;
    if (size == 0 && ::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
      flags |= FS_NOCOW_FL;
      ::ioctl(fd, FS_IOC_SETFLAGS, &flags);   // btrfs only; elsewhere refused, and not needed
    }
    static const u8 zeros[kFileBytes] = {};
    if (::pwrite(fd, zeros, sizeof zeros, 0) != static_cast<ssize_t>(sizeof zeros)) return sys_error("pwrite(mark)");
    if (::fsync(fd) != 0) return sys_error("fsync(mark)");
  }
  Slot best{};
  for (int i = 0; i < 2; ++i) {
    Slot slot;
    const off_t at = static_cast<off_t>(kPageBytes) * (1 + i);
    if (::pread(fd, &slot, sizeof slot, at) != static_cast<ssize_t>(sizeof slot)) return sys_error("pread(mark)");
    if (slot.magic != kMagic || slot.checksum != slot_checksum(slot)) continue;
    if (slot.generation > best.generation) best = slot;
  }
  marks->generation_ = best.generation;
  if (best.stream != 0 && best.replica != replica) {
    marks->replica_changed_ = true;
    best = {};
  }
  void* memory = ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return sys_error("mmap(mark)");
  Page* page = marks->page_ = static_cast<Page*>(memory);

  const bool alive = page->magic == kMagic && boot != 0 && page->boot == boot && page->replica == replica &&
                     page->stream != 0 && !marks->replica_changed_;
  if (alive) {
    marks->in_doubt_ = (page->progress & 1) != 0;
    // The record of another stream is one that ended between the two steps of start_stream.
    marks->durable_ = best.stream == page->stream ? best.durable : 0;
    if (marks->durable_ > marks->applied()) marks->durable_ = marks->applied();
  } else {
    store(page->stream, 0);   // whatever happens from here on, no half of this is believed
    store(page->boot, boot);
    store(page->replica, replica);
    store(page->evidence.operation, 0);
    store(page->previous, best.previous);
    store(page->progress, progress_of(best.durable, 0, false));
    store(page->magic, kMagic);
    store(page->stream, best.stream);
    marks->durable_ = best.durable;
  }
  return marks;
}

Marks::~Marks() {
  if (page_ != nullptr) ::munmap(page_, kPageBytes);
}

u64 Marks::stream() const { return load(page_->stream); }
u64 Marks::applied() const { return load(page_->progress) >> (kOpsBits + 1); }
u32 Marks::applied_ops() const { return static_cast<u32>(load(page_->progress) >> 1) & ((1u << kOpsBits) - 1); }
bool Marks::fresh() const {
  return stream() == 0 || (load(page_->previous) == 0 && applied() == 0 && applied_ops() == 0 && !in_doubt_);
}
Evidence* Marks::evidence() { return &page_->evidence; }

Status Marks::start_stream(u64 stream) {
  // A stream that ended before anything of it was applied does not make a replica.
  const u64 previous = fresh() ? 0 : this->stream();
  store(page_->stream, 0);
  store(page_->previous, previous);
  store(page_->evidence.operation, 0);
  store(page_->progress, 0);
  in_doubt_ = false;
  durable_ = 0;
  store(page_->stream, stream);
  return write_slot();
}

// `progress` counts from the batch before the one that is being applied: its `sequence` part is what is fully applied.
void Marks::begin_operation(u64 sequence, u32 index) { store(page_->progress, progress_of(sequence - 1, index, true)); }
void Marks::end_operation(u64 sequence, u32 index) {
  store(page_->progress, progress_of(sequence - 1, index + 1, false));
}
void Marks::end_batch(u64 sequence) { store(page_->progress, progress_of(sequence, 0, false)); }

Status Marks::write_durable(u64 sequence) {
  durable_ = sequence;
  return write_slot();
}

Status Marks::write_slot() {
  Slot slot{};
  slot.magic = kMagic;
  slot.generation = ++generation_;
  slot.stream = stream();
  slot.durable = durable_;
  slot.boot = boot_;
  slot.replica = replica_;
  slot.previous = load(page_->previous);
  slot.checksum = slot_checksum(slot);
  const off_t at = static_cast<off_t>(kPageBytes) * (1 + static_cast<off_t>(generation_ % 2));
  if (::pwrite(file_.get(), &slot, sizeof slot, at) != static_cast<ssize_t>(sizeof slot)) return sys_error("pwrite(mark)");
  if (::fdatasync(file_.get()) != 0) return sys_error("fdatasync(mark)");
  return ok();
}

}  // namespace understudy
