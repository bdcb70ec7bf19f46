#include "kernel_types.h"

#include <linux/btf.h>

namespace understudy {
namespace {

constexpr std::size_t kBytesMax = 64u << 20, kBytesUsual = 8u << 20;
constexpr int kDepthMax = 8;
// Newer than some systems' headers.
constexpr u32 kKindFloat = 16, kKindDeclTag = 17, kKindTypeTag = 18, kKindEnum64 = 19;

}  // namespace

Result<KernelTypes> KernelTypes::load() {
  const Fd file(::open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC));
  if (!file) return sys_error("open(/sys/kernel/btf/vmlinux)");
  KernelTypes types;
  std::vector<u8>& bytes = types.bytes_;
  // The kernel hands out a page at a time: a buffer that grew with every piece would be cleared and moved a thousand times.
  bytes.resize(kBytesUsual);
  std::size_t have = 0;
  for (;;) {
    if (have == bytes.size()) bytes.resize(2 * have);
    const ssize_t got = ::read(file.get(), bytes.data() + have, bytes.size() - have);
    if (got < 0) return sys_error("read(/sys/kernel/btf/vmlinux)");
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
    if (have > kBytesMax) return SysError{EFBIG, "read(/sys/kernel/btf/vmlinux)"};
  }
  bytes.resize(have);
  if (!types.parse()) return SysError{EINVAL, "parse(/sys/kernel/btf/vmlinux)"};
  return types;
}

u32 KernelTypes::word(std::size_t at) const {
  u32 value;
  std::memcpy(&value, bytes_.data() + at, sizeof value);
  return value;
}

std::string_view KernelTypes::text(u32 offset) const {
  if (offset >= strings_size_) return {};
  const char* begin = reinterpret_cast<const char*>(bytes_.data()) + strings_ + offset;
  return {begin, ::strnlen(begin, strings_size_ - offset)};
}

bool KernelTypes::parse() {
  btf_header header;
  if (bytes_.size() < sizeof header) return false;
  std::memcpy(&header, bytes_.data(), sizeof header);
  const u64 types_end = u64{header.hdr_len} + header.type_off + header.type_len;
  const u64 strings_end = u64{header.hdr_len} + header.str_off + header.str_len;
  if (header.magic != BTF_MAGIC || types_end > bytes_.size() || strings_end > bytes_.size()) return false;
  strings_ = std::size_t{header.hdr_len} + header.str_off;
  strings_size_ = header.str_len;
  types_.push_back({});
  for (std::size_t at = std::size_t{header.hdr_len} + header.type_off; at + 12 <= types_end;) {
    const Type type{word(at), word(at + 4), word(at + 8), at + 12};
    at += 12;
    switch (kind(type)) {
      case BTF_KIND_INT: case BTF_KIND_VAR: case kKindDeclTag: at += 4; break;
      case BTF_KIND_ARRAY: at += 12; break;
      case BTF_KIND_STRUCT: case BTF_KIND_UNION: case BTF_KIND_DATASEC: case kKindEnum64: at += 12 * count(type); break;
      case BTF_KIND_ENUM: case BTF_KIND_FUNC_PROTO: at += 8 * count(type); break;
      case BTF_KIND_PTR: case BTF_KIND_FWD: case BTF_KIND_TYPEDEF: case BTF_KIND_VOLATILE: case BTF_KIND_CONST:
      case BTF_KIND_RESTRICT: case BTF_KIND_FUNC: case kKindFloat: case kKindTypeTag: break;
      default: return false;  // its size is unknown, so nothing after it can be found
    }
    if (at > types_end) return false;
    types_.push_back(type);
  }
  for (u32 id = 1; id < types_.size(); ++id) {
    const u32 of = kind(types_[id]);
    const std::string_view name = text(types_[id].name);
    const bool wanted = of == BTF_KIND_STRUCT || of == BTF_KIND_ENUM ||
                        (of == BTF_KIND_TYPEDEF && name.starts_with("btf_trace_")) ||
                        (of == BTF_KIND_FUNC && name.starts_with("__traceiter_"));
    if (wanted && !name.empty()) ids_.emplace(name, id);
  }
  return true;
}

const KernelTypes::Type* KernelTypes::find(u32 of, std::string_view name) const {
  const auto [first, last] = ids_.equal_range(name);
  for (auto at = first; at != last; ++at) {
    if (kind(types_[at->second]) == of) return &types_[at->second];
  }
  return nullptr;
}

std::optional<u32> KernelTypes::constant(std::string_view enumeration, std::string_view name) const {
  const Type* type = find(BTF_KIND_ENUM, enumeration);
  for (u32 i = 0; type != nullptr && i < count(*type); ++i) {
    if (text(word(type->more + 8 * i)) == name) return word(type->more + 8 * i + 4);
  }
  return std::nullopt;
}

std::optional<u32> KernelTypes::member_offset(std::string_view structure, std::string_view member) const {
  const Type* type = find(BTF_KIND_STRUCT, structure);
  if (type == nullptr) return std::nullopt;
  return member_of(static_cast<u32>(type - types_.data()), member, 0);
}

std::optional<u32> KernelTypes::member_of(u32 id, std::string_view member, int depth) const {
  while (id < types_.size() && (kind(types_[id]) == BTF_KIND_CONST || kind(types_[id]) == BTF_KIND_VOLATILE)) {
    id = types_[id].size_or_type;
  }
  if (id >= types_.size() || depth > kDepthMax) return std::nullopt;
  const Type& type = types_[id];
  if (kind(type) != BTF_KIND_STRUCT && kind(type) != BTF_KIND_UNION) return std::nullopt;
  const bool bit_fields = (type.info >> 31) != 0;
  for (u32 i = 0; i < count(type); ++i) {
    const std::size_t at = type.more + 12 * i;
    const u32 bits = bit_fields ? word(at + 8) & 0xFF'FFFF : word(at + 8);
    const std::string_view name = text(word(at));
    if (name == member) return bits / 8;
    if (!name.empty()) continue;
    if (const auto inner = member_of(word(at + 4), member, depth + 1)) return bits / 8 + *inner;
  }
  return std::nullopt;
}

std::optional<u32> KernelTypes::tracepoint(std::string_view name) const {
  const Type* type = find(BTF_KIND_TYPEDEF, "btf_trace_" + std::string(name));
  if (type == nullptr) return std::nullopt;
  return static_cast<u32>(type - types_.data());
}

std::optional<u32> KernelTypes::argument(std::string_view tracepoint, std::string_view name) const {
  // The type that is attached to has no names for its parameters; the function that calls all listeners has. The first
  // parameter of it belongs to the kernel.
  const Type* function = find(BTF_KIND_FUNC, "__traceiter_" + std::string(tracepoint));
  if (function == nullptr || function->size_or_type >= types_.size()) return std::nullopt;
  const Type& prototype = types_[function->size_or_type];
  if (kind(prototype) != BTF_KIND_FUNC_PROTO) return std::nullopt;
  for (u32 i = 1; i < count(prototype); ++i) {
    if (text(word(prototype.more + 8 * i)) == name) return i - 1;
  }
  return std::nullopt;
}

}  // namespace understudy
