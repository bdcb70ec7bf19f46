// Extended attributes as the wire tells them: complete, sorted lists (XattrHeader, name, value; repeated).
//
// Told are user., trusted., security. (without selinux, ima and evm, which belong to the machine) and the two POSIX
// ACLs. A list is canonical: names strictly ascending by bytes, so equal attributes give equal bytes.
#pragma once

#include <string_view>

#include "base.h"
#include "wire.h"

namespace understudy {

struct XattrView {
  std::string_view name;
  std::string_view value;
};

// True for names that travel.
bool xattr_is_told(std::string_view name);

// The complete list of one object; empty when it has none or the file system knows none.
// - name == null: the object behind `fd`, which may be an O_PATH descriptor (of a symbolic link, too).
// - else: `name` in the directory `fd` (or AT_FDCWD), one component, never followed if it is a symbolic link.
// E2BIG when the list would exceed kXattrBytesMax.
Result<Bytes> read_xattrs(int fd, const char* name = nullptr);

// True when the object has no attribute that travels; one system call. Same addressing as read_xattrs.
Result<bool> has_no_xattrs(int fd, const char* name = nullptr);

// XXH3-64 of an encoded list; 0 for an empty one.
u64 xattr_digest(const void* list, std::size_t size);
inline u64 xattr_digest(const Bytes& list) { return xattr_digest(list.data(), list.size()); }
// Both steps at once: digest of an object's list.
Result<u64> read_xattr_digest(int fd, const char* name = nullptr);

// Checks a list from the wire: shape, bounds, names that travel, strictly ascending.
bool xattrs_valid(const void* list, std::size_t size);

// Walks a valid list: moves `at` on and fills `view`; false at the end.
bool next_xattr(const u8*& at, const u8* end, XattrView& view);

struct XattrsWritten {
  u32 refused = 0;      // attributes which only root may set or remove (we are not root); the rest was done
  SysError error{};     // of the first refused one
};
// Makes the attributes of the object exactly those of the (valid) list, changing only what differs.
Result<XattrsWritten> write_xattrs(int fd, const char* name, const void* list, std::size_t size);

}  // namespace understudy
