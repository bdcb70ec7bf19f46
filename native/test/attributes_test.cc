// Extended attributes, ACLs, capabilities, and what a target that is not root can keep (CAP-03, CAP-08).
#include "apply_support.h"
#include "xattr.h"

namespace understudy::test {
namespace {

using wire::OpKind;

std::string list_of(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_PATH | O_NOFOLLOW));
  auto list = read_xattrs(fd.get());
  CHECK_OK(list);
  return std::string(reinterpret_cast<const char*>(list->data()), list->size());
}

bool shell(const std::string& command) { return Scratch::run(command); }

TEST("CAP-03: extended attributes are made exactly those told, on every kind of object") {
  Target target;
  const bool root = ::geteuid() == 0;
  target.must(file_op("f", "x"));
  target.must(mkdir_op("d"));
  target.must(Op(OpKind::symlink, "s", "f"));
  target.must(Op(OpKind::mknod, "p").mode(S_IFIFO | 0644));
  const std::string both = xattr_list({{"user.a", "1"}, {"user.b", std::string(3'000, 'v')}});
  for (const char* name : {"f", "d", ""}) {
    target.twice(Op(OpKind::xattrs, name).text(both));
    CHECK(list_of(target / name) == both);
    target.must(Op(OpKind::xattrs, name).text(xattr_list({{"user.b", "changed"}, {"user.c", ""}})));
    CHECK_EQUAL(get_xattr(target / name, "user.a"), "<none>");
    CHECK_EQUAL(get_xattr(target / name, "user.b"), "changed");
    CHECK_EQUAL(get_xattr(target / name, "user.c"), "");
    target.must(Op(OpKind::xattrs, name));
    CHECK_EQUAL(list_of(target / name), "");
  }
  if (!root) return;
  for (const char* name : {"s", "p", "f", "d"}) {
    target.twice(Op(OpKind::xattrs, name).text(xattr_list({{"trusted.t", "T"}})));
    CHECK_EQUAL(get_xattr(target / name, "trusted.t"), "T");
  }
  target.must(Op(OpKind::xattrs, "s"));
  CHECK_EQUAL(get_xattr(target / "s", "trusted.t"), "<none>");
  CHECK_EQUAL(get_xattr(target / "f", "trusted.t"), "T");   // the link was not followed
}

TEST("CAP-03: lists read by descriptor, handle and name are the same canonical bytes") {
  Scratch scratch;
  write_file(scratch / "f", "x");
  CHECK(shell("setfattr -n user.zz -v 1 '" + (scratch / "f") + "' && setfattr -n user.aa -v 2 '" + (scratch / "f") + "'"));
  const Fd directory(::open(scratch.path().c_str(), O_RDONLY | O_DIRECTORY));
  const Fd handle(::openat(directory.get(), "f", O_PATH));
  const Fd file(::openat(directory.get(), "f", O_RDONLY));
  const std::string expected = xattr_list({{"user.aa", "2"}, {"user.zz", "1"}});
  const auto same = [&](Result<Bytes> list) {
    CHECK_OK(list);
    CHECK(std::string_view(reinterpret_cast<const char*>(list->data()), list->size()) == expected);
    CHECK(xattrs_valid(list->data(), list->size()));
  };
  same(read_xattrs(file.get()));
  same(read_xattrs(handle.get()));
  same(read_xattrs(directory.get(), "f"));
  auto digest = read_xattr_digest(directory.get(), "f");
  CHECK_OK(digest);
  CHECK(*digest == xattr_digest(expected.data(), expected.size()) && *digest != 0);
  auto none = read_xattr_digest(directory.get());
  CHECK(none && *none == 0);
}

TEST("CAP-03: POSIX ACLs travel, and an inherited ACL is not what the source said") {
  Target target;
  const std::string source = target.scratch / "source";
  CHECK(shell("mkdir '" + source + "' && setfacl -m u:1234:rwx,d:u:1234:rwx,d:g::rwx,d:m::rwx '" + source + "' && touch '" + source +
              "/f' && setfacl -m u:77:r '" + source + "/f'"));
  target.must(mkdir_op("d", stat_of(source).st_mode));
  target.must(Op(OpKind::xattrs, "d").text(list_of(source)));
  CHECK(list_of(target / "d") == list_of(source));
  CHECK_EQUAL(stat_of(target / "d").st_mode, stat_of(source).st_mode);
  // New objects below it begin without the ACL they inherit, and with the mode that was told.
  target.must(file_op("d/plain", "x", wire::kOpFresh).mode(0640));
  target.must(Op(OpKind::create, "d/created").mode(0640));
  target.must(mkdir_op("d/sub", 0750));
  target.must(Op(OpKind::mknod, "d/pipe").mode(S_IFIFO | 0640));
  for (const char* name : {"d/plain", "d/created", "d/sub", "d/pipe"}) CHECK_EQUAL(list_of(target / name), "");
  CHECK_EQUAL(stat_of(target / "d/plain").st_mode & 07777, 0640u);
  CHECK_EQUAL(stat_of(target / "d/sub").st_mode & 07777, 0750u);
  target.must(file_op("d/f", "x", wire::kOpFresh).mode(stat_of(source + "/f").st_mode));
  target.must(Op(OpKind::xattrs, "d/f").text(list_of(source + "/f")));
  CHECK(list_of(target / "d/f") == list_of(source + "/f"));
  CHECK_EQUAL(stat_of(target / "d/f").st_mode, stat_of(source + "/f").st_mode);
  // The default ACL goes: the next file needs no undressing.
  target.must(Op(OpKind::xattrs, "d"));
  target.must(file_op("d/later", "x", wire::kOpFresh).mode(0666));
  CHECK_EQUAL(stat_of(target / "d/later").st_mode & 07777, 0666u);
}

TEST("CAP-03: file capabilities survive a change of owner") {
  if (skip_unless_root("sets file capabilities")) return;
  Target target;
  target.must(file_op("f", "x"));
  // cap_net_raw+ep, version 2.
  const std::string capability("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  target.must(Op(OpKind::xattrs, "f").text(xattr_list({{"security.capability", capability}})));
  CHECK(get_xattr(target / "f", "security.capability") == capability);
  target.must(Op(OpKind::setattr, "f").owner(5, 6).mode(0755));
  CHECK_EQUAL(stat_of(target / "f").st_uid, 5u);
  CHECK(get_xattr(target / "f", "security.capability") == capability);
}

// Runs as somebody who is not root; the exit status says whether all checks held.
void as_nobody(Target& target, const std::function<void()>& body) {
  CHECK(shell("chmod 755 '" + target.scratch.path() + "' && chown -R 65534:65534 '" + target.root + "'"));
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST("CAP-08: a target that is not root keeps what it can, counts the rest and says it once") {
  if (skip_unless_root("has to give up being root")) return;
  Target outer;
  as_nobody(outer, [&] {
    std::vector<std::string> notes;
    Evidence evidence;
    auto roots = Roots::open({{outer.root, ""}});
    CHECK_OK(roots);
    Applier applier(roots->descriptors(), {}, &evidence,
                    [&](const char* kind, std::string detail, SysError) { notes.push_back(kind + (" " + detail)); });
    applier.adopt_thread();
    const auto must = [&](const Op& op) {
      const Bytes batch = batch_of(1, {op});
      auto reader = BatchReader::open(batch.data(), batch.size(), 1);
      CHECK_OK(reader);
      OpView view;
      CHECK(reader->next(view));
      CHECK_OK(applier.apply(view, 1, false));
    };
    must(file_op("f", "x").owner(0, 0).mode(06755));
    CHECK_EQUAL(read_file(outer / "f"), "x");
    CHECK_EQUAL(stat_of(outer / "f").st_uid, 65534u);
    CHECK_EQUAL(stat_of(outer / "f").st_mode & 07777, 0755u);   // set-user-ID would lend the wrong user's rights
    must(mkdir_op("d").owner(1, 1));
    must(Op(OpKind::symlink, "s", "t").owner(1, 1));
    must(Op(OpKind::mknod, "dev").mode(S_IFCHR | 0600).args(0, 259));
    CHECK(!exists(outer / "dev"));
    must(Op(OpKind::xattrs, "f").text(xattr_list({{"trusted.t", "T"}, {"user.u", "U"}})));
    CHECK_EQUAL(get_xattr(outer / "f", "user.u"), "U");
    must(file_op("ro", "first").owner(65534, 65534).mode(0444));
    must(file_op("ro", "second").owner(65534, 65534).mode(0444));
    must(write_op("ro", 0, "S"));
    CHECK_EQUAL(read_file(outer / "ro"), "Second");
    CHECK_EQUAL(stat_of(outer / "ro").st_mode & 07777, 0444u);
    CHECK_EQUAL(notes.size(), std::size_t{3});
    CHECK_EQUAL(notes[0], "ownership_not_preserved f");
    CHECK_EQUAL(notes[1], "node_not_created dev");
    CHECK_EQUAL(notes[2], "attribute_not_preserved f");
    CHECK(applier.not_preserved() >= 5);
  });
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
