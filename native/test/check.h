// Checks, scratch directories and small file helpers for the engine's tests. A test file names its cases with TEST
// and ends with TEST_MAIN; a program argument runs only the cases whose name contains it.
#pragma once

#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base.h"

namespace understudy::test {

struct Case {
  const char* name;
  void (*run)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

[[noreturn]] inline void failed(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s (errno %d: %s)\n", file, line, what.c_str(), errno, std::strerror(errno));
  std::exit(1);
}

template <typename T>
std::string shown(const T& value) {
  if constexpr (std::is_arithmetic_v<T>) return std::to_string(value);
  else if constexpr (std::is_enum_v<T>) return std::to_string(static_cast<long long>(value));
  else return std::string(value);
}

template <typename A, typename B>
void check_equal(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) return;
  failed(file, line, std::string(text) + ": " + shown(a) + " is not " + shown(b));
}

#define TEST_JOIN2(a, b) a##b
#define TEST_JOIN(a, b) TEST_JOIN2(a, b)
#define TEST(name)                                                                                \
  static void TEST_JOIN(case_, __LINE__)();                                                       \
  static const ::understudy::test::Register TEST_JOIN(register_, __LINE__)(name, TEST_JOIN(case_, __LINE__)); \
  static void TEST_JOIN(case_, __LINE__)()
#define CHECK(condition) \
  ((condition) ? (void)0 : ::understudy::test::failed(__FILE__, __LINE__, "not true: " #condition))
#define CHECK_EQUAL(a, b) ::understudy::test::check_equal((a), (b), #a " == " #b, __FILE__, __LINE__)
// A Result that must have succeeded.
#define CHECK_OK(result)                                                                             \
  do {                                                                                               \
    auto&& checked_result = (result);                                                                \
    if (!checked_result) {                                                                           \
      ::understudy::test::failed(__FILE__, __LINE__, std::string(#result " failed: ") +              \
                                                         checked_result.error().call + ": " +        \
                                                         std::strerror(checked_result.error().code)); \
    }                                                                                                \
  } while (0)
#define CHECK_ERROR(result, errno_code)                                                            \
  do {                                                                                             \
    auto&& checked_result = (result);                                                              \
    if (checked_result) ::understudy::test::failed(__FILE__, __LINE__, #result " succeeded");      \
    CHECK_EQUAL(checked_result.error().code, (errno_code));                                        \
  } while (0)

inline int run_cases(int count, char** arguments) {
  ::setvbuf(stdout, nullptr, _IOLBF, 0);
  for (const Case& one : cases()) {
    if (count > 1 && std::strstr(one.name, arguments[1]) == nullptr) continue;
    const i64 began = monotonic_ns();
    one.run();
    std::printf("ok %s (%lld ms)\n", one.name, static_cast<long long>((monotonic_ns() - began) / 1'000'000));
  }
  return 0;
}
#define TEST_MAIN \
  int main(int count, char** arguments) { return ::understudy::test::run_cases(count, arguments); }

inline bool skip_unless_root(const char* why) {
  if (::geteuid() == 0) return false;
  std::printf("SKIP: needs root (%s)\n", why);
  return true;
}

// A directory that goes away with the object.
class Scratch {
 public:
  Scratch() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/understudy-test-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) failed(__FILE__, __LINE__, "mkdtemp " + path_);
  }
  ~Scratch() { run("rm -rf --one-file-system '" + path_ + "'"); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  static bool run(const std::string& command) { return ::system(command.c_str()) == 0; }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) failed(__FILE__, __LINE__, "open " + path);
  std::string text;
  char buffer[65'536];
  ssize_t got;
  while ((got = ::read(fd.get(), buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<std::size_t>(got));
  return text;
}

inline void write_file(const std::string& path, std::string_view text, u32 mode = 0644) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    failed(__FILE__, __LINE__, "write " + path);
  }
}

inline bool exists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

inline struct stat stat_of(const std::string& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) failed(__FILE__, __LINE__, "lstat " + path);
  return status;
}

inline std::string read_link(const std::string& path) {
  char text[4'097];
  const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
  if (size < 0) failed(__FILE__, __LINE__, "readlink " + path);
  return std::string(text, static_cast<std::size_t>(size));
}

// Splitmix64: small, seeded, the same everywhere.
class Random {
 public:
  explicit Random(u64 seed) : state_(seed) {}
  u64 next() {
    u64 z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  u64 below(u64 bound) { return next() % bound; }

 private:
  u64 state_;
};

}  // namespace understudy::test
