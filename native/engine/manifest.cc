#include "manifest.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <cstdio>

#include "block_index.h"
#include "xattr.h"

#include <xxhash.h>

namespace understudy {
namespace {

using wire::ManifestEntry;
using wire::OpKind;
using wire::ReplyHeader;

constexpr std::size_t kListBytes = 256u << 10;
constexpr std::size_t kReadBytes = 256u << 10;
constexpr unsigned kStatxMask = STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID | STATX_SIZE | STATX_MTIME |
                                STATX_NLINK | STATX_INO;

struct DirectoryEntry {   // linux_dirent64, see getdents64(2)
  u64 inode;
  i64 offset;
  u16 length;
  u8 type;
  char name[];
};

ReplyHeader header_of(const OpView& op, wire::Reply kind) {
  ReplyHeader header{};
  header.kind = static_cast<u8>(kind);
  header.id = op.header.id;
  return header;
}

// One reply under construction: header, then body.
struct ReplyBuilder {
  ReplyHeader header;
  Bytes bytes;
  void begin(std::size_t reserve) {
    bytes = Bytes(reserve);
    bytes.grow(sizeof header);
  }
  Bytes finish(bool last) {
    if (last) header.flags |= wire::kReplyLast;
    std::memcpy(bytes.data(), &header, sizeof header);
    return std::move(bytes);
  }
};

wire::Reply reply_kind(u8 kind) {
  if (kind == static_cast<u8>(OpKind::manifest)) return wire::Reply::manifest;
  return kind == static_cast<u8>(OpKind::hashes) ? wire::Reply::hashes : wire::Reply::digest;
}

// Trouble of this server rather than of the path asked for.
bool is_general(int code) {
  return code == ECANCELED || code == EIO || code == EMFILE || code == ENFILE || code == ENOMEM;
}

// Opens for reading what an O_PATH descriptor stands for: the object that was looked at, whatever its name means now.
Result<Fd> reopen(int handle) {
  char path[40];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
  const int fd = ::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return sys_error("open");
  return Fd(fd);
}

// Fills as much of the buffer as the file has from `offset` on.
Result<std::size_t> read_full(int fd, u8* buffer, std::size_t size, u64 offset) {
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::pread(fd, buffer + have, size - have, static_cast<off_t>(offset + have));
    if (got < 0) {
      if (errno == EINTR) continue;
      return sys_error("pread");
    }
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

}  // namespace

Status Answerer::answer(const OpView& op, const ReplySink& sink) {
  Status status = ok();
  switch (static_cast<OpKind>(op.header.kind)) {
    case OpKind::manifest: status = manifest(op, sink); break;
    case OpKind::hashes: status = hashes(op, sink); break;
    case OpKind::digest: status = digest(op, sink); break;
    default: return SysError{EINVAL, "answer"};
  }
  if (status || is_general(status.error().code)) return status;
  ReplyBuilder reply{header_of(op, reply_kind(op.header.kind)), {}};
  reply.header.error = static_cast<u32>(status.error().code);
  reply.begin(sizeof reply.header);
  sink(reply.finish(true));
  return ok();
}

Status Answerer::describe(int fd, const char* name, bool in_cwd, ManifestEntry& entry) {
  struct statx status;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | (name == nullptr ? AT_EMPTY_PATH : 0);
  if (::statx(fd, name == nullptr ? "" : name, flags, kStatxMask, &status) != 0) return sys_error("statx");
  entry = {};
  entry.mode = status.stx_mode;
  entry.uid = status.stx_uid;
  entry.gid = status.stx_gid;
  entry.flags = !S_ISDIR(status.stx_mode) && status.stx_nlink > 1 ? wire::kManifestLinks : 0;
  entry.size = status.stx_size;
  entry.mtime_ns = status.stx_mtime.tv_sec * 1'000'000'000 + status.stx_mtime.tv_nsec;
  // Of others nobody needs it, and it would not compress.
  if (entry.flags & wire::kManifestLinks) entry.inode = status.stx_ino;
  if (S_ISCHR(status.stx_mode) || S_ISBLK(status.stx_mode)) {
    entry.detail = makedev(status.stx_rdev_major, status.stx_rdev_minor);
  } else if (S_ISLNK(status.stx_mode)) {
    char text[PATH_MAX + 1];
    const ssize_t size = ::readlinkat(fd, name == nullptr ? "" : name, text, sizeof text);
    if (size < 0) return sys_error("readlinkat");
    const std::string_view found(text, static_cast<std::size_t>(size));
    const std::string told = links_.empty() ? std::string() : links_.to_source(found);
    entry.detail = links_.empty() ? XXH3_64bits(found.data(), found.size()) : XXH3_64bits(told.data(), told.size());
    entry.size = links_.empty() ? found.size() : told.size();
  }
  auto attributes = name != nullptr && in_cwd ? read_xattr_digest(AT_FDCWD, name) : read_xattr_digest(fd, name);
  if (!attributes) return attributes.error();
  entry.xattr_digest = *attributes;
  return ok();
}

Status Answerer::manifest(const OpView& op, const ReplySink& sink) {
  auto directory = open_directory_beneath(paths_.root(op.header.mapping), op.path, O_RDONLY);
  if (!directory) return directory.error();
  const int fd = directory->get();
  const bool in_cwd = own_cwd_ && ::fchdir(fd) == 0;
  struct Leave {   // no replica directory stays busy because of us
    bool needed;
    ~Leave() {
      if (needed && ::chdir("/") != 0) return;
    }
  } leave{in_cwd};

  std::unique_ptr<u8[]> buffer(new u8[kListBytes]);
  ReplyBuilder reply{header_of(op, wire::Reply::manifest), {}};
  reply.begin(64u << 10);
  for (;;) {
    const long size = ::syscall(SYS_getdents64, fd, buffer.get(), kListBytes);
    if (size < 0) return sys_error("getdents64");
    if (size == 0) break;
    if (stop_.load(std::memory_order_relaxed)) return SysError{ECANCELED, "manifest"};
    for (long at = 0; at < size;) {
      const auto* found = reinterpret_cast<const DirectoryEntry*>(buffer.get() + at);
      at += found->length;
      const char* name = found->name;
      if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) continue;
      ManifestEntry entry;
      auto described = describe(fd, name, in_cwd, entry);
      if (!described) {
        if (described.error().code == ENOENT) continue;   // removed by someone else meanwhile
        return described.error();
      }
      const std::size_t length = std::strlen(name);
      if (reply.bytes.size() + sizeof entry + length > kManifestReplyBytesMax) {
        sink(reply.finish(false));
        reply.begin(kManifestReplyBytesMax);
      }
      entry.name_len = static_cast<u16>(length);
      reply.bytes.append(&entry, sizeof entry);
      reply.bytes.append(name, length);
    }
  }
  sink(reply.finish(true));
  return ok();
}

Result<Fd> Answerer::open_object(const OpView& op) {
  if (op.path.empty()) return open_directory_beneath(paths_.root(op.header.mapping), {}, O_PATH);
  auto place = paths_.locate(op.header.mapping, op.path);
  if (!place) return place.error();
  const int fd = ::openat(place->directory, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return sys_error("openat");
  return Fd(fd);
}

Status Answerer::hashes(const OpView& op, const ReplySink& sink) {
  auto object = open_object(op);
  if (!object) return object.error();
  struct stat status;
  if (::fstat(object->get(), &status) != 0) return sys_error("fstat");
  if (!S_ISREG(status.st_mode)) return SysError{S_ISDIR(status.st_mode) ? EISDIR : ENXIO, "fstat"};
  auto file = reopen(object->get());
  if (!file) return file.error();
  const int fd = file->get();
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);

  const u64 size = static_cast<u64>(status.st_size);
  const u64 block = op.header.arg0;
  const u64 blocks = size / block + (size % block != 0 ? 1 : 0);
  // Whole blocks per read where they fit; larger blocks are hashed piece by piece.
  const std::size_t read_size = block <= kReadBytes ? kReadBytes / block * block : kReadBytes;
  std::unique_ptr<u8[]> buffer(new u8[read_size]);
  ReplyBuilder reply{header_of(op, wire::Reply::hashes), {}};
  reply.header.arg1 = size;
  u64 next = 0;
  const auto begin = [&] {
    reply.header.arg0 = next;
    reply.begin(sizeof reply.header + std::min<u64>(kHashesReplyBytesMax, (blocks - next) * sizeof(u64)));
  };
  const auto add = [&](u64 hash) {
    if (reply.bytes.size() - sizeof reply.header >= kHashesReplyBytesMax) {
      sink(reply.finish(false));
      begin();
    }
    reply.bytes.append(&hash, sizeof hash);
    ++next;
  };
  begin();
  XXH3_state_t state;
  u64 in_block = 0;   // bytes of an unfinished block in `state`
  for (u64 offset = 0; offset < size;) {
    if (stop_.load(std::memory_order_relaxed)) return SysError{ECANCELED, "hashes"};
    const auto wanted = static_cast<std::size_t>(
        std::min<u64>({read_size, size - offset, block > kReadBytes ? block - in_block : read_size}));
    auto got = read_full(fd, buffer.get(), wanted, offset);
    if (!got) return got.error();
    if (*got == 0) break;   // shortened by someone else; the source compares sizes anyway
    if (block <= kReadBytes) {
      for (std::size_t at = 0; at < *got; at += block) {
        add(block_hash(buffer.get() + at, std::min<std::size_t>(block, *got - at)));
      }
    } else {
      if (in_block == 0) XXH3_64bits_reset(&state);
      XXH3_64bits_update(&state, buffer.get(), *got);
      in_block += *got;
      if (in_block == block || offset + *got == size) {
        add(XXH3_64bits_digest(&state));
        in_block = 0;
      }
    }
    offset += *got;
  }
  sink(reply.finish(true));
  return ok();
}

Status Answerer::digest(const OpView& op, const ReplySink& sink) {
  auto object = open_object(op);
  if (!object) return object.error();
  wire::DigestBody body{};
  auto described = describe(object->get(), nullptr, false, body.entry);
  if (!described) return described.error();
  if (S_ISREG(body.entry.mode)) {
    auto file = reopen(object->get());
    if (!file) return file.error();
    ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    std::unique_ptr<u8[]> buffer(new u8[kReadBytes]);
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    for (u64 offset = 0;;) {
      if (stop_.load(std::memory_order_relaxed)) return SysError{ECANCELED, "digest"};
      auto got = read_full(file->get(), buffer.get(), kReadBytes, offset);
      if (!got) return got.error();
      XXH3_128bits_update(&state, buffer.get(), *got);
      offset += *got;
      if (*got < kReadBytes) break;
    }
    const XXH128_hash_t hash = XXH3_128bits_digest(&state);
    body.content[0] = hash.low64;
    body.content[1] = hash.high64;
  }
  ReplyBuilder reply{header_of(op, wire::Reply::digest), {}};
  reply.begin(sizeof reply.header + sizeof body);
  reply.bytes.append(&body, sizeof body);
  sink(reply.finish(true));
  return ok();
}

}  // namespace understudy
