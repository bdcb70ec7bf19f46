// What a stream carries: batches, and the paths they touch.
#pragma once

#include <memory>
#include <string>

#include "base.h"
#include "wire.h"

namespace understudy {

// A path of the set: mapping and path below its root.
struct SetPath {
  u32 mapping = 0;
  std::string path;
  bool deep = false;   // another object may have taken this name: in doubt, all below it is
  bool moved = false;  // and that object was at another name before: what it is depends on what came before
};

// As files keep it: u32 mapping and whether it is deep, u32 length, bytes. Whether it moved is not kept: all that are
// deep may have.
inline constexpr u32 kSetPathDeep = 1u << 31;
inline constexpr std::size_t kSetPathHead = 8;

inline void put_path(Bytes& out, const SetPath& path) {
  const u32 head[2] = {path.mapping | (path.deep ? kSetPathDeep : 0), static_cast<u32>(path.path.size())};
  out.append(head, sizeof head);
  out.append(path.path.data(), path.path.size());
}

// False: there is no whole one.
inline bool take_path(const u8*& at, const u8* end, SetPath& path) {
  u32 head[2];
  if (end - at < static_cast<std::ptrdiff_t>(sizeof head)) return false;
  std::memcpy(head, at, sizeof head);
  const u8* const text = at + sizeof head;
  if (head[1] > wire::kPathBytesMax || head[1] > end - text) return false;
  const bool deep = (head[0] & kSetPathDeep) != 0;
  path = {head[0] & ~kSetPathDeep, std::string(reinterpret_cast<const char*>(text), head[1]), deep, deep};
  at = text + head[1];
  return true;
}

struct StreamBatch {
  u64 sequence = 0;
  std::shared_ptr<const Bytes> bytes;
  bool mirror = false;
  u32 operations = 0;
  u64 data_bytes = 0;
  i64 since_ns = 0;   // monotonic: since when the oldest of it waits
  i64 change_ns = 0;  // the same of the oldest change in it; 0: heartbeats, questions and points only
};

}  // namespace understudy
