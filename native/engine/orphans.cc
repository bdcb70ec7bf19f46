// Source side of orphans: names which a target holds and the set does not, told in the stream's order (MIR-50..62).
#include <sys/stat.h>

#include "object_facts.h"
#include "source.h"

namespace understudy {

namespace {
constexpr std::size_t kKeepBytesMax = 32u << 10;
}

// The target decides what becomes of it. Nothing that exists here is ever told, whatever the shadow says: what
// appears afterwards is told later in the same stream, and so is made anew after its namesake went (I1).
void Source::tell_orphan(Channel& channel, NodeId directory, std::string_view name, const wire::ManifestEntry& entry) {
  const int fd = directory_fd(directory);
  const std::string own(name);
  struct stat status;
  if (fd < 0 || ::fstatat(fd, own.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) return;
  const std::string path = absolute_path(directory) + "/" + own;
  const bool is_directory = S_ISDIR(entry.mode);
  std::string keep;
  if (is_directory) {
    for (const std::string& pattern : rules_.kept_below(path)) keep.append(pattern).push_back('\0');
  }
  if (keep.size() > kKeepBytesMax) return;   // more than an operation should carry: it stays
  const MirrorRun& mirror = channel.mirror;
  wire::OpHeader header{};
  header.kind = static_cast<u8>(wire::OpKind::orphan);
  header.flags = mirror.options.orphans == MirrorOptions::Orphans::preview ? wire::kOpPreview : 0;
  header.mapping = static_cast<u16>(shadow_.mapping(directory));
  const std::string at = shadow_.path(directory);
  emit_to(channel, mirror.active && !mirror.verify, header, at.empty() ? own : at + "/" + own, {}, keep);
  if (mirror.options.orphans != MirrorOptions::Orphans::preview) times_.insert(directory);   // of its own, again
}

// The last of a run: the target reports its totals (MIR-57).
void Source::tell_orphans_end(Channel& channel) {
  const MirrorRun& mirror = channel.mirror;
  const bool asked = mirror.options.orphans != MirrorOptions::Orphans::automatic;
  if (mirror.orphans == 0 && !asked) return;
  wire::OpHeader header{};
  header.kind = static_cast<u8>(wire::OpKind::orphan);
  header.flags = mirror.options.orphans == MirrorOptions::Orphans::preview ? wire::kOpPreview : 0;
  header.arg0 = asked ? 1 : 0;   // totals are wanted even when they are zero
  emit_to(channel, mirror.active && !mirror.verify, header, {}, {}, {});
}

}  // namespace understudy
