// What a target refused, as a person asks for it: listed in order, and told again before its time (P6, REP-10).
#include "source.h"
#include "utf8.h"

namespace understudy {

namespace {

constexpr i64 kPauseMaxNs = 300'000'000'000;
constexpr u32 kDoublingsMax = 20;

const char* kind_name(u8 kind) {
  switch (static_cast<wire::OpKind>(kind)) {
    case wire::OpKind::mkdir: return "mkdir";
    case wire::OpKind::file: return "file";
    case wire::OpKind::create: return "create";
    case wire::OpKind::write: return "write";
    case wire::OpKind::truncate: return "truncate";
    case wire::OpKind::punch: return "punch";
    case wire::OpKind::setattr: return "setattr";
    case wire::OpKind::xattrs: return "xattrs";
    case wire::OpKind::symlink: return "symlink";
    case wire::OpKind::link: return "link";
    case wire::OpKind::mknod: return "mknod";
    case wire::OpKind::remove: return "remove";
    case wire::OpKind::rename: return "rename";
    default: return "unknown";
  }
}

// Names are bytes, and people are shown text: a path is listed, found again and paged by what is shown.
std::string shown(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::size_t size = utf8_length(path);
    if (size == 0) out += "\xEF\xBF\xBD";
    else out.append(path.substr(0, size));
    path.remove_prefix(std::max<std::size_t>(1, size));
  }
  return out;
}

}  // namespace

// The first refusal is answered at once; then the pause doubles, from the setting up to five minutes, or stays at the
// setting where that is longer.
i64 Source::quarantine_pause_ns(const ChannelOptions& options, u32 attempts) {
  if (attempts <= 1) return 0;
  const i64 most = std::max(kPauseMaxNs, options.retry_ns);
  i64 pause = options.retry_ns;
  for (u32 i = 2; i < std::min(attempts, kDoublingsMax) && pause < most; ++i) pause *= 2;
  return std::min(pause, most);
}

void Source::quarantine_list(Channel& channel, i64 token, const std::string& after, std::size_t limit) {
  // The order of the list is that of what is shown, so that a page goes on where the last one ended.
  std::multimap<std::string, const Quarantined*> all;
  for (const auto& [place, entry] : channel.quarantine) all.emplace(shown(set_path(place.first, place.second)), &entry);
  const i64 now = monotonic_ns(), wall = realtime_ns();
  std::vector<std::string> paths, details;
  auto at = after.empty() ? all.begin() : all.upper_bound(after);
  for (; at != all.end() && paths.size() < limit; ++at) {
    const Quarantined& entry = *at->second;
    const i64 next = entry.retry_ns == 0 ? 0 : (wall + std::max<i64>(0, entry.retry_ns - now)) / 1'000'000;
    paths.push_back(at->first);
    details.push_back(std::string(kind_name(entry.kind)) + ' ' + std::to_string(entry.error) + ' ' + std::to_string(entry.attempts) + ' ' +
                      std::to_string((wall - (now - entry.since_ns)) / 1'000'000) + ' ' + std::to_string(next) + ' ' + entry.call);
  }
  tell_(Fact("quarantine_listed").with("connection", i64{channel.options().id}).with("token", token)
            .with("paths", std::move(paths)).with("details", std::move(details))
            .with("omitted", static_cast<i64>(std::distance(at, all.end()))).with("total", static_cast<i64>(all.size())));
}

void Source::quarantine_retry(Channel& channel, i64 token, const std::string& path) {
  i64 count = 0;
  for (auto& [place, entry] : channel.quarantine) {
    if (!path.empty() && shown(set_path(place.first, place.second)) != path) continue;
    ++count;
    if (entry.retry_ns != 0) entry.retry_ns = 1;   // Otherwise it has just been told, and the target is to say.
  }
  tell_(Fact("quarantine_retried").with("connection", i64{channel.options().id}).with("token", token).with("count", count));
}

}  // namespace understudy
