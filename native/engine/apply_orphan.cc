#include "apply_orphan.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "rules.h"

namespace understudy {
namespace {

constexpr int kDepthMax = 256;        // descriptors and stack; deeper ones stay and are counted as failed
constexpr u64 kSaidMax = 1'000;       // single paths told in one run; the rest is counted
constexpr int kSuffixMax = 10'000;
constexpr char kPart[] = ".understudy-moving";

struct Closer {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Listing = std::unique_ptr<DIR, Closer>;

bool is_dot(const char* name) { return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0)); }

// The directory `path` below `base`, each part made when missing and never followed when it is a link.
Result<Fd> make_below(const std::string& base, std::string_view path) {
  Fd fd(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == ENOENT && ::mkdir(base.c_str(), 0700) == 0) fd.reset(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("open(orphan folder)");
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string part(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
    if (part.empty()) continue;
    if (::mkdirat(fd.get(), part.c_str(), 0700) != 0 && errno != EEXIST) return sys_error("mkdirat(orphan folder)");
    Fd next(::openat(fd.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return sys_error("openat(orphan folder)");
    fd = std::move(next);
  }
  return fd;
}

// Gives `from` the name `name` in `to`, or the name with the first number that is free. Nothing is replaced.
Status rename_beside(int from_directory, const char* from, int to, const std::string& name) {
  for (int suffix = 0; suffix < kSuffixMax; ++suffix) {
    std::string wanted = name;
    if (suffix > 0) {
      const std::string number = "." + std::to_string(suffix);
      wanted = name.substr(0, wire::kNameBytesMax - number.size()) + number;
    }
    if (::renameat2(from_directory, from, to, wanted.c_str(), RENAME_NOREPLACE) == 0) return ok();
    if (errno != EEXIST) return sys_error("renameat2");
  }
  return SysError{EEXIST, "renameat2"};
}

// Another file system: a whole copy first, then its name, then the original goes.
Status copy_across(int directory, const char* name, int to, const struct stat& status) {
  ::unlinkat(to, kPart, 0);   // left by a process that died
  if (S_ISLNK(status.st_mode)) {
    char text[PATH_MAX];
    const ssize_t length = ::readlinkat(directory, name, text, sizeof text - 1);
    if (length < 0) return sys_error("readlinkat");
    text[length] = 0;
    if (::symlinkat(text, to, kPart) != 0) return sys_error("symlinkat");
  } else if (S_ISREG(status.st_mode)) {
    Fd in(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!in) return sys_error("openat");
    Fd out(::openat(to, kPart, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out) return sys_error("openat");
    std::vector<char> buffer(256u << 10);
    for (;;) {
      const ssize_t got = ::read(in.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return sys_error("read");
      if (got == 0) break;
      for (ssize_t at = 0; at < got;) {
        const ssize_t put = ::write(out.get(), buffer.data() + at, static_cast<std::size_t>(got - at));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
          auto error = sys_error("write");
          ::unlinkat(to, kPart, 0);
          return error;
        }
        at += put;
      }
    }
    (void)!::fchown(out.get(), status.st_uid, status.st_gid);
    (void)!::fchmod(out.get(), status.st_mode & 07777);
    const struct timespec times[2] = {status.st_atim, status.st_mtim};
    ::futimens(out.get(), times);
    if (::fsync(out.get()) != 0) return sys_error("fsync");   // before the original goes
  } else if (::mknodat(to, kPart, status.st_mode, status.st_rdev) != 0) {
    return sys_error("mknodat");
  }
  auto named = rename_beside(to, kPart, to, name);
  if (!named) return named;
  return ::unlinkat(directory, name, 0) == 0 || errno == ENOENT ? ok() : Status(sys_error("unlinkat"));
}

}  // namespace

void Orphans::say(const char* kind, const std::string& path, SysError error) {
  if (totals_.listed >= kSaidMax) {
    ++totals_.unlisted;
    return;
  }
  ++totals_.listed;
  report_(kind, path, std::move(error));
}

void Orphans::handle(PathBeneath& paths, const OpView& op, const OrphanOptions& options) {
  if (op.path.empty()) return finish(op, options);
  Walk walk{options, {}, (op.header.flags & wire::kOpPreview) != 0, 0, op.header.mapping};
  if (!walk.preview && options.action == OrphanOptions::Action::none && !options.log) return;
  if (options.age_ms > 0) walk.youngest_ns = realtime_ns() - static_cast<i64>(options.age_ms) * 1'000'000;
  for (std::string_view rest = op.data; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    if (end > 0) walk.keep.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  auto place = paths.locate(op.header.mapping, op.path);
  if (!place) return;   // gone with its parents
  const std::string name(place->name);
  const int directory = ::fcntl(place->directory, F_DUPFD_CLOEXEC, 0);   // forget() below may close what the cache holds
  const Fd held(directory);
  if (directory < 0) return;
  object(walk, directory, name.c_str(), std::string(op.path), 0);
  paths.forget(op.header.mapping, op.path);
}

bool Orphans::object(const Walk& walk, int directory, const char* name, const std::string& path, int depth) {
  for (std::string_view pattern : walk.keep) {
    if (wildcard_match(pattern, name)) return ++totals_.kept, false;
  }
  struct stat status;
  if (::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT;
  const std::string where = roots_[walk.mapping].path + "/" + path;
  const i64 changed_ns = status.st_mtim.tv_sec * 1'000'000'000ll + status.st_mtim.tv_nsec;
  const bool acts = !walk.preview && walk.options.action != OrphanOptions::Action::none;
  if (S_ISDIR(status.st_mode)) {
    if (!contents(walk, directory, name, path, depth)) return false;
    if (!acts) return ++totals_.directories, false;
  } else {
    if (walk.youngest_ns > 0 && changed_ns > walk.youngest_ns) return ++totals_.kept, false;
    if (walk.preview || (walk.options.log && !acts)) say("orphan_found", where);
    if (!acts) return ++totals_.files, totals_.bytes += S_ISREG(status.st_mode) ? static_cast<u64>(status.st_size) : 0, false;
  }
  if (Status taken = take(walk, directory, name, path, status); !taken) {
    // A directory that still holds what stays is no failure.
    if (S_ISDIR(status.st_mode) && (taken.error().code == ENOTEMPTY || taken.error().code == EEXIST)) return false;
    ++totals_.failed;
    say("orphan_not_removed", where, taken.error());
    return false;
  }
  if (S_ISDIR(status.st_mode)) ++totals_.directories;
  else ++totals_.files, totals_.bytes += S_ISREG(status.st_mode) ? static_cast<u64>(status.st_size) : 0;
  if (walk.options.log) say(walk.options.action == OrphanOptions::Action::move ? "orphan_moved" : "orphan_deleted", where);
  return true;
}

// Everything in a directory. True when it may go itself: nothing that stays was met, or nothing is to be done at all.
bool Orphans::contents(const Walk& walk, int directory, const char* name, const std::string& path, int depth) {
  if (depth >= kDepthMax) return ++totals_.failed, false;
  auto opened = open_child_directory(directory, name);
  if (!opened) {
    ++totals_.failed;   // a mount point, too: what is mounted there is nobody's orphan
    say("orphan_not_removed", roots_[walk.mapping].path + "/" + path, opened.error());
    return false;
  }
  const int own = ::fcntl(opened->get(), F_DUPFD_CLOEXEC, 0);
  Listing listing(own < 0 ? nullptr : ::fdopendir(own));
  if (!listing) {
    if (own >= 0) ::close(own);
    return ++totals_.failed, false;
  }
  // In two passes, because removing while reading may hide names.
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (!is_dot(entry->d_name)) names.emplace_back(entry->d_name);
  }
  listing.reset();
  bool all = true;
  for (const std::string& each : names) all = object(walk, opened->get(), each.c_str(), path + "/" + each, depth + 1) && all;
  return all || walk.preview || walk.options.action == OrphanOptions::Action::none;
}

Status Orphans::take(const Walk& walk, int directory, const char* name, const std::string& path, const struct stat& status) {
  if (S_ISDIR(status.st_mode)) {
    // Its place in the folder came with what it held; an empty one is made there, too.
    if (walk.options.action == OrphanOptions::Action::move) {
      if (auto made = make_below(walk.options.folder, roots_[walk.mapping].path + "/" + path); !made) return made.error();
    }
    return ::unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? ok() : Status(sys_error("unlinkat"));
  }
  if (walk.options.action == OrphanOptions::Action::move) return move_file(walk, directory, name, path, status);
  return ::unlinkat(directory, name, 0) == 0 || errno == ENOENT ? ok() : Status(sys_error("unlinkat"));
}

Status Orphans::move_file(const Walk& walk, int directory, const char* name, const std::string& path, const struct stat& status) {
  const std::string whole = roots_[walk.mapping].path + "/" + path;
  auto to = make_below(walk.options.folder, std::string_view(whole).substr(0, whole.rfind('/')));
  if (!to) return to.error();
  Status moved = rename_beside(directory, name, to->get(), name);
  if (moved || moved.error().code == ENOENT) return ok();
  if (moved.error().code != EXDEV) return moved;
  return copy_across(directory, name, to->get(), status);
}

void Orphans::finish(const OpView& op, const OrphanOptions& options) {
  const Totals done = std::move(totals_);
  totals_ = {};
  const bool preview = (op.header.flags & wire::kOpPreview) != 0;
  const bool acts = !preview && options.action != OrphanOptions::Action::none;
  if (!preview && !acts && !options.log) return;
  if (!preview && op.header.arg0 == 0 && done.files + done.directories + done.kept + done.failed == 0) return;
  const char* word = !acts ? "found" : options.action == OrphanOptions::Action::move ? "moved" : "deleted";
  std::string text = word;
  for (u64 number : {done.files, done.directories, done.bytes, done.kept, done.failed, done.unlisted}) text += " " + std::to_string(number);
  report_("orphans_done", std::move(text), {});
}

}  // namespace understudy
