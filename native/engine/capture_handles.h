// From the file handles in fanotify events to directories of the shadow tree, through a bounded cache.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base.h"
#include "capture.h"

namespace understudy {

// Where an event's directory is.
struct DirectoryPlace {
  enum Kind : u8 {
    kKnown,    // a directory of the shadow: `node`
    kInside,   // below a root but not in the shadow: `path`
    kOutside,  // not below any root
    kGone,     // already removed, or its root is not there now
  };
  Kind kind = kGone;
  NodeId node = kNoNode;
  u64 device = 0, inode = 0;
  std::string path;
};

// Single-threaded; lives on the thread that delivers.
class HandleResolver {
 public:
  // The bytes that name an object in an event: fsid (8 bytes) followed by struct file_handle.
  using Key = std::string_view;

  HandleResolver();

  // Events of a superblock carry the fsid of the mark, which on btrfs differs from the root's own.
  void add_root(const std::string& path, u64 event_fsid);

  // Between begin and end the roots' descriptors are used; nothing on their file systems stays open afterwards.
  void begin(const std::vector<CaptureRoot>& roots);
  void end();

  // Valid until the next call of any method.
  const DirectoryPlace& resolve(Key key, CaptureSink& sink);
  // Finds out what object this is; false if it is gone.
  bool identify(Key key, u64& device, u64& inode);
  // A directory came to lie somewhere else: what was outside may be inside now.
  void directory_moved() { ++outside_round_; }
  void forget(NodeId node) { ++forgotten_[node % kForgottenSlots]; }
  // A handle that could not be opened for another reason than its absence (errno, 0: none) since `begin`.
  int failure() const { return failure_; }

 private:
  struct Entry {
    DirectoryPlace place;
    u64 round = 0;     // kOutside: outside_round_; kInside, kGone: delivery_; when it was found
    u32 forgotten = 0; // kKnown: state of the node's slot in forgotten_
  };
  struct KeyHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const { return std::hash<std::string_view>{}(key); }
  };
  using Table = std::unordered_map<std::string, Entry, KeyHash, std::equal_to<>>;
  struct Root {
    std::string path;      // as the source names it
    u64 event_fsid = 0;
    // During a delivery:
    int fd = -1;
    Fd mount;              // the root again, opened for reading: open_by_handle_at refuses O_PATH
    bool opened = false;
    std::string real_path; // as the kernel names it
  };

  bool fresh(const Entry& entry, CaptureSink& sink) const;
  Entry& entry_of(Key key);
  void look(Key key, Entry& entry, CaptureSink& sink);
  Root* open_root(Root& root);
  Fd open_handle(const Root& root, Key key);

  // Two generations: when the young one is full it becomes the old one, so memory is bounded and what is used stays.
  Table young_, old_;
  std::vector<Root> roots_;
  std::vector<u32> forgotten_;  // counts per slot of node ids; a change invalidates what the cache says of them
  u64 outside_round_ = 1;
  u64 delivery_ = 1;
  int failure_ = 0;
  static constexpr std::size_t kForgottenSlots = 4096;
};

// `path` as named below `real_root`, named below `root` instead; empty when it does not lie at or below it.
std::string rebase_path(std::string_view path, std::string_view real_root, std::string_view root);
// The path the kernel gives an open descriptor; empty when unknown.
std::string descriptor_path(int fd);

}  // namespace understudy
