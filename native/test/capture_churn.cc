// Random changes to a tree, made of few names so that they collide often.
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <fcntl.h>

#include <mutex>
#include <random>

#include "capture_support.h"

namespace understudy::test {
namespace {

// A write through a name that was removed meanwhile reaches the other names of the file unreported; the sweep finds
// that, not the capture. So changes to hard links do not overlap each other.
std::mutex links_mutex;

class Churn {
 public:
  Churn(std::string base, u64 seed, bool privileged) : base_(std::move(base)), random_(seed), privileged_(privileged) {}
  void step();

 private:
  u32 pick(u32 below) { return static_cast<u32>(random_() % below); }
  // One in ten lies outside of the set.
  std::string directory() {
    std::string path = base_ + (pick(10) == 0 ? "/outside" : "/set");
    for (u32 depth = pick(4); depth > 0; --depth) path += "/d" + std::to_string(pick(3));
    return path;
  }
  std::string file() { return directory() + "/f" + std::to_string(pick(6)); }
  // Names that are hard links of each other stay in the set and where they are: a change through a name outside of it
  // is reported by no interface.
  std::string linked() { return base_ + "/set/l" + std::to_string(pick(5)); }
  std::string changed_file() { return pick(8) == 0 ? linked() : file(); }
  std::string changed() {
    return pick(2) == 0 ? directory() + "/d" + std::to_string(pick(3)) : changed_file();
  }
  std::string any() { return pick(2) == 0 ? directory() + "/d" + std::to_string(pick(3)) : file(); }
  void write_file();
  void deep_tree();
  void remove_tree(const std::string& path, int depth);

  const std::string base_;
  std::mt19937_64 random_;
  const bool privileged_;
};

void Churn::write_file() {
  const std::string path = changed_file();
  std::unique_lock lock(links_mutex, std::defer_lock);
  if (path.starts_with(base_ + "/set/l")) lock.lock();
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | (pick(3) == 0 ? O_TRUNC : 0), 0644));
  if (!fd) return;
  char bytes[512];
  for (char& byte : bytes) byte = static_cast<char>(random_());
  for (u32 count = pick(4); count > 0; --count) {
    const ssize_t ignored = ::pwrite(fd.get(), bytes, pick(sizeof bytes), pick(4096));
    (void)ignored;
  }
  if (pick(8) == 0) (void)!::ftruncate(fd.get(), pick(4096));
  if (pick(8) == 0) (void)!::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1024);
  if (pick(8) == 0) (void)!::fallocate(fd.get(), 0, 0, 8192);
}

// Made as fast as possible: the directories are filled before anybody can have watched them.
void Churn::deep_tree() {
  std::string path = directory() + "/d" + std::to_string(pick(3));
  for (u32 depth = 2 + pick(6); depth > 0; --depth) {
    ::mkdir(path.c_str(), 0755);
    for (u32 files = pick(4); files > 0; --files) {
      const Fd fd(::open((path + "/n" + std::to_string(files)).c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600));
      if (fd) (void)!::write(fd.get(), "deep", 4);
    }
    path += "/d" + std::to_string(pick(3));
  }
}

void Churn::remove_tree(const std::string& path, int depth) {
  for (int i = 0; i < 6; ++i) {
    ::unlink((path + "/f" + std::to_string(i)).c_str());
    ::unlink((path + "/n" + std::to_string(i)).c_str());
  }
  if (depth > 0) {
    for (int i = 0; i < 3; ++i) remove_tree(path + "/d" + std::to_string(i), depth - 1);
  }
  ::rmdir(path.c_str());
}

void Churn::step() {
  switch (pick(20)) {
    case 0: case 1: case 2: case 3: return write_file();
    case 4: case 5: (void)::mkdir((directory() + "/d" + std::to_string(pick(3))).c_str(), 0755); return;
    case 6: case 7: case 8: (void)::rename(any().c_str(), any().c_str()); return;
    case 9: (void)::rename((directory() + "/d" + std::to_string(pick(3))).c_str(), (directory() + "/d" + std::to_string(pick(3))).c_str()); return;
    case 10: (void)::unlink(file().c_str()); return;
    case 11: {
      const std::lock_guard lock(links_mutex);
      (void)::unlink(changed_file().c_str());
      return;
    }
    case 12: (void)::rmdir((directory() + "/d" + std::to_string(pick(3))).c_str()); return;
    case 13: (void)!::link(linked().c_str(), linked().c_str()); return;
    case 14: (void)!::symlink("somewhere", file().c_str()); return;
    case 15: {
      const std::lock_guard lock(links_mutex);
      (void)::chmod(changed().c_str(), 0700 | pick(0100));
      return;
    }
    case 16: {
      const std::lock_guard lock(links_mutex);
      const std::string value = std::to_string(pick(1000));
      if (pick(2) == 0) (void)::lsetxattr(changed().c_str(), "user.test", value.data(), value.size(), 0);
      else (void)::lremovexattr(changed().c_str(), "user.test");
      return;
    }
    case 17: return deep_tree();
    case 18: {
      const std::lock_guard lock(links_mutex);
      const timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(pick(1u << 30)), 5}};
      (void)::utimensat(AT_FDCWD, changed_file().c_str(), times, AT_SYMLINK_NOFOLLOW);
      if (privileged_) (void)!::lchown(changed().c_str(), pick(5), pick(5));
      else (void)::mkfifo(file().c_str(), 0600);
      return;
    }
    case 19:
      if (pick(4) == 0) remove_tree(directory(), 3);
      else (void)::renameat2(AT_FDCWD, any().c_str(), AT_FDCWD, any().c_str(), RENAME_EXCHANGE);
      return;
  }
}

}  // namespace

void churn(const std::string& base, u64 seed, int operations, bool privileged) {
  Churn one(base, seed, privileged);
  for (int i = 0; i < operations; ++i) one.step();
}

}  // namespace understudy::test
