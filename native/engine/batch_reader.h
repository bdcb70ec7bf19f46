// Reads a received batch (wire.h). Everything is checked by `open`, before the first operation is used; what it lets
// through needs no further checks of bounds, paths or lengths. Safe on any bytes.
#pragma once

#include <string_view>

#include "base.h"
#include "wire.h"

namespace understudy {

// One operation; the views point into the batch.
struct OpView {
  wire::OpHeader header;
  std::string_view path;
  std::string_view path2;
  std::string_view data;
  u32 index = 0;   // position in the batch, from 0
};

// A path as the wire allows it: relative, components of 1..255 bytes, none of them `.` or `..`, no NUL. Not empty.
bool path_valid(std::string_view path);

// What a source asks before it tells an operation: are its paths, and the type of a node, such that a target takes them?
bool operation_valid(const wire::OpHeader& header, std::string_view path, std::string_view path2);

class BatchReader {
 public:
  // Checks the whole batch. `mappings`: number of mappings granted. EBADMSG with the reason as `call` otherwise.
  // The bytes must outlive the reader and its views.
  static Result<BatchReader> open(const u8* bytes, std::size_t size, u32 mappings);

  const wire::BatchHeader& header() const { return header_; }
  // Moves to the next operation; false at the end.
  bool next(OpView& op);
  void rewind() { at_ = sizeof(wire::BatchHeader), index_ = 0; }

 private:
  BatchReader(const u8* bytes, std::size_t size, const wire::BatchHeader& header)
      : bytes_(bytes), size_(size), header_(header) {}
  const u8* bytes_;
  std::size_t size_;
  wire::BatchHeader header_;
  std::size_t at_ = sizeof(wire::BatchHeader);
  u32 index_ = 0;
};

}  // namespace understudy
