#include "probe.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <cstdio>
#include <cstdlib>

#include "capture.h"
#include "capture_mounts.h"

namespace understudy {
namespace {

std::string in_words(const SysError& error) {
  const char* name = ::strerrorname_np(error.code);
  return error.call + " refused: " + ::strerrordesc_np(error.code) + " (" + (name != nullptr ? name : "?") + ")";
}

u64 read_number(const char* path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "re"), &std::fclose);
  unsigned long long value = 0;
  if (!file || std::fscanf(file.get(), "%llu", &value) != 1) return 0;
  return value;
}

// Directories at and below `root` on its own file system, found by file type alone. Bounded by the limit; depth is
// bounded because a directory's descriptor is closed before its children are opened (paths are kept instead).
u64 count_directories_below(const std::string& root, bool& complete) {
  complete = true;
  struct stat status;
  if (::lstat(root.c_str(), &status) != 0) return 0;
  const dev_t device = status.st_dev;
  std::vector<std::string> waiting{root};
  u64 count = 0;
  while (!waiting.empty()) {
    const std::string path = std::move(waiting.back());
    waiting.pop_back();
    if (++count >= kProbeDirectoriesMax) {
      complete = false;
      break;
    }
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue;
    std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), &::closedir);
    if (!directory) {
      ::close(fd);
      continue;
    }
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == ".." || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)) continue;
      if (::fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) continue;
      if (!S_ISDIR(status.st_mode) || status.st_dev != device) continue;
      waiting.push_back((path == "/" ? std::string() : path) + "/" + entry->d_name);
    }
  }
  return count;
}

void probe_fanotify(const CaptureRoot& root, Probe& probe) {
  Result<std::unique_ptr<Capture>> capture = open_fanotify(CaptureOptions{});
  SysError refused;
  if (!capture) {
    refused = capture.error();
  } else if (Status started = (*capture)->start({root}, -1); !started) {
    refused = started.error();
  } else {
    probe.fanotify_usable = true;
    probe.fanotify = "usable: one mark covers the whole file system";
    return;
  }
  probe.fanotify = explain_fanotify_refusal(refused);
}

void probe_inotify(const CaptureRoot& root, bool counted, Probe& probe) {
  probe.watches_max = read_number("/proc/sys/fs/inotify/max_user_watches");
  probe.instances_max = read_number("/proc/sys/fs/inotify/max_user_instances");
  const Fd queue(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!queue) {
    probe.inotify = in_words(sys_error("inotify_init1")) + "; raise fs.inotify.max_user_instances (now " +
                    std::to_string(probe.instances_max) + ")";
    return;
  }
  const std::string path = "/proc/self/fd/" + std::to_string(root.fd);
  if (::inotify_add_watch(queue.get(), path.c_str(), IN_CREATE | IN_ONLYDIR) < 0) {
    probe.inotify = in_words(sys_error("inotify_add_watch"));
    return;
  }
  probe.inotify_usable = true;
  probe.inotify = "usable: at most " + std::to_string(probe.watches_max) + " directories per user";
  if (!counted) return;
  probe.inotify += ", here " + std::string(probe.directories_complete ? "" : "at least ") +
                   std::to_string(probe.directories);
  if (probe.directories > probe.watches_max) {
    probe.inotify_usable = false;
    // Room to grow; a watch costs the kernel about 1.6 KiB once the directory is kept in memory for it.
    const u64 wanted = probe.directories + probe.directories / 2;
    probe.inotify += ": not enough. Run: sysctl -w fs.inotify.max_user_watches=" + std::to_string(wanted) +
                     " (up to " + std::to_string(wanted * 16 / 10 / 1024) + " MiB of kernel memory)";
  }
}

}  // namespace

std::string explain_fanotify_refusal(const SysError& error) {
  std::string words = in_words(error);
  switch (error.code) {
    case EPERM:
      words += error.call == "open_by_handle_at" ? "; needs CAP_DAC_READ_SEARCH" : "; needs root or CAP_SYS_ADMIN";
      break;
    case EOPNOTSUPP:
    case ENODEV:
    case EXDEV:
      words += "; this file system cannot be marked as a whole";
      break;
    case EINVAL:
    case ENOSYS:
      words += "; needs Linux 5.9 or newer";
      break;
    default:
      break;
  }
  return words;
}

Probe probe_capture(const std::string& path, bool count_directories) {
  Probe probe;
  utsname names{};
  if (::uname(&names) == 0) probe.kernel = std::string(names.sysname) + " " + names.release;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) probe.open_files_max = limit.rlim_cur;
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH;
  const Fd beneath(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how)));
  probe.openat2 = static_cast<bool>(beneath);

  const Fd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) {
    const std::string words = in_words(sys_error("open"));
    probe.fanotify = probe.inotify = probe.file_system = path + ": " + words;
    return probe;
  }
  if (Result<MountInfo> mount = find_mount(root.get()); mount) {
    probe.file_system = mount->type + " on " + mount->source + ", mounted at " + mount->mount_point;
  } else {
    probe.file_system = "unknown: " + in_words(mount.error());
  }
  if (count_directories) probe.directories = count_directories_below(path, probe.directories_complete);
  const CaptureRoot as_root{path, root.get()};
  probe_fanotify(as_root, probe);
  probe_inotify(as_root, count_directories, probe);
  return probe;
}

}  // namespace understudy
