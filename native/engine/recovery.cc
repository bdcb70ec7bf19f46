// What each target holds for certain (GLO-29, I3), and since when it is in doubt.
//
// Everything that changed before its recovery point is on a target. That point is the oldest of: changes noticed and not
// told (publish_waiting), told and not applied (recovery_marks.h), and the beginning of whatever doubt there is: events
// that were lost, names that wait because a queue was full, a stream that broke, a mirror that has not come to its end,
// replication that is stopped. What a worker that hangs has not looked at counts from its last look.
//
// Not counted are paths that the target refuses and paths that cannot be read here, which are named on their own, and
// stores through mappings until a sweep finds them.
#include <algorithm>

#include "crc.h"
#include "source.h"
#include "state_file.h"

namespace understudy {

namespace {
constexpr std::size_t kFewNames = 1'000;
constexpr i64 kManyEveryNs = 1'000'000'000;     // more names than that are looked through this often
constexpr i64 kPointsEveryNs = 300'000'000'000; // how often points are written down while nothing happens
constexpr u64 kMagic = 0x3330746e696f5055ull;   // "UPoint03"

// The file that says "was attached before" holds it; an earlier release left it empty.
struct Record {
  u64 magic;
  KeptClock kept;
  i64 point_ns;    // 0: it never held everything
  i64 looked_ns;   // what happened here later, nobody has seen
  u32 must_mirror;
  u32 settling;
  u32 unused;
  u32 checksum;         // of what is before it
};
u32 checksum_of(const Record& record) { return checksum(reinterpret_cast<const u8*>(&record), offsetof(Record, checksum)); }

// Of kNeverNs it is some hundred thousand years. What was noticed after `now` was read is as young as can be.
i64 age_ms(i64 since_ns, i64 now) {
  if (since_ns >= now) return 1;
  return static_cast<i64>((static_cast<u64>(now) - static_cast<u64>(since_ns) + 999'999) / 1'000'000);
}
}  // namespace

// ------------------------------------------------------------------------------------------------------------- doubt

void Source::in_doubt(Channel& channel, i64 since_ns) {
  since_ns = earlier(since_ns, earlier(waits_since(channel), earlier(channel.waiting_ns, channel.stream.oldest_change_ns(true))));
  if (since_ns == 0) since_ns = monotonic_ns();
  channel.doubt_ns = earlier(channel.doubt_ns, since_ns);
}

// Until a mirror has come to its end.
void Source::in_doubt_until_mirrored(Channel& channel, i64 since_ns) {
  in_doubt(channel, since_ns);
  channel.must_mirror = true;
  keep_point(channel);
}

// Nothing is in doubt any more, unless something else is. Even then it is written down: what a mirror has ended, the next
// run need not begin again.
void Source::vouch(Channel& channel) {
  if (!channel.settling && !channel.must_mirror && !channel.broken) {
    if (const i64 since_ns = channel.doubt_ns; since_ns != 0) channel.stream.vouched(since_ns);
    channel.doubt_ns = 0;
  }
  keep_point(channel);
}

// What the target holds of these paths is not known until all of it is told again and applied (I3).
void Source::begin_repair(Channel& channel, i64 since_ns) {
  in_doubt(channel, since_ns);
  channel.settling = true;
  channel.counters.repairing = true;
  channel.repair_until = 0;
  channel.repair_since_ns = monotonic_ns();
}

// Something happened that nobody saw, who knows when: everything is looked at, and until what that finds is applied the
// replica may be older than anything here can tell.
void Source::doubt() {
  doubt_ = true;
  for (const auto& channel : channels_) begin_repair(*channel, looked_ns_);
  begin_rescan();
}

void Source::settle_repair(Channel& channel) {
  if (!channel.settling || !ready_told_ || doubt_ || channel.repair_pending || channel.behind) return;
  if (channel.repair_until == 0) {
    if (channel.mirror.walks() || !channel.gone.empty() || !times_.empty()) return;
    const i64 since_ns = channel.repair_since_ns;
    for (const auto& [id, request] : channel.hash_requests)
      if (request.since_ns <= since_ns) return;
    for (const auto& job : jobs_)
      if ((job->mask & channel.bit) && job->since_ns <= since_ns) return;
    for (const Dirty& dirty : dirty_)
      if (dirty.since_ns <= since_ns) return;
    flush(channel);
    channel.repair_until = channel.stream.last_sequence() + 1;
  }
  if (channel.stream.target().applied + 1 < channel.repair_until) return;
  channel.settling = false;
  channel.counters.repairing = false;
  vouch(channel);
}

// ----------------------------------------------------------------------------------------------------------- waiting

// Since when the oldest change waits that was noticed and is in no batch of this channel; 0: none does.
i64 Source::waits_since(const Channel& channel) const {
  if (!channel.replicating) return 0;
  i64 oldest = earlier(oldest_name_ns_, channel.writer_change_ns);
  // What came while an object was being told waits for the end of that, whomever it is told.
  // What is told again has no moment of its own, so that barriers wait for it: it is as old as the reason to tell it.
  const i64 again_ns = channel.extra_since_ns != 0 ? channel.extra_since_ns : monotonic_ns();
  for (const auto& job : jobs_)
    if ((job->mask & channel.bit) || !stale_.empty()) oldest = earlier(oldest, job->since_ns != 0 ? job->since_ns : again_ns);
  for (const auto& [id, request] : channel.hash_requests)
    if (!request.verify) oldest = earlier(oldest, request.since_ns != 0 ? request.since_ns : again_ns);
  if (!channel.mirror.active && channel.mirror.singles()) oldest = earlier(oldest, channel.extra_since_ns);
  return oldest;
}

void Source::publish_waiting() {
  const i64 now = monotonic_ns();
  if (dirty_.size() <= kFewNames || oldest_name_ns_ == 0 || now - names_counted_ns_ > kManyEveryNs) {
    names_counted_ns_ = now;
    oldest_name_ns_ = 0;
    for (const Dirty& dirty : dirty_) oldest_name_ns_ = earlier(oldest_name_ns_, dirty.since_ns);
    for (const Missing& each : missing_) oldest_name_ns_ = earlier(oldest_name_ns_, each.since_ns);
  }
  const bool names = !dirty_.empty() || !missing_.empty();
  for (const auto& channel : channels_) {
    channel->waiting_ns = waits_since(*channel);
    channel->open_bytes = channel->writer.empty() ? 0 : channel->writer.size();
    channel->names_wait = names || channel->behind || !channel->hash_requests.empty() || channel->mirror.singles() || !channel->gone.empty() ||
                          std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& job) { return (job->mask & channel->bit) != 0; });
  }
  looked_ns_ = delivered_ns_;
  if (ready_told_ && now - points_kept_ns_ > kPointsEveryNs) {
    points_kept_ns_ = now;
    for (const auto& channel : channels_) keep_point(*channel);
  }
}

// Between two publications something begins that is not over with the batch or the answer at hand: before the target can
// have applied that, whoever asks must find the rest.
void Source::waits_on(Channel& channel) {
  if (channel.waiting_ns == 0) channel.waiting_ns = waits_since(channel);
}

Lag Source::lag(const Channel& channel) const {
  Lag lag;
  const i64 now = monotonic_ns();
  // In this order: what leaves one is in the next by then. Without a link nobody can know whether a target lost its power
  // since: then only what is durable counts as there.
  i64 waits = channel.counters.replicating ? channel.waiting_ns.load() : 0;
  const bool names = channel.names_wait;
  const i64 looked = looked_ns_;
  const bool blind = looked != 0 && now - looked > kLookNs;
  if (blind) waits = earlier(waits, looked);
  waits = earlier(waits, channel.stream.oldest_change_ns(!channel.ready()));
  // An answer comes before the acknowledgement of its batch, and may be a refusal. Nobody has looked at it yet.
  if (channel.counters.replicating && channel.replies_pending != 0) waits = earlier(waits, now);
  const i64 doubt = channel.doubt_ns;
  const i64 since = earlier(waits, doubt);
  lag.since_ns = since;
  lag.unapplied_ms = waits == 0 ? 0 : age_ms(waits, now);
  lag.ms = since == kNeverNs ? -1 : since == 0 ? 0 : age_ms(since, now);
  if (lag.ms > 0) lag.point_ms = KeptClock::now().to_wall(since) / 1'000'000;
  if (since != 0) lag.bytes = channel.stream.held() + channel.open_bytes;
  lag.at_least = since != 0 && (names || blind || doubt != 0);
  const i64 proven = channel.stream.proven_ns();
  lag.proof_ms = proven == 0 ? -1 : (now - proven) / 1'000'000;
  return lag;
}

// ------------------------------------------------------------------------------------------------- from run to run

void Source::keep_point(const Channel& channel) {
  i64 since = lag(channel).since_ns;
  // The next run does not know what is refused; it tells that again.
  for (const auto& [path, entry] : channel.quarantine) since = earlier(since, entry.missing_ns);
  const i64 looked = looked_ns_ != 0 ? looked_ns_.load() : since;
  Record record{kMagic, KeptClock::now(), 0, 0, channel.must_mirror ? 1u : 0u, channel.settling ? 1u : 0u, 0, 0};
  if (since != kNeverNs) record.point_ns = since != 0 ? since : looked != 0 ? looked : record.kept.monotonic_ns;
  // What was noticed and not told is found anew, and as old as it was.
  if (looked != 0 && looked != kNeverNs) record.looked_ns = earlier(looked, channel.counters.replicating ? channel.waiting_ns.load() : 0);
  record.checksum = checksum_of(record);
  const Fd file(::open(channel.attached_path().c_str(), O_WRONLY | O_CLOEXEC, 0600));   // One that was forgotten stays it.
  if (file) (void)!::pwrite(file.get(), &record, sizeof record, 0);
}

// Of the last run; before the first look of this one.
void Source::recall_point(Channel& channel, bool known, bool resumed, bool gap) {
  Record record{};
  bool kept = false;
  if (Result<Bytes> file = read_file(channel.attached_path(), 4'096); known && file && file->size() == sizeof record) {
    std::memcpy(&record, file->data(), sizeof record);
    kept = record.magic == kMagic && record.checksum == checksum_of(record);
  }
  // Of one that waits for its mirror nothing is told before that.
  channel.must_mirror = !known || gap || channel.told_by_mirror || !channel.replicating || (kept && record.must_mirror != 0);
  const KeptClock today = KeptClock::now();
  channel.doubt_ns = !kept || record.point_ns == 0 ? kNeverNs : record.kept.recall(record.point_ns, today);
  // Its queue has marks of its own; what is missing there is what happened since the last look. What a repair tells again
  // is older than that.
  if (resumed && kept && !channel.must_mirror && record.settling == 0 && record.looked_ns != 0) channel.doubt_ns = record.kept.recall(record.looked_ns, today);
  channel.settling = !channel.must_mirror;
  channel.repair_until = 0;
  channel.repair_since_ns = monotonic_ns();
}

}  // namespace understudy
