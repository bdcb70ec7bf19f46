#include "half_write.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cstring>

#include "check.h"

namespace understudy::test {
namespace {

constexpr std::size_t kPage = 4'096;

// Between fork and exit of a process with threads: system calls only. 0 when all was written.
int write_two_pages(int file, u64 offset, char byte, int go) {
  char* const page = static_cast<char*>(::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (page == MAP_FAILED) return 1;
  std::memset(page, byte, kPage);
  const int faults = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
  uffdio_api api{};
  api.api = UFFD_API;
  uffdio_register missing{};
  missing.range = {reinterpret_cast<u64>(page + kPage), kPage};
  missing.mode = UFFDIO_REGISTER_MODE_MISSING;
  if (faults < 0 || ::ioctl(faults, UFFDIO_API, &api) != 0 || ::ioctl(faults, UFFDIO_REGISTER, &missing) != 0) return 2;
  const pid_t filler = ::fork();
  if (filler < 0) return 3;
  if (filler == 0) {   // Fills the missing page of its parent when it is told to.
    char told;
    if (::read(go, &told, 1) != 1) ::_exit(1);
    uffdio_copy copy{};
    copy.dst = reinterpret_cast<u64>(page + kPage);
    copy.src = reinterpret_cast<u64>(page);
    copy.len = kPage;
    ::_exit(::ioctl(faults, UFFDIO_COPY, &copy) == 0 ? 0 : 1);
  }
  const iovec parts[] = {{page, kPage}, {page + kPage, kPage}};
  const bool whole = ::pwritev(file, parts, 2, static_cast<off_t>(offset)) == static_cast<ssize_t>(2 * kPage);
  int status = 0;
  ::waitpid(filler, &status, 0);
  return whole && status == 0 ? 0 : 4;
}

}  // namespace

HalfWrite::HalfWrite(const std::string& file, u64 offset, char byte) {
  struct stat before, now;
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  int ends[2];
  if (!fd || ::fstat(fd.get(), &before) != 0 || ::pipe2(ends, O_CLOEXEC) != 0) failed(__FILE__, __LINE__, "open " + file);
  const Fd told(ends[0]);
  go_ = Fd(ends[1]);
  writer_ = ::fork();
  if (writer_ < 0) failed(__FILE__, __LINE__, "fork");
  if (writer_ == 0) ::_exit(write_two_pages(fd.get(), offset, byte, told.get()));
  for (;;) {
    if (::waitpid(writer_, nullptr, WNOHANG) == writer_) return;
    if (::fstat(fd.get(), &now) == 0 && (now.st_ctim.tv_sec != before.st_ctim.tv_sec || now.st_ctim.tv_nsec != before.st_ctim.tv_nsec)) break;
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
  begun_ = true;
}

HalfWrite::~HalfWrite() {
  if (begun_) finish();
}

void HalfWrite::finish() {
  begun_ = false;
  int status = 0;
  if (::write(go_.get(), "", 1) != 1 || ::waitpid(writer_, &status, 0) != writer_ || status != 0) failed(__FILE__, __LINE__, "the write did not end");
}

}  // namespace understudy::test
