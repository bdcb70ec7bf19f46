// What a stream carries: batches, and the paths they touch.
#pragma once

#include <memory>
#include <string>

#include "base.h"

namespace understudy {

// A path of the set: mapping and path below its root.
struct SetPath {
  u32 mapping = 0;
  std::string path;
  bool deep = false;   // another object may have taken this name: in doubt, all below it is
  bool moved = false;  // and that object was at another name before: what it is depends on what came before
};

struct StreamBatch {
  u64 sequence = 0;
  std::shared_ptr<const Bytes> bytes;
  bool mirror = false;
  u32 operations = 0;
  u64 data_bytes = 0;
  i64 since_ns = 0;   // monotonic: when the oldest change in it was noticed
};

}  // namespace understudy
