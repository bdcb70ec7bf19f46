// What a channel needs of its way to the target: a real link, or one that leads nowhere (CON-40).
#pragma once

#include "base.h"
#include "wire.h"

namespace understudy {

class Road {
 public:
  virtual ~Road() = default;   // closes and joins
  // Thread-safe, all of them. Control frames go before the bulk stream.
  virtual bool post(wire::FrameType type, Bytes payload) = 0;
  virtual void wake() = 0;
  virtual void close(SysError why, bool now = false) = 0;
  virtual void set_compression(int level) = 0;
  virtual u64 wire_bytes() const = 0;
  virtual i64 last_heard_ns() const = 0;
  virtual bool up() const = 0;
};

}  // namespace understudy
