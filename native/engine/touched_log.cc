// The log of what was told since the last snapshot of the shadow (DESIGN 8).
//
// A path is written to it before the batch that tells it can leave. After a crash the newest snapshot says what the replica
// held, the log says which paths may have moved on; only those are compared with the target.
//
// A snapshot begins a new log. What the one before names was told, but not all of it need be on every target: it becomes
// the old log, and goes when all that was under way at the snapshot has come into the streams, and these up to there are
// durable. That moment comes while changes go on, however many. Where it does not come for long, because a target is away
// while others go on, the old log has each path once.
#include <sys/stat.h>

#include <algorithm>

#include <xxhash.h>

#include "source.h"
#include "state_file.h"

namespace understudy {

namespace {
constexpr std::size_t kLoggedMax = 100'000;   // paths that wait for a log which cannot be written

// Which paths were met. Two of them have the same digest never: not once in 10^20 logs of a billion paths.
class Met {
 public:
  bool first(const SetPath& path) {   // A deep record counts besides a shallow one.
    const XXH128_hash_t digest = XXH3_128bits_withSeed(path.path.data(), path.path.size(), path.mapping * 2 + (path.deep ? 1 : 0));
    return met_.insert({digest.low64, digest.high64}).second;
  }

 private:
  struct Hash {
    std::size_t operator()(const std::pair<u64, u64>& digest) const { return digest.first; }
  };
  std::unordered_set<std::pair<u64, u64>, Hash> met_;
};

// Calls `each` with every path of a log, once, in the order in which they came. Returns where the last whole record ends;
// whoever is killed while it writes leaves a torn one behind that.
template <typename Each>
Result<u64> each_logged(const std::string& path, Met& met, Each each) {
  Result<FileFeed> file = FileFeed::open(path);
  if (!file) return file.error().code == ENOENT ? Result<u64>(u64{0}) : Result<u64>(file.error());
  const u64 size = file->left();
  u8 record[kSetPathHead + wire::kPathBytesMax];
  u64 whole = 0;
  for (SetPath next; file->left() >= kSetPathHead; whole = size - file->left()) {
    u32 text;
    if (!file->take(record, kSetPathHead)) return SysError{EIO, "read"};
    std::memcpy(&text, record + sizeof(u32), sizeof text);
    if (text > wire::kPathBytesMax || text > file->left()) break;
    if (!file->take(record + kSetPathHead, text)) return SysError{EIO, "read"};
    const u8* at = record;
    if (take_path(at, record + kSetPathHead + text, next) && met.first(next)) each(next);
  }
  return whole;
}

// To the end of a file, piece by piece, what the other one has from where it stands.
bool append_rest(int to, int from) {
  Bytes piece;
  piece.resize(256u << 10);
  for (;;) {
    const ssize_t got = ::read(from, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
    if (!append_all(to, piece.data(), static_cast<std::size_t>(got))) return false;
  }
}
}  // namespace

// What is about to be told. Survives a kill (page cache), not a power loss of the source.
void Source::log_touched() {
  if (logged_.empty()) return;
  Bytes out;
  for (const SetPath& path : logged_) put_path(out, path);
  const Status written = append_touched(out);
  if (written) {
    logged_.clear();
    touched_log_bytes_ += out.size();
    return;
  }
  unreadable(state_path("touched"), written.error());
  // Until they are written, with the next batch, a crash would not know what is in doubt: without its snapshot it is
  // followed by a mirror.
  ::unlink(state_path("shadow").c_str());
  if (logged_.size() <= kLoggedMax) return;
  logged_.clear();
  log_lost_ = true;
}

Status Source::append_touched(const Bytes& records) {
  if (!touched_log_) touched_log_ = Fd(::open(state_path("touched").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!touched_log_) return sys_error("open");
  return append_all(touched_log_.get(), records.data(), records.size());
}

// `mend`: a torn last record is cut off, because nothing that was appended behind it could be read.
Status Source::read_logs(std::vector<SetPath>& out, bool mend) const {
  Met met;
  Status good = ok();
  for (const char* name : {"touched.old", "touched"}) {
    const std::string path = state_path(name);
    const Result<u64> whole = each_logged(path, met, [&](const SetPath& each) { out.push_back(each); });
    if (!whole) good = whole.error();
    else if (mend) (void)!::truncate(path.c_str(), static_cast<off_t>(*whole));
  }
  return good;
}

// What the log names of all that was told and may not be on every target: more than any one stream needs, and there when
// the disk of a queue is not.
void Source::read_logged(std::vector<SetPath>& out) {
  log_touched();
  (void)read_logs(out, false);
  out.insert(out.end(), logged_.begin(), logged_.end());
}

// Is something of it told by halves, or to be told again?
bool Source::under_way(const Channel& channel) const {
  return channel.broken || channel.behind || channel.repair_pending || mirror_running(channel) || !channel.hash_requests.empty() ||
         channel.stream.move_in_doubt() || channel.replies_pending != 0;   // Looked at last: counted before the acknowledgement behind it.
}

// May the target lack something of what the shadow calls told?
bool Source::unsettled(const Channel& channel) const {
  return !channel.quarantine.empty() || channel.stream.undurable() || !channel.touched.empty() || under_way(channel);
}

// A snapshot was taken while something was unsettled: nothing of the log may be forgotten yet.
void Source::keep_log() {
  const std::string log = state_path("touched"), old = state_path("touched.old");
  touched_log_.reset();
  old_log_ = true;
  old_log_marked_ = false;
  const Fd from(::open(log.c_str(), O_RDONLY | O_CLOEXEC)), keep(::open(old.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  struct stat before{}, after{};
  if (!from || !keep || ::fstat(keep.get(), &before) != 0) return;
  // On the disk before the end of this run is called an orderly one.
  if (before.st_size == 0) {
    if (::fdatasync(from.get()) == 0) (void)::rename(log.c_str(), old.c_str());
    return;
  }
  if (append_rest(keep.get(), from.get()) && ::fdatasync(keep.get()) == 0) ::unlink(log.c_str());
  else (void)!::ftruncate(keep.get(), before.st_size);   // Or it would be there twice.
  if (::fstat(keep.get(), &after) == 0 && after.st_size > static_cast<off_t>(std::max(options_.log_max, 2 * old_log_once_))) thin_old_log();
}

void Source::thin_old_log() {
  const std::string old = state_path("touched.old");
  FileReplacement thin(old, 0);
  Met met;
  Bytes record;
  const Result<u64> read = each_logged(old, met, [&](const SetPath& path) {
    record.clear();
    put_path(record, path);
    thin.append(record.data(), record.size());
  });
  old_log_once_ = thin.size();
  const Status written = read ? thin.commit({}) : Status(read.error());
  if (!written) unreadable(old, written.error());   // As it was, it is as good.
}

void Source::drop_logs() {
  touched_log_.reset();
  drop_old_log();
  ::unlink(state_path("touched").c_str());
}

void Source::drop_old_log() {
  ::unlink(state_path("touched.old").c_str());
  old_log_ = old_log_marked_ = false;
  old_log_once_ = 0;
}

// The old log goes when the streams are durable up to a moment at which nothing of what it names was under way any more.
void Source::settle_old_log() {
  if (!old_log_ || !ready_told_ || doubting_ || left_behind_ || !jobs_.empty() || channels_.empty()) return;
  const auto any_under_way = [this] {
    return std::any_of(channels_.begin(), channels_.end(), [this](const auto& channel) { return under_way(*channel); });
  };
  if (!old_log_marked_) {
    if (any_under_way()) return;
    for (const auto& channel : channels_) flush(*channel);
    if (any_under_way()) return;
    for (const auto& channel : channels_) {
      channel->log_stream = channel->stream.id();
      channel->log_until = channel->stream.last_sequence();
    }
    old_log_marked_ = true;
  }
  for (const auto& channel : channels_) {
    if (channel->log_stream == 0) continue;   // Newer than that moment: its log is the one that is written now.
    if (channel->log_stream != channel->stream.id()) {
      old_log_marked_ = false;
      return;
    }
    if (channel->stream.target().durable < channel->log_until) return;
  }
  // What was refused came before that acknowledgement. What follows of it is under way, or waits in quarantine and is
  // named in the new log.
  if (any_under_way()) return;
  log_touched();
  if (!logged_.empty()) return;
  for (const auto& channel : channels_)
    for (const auto& [place, entry] : channel->quarantine) log_doubt(place.first, place.second, entry.deep);
  log_touched();
  if (!logged_.empty()) return;
  drop_old_log();
}

}  // namespace understudy
