// The shadow tree: what the stream of a replication set has already told (DESIGN 6). One record of a cache line per
// object, names in one arena, two open-addressing tables (by parent and name, by inode). Used by one thread only.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base.h"
#include "blocks.h"
#include "capture.h"
#include "state_file.h"

namespace understudy {

// What is the same for many objects, kept once.
struct Attributes {
  u32 mode = 0;   // with type bits
  u32 uid = 0;
  u32 gid = 0;
  u64 rdev = 0;
  u64 xattr_digest = 0;
  bool operator==(const Attributes&) const = default;
};

inline constexpr u16 kNodeLive = 1;
inline constexpr u16 kNodeRacy = 2;      // read within the clock's grain of its mtime: equal stat proves nothing
inline constexpr u16 kNodeSilent = 4;    // changed once without an event (mmap): re-read at every sweep
inline constexpr u16 kNodeMissing = 8;   // waits in the list of deletes
inline constexpr u16 kNodeTouched = 16;  // its path is in the current touched log
inline constexpr u16 kNodeUnwatched = 32;// directory without a watch (limit reached): covered by sweeping
inline constexpr u16 kNodePartial = 64;  // directory that only leads to included ones
inline constexpr u16 kNodeUnlisted = 128;// directory whose names are still to be looked at
inline constexpr u16 kNodeQueued = 256;  // waits in the list of directories to look at

// Of an object whose times are still to be looked at: no stat equals it, and it is never told.
inline constexpr i64 kUnknownTime = INT64_MIN;

struct Node {
  NodeId parent = kNoNode;
  NodeId first_child = kNoNode;
  NodeId next_sibling = kNoNode;
  NodeId previous_sibling = kNoNode;
  u32 name_at = 0;               // arena offset of a length byte and the name
  u32 attributes = 0;
  u32 told = 0;                  // bit per stream: that stream holds this object's state
  u16 device = 0;                // index into devices
  u16 flags = 0;
  u64 inode = 0;
  i64 size = 0;
  i64 mtime_ns = 0;
  i64 ctime_ns = 0;
};
static_assert(sizeof(Node) == 64);

// Linear probing over node ids; the hash of a stored id is recomputed by the owner.
class IdTable {
 public:
  // Of an empty one: room for so many without growing.
  void reserve(std::size_t count) {
    std::size_t capacity = 64;
    while ((count + 1) * 10 > capacity * 7) capacity *= 2;
    slots_.assign(capacity, kNoNode);
    mask_ = capacity - 1;
  }
  std::size_t capacity() const { return slots_.size(); }
  std::size_t bytes() const { return slots_.size() * sizeof(NodeId); }
  template <typename Equal>
  NodeId find(u64 hash, Equal equal) const {
    if (slots_.empty()) return kNoNode;
    for (std::size_t at = hash & mask_;; at = (at + 1) & mask_) {
      if (slots_[at] == kNoNode) return kNoNode;
      if (equal(slots_[at])) return slots_[at];
    }
  }
  template <typename HashOf>
  void insert(NodeId id, HashOf hash_of) {
    if ((count_ + 1) * 10 > slots_.size() * 7) rehash(slots_.empty() ? 64 : slots_.size() * 2, hash_of);
    place(id, hash_of(id));
    ++count_;
  }
  template <typename HashOf>
  void erase(NodeId id, HashOf hash_of) {
    if (slots_.empty()) return;
    std::size_t at = hash_of(id) & mask_;
    while (slots_[at] != id) {
      if (slots_[at] == kNoNode) return;
      at = (at + 1) & mask_;
    }
    // Backward shift keeps probe chains whole without tombstones.
    std::size_t hole = at;
    for (std::size_t next = (at + 1) & mask_; slots_[next] != kNoNode; next = (next + 1) & mask_) {
      const std::size_t home = hash_of(slots_[next]) & mask_;
      if (((next - home) & mask_) >= ((next - hole) & mask_)) {
        slots_[hole] = slots_[next];
        hole = next;
      }
    }
    slots_[hole] = kNoNode;
    --count_;
  }
  // Replaces `from` by `to`, which hashes alike.
  template <typename HashOf>
  void replace(NodeId from, NodeId to, HashOf hash_of) {
    std::size_t at = hash_of(from) & mask_;
    while (slots_[at] != from) at = (at + 1) & mask_;
    slots_[at] = to;
  }
  void clear() { slots_.clear(); count_ = 0; mask_ = 0; }

 private:
  template <typename HashOf>
  void rehash(std::size_t capacity, HashOf hash_of) {
    std::vector<NodeId> old(capacity, kNoNode);
    old.swap(slots_);
    mask_ = capacity - 1;
    for (NodeId id : old)
      if (id != kNoNode) place(id, hash_of(id));
  }
  void place(NodeId id, u64 hash) {
    std::size_t at = hash & mask_;
    while (slots_[at] != kNoNode) at = (at + 1) & mask_;
    slots_[at] = id;
  }
  std::vector<NodeId> slots_;
  std::size_t count_ = 0;
  std::size_t mask_ = 0;
};

class Shadow {
 public:
  Shadow();
  // One root per mapping; ids 1..n in order.
  NodeId add_root();
  u32 root_count() const { return roots_; }
  bool is_root(NodeId id) const { return id != kNoNode && id <= roots_; }

  Node& at(NodeId id) { return nodes_[id]; }
  const Node& at(NodeId id) const { return nodes_[id]; }
  bool live(NodeId id) const { return id < nodes_.size() && (nodes_[id].flags & kNodeLive); }
  const Attributes& attributes(NodeId id) const { return attributes_[nodes_[id].attributes]; }
  u32 mode(NodeId id) const { return attributes_[nodes_[id].attributes].mode; }
  bool is_directory(NodeId id) const { return (mode(id) & 0170000) == 0040000; }
  bool is_regular(NodeId id) const { return (mode(id) & 0170000) == 0100000; }
  std::string_view name(NodeId id) const;

  NodeId child(NodeId parent, std::string_view name) const;
  // First name of this inode; more through next_name.
  NodeId by_inode(u64 device, u64 inode) const;
  // The same for all names of one object, different for different objects.
  u64 object(NodeId id) const {
    const Node& node = nodes_[id];
    return node.inode == 0 ? (1ull << 63) | id : (u64{node.device} << 48) ^ node.inode;
  }
  // First name of the object (itself when it has no identity); further ones through next_name.
  NodeId first_name(NodeId id) const {
    return nodes_[id].inode == 0 ? id : by_inode(devices_[nodes_[id].device], nodes_[id].inode);
  }
  // The next name of the same object; none after the last.
  NodeId next_name(NodeId id) const {
    if (next_names_.empty()) return kNoNode;
    const auto found = next_names_.find(id);
    return found == next_names_.end() ? kNoNode : found->second;
  }
  bool linked(NodeId id) const { return !next_names_.empty() && (next_name(id) != kNoNode || first_name(id) != id); }
  NodeId find_path(u32 mapping, std::string_view path) const;

  NodeId add(NodeId parent, std::string_view name);
  void set_attributes(NodeId id, const Attributes& attributes);
  // Sets the identity (enters it into the inode table; regular files and directories alike).
  void set_identity(NodeId id, u64 device, u64 inode);
  // The inode now belongs to another object: the node keeps its place but is nobody's name any more.
  void clear_identity(NodeId id) { unlink_inode(id); }
  // Removes the node and everything below; `each` is called for every removed node before it goes.
  template <typename Each>
  void remove(NodeId id, Each each) {
    for (NodeId child = at(id).first_child; child != kNoNode;) {
      const NodeId next = at(child).next_sibling;
      remove(child, each);
      child = next;
    }
    each(id);
    drop(id);
  }
  void move(NodeId id, NodeId parent, std::string_view name);
  // Exchanges the places (parent and name) of two nodes, neither inside the other.
  void exchange(NodeId a, NodeId b);
  bool inside(NodeId id, NodeId ancestor) const;

  // Path relative to the root, without leading slash; empty for a root.
  std::string path(NodeId id) const;
  u32 mapping(NodeId id) const;

  NodeId limit() const { return static_cast<NodeId>(nodes_.size()); }
  u64 device(u16 index) const { return devices_[index]; }
  // File systems have other numbers than before (a boot, another mount): what was on the first of each is on the second.
  void renumber(const std::vector<std::pair<u64, u64>>& devices);
  u64 count() const { return count_; }
  u64 memory() const;

  // Snapshot as one document (see persist.cc for the file around it).
  void save(ByteSink& out) const;
  // False: this is no snapshot, or a damaged one; what is held then is undefined, but safe to be destroyed.
  bool load(ByteFeed& feed);

 private:
  void drop(NodeId id);
  void link_child(NodeId id, NodeId parent);
  void unlink_child(NodeId id);
  void unlink_inode(NodeId id);
  u32 store_name(std::string_view name);
  void compact_names();
  void set_next_name(NodeId id, NodeId next) {
    if (next == kNoNode) next_names_.erase(id);
    else next_names_[id] = next;
  }
  u64 name_hash(NodeId parent, std::string_view name) const;
  u64 inode_hash(u16 device, u64 inode) const;
  u16 device_index(u64 device);

  using Names = Blocks<char, 16>;

  Blocks<Node, 12> nodes_;
  NodeId free_ = kNoNode;   // first of the unused records, chained by `next_sibling`
  Names names_;
  u64 names_wasted_ = 0;
  std::unordered_map<NodeId, NodeId> next_names_;   // few objects have several names
  std::vector<Attributes> attributes_;
  std::unordered_multimap<u64, u32> attribute_ids_;
  std::vector<u64> devices_;
  IdTable by_name_;
  IdTable by_inode_;
  u32 roots_ = 0;
  u64 count_ = 0;
};

}  // namespace understudy
