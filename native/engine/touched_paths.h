// The paths that a batch touches, as a stream remembers them until the target has made them durable (DESIGN 8): while
// many small files are mirrored, by far the most that it remembers. Names of one directory follow each other, so each
// path is kept as the length of what it has in common with the one before, and the rest.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base.h"
#include "stream_batch.h"

namespace understudy {

class TouchedPaths {
 public:
  TouchedPaths() = default;
  explicit TouchedPaths(const std::vector<SetPath>& paths) : count_(paths.size()) {
    std::string packed;
    packed.reserve(paths.size() * kTypicalBytes);
    const SetPath* before = nullptr;
    for (const SetPath& path : paths) {
      const std::string_view last = before == nullptr ? std::string_view{} : std::string_view(before->path);
      const auto differs = std::mismatch(last.begin(), last.end(), path.path.begin(), path.path.end()).second;
      const auto shared = static_cast<std::size_t>(differs - path.path.begin());
      const bool elsewhere = path.mapping != (before == nullptr ? 0 : before->mapping);
      packed += static_cast<char>((path.deep ? kDeep : 0) | (path.moved ? kMoved : 0) | (elsewhere ? kElsewhere : 0));
      if (elsewhere) put_number(packed, path.mapping);
      put_number(packed, shared);
      put_number(packed, path.path.size() - shared);
      packed.append(path.path, shared);
      before = &path;
    }
    packed_ = std::string_view(packed);   // No larger than it has to be: it stays for long.
  }

  std::size_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  u64 bytes() const { return packed_.size(); }   // of memory

  // Calls `each` with a SetPath for every path, in order.
  template <typename Each>
  void each(Each each) const {
    const char* at = packed_.data();
    SetPath path;
    for (std::size_t left = count_; left > 0; --left) {
      const int flags = *at++;
      if (flags & kElsewhere) path.mapping = static_cast<u32>(take_number(at));
      path.path.resize(take_number(at));
      const std::size_t rest = take_number(at);
      path.path.append(at, rest);
      at += rest;
      path.deep = (flags & kDeep) != 0;
      path.moved = (flags & kMoved) != 0;
      each(std::as_const(path));
    }
  }
  void append_to(std::vector<SetPath>& list) const {
    each([&](const SetPath& path) { list.push_back(path); });
  }

 private:
  static constexpr std::size_t kTypicalBytes = 32;
  static constexpr int kDeep = 1, kMoved = 2, kElsewhere = 4;   // kElsewhere: a mapping other than the one before follows

  // Seven bits a byte, the lowest first; the eighth says that more follow.
  static void put_number(std::string& out, std::size_t number) {
    for (; number > 127; number >>= 7) out += static_cast<char>(number | 128);
    out += static_cast<char>(number);
  }
  static std::size_t take_number(const char*& at) {
    std::size_t number = 0;
    for (unsigned shift = 0;; shift += 7) {
      const u8 byte = static_cast<u8>(*at++);
      number |= std::size_t{byte & 127u} << shift;
      if (byte < 128) return number;
    }
  }

  std::string packed_;
  std::size_t count_ = 0;
};

}  // namespace understudy
