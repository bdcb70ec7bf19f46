// P3/P4, I1: whatever changes in a tree, looking again at the hinted names yields the tree.
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "capture_support.h"

namespace understudy::test {
namespace {

// UNDERSTUDY_SEED and UNDERSTUDY_OPERATIONS vary the workload.
u64 number(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}
const u64 kSeed = number("UNDERSTUDY_SEED", 1);
const int kOperations = static_cast<int>(number("UNDERSTUDY_OPERATIONS", 6'000));

struct Setting {
  std::string title;
  std::string mode;      // for open_capture
  std::string expected;  // name() of the backend
};

// One workload below `base` (an empty directory) watched by one capture.
void converge(const std::string& base, const Setting& what) {
  const std::string set = base + "/set";
  CHECK(::mkdir(set.c_str(), 0755) == 0 && ::mkdir((base + "/outside").c_str(), 0755) == 0);
  churn(base, kSeed, kOperations / 10, ::geteuid() == 0);
  // The churn may have renamed or removed these.
  (void)::mkdir(set.c_str(), 0755);
  (void)::mkdir((base + "/outside").c_str(), 0755);

  const Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::string degraded;
  Result<std::unique_ptr<Capture>> opened = open_capture(what.mode, CaptureOptions{}, OpenRoots({set}).roots, wake.get(), degraded);
  CHECK_OK(opened);
  Capture& capture = **opened;
  if (what.expected != capture.name()) failed(__FILE__, __LINE__, what.title + ": got " + capture.name() + "; " + degraded);
  Picture picture(set, &capture);
  picture.rescan();

  constexpr int kThreads = 2;
  std::atomic<int> running{kThreads};
  std::vector<std::thread> writers;
  for (int i = 0; i < kThreads; ++i) {
    writers.emplace_back([&, i] {
      churn(base, kSeed * 31 + static_cast<u64>(i), kOperations / kThreads, ::geteuid() == 0);
      --running;
    });
  }
  while (running > 0) {
    pollfd fd = {wake.get(), POLLIN, 0};
    ::poll(&fd, 1, 10);
    eventfd_t ignored;
    (void)::eventfd_read(wake.get(), &ignored);
    capture.deliver(OpenRoots({set}).roots, picture);
    picture.settle();
  }
  for (std::thread& writer : writers) writer.join();
  capture.barrier();
  capture.deliver(OpenRoots({set}).roots, picture);
  picture.settle();
  const CaptureStatistics statistics = capture.statistics();
  const std::string wrong = differences(picture.facts(), walk(set));
  std::printf("%-34s %-8s seed %llu: %llu events, %llu hints, %llu unknown, %llu moves, %llu loops, %llu lost, %zu directories%s%s\n",
              what.title.c_str(), capture.name(), static_cast<unsigned long long>(kSeed),
              static_cast<unsigned long long>(statistics.events), static_cast<unsigned long long>(picture.hints),
              static_cast<unsigned long long>(picture.unknown), static_cast<unsigned long long>(picture.moves),
              static_cast<unsigned long long>(picture.loops), static_cast<unsigned long long>(picture.losses),
              picture.directories(), degraded.empty() ? "" : "; ", degraded.c_str());
  if (!wrong.empty()) failed(__FILE__, __LINE__, what.title + "\n" + wrong);
  if (picture.losses != 0) failed(__FILE__, __LINE__, what.title + ": lost: " + picture.last_loss);
  CHECK(picture.outside_paths.empty());
  CHECK(picture.refused_watches == 0);
  CHECK(statistics.events > 0 && picture.hints > 0);
  capture.stop();
}

void skip(const std::string& title, const std::string& why) { std::printf("%-34s skipped: %s\n", title.c_str(), why.c_str()); }

void on_fresh_directory(const std::string& parent, const Setting& what) {
  const std::string base = parent + "/case";
  CHECK(::mkdir(base.c_str(), 0755) == 0);
  converge(base, what);
  CHECK(Scratch::run("rm -rf -- '" + base + "'"));
}

// A file system of its own on a loop device; the mount name space of this process keeps it private.
bool mount_image(const std::string& at, const std::string& type, u32 megabytes, std::string& why) {
  const std::string image = at + ".img";
  if (!Scratch::run("command -v mkfs." + type + " >/dev/null")) {
    why = "mkfs." + type + " is not installed";
    return false;
  }
  const std::string quiet = type == "ext4" ? "-qF" : "-qf";
  if (!Scratch::run("truncate -s " + std::to_string(megabytes) + "M '" + image + "' && mkfs." + type + " " + quiet + " '" + image +
          "' >/dev/null 2>&1 && mkdir -p '" + at + "' && mount -o loop '" + image + "' '" + at + "' 2>/dev/null")) {
    why = "a loop mount of " + type + " was refused";
    return false;
  }
  return true;
}

void file_system(const std::string& scratch, const std::string& type, u32 megabytes) {
  const std::string at = scratch + "/" + type;
  std::string why;
  if (!mount_image(at, type, megabytes, why)) return skip(type, why);
  if (type == "btrfs") {
    CHECK(Scratch::run("btrfs -q subvolume create '" + at + "/sub' && btrfs -q subvolume create '" + at + "/sub/inner'"));
    on_fresh_directory(at, {"btrfs, top level", "fanotify", "fanotify"});
    on_fresh_directory(at + "/sub", {"btrfs, subvolume", "fanotify", "fanotify"});
    on_fresh_directory(at + "/sub/inner", {"btrfs, nested subvolume", "fanotify", "fanotify"});
    const std::string only = scratch + "/only";
    CHECK(Scratch::run("mkdir '" + only + "' && mount -o loop,subvol=sub/inner '" + at + ".img' '" + only + "' 2>/dev/null || "
              "mount -o subvol=sub/inner $(findmnt -no SOURCE -M '" + at + "' | sed 's/\\[.*//') '" + only + "'"));
    on_fresh_directory(only, {"btrfs, mount of a subvolume", "fanotify", "fanotify"});
    CHECK(::umount2(only.c_str(), 0) == 0);
  } else {
    on_fresh_directory(at, {type, "fanotify", "fanotify"});
    on_fresh_directory(at, {type + ", inotify asked for", "inotify", "inotify"});
  }
  // Nothing of ours may keep the file system busy.
  if (::umount2(at.c_str(), 0) != 0) failed(__FILE__, __LINE__, type + ": umount: " + ::strerrordesc_np(errno));
}

void privileged_cases(const std::string& scratch) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return skip("file systems", "a mount name space was refused");
  }
  file_system(scratch, "ext4", 128);
  file_system(scratch, "xfs", 320);
  file_system(scratch, "btrfs", 256);

  const std::string memory = scratch + "/tmpfs";
  CHECK(::mkdir(memory.c_str(), 0755) == 0);
  if (::mount("none", memory.c_str(), "tmpfs", 0, "size=64m") != 0) {
    skip("tmpfs", "mount was refused");
  } else {
    on_fresh_directory(memory, {"tmpfs", "fanotify", "fanotify"});
    CHECK(Scratch::run("cd '" + memory + "' && mkdir real bound"));
    CHECK(::mount((memory + "/real").c_str(), (memory + "/bound").c_str(), nullptr, MS_BIND, nullptr) == 0);
    on_fresh_directory(memory + "/bound", {"bind mount of a directory", "fanotify", "fanotify"});
    CHECK(::umount2((memory + "/bound").c_str(), 0) == 0);
    CHECK(Scratch::run("cd '" + memory + "' && mkdir low up work merged"));
    const std::string options = "lowerdir=" + memory + "/low,upperdir=" + memory + "/up,workdir=" + memory + "/work";
    if (::mount("none", (memory + "/merged").c_str(), "overlay", 0, options.c_str()) != 0) {
      skip("overlayfs", "mount was refused");
    } else {
      on_fresh_directory(memory + "/merged", {"overlayfs", "auto", "inotify"});
      CHECK(::umount2((memory + "/merged").c_str(), 0) == 0);
    }
    CHECK(::umount2(memory.c_str(), 0) == 0);
  }
}

void as_nobody(const std::string& scratch) {
  const std::string base = scratch + "/nobody";
  constexpr uid_t kNobody = 65534;
  CHECK(::mkdir(base.c_str(), 0755) == 0 && ::chown(base.c_str(), kNobody, kNobody) == 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 && ::setresuid(kNobody, kNobody, kNobody) == 0);
    converge(base, {"without privileges", "auto", "inotify"});
    std::fflush(nullptr);
    std::_Exit(0);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST("P3: this file system, by fanotify and by inotify") {
  if (skip_unless_root("fanotify")) return;
  const Scratch scratch;
  on_fresh_directory(scratch.path(), {"this file system", "auto", "fanotify"});
  on_fresh_directory(scratch.path(), {"this file system, inotify", "inotify", "inotify"});
}

TEST("P4: without privileges") {
  const Scratch scratch;
  CHECK(::chmod(scratch.path().c_str(), 0755) == 0);
  if (::geteuid() == 0) as_nobody(scratch.path());
  else on_fresh_directory(scratch.path(), {"without privileges", "auto", "inotify"});
}

TEST("P3: ext4, xfs, btrfs with subvolumes, tmpfs, bind mounts, overlayfs") {
  if (skip_unless_root("mounts")) return;
  const Scratch scratch;
  privileged_cases(scratch.path());
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
