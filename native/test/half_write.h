// A write(2) by another process that stops in the middle: the kernel has set the file's times, and its bytes wait for a
// page that nobody fills until `finish`. So does a write from a mapping of a slow disk, or into a full page cache.
#pragma once

#include <sys/types.h>

#include <string>

#include "base.h"

namespace understudy::test {

class HalfWrite {
 public:
  // Two pages of `byte` at `offset`. Ask `begun` first: userfaultfd needs root, and a kernel that has it.
  HalfWrite(const std::string& file, u64 offset, char byte);
  ~HalfWrite();
  bool begun() const { return begun_; }
  void finish();   // all bytes are there when it returns

 private:
  pid_t writer_ = -1;
  Fd go_;
  bool begun_ = false;
};

}  // namespace understudy::test
