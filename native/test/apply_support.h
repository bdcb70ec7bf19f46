// A target directory and an applier on it.
#pragma once

#include <sys/xattr.h>

#include <optional>

#include "apply.h"
#include "ops.h"
#include "receiver_roots.h"

namespace understudy::test {

struct Target {
  Scratch scratch;
  std::string root = scratch / "root";
  std::string second = scratch / "second";
  std::optional<Roots> roots;
  Evidence evidence;
  std::vector<std::string> notes;
  std::optional<Applier> applier;
  u64 next_id = 1;

  explicit Target(bool own_umask = true, std::vector<GrantRoot> grants = {}) {
    if (grants.empty()) grants = {{root, ""}, {second, ""}};
    auto opened = Roots::open(grants);
    CHECK_OK(opened);
    roots.emplace(std::move(*opened));
    applier.emplace(roots->descriptors(), LinkMap(grants, true), &evidence,
                    [this](const char* kind, std::string detail, SysError) { notes.push_back(kind + (" " + detail)); });
    if (own_umask) applier->adopt_thread();
  }
  // One operation, by way of a real batch.
  Status apply(const Op& op, bool doubtful = false, u64 id = 0) {
    const Bytes batch = batch_of(1, {op});
    auto reader = BatchReader::open(batch.data(), batch.size(), 2);
    CHECK_OK(reader);
    OpView view;
    CHECK(reader->next(view));
    return applier->apply(view, id != 0 ? id : next_id++, doubtful);
  }
  void must(const Op& op) { CHECK_OK(apply(op)); }
  // ... and once more: an operation states a fact (DESIGN 5).
  void twice(const Op& op) {
    CHECK_OK(apply(op));
    CHECK_OK(apply(op));
  }
  std::string operator/(const std::string& name) const { return root + "/" + name; }
};

inline std::string get_xattr(const std::string& path, const char* name) {
  char value[65'536];
  const ssize_t size = ::lgetxattr(path.c_str(), name, value, sizeof value);
  return size < 0 ? "<none>" : std::string(value, static_cast<std::size_t>(size));
}

inline std::string xattr_list(std::initializer_list<std::pair<std::string, std::string>> pairs) {
  std::string out;
  for (const auto& [name, value] : pairs) {
    const wire::XattrHeader header{static_cast<u16>(name.size()), 0, static_cast<u32>(value.size())};
    out.append(reinterpret_cast<const char*>(&header), sizeof header);
    out += name + value;
  }
  return out;
}

inline i64 mtime_of(const std::string& path) {
  const struct stat status = stat_of(path);
  return status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace understudy::test
