// VER: every property that a replica must have is compared, and nothing outside the trees is touched.
#include "compare_trees.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "check.h"

namespace understudy::test {
namespace {

// Two equal trees with one of everything.
class Pair {
 public:
  Pair() {
    make(left());
    CHECK(Scratch::run("cp -a '" + left() + "' '" + right() + "'"));
  }
  std::string left() const { return scratch_ / "left"; }
  std::string right() const { return scratch_ / "right"; }
  std::string outside() const { return scratch_ / "outside"; }
  TreeComparison compare(TreeComparisonOptions options = {}) const {
    Result<TreeComparison> result = compare_trees(left(), right(), options);
    CHECK_OK(result);
    return *result;
  }
  // Exactly one difference, and it names this.
  void expect(const std::string& text, TreeComparisonOptions options = {}) const {
    const TreeComparison result = compare(options);
    if (result.differing != 1 || result.differences.size() != 1) {
      std::string all;
      for (const std::string& line : result.differences) all += "\n  " + line;
      failed(__FILE__, __LINE__, std::to_string(result.differing) + " differences instead of: " + text + all);
    }
    CHECK_EQUAL(result.differences[0], text);
  }
  // Restores the time which a change to `name` moved.
  void same_time(const std::string& name) const {
    const struct stat status = stat_of(left() + "/" + name);
    const timespec times[2] = {status.st_atim, status.st_mtim};
    CHECK(::utimensat(AT_FDCWD, (right() + "/" + name).c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
  }

 private:
  static void make(const std::string& root) {
    CHECK(::mkdir(root.c_str(), 0755) == 0 && ::mkdir((root + "/sub").c_str(), 0750) == 0);
    write_file(root + "/file", "some text");
    write_file(root + "/sub/deep", std::string(3u << 20, 'x'));
    CHECK(::link((root + "/file").c_str(), (root + "/sub/linked").c_str()) == 0);
    CHECK(::symlink("file", (root + "/pointer").c_str()) == 0);
    CHECK(::mkfifo((root + "/pipe").c_str(), 0640) == 0);
    CHECK(::setxattr((root + "/sub/deep").c_str(), "user.colour", "blue", 4, 0) == 0);
  }
  Scratch scratch_;
};

TEST("VER: equal trees have no differences and are counted") {
  const Pair pair;
  const TreeComparison result = pair.compare();
  for (const std::string& line : result.differences) std::printf("%s\n", line.c_str());
  CHECK_EQUAL(result.differing, 0u);
  CHECK_EQUAL(result.files, 5u);
  CHECK_EQUAL(result.directories, 2u);
  CHECK_EQUAL(result.bytes, (3u << 20) + 18u);
}

TEST("VER: contents, also far into a file and when size and time agree") {
  const Pair pair;
  {
    const Fd fd(::open((pair.right() + "/sub/deep").c_str(), O_WRONLY));
    CHECK(::pwrite(fd.get(), "y", 1, 2'500'000) == 1);
  }
  pair.same_time("sub/deep");
  pair.expect("sub/deep: contents differ from byte 2500000");
  TreeComparisonOptions quick;
  quick.contents = false;
  CHECK_EQUAL(pair.compare(quick).differing, 0u);
}

TEST("VER: a hole against data is equal if the data are zero") {
  const Pair pair;
  for (const std::string& root : {pair.left(), pair.right()}) {
    write_file(root + "/sparse", "");
    CHECK(::truncate((root + "/sparse").c_str(), 64 << 20) == 0);
  }
  {
    const Fd fd(::open((pair.right() + "/sparse").c_str(), O_WRONLY));
    const std::string zeros(1 << 20, '\0');
    CHECK(::pwrite(fd.get(), zeros.data(), zeros.size(), 10 << 20) == 1 << 20);
  }
  pair.same_time("sparse");
  pair.same_time(".");
  CHECK_EQUAL(pair.compare().differing, 0u);
  {
    const Fd fd(::open((pair.right() + "/sparse").c_str(), O_WRONLY));
    CHECK(::pwrite(fd.get(), "z", 1, (40 << 20) + 5) == 1);
  }
  pair.same_time("sparse");
  pair.expect("sparse: contents differ from byte " + std::to_string((40 << 20) + 5));
}

TEST("VER: size, mode, times and attributes") {
  const Pair pair;
  write_file(pair.right() + "/sub/deep", "short");
  pair.same_time("sub/deep");
  pair.expect("sub/deep: size 3145728 is not 5");
  const Pair mode;
  CHECK(::chmod((mode.right() + "/pipe").c_str(), 0600) == 0);
  mode.expect("pipe: mode 0640 is not 0600");
  const Pair time;
  const timespec times[2] = {{0, UTIME_OMIT}, {1'000'000'000, 1}};
  CHECK(::utimensat(AT_FDCWD, (time.left() + "/pointer").c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
  time.same_time("pointer");
  const timespec later[2] = {{0, UTIME_OMIT}, {1'000'000'000, 2}};
  CHECK(::utimensat(AT_FDCWD, (time.right() + "/pointer").c_str(), later, AT_SYMLINK_NOFOLLOW) == 0);
  time.expect("pointer: time 1000000000.000000001 is not 1000000000.000000002");
  const Pair attribute;
  CHECK(::setxattr((attribute.right() + "/sub/deep").c_str(), "user.colour", "grey", 4, 0) == 0);
  attribute.expect("sub/deep: attribute user.colour differs");
  CHECK(::removexattr((attribute.right() + "/sub/deep").c_str(), "user.colour") == 0);
  attribute.expect("sub/deep: attribute user.colour only on the left");
}

TEST("VER: owners and device numbers") {
  if (skip_unless_root("chown, mknod")) return;
  const Pair pair;
  CHECK(::lchown((pair.right() + "/pointer").c_str(), 12, 13) == 0);
  pair.expect("pointer: owner 0:0 is not 12:13");
  TreeComparisonOptions options;
  options.owners = false;
  CHECK_EQUAL(pair.compare(options).differing, 0u);
  const Pair device;
  CHECK(::mknod((device.left() + "/node").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0);
  CHECK(::mknod((device.right() + "/node").c_str(), S_IFCHR | 0600, makedev(1, 5)) == 0);
  device.same_time("node");
  device.same_time(".");
  device.expect("node: device 1:3 is not 1:5");
}

TEST("VER: missing names, kinds, targets and directory times") {
  const Pair pair;
  CHECK(::unlink((pair.right() + "/sub/deep").c_str()) == 0);
  pair.same_time("sub");
  pair.expect("sub/deep: only on the left");
  const Pair extra;
  write_file(extra.right() + "/more", "");
  TreeComparisonOptions no_directory_times;
  no_directory_times.directory_times = false;
  extra.expect("more: only on the right", no_directory_times);
  CHECK_EQUAL(extra.compare().differing, 2u);
  const Pair kind;
  CHECK(::unlink((kind.right() + "/pipe").c_str()) == 0 && ::mkdir((kind.right() + "/pipe").c_str(), 0640) == 0);
  kind.expect("pipe: fifo is not directory", no_directory_times);
  const Pair target;
  CHECK(::unlink((target.right() + "/pointer").c_str()) == 0);
  CHECK(::symlink("/etc/passwd", (target.right() + "/pointer").c_str()) == 0);
  target.same_time("pointer");
  target.expect("pointer: points to file, not to /etc/passwd", no_directory_times);
}

TEST("VER: which names are hard links of each other") {
  const Pair pair;
  CHECK(::unlink((pair.right() + "/sub/linked").c_str()) == 0);
  CHECK(Scratch::run("cp -a '" + pair.right() + "/file' '" + pair.right() + "/sub/linked'"));
  pair.same_time("sub");
  pair.expect("sub/linked: linked to other names on the left, not on the right");
}

TEST("I5: a symlink in place of a directory is not followed") {
  const Pair pair;
  CHECK(Scratch::run("mv '" + pair.right() + "/sub' '" + pair.outside() + "' && ln -s '" + pair.outside() + "' '" +
                     pair.right() + "/sub'"));
  TreeComparisonOptions options;
  options.directory_times = false;
  pair.expect("sub: directory is not symlink", options);
}

TEST("VER: texts are bounded, counts are not, names are safe on a terminal") {
  const Pair pair;
  for (int i = 0; i < 50; ++i) write_file(pair.right() + "/extra" + std::to_string(i), "");
  TreeComparisonOptions options;
  options.differences_max = 7;
  options.directory_times = false;
  const TreeComparison result = pair.compare(options);
  CHECK_EQUAL(result.differing, 50u);
  CHECK_EQUAL(result.differences.size(), 7u);
  CHECK_EQUAL(escape_name("plain \xC3\xA4\xE2\x82\xAC \xF0\x9F\x90\x8D"), "plain \xC3\xA4\xE2\x82\xAC \xF0\x9F\x90\x8D");
  CHECK_EQUAL(escape_name("a\nb\x1B[2J\\\x7F"), "a\\nb\\x1B[2J\\\\\\x7F");
  CHECK_EQUAL(escape_name("\xFF\xC3(\xE2\x82"), "\\xFF\\xC3(\\xE2\\x82");
  CHECK_EQUAL(escape_name("\xC2\x9B" "1m\xE2\x80\xAEgpj.exe"), "\\xC2\\x9B1m\\xE2\\x80\\xAEgpj.exe");
}

TEST("VER: a path longer than the system's limit is compared") {
  const Scratch scratch;
  const std::string name(200, 'n');
  for (const char* side : {"left", "right"}) {
    CHECK(::mkdir((scratch / side).c_str(), 0755) == 0);
    Fd at(::open((scratch / side).c_str(), O_RDONLY | O_DIRECTORY));
    for (int depth = 0; depth < 30; ++depth) {
      CHECK(::mkdirat(at.get(), name.c_str(), 0755) == 0);
      at.reset(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
      CHECK(at.get() >= 0);
    }
    const Fd file(::openat(at.get(), "end", O_WRONLY | O_CREAT, 0644));
    CHECK(::write(file.get(), side, 4) == 4);
    const timespec times[2] = {{1, 0}, {1, 0}};
    CHECK(::futimens(file.get(), times) == 0);
  }
  TreeComparisonOptions options;
  options.directory_times = false;
  Result<TreeComparison> result = compare_trees(scratch / "left", scratch / "right", options);
  CHECK_OK(result);
  CHECK_EQUAL(result->directories, 31u);
  CHECK_EQUAL(result->differing, 1u);
  CHECK(result->differences[0].ends_with("/end: contents differ from byte 0"));
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
