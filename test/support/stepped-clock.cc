// A wall clock that a test can set, for one process: preloaded (LD_PRELOAD), it adds to CLOCK_REALTIME what a file says.
// Clocks that only go forward are left alone, as they are when the clock of a machine is set.
//
//   CLOCK_OFFSET_FILE=file   eight bytes, a signed number of nanoseconds; read at every look at the clock
//
// Namespaces share the wall clock of their machine, which is not the tests' to set.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace {

constexpr int64_t kSecond = 1'000'000'000;
using Gettime = int (*)(clockid_t, timespec*);

// Looked for at the first call: others may ask for the time before any constructor of ours has run.
const volatile int64_t* offset() {
  static const volatile int64_t* const found = []() -> const volatile int64_t* {
    static const int64_t none = 0;
    const char* name = std::getenv("CLOCK_OFFSET_FILE");
    const int file = name ? ::open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return &none;
    void* map = ::mmap(nullptr, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    return map == MAP_FAILED ? &none : static_cast<const int64_t*>(map);
  }();
  return found;
}

int real(clockid_t clock, timespec* at) {
  static const Gettime next = reinterpret_cast<Gettime>(::dlsym(RTLD_NEXT, "clock_gettime"));
  return next ? next(clock, at) : static_cast<int>(::syscall(SYS_clock_gettime, clock, at));
}

int64_t now() {
  timespec at;
  real(CLOCK_REALTIME, &at);
  return at.tv_sec * kSecond + at.tv_nsec + *offset();
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* at) noexcept {
  const int result = real(clock, at);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  const int64_t ns = at->tv_sec * kSecond + at->tv_nsec + *offset();
  *at = {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
  return 0;
}

int timespec_get(timespec* at, int base) noexcept {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, at) == 0 ? base : 0;
}

int gettimeofday(timeval* at, void* zone) noexcept {
  if (zone) *static_cast<struct timezone*>(zone) = {};
  const int64_t ns = now();
  *at = {static_cast<time_t>(ns / kSecond), static_cast<suseconds_t>(ns % kSecond / 1'000)};
  return 0;
}

time_t time(time_t* at) noexcept {
  const auto seconds = static_cast<time_t>(now() / kSecond);
  if (at) *at = seconds;
  return seconds;
}

}  // extern "C"
