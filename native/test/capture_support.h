// Shared by the capture tests: a sink that keeps a plain picture of a tree.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "capture.h"
#include "check.h"

namespace understudy::test {

// What a name means: enough to notice every change except of link counts and access times.
struct Facts {
  u64 device = 0, inode = 0;
  i64 birth_ns = 0;   // tells a directory from an earlier one with the same inode number
  u32 mode = 0, uid = 0;
  u64 size = 0;
  i64 mtime_ns = 0;
  std::string extra;  // symlink text, or the contents of a small file, and one extended attribute
  bool operator==(const Facts&) const = default;
};

// Relative path -> facts, by a plain walk.
std::map<std::string, Facts> walk(const std::string& root);

// The simplest thing that can be done with hints: look again at what they name.
class Picture final : public CaptureSink {
 public:
  // `capture` may be null: nothing is watched then.
  Picture(std::string root, Capture* capture) : root_(std::move(root)), capture_(capture) {}
  // Forgets all and reads the tree anew.
  void rescan();
  // Looks again into directories which were not where the picture had them when a hint came. Call after `deliver`:
  // a directory that is written to and then moved may be hinted while its new place is not known yet.
  void settle();

  NodeId find_directory(u64 device, u64 inode) override;
  bool is_directory(NodeId node, u64 inode) override;
  void hint(NodeId directory, std::string_view name, u32 what) override;
  void unknown_directory(std::string_view path, std::string_view name, u32 what) override;
  void hint_object(u64 device, u64 inode, u32 what) override;
  void lost(std::string_view why) override;

  // The picture in the form of `walk`, hard links resolved by inode.
  std::map<std::string, Facts> facts() const;

  std::size_t directories() const { return nodes_.size(); }
  u64 hints = 0, unknown = 0, losses = 0, loops = 0, moves = 0, refused_watches = 0;
  std::vector<std::string> outside_paths;  // given by unknown_directory although not below the root
  std::string last_loss;

 private:
  using Identity = std::pair<u64, u64>;
  struct Node {
    NodeId parent = kNoNode;
    std::string name;
    Identity identity;
    i64 birth_ns = 0;
    std::map<std::string, Identity> names;
  };
  std::string path_of(NodeId node) const;
  Fd open_directory(NodeId node);
  void look_in(NodeId directory, int fd, const std::string& name);
  void look(NodeId directory, const std::string& name);
  void scan(NodeId directory);
  void unlink(NodeId directory, const std::string& name);
  void drop(NodeId node);
  NodeId add(NodeId parent, const std::string& name, const Facts& facts);
  bool lies_below(NodeId node, NodeId ancestor) const;
  void collect(NodeId node, const std::string& prefix, std::map<std::string, Facts>& out) const;

  const std::string root_;
  Capture* const capture_;
  std::unordered_map<NodeId, Node> nodes_;
  std::map<Identity, NodeId> by_identity_;  // directories
  std::map<Identity, Facts> inodes_;
  std::set<NodeId> stale_;
  std::vector<NodeId> dropped_;  // free after `settle`: nothing on the stack still means them
  std::vector<NodeId> free_;
  NodeId next_ = 1;
  NodeId root_node_ = kNoNode;
  bool needs_rescan_ = false;
};

// Opens the roots for one delivery, as the source does.
class OpenRoots {
 public:
  explicit OpenRoots(const std::vector<std::string>& paths);
  std::vector<CaptureRoot> roots;

 private:
  std::vector<Fd> fds_;
};

// Empty, or the first differences as text.
std::string differences(const std::map<std::string, Facts>& picture, const std::map<std::string, Facts>& truth);

// Random changes below `base`/set and `base`/outside by one thread until `operations` are done.
void churn(const std::string& base, u64 seed, int operations, bool privileged);

}  // namespace understudy::test
