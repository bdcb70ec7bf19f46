// Hostile bytes for the batch decoder. Whatever the decoder accepts must be walkable and within every rule of wire.h;
// whatever it refuses must be refused without reading past the end (run under AddressSanitizer).
//
// Usage: batch_fuzz <iterations> <corpus directory> [seed]. Mutates seeds from the corpus and batches of its own;
// the same seed gives the same run. With clang, -DUNDERSTUDY_LIBFUZZER leaves driving to libFuzzer.
#include <dirent.h>

#include <algorithm>

#include "ops.h"
#include "xattr.h"

namespace understudy::test {
namespace {

using wire::OpKind;

volatile u64 g_sink;

// What must hold of an accepted batch.
void walk(BatchReader& reader, std::size_t size) {
  OpView op;
  u32 count = 0;
  u64 sum = 0;
  const auto touch = [&](std::string_view bytes) {
    for (const char c : bytes) sum += static_cast<u8>(c);
  };
  while (reader.next(op)) {
    CHECK_EQUAL(op.index, count);
    ++count;
    CHECK(op.header.kind >= 1 && op.header.kind <= wire::kOpKindLast);
    CHECK(op.path.empty() || path_valid(op.path));
    const auto kind = static_cast<OpKind>(op.header.kind);
    const bool placeless = kind == OpKind::checkpoint || kind == OpKind::heartbeat || kind == OpKind::task;
    CHECK(placeless ? op.path.empty() : op.header.mapping < 3);
    if (kind == OpKind::task) CHECK(op.header.arg0 == 0 || (op.header.arg0 == wire::kTaskDurable && count == 1));
    if (kind == OpKind::rename || kind == OpKind::link) CHECK(path_valid(op.path2) && op.header.aux < 3);
    if (kind == OpKind::remove || kind == OpKind::file) CHECK(!op.path.empty());
    CHECK(("/" + std::string(op.path) + "/").find("/../") == std::string::npos);
    if (kind == OpKind::xattrs) {
      const u8* at = reinterpret_cast<const u8*>(op.data.data());
      const u8* const end = at + op.data.size();
      XattrView view;
      while (next_xattr(at, end, view)) {
        CHECK(xattr_is_told(view.name));
        touch(view.value);
      }
      CHECK(at == end);
    }
    touch(op.path);
    touch(op.path2);
    touch(op.data);
  }
  CHECK_EQUAL(count, reader.header().op_count);
  CHECK(size <= wire::kBatchBytesMax);
  g_sink = sum;
}

bool try_bytes(const u8* bytes, std::size_t size) {
  auto reader = BatchReader::open(bytes, size, 3);
  if (!reader) {
    CHECK_EQUAL(reader.error().code, EBADMSG);
    return false;
  }
  walk(*reader, size);
  return true;
}

}  // namespace
}  // namespace understudy::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  understudy::test::try_bytes(bytes, size);
  return 0;
}

#ifndef UNDERSTUDY_LIBFUZZER
namespace understudy::test {
namespace {

std::string random_path(Random& random) {
  std::string path;
  for (u64 parts = 1 + random.below(3); parts > 0; --parts) {
    if (!path.empty()) path += '/';
    static const char* const kNames[] = {"a", "name", "..", ".", "", "...", "\xff\n", "long-long-long-name"};
    path += kNames[random.below(20) == 0 ? random.below(8) : random.below(2)];
  }
  return path;
}

std::string random_batch(Random& random) {
  BatchWriter writer;
  writer.begin();
  for (u64 count = random.below(6); count > 0; --count) {
    Op op(static_cast<OpKind>(1 + random.below(wire::kOpKindLast)), random_path(random));
    if (random.below(3) == 0) op.path2 = random_path(random);
    if (random.below(3) == 0) op.data.assign(random.below(40), 'd');
    if (random.below(4) == 0) {
      const wire::XattrHeader header{6, 0, 3};
      op.data.assign(reinterpret_cast<const char*>(&header), sizeof header);
      op.data += "user.a123";
    }
    if (random.below(8) == 0) op.path.clear();
    op.flags(static_cast<u8>(random.below(40))).args(random.below(10) == 0 ? random.next() : 4'096, random.below(9));
    op.mapping(static_cast<u16>(random.below(4)), static_cast<u32>(random.below(4)));
    if (random.below(2) == 0) op.mode(static_cast<u32>(random.next()));
    add(writer, op);
  }
  const Bytes bytes = writer.close(1 + random.below(3), 0, 0, static_cast<u32>(random.below(2)));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void mutate(std::string& bytes, Random& random) {
  static const u64 kInteresting[] = {0, 1, 7, 8, 63, 64, 72, 255, 256, 4'094, 4'095, 65'535, 1u << 20, 0x7FFFFFFF,
                                     0xFFFFFFFF, ~u64{0}, u64{1} << 63};
  for (u64 times = 1 + random.below(4); times > 0; --times) {
    if (bytes.empty()) bytes.push_back(0);
    const std::size_t at = random.below(bytes.size());
    switch (random.below(7)) {
      case 0: bytes[at] = static_cast<char>(random.next()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
      case 2: {
        const u64 value = kInteresting[random.below(std::size(kInteresting))];
        std::memcpy(bytes.data() + at, &value, std::min<std::size_t>(bytes.size() - at, std::size_t{1} << random.below(4)));
        break;
      }
      case 3: bytes.resize(at); break;
      case 4: bytes.insert(at, std::string(random.below(70), static_cast<char>(random.below(3)))); break;
      case 5: bytes.erase(at, random.below(70)); break;
      case 6: {
        const std::string piece = bytes.substr(at, random.below(200));
        bytes.insert(random.below(bytes.size()), piece);
        break;
      }
    }
  }
}

int fuzz(u64 iterations, const char* corpus, u64 seed) {
  std::vector<std::string> seeds;
  DIR* directory = ::opendir(corpus);
  CHECK(directory != nullptr);
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') seeds.push_back(read_file(std::string(corpus) + "/" + entry->d_name));
  }
  ::closedir(directory);
  std::sort(seeds.begin(), seeds.end());   // the order of a directory is not part of the seed
  CHECK(!seeds.empty());
  Random random(seed);
  u64 accepted = 0;
  for (const std::string& one : seeds) accepted += try_bytes(reinterpret_cast<const u8*>(one.data()), one.size()) ? 1 : 0;
  for (u64 i = 0; i < iterations; ++i) {
    std::string bytes = random.below(3) == 0 ? seeds[random.below(seeds.size())] : random_batch(random);
    if (random.below(8) != 0) mutate(bytes, random);
    // An exact allocation, so that one byte too far is noticed.
    std::unique_ptr<u8[]> exact(new u8[bytes.size()]);
    std::memcpy(exact.get(), bytes.data(), bytes.size());
    accepted += try_bytes(exact.get(), bytes.size()) ? 1 : 0;
  }
  CHECK(accepted * 100 > iterations && accepted < iterations);   // both roads are really walked
  std::printf("ok I4: the decoder takes or refuses whatever comes: seed %llu, %llu iterations, %zu corpus files, %llu accepted\n",
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(iterations), seeds.size(),
              static_cast<unsigned long long>(accepted));
  return 0;
}

// Writes the corpus: one right batch per kind of operation, and one with everything.
int make_corpus(const char* directory) {
  const wire::XattrHeader header{6, 0, 3};
  const std::string list = std::string(reinterpret_cast<const char*>(&header), sizeof header) + "user.a123";
  std::vector<Op> all = {
      mkdir_op("a"), file_op("a/b", "contents", wire::kOpFresh), Op(OpKind::create, "a/c").args(100), write_op("a/c", 5, "xyz"),
      Op(OpKind::truncate, "a/c").args(7), Op(OpKind::punch, "a/c").args(0, 4'096), Op(OpKind::setattr, ""),
      Op(OpKind::xattrs, "a").text(list), Op(OpKind::symlink, "l", "/some/where"), Op(OpKind::link, "n", "a/b").mapping(0, 1),
      Op(OpKind::mknod, "p").mode(S_IFIFO | 0600), remove_op("a/b"), rename_op("a/c", "d", wire::kOpExchange),
      Op(OpKind::manifest, "").id(1), Op(OpKind::hashes, "d").id(2).args(4'096), Op(OpKind::digest, "d").id(3),
      Op(OpKind::checkpoint), Op(OpKind::heartbeat).args(9), Op(OpKind::task).text("cbor"),
      Op(OpKind::task).text("cbor").args(wire::kTaskDurable)};
  BatchWriter everything;
  everything.begin();
  const auto save = [&](const std::string& name, const Bytes& bytes) {
    CHECK(try_bytes(bytes.data(), bytes.size()));
    write_file(std::string(directory) + "/" + name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  for (const Op& op : all) {
    save("kind-" + std::to_string(op.header.kind), batch_of(1, {op}));
    CHECK(add(everything, op));
  }
  save("everything", everything.close(2, 3, 4, wire::kBatchMirror));
  save("empty", batch_of(1, {}));
  return 0;
}

}  // namespace
}  // namespace understudy::test

int main(int count, char** arguments) {
  using namespace understudy::test;
  if (count == 3 && std::strcmp(arguments[1], "--make-corpus") == 0) return make_corpus(arguments[2]);
  if (count < 3) {
    std::fprintf(stderr, "usage: batch_fuzz <iterations> <corpus directory> [seed]\n       batch_fuzz --make-corpus <directory>\n");
    return 2;
  }
  return fuzz(std::strtoull(arguments[1], nullptr, 10), arguments[2],
              count > 3 ? std::strtoull(arguments[3], nullptr, 10) : 1);
}
#endif
