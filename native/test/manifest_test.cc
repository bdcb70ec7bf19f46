// What a target answers: manifests, block hashes, digests (MIR-20, I1).
#include <sys/sysmacros.h>

#include <map>

#include "apply_support.h"
#include "receiver_support.h"
#include "xattr.h"

#include <xxhash.h>

namespace understudy::test {
namespace {

using wire::OpKind;

std::map<std::string, wire::ManifestEntry> entries_of(const std::vector<SentReply>& replies) {
  std::map<std::string, wire::ManifestEntry> entries;
  for (const SentReply& reply : replies) {
    CHECK_EQUAL(reply.header.error, 0u);
    for (std::size_t at = 0; at < reply.body.size();) {
      wire::ManifestEntry entry;
      CHECK(reply.body.size() - at >= sizeof entry);
      std::memcpy(&entry, reply.body.data() + at, sizeof entry);
      at += sizeof entry;
      CHECK(reply.body.size() - at >= entry.name_len);
      CHECK(entries.emplace(reply.body.substr(at, entry.name_len), entry).second);
      at += entry.name_len;
    }
  }
  return entries;
}

TEST("MIR-20: a manifest tells every entry with all that is compared") {
  Link link;
  link.options.roots[0].source_path = "/srv/source";
  link.open();
  const bool root = ::geteuid() == 0;
  const std::string attributes = xattr_list({{"user.a", "1"}});
  link.must({mkdir_op("d", 0711), file_op("d/f", "12345").mode(0640).mtime(-77), Op(OpKind::link, "d/g", "d/f"),
             Op(OpKind::symlink, "d/l", "/srv/source/d/f"), Op(OpKind::mknod, "d/p").mode(S_IFIFO | 0600),
             mkdir_op("d/sub"), file_op("d/x", ""), Op(OpKind::xattrs, "d/x").text(attributes),
             file_op("d/\xff\n", "odd"), Op(OpKind::manifest, "d").id(1)});
  if (root) {
    link.must({Op(OpKind::mknod, "d/dev").mode(S_IFCHR | 0600).args(0, makedev(1, 3)), Op(OpKind::manifest, "d").id(2)});
  }
  const auto entries = entries_of(link.wait_replies(root ? 2 : 1));
  CHECK_EQUAL(entries.size(), std::size_t{root ? 8u : 7u});
  const auto& f = entries.at("f");
  CHECK_EQUAL(f.mode, u32{S_IFREG | 0640});
  CHECK_EQUAL(f.size, 5u);
  CHECK_EQUAL(f.mtime_ns, -77);
  CHECK_EQUAL(f.flags, wire::kManifestLinks);
  CHECK_EQUAL(f.inode, entries.at("g").inode);
  CHECK_EQUAL(f.xattr_digest, 0u);
  CHECK_EQUAL(entries.at("x").xattr_digest, xattr_digest(attributes.data(), attributes.size()));
  CHECK_EQUAL(entries.at("x").flags, 0u);
  // The text is told as the source holds it, although it reads differently here (CAP-31).
  CHECK_EQUAL(read_link(link / "d/l"), link / "d/f");
  const std::string text = "/srv/source/d/f";
  CHECK_EQUAL(entries.at("l").detail, XXH3_64bits(text.data(), text.size()));
  CHECK_EQUAL(entries.at("l").size, text.size());
  CHECK_EQUAL(entries.at("sub").mode, u32{S_IFDIR | 0755});
  CHECK_EQUAL(entries.at("sub").flags, 0u);
  CHECK_EQUAL(entries.at("p").mode, u32{S_IFIFO | 0600});
  CHECK_EQUAL(entries.at("\xff\n").size, 3u);
  if (root) CHECK_EQUAL(entries.at("dev").detail, u64{makedev(1, 3)});
}

TEST("MIR-20: what cannot be listed is answered with its errno") {
  Link link;
  link.open();
  const std::string outside = link.scratch / "outside";
  CHECK(Scratch::run("mkdir '" + outside + "' && ln -s '" + outside + "' '" + (link / "l") + "'"));
  link.must({file_op("f", "x"), mkdir_op("empty"), Op(OpKind::manifest, "gone").id(1), Op(OpKind::manifest, "f").id(2),
             Op(OpKind::manifest, "l").id(3), Op(OpKind::manifest, "empty").id(4), Op(OpKind::manifest, "").id(5),
             Op(OpKind::hashes, "gone").id(6).args(4'096), Op(OpKind::hashes, "empty").id(7).args(4'096),
             Op(OpKind::hashes, "l").id(8).args(4'096), Op(OpKind::digest, "gone").id(9)});
  const auto error = [&](u64 id) { return link.wait_replies(id).back().header.error; };
  CHECK_EQUAL(error(1), u32{ENOENT});
  CHECK_EQUAL(error(2), u32{ENOTDIR});
  CHECK(error(3) == ELOOP || error(3) == ENOTDIR);
  CHECK_EQUAL(entries_of(link.wait_replies(4)).size(), std::size_t{0});
  CHECK_EQUAL(entries_of(link.wait_replies(5)).size(), std::size_t{3});
  CHECK_EQUAL(error(6), u32{ENOENT});
  CHECK_EQUAL(error(7), u32{EISDIR});
  CHECK(error(8) != 0);
  CHECK_EQUAL(error(9), u32{ENOENT});
  CHECK(link.naks().empty());
}

TEST("MIR-20: a huge directory comes in several replies, complete") {
  Link link;
  link.open();
  link.must({mkdir_op("d")});
  const std::string tail(200, 't');
  const u32 count = 20'000;
  for (u32 i = 0; i < count;) {
    BatchWriter writer;
    writer.begin();
    for (; i < count && add(writer, file_op("d/" + std::to_string(i) + tail, "", wire::kOpFresh)); ++i) {}
    CHECK_OK(link.receiver->receive(writer.close(++link.sequence, 0, 0, 0)));
  }
  link.must({Op(OpKind::manifest, "d").id(3)});
  const auto replies = link.wait_replies(3);
  CHECK(replies.size() >= 2);
  for (const SentReply& reply : replies) CHECK(reply.body.size() <= (4u << 20));
  CHECK_EQUAL(entries_of(replies).size(), std::size_t{count});
}

TEST("MIR-24: block hashes of every size of block and file, the last one short") {
  Link link;
  link.open();
  std::string text;
  Random random(3);
  while (text.size() < 1'300'000) {
    const u64 word = random.next();
    text.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  u64 id = 1;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4'096}, std::size_t{4'097}, text.size()}) {
    write_file(link / "f", std::string_view(text).substr(0, size));
    for (const u64 block : {u64{512}, u64{4'096}, u64{100'000}, u64{256u << 10}, u64{600'000}, u64{1} << 30}) {
      ++id;
      link.must({Op(OpKind::hashes, "f").id(id).args(block)});
      std::vector<u64> expected, got;
      for (std::size_t at = 0; at < size; at += block) {
        expected.push_back(XXH3_64bits(text.data() + at, std::min<std::size_t>(block, size - at)));
      }
      for (const SentReply& reply : link.wait_replies(id)) {
        CHECK_EQUAL(reply.header.arg0, got.size());
        CHECK_EQUAL(reply.header.arg1, size);
        CHECK(reply.body.size() % 8 == 0 && reply.body.size() <= (1u << 20));
        const std::size_t before = got.size();
        got.resize(before + reply.body.size() / 8);
        if (!reply.body.empty()) std::memcpy(got.data() + before, reply.body.data(), reply.body.size());
      }
      CHECK(got == expected);
    }
  }
}

TEST("MIR-24: hashes of a large file come in replies of at most 1 MiB") {
  Link link;
  link.open();
  link.must({Op(OpKind::create, "f"), Op(OpKind::truncate, "f").args(u64{96} << 20)});
  link.must({Op(OpKind::hashes, "f").id(5).args(512)});
  const auto replies = link.wait_replies(5);
  CHECK_EQUAL(replies.size(), std::size_t{2});
  CHECK_EQUAL(replies[0].body.size(), std::size_t{1} << 20);
  CHECK_EQUAL(replies[1].header.arg0, u64{1} << 17);
  CHECK_EQUAL(replies[0].body.size() + replies[1].body.size(), (std::size_t{96} << 20) / 512 * 8);
}

TEST("I1: answers come in stream order: an answer tells exactly what was before it") {
  Link link;
  link.open();
  link.must({file_op("f", "one"), Op(OpKind::digest, "f").id(1), file_op("f", "three"), Op(OpKind::digest, "f").id(2),
             remove_op("f"), Op(OpKind::digest, "f").id(3), Op(OpKind::digest, "").id(4)});
  const auto digest = [&](u64 id) {
    const auto replies = link.wait_replies(id);
    CHECK_EQUAL(replies.size(), std::size_t{1});
    wire::DigestBody body{};
    if (replies[0].header.error == 0) {
      CHECK_EQUAL(replies[0].body.size(), sizeof body);
      std::memcpy(&body, replies[0].body.data(), sizeof body);
    } else {
      CHECK_EQUAL(replies[0].header.error, u32{ENOENT});
      body.entry.mode = ~0u;
    }
    return body;
  };
  const XXH128_hash_t one = XXH3_128bits("one", 3), three = XXH3_128bits("three", 5);
  CHECK_EQUAL(digest(1).content[0], one.low64);
  CHECK_EQUAL(digest(1).content[1], one.high64);
  CHECK_EQUAL(digest(2).content[0], three.low64);
  CHECK_EQUAL(digest(2).entry.size, 5u);
  CHECK_EQUAL(digest(3).entry.mode, ~0u);
  CHECK(S_ISDIR(digest(4).entry.mode));
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
