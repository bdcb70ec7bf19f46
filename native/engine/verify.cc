// Verification: the walk without telling (VER-01). Finds, counts and lists what differs, with the state of both sides
// before anything is sent again (VER-17, VER-18); contents only where checksums are asked for (VER-06).
#include "object_facts.h"
#include "source.h"

#include <xxhash.h>

namespace understudy {

namespace {
// What one verification lists; the rest is counted.
constexpr std::size_t kPathsMax = 10'000;
constexpr std::size_t kPathBytesMax = 2u << 20;
}  // namespace

// `detail` is numbers: size and time (ms) here, the same there (-1: nothing there), differing blocks, blocks compared.
void Source::verify_note(Channel& channel, const char* what, const std::string& path, NodeId node, i64 mtime_ns,
                         const wire::ManifestEntry* entry, u64 blocks_differ, u64 blocks) {
  MirrorRun& mirror = channel.mirror;
  if (mirror.paths.size() >= kPathsMax || mirror.path_bytes >= kPathBytesMax) {
    ++mirror.omitted;
    return;
  }
  std::string detail;
  auto side = [&](i64 size, i64 time_ns) {
    detail += std::to_string(size) + " " + std::to_string(time_ns / 1'000'000) + " ";
  };
  if (node != kNoNode) side(shadow_.is_regular(node) ? shadow_.at(node).size : 0, mtime_ns);
  else detail += "-1 -1 ";
  if (entry != nullptr) side(S_ISREG(entry->mode) ? static_cast<i64>(entry->size) : 0, entry->mtime_ns);
  else detail += "-1 -1 ";
  detail += std::to_string(blocks_differ) + " " + std::to_string(blocks);
  mirror.paths.push_back(std::string(what) + " " + path);
  mirror.path_bytes += mirror.paths.back().size() + detail.size();
  mirror.details.push_back(std::move(detail));
}

// The time of an object, of the file itself while it is to be looked at again: what was told of it may be all there is.
i64 Source::time_there(NodeId node, int directory_fd) const {
  const i64 known_ns = shadow_.at(node).mtime_ns;
  struct statx stat;
  if (known_ns != kUnknownTime) return known_ns;
  return ::statx(directory_fd, std::string(shadow_.name(node)).c_str(), AT_SYMLINK_NOFOLLOW, kStatx, &stat) == 0 ? stx_ns(stat.stx_mtime) : 0;
}

void Source::verify_node(Channel& channel, NodeId node, int directory_fd, const wire::ManifestEntry* entry) {
  MirrorRun& mirror = channel.mirror;
  const MirrorOptions& options = mirror.options;
  const i64 mtime_ns = time_there(node, directory_fd);
  if (entry == nullptr) {
    ++mirror.missing;
    verify_note(channel, "missing", absolute_path(node), node, mtime_ns, nullptr, 0, 0);
  } else {
    bool differs = entry_differs(*entry, node, mtime_ns, true);
    const u32 kind = shadow_.mode(node) & S_IFMT;
    if (!differs && kind == S_IFLNK) {
      char text[4096];
      const std::string name(shadow_.name(node));
      const ssize_t length = ::readlinkat(directory_fd, name.c_str(), text, sizeof text);
      differs = length > 0 && entry->detail != XXH3_64bits(text, static_cast<std::size_t>(length));
    } else if (!differs && (kind == S_IFCHR || kind == S_IFBLK)) {
      differs = entry->detail != shadow_.attributes(node).rdev;
    }
    if (!differs) {
      if (options.checksum && kind == S_IFREG && shadow_.at(node).size > 0) request_hashes(channel, node, true, entry);
      return;
    }
    ++mirror.different;
    verify_note(channel, "different", absolute_path(node), node, mtime_ns, entry, 0, 0);
    if (options.newer && mtime_ns <= entry->mtime_ns) return;   // VER-05
  }
  if (!options.remirror || !shadow_.live(node)) return;
  ++mirror.resent;
  untell_one(node, channel.bit);
  tell_later(channel, node);
}

// A file whose attributes are equal was compared block by block.
void Source::verify_job(const FileJob& job) {
  if (job.blocks_differ == 0 && job.their_size == job.size) return;
  MirrorRun& mirror = job.mirror->mirror;
  ++mirror.different;
  if (job.mask != 0) ++mirror.resent;
  verify_note(*job.mirror, "different", absolute_path(job.node), job.node, stx_ns(job.before.stx_mtime), &job.their_entry, job.blocks_differ,
              (job.size + job.block - 1) / job.block);
}

void Source::verify_finish(Channel& channel, MirrorRun& done, i64 ms) {
  if (done.options.orphans != MirrorOptions::Orphans::automatic) {
    tell_(Fact("orphans_done").with("connection", i64{channel.options().id}).with("orphans", static_cast<i64>(done.orphans))
              .with("paths", std::move(done.paths)).with("omitted", static_cast<i64>(done.omitted)).with("ms", ms));
    return;
  }
  tell_(Fact("verify_done").with("connection", i64{channel.options().id}).with("files", static_cast<i64>(done.files))
            .with("bytes", static_cast<i64>(total_bytes_)).with("different", static_cast<i64>(done.different))
            .with("missing", static_cast<i64>(done.missing)).with("orphans", static_cast<i64>(done.orphans))
            .with("resent", static_cast<i64>(done.resent)).with("paths", std::move(done.paths))
            .with("details", std::move(done.details)).with("omitted", static_cast<i64>(done.omitted)).with("ms", ms));
}

}  // namespace understudy
