// Memory that was freed goes back to the system: buffers of a mirror come and go by the megabyte, each into another hole
// of the heap, and would stay there for ever.
#pragma once

#include "base.h"

namespace understudy {

// Thread-safe. `memory_used` after each piece of work: it gives memory back every two seconds. `memory_rests` whenever a
// thread has nothing to do: it gives memory back once more, after five seconds without work anywhere in the process.
void memory_used();
void memory_rests();

}  // namespace understudy
