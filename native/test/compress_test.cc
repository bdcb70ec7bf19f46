#include "compress.h"

#include <random>

#include "check.h"

using namespace understudy;

namespace {

Bytes noise(std::size_t size, u32 seed) {
  std::mt19937_64 random(seed);
  Bytes bytes;
  bytes.resize(size);
  for (std::size_t i = 0; i < size; ++i) bytes.data()[i] = static_cast<u8>(random());
  return bytes;
}

Bytes text(std::size_t size) {
  Bytes bytes;
  for (u64 line = 0; bytes.size() < size; ++line) {
    const std::string each = "2026-11-25 request " + std::to_string(line * 7919 % 100'003) + " was answered\n";
    bytes.append(each.data(), each.size());
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

TEST("TRN-41: three levels, the highest packs best, and each gives the same bytes back") {
  const Bytes raw = text(1u << 20);
  std::size_t sizes[4] = {raw.size()};
  for (int level = 1; level <= 3; ++level) {
    Bytes packed;
    CHECK(compress_batch(level, raw.data(), raw.size(), packed));
    sizes[level] = packed.size();
    Bytes back;
    back.resize(raw.size());
    CHECK(decompress_batch(packed.data(), packed.size(), back.data(), back.size()));
    CHECK(std::memcmp(back.data(), raw.data(), raw.size()) == 0);
    CHECK(!decompress_batch(packed.data(), packed.size() - 1, back.data(), back.size()));
  }
  CHECK(sizes[3] < sizes[1] && sizes[3] < sizes[2]);
  Bytes packed;
  CHECK(!compress_batch(0, raw.data(), raw.size(), packed));
}

TEST("TRN-43: data that does not shrink is told by samples and travels as it is") {
  const Bytes raw = noise(1u << 20, 1);
  Bytes packed;
  for (int level = 1; level <= 3; ++level) CHECK(!compress_batch(level, raw.data(), raw.size(), packed));
  CHECK_EQUAL(packed.size(), 0u);   // Nothing was tried on the whole.
  // A batch that holds both is compressed.
  Bytes mixed = noise(700u << 10, 2);
  const Bytes rest = text(324u << 10);
  mixed.append(rest.data(), rest.size());
  CHECK(compress_batch(1, mixed.data(), mixed.size(), packed));
  CHECK(packed.size() < mixed.size() - (200u << 10));
  const Bytes small = noise(10'000, 3);
  CHECK(!compress_batch(3, small.data(), small.size(), packed));
}

TEST_MAIN
