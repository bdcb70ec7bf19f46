// Every kind of operation, what it replaces, and what it leaves alone (CAP-01, CAP-03, CAP-12, DESIGN 5).
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <thread>

#include "apply_support.h"
#include "xattr.h"

namespace understudy::test {
namespace {

using wire::OpKind;

// Puts one object of each kind at `name` in turn; `then` must get rid of it.
void over_everything(Target& target, const std::string& name, const std::function<void(const char* what)>& then) {
  const std::string path = target / name;
  Scratch::run("rm -rf '" + path + "'");
  then("nothing");
  Scratch::run("rm -rf '" + path + "' && echo old contents which are longer > '" + path + "'");
  then("file");
  Scratch::run("rm -rf '" + path + "' && mkdir -p '" + path + "/a/b/c' && touch '" + path + "/a/f' '" + path + "/a/b/g'");
  then("full directory");
  Scratch::run("rm -rf '" + path + "' && mkdir '" + path + "'");
  then("empty directory");
  Scratch::run("rm -rf '" + path + "' && ln -s /nonexistent '" + path + "'");
  then("dangling link");
  Scratch::run("rm -rf '" + path + "' && mkfifo '" + path + "'");
  then("fifo");
}

TEST("CAP-12: file makes exactly this file of whatever was there") {
  Target target;
  for (const u8 flags : {u8{0}, wire::kOpFresh, wire::kOpReplace}) {
    over_everything(target, "x", [&](const char*) {
      target.twice(file_op("x", "exactly this", flags).mode(0640).mtime(-5));
      CHECK_EQUAL(read_file(target / "x"), "exactly this");
      CHECK_EQUAL(stat_of(target / "x").st_mode, mode_t{S_IFREG | 0640});
      CHECK_EQUAL(mtime_of(target / "x"), -5);
    });
  }
}

TEST("CAP-12: every mode arrives, with and without a umask of our own") {
  ::umask(077);
  for (const bool own : {false, true}) {
    Target target(own);
    for (const u32 mode : {0u, 0400u, 0644u, 0777u, 0666u, 01777u, 04755u, 02755u, 06777u}) {
      target.must(file_op("f", "x", wire::kOpReplace).mode(mode));
      CHECK_EQUAL(stat_of(target / "f").st_mode & 07777, mode);
      target.must(remove_op("d"));
      target.must(mkdir_op("d", mode));
      CHECK_EQUAL(stat_of(target / "d").st_mode & 07777, mode);
      target.must(Op(OpKind::setattr, "f").mode(mode ^ 0111));
      CHECK_EQUAL(stat_of(target / "f").st_mode & 07777, mode ^ 0111);
    }
  }
}

TEST("CAP-03: owners, setuid after the owner, nanosecond times, also before 1970") {
  if (skip_unless_root("changes owners")) return;
  Target target;
  target.must(file_op("f", "x", wire::kOpFresh).owner(1234, 2345).mode(04711).mtime(1'700'000'000'123'456'789));
  struct stat status = stat_of(target / "f");
  CHECK_EQUAL(status.st_uid, 1234u);
  CHECK_EQUAL(status.st_gid, 2345u);
  CHECK_EQUAL(status.st_mode & 07777, 04711u);
  CHECK_EQUAL(mtime_of(target / "f"), 1'700'000'000'123'456'789);
  target.must(Op(OpKind::setattr, "f").owner(7, 8).mode(06755).mtime(-1'500'000'001));
  status = stat_of(target / "f");
  CHECK_EQUAL(status.st_uid, 7u);
  CHECK_EQUAL(status.st_mode & 07777, 06755u);
  CHECK_EQUAL(mtime_of(target / "f"), -1'500'000'001);
  target.must(Op(OpKind::setattr, "f").owner(7, 8).mode(0600).mtime(5).flags(wire::kOpNoTimes));
  CHECK_EQUAL(mtime_of(target / "f"), -1'500'000'001);
  target.must(mkdir_op("g", 02775).owner(9, 10));
  target.must(file_op("g/inherits", "x", wire::kOpFresh).owner(0, 0));
  CHECK_EQUAL(stat_of(target / "g/inherits").st_gid, 0u);
  target.must(mkdir_op("g/sub", 0755).owner(0, 0));
  CHECK_EQUAL(stat_of(target / "g/sub").st_mode & 07777, 0755u);
  CHECK_EQUAL(stat_of(target / "g/sub").st_gid, 0u);
}

TEST("CAP-12: file without kOpReplace writes through a hard link, with it leaves the other name alone") {
  Target target;
  target.must(file_op("a", "first contents"));
  target.twice(Op(OpKind::link, "b", "a"));
  CHECK_EQUAL(stat_of(target / "a").st_ino, stat_of(target / "b").st_ino);
  target.must(file_op("a", "second"));
  CHECK_EQUAL(read_file(target / "b"), "second");
  target.must(file_op("a", "third", wire::kOpReplace));
  CHECK_EQUAL(read_file(target / "a"), "third");
  CHECK_EQUAL(read_file(target / "b"), "second");
}

TEST("CAP-12: create, writes, truncate and punch build a file; create keeps contents unless told") {
  Target target;
  for (const u8 flags : {u8{0}, wire::kOpFresh, wire::kOpReplace}) {
    over_everything(target, "big", [&](const char* what) {
      target.must(Op(OpKind::create, "big").flags(flags | wire::kOpTruncate).args(300'000));
      CHECK_EQUAL(stat_of(target / "big").st_mode, mode_t{S_IFREG | 0600});
      CHECK_EQUAL(stat_of(target / "big").st_size, 0);
      target.must(write_op("big", 0, std::string(100'000, 'a')));
      target.must(write_op("big", 200'000, std::string(100'000, 'b')));
      target.must(Op(OpKind::punch, "big").args(0, 65'536));
      target.must(Op(OpKind::truncate, "big").args(250'000));
      target.must(Op(OpKind::setattr, "big").mode(0644).mtime(99));
      std::string expected(250'000, '\0');
      std::fill(expected.begin() + 65'536, expected.begin() + 100'000, 'a');
      std::fill(expected.begin() + 200'000, expected.end(), 'b');
      if (read_file(target / "big") != expected) failed(__FILE__, __LINE__, std::string("contents over ") + what);
      CHECK_EQUAL(mtime_of(target / "big"), 99);
    });
  }
  target.must(Op(OpKind::create, "big"));
  CHECK_EQUAL(stat_of(target / "big").st_size, 250'000);
  CHECK_EQUAL(stat_of(target / "big").st_mode & 07777, 0600u);
}

TEST("CAP-09: a punched range takes no space and a hole stays a hole") {
  Target target;
  target.must(write_op("s", 0, std::string(1 << 20, 'x')));
  target.must(Op(OpKind::truncate, "s").args(u64{1} << 30));
  target.must(Op(OpKind::punch, "s").args(0, 1 << 20));
  target.applier->settle();
  CHECK_EQUAL(stat_of(target / "s").st_size, 1 << 30);
  CHECK(stat_of(target / "s").st_blocks < 64);
}

TEST("CAP-12: content operations never follow or replace what is no file") {
  Target target;
  const std::string outside = target.scratch / "outside";
  write_file(outside, "untouched");
  Scratch::run("ln -s '" + outside + "' '" + (target / "link") + "'; mkdir '" + (target / "dir") + "'; mkfifo '" +
               (target / "pipe") + "'");
  for (const char* name : {"link", "dir", "pipe"}) {
    CHECK(!target.apply(write_op(name, 0, "evil")));
    CHECK(!target.apply(Op(OpKind::truncate, name).args(0)));
    CHECK(!target.apply(Op(OpKind::punch, name).args(0, 10)));
  }
  CHECK_EQUAL(read_file(outside), "untouched");
  target.must(write_op("missing", 3, "abc"));
  CHECK_EQUAL(read_file(target / "missing"), std::string("\0\0\0abc", 6));
  CHECK_ERROR(target.apply(Op(OpKind::truncate, "missing2").args(0)), ENOENT);
  CHECK_ERROR(target.apply(Op(OpKind::setattr, "missing2")), ENOENT);
  CHECK_ERROR(target.apply(file_op("no/parent", "x")), ENOENT);
}

TEST("I5: a link planted on the target is not written through, neither as parent nor as the last name") {
  Target target;
  const std::string outside = target.scratch / "outside";
  Scratch::run("mkdir '" + outside + "' && echo secret > '" + outside + "/f' && chmod 604 '" + outside + "/f'");
  target.must(mkdir_op("d"));
  target.must(file_op("d/f", "fine"));
  Scratch::run("rm -r '" + (target / "d") + "' && ln -s '" + outside + "' '" + (target / "d") + "'");
  target.applier->forget_directories();
  for (const Op& op : {file_op("d/f", "evil"), write_op("d/f", 0, "evil"), mkdir_op("d/x"), Op(OpKind::mknod, "d/p").mode(S_IFIFO | 0600),
                       Op(OpKind::symlink, "d/s", "t"), Op(OpKind::setattr, "d/f").mode(0777), rename_op("d/f", "stolen"),
                       Op(OpKind::link, "stolen", "d/f"), Op(OpKind::xattrs, "d/f").text(xattr_list({{"user.a", "b"}}))}) {
    CHECK(!target.apply(op));
  }
  target.must(remove_op("d/f"));   // nothing exists there as far as the replica goes
  CHECK_EQUAL(read_file(outside + "/f"), "secret\n");
  CHECK(!exists(target / "stolen"));
  CHECK(!exists(outside + "/x") && !exists(outside + "/p") && !exists(outside + "/s"));
  target.must(mkdir_op("d"));      // the directory takes the link's place
  CHECK(S_ISDIR(stat_of(target / "d").st_mode));
  // The last name: attributes go to the link, contents replace it.
  Scratch::run("ln -s '" + outside + "/f' '" + (target / "l") + "'");
  target.must(Op(OpKind::setattr, "l").mode(0777).owner(::geteuid(), ::getegid()));
  CHECK_EQUAL(stat_of(outside + "/f").st_mode & 0777, 0604u);
  target.must(file_op("l", "own"));
  CHECK_EQUAL(read_file(outside + "/f"), "secret\n");
}

TEST("P6: a directory that must be there is not made, and what stands in its place stays") {
  Target target;
  const auto present = [](mode_t mode) { return mkdir_op("x", mode).flags(wire::kOpPresent); };
  CHECK_ERROR(target.apply(present(0751)), ENOENT);
  CHECK(!exists(target / "x"));
  target.must(file_op("x", "text"));
  CHECK_ERROR(target.apply(present(0751)), ENOTDIR);
  CHECK_EQUAL(read_file(target / "x"), "text");
  target.must(remove_op("x"));
  target.must(Op(OpKind::symlink, "x", "."));
  CHECK_ERROR(target.apply(present(0751)), ENOTDIR);
  target.must(mkdir_op("x", 0700));
  target.twice(present(0751));
  CHECK_EQUAL(stat_of(target / "x").st_mode, mode_t{S_IFDIR | 0751});
}

TEST("CAP-12: mkdir, symlink, mknod and link take the place of anything") {
  Target target;
  over_everything(target, "x", [&](const char* what) {
    const bool was_directory = std::strstr(what, "full") != nullptr;
    target.twice(mkdir_op("x", 0751));
    CHECK_EQUAL(stat_of(target / "x").st_mode, mode_t{S_IFDIR | 0751});
    if (was_directory) CHECK(exists(target / "x/a/b/g"));   // the same directory, with what it holds
  });
  over_everything(target, "x", [&](const char*) {
    target.twice(Op(OpKind::symlink, "x", "some/../text").mtime(77));
    CHECK_EQUAL(read_link(target / "x"), "some/../text");
    CHECK_EQUAL(mtime_of(target / "x"), 77);
  });
  over_everything(target, "x", [&](const char*) {
    target.twice(Op(OpKind::mknod, "x").mode(S_IFIFO | 0622).mtime(78));
    CHECK_EQUAL(stat_of(target / "x").st_mode, mode_t{S_IFIFO | 0622});
    CHECK_EQUAL(mtime_of(target / "x"), 78);
  });
  target.must(file_op("original", "o"));
  over_everything(target, "x", [&](const char*) {
    target.twice(Op(OpKind::link, "x", "original"));
    CHECK_EQUAL(stat_of(target / "x").st_ino, stat_of(target / "original").st_ino);
  });
  CHECK_ERROR(target.apply(Op(OpKind::link, "original", "nothing")), ENOENT);
  CHECK_EQUAL(read_file(target / "original"), "o");
  target.must(mkdir_op("dir"));
  CHECK(!target.apply(Op(OpKind::link, "original", "dir")));
  CHECK_EQUAL(read_file(target / "original"), "o");
}

TEST("I2: a name that a link, a symbolic link or a new file takes is never without one of both") {
  Target target;
  target.must(file_op("one", "first"));
  target.must(file_op("two", "second"));
  target.must(file_op("name", "first"));
  const std::string path = target / "name";
  std::atomic<bool> looking{true};
  std::atomic<u64> looks{0}, missed{0};
  std::thread watcher([&] {
    struct stat status;
    for (; looking; ++looks) missed += ::lstat(path.c_str(), &status) != 0;
  });
  for (int i = 0; i < 2'000; ++i) {
    target.must(Op(OpKind::link, "name", i % 2 ? "one" : "two"));
    target.must(Op(OpKind::symlink, "name", std::to_string(i)));
    target.must(file_op("name", "new " + std::to_string(i), wire::kOpReplace));
  }
  looking = false;
  watcher.join();
  CHECK(looks > 1'000);
  CHECK_EQUAL(missed.load(), 0u);
  CHECK_EQUAL(stat_of(target / "one").st_nlink, 1u);
}

TEST("CAP-01: devices") {
  if (skip_unless_root("makes device nodes")) return;
  Target target;
  over_everything(target, "x", [&](const char*) {
    target.twice(Op(OpKind::mknod, "x").mode(S_IFCHR | 0620).owner(0, 5).args(0, makedev(1, 3)));
    const struct stat status = stat_of(target / "x");
    CHECK_EQUAL(status.st_mode, mode_t{S_IFCHR | 0620});
    CHECK_EQUAL(status.st_rdev, makedev(1, 3));
    CHECK_EQUAL(status.st_gid, 5u);
  });
  target.must(Op(OpKind::mknod, "x").mode(S_IFCHR | 0620).args(0, makedev(1, 5)));
  CHECK_EQUAL(stat_of(target / "x").st_rdev, makedev(1, 5));
  target.must(Op(OpKind::mknod, "x").mode(S_IFBLK | 0600).args(0, makedev(7, 250)));
  CHECK_EQUAL(stat_of(target / "x").st_mode, mode_t{S_IFBLK | 0600});
  CHECK(!target.apply(write_op("x", 0, "never")));   // the device is not even opened
}

TEST("CAP-12: remove takes anything, deeper than any descriptor limit, and never follows") {
  Target target;
  over_everything(target, "x", [&](const char*) {
    target.twice(remove_op("x"));
    CHECK(!exists(target / "x"));
  });
  const std::string outside = target.scratch / "outside";
  Scratch::run("mkdir '" + outside + "' && touch '" + outside + "/keep'");
  target.must(mkdir_op("deep"));
  {
    Fd at(::open((target / "deep").c_str(), O_RDONLY | O_DIRECTORY));
    for (int i = 0; i < 700; ++i) {
      CHECK(::mkdirat(at.get(), "sub", 0755) == 0 && ::mkdirat(at.get(), "other", 0755) == 0);
      CHECK(::symlinkat(outside.c_str(), at.get(), "out") == 0);
      const Fd file(::openat(at.get(), "file", O_CREAT | O_WRONLY, 0644));
      at.reset(::openat(at.get(), "sub", O_RDONLY | O_DIRECTORY));
      CHECK(at);
    }
  }
  const Fd first_free(::dup(0));
  target.must(remove_op("deep"));
  const Fd still_free(::dup(0));
  CHECK_EQUAL(still_free.get(), first_free.get() + 1);   // no descriptor was left open
  CHECK(!exists(target / "deep"));
  CHECK(exists(outside + "/keep"));
  target.must(remove_op("never/was/there"));
  target.must(file_op("plain", "x"));
  target.must(remove_op("plain/below"));   // a file has nothing below it
  CHECK(exists(target / "plain"));
}

TEST("REP-13: with Ignore Delete Operations only removal is left out") {
  Target target;
  target.must(file_op("kept", "x"));
  target.applier->set_ignore_deletes(true);
  target.must(remove_op("kept"));
  CHECK(exists(target / "kept"));
  target.must(rename_op("kept", "moved"));
  CHECK(!exists(target / "kept") && exists(target / "moved"));
  target.must(mkdir_op("moved"));
  CHECK(S_ISDIR(stat_of(target / "moved").st_mode));
}

TEST("CAP-12: rename replaces anything at the new name") {
  Target target;
  over_everything(target, "to", [&](const char*) {
    target.must(file_op("from", "moved", wire::kOpReplace));
    target.must(rename_op("from", "to"));
    CHECK_EQUAL(read_file(target / "to"), "moved");
    CHECK(!exists(target / "from"));
  });
  over_everything(target, "to", [&](const char*) {
    target.must(mkdir_op("dir"));
    target.must(file_op("dir/inside", "in"));
    target.must(rename_op("dir", "to"));
    CHECK_EQUAL(read_file(target / "to/inside"), "in");
    CHECK(!exists(target / "dir"));
  });
  CHECK_ERROR(target.apply(rename_op("gone", "to")), ENOENT);
  CHECK(exists(target / "to/inside"));
}

TEST("CAP-12: a directory's old name is forgotten with its descriptors") {
  Target target;
  target.must(mkdir_op("a"));
  target.must(mkdir_op("a/b"));
  target.must(file_op("a/b/f", "1"));
  target.must(rename_op("a", "c"));
  target.must(mkdir_op("a"));
  target.must(mkdir_op("a/b"));
  target.must(file_op("a/b/f", "2"));
  CHECK_EQUAL(read_file(target / "a/b/f"), "2");
  CHECK_EQUAL(read_file(target / "c/b/f"), "1");
  target.must(remove_op("a"));
  CHECK_ERROR(target.apply(file_op("a/b/f", "3")), ENOENT);
  target.must(file_op("c/b/g", "4"));
  // Someone on this server moves a directory away and makes another one.
  Scratch::run("cd '" + target.root + "' && mv c elsewhere && mkdir -p c/b");
  target.applier->forget_directories();
  target.must(file_op("c/b/h", "5"));
  CHECK_EQUAL(read_file(target / "c/b/h"), "5");
  Scratch::run("rm -r '" + (target / "c") + "' && mkdir -p '" + (target / "c/b") + "'");
  target.must(file_op("c/b/i", "6"));   // the cached directory is dead; found again without being told
  CHECK_EQUAL(read_file(target / "c/b/i"), "6");
}

TEST("CAP-12: rename of one link onto another of the same file leaves one name") {
  Target target;
  target.must(file_op("a", "x"));
  target.must(Op(OpKind::link, "b", "a"));
  target.must(rename_op("a", "b"));
  CHECK(!exists(target / "a"));
  CHECK_EQUAL(stat_of(target / "b").st_nlink, 1u);
  target.must(rename_op("b", "b"));
  CHECK_EQUAL(read_file(target / "b"), "x");
}

TEST("CAP-12: a rename onto its own parent is refused and removes nothing") {
  Target target;
  target.must(mkdir_op("a"));
  target.must(mkdir_op("a/b"));
  target.must(file_op("a/b/f", "x"));
  CHECK(!target.apply(rename_op("a/b", "a")));
  CHECK(!target.apply(rename_op("a", "a/b/c")));
  CHECK(!target.apply(rename_op("a/b", "a", wire::kOpExchange)));
  CHECK(!target.apply(Op(OpKind::link, "a", "a/b/f")));
  CHECK_EQUAL(read_file(target / "a/b/f"), "x");
}

TEST("CAP-12: renames and links between mappings") {
  Target target;
  target.must(file_op("a", "x"));
  target.must(rename_op("a", "b").mapping(0, 1));
  CHECK_EQUAL(read_file(target.second + "/b"), "x");
  target.must(Op(OpKind::link, "c", "b").mapping(0, 1));
  CHECK_EQUAL(stat_of(target / "c").st_ino, stat_of(target.second + "/b").st_ino);
}

TEST("CAP-12: exchange swaps two names, of different kinds too") {
  Target target;
  target.must(file_op("a", "file"));
  target.must(mkdir_op("b"));
  target.must(file_op("b/inside", "in"));
  target.must(rename_op("a", "b", wire::kOpExchange));
  CHECK_EQUAL(read_file(target / "b"), "file");
  CHECK_EQUAL(read_file(target / "a/inside"), "in");
  CHECK_ERROR(target.apply(rename_op("a", "none", wire::kOpExchange)), ENOENT);
}

TEST("I2: the doubtful rename or exchange after a crash happens once") {
  Target target;
  target.must(file_op("a", "x"));
  target.must(rename_op("a", "b"));
  CHECK_OK(target.apply(rename_op("a", "b"), true));       // it had happened
  CHECK_EQUAL(read_file(target / "b"), "x");
  CHECK_ERROR(target.apply(rename_op("a", "b"), false), ENOENT);
  CHECK_OK(target.apply(rename_op("b", "c"), true));       // it had not
  CHECK_EQUAL(read_file(target / "c"), "x");
  CHECK_ERROR(target.apply(rename_op("d", "e"), true), ENOENT);   // neither name: the source must look

  target.must(file_op("p", "P"));
  target.must(file_op("q", "Q"));
  const Op swap = rename_op("p", "q", wire::kOpExchange);
  CHECK_OK(target.apply(swap, false, 500));
  CHECK_EQUAL(read_file(target / "p"), "Q");
  CHECK_OK(target.apply(swap, true, 500));                 // recorded, and done
  CHECK_EQUAL(read_file(target / "p"), "Q");
  CHECK_OK(target.apply(swap, true, 501));                 // nothing recorded of this one: it had not begun
  CHECK_EQUAL(read_file(target / "p"), "P");
  // The three-step road, stopped after each step.
  const u64 p = stat_of(target / "p").st_ino, q = stat_of(target / "q").st_ino;
  const std::string aside = target / ".understudy-swap-258";   // 600 in hexadecimal
  for (int step = 1; step <= 2; ++step) {
    target.must(file_op("p", "P"));
    target.must(file_op("q", "Q"));
    target.evidence = {600, stat_of(target / "p").st_ino, stat_of(target / "q").st_ino};
    CHECK(::rename((target / "p").c_str(), aside.c_str()) == 0);
    if (step == 2) CHECK(::rename((target / "q").c_str(), (target / "p").c_str()) == 0);
    CHECK_OK(target.apply(swap, true, 600));
    CHECK_EQUAL(read_file(target / "p"), "Q");
    CHECK_EQUAL(read_file(target / "q"), "P");
    CHECK(!exists(aside));
  }
  CHECK(p != q);
}

TEST("CAP-12: a running program is replaced beside, and the note says so") {
  Target target;
  Scratch::run("cp /bin/sleep '" + (target / "prog") + "' && chmod 755 '" + (target / "prog") + "'");
  const std::string before = read_file(target / "prog");
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl((target / "prog").c_str(), "prog", "30", nullptr);
    ::_exit(1);
  }
  const std::string link = "/proc/" + std::to_string(child) + "/exe";
  while (std::strstr(read_link(link).c_str(), "/root/prog") == nullptr) ::usleep(1'000);
  target.must(write_op("prog", 2, "XY"));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  std::string expected = before;
  expected.replace(2, 2, "XY");
  CHECK(read_file(target / "prog") == expected);
  CHECK_EQUAL(stat_of(target / "prog").st_mode & 07777, 0755u);
  CHECK_EQUAL(target.notes.size(), 1u);
  CHECK_EQUAL(target.notes[0], "busy_file_replaced prog");
}

TEST("CAP-10, CAP-18: names of any bytes and paths of 4094 bytes") {
  Target target;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/' || byte == '.') continue;
    const std::string name(1, static_cast<char>(byte));
    target.must(file_op(name, name, wire::kOpFresh));
    target.must(rename_op(name, name + "\n\xff"));
    target.must(remove_op(name + "\n\xff"));
  }
  std::string path;
  while (path.size() + 201 <= wire::kPathBytesMax) {
    path += std::string(200, 'p');
    target.must(mkdir_op(path));
    path += '/';
  }
  path += std::string(wire::kPathBytesMax - path.size(), 'q');
  CHECK_EQUAL(path.size(), std::size_t{4'094});
  target.must(file_op(path, "at the end"));
  target.must(write_op(path, 0, "AT"));
  target.must(Op(OpKind::setattr, path).mode(0600));
  target.must(Op(OpKind::xattrs, path).text(xattr_list({{"user.far", "away"}})));
  target.must(rename_op(path, "near"));
  CHECK_EQUAL(read_file(target / "near"), "AT the end");
  CHECK_EQUAL(get_xattr(target / "near", "user.far"), "away");
  target.must(remove_op(std::string(200, 'p')));
}

TEST("CAP-31..34: link texts inside a source root become target paths, others stay") {
  Scratch place;
  const std::string root = place / "replica", nested = place / "nested";
  Target target(true, {{root, "/srv/data"}, {nested, "/srv/data/deep/"}});
  const auto text_of = [&](std::string_view text) {
    target.must(Op(OpKind::symlink, "l", text));
    return read_link(root + "/l");
  };
  CHECK_EQUAL(text_of("/srv/data/x/y"), root + "/x/y");
  CHECK_EQUAL(text_of("/srv/data"), root);
  CHECK_EQUAL(text_of("/srv/data/deep/z"), nested + "/z");
  CHECK_EQUAL(text_of("/srv/database"), "/srv/database");
  CHECK_EQUAL(text_of("/elsewhere"), "/elsewhere");
  CHECK_EQUAL(text_of("srv/data/x"), "srv/data/x");
  const LinkMap map({{root, "/srv/data"}, {nested, "/srv/data/deep/"}}, true);
  for (const char* text : {"/srv/data/x/y", "/srv/data", "/srv/data/deep/z", "/srv/database", "relative"}) {
    CHECK_EQUAL(map.to_source(map.to_target(text)), text);
  }
  const LinkMap off({{root, "/srv/data"}}, false);
  CHECK_EQUAL(off.to_target("/srv/data/x"), "/srv/data/x");
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
