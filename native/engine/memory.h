// Memory that was freed goes back to the system once work has rested: buffers of a mirror stay in the heap while it
// runs (they come and go by the megabyte), and would stay there for ever.
#pragma once

#include "base.h"

namespace understudy {

// Thread-safe. `memory_used` after each piece of work; `memory_rests` whenever a thread has nothing to do: it gives
// memory back once, after five seconds without work anywhere in the process.
void memory_used();
void memory_rests();

}  // namespace understudy
