// What a capture promises besides convergence: barriers, losses that are told, order of renames, unmounting, and that
// places outside of the set cost nothing.
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mount.h>

#include "capture_support.h"
#include "probe.h"

namespace understudy::test {
namespace {

// Writes down what it is told about a flat set of known directories.
class Notes final : public CaptureSink {
 public:
  void know(const std::string& path) {
    const struct stat status = stat_of(path);
    directories_.push_back({path, status.st_dev, status.st_ino});
  }
  NodeId find_directory(u64 device, u64 inode) override {
    for (std::size_t i = 0; i < directories_.size(); ++i) {
      if (directories_[i].device == device && directories_[i].inode == inode) return static_cast<NodeId>(i + 1);
    }
    return kNoNode;
  }
  bool is_directory(NodeId node, u64 inode) override {
    return node >= 1 && node <= directories_.size() && directories_[node - 1].inode == inode;
  }
  void hint(NodeId directory, std::string_view name, u32 what) override {
    lines.push_back(directories_.at(directory - 1).path + "/" + std::string(name));
    bits.push_back(what);
  }
  void unknown_directory(std::string_view path, std::string_view name, u32) override {
    unknown.push_back(std::string(path) + "/" + std::string(name));
  }
  void hint_object(u64 device, u64 inode, u32 what) override {
    objects.push_back({device, inode});
    object_bits |= what;
  }
  void lost(std::string_view why) override { losses.emplace_back(why); }
  int position(const std::string& line) const {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i] == line) return static_cast<int>(i);
    }
    return -1;
  }
  bool has(const std::string& line) const { return position(line) >= 0; }
  u32 bits_of(const std::string& line) const {
    u32 all = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) all |= lines[i] == line ? bits[i] : 0;
    return all;
  }
  void clear() {
    lines.clear();
    bits.clear();
    unknown.clear();
    losses.clear();
    objects.clear();
    object_bits = 0;
  }
  std::vector<std::string> lines, unknown, losses;
  std::vector<u32> bits;
  std::vector<std::pair<u64, u64>> objects;
  u32 object_bits = 0;

 private:
  struct Directory {
    std::string path;
    u64 device, inode;
  };
  std::vector<Directory> directories_;
};

struct Watched {
  Watched(const std::string& mode, const std::vector<std::string>& paths, CaptureOptions options = {}) : roots(paths) {
    Result<std::unique_ptr<Capture>> opened = open_capture(mode, options, OpenRoots(paths).roots, -1, degraded);
    CHECK_OK(opened);
    capture = std::move(*opened);
  }
  void watch(NodeId node, const std::string& path) {
    const Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY));
    CHECK_OK(capture->watch(node, fd.get()));
  }
  void deliver(CaptureSink& sink) {
    capture->barrier();
    capture->deliver(OpenRoots(roots).roots, sink);
  }
  std::vector<std::string> roots;
  std::string degraded;
  std::unique_ptr<Capture> capture;
};

const std::vector<std::string> kModes{"fanotify", "inotify"};

void make_directory(const std::string& path) { CHECK(::mkdir(path.c_str(), 0755) == 0); }
void move(const std::string& from, const std::string& to) { CHECK(::rename(from.c_str(), to.c_str()) == 0); }

// Mounts from here on are ours alone, or false with the reason printed.
bool private_mounts() {
  if (::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) return true;
  std::printf("SKIP: a mount name space was refused\n");
  return false;
}

// A file system in memory of our own, on which nobody else writes.
bool mount_memory(const std::string& at) {
  if (!private_mounts()) return false;
  make_directory(at);
  if (::mount("none", at.c_str(), "tmpfs", 0, "size=4m") == 0) return true;
  std::printf("SKIP: a mount of tmpfs was refused\n");
  return false;
}

// A private loop mount, or false with the reason printed.
bool mount_loop(const std::string& at, const std::string& type, int megabytes) {
  if (!private_mounts()) return false;
  if (!Scratch::run("command -v mkfs." + type + " >/dev/null")) {
    std::printf("SKIP: mkfs.%s is not installed\n", type.c_str());
    return false;
  }
  const std::string quiet = type == "ext4" ? "-qF" : "-qf";
  if (!Scratch::run("mkdir '" + at + "' && truncate -s " + std::to_string(megabytes) + "M '" + at + ".img' && mkfs." + type +
                    " " + quiet + " '" + at + ".img' >/dev/null 2>&1 && mount -o loop '" + at + ".img' '" + at + "'")) {
    std::printf("SKIP: a loop mount of %s was refused\n", type.c_str());
    return false;
  }
  return true;
}

TEST("I1: a barrier covers everything that happened before it, even in the middle of a pause") {
  for (const std::string& mode : kModes) {
    if (mode == "fanotify" && skip_unless_root(mode.c_str())) continue;
    const Scratch scratch;
    CaptureOptions slow;
    slow.batch_us = 300'000;
    Watched watched(mode, {scratch.path()}, slow);
    watched.watch(1, scratch.path());
    Notes notes;
    notes.know(scratch.path());
    const i64 began = monotonic_ns();
    for (int i = 0; i < 200; ++i) {
      const std::string path = scratch / std::to_string(i);
      write_file(path, "x");
      watched.deliver(notes);
      CHECK(notes.has(path));
      CHECK((notes.bits_of(path) & (kHintName | kHintContent | kHintClosed)) == (kHintName | kHintContent | kHintClosed));
    }
    CHECK(notes.losses.empty());
    CHECK(monotonic_ns() - began < 5'000'000'000);  // a barrier does not wait for the pause to end
  }
}

TEST("I1: what changed is told by its bits") {
  for (const std::string& mode : kModes) {
    if (mode == "fanotify" && skip_unless_root(mode.c_str())) continue;
    const Scratch scratch;
    make_directory(scratch / "sub");
    write_file(scratch / "sub/old", "x");
    Watched watched(mode, {scratch.path()});
    watched.watch(1, scratch.path());
    watched.watch(2, scratch / "sub");
    Notes notes;
    notes.know(scratch.path());
    notes.know(scratch / "sub");
    CHECK(::chmod((scratch / "sub/old").c_str(), 0600) == 0);
    watched.deliver(notes);
    CHECK_EQUAL(notes.bits_of(scratch / "sub/old"), kHintAttributes);
    notes.clear();
    CHECK(::truncate((scratch / "sub/old").c_str(), 5) == 0);
    watched.deliver(notes);
    CHECK((notes.bits_of(scratch / "sub/old") & kHintContent) != 0);
    notes.clear();
    CHECK(::chmod((scratch / "sub").c_str(), 0700) == 0);
    watched.deliver(notes);
    CHECK_EQUAL(notes.bits_of(scratch / "sub/"), (kHintAttributes | kHintDirectory));
    notes.clear();
    // A file held open tells of its writes too.
    const Fd fd(::open((scratch / "sub/old").c_str(), O_WRONLY));
    CHECK(::pwrite(fd.get(), "y", 1, 0) == 1);
    watched.deliver(notes);
    CHECK_EQUAL(notes.bits_of(scratch / "sub/old"), kHintContent | kHintWritten);
    notes.clear();
    make_directory(scratch / "sub/more");
    watched.deliver(notes);
    CHECK_EQUAL(notes.bits_of(scratch / "sub/more"), (kHintName | kHintDirectory));
  }
}

void check_rename_order(const std::string& mode, CaptureOptions options) {
  const Scratch scratch;
  make_directory(scratch / "a");
  make_directory(scratch / "b");
  write_file(scratch / "a/file", "x");
  options.batch_us = 200'000;
  Watched watched(mode, {scratch.path()}, options);
  Notes notes;
  for (const char* name : {"", "/a", "/b"}) {
    notes.know(scratch.path() + name);
    watched.watch(notes.find_directory(stat_of(scratch.path() + name).st_dev, stat_of(scratch.path() + name).st_ino), scratch.path() + name);
  }
  write_file(scratch / "start", "x");  // the reader rests after this one: the rest comes as one batch
  ::usleep(20'000);
  write_file(scratch / "a/file", "changed just before it is moved");
  move(scratch / "a/file", scratch / "b/file");
  make_directory(scratch / "a/inner");
  move(scratch / "a/inner", scratch / "inner");
  watched.deliver(notes);
  CHECK(notes.has(scratch / "b/file") && notes.has(scratch / "a/file"));
  CHECK(notes.position(scratch / "b/file") < notes.position(scratch / "a/file"));
  CHECK(notes.position(scratch / "inner") < notes.position(scratch / "a/inner"));
  CHECK((notes.bits_of(scratch / "inner") & (kHintName | kHintDirectory)) == (kHintName | kHintDirectory));
  // A name is told again only when there is something new about it.
  for (std::size_t i = 0; i < notes.lines.size(); ++i) {
    u32 before = 0;
    for (std::size_t j = 0; j < i; ++j) before |= notes.lines[j] == notes.lines[i] ? notes.bits[j] : 0;
    CHECK((notes.bits[i] & ~before) != 0);
  }
}

TEST("I1: the new name of a rename is told before the old one") {
  check_rename_order("inotify", {});
  if (skip_unless_root("fanotify")) return;
  check_rename_order("fanotify", {});
  CaptureOptions old_kernel;
  old_kernel.old_kernel = true;
  check_rename_order("fanotify", old_kernel);
}

TEST("I3, I8: a full buffer is a loss which is told, and capture goes on") {
  for (const std::string& mode : kModes) {
    if (mode == "fanotify" && skip_unless_root(mode.c_str())) continue;
    const Scratch scratch;
    CaptureOptions small;
    small.buffer_bytes_max = 20'000;
    Watched watched(mode, {scratch.path()}, small);
    watched.watch(1, scratch.path());
    Notes notes;
    notes.know(scratch.path());
    for (int i = 0; i < 2'000; ++i) write_file(scratch / std::to_string(i), "x");
    watched.capture->barrier();
    CHECK(watched.capture->statistics().buffered <= small.buffer_bytes_max);
    watched.deliver(notes);
    CHECK(notes.losses == std::vector<std::string>{"buffer"});
    notes.clear();
    write_file(scratch / "after", "x");
    watched.deliver(notes);
    CHECK(notes.losses.empty() && notes.has(scratch / "after"));
    CHECK(watched.capture->statistics().lost == 1);
  }
}

TEST("I3: an overflow of the kernel's queue is told") {
  const Scratch scratch;
  const u64 queue_max = std::strtoull(read_file("/proc/sys/fs/inotify/max_queued_events").c_str(), nullptr, 10);
  if (queue_max > 100'000) {
    std::printf("SKIP: fs.inotify.max_queued_events is too large (%llu)\n", static_cast<unsigned long long>(queue_max));
    return;
  }
  CaptureOptions slow;
  slow.batch_us = 60'000'000;
  Watched watched("inotify", {scratch.path()}, slow);
  watched.watch(1, scratch.path());
  Notes notes;
  notes.know(scratch.path());
  write_file(scratch / "start", "x");
  ::usleep(50'000);
  for (u64 i = 0; i < queue_max / 2 + 100; ++i) {
    const std::string path = scratch / std::to_string(i);
    write_file(path, "x");
    CHECK(::unlink(path.c_str()) == 0);
  }
  watched.deliver(notes);
  CHECK(notes.losses == std::vector<std::string>{"overflow"});
  notes.clear();
  write_file(scratch / "after", "x");
  watched.deliver(notes);
  CHECK(notes.losses.empty() && notes.has(scratch / "after"));
}

TEST("SET: places outside of the set bring nothing, until they are moved into it") {
  if (skip_unless_root("fanotify")) return;
  for (const bool old_kernel : {false, true}) {
    const Scratch scratch;
    make_directory(scratch / "set");
    make_directory(scratch / "other");
    make_directory(scratch / "other/deep");
    make_directory(scratch / "settle");  // shares the beginning of its name
    CaptureOptions options;
    options.old_kernel = old_kernel;
    Watched watched("fanotify", {scratch / "set"}, options);
    Notes notes;
    notes.know(scratch / "set");
    write_file(scratch / "other/deep/file", "x");
    write_file(scratch / "other/file", "x");
    write_file(scratch / "settle/file", "x");
    watched.deliver(notes);
    CHECK(notes.lines.empty() && notes.unknown.empty());
    move(scratch / "other", scratch / "set/came");
    make_directory(scratch / "set/came/deep/later");   // one event, whenever the reader looks
    watched.deliver(notes);
    CHECK(notes.has(scratch / "set/came"));
    CHECK(notes.unknown.size() == 1 && notes.unknown[0] == scratch / "set/came/deep/later");
    notes.clear();
    // Away again: the sink never learned of the directory, so the capture must find out itself.
    move(scratch / "set/came", scratch / "gone");
    watched.deliver(notes);
    CHECK(notes.has(scratch / "set/came"));
    notes.clear();
    write_file(scratch / "gone/deep/file", "y");
    watched.deliver(notes);
    CHECK(notes.lines.empty() && notes.unknown.empty());
  }
}

TEST("CAP-06: a file written through its handle, as an NFS server does, is told by its inode") {
  if (skip_unless_root("fanotify, mounts")) return;
  const Scratch scratch;
  const std::string root = scratch / "ext4";
  if (!mount_loop(root, "ext4", 32)) return;
  write_file(root + "/file", "x");
  const struct stat status = stat_of(root + "/file");
  alignas(file_handle) char bytes[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(bytes);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id;
  CHECK(::name_to_handle_at(AT_FDCWD, (root + "/file").c_str(), handle, &mount_id, 0) == 0);
  // Mounting anew forgets the names that the kernel knew.
  CHECK(::umount2(root.c_str(), 0) == 0 && Scratch::run("mount -o loop '" + root + ".img' '" + root + "'"));
  Watched watched("fanotify", {root});
  Notes notes;
  notes.know(root);
  {
    const Fd mount(::open(root.c_str(), O_RDONLY | O_DIRECTORY));
    const Fd fd(::open_by_handle_at(mount.get(), handle, O_WRONLY));
    CHECK(::pwrite(fd.get(), "y", 1, 0) == 1);
  }
  watched.deliver(notes);
  CHECK(notes.lines.empty());
  CHECK(!notes.objects.empty());
  for (const auto& [device, inode] : notes.objects) CHECK(inode == status.st_ino);
  CHECK((notes.object_bits & (kHintContent | kHintClosed)) == (kHintContent | kHintClosed));
  notes.clear();
  // A removal brings no such hint besides its own.
  CHECK(::unlink((root + "/file").c_str()) == 0);
  watched.deliver(notes);
  CHECK(notes.has(root + "/file") && notes.objects.empty());
  watched.capture->stop();
  CHECK(::umount2(root.c_str(), 0) == 0);
}

TEST("SET: a directory which the shadow drops and another node takes over is not confused") {
  if (skip_unless_root("fanotify")) return;
  const Scratch scratch;
  make_directory(scratch / "one");
  Watched watched("fanotify", {scratch.path()});
  Notes first;
  first.know(scratch.path());
  first.know(scratch / "one");
  write_file(scratch / "one/a", "x");
  watched.deliver(first);
  CHECK(first.has(scratch / "one/a"));
  watched.capture->forget(1);
  watched.capture->forget(2);
  Notes second;  // the same directories under exchanged ids
  second.know(scratch / "one");
  second.know(scratch.path());
  write_file(scratch / "one/b", "x");
  watched.deliver(second);
  CHECK(second.has(scratch / "one/b"));
}

TEST("SET: several roots on several file systems, one of them missing") {
  if (skip_unless_root("fanotify, mounts")) return;
  const Scratch scratch;
  if (!mount_loop(scratch / "ext4", "ext4", 32)) return;
  make_directory(scratch / "here");
  const std::vector<std::string> roots{scratch / "here", scratch / "ext4", scratch / "missing"};
  Watched watched("fanotify", roots);
  Notes notes;
  notes.know(roots[0]);
  notes.know(roots[1]);
  write_file(roots[0] + "/a", "x");
  write_file(roots[1] + "/b", "x");
  watched.deliver(notes);
  CHECK(notes.has(roots[0] + "/a") && notes.has(roots[1] + "/b"));
  watched.capture->stop();
  CHECK(::umount2(roots[1].c_str(), 0) == 0);
}

void check_unmount(const std::string& mode, const std::string& type, const std::string& below, int megabytes) {
  const Scratch scratch;
  const std::string at = scratch / "mounted";
  if (!mount_loop(at, type, megabytes)) return;
  if (type == "btrfs") CHECK(Scratch::run("btrfs -q subvolume create '" + at + below + "'"));
  const std::string root = at + below;
  Watched watched(mode, {root});
  Notes notes;
  notes.know(root);
  watched.watch(1, root);
  write_file(root + "/a", "x");
  watched.deliver(notes);
  CHECK(notes.has(root + "/a"));
  write_file(root + "/b", "x");
  if (::umount2(at.c_str(), 0) != 0) failed(__FILE__, __LINE__, type + ": the capture keeps the file system busy");
  notes.clear();
  watched.deliver(notes);  // with the root gone, or an empty directory in its place
  if (mode == "inotify") CHECK(notes.losses == std::vector<std::string>{"unmount"});
  CHECK(Scratch::run("mount -o loop '" + at + ".img' '" + at + "'"));
  Watched again(mode, {root});
  again.watch(1, root);
  write_file(root + "/c", "x");
  Notes fresh;
  fresh.know(root);
  again.deliver(fresh);
  CHECK(fresh.has(root + "/c"));
  CHECK(::umount2(at.c_str(), 0) == 0);
}

TEST("I8: a watched file system can be unmounted, and be watched again when it is back") {
  if (skip_unless_root("mounts")) return;
  check_unmount("fanotify", "ext4", "", 32);
  check_unmount("fanotify", "xfs", "", 320);
  check_unmount("fanotify", "btrfs", "/sub", 128);
  check_unmount("inotify", "ext4", "", 32);
}

TEST("SET: a read-only btrfs stays read-only when its subvolume is watched") {
  if (skip_unless_root("mounts")) return;
  const Scratch scratch;
  const std::string at = scratch / "mounted";
  if (!mount_loop(at, "btrfs", 128)) return;
  CHECK(Scratch::run("btrfs -q subvolume create '" + at + "/sub' && mount -o remount,ro '" + at + "'"));
  {
    Watched watched("fanotify", {at + "/sub"});
    const Fd fd(::open((at + "/file").c_str(), O_WRONLY | O_CREAT, 0644));
    CHECK(!fd && errno == EROFS);
  }
  CHECK(::umount2(at.c_str(), 0) == 0);
}

TEST("GLO: the wake descriptor is signalled within a few milliseconds") {
  for (const std::string& mode : kModes) {
    if (mode == "fanotify" && skip_unless_root(mode.c_str())) continue;
    const Scratch scratch;
    // The mark is on a whole file system, and what others do there wakes as well.
    const bool own = mode == "fanotify";
    const std::string at = own ? scratch / "own" : scratch.path();
    if (own && !mount_memory(at)) continue;
    {
      const Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      std::string degraded;
      Result<std::unique_ptr<Capture>> capture = open_capture(mode, {}, OpenRoots({at}).roots, wake.get(), degraded);
      CHECK_OK(capture);
      const Fd fd(::open(at.c_str(), O_PATH));
      CHECK_OK((*capture)->watch(1, fd.get()));
      Notes notes;
      notes.know(at);
      write_file(at + "/file", "x");
      pollfd poll_fd = {wake.get(), POLLIN, 0};
      CHECK(::poll(&poll_fd, 1, 5'000) == 1);
      (*capture)->deliver(OpenRoots({at}).roots, notes);
      CHECK(notes.has(at + "/file"));
    }
    if (own) CHECK(::umount2(at.c_str(), 0) == 0);
  }
}

TEST("GLO: the factory says why a weaker backend runs, and the probe what could be had") {
  const Scratch scratch;
  std::string degraded;
  const Result<std::unique_ptr<Capture>> wrong = open_capture("magic", {}, {}, -1, degraded);
  CHECK_ERROR(wrong, EINVAL);
  if (!skip_unless_root("mounts")) {
    if (::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) {
      const std::string at = scratch / "over";
      CHECK(Scratch::run("cd '" + scratch.path() + "' && mkdir low low2 over"));
      const std::string options = "lowerdir=" + (scratch / "low") + ":" + (scratch / "low2");
      if (::mount("none", at.c_str(), "overlay", 0, options.c_str()) == 0) {
        Result<std::unique_ptr<Capture>> capture = open_capture("auto", {}, OpenRoots({at}).roots, -1, degraded);
        CHECK_OK(capture);
        CHECK_EQUAL(std::string((*capture)->name()), "inotify");
        CHECK(degraded.find("fanotify cannot be used") == 0 && degraded.find("EOPNOTSUPP") != std::string::npos);
        CHECK_ERROR(open_capture("fanotify", {}, OpenRoots({at}).roots, -1, degraded), EOPNOTSUPP);
        const Probe over = probe_capture(at, false);
        CHECK(!over.fanotify_usable && over.inotify_usable && over.file_system.starts_with("overlay on none"));
        CHECK(::umount2(at.c_str(), 0) == 0);
      } else {
        std::printf("SKIP: overlayfs was refused\n");
      }
    }
  }
  make_directory(scratch / "x");
  make_directory(scratch / "x/y");
  const Probe probe = probe_capture(scratch / "x", true);
  CHECK(probe.directories == 2 && probe.directories_complete);
  CHECK(probe.inotify_usable && probe.watches_max > 0 && probe.instances_max > 0 && probe.open_files_max > 0);
  CHECK(probe.kernel.starts_with("Linux "));
  CHECK(probe.inotify.find(std::to_string(probe.watches_max)) != std::string::npos);
  std::printf("  %s; openat2 %s; %s; fanotify: %s; inotify: %s\n", probe.kernel.c_str(), probe.openat2 ? "yes" : "no",
              probe.file_system.c_str(), probe.fanotify.c_str(), probe.inotify.c_str());
  const Probe nowhere = probe_capture(scratch / "nowhere", false);
  CHECK(!nowhere.fanotify_usable && nowhere.fanotify.find("ENOENT") != std::string::npos);
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
