// Opening beneath a root, with and without openat2; removal beside mounts; lost writes (I2, I5).
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "apply_support.h"
#include "receiver_support.h"
#include "remove_tree.h"

namespace understudy::test {
namespace {

using wire::OpKind;

bool shell(const std::string& command) { return Scratch::run(command); }

void check_beneath(const std::string& scratch) {
  const std::string root = scratch + "/r";
  const Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY));
  CHECK(fd);
  const auto code = [&](const char* path) {
    auto opened = open_directory_beneath(fd.get(), path, O_PATH);
    return opened ? 0 : opened.error().code;
  };
  CHECK_EQUAL(code(""), 0);
  CHECK_EQUAL(code("a"), 0);
  CHECK_EQUAL(code("a/b"), 0);
  CHECK_EQUAL(code("a/none"), ENOENT);
  CHECK_EQUAL(code("none/b"), ENOENT);
  CHECK_EQUAL(code("file"), ENOTDIR);
  CHECK_EQUAL(code("file/x"), ENOTDIR);
  for (const char* path : {"out", "out/secret", "a/up", "in", "in/b", "a/proc"}) {
    const int refused = code(path);
    if (refused != ELOOP && refused != ENOTDIR && refused != EXDEV) failed(__FILE__, __LINE__, std::string("opened ") + path);
  }
}

void make_beneath(const std::string& scratch) {
  CHECK(shell("cd '" + scratch + "' && mkdir -p r/a/b outside/secret && touch r/file && ln -s ../outside r/out && ln -s ../../outside r/a/up"
              " && ln -s a r/in && ln -s /proc/self/cwd r/a/proc"));
}

TEST("I5: directories open beneath the root only, never by a link") {
  Scratch scratch;
  make_beneath(scratch.path());
  check_beneath(scratch.path());
}

// From here on the process has no openat2, as on kernels before 5.6.
bool forbid_openat2() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST("I5: the same where the kernel has no openat2") {
  Scratch scratch;
  make_beneath(scratch.path());
  const pid_t child = ::fork();
  if (child == 0) {
    if (!forbid_openat2()) ::_exit(77);
    check_beneath(scratch.path());
    const Fd fd(::open((scratch / "r").c_str(), O_RDONLY | O_DIRECTORY));
    auto removed = remove_tree(fd.get(), "a");
    CHECK_OK(removed);
    CHECK(removed->directory);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    std::printf("SKIP: needs seccomp filters\n");
    return;
  }
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(!exists(scratch / "r/a"));
  CHECK(exists(scratch / "outside/secret"));
}

TEST("I8: however many directories are used, the descriptors stay few") {
  Target target;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "d" + std::to_string(i);
    target.must(mkdir_op(name));
    target.must(file_op(name + "/f", "x"));
  }
  for (int i = 0; i < 300; ++i) {
    const std::string name = "d" + std::to_string(i), other = "d" + std::to_string((i * 7 + 1) % 300);
    target.must(Op(OpKind::link, other + "/l" + std::to_string(i), name + "/f"));
  }
  const Fd next(::dup(0));
  CHECK(next.get() < 64 + 12);
  target.applier->forget_directories();
  for (int i = 0; i < 300; ++i) {
    CHECK_EQUAL(stat_of(target / ("d" + std::to_string((i * 7 + 1) % 300) + "/l" + std::to_string(i))).st_ino,
                stat_of(target / ("d" + std::to_string(i) + "/f")).st_ino);
  }
}

TEST("I5: removal stops at a mount and takes nothing of what is mounted") {
  if (skip_unless_root("mounts a tmpfs")) return;
  Target target;
  target.must(mkdir_op("d"));
  target.must(mkdir_op("d/m"));
  target.must(file_op("d/f", "x"));
  CHECK(::mount("tmpfs", (target / "d/m").c_str(), "tmpfs", 0, "size=1m") == 0);
  write_file(target / "d/m/precious", "p");
  CHECK_ERROR(target.apply(remove_op("d")), EBUSY);
  CHECK_EQUAL(read_file(target / "d/m/precious"), "p");
  CHECK_ERROR(target.apply(file_op("d", "x")), EBUSY);
  target.applier->forget_directories();
  CHECK(::umount((target / "d/m").c_str()) == 0);
  target.must(remove_op("d"));
}

// The image of the file system lies on another one which is too small for it: what was written is lost afterwards, in
// the background, as on a disk that dies.
TEST("I2: after lost writes the stream is refused, so that the source mirrors under a new one") {
  if (skip_unless_root("mounts a failing disk")) return;
  Link link;
  const std::string small = link.scratch / "small", mount = link.scratch / "mounted";
  CHECK(shell("mkdir '" + small + "' '" + mount + "' && mount -t tmpfs -o size=6m tmpfs '" + small + "'"));
  if (!shell("truncate -s 64M '" + small + "/image' && mkfs.ext4 -q -m0 -O ^has_journal '" + small + "/image' && mount -o loop,errors=continue '" +
             small + "/image' '" + mount + "'")) {
    shell("umount '" + small + "'");
    std::printf("SKIP: needs loop devices\n");
    return;
  }
  link.options.roots[0].path = mount + "/root";
  link.options.checkpoint_ms = 1'000'000;
  link.open();
  link.must({file_op("f", "x"), Op(OpKind::checkpoint)});
  CHECK_EQUAL(link.ack().durable, 1u);
  for (u64 i = 0; i < 12; ++i) CHECK_OK(link.send({write_op("big", i << 20, std::string(1 << 20, 'b'))}));
  CHECK_OK(link.send({Op(OpKind::checkpoint)}));
  link.wait_report("checkpoint_failed ");
  CHECK_ERROR(link.send({file_op("g", "y")}), EPROTO);
  for (const bool restarted : {false, true}) {
    if (restarted) link.open(0);
    CHECK_EQUAL(link.receiver->statistics().durable, 0u);
    wire::StreamPosition hello{};
    hello.stream = 1;
    hello.applied = 12;
    const auto position = link.receiver->position(hello);
    CHECK_EQUAL(position.stream, 0u);
    CHECK_EQUAL(position.applied, 0u);
    CHECK_EQUAL(position.flags, wire::kPositionFresh);
    CHECK_ERROR(link.send({file_op("g", "y")}), EPROTO);
  }
  CHECK(shell("rm -f '" + mount + "/root/big'"));
  link.open(2);
  CHECK_OK(link.send({file_op("g", "y")}));
  link.receiver.reset();
  shell("umount '" + mount + "'; umount '" + small + "'");
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
