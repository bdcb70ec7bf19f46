// Where data links come in.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base.h"

namespace understudy {

// Accepts connections and hands the sockets over.
class Listener {
 public:
  using Accept = std::function<void(Fd socket)>;
  static Result<std::unique_ptr<Listener>> open(const std::string& host, u16 port, Accept accept);
  void set_window(u32 bytes);   // of the sockets that it accepts from now on
  ~Listener();
  u16 port() const { return port_; }

 private:
  Listener() = default;
  void run();
  Fd socket_, wake_;
  u16 port_ = 0;
  Accept accept_;
  std::thread thread_;
};

}  // namespace understudy
