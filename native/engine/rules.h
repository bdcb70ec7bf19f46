// Which objects belong to a replication set (SET-01..09): include and exclude rules, wildcards, precedence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace understudy {

struct Rule {
  std::string path;      // absolute, no trailing slash ("/" is the empty string)
  std::string pattern;   // wildcard for the last name (`*`, `?`); empty: everything
  bool include = true;
  bool recursive = true;
};

enum class Verdict {
  excluded,   // not in the set, and nothing below it is
  traverse,   // a directory that is only a way to included objects
  included,
};

class Rules {
 public:
  Rules() = default;
  explicit Rules(std::vector<Rule> rules);
  // `path` is absolute. The longest rule path decides; with equal paths a wildcard rule beats a plain one, and
  // exclude beats include (SET-06, SET-07).
  Verdict decide(std::string_view path, bool directory) const;
  bool simple() const { return simple_; }
  // A name that only the target has is kept because a rule excludes it (MIR-59). Names that merely no include takes in
  // are orphans.
  bool keeps_orphan(std::string_view path, bool directory) const;
  // Wildcards for names below an orphaned directory which such a rule keeps; in doubt more than needed.
  std::vector<std::string> kept_below(std::string_view path) const;

 private:
  std::vector<Rule> rules_;
  bool simple_ = true;   // one recursive include and nothing else: no matching needed
};

// `*` any run of bytes, `?` one byte; the whole name must match.
bool wildcard_match(std::string_view pattern, std::string_view name);

}  // namespace understudy
