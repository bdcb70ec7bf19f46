// Bytes of regular files: small ones at once, large ones in steps by block hashes (DESIGN 6, block filter).
#include <algorithm>

#include "object_facts.h"
#include "source.h"
#include "xattr.h"

namespace understudy {

namespace {
constexpr std::size_t kChunk = 1u << 20;    // one write operation, one read
constexpr u64 kStepBytes = 8u << 20;        // read per step of a job before other work gets its turn
constexpr int kHotShare = 4;                // a file written without pause: 1 part reading, 4 parts rest

bool all_zero(const u8* data, std::size_t size) {
  return size == 0 || (data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0);
}

}  // namespace

Fd open_for_read(int directory, const char* name) {
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  Fd file(::openat(directory, name, kFlags | O_NOATIME));
  if (!file && errno == EPERM) file = Fd(::openat(directory, name, kFlags));   // Not the owner: the time of access moves.
  return file;
}

bool Source::tell_small(Mask mask, bool mirror, NodeId node, int file, const struct statx& stat, bool fresh,
                        bool replaces) {
  if (stat.stx_size > kSmallMax) return false;
  const bool racy = just_changed(stat);
  wire::OpHeader header = header_for(wire::OpKind::file, node);
  header.mode = stat.stx_mode;
  header.uid = stat.stx_uid;
  header.gid = stat.stx_gid;
  header.mtime_ns = stx_ns(stat.stx_mtime);
  header.flags = static_cast<u8>((fresh ? wire::kOpFresh : 0) | (replaces ? wire::kOpReplace : 0));
  const std::string path = shadow_.path(node);
  auto fill = [&](u8* to) -> std::size_t {
    std::size_t have = 0;
    while (have < stat.stx_size) {
      const ssize_t got = ::pread(file, to + have, stat.stx_size - have, static_cast<off_t>(have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) unreadable(absolute_path(node), sys_error("read"));
      if (got <= 0) break;   // Shorter than it was: its change has its own hint.
      have += static_cast<std::size_t>(got);
    }
    return have;
  };
  Channel* const only = only_channel(mask);
  if (only != nullptr && open_batch(*only, mirror, header, path, {}, stat.stx_size)) {
    // The common case: bytes go from the page cache straight into the batch.
    u8* room = only->writer.add_with_room(header, path, {}, stat.stx_size);
    if (room == nullptr) {
      unreadable(path, {ENAMETOOLONG, "batch"});
      return true;
    }
    const std::size_t have = fill(room);
    only->writer.room_header()->arg0 = have;
    only->writer.commit_room(have);
    only->writer_data += have;
    changes(*only, header.mapping, path, fresh || replaces);
  } else if (only != nullptr) {
    note_untold(*only, header, path, {});
  } else if (mask != 0) {
    read_buffer_.resize(std::max<std::size_t>(kChunk, stat.stx_size));
    const std::size_t have = fill(read_buffer_.data());
    header.arg0 = have;
    emit(mask, mirror, header, path, {}, {reinterpret_cast<const char*>(read_buffer_.data()), have});
  }
  indexes_.drop(shadow_.object(node));
  if (!mirror || channels_.size() == 1) {
    // The extended attributes were read before this stat: were they changed in between, only the older ctime shows it.
    const i64 ctime_ns = shadow_.at(node).ctime_ns;
    apply_stat(node, stat);
    set_ctime(node, ctime_ns);
    set_racy(node, racy);
  }
  return true;
}

void Source::set_ctime(NodeId node, i64 ctime_ns) {
  each_name(node, [&](NodeId each) { shadow_.at(each).ctime_ns = ctime_ns; });
}

void Source::set_racy(NodeId node, bool racy) {
  each_name(node, [&](NodeId each) {
    u16& flags = shadow_.at(each).flags;
    flags = racy ? flags | kNodeRacy : flags & static_cast<u16>(~kNodeRacy);
  });
}

// No stat equals what the shadow says of the object then, by any of its names: it is looked at again.
void Source::time_unknown(NodeId node) {
  each_name(node, [&](NodeId each) { shadow_.at(each).mtime_ns = kUnknownTime; });
}

// Holes are told as such, and so is the end: nothing is known of what lies there.
void Source::FileJob::writes_over(const struct statx& stat) {
  over = true;
  mode = has_holes(stat) ? Mode::exchange : Mode::whole;
  their_size = ~u64{0};
}

void Source::FileJob::reads(Fd opened, const struct statx& stat) {
  file = std::move(opened);
  before = stat;
  size = stat.stx_size;
  racy = just_changed(stat);
}

// The contents of a known file may differ from what was told.
void Source::content_changed(NodeId node, int directory, const struct statx& stat) {
  const u64 object = shadow_.object(node);
  const std::string name(shadow_.name(node));
  if (busy(node)) {
    stale_.insert(object);
    return;
  }
  Mask mask = 0;
  speakers(node, [&](NodeId, Mask part) { mask |= part; });
  if (mask == 0) {
    indexes_.drop(object);
    apply_stat(node, stat);
    proven(object);   // Nobody was told of it.
    return;
  }
  const i64 now = monotonic_ns();
  if (auto hot = hot_.find(object); hot != hot_.end()) {
    if (hot->second > now && !force_ && !places_known(object)) {
      add_dirty(shadow_.at(node).parent, name, kHintContent | kHintWritten, hot->second - now);
      return;
    }
    if (hot->second <= now) hot_.erase(hot);
  }
  Fd file = open_for_read(directory, name.c_str());
  if (!file) {
    if (!no_file_there(errno)) unreadable(absolute_path(node), sys_error("open")), proven(object);
    return;
  }
  struct statx before;
  if (::statx(file.get(), "", AT_EMPTY_PATH, kStatx, &before) != 0 || before.stx_ino != shadow_.at(node).inode)
    return;
  speakers(node, [&](NodeId speaker, Mask part) { content_changed_for(speaker, part, file.get(), stat, before); });
}

void Source::content_changed_for(NodeId node, Mask mask, int file, const struct statx& stat, const struct statx& before) {
  const bool xattrs = shadow_.attributes(node).xattr_digest != 0;
  if (tell_small(mask, false, node, file, before, false, false)) {
    proven(shadow_.object(node));
    set_ctime(node, stx_ns(stat.stx_ctime));
    // A capability does not survive a write; tell it again (it is compared on the target).
    if (xattrs) tell_xattrs(mask, false, node, file, nullptr);
    return;
  }
  const u64 object = shadow_.object(node);
  BlockIndex* index = indexes_.find(object);
  // It was small when it was told: to send that little again costs less than to ask, and needs no link.
  BlockIndex small{block_size_for(before.stx_size), static_cast<u64>(std::max<i64>(0, shadow_.at(node).size)), {}};
  if (index == nullptr && small.size <= kSmallMax) index = &small;
  if (index == nullptr || busy(node)) {
    set_ctime(node, stx_ns(stat.stx_ctime));
    for (const auto& channel : channels_)
      if (channel->bit & mask) request_hashes(*channel, node, false, nullptr);
    return;
  }
  drain_ranges();   // What was written before the file is read is known by now.
  bool nothing = false;
  std::vector<Span> spans = places_to_look(object, *index, before.stx_size, nothing);
  if (nothing) return;
  FileJob* job = start_job(node, mask, nullptr, FileJob::Mode::delta, false);
  job->spans = std::move(spans);
  job->reads(Fd(::fcntl(file, F_DUPFD_CLOEXEC, 0)), before);
  job->ctime_ns = stx_ns(stat.stx_ctime);
  job->index = std::move(*index);
  indexes_.drop(object);
  job->block = job->index.block;
}

// The name by which an object was being told is gone; under another one it may live on, half told.
void Source::revisit(u64 device, u64 inode) {
  const NodeId node = shadow_.by_inode(device, inode);
  if (node == kNoNode || !shadow_.is_regular(node)) return;
  indexes_.drop(shadow_.object(node));
  time_unknown(node);
  add_dirty(shadow_.at(node).parent, shadow_.name(node), kHintContent, 0);
}

void Source::unbusy(u64 object) {
  if (auto count = busy_.find(object); count != busy_.end() && --count->second == 0) busy_.erase(count);
}

// A question is given up. What was put off until its answer came is looked at now, by whatever name is left.
void Source::drop_request(Channel& channel, const HashRequest& request) {
  channel.hash_requests_expected -= request.expected;
  unbusy(request.object);
  const bool put_off = stale_.erase(request.object) > 0 || !request.mirror || !shadow_.live(request.node);
  if (!put_off) return;
  if (busy_.count(request.object) != 0) stale_.insert(request.object);
  else revisit(request.device, request.inode);
}

Source::FileJob* Source::start_job(NodeId node, Mask mask, Channel* mirror, FileJob::Mode mode, bool fresh) {
  auto job = std::make_unique<FileJob>();
  job->node = node;
  job->inode = shadow_.at(node).inode;
  job->ctime_ns = shadow_.at(node).ctime_ns;
  job->mask = mask;
  job->mirror = mirror;
  job->mode = mode;
  job->fresh = fresh;
  job->started_ns = monotonic_ns();
  job->since_ns = retelling_ ? 0 : current_since_ns_ != 0 ? current_since_ns_ : job->started_ns;
  job->object = shadow_.object(node);
  job->device = shadow_.device(shadow_.at(node).device);
  ++busy_[job->object];
  jobs_.push_back(std::move(job));
  return jobs_.back().get();
}

void Source::request_hashes(Channel& channel, NodeId node, bool mirror, const wire::ManifestEntry* entry) {
  HashRequest request;
  request.node = node;
  request.inode = shadow_.at(node).inode;
  request.since_ns = retelling_ ? 0 : noticed_ns();
  request.mirror = mirror;
  // Counted only where the walk compares; what it sends again was counted before.
  request.counted = mirror && channel.mirror.verify && entry != nullptr;
  request.verify = request.counted && (!channel.mirror.options.remirror ||
                                       (channel.mirror.options.newer && shadow_.at(node).mtime_ns <= entry->mtime_ns));
  request.block = block_size_for(static_cast<u64>(std::max<i64>(shadow_.at(node).size, 0)));
  request.expected = static_cast<u64>(std::max<i64>(shadow_.at(node).size, 0)) / request.block + 1;
  if (entry != nullptr) {
    request.have_entry = true;
    request.entry = *entry;
  }
  request.object = shadow_.object(node);
  request.device = shadow_.device(shadow_.at(node).device);
  ++busy_[request.object];
  const bool request_verify = request.verify;
  const u64 id = next_request_++;
  wire::OpHeader header = header_for(wire::OpKind::hashes, node);
  header.arg0 = request.block;
  header.id = id;
  channel.hash_requests_expected += request.expected;
  channel.hash_requests.emplace(id, std::move(request));
  if (!request_verify) {
    shadow_.at(node).told |= channel.bit;   // Name and attributes; contents are guarded by busy().
    log_doubt(shadow_.mapping(node), shadow_.path(node), false);   // After a crash nobody would know that it was asked.
  }
  emit_to(channel, mirror, header, shadow_.path(node), {}, {});
}

void Source::on_hashes(Channel& channel, u64 id, const wire::ReplyHeader& header, const u8* body, std::size_t size) {
  auto at = channel.hash_requests.find(id);
  if (at == channel.hash_requests.end()) return;
  HashRequest& request = at->second;
  if (header.error == 0) {
    const std::size_t count = size / sizeof(u64);
    if (header.arg0 != request.hashes.size() || request.hashes.size() + count > (16u << 20)) return;
    const std::size_t before = request.hashes.size();
    request.hashes.resize(before + count);
    if (count > 0) std::memcpy(request.hashes.data() + before, body, count * sizeof(u64));
    if (!(header.flags & wire::kReplyLast)) return;
  }
  HashRequest done = std::move(request);
  channel.hash_requests_expected -= done.expected;
  channel.hash_requests.erase(at);
  const NodeId node = done.node;
  unbusy(done.object);
  if (!shadow_.live(node) || shadow_.at(node).inode != done.inode) return revisit(done.device, done.inode);
  const int directory = directory_fd(shadow_.at(node).parent);
  const std::string name(shadow_.name(node));
  Fd file = directory < 0 ? Fd() : open_for_read(directory, name.c_str());
  struct statx before;
  if (!file || ::statx(file.get(), "", AT_EMPTY_PATH, kStatx, &before) != 0 || before.stx_ino != done.inode) {
    if (!done.verify) {   // Moved meanwhile: told again from its new place.
      untell_one(node, channel.bit);
      tell_later(channel, node);
    }
    add_dirty(shadow_.at(node).parent, name, kHintName | kHintContent, 0);
    return;
  }
  FileJob* job = start_job(node, channel.bit, done.mirror ? &channel : nullptr, FileJob::Mode::exchange, false);
  job->reads(std::move(file), before);
  job->block = done.block;
  job->since_ns = done.since_ns;
  job->theirs = std::move(done.hashes);
  job->their_size = header.arg1;
  // What cannot be compared is not emptied first: that it is missing is not certain.
  if (header.error != 0) job->writes_over(before);
  job->counted = done.counted;
  job->their_entry = done.entry;
  job->attributes_differ = !done.have_entry || entry_differs(done.entry, node, true);
  if (done.verify) job->mask = 0;
}

void Source::send_range(FileJob& job, u64 offset, std::string_view data) {
  wire::OpHeader header = header_for(wire::OpKind::write, job.node);
  header.arg0 = offset;
  emit(job.mask, job.mirror != nullptr, header, shadow_.path(job.node), {}, data);
  job.changed = true;
}

// The file exists on the target from here on, so that links to it and its renames can be told meanwhile.
void Source::tell_created(FileJob& job) {
  wire::OpHeader header = header_for(wire::OpKind::create, job.node);
  header.flags = static_cast<u8>(job.fresh ? wire::kOpFresh : job.over ? wire::kOpUnshare : wire::kOpTruncate);
  header.arg0 = job.size;
  emit(job.mask, job.mirror != nullptr, header, shadow_.path(job.node));
  job.changed = true;
  times_.insert(shadow_.at(job.node).parent);
}

// One step of a job: reads up to kStepBytes, or sends up to one chunk. False when the job is over.
bool Source::step_job(FileJob& job) {
  if (!shadow_.live(job.node) || shadow_.at(job.node).inode != job.inode) return false;
  if (job.mask == 0 && !(job.mirror && job.mirror->mirror.verify)) return false;
  const i64 begin = monotonic_ns();
  const bool mirror = job.mirror != nullptr;
  const bool verify = mirror && job.mask == 0;
  if (!job.begun) {
    job.begun = true;
    if ((job.mode == FileJob::Mode::whole || job.over) && !job.created) tell_created(job);
    job.created = true;
    if (job.mode != FileJob::Mode::delta) {
      job.index = {};
      job.index.block = job.block;
    }
    if (job.size > (4u << 20) && job.spans.empty()) ::posix_fadvise(job.file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  const u32 block = job.block;
  const bool sparse = has_holes(job.before);
  std::vector<u64>& hashes = job.index.hashes;
  const std::size_t blocks = (job.size + block - 1) / block;
  if (hashes.size() != blocks) {
    // A shrunk or grown file: hashes of blocks beyond the old end are unknown (0 never equals a told block's hash
    // by design of the comparison below: those blocks are always sent).
    if (job.mode == FileJob::Mode::delta && job.index.size % block != 0 && job.index.size / block < hashes.size() &&
        job.size != job.index.size)
      hashes[job.index.size / block] = 0;   // The old last block was hashed over its real bytes only.
    hashes.resize(blocks, 0);
  }
  static const std::vector<u8> zeros(64u << 10, 0);
  const u64 zero_hash = block_hash(zeros.data(), std::min<std::size_t>(block, zeros.size()));
  u64 budget = kStepBytes;
  bool sent = false;
  while (job.offset < job.size && budget > 0 && !sent) {
    u64 until = job.size;
    if (!job.spans.empty()) {
      while (job.span < job.spans.size() && job.offset >= job.spans[job.span].second) ++job.span;
      if (job.span == job.spans.size()) {
        job.offset = job.size;
        break;
      }
      job.offset = std::max(job.offset, job.spans[job.span].first);
      until = std::min(until, job.spans[job.span].second);
    }
    if (sparse && block <= zeros.size()) {
      const off_t data = ::lseek(job.file.get(), static_cast<off_t>(job.offset), SEEK_DATA);
      u64 next = data < 0 ? (errno == ENXIO ? job.size : job.offset) : static_cast<u64>(data);
      next = next >= job.size ? job.size : next / block * block;
      if (next > job.offset) {
        // A hole. What the target may hold there becomes a hole as well.
        bool differs = false;
        for (u64 at = job.offset; at < next; at += block) {
          const std::size_t index = at / block;
          const bool tail = at + block > job.size;
          const u64 hash = tail ? block_hash(zeros.data(), job.size - at) : zero_hash;
          bool other = job.mode == FileJob::Mode::delta && hashes[index] != hash;
          if (job.mode == FileJob::Mode::exchange) other = index >= job.theirs.size() ? at < job.their_size : job.theirs[index] != hash;
          job.blocks_differ += other;
          differs |= other;
          hashes[index] = hash;
        }
        if (differs && !verify) {
          wire::OpHeader header = header_for(wire::OpKind::punch, job.node);
          header.arg0 = job.offset;
          header.arg1 = next - job.offset;
          emit(job.mask, mirror, header, shadow_.path(job.node));
        }
        if (differs) job.changed = true;
        else job.skipped += next - job.offset;
        job.offset = next;
        continue;
      }
    }
    const std::size_t want = std::min<u64>(kChunk, until - job.offset);
    // What goes out whole to one channel is read into its batch; all else by way of a buffer.
    Channel* const only = job.mode == FileJob::Mode::whole && !sparse ? only_channel(job.mask) : nullptr;
    u8* room = nullptr;
    if (only != nullptr) {
      const std::string path = shadow_.path(job.node);
      wire::OpHeader header = header_for(wire::OpKind::write, job.node);
      header.arg0 = job.offset;
      if (open_batch(*only, mirror, header, path, {}, want)) room = only->writer.add_with_room(header, path, {}, want);
    }
    if (room == nullptr) read_buffer_.resize(kChunk);
    u8* const data = room != nullptr ? room : read_buffer_.data();
    std::size_t have = 0;
    while (have < want) {
      const ssize_t got = ::pread(job.file.get(), data + have, want - have, static_cast<off_t>(job.offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        unreadable(absolute_path(job.node), sys_error("read"));
        if (room != nullptr) only->writer.drop_room();
        return false;
      }
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    if (have < want) {
      // Truncated under our hands: this is the end now, and its hint brings us back.
      job.size = job.offset + have;
      job.stale = true;
      hashes.resize((job.size + block - 1) / block);
      if (have == 0) {
        if (room != nullptr) only->writer.drop_room();
        break;
      }
    }
    std::vector<std::pair<std::size_t, std::size_t>> runs;   // what differs: begin and end
    for (std::size_t at = 0; at < have; at += block) {
      const std::size_t length = std::min<std::size_t>(block, have - at);
      const std::size_t index = (job.offset + at) / block;
      const u64 hash = block_hash(data + at, length);
      bool differs = true;
      // Of a block beyond one chunk (files above 512 GiB) only the last piece's hash is kept, which proves nothing.
      if (job.mode == FileJob::Mode::delta) differs = block > kChunk || hashes[index] != hash;
      else if (job.mode == FileJob::Mode::exchange)
        differs = index >= job.theirs.size() || job.theirs[index] != hash || (length < block && job.their_size != job.size);
      else if (sparse || job.fresh) differs = !all_zero(data + at, length);   // Emptied before: zeros are there.
      hashes[index] = hash;
      if (!differs) {
        job.skipped += length;
        continue;
      }
      ++job.blocks_differ;
      // A gap of less than two blocks costs less as data than as another operation.
      if (runs.empty() || at - runs.back().second > block) runs.emplace_back(at, at);
      runs.back().second = at + length;
    }
    if (room != nullptr && runs.size() == 1 && runs[0] == std::pair{std::size_t{0}, have}) {
      only->writer.commit_room(have);
      only->writer_data += have;
      changes(*only, shadow_.mapping(job.node), shadow_.path(job.node), false);
      runs.clear();
      job.changed = sent = true;
    } else if (room != nullptr) {
      read_buffer_.resize(kChunk);
      std::memcpy(read_buffer_.data(), room, have);
      only->writer.drop_room();
    }
    for (const auto& [begin_at, end_at] : runs) {
      job.changed = true;
      if (verify) continue;
      send_range(job, job.offset + begin_at, {reinterpret_cast<const char*>(read_buffer_.data()) + begin_at, end_at - begin_at});
      sent = true;
    }
    job.offset += have;
    budget -= std::min<u64>(budget, have);
  }
  job.spent_ns += monotonic_ns() - begin;
  return job.offset < job.size;
}

void Source::finish_job(FileJob& job) {
  unbusy(job.object);
  Channel* owner = job.mirror;
  if (!shadow_.live(job.node) || shadow_.at(job.node).inode != job.inode) return revisit(job.device, job.inode);
  const bool complete = job.offset >= job.size && job.created;
  const bool verify = owner != nullptr && job.mask == 0;
  if (job.counted && complete && owner != nullptr) verify_job(job);
  if (verify) return;
  const bool mirror = owner != nullptr;
  struct statx after;
  const bool moved = ::statx(job.file.get(), "", AT_EMPTY_PATH, kStatx, &after) != 0 ||
                     stx_ns(after.stx_ctime) != stx_ns(job.before.stx_ctime);
  const bool stale = job.stale || moved || !complete || stale_.count(job.object) != 0;
  if (job.spans.empty() && complete) proven(job.object);
  if (complete) {
    const u64 their_size = job.mode == FileJob::Mode::whole ? ~u64{0} : job.mode == FileJob::Mode::delta ? job.index.size : job.their_size;
    if (their_size != job.size) {
      wire::OpHeader header = header_for(wire::OpKind::truncate, job.node);
      header.arg0 = job.size;
      emit(job.mask, mirror, header, shadow_.path(job.node));
      job.changed = true;
    }
    shadow_.at(job.node).told |= job.mask;
    const bool shared = (all_ & ~job.mask) != 0;
    const Attributes known = shadow_.attributes(job.node);
    if (known.mode != job.before.stx_mode || known.uid != job.before.stx_uid || known.gid != job.before.stx_gid ||
        shadow_.at(job.node).mtime_ns != stx_ns(job.before.stx_mtime))
      job.attributes_differ = true;
    apply_stat(job.node, job.before);
    set_ctime(job.node, job.ctime_ns);
    set_racy(job.node, job.racy);
    if (job.changed || job.attributes_differ || job.mode != FileJob::Mode::exchange) {
      tell_attributes(job.mask, mirror, job.node, true);
      if (shadow_.attributes(job.node).xattr_digest != 0 || job.mode == FileJob::Mode::exchange || job.over) tell_xattrs(job.mask, mirror, job.node, job.file.get(), nullptr);
    }
    job.index.size = job.size;
    // The index says what every channel was told. After telling only some, it would say too much for the others.
    if ((!shared || job.mode == FileJob::Mode::delta) && !busy(job.node) && job.size > kSmallMax)
      indexes_.put(job.object, std::move(job.index));
    else indexes_.drop(job.object);
    if (mirror) owner->counters.skipped += job.skipped;
  }
  if (job.spent_ns > 2'000'000 && job.spans.empty()) hot_[job.object] = monotonic_ns() + std::min<i64>(job.spent_ns * kHotShare, 5'000'000'000);
  if (hot_.size() > 4'096) hot_.clear();
  if (stale && busy(job.node)) {
    stale_.insert(job.object);   // Whoever is still at it looks again.
  } else if (stale) {
    stale_.erase(job.object);
    time_unknown(job.node);
    add_dirty(shadow_.at(job.node).parent, shadow_.name(job.node), kHintContent, force_ ? 0 : std::min<i64>(job.spent_ns * kHotShare, 1'000'000'000), 0, job.started_ns);
  }
  if (!job.spans.empty()) time_unknown(job.node);   // Not everything was looked at: the proof comes later (written.cc).
  if (!complete && mirror) {
    untell_one(job.node, job.mask);
    tell_later(*owner, job.node);
  }
}

// Gives every job a turn. True when any of them moved.
bool Source::step_jobs() {
  bool moved = false;
  for (std::size_t i = 0; i < jobs_.size();) {
    FileJob& job = *jobs_[i];
    bool room = true;
    if (job.mirror != nullptr) {
      room = job.mirror->stream.walk_room(true) && !job.mirror->mirror.paused && mirror_turn(*job.mirror) && (job.mirror->ready() || !job.created);
    } else {
      room = job.mask == 0 || room_for(job.mask);   // Nobody left to tell: it only ends.
    }
    if (!room) {
      ++i;
      continue;
    }
    moved = true;
    if (step_job(job)) {
      ++i;
      continue;
    }
    std::unique_ptr<FileJob> done = std::move(jobs_[i]);
    jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
    finish_job(*done);
  }
  return moved;
}

}  // namespace understudy
