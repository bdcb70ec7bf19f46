/** How full the source queues of a target address are: the one place that says so (TRN-12, TRN-13). */
import type { QueueUse } from './step.js';

export interface QueueCounters {
  /** Encoded changes that wait for the target. */
  readonly queueHeldBytes: number;
  /** What the queue takes before reading of changes waits. */
  readonly queueRoomBytes: number;
}

/** All bytes together; the percentage of the fullest queue, because that one has to wait first. */
export function queueUse(queues: readonly QueueCounters[]): QueueUse {
  let bytes = 0;
  let percent = 0;
  for (const { queueHeldBytes: held, queueRoomBytes: room } of queues) {
    bytes += held;
    if (room > 0) percent = Math.max(percent, Math.min(100, Math.floor((held / room) * 100)));
  }
  return { bytes, percent };
}
