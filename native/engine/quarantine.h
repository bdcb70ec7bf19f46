// Paths whose operations failed and were handed back to the source (P6): what Ack::failed counts.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "base.h"
#include "batch_reader.h"

namespace understudy {

class Quarantine {
 public:
  static constexpr std::size_t kPathsMax = 10'000;   // beyond it only the number grows

  u32 count() const { return static_cast<u32>(paths_.size() + beyond_); }
  bool empty() const { return paths_.empty(); }

  void add(const OpView& op) {
    if (paths_.size() >= kPathsMax) ++beyond_;
    else paths_.emplace(key(op.header.mapping, op.path), op.header.kind);
  }

  // To be told of each success while not empty: an operation which states a whole object, or the same kind that had
  // failed, repairs its path.
  void succeeded(const OpView& op) {
    using wire::OpKind;
    const auto kind = static_cast<OpKind>(op.header.kind);
    const auto repair = [&](u32 mapping, std::string_view path, bool whole) {
      const auto found = paths_.find(key(mapping, path));
      if (found != paths_.end() && (whole || found->second == op.header.kind)) paths_.erase(found);
    };
    const bool whole = kind == OpKind::file || kind == OpKind::create || kind == OpKind::mkdir ||
                       kind == OpKind::symlink || kind == OpKind::link || kind == OpKind::mknod ||
                       kind == OpKind::remove || kind == OpKind::rename;
    repair(op.header.mapping, op.path, whole);
    if (kind == OpKind::rename) repair(op.header.aux, op.path2, true);
  }

  void clear() {
    paths_.clear();
    beyond_ = 0;
  }

 private:
  static std::string key(u32 mapping, std::string_view path) {
    std::string text = std::to_string(mapping);
    text += '/';
    text += path;
    return text;
  }
  std::unordered_map<std::string, u8> paths_;
  u64 beyond_ = 0;
};

}  // namespace understudy
