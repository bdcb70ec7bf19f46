#include "xattr.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>

#include <xxhash.h>

namespace understudy {
namespace {

constexpr std::size_t kListMax = 65'536;    // XATTR_LIST_MAX
constexpr std::size_t kValueMax = 65'536;   // XATTR_SIZE_MAX
constexpr std::size_t kNameMax = 255;       // XATTR_NAME_MAX

using Buffer = std::array<char, kListMax>;

// Two buffers per thread, made when first needed: names and one value never exceed them, so no call is repeated.
char* names_buffer() {
  static thread_local std::unique_ptr<Buffer> buffer(new Buffer);
  return buffer->data();
}
char* value_buffer() {
  static thread_local std::unique_ptr<Buffer> buffer(new Buffer);
  return buffer->data();
}

#ifdef SYS_listxattrat
constexpr long kListxattrat = SYS_listxattrat;
#else
constexpr long kListxattrat = 465;   // the same number on every architecture
#endif
std::atomic<bool> no_listxattrat{false};

// How the calls of one object are addressed. A plain descriptor serves the f* calls; O_PATH descriptors refuse those
// (EBADF), but their /proc link leads to the very object, symbolic links included. Names go through l* calls.
class Address {
 public:
  Address(int fd, const char* name) : fd_(fd), name_(name) {
    if (name == nullptr) {
      std::snprintf(path_, sizeof path_, "/proc/self/fd/%d", fd);
    } else if (fd == AT_FDCWD) {
      std::snprintf(path_, sizeof path_, "%s", name);
    } else {
      std::snprintf(path_, sizeof path_, "/proc/self/fd/%d/%s", fd, name);
    }
  }
  ssize_t list(char* names, std::size_t size) {
    if (name_ != nullptr) {
      // Linux 6.13 addresses a name in a directory as it stands; before, the path leads through /proc.
      if (!no_listxattrat.load(std::memory_order_relaxed)) {
        const long got = ::syscall(kListxattrat, fd_, name_, AT_SYMLINK_NOFOLLOW, names, size);
        if (got >= 0 || errno != ENOSYS) return got;
        no_listxattrat.store(true, std::memory_order_relaxed);
      }
      return ::llistxattr(path_, names, size);
    }
    if (plain_) {
      const ssize_t got = ::flistxattr(fd_, names, size);
      if (got >= 0 || !leave_plain()) return got;
    }
    return ::listxattr(path_, names, size);
  }
  ssize_t get(const char* attribute, char* value, std::size_t size) {
    if (name_ != nullptr) return ::lgetxattr(path_, attribute, value, size);
    if (plain_) {
      const ssize_t got = ::fgetxattr(fd_, attribute, value, size);
      if (got >= 0 || !leave_plain()) return got;
    }
    return ::getxattr(path_, attribute, value, size);
  }
  int set(const char* attribute, std::string_view value) {
    if (name_ != nullptr) return ::lsetxattr(path_, attribute, value.data(), value.size(), 0);
    if (plain_) {
      if (::fsetxattr(fd_, attribute, value.data(), value.size(), 0) == 0) return 0;
      if (!leave_plain()) return -1;
    }
    return ::setxattr(path_, attribute, value.data(), value.size(), 0);
  }
  int remove(const char* attribute) {
    if (name_ != nullptr) return ::lremovexattr(path_, attribute);
    if (plain_) {
      if (::fremovexattr(fd_, attribute) == 0) return 0;
      if (!leave_plain()) return -1;
    }
    return ::removexattr(path_, attribute);
  }

 private:
  bool leave_plain() {
    if (errno != EBADF) return false;
    plain_ = false;
    return true;
  }
  int fd_;
  const char* name_;
  bool plain_ = true;
  char path_[320];   // prefix, descriptor and one component of at most 255 bytes
};

bool unsupported(int code) { return code == EOPNOTSUPP || code == ENOSYS; }

bool starts_with(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

void append(Bytes& list, std::string_view name, std::string_view value) {
  wire::XattrHeader header{};
  header.name_len = static_cast<u16>(name.size());
  header.value_len = static_cast<u32>(value.size());
  list.append(&header, sizeof header);
  list.append(name.data(), name.size());
  list.append(value.data(), value.size());
}

// Names that travel, sorted; views into names_buffer().
Result<std::vector<std::string_view>> told_names(Address& address) {
  char* buffer = names_buffer();
  const ssize_t size = address.list(buffer, kListMax);
  std::vector<std::string_view> names;
  if (size < 0) {
    if (unsupported(errno)) return names;
    return sys_error("listxattr");
  }
  for (const char* at = buffer; at < buffer + size;) {
    const std::string_view name(at, ::strnlen(at, static_cast<std::size_t>(buffer + size - at)));
    if (xattr_is_told(name)) names.push_back(name);
    at += name.size() + 1;
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<Bytes> read_list(Address& address) {
  auto names = told_names(address);
  if (!names) return names.error();
  Bytes list;
  for (const std::string_view name : *names) {
    // Views into a buffer of NUL-terminated names, so data() is a C string.
    const ssize_t size = address.get(name.data(), value_buffer(), kValueMax);
    if (size < 0) {
      if (errno == ENODATA) continue;   // removed since it was listed
      return sys_error("getxattr");
    }
    append(list, name, {value_buffer(), static_cast<std::size_t>(size)});
    if (list.size() > wire::kXattrBytesMax) return SysError{E2BIG, "getxattr"};
  }
  return list;
}

}  // namespace

bool xattr_is_told(std::string_view name) {
  if (name.size() > kNameMax) return false;
  if (starts_with(name, "user.")) return name.size() > 5;
  if (starts_with(name, "trusted.")) return name.size() > 8;
  if (starts_with(name, "security.")) {
    return name.size() > 9 && name != "security.selinux" && name != "security.ima" && name != "security.evm";
  }
  return name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

Result<Bytes> read_xattrs(int fd, const char* name) {
  Address address(fd, name);
  return read_list(address);
}

Result<bool> has_no_xattrs(int fd, const char* name) {
  Address address(fd, name);
  char* buffer = names_buffer();
  const ssize_t size = address.list(buffer, kListMax);
  if (size == 0) return true;
  if (size < 0) {
    if (unsupported(errno)) return true;
    return sys_error("listxattr");
  }
  for (const char* at = buffer; at < buffer + size;) {
    const std::string_view one(at, ::strnlen(at, static_cast<std::size_t>(buffer + size - at)));
    if (xattr_is_told(one)) return false;
    at += one.size() + 1;
  }
  return true;
}

u64 xattr_digest(const void* list, std::size_t size) {
  if (size == 0) return 0;
  const u64 digest = XXH3_64bits(list, size);
  return digest == 0 ? 1 : digest;   // 0 says "none"
}

Result<u64> read_xattr_digest(int fd, const char* name) {
  auto none = has_no_xattrs(fd, name);
  if (!none) return none.error();
  if (*none) return u64{0};
  auto list = read_xattrs(fd, name);
  if (!list) return list.error();
  return xattr_digest(*list);
}

bool xattrs_valid(const void* list, std::size_t size) {
  if (size > wire::kXattrBytesMax) return false;
  const u8* at = static_cast<const u8*>(list);
  const u8* const end = at + size;
  std::string_view before;
  while (at < end) {
    wire::XattrHeader header;
    if (static_cast<std::size_t>(end - at) < sizeof header) return false;
    std::memcpy(&header, at, sizeof header);
    at += sizeof header;
    if (header.reserved != 0 || header.value_len > kValueMax) return false;
    if (static_cast<std::size_t>(end - at) < std::size_t{header.name_len} + header.value_len) return false;
    const std::string_view name(reinterpret_cast<const char*>(at), header.name_len);
    if (!xattr_is_told(name) || name.find('\0') != std::string_view::npos || !(before < name)) return false;
    before = name;
    at += header.name_len + header.value_len;
  }
  return true;
}

bool next_xattr(const u8*& at, const u8* end, XattrView& view) {
  if (at >= end) return false;
  wire::XattrHeader header;
  std::memcpy(&header, at, sizeof header);
  const char* name = reinterpret_cast<const char*>(at + sizeof header);
  view.name = {name, header.name_len};
  view.value = {name + header.name_len, header.value_len};
  at += sizeof header + header.name_len + header.value_len;
  return true;
}

Result<XattrsWritten> write_xattrs(int fd, const char* name, const void* list, std::size_t size) {
  Address address(fd, name);
  auto existing = read_list(address);
  // A value that cannot be read (or too many of them) is no reason not to write: treat all as different.
  const Bytes none;
  const Bytes& current = existing ? *existing : none;
  if (!existing && existing.error().code != E2BIG && existing.error().code != EACCES) return existing.error();
  XattrsWritten outcome;
  const bool root = ::geteuid() == 0;
  const auto refused = [&](const char* call) {
    if (root || (errno != EPERM && errno != EACCES)) return false;
    if (outcome.refused++ == 0) outcome.error = sys_error(call);
    return true;
  };

  XattrView before, after;
  char attribute[kNameMax + 1];
  const auto c_name = [&](std::string_view text) {
    std::memcpy(attribute, text.data(), text.size());
    attribute[text.size()] = '\0';
    return attribute;
  };
  // Both lists are sorted, so one pass over the two finds what to do. Removals go first: where all attributes share
  // one block (ext4), the old ones could leave no room for the new.
  const auto merge = [&](const auto& only_old, const auto& wanted) -> Status {
    const u8* old_at = current.data();
    const u8* const old_end = old_at + current.size();
    const u8* new_at = static_cast<const u8*>(list);
    const u8* const new_end = new_at + size;
    bool have_old = next_xattr(old_at, old_end, before);
    bool have_new = next_xattr(new_at, new_end, after);
    while (have_old || have_new) {
      if (have_old && (!have_new || before.name < after.name)) {
        if (!only_old()) return sys_error("removexattr");
        have_old = next_xattr(old_at, old_end, before);
        continue;
      }
      const bool both = have_old && before.name == after.name;
      if (!wanted(both && before.value == after.value)) return sys_error("setxattr");
      if (both) have_old = next_xattr(old_at, old_end, before);
      have_new = next_xattr(new_at, new_end, after);
    }
    return ok();
  };
  auto removed = merge(
      [&] { return address.remove(c_name(before.name)) == 0 || errno == ENODATA || refused("removexattr"); },
      [](bool) { return true; });
  if (!removed) return removed.error();
  auto set = merge([] { return true; },
                   [&](bool same) {
                     return same || address.set(c_name(after.name), after.value) == 0 || refused("setxattr");
                   });
  if (!set) return set.error();
  return outcome;
}

}  // namespace understudy
