// Texts of absolute symbolic links between source and target (CAP-31..34).
//
// On the target, a text at or beneath a source root reads as the same place beneath that mapping's target root; any
// other text stays as it is. Towards the source (digests of link texts) the opposite is done, so that both sides
// compare what the source holds. A text which already named the target's own root on the source cannot be told apart
// from a mapped one; such a link is seen as different by every comparison and sent again, which does no harm.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "receiver.h"

namespace understudy {

class LinkMap {
 public:
  LinkMap() = default;
  LinkMap(const std::vector<GrantRoot>& roots, bool remap);
  bool empty() const { return pairs_.empty(); }
  std::string to_target(std::string_view text) const;
  std::string to_source(std::string_view text) const;

 private:
  struct Pair {
    std::string source, target;   // absolute, without trailing slashes; the root directory is the empty string
  };
  std::vector<Pair> pairs_;
};

}  // namespace understudy
