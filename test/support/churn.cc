// Changes a directory tree at random, the same way for the same seed and starting tree.
//
//   churn ROOT SEED OPERATIONS [RATE]
//
// Every kind of change that a file system knows takes part: contents (at offsets, appended, truncated, punched,
// mapped, through descriptors that stay open), names (renamed over each other, exchanged, linked, moved whole),
// attributes, special files, odd names. RATE bounds operations per second; 0 or none: as fast as possible.
// With CHURN_LOG set, says on stderr what it does to whom. Prints one line of JSON. Ends with 2 when the file system refuses something that should have worked.
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

// SplitMix64: tiny, good enough, and the same everywhere.
struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t n) { return n ? next() % n : 0; }
  bool chance(unsigned percent) { return below(100) < percent; }
};

enum class Kind { directory, file, symlink, other };

// The model of the tree: who is where. Renaming a directory moves one node, as it does on disk.
struct Node {
  std::string name;
  Kind kind;
  Node* parent;
  std::map<std::string, std::unique_ptr<Node>> children;
  std::string path() const { return parent ? parent->path() + "/" + name : name; }
  bool below(const Node* top) const {
    for (const Node* at = this; at; at = at->parent)
      if (at == top) return true;
    return false;
  }
  unsigned depth() const { return parent ? parent->depth() + 1 : 0; }
};

constexpr unsigned kDepthMax = 12;
constexpr size_t kNodesMax = 4000;      // beyond it removal becomes likelier than creation
constexpr size_t kPathMax = 3000;
constexpr size_t kOpenMax = 4;

class Churn {
 public:
  Churn(const char* root, uint64_t seed) : random_{seed * 0x2545f4914f6cdd1dull + 1}, root_{root, Kind::directory, nullptr, {}} {
    privileged_ = ::geteuid() == 0;
    scan(&root_);
  }

  void step() {
    static constexpr struct { unsigned weight; void (Churn::*run)(); const char* name; } kTable[] = {
        {14, &Churn::create, "create"},       {12, &Churn::write_at, "write"},     {6, &Churn::append, "append"},
        {4, &Churn::truncate, "truncate"},    {3, &Churn::punch, "punch"},         {2, &Churn::map_write, "map"},
        {4, &Churn::save_over, "save"},       {8, &Churn::rename_any, "rename"},   {3, &Churn::rename_directory, "move"},
        {2, &Churn::exchange, "exchange"},    {4, &Churn::hard_link, "link"},      {8, &Churn::unlink_any, "unlink"},
        {2, &Churn::remove_tree, "remove"},   {6, &Churn::make_directory, "mkdir"}, {1, &Churn::storm, "storm"},
        {3, &Churn::symbolic_link, "symlink"}, {2, &Churn::swap_symlink, "swap"},  {2, &Churn::change_kind, "kind"},
        {4, &Churn::change_mode, "chmod"},    {3, &Churn::change_owner, "chown"},  {4, &Churn::set_times, "utimes"},
        {4, &Churn::set_attribute, "setxattr"}, {2, &Churn::remove_attribute, "removexattr"},
        {2, &Churn::set_acl, "acl"},          {1, &Churn::special, "mknod"},       {2, &Churn::sparse, "sparse"},
        {3, &Churn::held_open, "held"},       {1, &Churn::unnamed, "tmpfile"},
    };
    unsigned total = 0;
    for (const auto& row : kTable) total += row.weight;
    uint64_t pick = random_.below(total);
    if (count_ > kNodesMax && random_.chance(50)) return remove_tree();
    for (const auto& row : kTable) {
      if (pick < row.weight) {
        now_ = row.name;
        picked_.clear();
        (this->*row.run)();
        if (log_) std::fprintf(stderr, "%s%s\n", now_, picked_.c_str());
        return;
      }
      pick -= row.weight;
    }
  }

  void finish() {
    for (int fd : open_) ::close(fd);
    open_.clear();
  }
  size_t nodes() const { return count_; }

 private:
  [[noreturn]] void fail(const std::string& path) {
    std::fprintf(stderr, "churn: %s %s: %s\n", now_, path.c_str(), std::strerror(errno));
    std::exit(2);
  }
  void must(bool ok, const std::string& path) { if (!ok) fail(path); }

  void scan(Node* at) {
    DIR* dir = ::opendir(at->path().c_str());
    if (!dir) { now_ = "scan"; fail(at->path()); }
    while (dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      const std::string path = at->path() + "/" + name;
      struct stat st;
      if (::lstat(path.c_str(), &st)) continue;
      add(at, name, S_ISDIR(st.st_mode) ? Kind::directory : S_ISREG(st.st_mode) ? Kind::file
                    : S_ISLNK(st.st_mode) ? Kind::symlink : Kind::other);
    }
    ::closedir(dir);
    for (auto& [name, child] : at->children)
      if (child->kind == Kind::directory) scan(child.get());
  }

  Node* add(Node* parent, const std::string& name, Kind kind) {
    auto& slot = parent->children[name];
    if (slot) count_ -= size(slot.get());
    slot.reset(new Node{name, kind, parent, {}});
    ++count_;
    return slot.get();
  }
  void drop(Node* node) {
    count_ -= size(node);
    node->parent->children.erase(node->name);
  }
  static size_t size(const Node* node) {
    size_t n = 1;
    for (const auto& [name, child] : node->children) n += size(child.get());
    return n;
  }
  void move(Node* node, Node* parent, const std::string& name) {
    auto at = node->parent->children.find(node->name);
    std::unique_ptr<Node> held = std::move(at->second);
    node->parent->children.erase(at);
    auto& slot = parent->children[name];
    if (slot) count_ -= size(slot.get());
    node->name = name;
    node->parent = parent;
    slot = std::move(held);
  }

  // A random walk from the root; stops at the wanted kind. Null when the walk ends elsewhere.
  Node* pick(Kind kind) {
    for (int attempt = 0; attempt < 6; ++attempt) {
      Node* at = &root_;
      while (!at->children.empty() && (at == &root_ || at->kind != Kind::directory || !(kind == Kind::directory && random_.chance(40)))) {
        auto it = at->children.begin();
        std::advance(it, static_cast<long>(random_.below(at->children.size())));
        at = it->second.get();
        if (at->kind != Kind::directory) break;
      }
      if (at != &root_ && at->kind == kind) {
        if (log_) picked_ += "  " + at->path();
        return at;
      }
    }
    return nullptr;
  }
  Node* any() {
    static constexpr Kind kKinds[] = {Kind::file, Kind::file, Kind::directory, Kind::symlink, Kind::other};
    for (int attempt = 0; attempt < 4; ++attempt)
      if (Node* node = pick(kKinds[random_.below(5)])) return node;
    return nullptr;
  }
  Node* folder() {
    if (random_.chance(20)) return &root_;
    if (log_) picked_ += "  in:";
    Node* node = pick(Kind::directory);
    return node && node->depth() < kDepthMax && node->path().size() < kPathMax ? node : &root_;
  }

  std::string new_name() {
    const std::string name = draw_name();
    if (log_) picked_ += "  as: " + name;
    return name;
  }
  std::string draw_name() {
    static constexpr char kLetters[] = "abcdefghijklmnop";
    const uint64_t style = random_.below(100);
    if (style < 55) {   // A small pool, so that names are reused and things replace each other.
      std::string name(1, kLetters[random_.below(16)]);
      return name + std::to_string(random_.below(24));
    }
    if (style < 90) return "n" + std::to_string(random_.next() % 1'000'000'000);
    if (style < 92) return std::string(255 - random_.below(4), kLetters[random_.below(16)]);
    if (style < 94) return "naïve Grüße 名前 " + std::to_string(random_.below(50));
    if (style < 95) return "-rf * " + std::to_string(random_.below(20));
    std::string name;   // Any bytes but NUL and slash: control characters, newlines, broken UTF-8.
    for (uint64_t n = 1 + random_.below(12); n > 0; --n) {
      char c = static_cast<char>(1 + random_.below(255));
      name += c == '/' ? '_' : c;
    }
    return name == "." || name == ".." ? "dots" : name;
  }
  // A name in `parent` that is free, or taken by something that is not a directory.
  std::string name_for_file(Node* parent) {
    for (;;) {
      std::string name = new_name();
      auto it = parent->children.find(name);
      if (it == parent->children.end() || it->second->kind != Kind::directory) return name;
    }
  }
  std::string free_name(Node* parent) {
    std::string name = new_name();
    while (parent->children.count(name)) name = "f" + std::to_string(random_.next());
    return name;
  }

  std::vector<char> bytes(size_t n) {
    std::vector<char> data(n + 8);
    uint64_t value = random_.next();
    const bool text = random_.chance(50);
    for (size_t i = 0; i < n; i += 8) {
      if (!text || i % 64 == 0) value = value * 6364136223846793005ull + 1442695040888963407ull;
      std::memcpy(data.data() + i, &value, 8);
    }
    data.resize(n);
    return data;
  }
  size_t length() {
    const uint64_t style = random_.below(100);
    if (style < 8) return 0;
    if (style < 70) return 1 + random_.below(6'000);
    if (style < 95) return random_.below(90'000);
    if (style < 99) return random_.below(700'000);
    return random_.below(4'000'000);
  }
  void put(int fd, const std::vector<char>& data, int64_t at, const std::string& path) {
    size_t done = 0;
    while (done < data.size()) {
      const ssize_t n = at < 0 ? ::write(fd, data.data() + done, data.size() - done)
                               : ::pwrite(fd, data.data() + done, data.size() - done, at + static_cast<int64_t>(done));
      must(n > 0, path);
      done += static_cast<size_t>(n);
    }
  }
  int64_t size_of(int fd) {
    struct stat st;
    return ::fstat(fd, &st) ? 0 : st.st_size;
  }
  // Opens a file for writing; modes never stop root, but do stop others: then the file is left alone.
  int open_file(Node* node, int flags) {
    const int fd = ::open(node->path().c_str(), flags | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && !(errno == EACCES && !privileged_) && errno != ETXTBSY) fail(node->path());
    return fd;
  }

  // --------------------------------------------------------------------------------------------- contents
  void create() {
    Node* parent = folder();
    const std::string name = name_for_file(parent);
    const std::string path = parent->path() + "/" + name;
    auto it = parent->children.find(name);
    const bool fresh = it == parent->children.end();
    if (!fresh && it->second->kind != Kind::file) return;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 && errno == EACCES && !privileged_) return;
    must(fd >= 0, path);
    const auto data = bytes(length());
    if (random_.chance(30)) {   // In pieces, as programs write.
      for (size_t at = 0; at < data.size(); at += 3000)
        put(fd, {data.begin() + static_cast<long>(at), data.begin() + static_cast<long>(std::min(data.size(), at + 3000))}, -1, path);
    } else {
      put(fd, data, -1, path);
    }
    ::close(fd);
    if (fresh) add(parent, name, Kind::file);
  }
  void write_at() {
    Node* node = pick(Kind::file);
    if (!node) return;
    const int fd = open_file(node, O_WRONLY);
    if (fd < 0) return;
    const int64_t size = size_of(fd);
    for (uint64_t n = 1 + random_.below(4); n > 0; --n) {
      int64_t at = static_cast<int64_t>(random_.below(static_cast<uint64_t>(size) + 1));
      if (random_.chance(10)) at = size + static_cast<int64_t>(random_.below(200'000));   // Leaves a hole behind.
      if (at > (6 << 20)) at = 0;
      put(fd, bytes(1 + random_.below(random_.chance(10) ? 120'000 : 5'000)), at, node->path());
    }
    if (random_.chance(10)) ::fdatasync(fd);
    ::close(fd);
  }
  void append() {
    Node* node = pick(Kind::file);
    if (!node) return;
    const int fd = open_file(node, O_WRONLY | O_APPEND);
    if (fd < 0) return;
    if (size_of(fd) < (6 << 20)) put(fd, bytes(1 + random_.below(9'000)), -1, node->path());
    ::close(fd);
  }
  void truncate() {
    Node* node = pick(Kind::file);
    if (!node) return;
    const int fd = open_file(node, O_WRONLY);
    if (fd < 0) return;
    const int64_t size = size_of(fd);
    const int64_t to = random_.chance(20) ? 0 : random_.chance(70) ? static_cast<int64_t>(random_.below(static_cast<uint64_t>(size) + 1))
                                                                   : size + static_cast<int64_t>(random_.below(300'000));
    if (to < (8 << 20)) must(::ftruncate(fd, to) == 0, node->path());
    ::close(fd);
  }
  void punch() {
    Node* node = pick(Kind::file);
    if (!node) return;
    const int fd = open_file(node, O_WRONLY);
    if (fd < 0) return;
    const int64_t size = size_of(fd);
    if (size > 4096) {
      const int64_t at = static_cast<int64_t>(random_.below(static_cast<uint64_t>(size)));
      const int64_t n = 1 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(size - at)));
      const bool ok = ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n) == 0;
      must(ok || errno == EOPNOTSUPP, node->path());
    }
    ::close(fd);
  }
  void map_write() {
    Node* node = pick(Kind::file);
    if (!node) return;
    const int fd = open_file(node, O_RDWR);
    if (fd < 0) return;
    const auto size = static_cast<size_t>(size_of(fd));
    if (size > 0) {
      void* map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      must(map != MAP_FAILED, node->path());
      const size_t at = random_.below(size);
      const auto data = bytes(std::min<size_t>(size - at, 1 + random_.below(6'000)));
      std::memcpy(static_cast<char*>(map) + at, data.data(), data.size());
      ::munmap(map, size);
    }
    ::close(fd);
  }
  // As editors save: a new file renamed over the old one.
  void save_over() {
    Node* node = pick(Kind::file);
    if (!node) return;
    Node* parent = node->parent;
    const std::string temporary = parent->path() + "/" + free_name(parent);
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EACCES && !privileged_) return;
    must(fd >= 0, temporary);
    put(fd, bytes(length()), -1, temporary);
    if (random_.chance(30)) ::fsync(fd);
    if (random_.chance(50)) ::fchmod(fd, 0644);
    ::close(fd);
    must(::rename(temporary.c_str(), node->path().c_str()) == 0, node->path());
  }
  void sparse() {
    Node* parent = folder();
    const std::string name = free_name(parent);
    const std::string path = parent->path() + "/" + name;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EACCES && !privileged_) return;
    must(fd >= 0, path);
    const int64_t size = static_cast<int64_t>(random_.below(8 << 20));
    must(::ftruncate(fd, size) == 0, path);
    for (uint64_t n = random_.below(5); n > 0 && size > 0; --n)
      put(fd, bytes(1 + random_.below(9'000)), static_cast<int64_t>(random_.below(static_cast<uint64_t>(size))), path);
    ::close(fd);
    add(parent, name, Kind::file);
  }
  // Descriptors that stay open while the file is renamed, replaced or unlinked under them.
  void held_open() {
    if (open_.size() >= kOpenMax) {
      ::close(open_.front());
      open_.erase(open_.begin());
    }
    if (random_.chance(40))
      if (Node* node = pick(Kind::file)) {
        const int fd = open_file(node, O_WRONLY);
        if (fd >= 0) open_.push_back(fd);
      }
    for (int fd : open_)
      if (random_.chance(60)) put(fd, bytes(1 + random_.below(4'000)), static_cast<int64_t>(random_.below(100'000)), "(held open)");
  }
  void unnamed() {
    Node* parent = folder();
    const int fd = ::open(parent->path().c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0) return;   // Not every file system has it.
    put(fd, bytes(length()), -1, "(unnamed)");
    const std::string name = free_name(parent);
    const std::string self = "/proc/self/fd/" + std::to_string(fd);
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, (parent->path() + "/" + name).c_str(), AT_SYMLINK_FOLLOW) == 0) add(parent, name, Kind::file);
    ::close(fd);
  }

  // ------------------------------------------------------------------------------------------------ names
  void rename_any() {
    Node* node = any();
    Node* parent = folder();
    if (!node || node->kind == Kind::directory || parent->below(node)) return;
    const std::string name = name_for_file(parent);
    auto it = parent->children.find(name);
    if (it != parent->children.end() && it->second.get() == node) return;
    const std::string from = node->path(), to = parent->path() + "/" + name;
    struct stat a, b;
    // Renaming one name of a file over another name of the same file does nothing at all.
    const bool same = ::lstat(from.c_str(), &a) == 0 && ::lstat(to.c_str(), &b) == 0 && a.st_ino == b.st_ino;
    if (!moved(::rename(from.c_str(), to.c_str()), to)) return;
    if (!same) move(node, parent, name);
  }
  void rename_directory() {
    Node* node = pick(Kind::directory);
    Node* parent = folder();
    if (!node || parent->below(node) || node->depth() + 1 > kDepthMax) return;
    std::string name = new_name();
    auto it = parent->children.find(name);
    if (it != parent->children.end() && !(it->second->kind == Kind::directory && it->second->children.empty() && it->second.get() != node))
      name = free_name(parent);
    const std::string to = parent->path() + "/" + name;
    if (to.size() > kPathMax) return;
    if (moved(::rename(node->path().c_str(), to.c_str()), to)) move(node, parent, name);
  }
  void exchange() {
    Node* a = any();
    Node* b = any();
    if (!a || !b || a->below(b) || b->below(a)) return;
    const std::string from = a->path(), to = b->path();
    if (::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 2u /* RENAME_EXCHANGE */)) {
      if (errno == EINVAL) return;
      return void(moved(-1, to));
    }
    Node *pa = a->parent, *pb = b->parent;
    auto& sa = pa->children[a->name];
    auto& sb = pb->children[b->name];
    std::swap(sa, sb);
    std::swap(a->name, b->name);
    std::swap(a->parent, b->parent);
  }
  bool moved(int result, const std::string& to) {
    if (result == 0) return true;
    if (errno == EACCES && !privileged_) return false;
    if (errno == ENAMETOOLONG || errno == EXDEV) return false;
    fail(to);
  }
  void hard_link() {
    Node* node = pick(random_.chance(90) ? Kind::file : Kind::symlink);
    Node* parent = folder();
    if (!node) return;
    const std::string name = free_name(parent);
    const std::string to = parent->path() + "/" + name;
    if (::link(node->path().c_str(), to.c_str()) == 0) add(parent, name, node->kind);
    else if (errno != EMLINK && errno != EPERM && errno != EACCES && errno != EXDEV) fail(to);
  }
  void unlink_any() {
    Node* node = any();
    if (!node) return;
    if (node->kind == Kind::directory) {
      if (!node->children.empty()) return;
      if (::rmdir(node->path().c_str())) return void(moved(-1, node->path()));
    } else if (::unlink(node->path().c_str())) {
      return void(moved(-1, node->path()));
    }
    drop(node);
  }
  void remove_tree() {
    now_ = "remove";
    Node* node = pick(Kind::directory);
    if (!node || (size(node) > 400 && count_ < kNodesMax)) return;
    if (remove_below(node)) drop(node);
  }
  bool remove_below(Node* node) {
    while (!node->children.empty()) {
      Node* child = node->children.begin()->second.get();
      if (child->kind == Kind::directory) {
        if (!remove_below(child)) return false;
      } else if (::unlink(child->path().c_str())) {
        return moved(-1, child->path());
      }
      drop(child);
    }
    return ::rmdir(node->path().c_str()) == 0 || moved(-1, node->path());
  }
  void make_directory() {
    Node* parent = folder();
    for (uint64_t deep = random_.chance(20) ? 1 + random_.below(5) : 1; deep > 0 && parent->depth() < kDepthMax; --deep) {
      const std::string name = free_name(parent);
      const std::string path = parent->path() + "/" + name;
      if (path.size() > kPathMax) return;
      if (::mkdir(path.c_str(), 0755)) return void(moved(-1, path));
      parent = add(parent, name, Kind::directory);
    }
  }
  // Many directories with files made, moved and removed at once: events about names that are gone again.
  void storm() {
    Node* parent = folder();
    std::vector<Node*> made;
    for (uint64_t n = 5 + random_.below(30); n > 0; --n) {
      const std::string name = free_name(parent);
      const std::string path = parent->path() + "/" + name;
      if (::mkdir(path.c_str(), 0755)) return void(moved(-1, path));
      Node* node = add(parent, name, Kind::directory);
      made.push_back(node);
      const int fd = ::open((path + "/inside").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      must(fd >= 0, path);
      put(fd, bytes(random_.below(500)), -1, path);
      ::close(fd);
      add(node, "inside", Kind::file);
    }
    for (Node* node : made) {
      const uint64_t what = random_.below(10);
      if (what < 6) {
        if (remove_below(node)) drop(node);
      } else if (what < 8) {
        const std::string name = free_name(parent);
        if (moved(::rename(node->path().c_str(), (parent->path() + "/" + name).c_str()), name)) move(node, parent, name);
      }
    }
  }
  void symbolic_link() {
    Node* parent = folder();
    const std::string name = free_name(parent);
    const std::string path = parent->path() + "/" + name;
    if (::symlink(link_text().c_str(), path.c_str())) return void(moved(-1, path));
    add(parent, name, Kind::symlink);
  }
  std::string link_text() {
    if (random_.chance(50)) return "../" + new_name();
    if (random_.chance(50)) return new_name();
    return random_.chance(50) ? "/nowhere/" + new_name() : std::string(1 + random_.below(2000), 'x');
  }
  void swap_symlink() {
    Node* node = pick(Kind::symlink);
    if (!node) return;
    const std::string temporary = node->parent->path() + "/" + free_name(node->parent);
    if (::symlink(link_text().c_str(), temporary.c_str())) return void(moved(-1, temporary));
    must(::rename(temporary.c_str(), node->path().c_str()) == 0, node->path());
  }
  // The same name becomes another kind of thing.
  void change_kind() {
    Node* node = any();
    if (!node || !node->children.empty()) return;
    const std::string path = node->path();
    if ((node->kind == Kind::directory ? ::rmdir(path.c_str()) : ::unlink(path.c_str())) != 0) return void(moved(-1, path));
    const uint64_t to = random_.below(3);
    if (to == 0) {
      must(::mkdir(path.c_str(), 0711) == 0, path);
      node->kind = Kind::directory;
    } else if (to == 1) {
      must(::symlink(link_text().c_str(), path.c_str()) == 0, path);
      node->kind = Kind::symlink;
    } else {
      const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0604);
      must(fd >= 0, path);
      put(fd, bytes(random_.below(3000)), -1, path);
      ::close(fd);
      node->kind = Kind::file;
    }
  }
  void special() {
    Node* parent = folder();
    const std::string name = free_name(parent);
    const std::string path = parent->path() + "/" + name;
    int result = -1;
    if (privileged_ && random_.chance(50))
      result = ::mknod(path.c_str(), (random_.chance(50) ? S_IFCHR : S_IFBLK) | 0600, makedev(random_.below(200), random_.below(300)));
    else
      result = ::mkfifo(path.c_str(), 0622);
    if (result == 0) add(parent, name, Kind::other);
    else if (errno != EPERM && errno != EACCES) fail(path);
  }

  // ------------------------------------------------------------------------------------------- attributes
  void change_mode() {
    Node* node = any();
    if (!node || node->kind == Kind::symlink) return;
    mode_t mode = static_cast<mode_t>(random_.below(privileged_ ? 010000 : 01000));
    if (!privileged_) mode |= node->kind == Kind::directory ? 0700 : 0600;
    if (::chmod(node->path().c_str(), mode)) moved(-1, node->path());
  }
  void change_owner() {
    Node* node = any();
    if (!node || !privileged_) return;
    must(::lchown(node->path().c_str(), static_cast<uid_t>(random_.below(4) * 1000), static_cast<gid_t>(random_.below(4) * 500)) == 0, node->path());
  }
  void set_times() {
    Node* node = any();
    if (!node) return;
    timespec times[2];
    times[0] = {0, UTIME_OMIT};
    times[1] = {static_cast<time_t>(random_.below(2'000'000'000)), static_cast<long>(random_.below(1'000'000'000))};
    if (::utimensat(AT_FDCWD, node->path().c_str(), times, AT_SYMLINK_NOFOLLOW)) moved(-1, node->path());
  }
  std::string attribute_name() {
    const char* space = privileged_ && random_.chance(20) ? "trusted." : "user.";
    return space + std::string("key") + std::to_string(random_.below(6));
  }
  bool may_have_attributes(Node* node) { return node && (node->kind == Kind::directory || node->kind == Kind::file); }
  void set_attribute() {
    Node* node = any();
    if (!may_have_attributes(node)) return;
    const auto value = bytes(random_.below(random_.chance(90) ? 60 : 900));
    if (::lsetxattr(node->path().c_str(), attribute_name().c_str(), value.data(), value.size(), 0) &&
        errno != ENOSPC && errno != EOPNOTSUPP)
      moved(-1, node->path());
  }
  void remove_attribute() {
    Node* node = any();
    if (!may_have_attributes(node)) return;
    if (::lremovexattr(node->path().c_str(), attribute_name().c_str()) && errno != ENODATA && errno != EOPNOTSUPP) moved(-1, node->path());
  }
  void set_acl() {
    Node* node = any();
    if (!may_have_attributes(node)) return;
    struct { uint32_t version; struct { uint16_t tag, perm; uint32_t id; } rows[5]; } acl = {
        2, {{1, 6, ~0u}, {2, static_cast<uint16_t>(random_.below(8)), static_cast<uint32_t>(1000 + random_.below(3))},
            {4, 4, ~0u}, {16, static_cast<uint16_t>(random_.below(8)), ~0u}, {32, 4, ~0u}}};
    if (!privileged_) acl.rows[0].perm = 7;
    const bool inherit = node->kind == Kind::directory && random_.chance(40);
    if (::setxattr(node->path().c_str(), inherit ? "system.posix_acl_default" : "system.posix_acl_access", &acl, sizeof acl, 0) &&
        errno != EOPNOTSUPP && errno != ENOSPC)
      moved(-1, node->path());
  }

  Random random_;
  Node root_;
  size_t count_ = 0;
  bool privileged_;
  const char* now_ = "start";
  std::vector<int> open_;
  const bool log_ = std::getenv("CHURN_LOG") != nullptr;
  std::string picked_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: churn ROOT SEED OPERATIONS [RATE]\n");
    return 64;
  }
  ::umask(022);
  using Clock = std::chrono::steady_clock;
  Churn churn(argv[1], std::strtoull(argv[2], nullptr, 10));
  const uint64_t operations = std::strtoull(argv[3], nullptr, 10);
  const double rate = argc > 4 ? std::atof(argv[4]) : 0;
  const auto start = Clock::now();
  for (uint64_t i = 0; i < operations; ++i) {
    if (rate > 0) std::this_thread::sleep_until(start + std::chrono::duration<double>(static_cast<double>(i) / rate));
    churn.step();
  }
  churn.finish();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("{\"operations\":%llu,\"objects\":%zu,\"seconds\":%.3f}\n", static_cast<unsigned long long>(operations), churn.nodes(), seconds);
  return 0;
}
