// Operations into batches: who is told, and what exactly.
#include <sys/stat.h>

#include "batch_reader.h"
#include "object_facts.h"
#include "source.h"
#include "xattr.h"

namespace understudy {

namespace {
constexpr std::size_t kBatchFull = 512u << 10;   // a batch is closed beyond this size
constexpr std::size_t kLostMax = 2'000'000;      // names remembered after a stream broke
constexpr std::size_t kLogSoon = 4'096;          // names of broken streams kept in memory before they are logged

void note_path(std::vector<SetPath>& list, u32 mapping, std::string_view path, bool deep, bool moved = false) {
  if (!list.empty() && list.back().mapping == mapping && list.back().path == path) {
    list.back().deep |= deep;
    list.back().moved |= moved;
  } else {
    list.push_back({mapping, std::string(path), deep, moved});
  }
}

// May another object hold the name now than before? Then all that was told below it may be gone with the old one.
bool takes_name(wire::OpKind kind, u8 flags) {
  switch (kind) {
    case wire::OpKind::mkdir: case wire::OpKind::file: case wire::OpKind::create:
      return (flags & (wire::kOpFresh | wire::kOpReplace)) != 0;
    case wire::OpKind::symlink: case wire::OpKind::link: case wire::OpKind::mknod: case wire::OpKind::remove:
    case wire::OpKind::rename:
      return true;
    default:
      return false;
  }
}

// Does the operation change what the target holds? An orphan is not ours to repair: comparing it again would remove it,
// whatever the target wants.
bool touches(wire::OpKind kind) {
  switch (kind) {
    case wire::OpKind::manifest: case wire::OpKind::hashes: case wire::OpKind::digest: case wire::OpKind::checkpoint:
    case wire::OpKind::heartbeat: case wire::OpKind::task: case wire::OpKind::orphan:
      return false;
    default:
      return true;
  }
}
}  // namespace

wire::OpHeader Source::header_for(wire::OpKind kind, NodeId node) {
  if (!shadow_.is_directory(node) && shadow_.linked(node)) told_links_.note(shadow_.object(node));
  const Attributes& attributes = shadow_.attributes(node);
  wire::OpHeader header{};
  header.kind = static_cast<u8>(kind);
  header.mapping = static_cast<u16>(shadow_.mapping(node));
  header.mode = attributes.mode;
  header.uid = attributes.uid;
  header.gid = attributes.gid;
  header.mtime_ns = shadow_.at(node).mtime_ns;
  if (header.mtime_ns == kUnknownTime) {   // The look at it is on its way, and tells them.
    header.mtime_ns = 0;
    header.flags |= wire::kOpNoTimes;
  }
  return header;
}

void Source::touch(Channel& channel, u32 mapping, std::string_view path, bool deep, bool moved) {
  note_path(channel.touched, mapping, path, deep, moved);
  log_doubt(mapping, path, deep);
}

// An operation in the open batch changes what the target holds: its age counts, and its path.
void Source::changes(Channel& channel, u32 mapping, std::string_view path, bool deep, bool moved) {
  channel.writer_change_ns = earlier(channel.writer_change_ns, noticed_ns());
  touch(channel, mapping, path, deep, moved);
}

// Found equal on the target. That is only as durable there as everything else up to here: after a loss of power it is
// in doubt again. The log knows of it unless a mirror runs, which begins anew after a crash.
void Source::found_equal(Channel& channel, NodeId node) {
  note_path(channel.touched, shadow_.mapping(node), shadow_.path(node), false);
  if (!channel.mirror.active) log_doubt(shadow_.mapping(node), shadow_.path(node), false);
}

void Source::log_doubt(u32 mapping, std::string_view path, bool deep) {
  note_path(logged_, mapping, path, deep);
  // Told on top of a past that is itself in doubt: whatever came of it is compared as well.
  if (doubting_) note_path(startup_repair_, mapping, path, deep);
}

// The walk would not come by: told on its own, soon. Until then a crash must not forget that it is still to be told.
void Source::tell_later(Channel& channel, NodeId node, bool late) {
  log_doubt(shadow_.mapping(node), shadow_.path(node), true);
  if (!channel.mirror.singles()) channel.extra_since_ns = 0;
  channel.extra_since_ns = earlier(channel.extra_since_ns, noticed_ns());
  (late ? channel.mirror.late : channel.mirror.extra).push_back(node);
}

// A batch of this kind with room for one more operation; false: this channel is not told anything now.
bool Source::open_batch(Channel& channel, bool mirror, const wire::OpHeader& header, std::string_view path,
                        std::string_view path2, std::size_t data) {
  if (channel.broken || channel.behind) return false;
  if (!operation_valid(header, path, path2)) {
    // A target would refuse its batch again and again. What this engine took for true was not: all is compared anew.
    channel_broken(channel, ("the engine itself made a wrong operation (kind " + std::to_string(header.kind) + ", `" +
                             std::string(path) + "`, `" + std::string(path2) + "`)").c_str());
    return false;
  }
  if (!channel.writer.empty() && (channel.writer_mirror != mirror || channel.writer.size() >= kBatchFull ||
                                  !channel.writer.fits(path.size(), path2.size(), data))) {
    flush(channel);
    if (channel.broken || channel.behind) return false;   // Just now.
  }
  if (channel.writer.empty()) {
    channel.writer_mirror = mirror;
    channel.writer_captured_ns = realtime_ns();
    channel.writer_since_ns = monotonic_ns();
  }
  if (current_since_ns_ != 0) channel.writer_since_ns = std::min(channel.writer_since_ns, current_since_ns_);
  return true;
}

// What it is not told is kept by name: all of it for one that is behind, for a broken one what a mirror would not find.
void Source::note_untold(Channel& channel, const wire::OpHeader& header, std::string_view path, std::string_view path2) {
  const auto kind = static_cast<wire::OpKind>(header.kind);
  const bool taken = takes_name(kind, header.flags);
  if (current_since_ns_ != 0 && touches(kind)) channel.doubt_ns = earlier(channel.doubt_ns, current_since_ns_);
  if (channel.broken ? !taken : !touches(kind)) return;
  for (int end = 0; end < (kind == wire::OpKind::rename ? 2 : 1); ++end) {
    const u32 mapping = end == 0 ? header.mapping : header.aux;
    if (channel.broken) note_lost(channel, mapping, end == 0 ? path : path2, true);
    else note_later(channel, mapping, end == 0 ? path : path2, taken);
  }
}

Channel* Source::only_channel(Mask mask) const {
  Channel* only = nullptr;
  for (const auto& channel : channels_) {
    if (!(channel->bit & mask)) continue;
    if (only != nullptr) return nullptr;
    only = channel.get();
  }
  return only;
}

void Source::emit_to(Channel& channel, bool mirror, const wire::OpHeader& header, std::string_view path,
                     std::string_view path2, std::string_view data) {
  const auto kind = static_cast<wire::OpKind>(header.kind);
  if (!open_batch(channel, mirror, header, path, path2, data.size())) return note_untold(channel, header, path, path2);
  if (!channel.writer.add(header, path, path2, data)) {
    unreadable(std::string(path), {ENAMETOOLONG, "batch"});
    return;
  }
  channel.writer_data += data.size();
  if (kind == wire::OpKind::hashes && !mirror) touch(channel, header.mapping, path, false);   // See found_equal.
  if (!touches(kind)) return;
  changes(channel, header.mapping, path, takes_name(kind, header.flags), kind == wire::OpKind::rename || kind == wire::OpKind::link);
  if (kind == wire::OpKind::rename) touch(channel, header.aux, path2, true, true);
}

void Source::emit(Mask mask, bool mirror, wire::OpHeader& header, std::string_view path, std::string_view path2,
                  std::string_view data) {
  if (mask == 0) return;
  for (const auto& channel : channels_)
    if (channel->bit & mask) emit_to(*channel, mirror, header, path, path2, data);
}

void Source::flush(Channel& channel) {
  if (channel.writer.empty()) return;
  log_touched();   // Before the batch can reach the target (persist.cc).
  waits_on(channel);
  StreamBatch batch;
  batch.sequence = channel.stream.next_sequence();
  batch.mirror = channel.writer_mirror;
  batch.operations = channel.writer.op_count();
  batch.data_bytes = channel.writer_data;
  batch.since_ns = channel.writer_since_ns;
  batch.change_ns = std::exchange(channel.writer_change_ns, 0);
  Bytes bytes = channel.writer.close(batch.sequence, channel.writer_captured_ns, realtime_ns(),
                                     channel.writer_mirror ? wire::kBatchMirror : 0);
  batch.bytes = std::make_shared<const Bytes>(std::move(bytes));
  channel.writer_data = 0;
  if (batch.mirror) {
    channel.changes_since_mirror = 0;
  } else if (batch.change_ns != 0) {
    ++channel.changes_since_mirror;
    channel.changes_told_ns = monotonic_ns();
  }
  if (!channel.touched.empty()) {
    const SetPath& last = channel.touched.back();
    if (last.mapping < options_.roots.size()) channel.set_last_path(set_path(last.mapping, last.path));
  }
  const i64 change_ns = batch.change_ns;
  const std::vector<SetPath> touched = std::exchange(channel.touched, {});
  if (channel.stream.push(std::move(batch), touched)) channel.wake_link();
  else fall_behind(channel, touched, change_ns);
}

void Source::flush_all() {
  for (const auto& channel : channels_)
    if (!holds_back(*channel)) flush(*channel);
  if (logged_.size() > kLogSoon) log_touched();
}

// The stream ends here. What the target was not told of it, and what happens until the next mirror, is remembered by
// name: the mirror would find what is new and what differs, but take what was deleted for an orphan.
void Source::channel_broken(Channel& channel, const char* why) {
  if (channel.broken) return;
  in_doubt_until_mirrored(channel);
  channel.broken = true;
  for (SetPath& path : channel.touched) channel.lost.push_back(std::move(path));
  channel.touched.clear();
  if (channel.stream.spilled()) read_logged(channel.lost);
  for (SetPath& path : channel.stream.break_off()) channel.lost.push_back(std::move(path));
  for (auto& [place, deep] : channel.later) channel.lost.push_back({place.first, place.second, deep});
  for (SetPath& path : channel.doubts) channel.lost.push_back(std::move(path));
  for (SetPath& path : channel.gone) channel.lost.push_back(std::move(path));
  channel.gone.clear();
  channel.later.clear();
  channel.doubts.clear();
  channel.behind = false;
  channel.writer.begin();
  channel.writer_change_ns = 0;
  channel.writer_data = 0;
  tasks_lost(channel, why);
  if (channel.mirror.active) mirror_stop(channel, why);
  tell_(Fact("stream_broken").with("connection", i64{channel.options().id}).with("why", std::string(why)));
}

void Source::note_lost(Channel& channel, u32 mapping, std::string_view path, bool deep) {
  if (channel.lost.size() < kLostMax) note_path(channel.lost, mapping, path, deep);
  else if (!std::exchange(channel.lost_more, true)) {
    out_of_memory(channel);
    tell_(Fact("stream_broken").with("connection", i64{channel.options().id}).with("why", std::string(
        "more names changed since than can be remembered; what was deleted here stays on the target as orphans")));
  }
  log_doubt(mapping, path, deep);
}

void Source::tell_removed(Mask mask, u32 mapping, std::string_view path) {
  wire::OpHeader header{};
  header.kind = static_cast<u8>(wire::OpKind::remove);
  header.mapping = static_cast<u16>(mapping);
  emit(mask, false, header, path);
}

void Source::tell_attributes(Mask mask, bool mirror, NodeId node, bool times) {
  if (mask == 0) return;
  wire::OpHeader header = header_for(wire::OpKind::setattr, node);
  if (!times) header.flags |= wire::kOpNoTimes;
  emit(mask, mirror, header, shadow_.path(node));
}

void Source::tell_xattrs(Mask mask, bool mirror, NodeId node, int directory, const char* name) {
  if (mask == 0) return;
  Result<Bytes> list = read_xattrs(directory, name);
  if (!list) {
    if (list.error().code != ENOENT) unreadable(absolute_path(node), list.error());
    xattrs_untold(node);
    return;
  }
  wire::OpHeader header = header_for(wire::OpKind::xattrs, node);
  emit(mask, mirror, header, shadow_.path(node), {}, {reinterpret_cast<const char*>(list->data()), list->size()});
  // The shadow holds what was told. Told to some only, and other than what the rest knows: then nothing is known, and
  // the next look tells everybody.
  const u64 digest = xattr_digest(*list);
  const bool everybody = (replicating_ & ~mask) == 0;
  if (digest != shadow_.attributes(node).xattr_digest) set_xattr_digest(node, everybody ? digest : 1);
}

// The shadow may say what was read of it; nobody was told. No list has this digest, and no object this time of change.
void Source::xattrs_untold(NodeId node) {
  set_xattr_digest(node, 1);
  set_ctime(node, -1);
}

void Source::set_xattr_digest(NodeId node, u64 digest) {
  each_name(node, [&](NodeId each) {
    Attributes changed = shadow_.attributes(each);
    changed.xattr_digest = digest;
    shadow_.set_attributes(each, changed);
  });
}

void Source::tell_attributes_all(NodeId node, bool times) {
  speakers(node, [&](NodeId speaker, Mask mask) { tell_attributes(mask, false, speaker, times); });
}

void Source::tell_xattrs_all(NodeId node, int directory, const char* name) {
  speakers(node, [&](NodeId speaker, Mask mask) { tell_xattrs(mask, false, speaker, directory, name); });
}

// Another name of the same object may be known already: then this one is a link (CAP-50). Returns those who were told so.
Source::Mask Source::tell_link(Mask mask, bool mirror, NodeId node) {
  if (shadow_.is_directory(node) || !shadow_.linked(node)) return 0;
  Mask told = 0;
  for (NodeId each = shadow_.first_name(node); each != kNoNode && told != mask; each = shadow_.next_name(each)) {
    Mask both = mask & ~told & shadow_.at(each).told;
    if (both & apart_)
      for (const auto& channel : channels_)
        if (channel->lie_apart(shadow_.mapping(node), shadow_.mapping(each))) both &= ~channel->bit;
    if (each == node || both == 0 || !believed(each)) continue;
    wire::OpHeader header = header_for(wire::OpKind::link, node);
    header.aux = shadow_.mapping(each);
    emit(both, mirror, header, shadow_.path(node), shadow_.path(each));
    told |= both;
  }
  return told;
}

// Tells everything about one object whose parent the channels know. Directories: without what they hold. Large files
// begin a job which tells them in steps. False when the object is not there any more (its own hint will come).
bool Source::tell_object(Mask mask, bool mirror, NodeId node, int directory, bool fresh, bool replaces,
                         Opened* opened) {
  if (mask == 0) return true;
  const u32 mode = shadow_.mode(node);
  const std::string path = shadow_.path(node);
  const std::string name(shadow_.name(node));
  // In a directory with a default ACL a new object inherits one on the target: the (empty) list takes it away.
  // A directory that may exist there already may carry old ones.
  const bool has_xattrs = shadow_.attributes(node).xattr_digest != 0 || (S_ISDIR(mode) && !fresh) ||
                          (!shadow_.is_root(node) && shadow_.attributes(shadow_.at(node).parent).xattr_digest != 0);
  const u8 flags = static_cast<u8>((fresh ? wire::kOpFresh : 0) | (replaces ? wire::kOpReplace : 0));
  mask &= ~tell_link(mask, mirror, node);
  if (mask == 0) return true;
  if (S_ISREG(mode)) {
    Fd file = opened != nullptr && opened->file ? std::move(opened->file) : open_for_read(directory, name.c_str());
    if (!file) {
      if (no_file_there(errno)) return false;
      unreadable(absolute_path(node), sys_error("open"));
      return true;   // Named in the status; waiting for it would stop everything else.
    }
    struct statx stat;
    if (opened != nullptr) stat = opened->stat;
    else if (::statx(file.get(), "", AT_EMPTY_PATH, kStatx, &stat) != 0) return false;
    if (!S_ISREG(stat.stx_mode) || stat.stx_ino != shadow_.at(node).inode) return false;
    if (tell_small(mask, mirror, node, file.get(), stat, fresh, replaces)) {
      if (has_xattrs) tell_xattrs(mask, mirror, node, file.get(), nullptr);
      return true;
    }
    Channel* owner = nullptr;
    if (mirror)
      for (const auto& channel : channels_)
        if (channel->bit == mask) owner = channel.get();
    const bool over = mirror && !fresh;   // What a mirror sends once more may be acknowledged there: it is not taken away (I2).
    if (replaces && !over) {
      wire::OpHeader header = header_for(wire::OpKind::remove, node);
      emit(mask, mirror, header, path);
    }
    FileJob* job = start_job(node, mask, owner, FileJob::Mode::whole, fresh);
    if (over) job->writes_over(stat);
    job->reads(std::move(file), stat);
    job->block = block_size_for(stat.stx_size);
    tell_created(*job);
    job->created = true;
    return true;
  }
  wire::OpHeader header = header_for(wire::OpKind::mkdir, node);
  header.flags = flags;
  if (S_ISDIR(mode)) {
    emit(mask, mirror, header, path);
  } else if (S_ISLNK(mode)) {
    char text[4096];
    const ssize_t size = ::readlinkat(directory, name.c_str(), text, sizeof text);
    if (size < 0) return false;
    header.kind = static_cast<u8>(wire::OpKind::symlink);
    emit(mask, mirror, header, path, {text, static_cast<std::size_t>(size)});
  } else {
    header.kind = static_cast<u8>(wire::OpKind::mknod);
    header.arg1 = shadow_.attributes(node).rdev;
    emit(mask, mirror, header, path);
  }
  if (has_xattrs) {
    const Fd object(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat now;
    if (object && ::fstat(object.get(), &now) == 0 && now.st_ino == shadow_.at(node).inode) tell_xattrs(mask, mirror, node, object.get(), nullptr);
    else xattrs_untold(node);   // Another object has the name now; this one is looked at again when found.
  }
  return true;
}

}  // namespace understudy
