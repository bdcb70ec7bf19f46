// I2, I3: whatever is killed, and whenever, the replica becomes equal to the source and nothing says so before it is.
//
//   kill_test [SEED_FIRST [COUNT]] [--victim source|target|both|link|stop|power|mixed|nobody] [--operations N]
//             [--queue large|spill|tight|memory|disconnect] [--snapshots MS] [--repeat N] [--root FOLDER|ext4] [--early]
//             [--keep] [--verbose]
//
// Without any of these: what the suite runs (kSuite); of that one seed in N with `--share N`. `--root ext4` is a file
// system of the test's own: it gives an inode number out again as soon as it is free, which tmpfs never does.
//
// Each seed: a random tree, its first mirror, random changes, and in the middle of them kill -9 of one side or both, a
// cut wire, a clean stop, a pause of transmission (with a small queue: pair_process.h), or (power: most of the time) the
// target's kill and the loss of all it had not synced, or nothing at all; then a barrier, and the trees are compared.
// Where nothing happened but to the wire (link, nobody) the target must not have refused anything either. --early: a
// larger tree, and all of it happens within the first mirror. --snapshots: of the shadow, so often (in place of every five
// minutes). Prints what differs with the seed and what was done to whom; --keep leaves trees, states and logs.
#include <dirent.h>
#include <signal.h>

#include <algorithm>
#include <cstdarg>
#include <fstream>

#include "check.h"
#include "compare_trees.h"
#include "pair_process.h"

namespace understudy::test {
namespace {

struct Options {
  u64 first = 401, count = 16, repeat = 1, operations = 1'200, share = 0, snapshots_ms = 300'000;
  std::string victim = "mixed", root, queue = "large";
  bool early = false, keep = false, verbose = false;
};

constexpr i64 kBarrierMs = 60'000;
constexpr u64 kEarlyMs = 250;   // about what the first mirror lasts

struct Part {
  u64 first, count, operations;
  const char *victim, *queue, *root;
  bool early = false;
  u64 snapshots_ms = 300'000;
};
constexpr Part kSuite[] = {
    {401, 16, 1'200, "mixed", "large", ""},
    {421, 8, 1'200, "mixed", "large", "ext4"},
    {441, 3, 1'200, "mixed", "tight", "ext4"},
    {461, 2, 1'200, "power", "large", "ext4"},
    {3300, 4, 1'200, "power", "large", ""},   // Two losses in a row: what was in no batch yet was not repaired.
    {3211, 1, 1'200, "power", "large", ""},   // What was told by a name that has gone since was not repaired,
    {9153, 1, 1'200, "power", "large", ""},   // nor what was still to be repaired by it.
    {60'007, 3, 1'200, "mixed", "large", "", true},   // What the first one refused before its mirror stayed there.
    {81'200, 3, 1'200, "nobody", "large", "", true},  // Told before the mirror that followed: most of it was refused.
    {91'000, 2, 1'200, "link", "large", "", true},
    {95'000, 6, 1'200, "mixed", "large", "", false, 20},   // The log of what was told goes and begins anew all the time.
    {95'100, 3, 1'200, "mixed", "tight", "", false, 20},
};

// Where the runs take place.
class Place {
 public:
  explicit Place(const std::string& asked) {
    const bool shared = ::access("/dev/shm", W_OK) == 0;
    path = !asked.empty() && asked != "ext4" ? asked : shared ? "/dev/shm" : "/tmp";
    if (asked != "ext4") return;
    if (!Disk::possible()) {
      path = name = "/tmp";
      name += ", ext4 needs root, loop devices and mkfs.ext4";
      return;
    }
    const std::string image = path + "/understudy-ext4-" + std::to_string(::getpid());
    path = "/tmp/understudy-ext4-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) failed(__FILE__, __LINE__, "mkdtemp " + path);
    own_ = std::make_unique<Disk>(image, path, kMegabytes);
    ::unlink(image.c_str());   // The mount holds it: nothing is left when we are killed but an empty directory.
    name = "ext4";
  }
  ~Place() {
    if (!own_) return;
    own_.reset();
    ::rmdir(path.c_str());
  }
  std::string path, name;

 private:
  static constexpr u64 kMegabytes = 1'024;
  std::unique_ptr<Disk> own_;
};

void wait_ms(u64 ms) {
  const timespec time{static_cast<time_t>(ms / 1'000), static_cast<long>(ms % 1'000 * 1'000'000)};
  ::nanosleep(&time, nullptr);
}

class Run {
 public:
  Run(const Options& options, std::string folder, u64 seed) : options_(options), folder_(std::move(folder)), seed_(seed), random_(seed) {}

  // Empty: the replica equals the source. Otherwise what is wrong, in lines.
  std::string run() {
    play();
    for (const char* log : {"/source.log", "/target.log"}) problem_ += sanitizer_report(folder_ + log);
    if (options_.victim == "nobody" || options_.victim == "link") problem_ += refusals();
    return problem_;
  }
  const std::string& story() const { return story_; }

 private:
  std::string refusals() const {
    std::ifstream log(folder_ + "/target.log");
    std::string found;
    for (std::string line; std::getline(log, line);)
      if (line.find("what=quarantined") != std::string::npos) found += line + "\n";
    return found;
  }
  void play() {
    began_ns_ = monotonic_ns();
    make_folder("/source");
    make_folder("/disk");
    if (options_.victim == "power") disk_ = std::make_unique<Disk>(folder_ + "/image", folder_ + "/disk");
    make_folder("/disk/target");
    if (disk_) ::sync();   // The granted directory itself is there for good.
    make_identities(folder_);
    const u64 before = options_.early ? 1'000 + random_.below(2'000) : 150 + random_.below(300);
    if (!Churn(folder_ + "/source", seed_ * 1'000, before, 0).finish()) {
      problem_ = "the first churn failed\n";
      return;
    }
    start_target();
    start_source();
    if (!options_.early && random_.below(100) < 75) {
      said("first mirror");
      if (!until("mirror_done")) return;
    }
    const u64 rounds = options_.early ? 1 : 1 + random_.below(3);
    for (u64 round = 0; round < rounds && problem_.empty(); ++round) {
      Churn churn(folder_ + "/source", seed_ * 1'000 + round + 1, options_.operations / rounds, 2'000);
      const u64 lasts_ms = options_.operations / rounds / 2;
      for (u64 hits = 1 + random_.below(2); hits > 0 && problem_.empty(); --hits) {
        wait_ms(random_.below(options_.early ? kEarlyMs : lasts_ms / 2 + 1));
        hit();
      }
      if (!churn.finish()) problem_ += "churn failed\n";
      if (random_.below(100) < 30) hit();
      if (problem_.empty() && (round + 1 == rounds || random_.below(100) < 50)) check();
    }
  }
  void make_folder(const char* name) {
    if (::mkdir((folder_ + name).c_str(), 0755) != 0) failed(__FILE__, __LINE__, "mkdir " + folder_ + name);
  }
  void said(const std::string& what) {
    char stamp[32];
    std::snprintf(stamp, sizeof stamp, "  %6.3f s  ", static_cast<double>(monotonic_ns() - began_ns_) / 1e9);
    story_ += stamp + what + "\n";
    if (options_.verbose) std::fprintf(stderr, "%s%s\n", stamp, what.c_str());
  }
  void start_target() {
    target_ = std::make_unique<Process>(std::vector<std::string>{"target", folder_, std::to_string(boot_)}, folder_ + "/target.log");
    while (auto line = target_->line(20'000))
      if (line->starts_with("port ")) {
        wire_.to(static_cast<u16>(std::stoi(line->substr(5))));
        return;
      }
    problem_ += "the target did not start: " + target_->how_it_ended() + "\n";
  }
  void start_source() {
    source_ = std::make_unique<Process>(std::vector<std::string>{"source", folder_, std::to_string(wire_.port()), options_.queue,
                                                                  std::to_string(options_.snapshots_ms)}, folder_ + "/source.log");
  }
  // Waits for a line of the source.
  bool until(const std::string& wanted) {
    const i64 end = monotonic_ns() + kBarrierMs * 1'000'000;
    while (monotonic_ns() < end) {
      auto line = source_->line(100);
      if (line && *line == wanted) return true;
      if (line && line->starts_with("source_stopped")) return problem_ += *line + "\n", false;
      if (source_->gone() && !line) return problem_ += "the source ended by itself: " + source_->how_it_ended() + "\n", false;
      while (auto heard = target_->line(0)) {
      }
      if (target_->gone()) return problem_ += "the target ended by itself: " + target_->how_it_ended() + "\n", false;
    }
    problem_ += "no " + wanted + " within " + std::to_string(kBarrierMs / 1'000) + " s\n";
    for (Process* process : {source_.get(), target_.get()}) {
      process->send("statistics");
      while (auto line = process->line(3'000))
        if (line->starts_with("statistics")) {
          problem_ += (process == source_.get() ? "source " : "target ") + *line + "\n";
          break;
        }
    }
    return false;
  }
  void hit() {
    std::string victim = options_.victim;
    if (victim == "nobody") return;
    if (victim == "mixed") {
      static const char* const kAll[] = {"source", "target", "both", "link", "stop", "source", "target"};
      victim = kAll[random_.below(std::size(kAll))];
    }
    if (victim == "power" && random_.below(100) < 25) victim = random_.below(2) == 0 ? "source" : "both";
    if (options_.queue != "large" && random_.below(100) < 50) {   // What comes now waits in the queue.
      said("transmission is paused");
      source_->send("pause");
      if (random_.below(2) == 0) return;
      wait_ms(random_.below(150));
    }
    const u64 away_ms = random_.below(100) < 50 ? 0 : random_.below(80);
    said((victim == "link"   ? "cuts the link"
          : victim == "stop" ? "stops the source"
          : victim == "power" ? "cuts the target's power"
                              : "kills " + victim) + ", away " + std::to_string(away_ms) + " ms");
    if (victim == "link") {
      wire_.cut();
      return wait_ms(away_ms);
    }
    const bool source = victim != "target" && victim != "power", target = victim != "source" && victim != "stop";
    if (victim == "stop") {
      if (!source_->stop()) problem_ += "the source did not stop in order: " + source_->how_it_ended() + "\n";
    } else if (source) {
      source_->kill();
    }
    if (target) {
      wire_.to(0);
      if (victim == "power" && random_.below(2) == 0) sync_some_file();
      target_->kill();
    }
    if (victim == "power") {
      disk_->lose_power(random_.below(3) == 0);
      ++boot_;
    }
    wait_ms(away_ms);
    if (target) start_target();
    if (source) start_source();
  }
  // Commits the journal in the middle of things: names of that moment with contents that never arrived.
  void sync_some_file() {
    DIR* listing = ::opendir((folder_ + "/disk/target").c_str());
    if (listing == nullptr) return;
    u64 skip = random_.below(10);
    while (dirent* entry = ::readdir(listing)) {
      if (entry->d_type != DT_REG || skip-- > 0) continue;
      const Fd file(::openat(::dirfd(listing), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      if (file) ::fsync(file.get());
      break;
    }
    ::closedir(listing);
  }
  void check() {
    const std::string token = std::to_string(++token_);
    source_->send("flow");
    source_->send("barrier " + token);
    if (!until("barrier_done " + token)) return;
    said("barrier reached");
    auto compared = compare_trees(folder_ + "/source", folder_ + "/disk/target", {});
    CHECK_OK(compared);
    if (compared->differing == 0) return;
    problem_ += std::to_string(compared->differing) + " differences after a barrier:\n";
    for (std::size_t i = 0; i < compared->differences.size() && i < 12; ++i) problem_ += "  " + compared->differences[i] + "\n";
  }

  const Options& options_;
  std::string folder_;
  u64 seed_;
  Random random_;
  Wire wire_;
  std::unique_ptr<Disk> disk_;                    // before the processes: they end first
  u64 boot_ = 0;                                  // 0: this machine's own
  std::unique_ptr<Process> source_, target_;
  std::string story_, problem_;
  u64 token_ = 0;
  i64 began_ns_ = 0;
};

int run_seeds(const Options& options) {
  if (options.victim == "power" && !Disk::possible()) {
    std::printf("skipped I2 power loss of the target: needs root, loop devices and mkfs.ext4\n");
    return 0;
  }
  const Place place(options.root);
  u64 wrong = 0, ran = 0;
  const i64 began = monotonic_ns();
  for (u64 seed = options.first; seed < options.first + options.count; ++seed)
    for (u64 again = 0; again < options.repeat; ++again) {
      std::string folder = place.path + "/understudy-kill-XXXXXX";
      if (::mkdtemp(folder.data()) == nullptr) failed(__FILE__, __LINE__, "mkdtemp " + folder);
      std::string problem, story;
      {
        Run run(options, folder, seed);
        problem = run.run();
        story = run.story();
      }
      ++ran;
      if (!problem.empty()) {
        ++wrong;
        std::printf("seed %llu (%s):\n%s%s", static_cast<unsigned long long>(seed), options.victim.c_str(), story.c_str(), problem.c_str());
        if (options.keep) std::printf("  kept in %s\n", folder.c_str());
      }
      if (options.verbose && options.root != "ext4") std::printf("  kept in %s\n", folder.c_str());
      else if (problem.empty() || !options.keep) Scratch::run("rm -rf --one-file-system '" + folder + "'");
    }
  std::string where = options.victim;
  if (options.early) where += ", in the first mirror";
  if (options.snapshots_ms < 300'000) where += ", a snapshot every " + std::to_string(options.snapshots_ms) + " ms";
  if (options.queue != "large") where += ", " + options.queue + " queue";
  if (!place.name.empty()) where += ", on " + place.name;
  std::printf("%s I2: %llu of %llu runs equal after kills (%s, seeds %llu..%llu, %lld ms)\n", wrong == 0 ? "ok" : "not",
              static_cast<unsigned long long>(ran - wrong), static_cast<unsigned long long>(ran), where.c_str(),
              static_cast<unsigned long long>(options.first), static_cast<unsigned long long>(options.first + options.count - 1),
              static_cast<long long>((monotonic_ns() - began) / 1'000'000));
  return wrong == 0 ? 0 : 1;
}

int main_of(const std::vector<std::string>& arguments) {
  ::setvbuf(stdout, nullptr, _IOLBF, 0);
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(022);
  if (!arguments.empty() && (arguments[0] == "source" || arguments[0] == "target")) return pair_child(arguments);
  Options options;
  u64 numbers = 0;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const bool last = i + 1 == arguments.size();
    if (word == "--keep") options.keep = true;
    else if (word == "--early") options.early = true;
    else if (word == "--verbose") options.verbose = true;
    else if (word == "--victim" && !last) options.victim = arguments[++i];
    else if (word == "--queue" && !last) options.queue = arguments[++i];
    else if (word == "--root" && !last) options.root = arguments[++i];
    else if (word == "--snapshots" && !last) options.snapshots_ms = std::stoull(arguments[++i]);
    else if (word == "--operations" && !last) options.operations = std::stoull(arguments[++i]);
    else if (word == "--share" && !last) options.share = std::stoull(arguments[++i]);
    else if (word == "--repeat" && !last) options.repeat = std::stoull(arguments[++i]);
    else if (word[0] != '-' && numbers < 2) (numbers++ == 0 ? options.first : options.count) = std::stoull(word);
    else {
      std::fprintf(stderr, "kill_test: %s is not understood\n", word.c_str());
      return 64;
    }
    if (numbers == 1 && word[0] != '-') options.count = 1;
  }
  if (options.keep && options.root == "ext4") {
    std::fprintf(stderr, "kill_test: an ext4 of the test's own cannot be kept; name a folder on one with --root\n");
    return 64;
  }
  if (!arguments.empty() && options.share == 0) return run_seeds(options);
  int status = 0;
  for (const Part& part : kSuite) {
    options.first = part.first, options.count = std::max<u64>(1, part.count / std::max<u64>(1, options.share)), options.operations = part.operations;
    options.victim = part.victim, options.queue = part.queue, options.root = part.root;
    options.early = part.early;
    options.snapshots_ms = part.snapshots_ms;
    status |= run_seeds(options);
  }
  return status;
}

}  // namespace
}  // namespace understudy::test

int main(int count, char** arguments) {
  return understudy::test::main_of(std::vector<std::string>(arguments + 1, arguments + count));
}
