#include "link_map.h"

namespace understudy {
namespace {

std::string without_slashes(std::string_view path) {
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return std::string(path);
}

bool at_or_beneath(std::string_view text, std::string_view root) {
  return text.substr(0, root.size()) == root && (text.size() == root.size() || text[root.size()] == '/');
}

}  // namespace

LinkMap::LinkMap(const std::vector<GrantRoot>& roots, bool remap) {
  if (!remap) return;
  for (const GrantRoot& root : roots) {
    if (root.source_path.empty() || root.source_path[0] != '/') continue;
    Pair pair{without_slashes(root.source_path), without_slashes(root.path)};
    if (pair.source != pair.target) pairs_.push_back(std::move(pair));
  }
}

std::string LinkMap::to_target(std::string_view text) const {
  const Pair* best = nullptr;   // the deepest root wins where roots nest
  if (!text.empty() && text[0] == '/') {
    for (const Pair& pair : pairs_) {
      if (at_or_beneath(text, pair.source) && (best == nullptr || pair.source.size() > best->source.size())) {
        best = &pair;
      }
    }
  }
  if (best == nullptr) return std::string(text);
  std::string mapped = best->target;
  mapped += text.substr(best->source.size());
  if (mapped.empty()) mapped = "/";
  return mapped;
}

std::string LinkMap::to_source(std::string_view text) const {
  const Pair* best = nullptr;
  if (!text.empty() && text[0] == '/') {
    for (const Pair& pair : pairs_) {
      if (at_or_beneath(text, pair.target) && (best == nullptr || pair.target.size() > best->target.size())) {
        best = &pair;
      }
    }
  }
  if (best == nullptr) return std::string(text);
  std::string mapped = best->source;
  mapped += text.substr(best->target.size());
  if (mapped.empty()) mapped = "/";
  return mapped;
}

}  // namespace understudy
