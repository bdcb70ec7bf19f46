#include "shadow.h"

#include <sys/stat.h>

#include <algorithm>

#include <xxhash.h>

namespace understudy {

namespace {
constexpr u64 kMix = 0x9E3779B97F4A7C15ull;

u64 attributes_hash(const Attributes& a) {
  u64 h = a.mode;
  for (u64 v : {u64{a.uid}, u64{a.gid}, a.rdev, a.xattr_digest}) h = (h ^ v) * kMix, h ^= h >> 29;
  return h;
}
}  // namespace

Shadow::Shadow() : attributes_(1), devices_(1) {
  nodes_.grow();                 // kNoNode
  names_[names_.claim(1)] = 0;   // the empty name
}

u64 Shadow::name_hash(NodeId parent, std::string_view name) const {
  return XXH3_64bits_withSeed(name.data(), name.size(), parent * kMix);
}

u64 Shadow::inode_hash(u16 device, u64 inode) const {
  u64 h = (inode + device) * kMix;
  return h ^ (h >> 32);
}

u16 Shadow::device_index(u64 device) {
  for (std::size_t i = 1; i < devices_.size(); ++i)
    if (devices_[i] == device) return static_cast<u16>(i);
  devices_.push_back(device);
  return static_cast<u16>(devices_.size() - 1);
}

void Shadow::renumber(const std::vector<std::pair<u64, u64>>& devices) {
  const std::vector<u64> before = devices_;
  // A number that another file system has now says nothing of what had it once.
  for (std::size_t i = 1; i < devices_.size(); ++i)
    for (const auto& [from, to] : devices)
      if (before[i] == to) devices_[i] = 0;
  for (std::size_t i = 1; i < devices_.size(); ++i)
    for (const auto& [from, to] : devices)
      if (before[i] == from) devices_[i] = to;
}

std::string_view Shadow::name(NodeId id) const {
  const u32 at = nodes_[id].name_at;
  const char* text = &names_[at];
  return {text + 1, static_cast<u8>(*text)};
}

u32 Shadow::store_name(std::string_view name) {
  if (name.empty()) return 0;
  if (names_wasted_ > (1u << 20) && names_wasted_ * 2 > names_.size()) compact_names();
  const std::size_t at = names_.claim(name.size() + 1);
  char* text = &names_[at];
  *text = static_cast<char>(name.size());
  name.copy(text + 1, name.size());
  return static_cast<u32>(at);
}

void Shadow::compact_names() {
  Names fresh;
  fresh[fresh.claim(1)] = 0;
  for (NodeId id = 1; id < limit(); ++id) {
    Node& node = nodes_[id];
    if (!(node.flags & kNodeLive) || node.name_at == 0) continue;
    const char* from = &names_[node.name_at];
    const std::size_t size = 1 + std::size_t{static_cast<u8>(*from)};
    const std::size_t at = fresh.claim(size);
    std::memcpy(&fresh[at], from, size);
    node.name_at = static_cast<u32>(at);
  }
  names_ = std::move(fresh);
  names_wasted_ = 0;
}

NodeId Shadow::add_root() {
  nodes_.grow().flags = kNodeLive;
  ++count_;
  return ++roots_;
}

NodeId Shadow::child(NodeId parent, std::string_view name) const {
  return by_name_.find(name_hash(parent, name), [&](NodeId id) {
    return nodes_[id].parent == parent && this->name(id) == name;
  });
}

NodeId Shadow::by_inode(u64 device, u64 inode) const {
  u16 index = 0;
  for (std::size_t i = 1; i < devices_.size(); ++i)
    if (devices_[i] == device) index = static_cast<u16>(i);
  if (index == 0) return kNoNode;
  return by_inode_.find(inode_hash(index, inode), [&](NodeId id) {
    return nodes_[id].inode == inode && nodes_[id].device == index;
  });
}

NodeId Shadow::find_path(u32 mapping, std::string_view path) const {
  NodeId at = mapping + 1;
  if (at > roots_) return kNoNode;
  while (!path.empty() && at != kNoNode) {
    const std::size_t slash = path.find('/');
    at = child(at, path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return at;
}

void Shadow::link_child(NodeId id, NodeId parent) {
  Node& node = nodes_[id];
  node.parent = parent;
  node.previous_sibling = kNoNode;
  node.next_sibling = nodes_[parent].first_child;
  if (node.next_sibling != kNoNode) nodes_[node.next_sibling].previous_sibling = id;
  nodes_[parent].first_child = id;
  by_name_.insert(id, [this](NodeId each) { return name_hash(nodes_[each].parent, name(each)); });
}

void Shadow::unlink_child(NodeId id) {
  Node& node = nodes_[id];
  by_name_.erase(id, [this](NodeId each) { return name_hash(nodes_[each].parent, name(each)); });
  if (node.previous_sibling != kNoNode) nodes_[node.previous_sibling].next_sibling = node.next_sibling;
  else nodes_[node.parent].first_child = node.next_sibling;
  if (node.next_sibling != kNoNode) nodes_[node.next_sibling].previous_sibling = node.previous_sibling;
}

NodeId Shadow::add(NodeId parent, std::string_view name) {
  NodeId id;
  const u32 name_at = store_name(name);
  if (free_ != kNoNode) {
    id = free_;
    free_ = nodes_[id].next_sibling;
    nodes_[id] = Node{};
  } else {
    id = limit();
    nodes_.grow();
  }
  nodes_[id].flags = kNodeLive;
  nodes_[id].name_at = name_at;
  link_child(id, parent);
  ++count_;
  return id;
}

void Shadow::set_attributes(NodeId id, const Attributes& attributes) {
  const u64 hash = attributes_hash(attributes);
  auto [from, to] = attribute_ids_.equal_range(hash);
  for (auto each = from; each != to; ++each) {
    if (attributes_[each->second] == attributes) {
      nodes_[id].attributes = each->second;
      return;
    }
  }
  attributes_.push_back(attributes);
  const u32 index = static_cast<u32>(attributes_.size() - 1);
  attribute_ids_.emplace(hash, index);
  nodes_[id].attributes = index;
}

void Shadow::unlink_inode(NodeId id) {
  Node& node = nodes_[id];
  if (node.inode == 0) return;
  auto hash_of = [this](NodeId each) { return inode_hash(nodes_[each].device, nodes_[each].inode); };
  const NodeId head = by_inode_.find(hash_of(id), [&](NodeId each) {
    return nodes_[each].inode == node.inode && nodes_[each].device == node.device;
  });
  const NodeId next = next_name(id);
  if (head == id) {
    if (next != kNoNode) by_inode_.replace(id, next, hash_of);
    else by_inode_.erase(id, hash_of);
  } else {
    NodeId before = head;
    while (next_name(before) != id) before = next_name(before);
    set_next_name(before, next);
  }
  set_next_name(id, kNoNode);
  node.inode = 0;
}

void Shadow::set_identity(NodeId id, u64 device, u64 inode) {
  const u16 index = device_index(device);
  if (nodes_[id].inode == inode && nodes_[id].device == index) return;
  unlink_inode(id);
  Node& node = nodes_[id];
  node.device = index;
  node.inode = inode;
  auto hash_of = [this](NodeId each) { return inode_hash(nodes_[each].device, nodes_[each].inode); };
  const NodeId head = by_inode_.find(hash_of(id), [&](NodeId each) {
    return each != id && nodes_[each].inode == inode && nodes_[each].device == index;
  });
  if (head != kNoNode) {
    set_next_name(id, next_name(head));
    set_next_name(head, id);
  } else {
    by_inode_.insert(id, hash_of);
  }
}

void Shadow::drop(NodeId id) {
  unlink_inode(id);
  if (!is_root(id)) unlink_child(id);
  names_wasted_ += name(id).size() + 1;
  nodes_[id] = Node{};
  nodes_[id].next_sibling = free_;
  free_ = id;
  --count_;
}

void Shadow::move(NodeId id, NodeId parent, std::string_view name) {
  unlink_child(id);
  if (this->name(id) != name) {
    names_wasted_ += this->name(id).size() + 1;
    nodes_[id].name_at = 0;   // The old name must not be copied should the arena be compacted now.
    nodes_[id].name_at = store_name(name);
  }
  link_child(id, parent);
}

void Shadow::exchange(NodeId a, NodeId b) {
  const NodeId parent_a = nodes_[a].parent, parent_b = nodes_[b].parent;
  const std::string name_a(name(a)), name_b(name(b));
  unlink_child(a);
  unlink_child(b);
  std::swap(nodes_[a].name_at, nodes_[b].name_at);
  link_child(a, parent_b);
  link_child(b, parent_a);
}

bool Shadow::inside(NodeId id, NodeId ancestor) const {
  for (NodeId at = id; at != kNoNode; at = nodes_[at].parent)
    if (at == ancestor) return true;
  return false;
}

std::string Shadow::path(NodeId id) const {
  std::size_t length = 0;
  for (NodeId at = id; !is_root(at) && at != kNoNode; at = nodes_[at].parent) length += name(at).size() + 1;
  if (length == 0) return {};
  std::string out(length - 1, '/');
  std::size_t end = out.size();
  for (NodeId at = id; !is_root(at) && at != kNoNode; at = nodes_[at].parent) {
    const std::string_view part = name(at);
    end -= part.size();
    part.copy(out.data() + end, part.size());
    if (end > 0) --end;
  }
  return out;
}

u32 Shadow::mapping(NodeId id) const {
  while (!is_root(id)) id = nodes_[id].parent;
  return id - 1;
}

u64 Shadow::memory() const {
  constexpr u64 kMapEntry = 40;   // of next_names_, about
  return nodes_.bytes() + names_.bytes() + by_name_.bytes() + by_inode_.bytes() + next_names_.size() * kMapEntry +
         attributes_.capacity() * sizeof(Attributes);
}

// Snapshot layout: u32 numbers of roots, devices, attributes and records; devices; attributes; then records in
// pre-order: depth (0 for roots), Node fields, name. Little-endian, this program's own.
namespace {
struct SnapshotRecord {
  u64 inode;
  i64 size, mtime_ns, ctime_ns;
  u32 depth, attributes;
  u16 device, flags;
  u8 name_len, reserved[3];
};
static_assert(sizeof(SnapshotRecord) == 48);
}  // namespace

void Shadow::save(ByteSink& out) const {
  const u32 counts[4] = {roots_, static_cast<u32>(devices_.size()), static_cast<u32>(attributes_.size()), static_cast<u32>(count_)};
  out.append(counts, sizeof counts);
  out.append(devices_.data(), devices_.size() * sizeof(u64));
  out.append(attributes_.data(), attributes_.size() * sizeof(Attributes));
  std::vector<std::pair<NodeId, u32>> stack;
  for (NodeId root = roots_; root >= 1; --root) stack.emplace_back(root, 0);
  while (!stack.empty()) {
    const auto [id, depth] = stack.back();
    stack.pop_back();
    const Node& node = nodes_[id];
    const std::string_view text = name(id);
    SnapshotRecord record{};
    record.inode = node.inode;
    record.size = node.size;
    record.mtime_ns = node.mtime_ns;
    record.ctime_ns = node.ctime_ns;
    record.depth = depth;
    record.attributes = node.attributes;
    record.device = node.device;
    record.flags = node.flags & (kNodeLive | kNodeRacy | kNodeSilent | kNodePartial);
    record.name_len = static_cast<u8>(text.size());
    out.append(&record, sizeof record);
    out.append(text.data(), text.size());
    for (NodeId child = node.first_child; child != kNoNode; child = nodes_[child].next_sibling) stack.emplace_back(child, depth + 1);
  }
}

bool Shadow::load(ByteFeed& feed) {
  u32 counts[4];
  if (!feed.take(counts, sizeof counts) || counts[1] == 0 || counts[1] > 65'535 || counts[2] == 0) return false;
  if (feed.left() / sizeof(Attributes) < counts[2] || feed.left() / sizeof(SnapshotRecord) < counts[3]) return false;
  *this = Shadow();
  by_name_.reserve(counts[3]);   // Not to grow step by step, with the old one beside.
  by_inode_.reserve(counts[3]);
  devices_.resize(counts[1]);
  attributes_.resize(counts[2]);
  if (!feed.take(devices_.data(), counts[1] * sizeof(u64))) return false;
  if (!feed.take(static_cast<void*>(attributes_.data()), counts[2] * sizeof(Attributes))) return false;
  for (u32 i = 1; i < counts[2]; ++i) attribute_ids_.emplace(attributes_hash(attributes_[i]), i);
  for (u32 i = 0; i < counts[0]; ++i) add_root();
  NodeId next_root = 1;
  std::vector<NodeId> way;   // from the root to the record before
  while (feed.left() > 0) {
    SnapshotRecord record;
    char text[256];
    if (!feed.take(&record, sizeof record) || !feed.take(text, record.name_len)) return false;
    if (record.attributes >= counts[2] || record.device >= counts[1] || record.depth > way.size()) return false;
    NodeId id;
    way.resize(record.depth);
    if (record.depth == 0) {
      if (next_root > roots_) return false;
      id = next_root++;
    } else {
      id = add(way.back(), {text, record.name_len});
    }
    way.push_back(id);
    Node& node = nodes_[id];
    node.size = record.size;
    node.mtime_ns = record.mtime_ns;
    node.ctime_ns = record.ctime_ns;
    node.attributes = record.attributes;
    node.flags = record.flags | kNodeLive;
    if (record.inode != 0) set_identity(id, devices_[record.device], record.inode);
  }
  return next_root == roots_ + 1;
}

}  // namespace understudy
