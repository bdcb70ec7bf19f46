#include "block_index.h"

namespace understudy {

u32 block_size_for(u64 file_size) {
  u32 block = 4096;
  while (file_size / block > (4u << 20) / sizeof(u64) && block < (1u << 31)) block *= 2;   // sparse files reach exabytes
  return block;
}

BlockIndex* BlockIndexes::find(u64 object) {
  auto at = entries_.find(object);
  if (at == entries_.end()) return nullptr;
  order_.splice(order_.begin(), order_, at->second.place);
  return &at->second.index;
}

void BlockIndexes::put(u64 object, BlockIndex index) {
  drop(object);
  bytes_ += index.hashes.size() * sizeof(u64);
  order_.push_front(object);
  entries_.emplace(object, Entry{std::move(index), order_.begin()});
  while (bytes_ > bytes_max_ && order_.size() > 1) drop(order_.back());
}

void BlockIndexes::drop(u64 object) {
  auto at = entries_.find(object);
  if (at == entries_.end()) return;
  bytes_ -= at->second.index.hashes.size() * sizeof(u64);
  order_.erase(at->second.place);
  entries_.erase(at);
}

}  // namespace understudy
