// Where a large file was written, as the kernel tells it (capture_ranges_bpf.h), says where to look first: a database
// that writes a page here and there costs the reading of these pages. It is never taken for the whole truth. A file of
// which only some places were looked at stays unproven (no stat equals its shadow) until it has been compared whole:
// soon after it is left alone, once a minute while it is not, and before any barrier is met.
#include <sys/vfs.h>

#include <algorithm>

#include "source.h"

namespace understudy {

namespace {
constexpr i64 kWholeFrom = 4 << 20;            // smaller files are compared whole at once
constexpr std::size_t kFilesMax = 1'024;       // files with known places; others are compared whole
constexpr std::size_t kSpansMax = 4'096;       // places of one file
constexpr i64 kQuietNs = 2'000'000'000;
constexpr i64 kProofEveryNs = 60'000'000'000;
constexpr long kExt4Magic = 0xEF53;
}  // namespace

// An accelerator: where it cannot be had, files are compared whole.
void Source::open_ranges() {
  ranges_.reset();
  std::vector<u64> devices;
  for (const CaptureRoot& root : roots_) {
    struct statfs filesystem;
    struct stat stat;
    if (::fstatfs(root.fd, &filesystem) != 0 || filesystem.f_type != kExt4Magic || ::fstat(root.fd, &stat) != 0) continue;
    if (std::find(devices.begin(), devices.end(), stat.st_dev) == devices.end()) devices.push_back(stat.st_dev);
  }
  if (devices.empty()) return;
  if (auto opened = RangeHints::open(devices)) ranges_ = std::move(*opened);
}

void Source::drain_ranges() {
  if (!ranges_) return;
  bool any = false;   // Ranges are dropped only where others fill the ring.
  ranges_->drain([&](u64 device, u64 inode, u64 offset, u64 length) {
    any = true;
    note_range(device, inode, offset, length);
  });
  if (!any || !ranges_->lost()) return;
  for (auto& [object, written] : written_) written.whole = true;
}

void Source::note_range(u64 device, u64 inode, u64 offset, u64 length) {
  const NodeId node = shadow_.by_inode(device, inode);
  if (node == kNoNode || !shadow_.is_regular(node) || shadow_.at(node).size < kWholeFrom) return;
  const u64 object = shadow_.object(node);
  if (indexes_.find(object) == nullptr && busy_.count(object) == 0) return;   // Compared whole in any case.
  auto at = written_.find(object);
  if (at == written_.end()) {
    if (written_.size() >= kFilesMax) return;
    at = written_.try_emplace(object).first;
    at->second.device = device;
    at->second.inode = inode;
  }
  Written& written = at->second;
  written.last_ns = monotonic_ns();
  const u64 end = length > ~u64{0} - offset ? ~u64{0} : offset + length;
  if (!written.spans.empty() && offset <= written.spans.back().second && end >= written.spans.back().first) {
    written.spans.back().first = std::min(written.spans.back().first, offset);
    written.spans.back().second = std::max(written.spans.back().second, end);
  } else if (written.spans.size() < kSpansMax) {
    written.spans.emplace_back(offset, end);
  } else {
    written.whole = true;
  }
}

bool Source::places_known(u64 object) const {
  const auto at = written_.find(object);
  return at != written_.end() && !at->second.whole && !force_ && (!at->second.spans.empty() || at->second.unproven_ns != 0);
}

// The blocks to look at in a file of this size of which `index` says what was told. None: all of them.
// `nothing`: what was written has been looked at already, and the proof is still to come.
std::vector<Source::Span> Source::places_to_look(u64 object, const BlockIndex& index, u64 size, bool& nothing) {
  nothing = false;
  const auto at = written_.find(object);
  if (at == written_.end()) return {};
  Written& written = at->second;
  std::vector<Span> spans = std::exchange(written.spans, {});
  const i64 now = monotonic_ns();
  if (force_ || written.whole || size < static_cast<u64>(kWholeFrom) || index.block > (1u << 20)) return {};
  if (spans.empty() && written.unproven_ns == 0) return {};
  if (index.size != size) spans.emplace_back(std::min(index.size, size), size);
  if (spans.empty()) {
    written.last_ns = now;
    nothing = true;
    return {};
  }
  for (Span& span : spans) {
    span.first = std::min(span.first, size - 1) / index.block * index.block;
    span.second = std::min(size, span.second > size ? size : (span.second + index.block - 1) / index.block * index.block);
  }
  std::sort(spans.begin(), spans.end());
  std::size_t last = 0;
  u64 total = 0;
  for (const Span& span : spans) {
    if (span.first <= spans[last].second) spans[last].second = std::max(spans[last].second, span.second);
    else spans[++last] = span;
  }
  spans.resize(last + 1);
  for (const Span& span : spans) total += span.second - span.first;
  if (total > size / 2) return {};
  if (written.unproven_ns == 0) written.unproven_ns = now;
  return spans;
}

// A whole comparison has ended: it proves what was written before it began.
void Source::proven(u64 object) {
  const auto at = written_.find(object);
  if (at == written_.end()) return;
  at->second.unproven_ns = at->second.asked_ns = 0;
  at->second.whole = false;
  if (at->second.spans.empty()) written_.erase(at);
}

// Asks for the proofs that are due.
void Source::ask_proofs() {
  if (written_.empty()) return;
  const i64 now = monotonic_ns();
  for (auto at = written_.begin(); at != written_.end();) {
    Written& written = at->second;
    const NodeId node = shadow_.by_inode(written.device, written.inode);
    // Gone, or the kernel has given the inode to something else, of which there is nothing to prove.
    if (node == kNoNode || shadow_.object(node) != at->first || !shadow_.is_regular(node)) {
      at = written_.erase(at);
      continue;
    }
    if (proof_due_ns(written) <= now && now - written.asked_ns > kQuietNs / 4 && busy_.count(at->first) == 0) {
      written.asked_ns = now;
      written.whole = true;
      time_unknown(node);
      add_dirty(shadow_.at(node).parent, shadow_.name(node), kHintContent, 0, 0, written.unproven_ns);
    }
    ++at;
  }
}

i64 Source::proof_due_ns(const Written& written) const {
  if (written.unproven_ns == 0) return monotonic_ns() + kProofEveryNs;
  if (force_) return 0;
  return std::min(written.last_ns + kQuietNs, written.unproven_ns + kProofEveryNs);
}

}  // namespace understudy
