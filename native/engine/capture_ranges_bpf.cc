#include "capture_ranges_bpf.h"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <optional>

#include "kernel_types.h"

namespace understudy {
namespace {

constexpr std::size_t kDevicesMax = 64;
constexpr u32 kNoWakeup = 1;  // BPF_RB_NO_WAKEUP: the reader is woken by other events
constexpr int kPageShift = 12;    // x86-64; elsewhere `open` refuses other page sizes
constexpr u8 kAtomic = 0xC0;     // BPF_ATOMIC, called BPF_XADD in older headers
constexpr int kRingOutput = 130;  // bpf_ringbuf_output

// What the programs write; also the layout on their stack.
struct Record {
  u64 device, inode, offset, length;
};
static_assert(sizeof(Record) == 32);

long bpf(int command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

Result<Fd> make_map(u32 type, u32 key_bytes, u32 value_bytes, u32 entries) {
  bpf_attr attributes{};
  attributes.map_type = type;
  attributes.key_size = key_bytes;
  attributes.value_size = value_bytes;
  attributes.max_entries = entries;
  Fd map(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
  if (!map) return sys_error("bpf(BPF_MAP_CREATE)");
  return map;
}

// Writes the instructions of one program.
class Assembler {
 public:
  std::vector<bpf_insn> code;

  void emit(u8 opcode, u8 destination, u8 source, i64 offset, i64 value) {
    bpf_insn one{};
    one.code = opcode;
    one.dst_reg = destination & 0xF;
    one.src_reg = source & 0xF;
    one.off = static_cast<__s16>(offset);
    one.imm = static_cast<__s32>(value);
    code.push_back(one);
  }
  void load(u8 size, u8 to, u8 from, u32 offset) { emit(BPF_LDX | size | BPF_MEM, to, from, offset, 0); }
  void store(u8 from, i64 stack) { emit(BPF_STX | BPF_DW | BPF_MEM, BPF_REG_10, from, stack, 0); }
  void copy(u8 to, u8 from) { emit(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
  void set(u8 to, i64 value) { emit(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
  void map(u8 to, int fd, u8 kind) {
    emit(BPF_LD | BPF_DW | BPF_IMM, to, kind, 0, fd);
    emit(0, 0, 0, 0, 0);
  }
  void finish() {
    set(BPF_REG_0, 0);
    emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }
};

// Registers that every program fills before `report`.
constexpr u8 kContext = BPF_REG_6, kInode = BPF_REG_7, kOffset = BPF_REG_8, kLength = BPF_REG_9;

struct Layout {
  u32 inode_sb, inode_ino, inode_size, sb_dev, mapping_host, folio_index, folio_flags, folio_order, head_bit;
  u32 kiocb_file, kiocb_pos, file_inode, iter_count, iter_source;
};

std::optional<Layout> find_layout(const KernelTypes& types) {
  Layout layout{};
  bool complete = true;
  const auto find = [&](const char* structure, const char* member) {
    const std::optional<u32> offset = types.member_offset(structure, member);
    if (!offset) complete = false;
    return offset.value_or(0);
  };
  layout.inode_sb = find("inode", "i_sb");
  layout.inode_ino = find("inode", "i_ino");
  layout.inode_size = find("inode", "i_size");
  layout.sb_dev = find("super_block", "s_dev");
  layout.mapping_host = find("address_space", "host");
  layout.folio_index = find("folio", "index");
  layout.folio_flags = find("folio", "flags");
  layout.folio_order = find("folio", "_flags_1");
  const std::optional<u32> head = types.constant("pageflags", "PG_head");
  if (!head) complete = false;
  layout.head_bit = head.value_or(0);
  layout.kiocb_file = find("kiocb", "ki_filp");
  layout.kiocb_pos = find("kiocb", "ki_pos");
  layout.file_inode = find("file", "f_inode");
  layout.iter_count = find("iov_iter", "count");
  layout.iter_source = find("iov_iter", "data_source");
  if (!complete) return std::nullopt;
  return layout;
}

class BpfRanges final : public RangeHints {
 public:
  ~BpfRanges() override;
  Status start(const std::vector<u64>& devices, u32 ring_bytes);
  void drain(const Take& take) override;
  bool lost() override;

 private:
  using Prologue = std::function<bool(Assembler&, const char* tracepoint)>;
  Status attach(const char* tracepoint, const Prologue& prologue);
  void report(Assembler& code) const;
  bool argument(Assembler& code, const char* tracepoint, const char* name, u8 to) const;

  std::optional<KernelTypes> types_;  // only while starting: several MB
  std::vector<u32> devices_;          // as the kernel writes them: major << 20 | minor
  Fd ring_, counter_;
  std::vector<Fd> links_;
  Layout layout_{};
  u64 lost_before_ = 0;
  u32 ring_bytes_ = 0;
  std::size_t page_ = 0;
  u8* consumer_ = nullptr;
  u8* producer_ = nullptr;
};

BpfRanges::~BpfRanges() {
  if (consumer_ != nullptr) ::munmap(consumer_, page_);
  if (producer_ != nullptr) ::munmap(producer_, page_ + 2 * std::size_t{ring_bytes_});
}

// Puts a tracepoint's argument into a register; false when this kernel's tracepoint has no such argument.
bool BpfRanges::argument(Assembler& code, const char* tracepoint, const char* name, u8 to) const {
  const std::optional<u32> index = types_->argument(tracepoint, name);
  if (!index) return false;
  code.load(BPF_DW, to, kContext, *index * 8);
  return true;
}

// Ends the program: if the inode is on a watched device, writes a record; counts it when the ring is full.
void BpfRanges::report(Assembler& code) const {
  code.load(BPF_DW, BPF_REG_1, kInode, layout_.inode_sb);
  code.load(BPF_W, BPF_REG_1, BPF_REG_1, layout_.sb_dev);
  const std::size_t count = devices_.size();
  for (std::size_t i = 0; i < count; ++i) {
    // Over the remaining comparisons and the two instructions of `finish`.
    code.emit(BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_1, 0, static_cast<i64>(count - i - 1 + 2), devices_[i]);
  }
  code.finish();
  code.store(BPF_REG_1, -32);
  code.load(BPF_DW, BPF_REG_2, kInode, layout_.inode_ino);
  code.store(BPF_REG_2, -24);
  code.store(kOffset, -16);
  code.store(kLength, -8);
  code.map(BPF_REG_1, ring_.get(), BPF_PSEUDO_MAP_FD);
  code.copy(BPF_REG_2, BPF_REG_10);
  code.emit(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -32);
  code.set(BPF_REG_3, sizeof(Record));
  code.set(BPF_REG_4, kNoWakeup);
  code.emit(BPF_JMP | BPF_CALL, 0, 0, 0, kRingOutput);
  code.emit(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 4, 0);
  code.map(BPF_REG_1, counter_.get(), BPF_PSEUDO_MAP_VALUE);
  code.set(BPF_REG_2, 1);
  code.emit(BPF_STX | BPF_DW | kAtomic, BPF_REG_1, BPF_REG_2, 0, BPF_ADD);
  code.finish();
}

Status BpfRanges::attach(const char* tracepoint, const Prologue& prologue) {
  const std::optional<u32> id = types_->tracepoint(tracepoint);
  Assembler code;
  code.copy(kContext, BPF_REG_1);
  if (!id || !prologue(code, tracepoint)) {
    // Without one of them some changes would have no range: better none at all.
    return SysError{ENOENT, std::string("tracepoint ") + tracepoint};
  }
  report(code);
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_TRACING;
  attributes.expected_attach_type = BPF_TRACE_RAW_TP;
  attributes.attach_btf_id = *id;
  attributes.insns = reinterpret_cast<u64>(code.code.data());
  attributes.insn_cnt = static_cast<u32>(code.code.size());
  attributes.license = reinterpret_cast<u64>("Dual MIT/GPL");
  std::strncpy(attributes.prog_name, "understudy", sizeof attributes.prog_name - 1);
  const Fd program(static_cast<int>(bpf(BPF_PROG_LOAD, attributes)));
  if (!program) return SysError{errno, std::string("bpf(BPF_PROG_LOAD ") + tracepoint + ")"};
  bpf_attr link{};
  link.raw_tracepoint.prog_fd = static_cast<u32>(program.get());
  Fd attached(static_cast<int>(bpf(BPF_RAW_TRACEPOINT_OPEN, link)));
  if (!attached) return SysError{errno, std::string("bpf(BPF_RAW_TRACEPOINT_OPEN ") + tracepoint + ")"};
  links_.push_back(std::move(attached));
  return ok();
}

Status BpfRanges::start(const std::vector<u64>& devices, u32 ring_bytes) {
  if (devices.empty()) return SysError{EOPNOTSUPP, "range_hints"};
  if (::sysconf(_SC_PAGESIZE) != 1 << kPageShift) return SysError{EOPNOTSUPP, "range_hints"};
  if (devices.size() > kDevicesMax) return SysError{E2BIG, "range_hints"};
  for (u64 device : devices) devices_.push_back(static_cast<u32>(major(device) << 20 | minor(device)));
  Result<KernelTypes> types = KernelTypes::load();
  if (!types) return types.error();
  types_ = std::move(*types);
  const std::optional<Layout> layout = find_layout(*types_);
  if (!layout) return SysError{ENOENT, "kernel structure"};
  layout_ = *layout;

  Result<Fd> ring = make_map(BPF_MAP_TYPE_RINGBUF, 0, 0, ring_bytes);
  if (!ring) return ring.error();
  ring_ = std::move(*ring);
  Result<Fd> counter = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
  if (!counter) return counter.error();
  counter_ = std::move(*counter);
  page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  ring_bytes_ = ring_bytes;
  void* at = ::mmap(nullptr, page_, PROT_READ | PROT_WRITE, MAP_SHARED, ring_.get(), 0);
  if (at == MAP_FAILED) return sys_error("mmap");
  consumer_ = static_cast<u8*>(at);
  // The data appear twice in a row, so that a record which wraps around can be read in one piece.
  at = ::mmap(nullptr, page_ + 2 * std::size_t{ring_bytes}, PROT_READ, MAP_SHARED, ring_.get(), static_cast<off_t>(page_));
  if (at == MAP_FAILED) return sys_error("mmap");
  producer_ = static_cast<u8*>(at);

  const auto named = [this](const char* offset, const char* length) {
    return [this, offset, length](Assembler& code, const char* of) {
      if (!argument(code, of, "inode", kInode) || !argument(code, of, offset, kOffset)) return false;
      return argument(code, of, length, kLength);
    };
  };
  // Buffered writes, with exact bytes.
  if (Status done = attach("ext4_da_write_begin", named("pos", "len")); !done) return done;
  if (Status done = attach("ext4_write_begin", named("pos", "len")); !done) return done;
  // Direct writes. Reads pass here too: they fill memory, so they are not the data's source.
  const auto direct = [this](Assembler& code, const char* of) {
    if (!argument(code, of, "iter", BPF_REG_2) || !argument(code, of, "iocb", BPF_REG_1)) return false;
    code.load(BPF_B, BPF_REG_3, BPF_REG_2, layout_.iter_source);
    code.emit(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 2, 0);
    code.finish();
    code.load(BPF_DW, kLength, BPF_REG_2, layout_.iter_count);
    code.load(BPF_DW, kOffset, BPF_REG_1, layout_.kiocb_pos);
    code.load(BPF_DW, kInode, BPF_REG_1, layout_.kiocb_file);
    code.load(BPF_DW, kInode, kInode, layout_.file_inode);
    return true;
  };
  if (Status done = attach("iomap_dio_rw_begin", direct); !done) return done;
  // Stores through a mapping, when they make a clean page dirty: its whole folio.
  const auto dirty = [this](Assembler& code, const char* of) {
    if (!argument(code, of, "folio", BPF_REG_1) || !argument(code, of, "mapping", BPF_REG_2)) return false;
    code.emit(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 2, 0);  // the verifier demands it
    code.finish();
    code.load(BPF_DW, kInode, BPF_REG_2, layout_.mapping_host);
    code.load(BPF_DW, kOffset, BPF_REG_1, layout_.folio_index);
    code.emit(BPF_ALU64 | BPF_LSH | BPF_K, kOffset, 0, 0, kPageShift);
    code.set(kLength, 1 << kPageShift);
    code.load(BPF_DW, BPF_REG_3, BPF_REG_1, layout_.folio_flags);
    code.emit(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, layout_.head_bit);
    code.emit(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, 1);
    code.emit(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_3, 0, 3, 0);
    code.load(BPF_DW, BPF_REG_3, BPF_REG_1, layout_.folio_order);  // of a folio of several pages
    code.emit(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, 0x1F);
    code.emit(BPF_ALU64 | BPF_LSH | BPF_X, kLength, BPF_REG_3, 0, 0);
    return true;
  };
  if (Status done = attach("writeback_dirty_folio", dirty); !done) return done;
  // Truncation: everything from the new end on. Called after the size was set.
  const auto truncate = [this](Assembler& code, const char* of) {
    if (!argument(code, of, "inode", kInode)) return false;
    code.load(BPF_DW, kOffset, kInode, layout_.inode_size);
    code.set(kLength, -1);
    return true;
  };
  if (Status done = attach("ext4_truncate_enter", truncate); !done) return done;
  for (const char* of : {"ext4_fallocate_enter", "ext4_punch_hole", "ext4_zero_range"}) {
    if (Status done = attach(of, named("offset", "len")); !done) return done;
  }
  // These move everything behind them.
  const auto shift = [this](Assembler& code, const char* of) {
    if (!argument(code, of, "inode", kInode) || !argument(code, of, "offset", kOffset)) return false;
    code.set(kLength, -1);
    return true;
  };
  for (const char* of : {"ext4_collapse_range", "ext4_insert_range"}) {
    if (Status done = attach(of, shift); !done) return done;
  }
  types_.reset();
  return ok();
}

void BpfRanges::drain(const Take& take) {
  auto* const consumed = reinterpret_cast<std::atomic<u64>*>(consumer_);
  auto* const produced = reinterpret_cast<std::atomic<u64>*>(producer_);
  static_assert(std::atomic<u64>::is_always_lock_free);
  const u8* const data = producer_ + page_;
  u64 at = consumed->load(std::memory_order_relaxed);
  const u64 end = produced->load(std::memory_order_acquire);
  while (at < end) {
    const u8* const record = data + (at & (ring_bytes_ - 1));
    const u32 header = reinterpret_cast<const std::atomic<u32>*>(record)->load(std::memory_order_acquire);
    if ((header & BPF_RINGBUF_BUSY_BIT) != 0) break;  // another processor is writing it
    const u32 length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
    if ((header & BPF_RINGBUF_DISCARD_BIT) == 0 && length == sizeof(Record)) {
      Record one;
      std::memcpy(&one, record + BPF_RINGBUF_HDR_SZ, sizeof one);
      const u32 device = static_cast<u32>(one.device);
      take(makedev(device >> 20, device & 0xF'FFFF), one.inode, one.offset, one.length);
    }
    at += (length + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
    consumed->store(at, std::memory_order_release);
  }
}

bool BpfRanges::lost() {
  u32 key = 0;
  u64 value = 0;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<u32>(counter_.get());
  attributes.key = reinterpret_cast<u64>(&key);
  attributes.value = reinterpret_cast<u64>(&value);
  if (bpf(BPF_MAP_LOOKUP_ELEM, attributes) != 0) return true;
  return value != std::exchange(lost_before_, value);
}

}  // namespace

Result<std::unique_ptr<RangeHints>> RangeHints::open(const std::vector<u64>& devices, u32 ring_bytes) {
  auto ranges = std::make_unique<BpfRanges>();
  if (Status started = ranges->start(devices, ring_bytes); !started) return started.error();
  return std::unique_ptr<RangeHints>(std::move(ranges));
}

}  // namespace understudy
