// What statx says about an object, in the terms of the shadow. Shared by the files that make up `Source`.
#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdlib>

#include "base.h"

namespace understudy {

inline constexpr u32 kHintSweep = 1u << 16;   // no event: everything about the object is compared
inline constexpr unsigned kStatx = STATX_BASIC_STATS | STATX_BTIME;

inline i64 stx_ns(const statx_timestamp& at) { return i64{at.tv_sec} * 1'000'000'000 + at.tv_nsec; }
inline u64 stx_device(const struct statx& stat) { return makedev(stat.stx_dev_major, stat.stx_dev_minor); }

// Read now, its times would prove nothing later: not of another write in the same grain of the clock, nor of one whose
// bytes are still on their way. Of a time that somebody set, any write that follows makes another one.
inline bool just_changed(const struct statx& stat) {
  constexpr i64 kRacyNs = 20'000'000;   // coarsest clock grain of the file systems' times, doubled
  constexpr i64 kStepNs = 1'000'000;
  const i64 now = monotonic_ns(), wall = realtime_ns();
  thread_local i64 ahead_ns = wall - now, unknown_until_ns = 0;
  // Somebody set the clock since the last look: what it says now is no measure for a time from before.
  if (std::abs(wall - now - ahead_ns) > kStepNs) unknown_until_ns = now + kRacyNs;
  ahead_ns = wall - now;
  return now < unknown_until_ns || std::abs(wall - stx_ns(stat.stx_mtime)) < kRacyNs;
}

// What open says when no regular file has the name any more: nothing, a symbolic link, a socket, or a device.
inline bool no_file_there(int error) { return error == ENOENT || error == ELOOP || error == ENXIO || error == ENODEV; }

inline bool has_holes(const struct statx& stat) { return stat.stx_blocks * 512 < stat.stx_size; }

// Size of a file; birth time of a directory, which tells it from a later one with the same inode number.
inline i64 size_or_birth(const struct statx& stat) {
  if (!S_ISDIR(stat.stx_mode)) return static_cast<i64>(stat.stx_size);
  return (stat.stx_mask & STATX_BTIME) ? stx_ns(stat.stx_btime) : 0;
}

// Kinds that travel: all but sockets, which live in processes.
inline bool told_kind(u32 mode) {
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISFIFO(mode) || S_ISCHR(mode) || S_ISBLK(mode);
}

}  // namespace understudy
