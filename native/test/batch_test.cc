// Checksums, the batch writer and the batch reader (CLM-08, I4, I5).
#include <sys/sysmacros.h>

#include "crc.h"
#include "ops.h"
#include "xattr.h"

namespace understudy::test {
namespace {

using wire::OpKind;

Result<BatchReader> read(const Bytes& bytes, u32 mappings = 2) {
  return BatchReader::open(bytes.data(), bytes.size(), mappings);
}

bool accepted(const Op& op, u32 mappings = 2) {
  const Bytes bytes = batch_of(1, {op});
  return static_cast<bool>(read(bytes, mappings));
}

TEST("CLM-08: crc32c knows the standard's check value, with and without the instruction") {
  CHECK_EQUAL(crc32c(0, "123456789", 9), 0xE3069283u);
  CHECK_EQUAL(crc32c_table(0, "123456789", 9), 0xE3069283u);
  std::string bytes;
  Random random(7);
  for (int i = 0; i < 5'000; ++i) bytes.push_back(static_cast<char>(random.next()));
  for (std::size_t size : {0, 1, 7, 8, 9, 63, 64, 1'000, 4'999}) {
    CHECK_EQUAL(crc32c(5, bytes.data(), size), crc32c_table(5, bytes.data(), size));
  }
}

TEST("CLM-08: checksum is its documented three lanes, for every size and alignment") {
  std::string bytes;
  Random random(8);
  for (int i = 0; i < 70'000; ++i) bytes.push_back(static_cast<char>(random.next()));
  for (std::size_t size : {0u, 1u, 1'023u, 1'024u, 1'025u, 1'047u, 1'048u, 4'096u, 65'537u, 69'990u}) {
    for (std::size_t shift : {0u, 1u, 5u}) {
      const char* at = bytes.data() + shift;
      u32 expected;
      if (size < 1'024) {
        expected = crc32c_table(0, at, size);
      } else {
        const std::size_t lane = size / 24 * 8;
        const u32 lanes[3] = {crc32c_table(0, at, lane), crc32c_table(0, at + lane, lane),
                              crc32c_table(0, at + 2 * lane, lane)};
        expected = crc32c_table(crc32c_table(0, lanes, 12), at + 3 * lane, size - 3 * lane);
      }
      CHECK_EQUAL(checksum(at, size), expected);
    }
  }
}

TEST("CLM-08: checksum notices every single flipped bit of a frame") {
  std::string bytes(3'001, 'x');
  const u32 right = checksum(bytes.data(), bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
    CHECK(checksum(bytes.data(), bytes.size()) != right);
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
  }
}

TEST("batch: what the writer wrote is what the reader reads") {
  BatchWriter writer;
  writer.begin();
  CHECK(add(writer, mkdir_op("a")));
  CHECK(add(writer, file_op("a/b", "hello")));
  u8* room = writer.add_with_room(file_op("a/c", "").header, "a/c", {}, 1'000);
  CHECK(room != nullptr);
  std::memset(room, 'r', 1'000);
  writer.room_header()->arg0 = 77;
  writer.commit_room(3);
  CHECK(writer.add_with_room(file_op("a/dropped", "").header, "a/dropped", {}, 50) != nullptr);
  writer.drop_room();
  CHECK(add(writer, Op(OpKind::symlink, "s", "/somewhere//../else")));
  CHECK_EQUAL(writer.op_count(), 4u);
  const std::size_t size = writer.size();
  const Bytes bytes = writer.close(42, 11, 12, wire::kBatchMirror);
  CHECK_EQUAL(bytes.size(), size);
  CHECK_EQUAL(writer.op_count(), 0u);

  auto reader = read(bytes);
  CHECK_OK(reader);
  CHECK_EQUAL(reader->header().sequence, 42u);
  CHECK_EQUAL(reader->header().captured_ns, 11);
  CHECK_EQUAL(reader->header().sent_ns, 12);
  OpView op;
  CHECK(reader->next(op) && op.path == "a" && op.index == 0);
  CHECK(reader->next(op) && op.path == "a/b" && op.data == "hello");
  CHECK(reader->next(op) && op.path == "a/c" && op.data == "rrr" && op.header.arg0 == 77);
  CHECK(reader->next(op) && op.path2 == "/somewhere//../else" && op.index == 3);
  CHECK(!reader->next(op));
}

TEST("batch: the writer refuses what would break a limit and stays usable") {
  BatchWriter writer;
  writer.begin();
  const std::string big(wire::kBatchDataMax, 'd');
  CHECK(!add(writer, file_op("f", big + "x")));
  CHECK(!add(writer, file_op(std::string(wire::kPathBytesMax + 1, 'p'), "")));
  CHECK(add(writer, file_op("f", big)));
  CHECK(!add(writer, file_op("g", big)));
  CHECK(add(writer, file_op("h", "small")));
  const Bytes bytes = writer.close(1, 0, 0, 0);
  CHECK_OK(read(bytes));
  CHECK(bytes.size() <= wire::kBatchBytesMax);
  writer.begin();
  const Op op = Op(OpKind::remove, "x");
  u32 count = 0;
  while (add(writer, op)) ++count;
  CHECK(count <= wire::kBatchOpsMax);
  CHECK_OK(read(writer.close(1, 0, 0, 0)));
}

TEST("I5: paths that could lead out of the root are refused") {
  for (const char* path : {"/etc", "a/../b", "..", ".", "a/.", "./a", "a//b", "a/", "../../etc/passwd", "a/..", "/"}) {
    CHECK(!path_valid(path));
    CHECK(!accepted(file_op(path, "x")));
    CHECK(!accepted(rename_op("a", path)));
    CHECK(!accepted(Op(OpKind::link, "a", path)));
    CHECK(!accepted(remove_op(path)));
  }
  CHECK(!accepted(file_op(std::string_view("a\0b", 3), "x")));
  CHECK(!accepted(file_op(std::string(256, 'n'), "x")));
  CHECK(!accepted(file_op("", "x")));
  CHECK(!accepted(remove_op("")));
  CHECK(!accepted(rename_op("a", "")));
  for (const char* path : {"...", "a/..b", ".a", "a/b/c", "\xff\x01 \n*?[", "..."}) CHECK(accepted(file_op(path, "x")));
  CHECK(accepted(mkdir_op("")));
  CHECK(accepted(Op(OpKind::setattr, "")));
}

TEST("CAP-10: 4094 bytes of path travel, 4095 do not") {
  std::string path;
  while (path.size() < wire::kPathBytesMax) path += std::string(200, 'p') + "/";
  path.resize(wire::kPathBytesMax);
  if (path.back() == '/') path.back() = 'q';
  CHECK(accepted(file_op(path, "x")));
  CHECK(!path_valid(path + "r"));
}

TEST("I5: a mapping that was not granted is refused, also as the second one") {
  CHECK(accepted(file_op("a", "x").mapping(1), 2));
  CHECK(!accepted(file_op("a", "x").mapping(2), 2));
  CHECK(!accepted(rename_op("a", "b").mapping(0, 2), 2));
  CHECK(!accepted(Op(OpKind::link, "a", "b").mapping(0, 9), 2));
}

TEST("I4: kinds, flags, ranges and shapes are checked") {
  Op unknown(static_cast<OpKind>(wire::kOpKindLast + 1), "a");
  CHECK(!accepted(unknown));
  CHECK(!accepted(Op(static_cast<OpKind>(0), "a")));
  CHECK(!accepted(file_op("a", "x", 0x80)));
  CHECK(!accepted(file_op("a", "x", wire::kOpExchange)));
  CHECK(!accepted(file_op("a", "x", wire::kOpPresent)));
  CHECK(!accepted(write_op("a", ~u64{0}, "x")));
  CHECK(!accepted(write_op("a", (u64{1} << 63) - 1, "x")));
  CHECK(accepted(write_op("a", (u64{1} << 63) - 2, "x")));
  CHECK(!accepted(Op(OpKind::truncate, "a").args(u64{1} << 63)));
  CHECK(!accepted(Op(OpKind::punch, "a").args(5, 0)));
  CHECK(!accepted(Op(OpKind::punch, "a").args(5, ~u64{0})));
  CHECK(!accepted(Op(OpKind::hashes, "a").args(0)));
  CHECK(!accepted(Op(OpKind::mknod, "a").mode(S_IFREG | 0644)));
  CHECK(accepted(Op(OpKind::mknod, "a").mode(S_IFIFO | 0644)));
  CHECK(!accepted(Op(OpKind::mkdir, "a").text("data")));
  CHECK(!accepted(Op(OpKind::mkdir, "a", "second")));
  CHECK(!accepted(Op(OpKind::symlink, "a", "")));
  CHECK(!accepted(Op(OpKind::symlink, "a", std::string_view("t\0t", 3))));
  CHECK(!accepted(Op(OpKind::checkpoint, "a")));
  CHECK(!accepted(Op(OpKind::xattrs, "a").text("garbage")));
  CHECK(accepted(Op(OpKind::task).text("t").args(wire::kTaskDurable)));
  CHECK(!accepted(Op(OpKind::task).text("t").args(2)));
  CHECK(!accepted(Op(OpKind::task, "a").text("t")));
  const Bytes behind = batch_of(3, {mkdir_op("d"), Op(OpKind::task).text("t").args(wire::kTaskDurable)});
  CHECK(!read(behind));   // what is before it in its own batch could not be durable first
}

TEST("I4: cut off, lengthened and inconsistent batches are refused") {
  const Bytes right = batch_of(3, {mkdir_op("d"), file_op("d/f", "1234")});
  CHECK_OK(read(right));
  for (std::size_t size = 0; size < right.size(); ++size) {
    std::unique_ptr<u8[]> exact(new u8[size]);   // so that a read past the end is seen by AddressSanitizer
    std::memcpy(exact.get(), right.data(), size);
    CHECK(!BatchReader::open(exact.get(), size, 2));
  }
  Bytes longer;
  longer.append(right.data(), right.size());
  std::memset(longer.grow(8), 0, 8);
  CHECK(!read(longer));
  const auto changed = [&](std::size_t at, u8 value) {
    Bytes copy;
    copy.append(right.data(), right.size());
    copy.data()[at] = value;
    return static_cast<bool>(read(copy));
  };
  CHECK(!changed(offsetof(wire::BatchHeader, op_count), 3));
  CHECK(!changed(offsetof(wire::BatchHeader, op_count), 1));
  CHECK(!changed(offsetof(wire::BatchHeader, sequence), 0));
  CHECK(!changed(offsetof(wire::BatchHeader, flags), 2));
  CHECK(!changed(sizeof(wire::BatchHeader), 80));   // the first operation's size: padding of a whole word
  CHECK(!changed(right.size() - 1, 1));             // padding
}

TEST("I4: extended attribute lists are checked for shape, names and order") {
  const auto list = [](std::initializer_list<std::pair<const char*, const char*>> pairs) {
    std::string out;
    for (const auto& [name, value] : pairs) {
      wire::XattrHeader header{static_cast<u16>(std::strlen(name)), 0, static_cast<u32>(std::strlen(value))};
      out.append(reinterpret_cast<const char*>(&header), sizeof header);
      out += name;
      out += value;
    }
    return out;
  };
  const auto valid = [](const std::string& text) { return xattrs_valid(text.data(), text.size()); };
  CHECK(valid(""));
  CHECK(valid(list({{"security.capability", "c"}, {"user.a", "1"}, {"user.b", ""}})));
  CHECK(!valid(list({{"user.b", "1"}, {"user.a", "1"}})));
  CHECK(!valid(list({{"user.a", "1"}, {"user.a", "1"}})));
  CHECK(!valid(list({{"user.", "1"}})));
  CHECK(!valid(list({{"security.selinux", "1"}})));
  CHECK(!valid(list({{"security.ima", "1"}})));
  CHECK(!valid(list({{"system.nfs4_acl", "1"}})));
  CHECK(!valid(list({{"user.a", "1"}}) + "x"));
  std::string cut = list({{"user.a", "12345678"}});
  cut.pop_back();
  CHECK(!valid(cut));
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
