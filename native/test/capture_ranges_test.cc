// DESIGN 6, block filter: written ranges of large files are told exactly, and what was dropped is told as lost.
#include "capture_ranges_bpf.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "check.h"

namespace understudy::test {
namespace {

struct Range {
  u64 device, inode, offset, length;
};

class Ranges {
 public:
  // False, with the reason printed, where the kernel or our privileges do not allow it.
  bool open(const std::vector<u64>& devices, u32 ring_bytes = 1u << 20) {
    Result<std::unique_ptr<RangeHints>> opened = RangeHints::open(devices, ring_bytes);
    if (!opened) {
      std::printf("SKIP: %s: %s\n", opened.error().call.c_str(), std::strerror(opened.error().code));
      return false;
    }
    hints_ = std::move(*opened);
    return true;
  }
  std::vector<Range> take() {
    std::vector<Range> all;
    hints_->drain([&](u64 device, u64 inode, u64 offset, u64 length) { all.push_back({device, inode, offset, length}); });
    return all;
  }
  // True when all bytes from `from` to `to` of this file are in some range; every range is of this file.
  bool covers(const struct stat& file, u64 from, u64 to) {
    bool found = false;
    for (const Range& range : take()) {
      CHECK(range.device == file.st_dev && range.inode == file.st_ino);
      const u64 end = range.length == kRangeToEnd ? ~u64{0} : range.offset + range.length;
      found |= range.offset <= from && end >= to;
    }
    return found;
  }
  bool lost() { return hints_->lost(); }

 private:
  std::unique_ptr<RangeHints> hints_;
};

bool mount_ext4(const std::string& at) {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         Scratch::run("mkdir '" + at + "' && truncate -s 64M '" + at + ".img' && mkfs.ext4 -qF '" + at + ".img' && mount -o loop '" +
                      at + ".img' '" + at + "'");
}

TEST("BLK: every way of changing bytes is told by its range") {
  if (skip_unless_root("bpf, mounts")) return;
  const Scratch scratch;
  const std::string at = scratch / "ext4";
  if (!mount_ext4(at)) {
    std::printf("SKIP: a loop mount of ext4 was refused\n");
    return;
  }
  {
    const std::string path = at + "/file";
    write_file(path, std::string(1 << 20, 'x'));
    const struct stat status = stat_of(path);
    Ranges ranges;
    if (!ranges.open({status.st_dev})) return;
    const Fd fd(::open(path.c_str(), O_RDWR));
    CHECK(::fsync(fd.get()) == 0);
    ranges.take();

    CHECK(::pwrite(fd.get(), "abc", 3, 5'000) == 3);
    CHECK(ranges.covers(status, 5'000, 5'003));
    CHECK(::fsync(fd.get()) == 0);
    CHECK(ranges.take().empty());
    CHECK(::pwrite(fd.get(), "abc", 3, 900'000) == 3);
    const std::vector<Range> exact = ranges.take();
    CHECK(!exact.empty() && exact[0].offset == 900'000 && exact[0].length == 3);
    {
      const Fd direct(::open(path.c_str(), O_RDWR | O_DIRECT));
      void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      CHECK(page != MAP_FAILED && ::pwrite(direct.get(), page, 4096, 8192) == 4096);
      CHECK(ranges.covers(status, 8192, 12'288));
      CHECK(::pread(direct.get(), page, 4096, 65'536) == 4096);
      CHECK(ranges.take().empty());  // a read is not a change
      ::munmap(page, 4096);
    }
    CHECK(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16'384, 8192) == 0);
    CHECK(ranges.covers(status, 16'384, 24'576));
    CHECK(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 32'768, 8192) == 0);
    CHECK(ranges.covers(status, 32'768, 40'960));
    CHECK(::fallocate(fd.get(), FALLOC_FL_COLLAPSE_RANGE, 40'960, 4096) == 0);
    CHECK(ranges.covers(status, 40'960, kRangeToEnd));
    CHECK(::ftruncate(fd.get(), 500'000) == 0);
    CHECK(ranges.covers(status, 500'000, kRangeToEnd));

    CHECK(::fsync(fd.get()) == 0);
    ranges.take();
    void* mapped = ::mmap(nullptr, 65'536, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    CHECK(mapped != MAP_FAILED);
    static_cast<volatile char*>(mapped)[20'000] = 'z';
    CHECK(ranges.covers(status, 20'000, 20'001));
    ::munmap(mapped, 65'536);
    CHECK(!ranges.lost());
    write_file(scratch / "elsewhere", "another file system is not told");
    CHECK(ranges.take().empty());
  }
  CHECK(::umount2(at.c_str(), 0) == 0);
}

TEST("I3, I8: a full ring is told as a loss, and goes on") {
  if (skip_unless_root("bpf")) return;
  const Scratch scratch;
  struct statfs file_system;
  if (::statfs(scratch.path().c_str(), &file_system) != 0 || file_system.f_type != 0xEF53) {
    std::printf("SKIP: needs ext4 for temporary files\n");
    return;
  }
  write_file(scratch / "file", "x");
  const struct stat status = stat_of(scratch / "file");
  Ranges ranges;
  if (!ranges.open({status.st_dev}, 4096)) return;
  const Fd fd(::open((scratch / "file").c_str(), O_WRONLY));
  for (int i = 0; i < 1'000; ++i) CHECK(::pwrite(fd.get(), "y", 1, i) == 1);
  CHECK(ranges.lost());
  ranges.take();
  (void)ranges.lost();
  CHECK(::pwrite(fd.get(), "z", 1, 7) == 1);
  bool found = false;
  for (const Range& range : ranges.take()) found |= range.inode == status.st_ino && range.offset == 7 && range.length == 1;
  CHECK(found);
}

TEST("BLK: what cannot be watched is refused with the call") {
  Result<std::unique_ptr<RangeHints>> none = RangeHints::open({});
  CHECK_ERROR(none, EOPNOTSUPP);
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
