// What the source keeps in memory, beside models that are too simple to be wrong: the shadow tree, the indexes of
// blocks, and the stream with a target that loses its link and its power. Everything from seeds, which are printed.
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "block_index.h"
#include "check.h"
#include "shadow.h"
#include "stream.h"

namespace understudy::test {
namespace {

// Runs `one` for some seeds; a failing seed can be run alone with SEED=n.
void for_seeds(u64 count, void (*one)(u64 seed)) {
  const char* only = std::getenv("SEED");
  for (u64 seed = 1; seed <= count; ++seed) {
    if (only != nullptr && std::strtoull(only, nullptr, 10) != seed) continue;
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
      one(seed);
      std::_Exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) failed(__FILE__, __LINE__, "repeat with SEED=" + std::to_string(seed));
  }
}

// ----------------------------------------------------------------------------------------------------------- shadow

struct Object {
  NodeId parent = kNoNode;
  std::string name;
  std::set<NodeId> children;
  u64 device = 0, inode = 0;   // inode 0: no identity
  Attributes attributes;
  i64 size = 0;
};

class ShadowModel {
 public:
  explicit ShadowModel(u64 seed) : random_(seed) {
    roots_ = 1 + static_cast<u32>(random_.below(3));
    for (u32 i = 0; i < roots_; ++i) {
      const NodeId root = shadow_.add_root();
      CHECK_EQUAL(root, i + 1);
      model_[root].attributes.mode = S_IFDIR;
      shadow_.set_attributes(root, model_[root].attributes);
    }
    long_names_ = random_.below(2) == 0;   // many bytes given back: the arena of names is compacted
  }

  void run(u64 steps) {
    for (u64 i = 0; i < steps; ++i) {
      step();
      if (i % 500 == 0) check();
    }
    check();
    check_snapshot();
  }

 private:
  NodeId any() {
    auto at = model_.lower_bound(static_cast<NodeId>(random_.below(model_.rbegin()->first + 1)));
    return at->first;
  }
  NodeId any_child() {
    const NodeId id = any();
    return id <= roots_ ? kNoNode : id;
  }
  NodeId directory() {
    for (int i = 0; i < 20; ++i)
      if (const NodeId id = any(); S_ISDIR(model_[id].attributes.mode)) return id;
    return 1;
  }
  std::string free_name(NodeId parent) {
    std::string name = "n" + std::to_string(random_.below(3'000));
    if (long_names_) name.append(100 + random_.below(150 - name.size()), 'x');
    while (child(parent, name) != kNoNode) name += "'";
    return name.substr(0, 255);
  }
  NodeId child(NodeId parent, const std::string& name) const {
    for (NodeId id : model_.at(parent).children)
      if (model_.at(id).name == name) return id;
    return kNoNode;
  }
  bool inside(NodeId id, NodeId top) const {
    for (NodeId at = id; at != kNoNode; at = model_.at(at).parent)
      if (at == top) return true;
    return false;
  }
  std::string path(NodeId id) const {
    if (id <= roots_) return {};
    const Object& object = model_.at(id);
    return object.parent <= roots_ ? object.name : path(object.parent) + "/" + object.name;
  }
  u32 mapping(NodeId id) const {
    while (id > roots_) id = model_.at(id).parent;
    return id - 1;
  }

  void step() {
    switch (random_.below(model_.size() > 1'500 ? 13 : 10)) {
      case 0: case 1: case 2: case 3: {
        const NodeId parent = directory();
        const std::string name = free_name(parent);
        const NodeId id = shadow_.add(parent, name);
        CHECK(model_.count(id) == 0);
        Object& made = model_[id];
        made.parent = parent;
        made.name = name;
        model_[parent].children.insert(id);
        describe(id);
        if (random_.below(10) > 0) identify(id);
        return;
      }
      case 4: if (const NodeId id = any_child(); id != kNoNode && model_[id].children.empty()) describe(id); return;
      case 5: if (const NodeId id = any_child(); id != kNoNode) identify(id); return;
      case 6:
        if (const NodeId id = any_child(); id != kNoNode) {
          shadow_.clear_identity(id);
          model_[id].inode = 0;
        }
        return;
      case 7: case 8: {
        const NodeId id = any_child(), parent = directory();
        if (id == kNoNode || inside(parent, id)) return;
        const std::string name = random_.below(4) == 0 && child(parent, model_[id].name) == kNoNode ? model_[id].name : free_name(parent);
        shadow_.move(id, parent, name);
        model_[model_[id].parent].children.erase(id);
        model_[id].parent = parent;
        model_[id].name = name;
        model_[parent].children.insert(id);
        return;
      }
      case 9: {
        const NodeId a = any_child(), b = any_child();
        if (a == kNoNode || b == kNoNode || inside(a, b) || inside(b, a)) return;
        shadow_.exchange(a, b);
        Object &first = model_[a], &second = model_[b];
        model_[first.parent].children.erase(a);
        model_[second.parent].children.erase(b);
        std::swap(first.parent, second.parent);
        std::swap(first.name, second.name);
        model_[first.parent].children.insert(a);
        model_[second.parent].children.insert(b);
        return;
      }
      default: {
        const NodeId id = any_child();
        if (id == kNoNode) return;
        std::set<NodeId> gone;
        shadow_.remove(id, [&](NodeId each) { CHECK(gone.insert(each).second); });
        std::set<NodeId> expected;
        model_[model_[id].parent].children.erase(id);
        forget(id, expected);
        CHECK(gone == expected);
      }
    }
  }
  void forget(NodeId id, std::set<NodeId>& gone) {
    for (NodeId each : std::set<NodeId>(model_[id].children)) forget(each, gone);
    gone.insert(id);
    model_.erase(id);
  }
  void describe(NodeId id) {
    Object& object = model_[id];
    object.attributes = {static_cast<u32>((random_.below(3) == 0 ? S_IFDIR : S_IFREG) | random_.below(4)),
                         static_cast<u32>(random_.below(3)), 0, 0, random_.below(5)};
    object.size = static_cast<i64>(random_.below(1'000'000));
    shadow_.set_attributes(id, object.attributes);
    shadow_.at(id).size = object.size;
  }
  void identify(NodeId id) {
    model_[id].device = 10 + random_.below(3);
    model_[id].inode = 1 + random_.below(800);   // few: many names per inode
    shadow_.set_identity(id, model_[id].device, model_[id].inode);
  }

  void check() {
    CHECK_EQUAL(shadow_.count(), model_.size());
    std::map<std::pair<u64, u64>, std::set<NodeId>> inodes;
    for (const auto& [id, object] : model_) {
      CHECK(shadow_.live(id));
      CHECK_EQUAL(shadow_.path(id), path(id));
      CHECK_EQUAL(shadow_.mapping(id), mapping(id));
      CHECK_EQUAL(shadow_.find_path(mapping(id), path(id)), id);
      CHECK(shadow_.attributes(id) == object.attributes);
      CHECK_EQUAL(shadow_.at(id).size, object.size);
      std::set<NodeId> children;
      for (NodeId each = shadow_.at(id).first_child; each != kNoNode; each = shadow_.at(each).next_sibling)
        CHECK(children.insert(each).second && shadow_.at(each).parent == id);
      CHECK(children == object.children);
      if (object.inode != 0) inodes[{object.device, object.inode}].insert(id);
    }
    for (u64 device = 10; device < 13; ++device)
      for (u64 inode = 1; inode <= 800; ++inode) {
        std::set<NodeId> names;
        for (NodeId each = shadow_.by_inode(device, inode); each != kNoNode; each = shadow_.next_name(each))
          CHECK(names.insert(each).second);
        CHECK((names == inodes[{device, inode}]));
        for (NodeId each : names) {
          CHECK_EQUAL(shadow_.object(each), shadow_.object(*names.begin()));
          CHECK_EQUAL(shadow_.linked(each), names.size() > 1);
        }
      }
    CHECK_EQUAL(shadow_.child(1, "there is no such name"), kNoNode);
  }

  struct Saved final : ByteSink {
    Bytes bytes;
    void append(const void* data, std::size_t size) override { bytes.append(data, size); }
  };
  struct Stored final : ByteFeed {
    const u8* data;
    std::size_t size;
    Stored(const u8* data, std::size_t size) : data(data), size(size) {}
    u64 left() const override { return size; }
    bool take(void* to, std::size_t count) override {
      if (count > size) return false;
      if (count > 0) std::memcpy(to, data, count);
      data += count, size -= count;
      return true;
    }
  };

  // What is saved and loaded holds the same objects under the same paths; cut short, it is refused or shorter, never read
  // beyond its end.
  void check_snapshot() {
    Saved sink;
    shadow_.save(sink);
    const Bytes& saved = sink.bytes;
    Shadow loaded;
    Stored whole(saved.data(), saved.size());
    CHECK(loaded.load(whole));
    CHECK_EQUAL(loaded.count(), model_.size());
    for (const auto& [id, object] : model_) {
      const NodeId other = loaded.find_path(mapping(id), path(id));
      CHECK(other != kNoNode && loaded.attributes(other) == object.attributes);
      CHECK_EQUAL(loaded.at(other).size, object.size);
      CHECK_EQUAL(loaded.at(other).inode, object.inode);
      if (object.inode != 0) CHECK_EQUAL(loaded.device(loaded.at(other).device), object.device);
      CHECK_EQUAL(loaded.linked(other), shadow_.linked(id));
    }
    for (int i = 0; i < 50; ++i) {
      const std::size_t size = random_.below(saved.size());
      std::unique_ptr<u8[]> exact(new u8[size]);
      std::memcpy(exact.get(), saved.data(), size);
      Shadow part;
      Stored cut(exact.get(), size);
      if (part.load(cut)) CHECK(part.count() < model_.size());
    }
  }

  Random random_;
  Shadow shadow_;
  std::map<NodeId, Object> model_;
  u32 roots_;
  bool long_names_;
};

// ----------------------------------------------------------------------------------------------------------- stream

// A target as receiver.cc is one, in a few lines; and the wire between.
class StreamModel {
 public:
  explicit StreamModel(u64 seed) : random_(seed), stream_(std::make_shared<QueueBudget>(kMax), DiskQueueOptions{}) {}

  void run(u64 steps) {
    for (u64 i = 0; i < steps; ++i) {
      switch (random_.below(12)) {
        case 0: case 1: case 2: case 3: push(); break;
        case 4: case 5: case 6: send(); break;
        case 7: case 8: if (received_ > applied_) ++applied_; break;
        case 9: acknowledge(); break;
        case 10:
          if (random_.below(3) == 0) durable_ = applied_;
          acknowledge();
          break;
        default: if (random_.below(6) == 0) lose(); break;
      }
      check();
    }
    // Left alone, everything arrives.
    for (u64 i = 0; i < 10'000 && !(applied_ + 1 == stream_.next_sequence() && durable_ == applied_); ++i) {
      send();
      durable_ = applied_ = received_;
      acknowledge();
    }
    CHECK_EQUAL(durable_ + 1, stream_.next_sequence());
    CHECK_EQUAL(stream_.counters().queued_ops, u64{0});
    CHECK_EQUAL(stream_.oldest_unapplied_ns(), i64{0});
    CHECK_EQUAL(stream_.counters().memory, u64{0});
    CHECK(!stream_.undurable());
  }

 private:
  static constexpr u64 kMax = 300'000, kWindow = 40'000;

  void push() {
    StreamBatch batch;
    batch.sequence = stream_.next_sequence();
    auto bytes = std::make_shared<Bytes>();
    bytes->resize(100 + random_.below(9'000));
    batch.bytes = bytes;
    batch.operations = static_cast<u32>(1 + random_.below(50));
    batch.data_bytes = random_.below(9'000);
    batch.mirror = random_.below(3) == 0;
    batch.since_ns = static_cast<i64>(batch.sequence);
    std::vector<SetPath> touched;
    for (u64 n = random_.below(4); n > 0; --n) touched.push_back({0, std::to_string(random_.below(500)), false});
    Told told{batch.sequence, bytes->size(), batch.operations, touched};
    const u64 held = memory(), more = told.bytes + TouchedPaths(touched).bytes();
    const bool roomy = stream_.has_room(true);
    const bool taken = stream_.push(batch, touched);
    CHECK_EQUAL(taken, held == 0 || held + more <= kMax);   // the only member: all of the budget is its own
    CHECK(taken || !roomy || more > kMax / 16);
    if (taken) return told_.push_back(told);
    // Nothing of it was taken, and the same number is free for the next.
    CHECK_EQUAL(stream_.next_sequence(), told.sequence);
    if (random_.below(4) != 0) return;
    std::set<std::string> lost;
    for (const SetPath& path : stream_.break_off()) lost.insert(path.path);
    check_named(lost, known_durable_);
    begin_again();
  }
  u64 memory() const {
    u64 bytes = 0;
    for (const Told& each : told_) {
      if (each.sequence > acknowledged_) bytes += each.bytes;
      if (each.sequence > known_durable_) bytes += TouchedPaths(each.touched).bytes();
    }
    return bytes;
  }
  // Every path that was told after `durable`?
  void check_named(const std::set<std::string>& named, u64 durable) const {
    std::set<std::string> doubtful;
    for (const Told& each : told_)
      if (each.sequence > durable)
        for (const SetPath& path : each.touched) doubtful.insert(path.path);
    CHECK(std::includes(named.begin(), named.end(), doubtful.begin(), doubtful.end()));
  }
  void begin_again() {
    const u64 before = stream_.id();
    stream_.restart();
    CHECK(stream_.id() != before && stream_.id() != 0 && !stream_.damaged());
    told_.clear();
    known_ = stream_.id();
    acknowledged_ = received_ = applied_ = durable_ = known_durable_ = flying_ = 0;
    CHECK_EQUAL(stream_.next_sequence(), u64{1});
  }
  void send() {
    const StreamBatch batch = stream_.take(kWindow);
    if (!batch.bytes) return;
    CHECK(flying_ < kWindow);
    flying_ += batch.bytes->size();
    stream_.sent(batch, batch.bytes->size());
    CHECK(batch.sequence <= received_ + 1);   // otherwise a gap, which ends the link
    if (batch.sequence == received_ + 1) ++received_;
    known_ = stream_.id();
  }
  void acknowledge() {
    if (known_ != stream_.id()) return;
    wire::Ack ack{};
    ack.applied = applied_;
    ack.durable = durable_;
    for (const Told& each : told_)
      if (each.sequence > acknowledged_ && each.sequence <= applied_) flying_ -= std::min(flying_, each.bytes);
    acknowledged_ = std::max(acknowledged_, applied_);
    known_durable_ = std::max(known_durable_, durable_);
    stream_.acknowledge(ack);
  }
  // The link goes, and perhaps the target's process or its power.
  void lose() {
    stream_.link_lost();
    flying_ = 0;
    received_ = applied_;
    if (random_.below(2) == 0) received_ = applied_ = durable_;
    const wire::StreamPosition hello = stream_.hello();
    CHECK_EQUAL(hello.stream, stream_.id());
    wire::StreamPosition welcome{};
    welcome.stream = known_;
    welcome.applied = applied_;
    welcome.durable = durable_;
    std::vector<SetPath> repair;
    const Resume resume = stream_.welcome(welcome, repair);
    if (resume == Resume::resumed) {
      // The next batch it sends is one that the target can use.
      CHECK(hello.applied <= applied_);
      return;
    }
    // Only batches that were dropped as applied cannot be sent again.
    CHECK(resume == Resume::repair && hello.applied > applied_);
    std::set<std::string> named;
    for (const SetPath& path : repair) named.insert(path.path);
    check_named(named, durable_);
    begin_again();
  }
  void check() {
    u64 operations = 0, bytes = 0;
    for (const Told& each : told_) {
      if (each.sequence <= acknowledged_) continue;
      operations += each.operations;
      bytes += each.bytes;
    }
    CHECK_EQUAL(stream_.counters().queued_ops, operations);
    CHECK_EQUAL(stream_.held(), bytes);
    CHECK_EQUAL(stream_.counters().memory, memory());
    if (bytes == 0) CHECK(stream_.has_room(true));
    if (bytes >= kMax / 2) CHECK(!stream_.has_room(true));
    CHECK_EQUAL(stream_.last_sequence(), static_cast<u64>(told_.size()));
    CHECK_EQUAL(stream_.hello().applied, acknowledged_);
  }

  struct Told {
    u64 sequence, bytes;
    u32 operations;
    std::vector<SetPath> touched;
  };
  Random random_;
  Stream stream_;
  std::deque<Told> told_;             // all of this stream
  u64 known_ = 0;                     // the stream which the target knows
  u64 received_ = 0, applied_ = 0, durable_ = 0, acknowledged_ = 0, known_durable_ = 0, flying_ = 0;
};

void blocks(u64 seed) {
  Random random(seed);
  const u64 max = 20'000;
  BlockIndexes indexes(max);
  std::deque<std::pair<u64, std::vector<u64>>> model;   // most recent first
  const auto used = [&] {
    u64 bytes = 0;
    for (const auto& [object, hashes] : model) bytes += hashes.size() * sizeof(u64);
    return bytes;
  };
  for (int i = 0; i < 20'000; ++i) {
    const u64 object = random.below(60);
    const auto at = std::find_if(model.begin(), model.end(), [&](const auto& each) { return each.first == object; });
    switch (random.below(5)) {
      case 0: case 1: {
        BlockIndex index;
        index.hashes.resize(random.below(random.below(30) == 0 ? 4'000 : 200), random.next());
        if (at != model.end()) model.erase(at);
        model.emplace_front(object, index.hashes);
        indexes.put(object, std::move(index));
        while (used() > max && model.size() > 1) model.pop_back();
        break;
      }
      case 2:
        if (at != model.end()) model.erase(at);
        indexes.drop(object);
        break;
      default: {
        const BlockIndex* found = indexes.find(object);
        CHECK_EQUAL(found != nullptr, at != model.end());
        if (found == nullptr) break;
        CHECK(found->hashes == at->second);
        std::rotate(model.begin(), at, at + 1);
      }
    }
    CHECK_EQUAL(indexes.bytes(), used());
  }
}

}  // namespace

TEST("shadow: any sequence of changes leaves what a plain map of objects holds") {
  for_seeds(6, [](u64 seed) { ShadowModel(seed).run(seed == 1 ? 25'000 : 6'000); });
}
TEST("I2: a stream loses nothing over any order of losses of link and power") {
  for_seeds(30, [](u64 seed) { StreamModel(seed).run(4'000); });
}
TEST("I8: block indexes forget the longest unused ones, and count their bytes") {
  for_seeds(3, blocks);
}
TEST("I8: the size of a block keeps an index below its bound, and there is one for every size of file") {
  for (u64 size = 1; size < (1ull << 61); size = size * 3 + 1) {
    const u64 block = block_size_for(size);
    CHECK(block >= 4'096 && (block & (block - 1)) == 0);
    if (size < (1ull << 50)) CHECK(size / block * sizeof(u64) <= 4u << 20);
  }
}

}  // namespace understudy::test

TEST_MAIN
