#include "rules.h"

namespace understudy {

namespace {
// True when `path` is `base` or lies below it.
bool at_or_below(std::string_view path, std::string_view base) {
  return path.size() >= base.size() && path.substr(0, base.size()) == base &&
         (path.size() == base.size() || path[base.size()] == '/');
}
}  // namespace

bool wildcard_match(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*') ++p, ++n;
    else if (p < pattern.size() && pattern[p] == '*') star = p++, resume = n;
    else if (star != std::string_view::npos) p = star + 1, n = ++resume;
    else return false;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Rules::Rules(std::vector<Rule> rules) : rules_(std::move(rules)) {
  for (Rule& rule : rules_) {
    if (rule.pattern == "*") rule.pattern.clear();
    while (!rule.path.empty() && rule.path.back() == '/') rule.path.pop_back();
    if (!rule.include || !rule.recursive || !rule.pattern.empty()) simple_ = false;
  }
}

Verdict Rules::decide(std::string_view path, bool directory) const {
  if (simple_) return Verdict::included;
  if (path == "/") path = {};
  const std::size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const std::string_view parent = slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
  const Rule* best = nullptr;
  bool way = false;            // some include may match below this directory
  for (const Rule& rule : rules_) {
    if (rule.include && directory && at_or_below(rule.path, path) && rule.path.size() >= path.size()) way = true;
    bool matches;
    if (rule.pattern.empty()) {
      matches = rule.recursive ? at_or_below(path, rule.path) : path == rule.path || (parent == rule.path && !directory);
    } else {
      const bool place = rule.recursive ? at_or_below(parent, rule.path) : parent == rule.path;
      matches = place && path != rule.path && wildcard_match(rule.pattern, name);
      // A directory is entered for the sake of names below it, but a wildcard include does not take it in.
      if (matches && directory && rule.include) matches = false;
      if (rule.include && directory && rule.recursive && at_or_below(path, rule.path)) {
        if (best == nullptr || best->path.size() <= rule.path.size()) way = true;
      }
    }
    if (!matches) continue;
    const bool better = best == nullptr || rule.path.size() > best->path.size() ||
                        (rule.path.size() == best->path.size() &&
                         (rule.pattern.empty() == best->pattern.empty() ? !rule.include : !rule.pattern.empty()));
    if (better) best = &rule;
  }
  if (best != nullptr && best->include) return Verdict::included;
  if (!way) return Verdict::excluded;
  // Excluded as a whole (plain recursive exclude): only deeper include paths make it a way.
  if (best != nullptr && !best->include) {
    for (const Rule& rule : rules_)
      if (rule.include && rule.path.size() > best->path.size() && at_or_below(rule.path, path)) return Verdict::traverse;
    return Verdict::excluded;
  }
  return Verdict::traverse;
}

bool Rules::keeps_orphan(std::string_view path, bool directory) const {
  if (simple_ || decide(path, directory) == Verdict::included) return false;
  const std::size_t slash = path.rfind('/');
  const std::string_view parent = path.substr(0, slash);
  for (const Rule& rule : rules_) {
    if (rule.include) continue;
    if (rule.pattern.empty() ? at_or_below(path, rule.path)
                             : at_or_below(parent, rule.path) && wildcard_match(rule.pattern, path.substr(slash + 1)))
      return true;
  }
  return false;
}

std::vector<std::string> Rules::kept_below(std::string_view path) const {
  std::vector<std::string> kept;
  for (const Rule& rule : rules_) {
    if (rule.include) continue;
    const bool below = rule.path.size() > path.size() && at_or_below(rule.path, path);
    if (!rule.pattern.empty() && (below || at_or_below(path, rule.path))) kept.push_back(rule.pattern);
    if (rule.pattern.empty() && below) kept.push_back(rule.path.substr(rule.path.rfind('/') + 1));
  }
  return kept;
}

}  // namespace understudy
