// The data link's bytes: frames, batches and operations (DESIGN 4 and 5). Little-endian, fixed layout.
//
// A link carries frames. A source sends `hello`, then `batch` frames in sequence; a target answers `welcome` or
// `refuse`, then `ack` and `reply` frames. Either side may send `message` (CBOR of the control planes, opaque here).
//
// An operation states the fact that shall hold afterwards ("this path is a directory with these attributes"), so
// repeating one does no harm. `rename` and `link` relate two paths; after a crash the target knows which single
// operation is in doubt (marks.h) and repeats just that one tolerantly.
#pragma once

#include "base.h"

namespace understudy::wire {

inline constexpr u16 kVersion = 1;
inline constexpr u32 kBatchDataMax = 1u << 20;      // bytes of one operation's data
inline constexpr u32 kBatchBytesMax = 2u << 20;     // a whole batch, uncompressed
inline constexpr u32 kFrameBytesMax = 16u << 20;    // any frame's payload, as sent
inline constexpr u32 kBatchOpsMax = 65'536;
inline constexpr u32 kPathBytesMax = 4'094;         // CAP-10
inline constexpr u32 kNameBytesMax = 255;
inline constexpr u32 kXattrBytesMax = 128u << 10;   // all extended attributes of one object

enum class FrameType : u8 {
  hello = 1,    // source -> target, once: StreamPosition, then control plane CBOR (set, connection, mappings)
  welcome = 2,  // target -> source, once: StreamPosition the target has applied, then control plane CBOR
  refuse = 3,   // target -> source, then the link closes: control plane CBOR (error code and parameters)
  batch = 4,    // source -> target: BatchHeader + operations
  ack = 5,      // target -> source: Ack
  reply = 6,    // target -> source: ReplyHeader + body
  message = 7,  // either way: control plane CBOR
  ping = 8,     // either way, u64 sender's monotonic clock; answered by `pong` with the same bytes
  pong = 9,
  taken = 10,   // source -> target: u64, the last refusal (ReplyHeader::id) it has; the target may forget those up to it
  invalid = 11, // target -> source, then the link closes: text, what is wrong with a batch. The stream is over
};

// 16 bytes before every payload. `checksum` covers the payload as sent (see checksum() in crc.h).
struct FrameHeader {
  u32 length;       // payload bytes as sent, <= kFrameBytesMax
  u32 checksum;
  u32 raw_length;   // payload bytes after decompression; == length when not compressed
  u8 type;          // FrameType
  u8 flags;         // kFrameCompressed
  u16 version;      // kVersion
};
static_assert(sizeof(FrameHeader) == 16);
inline constexpr u8 kFrameCompressed = 1;   // payload is one zstd frame; only for `batch` and `reply`

// Where a stream stands. `stream` names one uninterrupted sequence of batches (random, never 0); a source that lost
// its queue starts a new one at sequence 1.
struct StreamPosition {
  u64 stream;
  u64 applied;      // hello: lowest sequence the source can still send, minus 1. welcome: last batch fully applied
  u64 durable;      // welcome: last batch known to be on stable storage. hello: last refusal (ReplyHeader::id) taken
  u64 boot;         // welcome: digest of the target's boot id; a change means unsynced writes may be gone
  u32 applied_ops;  // welcome: operations of batch applied+1 already done (the next one is in doubt)
  u32 flags;        // welcome: kPositionFresh
};
static_assert(sizeof(StreamPosition) == 40);
// Nothing was ever applied to these directories as far as the target knows: a first connection, or its mark is gone, or
// the directories are others than before. A source that counts on a replica must mirror.
inline constexpr u32 kPositionFresh = 1;

struct BatchHeader {
  u64 sequence;        // 1, 2, 3 ... within the stream
  i64 captured_ns;     // CLOCK_REALTIME of the oldest change told in this batch
  i64 sent_ns;         // CLOCK_REALTIME when the batch was closed
  u32 op_count;
  u32 flags;           // kBatchMirror
  u64 reserved;
};
static_assert(sizeof(BatchHeader) == 40);
inline constexpr u32 kBatchMirror = 1;      // every operation comes from a mirror, not from replication

enum class OpKind : u8 {
  mkdir = 1,      // path is a directory with mode, uid, gid. Anything else there is removed first
  file = 2,       // path is a regular file holding exactly `data`, with mode, uid, gid, mtime (small files)
  create = 3,     // path is a regular file, owner as given, mode 0600 until setattr; kOpTruncate empties it. arg0: final size
  write = 4,      // `data` at arg0 = offset; the file exists (otherwise it is created)
  truncate = 5,   // file size is arg0
  punch = 6,      // bytes [arg0, arg0 + arg1) are a hole
  setattr = 7,    // mode, uid, gid and, unless kOpNoTimes, mtime; symbolic links: owner and mtime only
  xattrs = 8,     // `data` is the complete list of extended attributes (XattrHeader ...); others are removed
  symlink = 9,    // path is a symbolic link with text path2, uid, gid, mtime
  link = 10,      // path is another name of path2 (mapping of path2: aux)
  mknod = 11,     // fifo or device: mode with type bits, rdev = arg1, uid, gid, mtime
  remove = 12,    // nothing exists at path (directories: with all they hold)
  rename = 13,    // path becomes path2 (mapping of path2: aux); kOpExchange swaps the two
  manifest = 14,  // request: list the directory `path`; answered by Reply::manifest with this `id`
  hashes = 15,    // request: block hashes of file `path`, block size arg0; answered by Reply::hashes
  digest = 16,    // request: content digest and attributes of `path`; answered by Reply::digest
  checkpoint = 17,// make everything before durable now, then acknowledge
  heartbeat = 18, // arg0: source's CLOCK_REALTIME
  task = 19,      // control plane CBOR in `data`, handed over when all before it is applied; nothing behind it is applied
                  // until the control plane is done with it. arg0: kTask*
  orphan = 20,    // the source has no `path`; the target's settings say what becomes of it (MIR-50). `data`: wildcards of
                  // names below it that stay, each ended by NUL. Empty path: the run is over; arg0: totals are wanted
};
inline constexpr u8 kOpKindLast = 20;

inline constexpr u8 kOpFresh = 1;      // the sender knows that nothing exists at path (fast path, not a promise)
inline constexpr u8 kOpTruncate = 2;
inline constexpr u8 kOpNoTimes = 4;
inline constexpr u8 kOpExchange = 8;
inline constexpr u8 kOpPreview = 32;   // orphan: list only
inline constexpr u8 kOpReplace = 16;   // file/create: a different object than before; never write through the old inode
inline constexpr u64 kTaskDurable = 1;   // task, the first operation of its batch: all before it is durable first
inline constexpr u8 kOpUnshare = 64;   // create: keep the contents, but under an inode that has no other name
inline constexpr u8 kOpPresent = 64;   // mkdir: it is there; where it is not, nothing is made (ENOENT, ENOTDIR)
static_assert(kOpPresent == kOpUnshare);   // One bit, of which each kind has its own meaning; one is still free.

// 64 bytes, then path, path2 and data without padding between, then zeros to a multiple of 8.
// Paths are relative to the mapping's root, no leading, trailing or doubled slash, no `.` or `..` component, no NUL;
// empty means the root itself (mkdir, setattr, xattrs, manifest, digest only).
struct OpHeader {
  u32 size;        // whole operation with padding, multiple of 8
  u8 kind;
  u8 flags;
  u16 mapping;     // index into the grant's roots
  u16 path_len;    // <= kPathBytesMax
  u16 path2_len;   // <= kPathBytesMax + 1 (symlink text)
  u32 data_len;    // <= kBatchDataMax
  u32 mode;
  u32 uid;
  u32 gid;
  u32 aux;
  i64 mtime_ns;
  u64 arg0;
  u64 arg1;
  u64 id;          // request id, chosen by the source; 0 when none
};
static_assert(sizeof(OpHeader) == 64);

// Extended attributes: this header, name bytes, value bytes; repeated. Namespaces told: user., trusted., security.
// (not selinux, ima, evm) and system.posix_acl_access/default.
struct XattrHeader {
  u16 name_len;
  u16 reserved;
  u32 value_len;
};
static_assert(sizeof(XattrHeader) == 8);

struct Ack {
  u64 applied;         // last batch sequence fully applied
  u64 durable;         // last batch sequence on stable storage
  u64 queued_bytes;    // received and not yet applied
  u64 written_bytes;   // data bytes written to files since the link came up
  u32 flags;           // kAck*
  u32 failed;          // operations in quarantine (NAKed and not repaired since)
  i64 applied_ns;      // BatchHeader::sent_ns of the batch `applied`
};
static_assert(sizeof(Ack) == 48);
inline constexpr u32 kAckPaused = 1;     // target paused (CON-60): everything received waits
inline constexpr u32 kAckRetrying = 2;   // an operation is being retried (REP-10)
inline constexpr u32 kAckMirrorHold = 4; // target's mirror capacity reached (QUE-12)
inline constexpr u32 kAckTask = 16;      // a task runs; what is behind it waits
inline constexpr u32 kAckPausePending = 8; // will be paused when the operation at hand has ended (CON-60)

enum class Reply : u8 {
  manifest = 1,  // body: ManifestEntry + name, repeated. error ENOENT/ENOTDIR: nothing usable at path
  hashes = 2,    // body: u64 XXH3-64 per block from block `arg0`; several replies per request, last has kReplyLast
  digest = 3,    // body: DigestBody
  nak = 4,       // an operation was refused: body is its OpHeader and paths (data_len and data left out). Kept by the
                 // target and sent again on each link until the source says that it has it
};

struct ReplyHeader {
  u8 kind;        // Reply
  u8 flags;       // kReplyLast
  u16 reserved;
  u32 error;      // errno, 0 = success
  u64 id;         // OpHeader::id; nak: 1, 2, 3 ... within the stream
  u64 arg0;       // hashes: first block index. nak: batch sequence
  u64 arg1;       // hashes: file size in bytes. nak: operation index in the batch
};
static_assert(sizeof(ReplyHeader) == 32);
inline constexpr u8 kReplyLast = 1;
inline constexpr std::size_t kNakCallMax = 64;   // nak: behind the paths, the call that failed; older targets say nothing

struct ManifestEntry {
  u32 mode;          // with type bits
  u32 uid;
  u32 gid;
  u16 name_len;
  u16 flags;         // kManifestLinks: nlink > 1
  u64 size;
  i64 mtime_ns;
  u64 detail;        // device: rdev. symlink: XXH3-64 of its text. else 0
  u64 xattr_digest;  // see xattr_digest() in wire.h users; 0 = none
  u64 inode;         // with kManifestLinks, else 0
};
static_assert(sizeof(ManifestEntry) == 56);
inline constexpr u16 kManifestLinks = 1;

struct DigestBody {
  ManifestEntry entry;  // name_len 0
  u64 content[2];       // XXH3-128 of a regular file's bytes (low, high), else 0
};
static_assert(sizeof(DigestBody) == 72);

}  // namespace understudy::wire
