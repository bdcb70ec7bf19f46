// Compares two directory trees as a careful reader would: everything that a replica is meant to hold.
#pragma once

#include <string>
#include <vector>

#include "base.h"

namespace understudy {

struct TreeComparisonOptions {
  std::size_t differences_max = 100;  // texts kept; all are counted
  bool directory_times = true;
  bool owners = true;
  bool contents = true;               // false: a file is judged by its attributes
};

struct TreeComparison {
  u64 files = 0;         // of the left tree: everything but directories
  u64 directories = 0;   // of the left tree, its root included
  u64 bytes = 0;         // sizes of the left tree's regular files
  u64 differing = 0;     // differences found
  std::vector<std::string> differences;  // "name: what", escaped for a terminal
};

// Kind, contents, mode, owner, mtime in ns, extended attributes (those that are replicated, see xattr.h), symlink text,
// device number, and which names are hard links of each other. Symlinks are compared, never followed; other file
// systems mounted inside are compared as well. A name that cannot be read is a difference. Fails only if a root cannot
// be opened.
Result<TreeComparison> compare_trees(const std::string& left, const std::string& right,
                                     const TreeComparisonOptions& options);

// Control characters, backslashes and bytes that are not UTF-8, as \n, \\ or \xNN: safe on any terminal and one line.
std::string escape_name(std::string_view name);

}  // namespace understudy
