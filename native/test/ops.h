// Builds operations and single-operation batches for the target's tests.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "batch_reader.h"
#include "batch_writer.h"
#include "check.h"
#include "wire.h"

namespace understudy::test {

struct Op {
  wire::OpHeader header{};
  std::string path, path2, data;

  explicit Op(wire::OpKind kind, std::string_view at = {}, std::string_view other = {}) : path(at), path2(other) {
    header.kind = static_cast<u8>(kind);
    header.uid = ::geteuid();
    header.gid = ::getegid();
    header.mode = 0644;
    header.mtime_ns = 1'234'567'890'123'456'789;
  }
  Op& flags(u8 value) { header.flags = value; return *this; }
  Op& mode(u32 value) { header.mode = value; return *this; }
  Op& owner(u32 uid, u32 gid) { header.uid = uid; header.gid = gid; return *this; }
  Op& mtime(i64 ns) { header.mtime_ns = ns; return *this; }
  Op& args(u64 first, u64 second = 0) { header.arg0 = first; header.arg1 = second; return *this; }
  Op& text(std::string_view bytes) { data.assign(bytes); return *this; }
  Op& mapping(u16 first, u32 second = 0) { header.mapping = first; header.aux = second; return *this; }
  Op& id(u64 value) { header.id = value; return *this; }
};

inline Op mkdir_op(std::string_view path, u32 mode = 0755) { return Op(wire::OpKind::mkdir, path).mode(mode); }
inline Op file_op(std::string_view path, std::string_view text, u8 flags = 0) {
  return Op(wire::OpKind::file, path).text(text).flags(flags);
}
inline Op write_op(std::string_view path, u64 offset, std::string_view text) {
  return Op(wire::OpKind::write, path).args(offset).text(text);
}
inline Op remove_op(std::string_view path) { return Op(wire::OpKind::remove, path); }
inline Op rename_op(std::string_view from, std::string_view to, u8 flags = 0) {
  return Op(wire::OpKind::rename, from, to).flags(flags);
}

inline bool add(BatchWriter& writer, const Op& op) { return writer.add(op.header, op.path, op.path2, op.data); }

inline Bytes batch_of(u64 sequence, std::initializer_list<Op> ops, u32 flags = 0) {
  BatchWriter writer;
  writer.begin();
  for (const Op& op : ops) CHECK(add(writer, op));
  return writer.close(sequence, 1, 2, flags);
}

}  // namespace understudy::test
