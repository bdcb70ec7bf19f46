// The two ends as processes of their own, so that kill -9 is kill -9, and a wire between them that can be cut.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base.h"

namespace understudy::test {

// This program again, with other arguments. Lines go both ways over a socket; what it says on stderr goes to a file.
// It dies with us.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, const std::string& log);
  ~Process() { kill(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  pid_t id() const { return id_; }
  void kill();                                   // kill -9, and waits for its end
  bool stop();                                   // asks it to end; true if it did so in order
  bool send(const std::string& line);
  // The next line, or nothing when it said none in time or is gone (then `gone` is true).
  std::optional<std::string> line(i64 timeout_ms);
  bool gone() const { return gone_; }
  std::string how_it_ended();

 private:
  pid_t id_ = -1;
  int status_ = 0;
  Fd socket_;
  std::string have_;
  bool gone_ = false;
};

// What a sanitizer wrote into the log of such a process; empty: nothing. One that is killed cannot tell it otherwise.
std::string sanitizer_report(const std::string& log);

// The driver of random changes (test/support/churn.cc), running as a process of its own.
class Churn {
 public:
  Churn(const std::string& root, u64 seed, u64 operations, u64 per_second);   // 0: as fast as it goes
  ~Churn() { finish(); }
  Churn(const Churn&) = delete;
  Churn& operator=(const Churn&) = delete;
  bool finish();                                 // waits for its end; true if all went well

 private:
  pid_t id_;
};

// Forwards connections on a port of 127.0.0.1 to another one. What is on its way when the wire is cut is lost.
class Wire {
 public:
  Wire();
  ~Wire();
  u16 port() const { return port_; }
  void to(u16 port) { to_ = port; }              // 0: nobody is there, connections are reset
  void cut() { cuts_ += 1; poke(); }
  void hold(bool held) { held_ = held; poke(); }   // nothing passes, and nobody is told

 private:
  struct Half {
    Fd from;
    Bytes waiting;                               // read from `from`, to be written to the other half
    std::size_t at = 0;
    bool ended = false;                          // nothing more comes from `from`
  };
  struct Pair {
    Half near, far;
  };
  void run();
  void poke();
  bool forward(Half& from, Half& to);
  Fd listener_, wake_;
  u16 port_ = 0;
  std::atomic<u16> to_{0};
  std::atomic<u32> cuts_{0};
  std::atomic<bool> ended_{false}, held_{false};
  std::vector<Pair> pairs_;
  std::thread thread_;
};

// A file system of its own whose power can be cut: what was written and not synced, or not in its journal, is gone.
class Disk {
 public:
  // An ext4 image mounted at `folder`; needs root and loop devices.
  Disk(std::string image, std::string folder, u64 megabytes = 192);
  ~Disk();
  // The file system stops where it is, with or without the open transaction of its journal, and comes up again as it
  // does after a crash. Nobody may have files open there.
  void lose_power(bool with_journal);
  // Ask first. From then on mounts are seen by this process and its children only, and end with them, however they end.
  static bool possible();

 private:
  void mount();
  std::string image_, folder_;
};

// The children's main. Layout of the folder: source/ is the tree, disk/target/ its replica, source-state/ and
// disk/state/ survive restarts.
//   source FOLDER PORT QUEUE      target FOLDER BOOT
// QUEUE: large; spill (little memory, then disk); tight (little of both), memory (no disk), disconnect (tight, and the
// stream is given up when it is full).
int pair_child(const std::vector<std::string>& arguments);

// Makes both identities in `folder`, for pair_child.
void make_identities(const std::string& folder);

}  // namespace understudy::test
