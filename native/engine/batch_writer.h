// Writes operations into a batch (wire.h). Used by sources; receivers read with batch_reader.h.
#pragma once

#include <string_view>

#include "base.h"
#include "wire.h"

namespace understudy {

// One batch under construction. `add` refuses what the wire format forbids in size (the caller then closes this batch
// and adds to the next one); it trusts the caller for everything else. A batch that holds no operation yet takes any
// single operation within the limits of wire.h.
//
//   writer.begin();
//   writer.add(mkdir_header, "a/b");
//   u8* room = writer.add_with_room(file_header, "a/b/c", {}, size);
//   writer.commit_room(pread(fd, room, size, 0));
//   send(writer.close(sequence, captured_ns, realtime_ns(), 0));
class BatchWriter {
 public:
  explicit BatchWriter(std::size_t reserve = 256u << 10) : reserve_(reserve) {}

  // Starts an empty batch, dropping one in progress.
  void begin();

  // Appends an operation. Sizes and lengths in `header` are filled in here; all other fields are taken as given.
  // False: it does not fit (kBatchBytesMax, kBatchOpsMax) or a path or the data is too long; nothing was added.
  bool add(const wire::OpHeader& header, std::string_view path, std::string_view path2 = {},
           std::string_view data = {});

  // Appends an operation whose data is yet to be filled in: returns `capacity` uninitialised bytes inside the batch,
  // or null when it does not fit. Exactly one commit_room or drop_room must follow before anything else.
  u8* add_with_room(const wire::OpHeader& header, std::string_view path, std::string_view path2,
                    std::size_t capacity);
  void commit_room(std::size_t length);   // length <= capacity
  void drop_room();                       // as if add_with_room had never been called
  // The header of the operation in progress, to be changed before commit_room (a size learnt while reading, say).
  wire::OpHeader* room_header();

  // True when an operation with these lengths would be taken by `add`.
  bool fits(std::size_t path_len, std::size_t path2_len, std::size_t data_len) const;

  std::size_t size() const { return bytes_.size() > 0 ? bytes_.size() : sizeof(wire::BatchHeader); }
  u32 op_count() const { return ops_; }
  bool empty() const { return ops_ == 0; }

  // Completes the header and hands the batch over; the writer is then empty as after `begin`.
  Bytes close(u64 sequence, i64 captured_ns, i64 sent_ns, u32 flags);

 private:
  static constexpr std::size_t kNoRoom = ~std::size_t{0};
  std::size_t reserve_;
  Bytes bytes_;
  u32 ops_ = 0;
  std::size_t room_op_ = kNoRoom;   // offset of the operation that has room
  std::size_t room_data_ = 0;       // offset of the room
};

}  // namespace understudy
