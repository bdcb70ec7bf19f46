// The running kernel's own description of its types (BTF): where a structure's members lie on this very kernel.
#pragma once

#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base.h"

namespace understudy {

class KernelTypes {
 public:
  // Reads /sys/kernel/btf/vmlinux (a few MB, 10 ms). Fails where the kernel has none.
  static Result<KernelTypes> load();

  // Offset in bytes of a structure's member, also of one inside anonymous structures and unions.
  std::optional<u32> member_offset(std::string_view structure, std::string_view member) const;
  // The value of an enumeration's constant.
  std::optional<u32> constant(std::string_view enumeration, std::string_view name) const;
  // A tracepoint's id for attaching; and the place of a named argument among its arguments.
  std::optional<u32> tracepoint(std::string_view name) const;
  std::optional<u32> argument(std::string_view tracepoint, std::string_view name) const;

 private:
  struct Type {
    u32 name, info, size_or_type;
    std::size_t more;  // where the kind's own data begin
  };
  static u32 kind(const Type& type) { return type.info >> 24 & 0x1F; }
  static u32 count(const Type& type) { return type.info & 0xFFFF; }
  u32 word(std::size_t at) const;
  std::string_view text(u32 offset) const;
  std::optional<u32> member_of(u32 id, std::string_view member, int depth) const;
  bool parse();

  const Type* find(u32 kind, std::string_view name) const;

  std::vector<u8> bytes_;
  std::vector<Type> types_;  // by id; 0 is void
  std::unordered_multimap<std::string_view, u32> ids_;  // of what can be asked for
  std::size_t strings_ = 0, strings_size_ = 0;
};

}  // namespace understudy
