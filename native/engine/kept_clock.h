// Moments are monotonic, and such a clock begins anew with each boot. What is written down together with these can be
// understood by a later run: exactly within the same boot, whoever sets the wall clock meanwhile, and by the wall clock
// after another one.
#pragma once

#include <algorithm>
#include <limits>

#include "base.h"
#include "marks.h"

namespace understudy {

// Moments before this machine was started are negative. 0: none. kNeverNs: before all others.
inline constexpr i64 kNeverNs = std::numeric_limits<i64>::min();

struct KeptClock {
  u64 boot;          // 0: not known
  i64 monotonic_ns;
  i64 wall_ns;

  static KeptClock now() {
    static const u64 boot = boot_digest();
    return {boot, understudy::monotonic_ns(), realtime_ns()};
  }

  // For those who read it, and for releases that know no better.
  i64 to_wall(i64 moment_ns) const { return moment_ns == kNeverNs ? kNeverNs : wall_ns - (monotonic_ns - moment_ns); }
  i64 from_wall(i64 moment_wall_ns) const { return moment_wall_ns == kNeverNs ? kNeverNs : monotonic_ns - (wall_ns - moment_wall_ns); }

  // A moment that was kept with this, by the clock of `today`. It is as old as it was then at least, whatever the wall
  // clock says.
  i64 recall(i64 moment_ns, const KeptClock& today) const {
    if (moment_ns == kNeverNs || moment_ns == 0 || (boot != 0 && boot == today.boot)) return moment_ns;
    const i64 then = today.monotonic_ns - std::max<i64>(0, today.wall_ns - wall_ns) - (monotonic_ns - moment_ns);
    return then == 0 ? -1 : then;
  }
};
static_assert(sizeof(KeptClock) == 24);

}  // namespace understudy
