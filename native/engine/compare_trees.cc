#include "compare_trees.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>

#include "xattr.h"
#include "utf8.h"

namespace understudy {
namespace {

constexpr std::size_t kChunk = 1u << 20;
constexpr std::size_t kXattrListMax = 64u << 10;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

using Identity = std::pair<u64, u64>;
struct IdentityHash {
  std::size_t operator()(const Identity& id) const { return id.first * 0x9E3779B97F4A7C15ull ^ id.second; }
};

// One side of the comparison.
struct Side {
  Fd root;
  Fd directory;  // the one being compared
};

// Opens a directory below `root` component by component: no symlink is followed and a path may be of any length.
Result<Fd> open_below(int root, std::string_view path) {
  Fd at(::openat(root, ".", kDirectoryFlags));
  while (at && !path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    at.reset(::openat(at.get(), name.c_str(), kDirectoryFlags));
  }
  if (!at) return sys_error("openat");
  return at;
}

// Sorted names, or the failing call.
Result<std::vector<std::string>> list(int directory) {
  Fd copy(::openat(directory, ".", kDirectoryFlags));
  std::unique_ptr<DIR, int (*)(DIR*)> stream(copy ? ::fdopendir(copy.get()) : nullptr, &::closedir);
  if (!stream) return sys_error("opendir");
  copy.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return sys_error("readdir");
  std::sort(names.begin(), names.end());
  return names;
}

using Xattrs = std::map<std::string, std::string>;

// Works for every kind of object: only the last component may be a symlink, and the l-calls do not follow it.
Result<Xattrs> all_xattrs(int directory, const char* name) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  Xattrs result;
  const ssize_t wanted = ::llistxattr(path.c_str(), nullptr, 0);
  if (wanted < 0 && errno == ENOTSUP) return result;
  if (wanted < 0) return sys_error("llistxattr");
  if (wanted == 0) return result;
  std::string names(kXattrListMax, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  if (size < 0) return sys_error("llistxattr");
  std::string value(kXattrListMax, '\0');
  for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
    const char* key = names.c_str() + at;
    at += std::strlen(key) + 1;
    if (!xattr_is_told(key)) continue;
    const ssize_t length = ::lgetxattr(path.c_str(), key, value.data(), value.size());
    if (length < 0) return sys_error("lgetxattr");
    result.emplace(key, std::string(value.data(), static_cast<std::size_t>(length)));
  }
  return result;
}

// Fills `buffer` from `offset`; fewer bytes only at the end of the file.
Result<std::size_t> read_chunk(int fd, Bytes& buffer, u64 offset) {
  buffer.resize(kChunk);
  std::size_t have = 0;
  while (have < kChunk) {
    const ssize_t got = ::pread(fd, buffer.data() + have, kChunk - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return sys_error("pread");
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

u64 next_data(int fd, u64 offset, u64 size) {
  const off_t at = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (at >= 0) return static_cast<u64>(at);
  return errno == ENXIO ? size : offset;  // a file system that cannot tell is read whole
}

const char* kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "symlink";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFCHR: return "character device";
    case S_IFBLK: return "block device";
    default: return "unknown";
  }
}

std::string octal(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%04o", mode & 07777);
  return text;
}

std::string time_text(const timespec& time) {
  char text[48];
  std::snprintf(text, sizeof text, "%lld.%09ld", static_cast<long long>(time.tv_sec), time.tv_nsec);
  return text;
}

std::string words(const SysError& error) { return error.call + ": " + ::strerrordesc_np(error.code); }

class Comparison {
 public:
  Comparison(const TreeComparisonOptions& options, Fd left, Fd right) : options_(options) {
    left_.root = std::move(left);
    right_.root = std::move(right);
  }
  TreeComparison run();

 private:
  void differ(const std::string& path, const std::string& what) {
    ++result_.differing;
    if (result_.differences.size() < options_.differences_max) result_.differences.push_back(escape_name(path) + ": " + what);
  }
  void compare_directory(const std::string& path);
  void compare_name(const std::string& directory, const std::string& name);
  void compare_attributes(const std::string& path, const char* name, const struct stat& left, const struct stat& right);
  void compare_xattrs(const std::string& path, const char* name);
  void compare_contents(const std::string& path, const char* name, u64 size);
  bool compare_links(const std::string& path, const struct stat& left, const struct stat& right);
  void compare_targets(const std::string& path, const char* name);

  const TreeComparisonOptions options_;
  TreeComparison result_;
  Side left_, right_;
  std::vector<std::string> waiting_;  // directories to be compared, as paths from the root
  std::unordered_map<Identity, Identity, IdentityHash> right_of_, left_of_;  // hard links that were seen
  Bytes left_bytes_, right_bytes_;
};

TreeComparison Comparison::run() {
  struct stat left, right;
  left_.directory.reset(::openat(left_.root.get(), ".", kDirectoryFlags));
  right_.directory.reset(::openat(right_.root.get(), ".", kDirectoryFlags));
  if (::fstat(left_.root.get(), &left) == 0 && ::fstat(right_.root.get(), &right) == 0 && left_.directory &&
      right_.directory) {
    compare_attributes(".", ".", left, right);
  }
  waiting_.push_back("");
  while (!waiting_.empty()) {
    const std::string path = std::move(waiting_.back());
    waiting_.pop_back();
    compare_directory(path);
  }
  return std::move(result_);
}

void Comparison::compare_directory(const std::string& path) {
  const std::string shown = path.empty() ? "." : path;
  ++result_.directories;
  Result<Fd> left = open_below(left_.root.get(), path), right = open_below(right_.root.get(), path);
  if (!left) return differ(shown, "cannot be opened on the left: " + words(left.error()));
  if (!right) return differ(shown, "cannot be opened on the right: " + words(right.error()));
  left_.directory = std::move(*left);
  right_.directory = std::move(*right);
  Result<std::vector<std::string>> left_names = list(left_.directory.get()), right_names = list(right_.directory.get());
  if (!left_names) return differ(shown, "cannot be listed on the left: " + words(left_names.error()));
  if (!right_names) return differ(shown, "cannot be listed on the right: " + words(right_names.error()));

  const std::string prefix = path.empty() ? "" : path + "/";
  auto from_left = left_names->begin();
  auto from_right = right_names->begin();
  while (from_left != left_names->end() || from_right != right_names->end()) {
    if (from_right == right_names->end() || (from_left != left_names->end() && *from_left < *from_right)) {
      differ(prefix + *from_left++, "only on the left");
    } else if (from_left == left_names->end() || *from_right < *from_left) {
      differ(prefix + *from_right++, "only on the right");
    } else {
      compare_name(prefix, *from_left);
      ++from_left;
      ++from_right;
    }
  }
}

void Comparison::compare_name(const std::string& prefix, const std::string& name) {
  const std::string path = prefix + name;
  struct stat left, right;
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  if (::fstatat(left_.directory.get(), name.c_str(), &left, kFlags) != 0) {
    return differ(path, "cannot be read on the left: " + words(sys_error("fstatat")));
  }
  if (::fstatat(right_.directory.get(), name.c_str(), &right, kFlags) != 0) {
    return differ(path, "cannot be read on the right: " + words(sys_error("fstatat")));
  }
  if (!S_ISDIR(left.st_mode)) ++result_.files;
  if (S_ISREG(left.st_mode)) result_.bytes += static_cast<u64>(left.st_size);
  if ((left.st_mode & S_IFMT) != (right.st_mode & S_IFMT)) {
    return differ(path, std::string(kind_of(left.st_mode)) + " is not " + kind_of(right.st_mode));
  }
  compare_attributes(path, name.c_str(), left, right);
  if (S_ISDIR(left.st_mode)) {
    waiting_.push_back(path);
  } else if (compare_links(path, left, right) && S_ISREG(left.st_mode)) {
    if (left.st_size != right.st_size) {
      differ(path, "size " + std::to_string(left.st_size) + " is not " + std::to_string(right.st_size));
    } else if (options_.contents) {
      compare_contents(path, name.c_str(), static_cast<u64>(left.st_size));
    }
  }
  if (S_ISLNK(left.st_mode)) compare_targets(path, name.c_str());
}

// False when this pair of files was compared already under another name.
bool Comparison::compare_links(const std::string& path, const struct stat& left, const struct stat& right) {
  if (left.st_nlink < 2 && right.st_nlink < 2) return true;
  const Identity left_id(left.st_dev, left.st_ino), right_id(right.st_dev, right.st_ino);
  const auto [on_right, left_is_new] = right_of_.emplace(left_id, right_id);
  const auto [on_left, right_is_new] = left_of_.emplace(right_id, left_id);
  if (on_right->second != right_id) differ(path, "linked to other names on the left, not on the right");
  else if (on_left->second != left_id) differ(path, "linked to other names on the right, not on the left");
  else return left_is_new || right_is_new;
  return true;
}

void Comparison::compare_attributes(const std::string& path, const char* name, const struct stat& left,
                                    const struct stat& right) {
  // A symlink's own mode means nothing.
  if (!S_ISLNK(left.st_mode) && (left.st_mode & 07777) != (right.st_mode & 07777)) {
    differ(path, "mode " + octal(left.st_mode) + " is not " + octal(right.st_mode));
  }
  if (options_.owners && (left.st_uid != right.st_uid || left.st_gid != right.st_gid)) {
    differ(path, "owner " + std::to_string(left.st_uid) + ":" + std::to_string(left.st_gid) + " is not " +
                     std::to_string(right.st_uid) + ":" + std::to_string(right.st_gid));
  }
  const bool same_time = left.st_mtim.tv_sec == right.st_mtim.tv_sec && left.st_mtim.tv_nsec == right.st_mtim.tv_nsec;
  if (!same_time && (options_.directory_times || !S_ISDIR(left.st_mode))) {
    differ(path, "time " + time_text(left.st_mtim) + " is not " + time_text(right.st_mtim));
  }
  if ((S_ISCHR(left.st_mode) || S_ISBLK(left.st_mode)) && left.st_rdev != right.st_rdev) {
    differ(path, "device " + std::to_string(major(left.st_rdev)) + ":" + std::to_string(minor(left.st_rdev)) +
                     " is not " + std::to_string(major(right.st_rdev)) + ":" + std::to_string(minor(right.st_rdev)));
  }
  compare_xattrs(path, name);
}

void Comparison::compare_xattrs(const std::string& path, const char* name) {
  Result<Xattrs> left = all_xattrs(left_.directory.get(), name), right = all_xattrs(right_.directory.get(), name);
  if (!left) return differ(path, "attributes cannot be read on the left: " + words(left.error()));
  if (!right) return differ(path, "attributes cannot be read on the right: " + words(right.error()));
  for (const auto& [key, value] : *left) {
    const auto other = right->find(key);
    if (other == right->end()) differ(path, "attribute " + escape_name(key) + " only on the left");
    else if (other->second != value) differ(path, "attribute " + escape_name(key) + " differs");
  }
  for (const auto& [key, value] : *right) {
    if (!left->contains(key)) differ(path, "attribute " + escape_name(key) + " only on the right");
  }
}

void Comparison::compare_targets(const std::string& path, const char* name) {
  char left[PATH_MAX], right[PATH_MAX];
  const ssize_t left_size = ::readlinkat(left_.directory.get(), name, left, sizeof left);
  const ssize_t right_size = ::readlinkat(right_.directory.get(), name, right, sizeof right);
  if (left_size < 0 || right_size < 0) return differ(path, "symlink cannot be read: " + words(sys_error("readlinkat")));
  const std::string_view to_left(left, static_cast<std::size_t>(left_size));
  const std::string_view to_right(right, static_cast<std::size_t>(right_size));
  if (to_left != to_right) differ(path, "points to " + escape_name(to_left) + ", not to " + escape_name(to_right));
}

void Comparison::compare_contents(const std::string& path, const char* name, u64 size) {
  if (size == 0) return;
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC;
  const auto open = [&](const Side& side) {
    int fd = ::openat(side.directory.get(), name, kFlags);
    if (fd < 0 && errno == EPERM) fd = ::openat(side.directory.get(), name, kFlags & ~O_NOATIME);  // not the owner
    return Fd(fd);
  };
  const Fd left = open(left_);
  if (!left) return differ(path, "cannot be opened on the left: " + words(sys_error("openat")));
  const Fd right = open(right_);
  if (!right) return differ(path, "cannot be opened on the right: " + words(sys_error("openat")));
  for (u64 offset = 0; offset < size;) {
    // What is a hole on both sides is equal.
    if (size > kChunk) offset = std::min(next_data(left.get(), offset, size), next_data(right.get(), offset, size));
    if (offset >= size) break;
    Result<std::size_t> from_left = read_chunk(left.get(), left_bytes_, offset);
    Result<std::size_t> from_right = read_chunk(right.get(), right_bytes_, offset);
    if (!from_left) return differ(path, "cannot be read on the left: " + words(from_left.error()));
    if (!from_right) return differ(path, "cannot be read on the right: " + words(from_right.error()));
    const std::size_t both = std::min(*from_left, *from_right);
    if (*from_left != *from_right || std::memcmp(left_bytes_.data(), right_bytes_.data(), both) != 0) {
      const auto [at, ignored] = std::mismatch(left_bytes_.data(), left_bytes_.data() + both, right_bytes_.data());
      return differ(path, "contents differ from byte " + std::to_string(offset + static_cast<u64>(at - left_bytes_.data())));
    }
    if (both == 0) break;  // truncated meanwhile
    offset += both;
  }
}

// Length of the UTF-8 sequence at the start of `text` if people may see it as it is, otherwise 0.
std::size_t harmless_length(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<u8>(text[at]); };
  const u8 first = byte(0);
  const std::size_t length = utf8_length(text);
  // C1 controls (U+0080..U+009F) act on terminals; bidirectional overrides change what is read.
  if (length == 2 && first == 0xC2 && byte(1) < 0xA0) return 0;
  if (length == 3 && first == 0xE2 && byte(1) == 0x80 && byte(2) >= 0xAA && byte(2) <= 0xAE) return 0;
  if (length == 3 && first == 0xE2 && byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9) return 0;
  return length;
}

}  // namespace

std::string escape_name(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const u8 first = static_cast<u8>(name[0]);
    std::size_t length = harmless_length(name);
    if (first == '\\') {
      out += "\\\\";
    } else if (first == '\n') {
      out += "\\n";
    } else if (length == 0 || first < 0x20 || first == 0x7F) {
      char text[8];
      std::snprintf(text, sizeof text, "\\x%02X", first);
      out += text;
      length = 1;
    } else {
      out += name.substr(0, length);
    }
    name.remove_prefix(length);
  }
  return out;
}

Result<TreeComparison> compare_trees(const std::string& left, const std::string& right,
                                     const TreeComparisonOptions& options) {
  Fd from_left(::open(left.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from_left) return sys_error("open");
  Fd from_right(::open(right.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from_right) return sys_error("open");
  return Comparison(options, std::move(from_left), std::move(from_right)).run();
}

}  // namespace understudy
