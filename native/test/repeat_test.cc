// DESIGN 5: an operation states a fact. A target which repeats every operation, as if each were the one in doubt
// after a crash, must hold the same tree as one which applies each once; and an operation that is refused is refused
// by both. Random operations on few names, so that types change and names collide all the time.
//
// Usage: repeat_test [case]; UNDERSTUDY_SEED=n runs one seed only.
#include <dirent.h>

#include <map>

#include "apply_support.h"
#include "xattr.h"

namespace understudy::test {
namespace {

using wire::OpKind;

std::string random_path(Random& random) {
  static const char* const kNames[] = {"a", "b", "c"};
  std::string path = kNames[random.below(3)];
  for (u64 depth = random.below(3); depth > 0; --depth) path += std::string("/") + kNames[random.below(3)];
  return path;
}

Op random_op(Random& random, u64 step) {
  const std::string path = random_path(random), other = random_path(random);
  const u8 flags = random.below(3) == 0 ? wire::kOpFresh : random.below(3) == 0 ? wire::kOpReplace : 0;
  const u32 mode = static_cast<u32>(random.below(01000));
  const i64 mtime = static_cast<i64>(step) * 1'000'000'007;
  const std::string text(random.below(3) == 0 ? 20'000 : random.below(30), static_cast<char>('a' + step % 26));
  switch (random.below(16)) {
    case 0: case 1: case 2: return mkdir_op(path, mode | 0700);
    case 3: case 4: return file_op(path, text, flags).mode(mode).mtime(mtime);
    case 5: return Op(OpKind::create, path).flags(flags | (random.below(2) ? wire::kOpTruncate : 0));
    case 6: return write_op(path, random.below(40'000), text);
    case 7: return Op(OpKind::truncate, path).args(random.below(50'000));
    case 8: return Op(OpKind::punch, path).args(random.below(9'000), 1 + random.below(9'000));
    case 9: return Op(OpKind::setattr, path).mode(mode | 0700).mtime(mtime);
    case 10: return Op(OpKind::symlink, path, other).mtime(mtime);
    case 11: return Op(OpKind::link, path, other).flags(flags);
    case 12: return Op(OpKind::mknod, path).mode(S_IFIFO | mode).mtime(mtime);
    case 13: return remove_op(path);
    case 14: return rename_op(path, other, random.below(3) == 0 ? wire::kOpExchange : u8{0});
    default: return Op(OpKind::xattrs, path).text(random.below(2) ? xattr_list({{"user.x", std::to_string(step)}}) : "");
  }
}

// Everything a replica shows: one line per name, sorted.
void list(const std::string& base, const std::string& below, std::map<std::string, std::string>& lines) {
  DIR* directory = ::opendir((base + below).c_str());
  CHECK(directory != nullptr);
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = below + "/" + name, full = base + path;
    const struct stat status = stat_of(full);
    std::string line = std::to_string(status.st_mode) + " " + std::to_string(S_ISDIR(status.st_mode) ? 0 : status.st_nlink);
    if (S_ISREG(status.st_mode)) line += " " + read_file(full);
    if (S_ISLNK(status.st_mode)) line += " " + read_link(full);
    else line += " " + get_xattr(full, "user.x");
    lines[path] = line;
    if (S_ISDIR(status.st_mode)) list(base, path, lines);
  }
  ::closedir(directory);
}

void run_seed(u64 seed, int steps) {
  Target once, repeated;
  Random random(seed);
  u64 done = 0;
  for (int step = 0; step < steps; ++step) {
    const Op op = random_op(random, static_cast<u64>(step));
    const u64 id = static_cast<u64>(step) + 1;
    auto first = once.apply(op, false, id);
    auto second = repeated.apply(op, false, id);
    const std::string what = "seed " + std::to_string(seed) + " step " + std::to_string(step) + " kind " +
                             std::to_string(op.header.kind) + " " + op.path + " " + op.path2;
    if (static_cast<bool>(first) != static_cast<bool>(second) || (!first && first.error().code != second.error().code)) {
      failed(__FILE__, __LINE__, what + ": differing outcome");
    }
    if (first) {
      ++done;
      auto again = repeated.apply(op, true, id);
      if (!again) failed(__FILE__, __LINE__, what + ": the repeated operation failed in " + again.error().call);
    }
    if (random.below(4) == 0) once.applier->settle();
    if (random.below(4) == 0) repeated.applier->forget_directories();
    if (step % 40 != 39) continue;
    once.applier->settle();
    repeated.applier->settle();
    std::map<std::string, std::string> left, right;
    list(once.root, "", left);
    list(repeated.root, "", right);
    for (const auto& [path, line] : left) {
      if (right[path] != line) failed(__FILE__, __LINE__, what + ": trees differ at " + path + ": " + line.substr(0, 60) + " | " + right[path].substr(0, 60));
    }
    CHECK_EQUAL(left.size(), right.size());
  }
  CHECK(done * 4 > static_cast<u64>(steps));
}

TEST("DESIGN 5, I2: repeating each operation changes nothing") {
  if (const char* seed = std::getenv("UNDERSTUDY_SEED")) return run_seed(std::strtoull(seed, nullptr, 10), 4'000);
  for (u64 seed = 1; seed <= 8; ++seed) run_seed(seed, 1'500);
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
