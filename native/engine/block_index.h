// Block filter (DESIGN 6): hashes of what was last told about large files, so that a change sends only its blocks.
#pragma once

#include <list>
#include <unordered_map>
#include <vector>

#include "base.h"

namespace understudy {

// Bytes per block for a file of this size: 4 KiB up to 2 GiB, then doubled so that an index stays below 4 MiB.
u32 block_size_for(u64 file_size);
u64 block_hash(const void* data, std::size_t size);

struct BlockIndex {
  u32 block = 4096;
  u64 size = 0;               // file size which the hashes describe
  std::vector<u64> hashes;
};

// Least recently used indexes are dropped beyond `bytes_max`; the next change of such a file then asks the target.
class BlockIndexes {
 public:
  explicit BlockIndexes(u64 bytes_max) : bytes_max_(bytes_max) {}
  BlockIndex* find(u64 object);
  void put(u64 object, BlockIndex index);
  void drop(u64 object);
  u64 bytes() const { return bytes_; }

 private:
  struct Entry {
    BlockIndex index;
    std::list<u64>::iterator place;
  };
  std::unordered_map<u64, Entry> entries_;   // by Shadow::object
  std::list<u64> order_;   // most recent first
  u64 bytes_ = 0;
  u64 bytes_max_;
};

}  // namespace understudy
