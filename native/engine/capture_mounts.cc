#include "capture_mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace understudy {
namespace {

// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      const int value = (text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0');
      out += static_cast<char>(value);
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string_view next_field(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view field = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return field;
}

bool parse_line(std::string_view line, MountInfo& out) {
  const std::string_view id = next_field(line);
  std::from_chars(id.data(), id.data() + id.size(), out.id);
  next_field(line);  // parent
  out.device = next_field(line);
  next_field(line);  // root inside the file system
  out.mount_point = unescape(next_field(line));
  for (;;) {         // options, then any number of tagged fields up to the dash
    if (line.empty()) return false;
    if (next_field(line) == "-") break;
  }
  out.type = next_field(line);
  out.source = unescape(next_field(line));
  out.super_options = next_field(line);
  return true;
}

bool has_option(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const std::size_t comma = options.find(',');
    if (options.substr(0, comma) == wanted) return true;
    options.remove_prefix(comma == std::string_view::npos ? options.size() : comma + 1);
  }
  return false;
}

Status configure(int fs, unsigned command, const char* key, const char* value) {
  if (::syscall(SYS_fsconfig, fs, command, key, value, 0) != 0) return sys_error("fsconfig");
  return ok();
}

}  // namespace

u64 mount_mark(int fd) {
  constexpr unsigned kUnique = 0x4000;   // STATX_MNT_ID_UNIQUE: glibc may be older than the kernel
  struct statx status;
  if (::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID | kUnique, &status) != 0) return 0;
  if ((status.stx_mask & kUnique) != 0) return status.stx_mnt_id;
  const u64 id = (status.stx_mask & STATX_MNT_ID) != 0 ? status.stx_mnt_id : 0;
  return id << 44 ^ u64{status.stx_dev_major} << 20 ^ status.stx_dev_minor;
}

Result<MountInfo> find_mount(int fd) {
  struct statx status;
  if (::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &status) != 0) return sys_error("statx");
  u64 id = 0;
  if ((status.stx_mask & STATX_MNT_ID) != 0) {
    id = status.stx_mnt_id;
  } else {
    // Before Linux 5.8: fdinfo tells.
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> info(
        std::fopen(("/proc/self/fdinfo/" + std::to_string(fd)).c_str(), "re"), &std::fclose);
    if (!info) return sys_error("fopen(fdinfo)");
    char line[256];
    while (std::fgets(line, sizeof line, info.get()) != nullptr) {
      if (std::strncmp(line, "mnt_id:", 7) == 0) id = std::strtoull(line + 7, nullptr, 10);
    }
  }
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> table(std::fopen("/proc/self/mountinfo", "re"), &std::fclose);
  if (!table) return sys_error("fopen(/proc/self/mountinfo)");
  char* text = nullptr;
  std::size_t room = 0;
  Result<MountInfo> result = SysError{ENOENT, "find_mount"};
  for (ssize_t size; (size = ::getline(&text, &room, table.get())) > 0;) {
    if (text[size - 1] == '\n') --size;
    MountInfo mount;
    if (parse_line({text, static_cast<std::size_t>(size)}, mount) && mount.id == id) {
      result = std::move(mount);
      break;
    }
  }
  std::free(text);
  return result;
}

Result<Fd> open_btrfs_top(const MountInfo& mount) {
  Fd fs(static_cast<int>(::syscall(SYS_fsopen, "btrfs", FSOPEN_CLOEXEC)));
  if (!fs) return sys_error("fsopen");
  if (Status set = configure(fs.get(), FSCONFIG_SET_STRING, "source", mount.source.c_str()); !set) return set.error();
  if (Status set = configure(fs.get(), FSCONFIG_SET_STRING, "subvolid", "5"); !set) return set.error();
  // A second mount must agree with the first, or it would try to make the file system writable.
  if (has_option(mount.super_options, "ro")) {
    if (Status set = configure(fs.get(), FSCONFIG_SET_FLAG, "ro", nullptr); !set) return set.error();
  }
  if (Status made = configure(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr); !made) return made.error();
  const unsigned attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  Fd top(static_cast<int>(::syscall(SYS_fsmount, fs.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!top) return sys_error("fsmount");
  return top;
}

}  // namespace understudy
