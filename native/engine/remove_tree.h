// Removes whatever a name stands for.
#pragma once

#include "base.h"

namespace understudy {

struct Removed {
  bool existed = false;
  bool directory = false;   // cached descriptors at or beneath it are stale now
};

// Removes `name` in `directory`, with all it holds if it is a directory. Links are removed, never followed; nothing
// on another mount is touched (EBUSY). Needs bounded memory per level, a bounded number of descriptors and no C stack,
// however deep the tree is. A name that does not exist is a success.
Result<Removed> remove_tree(int directory, const char* name);

}  // namespace understudy
