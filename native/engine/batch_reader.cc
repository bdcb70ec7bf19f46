#include "batch_reader.h"

#include <sys/stat.h>

#include <limits>

#include "xattr.h"

namespace understudy {
namespace {

using wire::OpHeader;
using wire::OpKind;

constexpr u8 kKnownFlags = wire::kOpFresh | wire::kOpTruncate | wire::kOpNoTimes | wire::kOpExchange | wire::kOpReplace |
                           wire::kOpPreview | wire::kOpUnshare;
constexpr u64 kFileSizeMax = static_cast<u64>(std::numeric_limits<i64>::max());
constexpr u64 kHashBlockMin = 512;
constexpr u64 kHashBlockMax = 1u << 30;

// What a kind may carry.
enum : u8 {
  kPath = 1,       // has a path
  kRoot = 2,       // ... which may be empty, meaning the root
  kPath2 = 4,      // has a second path, in mapping `aux`
  kText = 8,       // has link text in path2
  kData = 16,      // may have data
};
constexpr u8 kShape[wire::kOpKindLast + 1] = {
    0,                // no kind
    kPath | kRoot,    // mkdir
    kPath | kData,    // file
    kPath,            // create
    kPath | kData,    // write
    kPath,            // truncate
    kPath,            // punch
    kPath | kRoot,    // setattr
    kPath | kRoot | kData,   // xattrs
    kPath | kText,    // symlink
    kPath | kPath2,   // link
    kPath,            // mknod
    kPath,            // remove
    kPath | kPath2,   // rename
    kPath | kRoot,    // manifest
    kPath,            // hashes
    kPath | kRoot,    // digest
    0,                // checkpoint
    0,                // heartbeat
    kData,            // task
    kPath | kRoot | kData,   // orphan
};

bool range_valid(u64 offset, u64 length) { return offset <= kFileSizeMax && length <= kFileSizeMax - offset; }

bool has_nul(std::string_view text) { return !text.empty() && std::memchr(text.data(), 0, text.size()) != nullptr; }

const char* fault_of_paths(u8 shape, std::string_view path, std::string_view path2) {
  if (!(shape & kPath)) {
    if (!path.empty()) return "batch: path where none belongs";
  } else if (path.empty() ? !(shape & kRoot) : !path_valid(path)) {
    return "batch: bad path";
  }
  if (shape & kPath2) return path_valid(path2) ? nullptr : "batch: bad second path";
  if (shape & kText) return path2.empty() || has_nul(path2) ? "batch: bad link text" : nullptr;
  return path2.empty() ? nullptr : "batch: second path where none belongs";
}

const char* fault_of_node(const OpHeader& header) {
  if (static_cast<OpKind>(header.kind) != OpKind::mknod) return nullptr;
  const u32 type = header.mode & S_IFMT;
  return type == S_IFIFO || type == S_IFCHR || type == S_IFBLK || type == S_IFSOCK ? nullptr : "batch: node type";
}

// Null, or what is wrong with the operation.
const char* fault_of(const OpView& op, u32 mappings, u32 index) {
  const OpHeader& header = op.header;
  const u8 shape = kShape[header.kind];
  if (header.flags & ~kKnownFlags) return "batch: unknown operation flag";
  if ((header.flags & wire::kOpExchange) && header.kind != static_cast<u8>(OpKind::rename)) {
    return "batch: exchange flag without rename";
  }
  if ((header.flags & wire::kOpPreview) && header.kind != static_cast<u8>(OpKind::orphan)) {
    return "batch: preview flag without orphan";
  }
  if ((header.flags & wire::kOpPresent) && header.kind != static_cast<u8>(OpKind::mkdir) &&
      header.kind != static_cast<u8>(OpKind::create)) {
    return "batch: present or unshare flag without mkdir or create";
  }
  if ((shape & kPath) && header.mapping >= mappings) return "batch: mapping not granted";
  if ((shape & kPath2) && header.aux >= mappings) return "batch: mapping not granted";
  if (const char* reason = fault_of_paths(shape, op.path, op.path2)) return reason;
  if (!(shape & kData) && !op.data.empty()) return "batch: data where none belongs";

  switch (static_cast<OpKind>(header.kind)) {
    case OpKind::write:
      if (!range_valid(header.arg0, op.data.size())) return "batch: write range";
      break;
    case OpKind::create:
    case OpKind::truncate:
      if (!range_valid(header.arg0, 0)) return "batch: file size";
      break;
    case OpKind::punch:
      if (header.arg1 == 0 || !range_valid(header.arg0, header.arg1)) return "batch: punch range";
      break;
    case OpKind::task:
      if (header.arg0 > wire::kTaskDurable || (header.arg0 != 0 && index != 0)) return "batch: task out of place";
      break;
    case OpKind::hashes:
      if (header.arg0 < kHashBlockMin || header.arg0 > kHashBlockMax) return "batch: hash block size";
      break;
    case OpKind::xattrs:
      if (!xattrs_valid(op.data.data(), op.data.size())) return "batch: extended attribute list";
      break;
    default:
      break;
  }
  return fault_of_node(header);
}

SysError fault(const char* reason) { return SysError{EBADMSG, reason}; }

}  // namespace

bool path_valid(std::string_view path) {
  if (path.empty() || path.size() > wire::kPathBytesMax || has_nul(path)) return false;
  std::size_t start = 0;
  for (;;) {
    const std::size_t slash = path.find('/', start);
    const std::size_t length = (slash == std::string_view::npos ? path.size() : slash) - start;
    if (length == 0 || length > wire::kNameBytesMax) return false;
    if (path[start] == '.' && (length == 1 || (length == 2 && path[start + 1] == '.'))) return false;
    if (slash == std::string_view::npos) return true;
    start = slash + 1;
  }
}

bool operation_valid(const wire::OpHeader& header, std::string_view path, std::string_view path2) {
  return header.kind != 0 && header.kind <= wire::kOpKindLast &&
         fault_of_paths(kShape[header.kind], path, path2) == nullptr && fault_of_node(header) == nullptr;
}

Result<BatchReader> BatchReader::open(const u8* bytes, std::size_t size, u32 mappings) {
  if (size < sizeof(wire::BatchHeader)) return fault("batch: shorter than its header");
  if (size > wire::kBatchBytesMax) return fault("batch: too long");
  wire::BatchHeader header;
  std::memcpy(&header, bytes, sizeof header);
  if (header.sequence == 0) return fault("batch: sequence 0");
  if (header.flags & ~wire::kBatchMirror) return fault("batch: unknown flag");
  if (header.reserved != 0) return fault("batch: reserved field used");
  if (header.op_count > wire::kBatchOpsMax) return fault("batch: too many operations");

  std::size_t at = sizeof header;
  for (u32 index = 0; index < header.op_count; ++index) {
    if (size - at < sizeof(OpHeader)) return fault("batch: operation cut off");
    OpView op;
    std::memcpy(&op.header, bytes + at, sizeof op.header);
    const OpHeader& h = op.header;
    if (h.kind == 0 || h.kind > wire::kOpKindLast) return fault("batch: unknown operation");
    if (h.path_len > wire::kPathBytesMax || h.path2_len > wire::kPathBytesMax + 1 ||
        h.data_len > wire::kBatchDataMax) {
      return fault("batch: length over its limit");
    }
    const std::size_t used = sizeof h + h.path_len + h.path2_len + h.data_len;
    if (h.size % 8 != 0 || h.size < used || h.size - used >= 8 || h.size > size - at) {
      return fault("batch: operation size");
    }
    for (std::size_t i = used; i < h.size; ++i) {
      if (bytes[at + i] != 0) return fault("batch: padding");
    }
    const char* text = reinterpret_cast<const char*>(bytes + at + sizeof h);
    op.path = {text, h.path_len};
    op.path2 = {text + h.path_len, h.path2_len};
    op.data = {text + h.path_len + h.path2_len, h.data_len};
    if (const char* reason = fault_of(op, mappings, index)) return fault(reason);
    at += h.size;
  }
  if (at != size) return fault("batch: bytes after the last operation");
  return BatchReader(bytes, size, header);
}

bool BatchReader::next(OpView& op) {
  if (at_ >= size_) return false;
  std::memcpy(&op.header, bytes_ + at_, sizeof op.header);
  const char* text = reinterpret_cast<const char*>(bytes_ + at_ + sizeof op.header);
  op.path = {text, op.header.path_len};
  op.path2 = {text + op.header.path_len, op.header.path2_len};
  op.data = {text + op.header.path_len + op.header.path2_len, op.header.data_len};
  op.index = index_++;
  at_ += op.header.size;
  return true;
}

}  // namespace understudy
