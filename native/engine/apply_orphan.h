// What a target does with names which its source does not have (MIR-50..62). The source only says which; whether they
// are listed, moved or deleted, and how old they must be, is decided here by the target's administrator. Everything is
// opened beneath the granted root (I5); where orphans are moved to is the administrator's own folder.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "batch_reader.h"
#include "path_beneath.h"
#include "receiver.h"

namespace understudy {

class Orphans {
 public:
  using Report = std::function<void(const char* kind, std::string detail, SysError error)>;
  Orphans(std::vector<GrantRoot> roots, Report report) : roots_(std::move(roots)), report_(std::move(report)) {}

  // One orphan, or (empty path) the end of the run: the totals are reported and begin anew. Repeating it does no harm.
  // What cannot be removed is counted and reported, and never stands in the way of the stream.
  void handle(PathBeneath& paths, const OpView& op, const OrphanOptions& options);

 private:
  struct Walk {
    const OrphanOptions& options;
    std::vector<std::string_view> keep;   // wildcards of names that stay (MIR-59)
    bool preview;
    i64 youngest_ns;                      // newer ones stay (MIR-55)
    u32 mapping;
  };
  struct Totals {
    u64 files = 0, directories = 0, bytes = 0, kept = 0, failed = 0, listed = 0, unlisted = 0;
  };
  // True when nothing of it is left.
  bool object(const Walk& walk, int directory, const char* name, const std::string& path, int depth);
  bool contents(const Walk& walk, int directory, const char* name, const std::string& path, int depth);
  Status take(const Walk& walk, int directory, const char* name, const std::string& path, const struct stat& status);
  Status move_file(const Walk& walk, int directory, const char* name, const std::string& path, const struct stat& status);
  void say(const char* kind, const std::string& path, SysError error = {});
  void finish(const OpView& op, const OrphanOptions& options);

  std::vector<GrantRoot> roots_;
  Report report_;
  Totals totals_;
};

}  // namespace understudy
