// Takes the power from a file system: from here on nothing of it reaches its device any more, as xfstests' `godown`.
//
//   power-cut DIRECTORY
//
// What was not written back is lost; its next mount replays the journal, as after a real loss.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#define FS_IOC_SHUTDOWN _IOR('X', 125, uint32_t)

int main(int argc, char** argv) {
  constexpr uint32_t kNoLogFlush = 2;
  const int directory = argc == 2 ? ::open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  uint32_t how = kNoLogFlush;
  if (directory >= 0 && ::ioctl(directory, FS_IOC_SHUTDOWN, &how) == 0) return 0;
  std::perror("power-cut");
  return 1;
}
