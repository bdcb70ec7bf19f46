#include "capture_support.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/xattr.h>

namespace understudy::test {
namespace {

constexpr std::size_t kContentsMax = 16u << 10;

// False when the name is not there (any more).
bool read_facts(const std::string& path, Facts& facts) {
  struct stat status;
  struct statx more;
  if (::lstat(path.c_str(), &status) != 0) return false;
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME | STATX_INO, &more) != 0) return false;
  if (more.stx_ino != status.st_ino) return read_facts(path, facts);  // replaced in between
  facts = Facts{};
  if ((more.stx_mask & STATX_BTIME) != 0) facts.birth_ns = more.stx_btime.tv_sec * 1'000'000'000ll + more.stx_btime.tv_nsec;
  facts.device = status.st_dev;
  facts.inode = status.st_ino;
  facts.mode = status.st_mode;
  facts.uid = status.st_uid;
  // A directory's size and time change with its names; those are compared themselves.
  if (!S_ISDIR(status.st_mode)) {
    facts.size = static_cast<u64>(status.st_size);
    facts.mtime_ns = status.st_mtim.tv_sec * 1'000'000'000ll + status.st_mtim.tv_nsec;
  }
  if (S_ISLNK(status.st_mode)) {
    char text[4096];
    const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
    if (size > 0) facts.extra.assign(text, static_cast<std::size_t>(size));
  } else if (S_ISREG(status.st_mode)) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    std::string contents(kContentsMax, '\0');
    const ssize_t size = fd ? ::pread(fd.get(), contents.data(), contents.size(), 0) : 0;
    contents.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    facts.extra = std::to_string(std::hash<std::string>{}(contents));
  }
  if (!S_ISLNK(status.st_mode)) {
    char value[256];
    const ssize_t size = ::lgetxattr(path.c_str(), "user.test", value, sizeof value);
    if (size > 0) facts.extra += "|" + std::string(value, static_cast<std::size_t>(size));
  }
  return true;
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) return names;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

std::string descriptor_name(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

void walk_into(const std::string& path, const std::string& prefix, std::map<std::string, Facts>& out) {
  for (const std::string& name : names_in(path)) {
    Facts facts;
    if (!read_facts(path + "/" + name, facts)) continue;
    out[prefix + name] = facts;
    if (S_ISDIR(facts.mode)) walk_into(path + "/" + name, prefix + name + "/", out);
  }
}

std::string describe(const Facts& facts) {
  char text[160];
  std::snprintf(text, sizeof text, "ino %llu mode %o uid %u size %llu mtime %lld ",
                static_cast<unsigned long long>(facts.inode), facts.mode, facts.uid,
                static_cast<unsigned long long>(facts.size), static_cast<long long>(facts.mtime_ns));
  return text + facts.extra;
}

}  // namespace

std::map<std::string, Facts> walk(const std::string& root) {
  std::map<std::string, Facts> out;
  Facts facts;
  if (read_facts(root, facts)) out["."] = facts;
  walk_into(root, "", out);
  return out;
}

void Picture::rescan() {
  needs_rescan_ = false;
  std::vector<NodeId> all;
  for (const auto& [node, ignored] : nodes_) all.push_back(node);
  for (NodeId node : all) {
    if (capture_ != nullptr) capture_->forget(node);
    dropped_.push_back(node);
  }
  nodes_.clear();
  by_identity_.clear();
  inodes_.clear();
  stale_.clear();
  Facts facts;
  if (!read_facts(root_, facts)) return;
  inodes_[{facts.device, facts.inode}] = facts;
  root_node_ = add(kNoNode, "", facts);
  scan(root_node_);
}

NodeId Picture::add(NodeId parent, const std::string& name, const Facts& facts) {
  const Identity identity(facts.device, facts.inode);
  NodeId node;
  if (free_.empty()) {
    node = next_++;
  } else {
    node = free_.back();
    free_.pop_back();
  }
  nodes_[node] = Node{parent, name, identity, facts.birth_ns, {}};
  by_identity_[identity] = node;
  return node;
}

std::string Picture::path_of(NodeId node) const {
  std::string path;
  for (const Node* at = &nodes_.at(node); at->parent != kNoNode; at = &nodes_.at(at->parent)) path = "/" + at->name + path;
  return root_ + path;
}

bool Picture::lies_below(NodeId node, NodeId ancestor) const {
  for (; node != kNoNode; node = nodes_.at(node).parent) {
    if (node == ancestor) return true;
  }
  return false;
}

void Picture::drop(NodeId node) {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return;
  const std::map<std::string, Identity> names = found->second.names;
  for (const auto& [name, identity] : names) {
    const auto child = by_identity_.find(identity);
    if (child != by_identity_.end() && nodes_.at(child->second).parent == node) drop(child->second);
  }
  by_identity_.erase(nodes_.at(node).identity);
  nodes_.erase(node);
  if (capture_ != nullptr) capture_->forget(node);
  dropped_.push_back(node);
}

void Picture::unlink(NodeId directory, const std::string& name) {
  Node& node = nodes_.at(directory);
  const auto found = node.names.find(name);
  if (found == node.names.end()) return;
  const Identity identity = found->second;
  node.names.erase(found);
  // What was changed through the lost name shows in the file's other names; the tests make those in the root only.
  for (const auto& [other, other_identity] : nodes_.at(root_node_).names) {
    Facts facts;
    if (other_identity == identity && read_facts(root_ + "/" + other, facts)) inodes_[{facts.device, facts.inode}] = facts;
  }
  const auto child = by_identity_.find(identity);
  if (child != by_identity_.end() && nodes_.at(child->second).parent == directory &&
      nodes_.at(child->second).name == name) {
    drop(child->second);
  }
}

// The directory itself, or nothing when it is not where the picture has it: the hint that says so is on its way.
Fd Picture::open_directory(NodeId node) {
  Fd fd(::open(path_of(node).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  Facts facts;
  if (fd && read_facts(descriptor_name(fd.get()) + "/.", facts) && facts.birth_ns == nodes_.at(node).birth_ns &&
      Identity(facts.device, facts.inode) == nodes_.at(node).identity) {
    return fd;
  }
  stale_.insert(node);
  return Fd();
}

void Picture::scan(NodeId directory) {
  const Fd fd = open_directory(directory);
  if (!fd) return;
  if (capture_ != nullptr && !capture_->watch(directory, fd.get())) ++refused_watches;
  Facts own;
  if (read_facts(descriptor_name(fd.get()) + "/.", own)) inodes_[{own.device, own.inode}] = own;
  std::vector<std::string> names = names_in(descriptor_name(fd.get()));
  for (const auto& [name, ignored] : nodes_.at(directory).names) names.push_back(name);
  for (const std::string& name : names) look_in(directory, fd.get(), name);
}

void Picture::look(NodeId directory, const std::string& name) {
  if (!nodes_.contains(directory)) return;
  if (const Fd fd = open_directory(directory); fd) look_in(directory, fd.get(), name);
}

void Picture::settle() {
  for (NodeId node : std::exchange(stale_, {})) {
    if (nodes_.contains(node)) scan(node);
  }
  if (needs_rescan_) rescan();
  free_.insert(free_.end(), dropped_.begin(), dropped_.end());
  dropped_.clear();
}

void Picture::look_in(NodeId directory, int fd, const std::string& name) {
  if (!nodes_.contains(directory)) return;
  Facts facts;
  if (!read_facts(descriptor_name(fd) + "/" + name, facts)) return unlink(directory, name);
  const Identity identity(facts.device, facts.inode);
  Node& node = nodes_.at(directory);
  inodes_[identity] = facts;
  const auto known = node.names.find(name);
  if (known != node.names.end() && known->second != identity) unlink(directory, name);
  node.names[name] = identity;
  if (!S_ISDIR(facts.mode)) return;
  auto elsewhere = by_identity_.find(identity);
  if (elsewhere != by_identity_.end() && nodes_.at(elsewhere->second).birth_ns != facts.birth_ns) {
    // Another directory with the inode number of one that is gone; that one's hint comes, or came for nothing.
    const NodeId old = elsewhere->second, parent = nodes_.at(old).parent;
    if (old == directory || lies_below(directory, old)) {
      ++loops;
      needs_rescan_ = true;
      return;
    }
    if (parent != kNoNode && !(parent == directory && nodes_.at(old).name == name)) nodes_.at(parent).names.erase(nodes_.at(old).name);
    drop(old);
    elsewhere = by_identity_.end();
  }
  if (elsewhere == by_identity_.end()) return scan(add(directory, name, facts));
  const NodeId moved = elsewhere->second;
  Node& child = nodes_.at(moved);
  if (child.parent == directory && child.name == name) return;
  if (lies_below(directory, moved)) {
    // The picture is behind: it still shows the new parent below the directory. The hint that says so comes later.
    ++loops;
    needs_rescan_ = true;
    return;
  }
  ++moves;
  if (child.parent != kNoNode) nodes_.at(child.parent).names.erase(child.name);
  child.parent = directory;
  child.name = name;
}

NodeId Picture::find_directory(u64 device, u64 inode) {
  const auto found = by_identity_.find({device, inode});
  return found == by_identity_.end() ? kNoNode : found->second;
}

bool Picture::is_directory(NodeId node, u64 inode) {
  const auto found = nodes_.find(node);
  return found != nodes_.end() && found->second.identity.second == inode;
}

void Picture::hint(NodeId directory, std::string_view name, u32 what) {
  ++hints;
  CHECK(nodes_.contains(directory));
  CHECK(what != 0);
  if (name.empty() && (what & kHintName) != 0) {
    const NodeId parent = nodes_.at(directory).parent;
    const std::string own_name = nodes_.at(directory).name;
    if (parent == kNoNode) return rescan();
    unlink(parent, own_name);
    look(parent, own_name);
  } else if (name.empty()) {
    Facts facts;
    const Fd fd = open_directory(directory);
    if (fd && read_facts(descriptor_name(fd.get()) + "/.", facts)) inodes_[{facts.device, facts.inode}] = facts;
  } else {
    look(directory, std::string(name));
  }
  if (needs_rescan_) rescan();
}

void Picture::unknown_directory(std::string_view path, std::string_view, u32) {
  ++unknown;
  if (path != root_ && !path.starts_with(root_ + "/")) {
    outside_paths.emplace_back(path);
    return;
  }
  // Look at the first component that the picture does not have.
  NodeId at = root_node_;
  std::string_view rest = path.substr(root_.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t slash = rest.find('/');
    const std::string name(rest.substr(0, slash));
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash);
    const auto found = nodes_.at(at).names.find(name);
    NodeId child = kNoNode;
    if (found != nodes_.at(at).names.end()) child = find_directory(found->second.first, found->second.second);
    if (child == kNoNode || nodes_.at(child).parent != at || rest.empty()) {
      look(at, name);
      break;
    }
    at = child;
  }
  if (needs_rescan_) rescan();
}

void Picture::hint_object(u64 device, u64 inode, u32) {
  for (const auto& [node, directory] : nodes_) {
    for (const auto& [name, identity] : directory.names) {
      if (identity != Identity(device, inode)) continue;
      look(node, std::string(name));
      return;
    }
  }
}

void Picture::lost(std::string_view why) {
  ++losses;
  last_loss = why;
  rescan();
}

void Picture::collect(NodeId node, const std::string& prefix, std::map<std::string, Facts>& out) const {
  for (const auto& [name, identity] : nodes_.at(node).names) {
    const Facts& facts = inodes_.at(identity);
    out[prefix + name] = facts;
    if (!S_ISDIR(facts.mode)) continue;
    const auto child = by_identity_.find(identity);
    if (child != by_identity_.end() && nodes_.at(child->second).parent == node) collect(child->second, prefix + name + "/", out);
  }
}

std::map<std::string, Facts> Picture::facts() const {
  std::map<std::string, Facts> out;
  if (root_node_ == kNoNode || !nodes_.contains(root_node_)) return out;
  out["."] = inodes_.at(nodes_.at(root_node_).identity);
  collect(root_node_, "", out);
  return out;
}

OpenRoots::OpenRoots(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    fds_.emplace_back(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    roots.push_back(CaptureRoot{path, fds_.back().get()});
  }
}

std::string differences(const std::map<std::string, Facts>& picture, const std::map<std::string, Facts>& truth) {
  std::string text;
  int count = 0;
  const auto add = [&](const std::string& line) {
    if (++count <= 5) text += line + "\n";
  };
  for (const auto& [path, facts] : truth) {
    const auto found = picture.find(path);
    if (found == picture.end()) add("missing in the picture: " + path + ": " + describe(facts));
    else if (!(found->second == facts)) add("differs: " + path + "\n  picture " + describe(found->second) + "\n  truth   " + describe(facts));
  }
  for (const auto& [path, facts] : picture) {
    if (!truth.contains(path)) add("only in the picture: " + path + ": " + describe(facts));
  }
  if (count > 0) text += std::to_string(count) + " differences\n";
  return text;
}

}  // namespace understudy::test
