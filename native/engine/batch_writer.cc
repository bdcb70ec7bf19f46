#include "batch_writer.h"

#include <cassert>

namespace understudy {
namespace {

constexpr std::size_t padded(std::size_t size) { return (size + 7) & ~std::size_t{7}; }

}  // namespace

void BatchWriter::begin() {
  bytes_.clear();
  ops_ = 0;
  room_op_ = kNoRoom;
}

bool BatchWriter::fits(std::size_t path_len, std::size_t path2_len, std::size_t data_len) const {
  if (path_len > wire::kPathBytesMax || path2_len > wire::kPathBytesMax + 1 || data_len > wire::kBatchDataMax) {
    return false;
  }
  if (ops_ >= wire::kBatchOpsMax) return false;
  return size() + padded(sizeof(wire::OpHeader) + path_len + path2_len + data_len) <= wire::kBatchBytesMax;
}

u8* BatchWriter::add_with_room(const wire::OpHeader& header, std::string_view path, std::string_view path2,
                               std::size_t capacity) {
  assert(room_op_ == kNoRoom);
  if (!fits(path.size(), path2.size(), capacity)) return nullptr;
  if (bytes_.empty()) {
    bytes_.reserve(reserve_);
    std::memset(bytes_.grow(sizeof(wire::BatchHeader)), 0, sizeof(wire::BatchHeader));
  }
  room_op_ = bytes_.size();
  wire::OpHeader filled = header;
  filled.path_len = static_cast<u16>(path.size());
  filled.path2_len = static_cast<u16>(path2.size());
  bytes_.append(&filled, sizeof filled);
  bytes_.append(path.data(), path.size());
  bytes_.append(path2.data(), path2.size());
  room_data_ = bytes_.size();
  return bytes_.grow(padded(room_data_ + capacity) - room_data_);   // offsets count from 0, so padding is right
}

wire::OpHeader* BatchWriter::room_header() {
  assert(room_op_ != kNoRoom);
  return reinterpret_cast<wire::OpHeader*>(bytes_.data() + room_op_);   // operations start at multiples of 8
}

void BatchWriter::commit_room(std::size_t length) {
  assert(room_op_ != kNoRoom);
  const std::size_t end = padded(room_data_ + length);
  assert(end <= bytes_.size());
  std::memset(bytes_.data() + room_data_ + length, 0, end - room_data_ - length);
  bytes_.resize(end);
  wire::OpHeader* header = room_header();
  header->data_len = static_cast<u32>(length);
  header->size = static_cast<u32>(end - room_op_);
  room_op_ = kNoRoom;
  ++ops_;
}

void BatchWriter::drop_room() {
  assert(room_op_ != kNoRoom);
  bytes_.resize(room_op_);
  room_op_ = kNoRoom;
}

bool BatchWriter::add(const wire::OpHeader& header, std::string_view path, std::string_view path2,
                      std::string_view data) {
  u8* room = add_with_room(header, path, path2, data.size());
  if (room == nullptr) return false;
  if (!data.empty()) std::memcpy(room, data.data(), data.size());
  commit_room(data.size());
  return true;
}

Bytes BatchWriter::close(u64 sequence, i64 captured_ns, i64 sent_ns, u32 flags) {
  assert(room_op_ == kNoRoom);
  wire::BatchHeader header{};
  header.sequence = sequence;
  header.captured_ns = captured_ns;
  header.sent_ns = sent_ns;
  header.op_count = ops_;
  header.flags = flags;
  if (bytes_.empty()) bytes_.grow(sizeof header);
  std::memcpy(bytes_.data(), &header, sizeof header);
  ops_ = 0;
  return std::move(bytes_);
}

}  // namespace understudy
