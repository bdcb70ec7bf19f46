/** Messages of queues: events 2270 to 2289. */
import { amount, define } from './define.js';

type At = { id: number; set: string; target: string };

export const QUEUE_EVENTS = {
  QUEUE_ALERT: define<At & { percent: number; held: number; capacity: number; folder: string }>({
    id: 2270,
    severity: 'warning',
    message: (p) =>
      `Connection ${p.id}: the queue for ${p.target} is ${p.percent} % full, ${amount(p.held)} of ${amount(p.capacity)} (QUE-10).`,
    remedy: (p) =>
      `Bring the link or the target back, raise queue.disk_mb, or give ${p.folder} more space. Nothing is lost so far.`,
  }),
  QUEUE_CALM: define<At & { percent: number }>({
    id: 2271,
    severity: 'information',
    message: (p) => `Connection ${p.id}: the queue for ${p.target} has drained to ${p.percent} %.`,
  }),
  QUEUE_FULL: define<At & { why: string; folder: string }>({
    id: 2272,
    severity: 'error',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: the queue for ${p.target} is full: ${p.why}. Changes wait as names and are read when there is room; nothing is lost (QUE-09).`,
    remedy: (p) =>
      `Bring the link or the target back, raise queue.disk_mb, or make room in ${p.folder}. It goes on by itself.`,
  }),
  QUEUE_ROOM: define<At>({
    id: 2273,
    severity: 'information',
    message: (p) => `Connection ${p.id}: the queue for ${p.target} has room again.`,
  }),
  QUEUE_EXHAUSTED: define<At & { why: string; folder: string }>({
    id: 2274,
    severity: 'error',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: the queue for ${p.target} is full: ${p.why}. It was disconnected, because queue.when_full says so (MIR-30); a reconnect follows (MIR-31).`,
    remedy: (p) =>
      `Bring the link or the target back, raise queue.disk_mb, or make room in ${p.folder}. \`queue.when_full = "wait"\` needs no mirror.`,
  }),
  QUEUE_RECONNECTED: define<At>({
    id: 2275,
    severity: 'information',
    message: (p) => `Connection ${p.id}: reconnected to ${p.target} after its queue was full (MIR-31).`,
  }),
  QUEUE_RESUMED: define<At & { bytes: number }>({
    id: 2276,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: the queue for ${p.target} goes on where the agent stopped: ${amount(p.bytes)} wait, nothing of it is read again.`,
  }),
  QUEUE_DROPPED: define<At>({
    id: 2277,
    severity: 'warning',
    message: (p) =>
      `Connection ${p.id}: the queue for ${p.target} that the last run left cannot be used, because that run did not end in order; what it held is compared with the target.`,
    remedy: () => 'Nothing to do: what differs is sent. A stop of the agent in order keeps the queue.',
  }),
  QUEUE_PLACE: define<{ folder: string; problem: string }>({
    id: 2278,
    severity: 'information',
    message: (p) => `The queue folder ${p.folder} had better be elsewhere: ${p.problem} (QUE-03).`,
    remedy: () => 'Set queue.folder to a volume of its own and restart the agent.',
  }),
  QUEUE_FOLDER_FAILED: define<{ folder: string }>({
    id: 2280,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `The queue folder ${p.folder} cannot be made; changes wait in memory only, and as names.`,
    remedy: () => 'The cause names the call and the error. Correct it, or set queue.folder and restart the agent.',
  }),
  QUEUE_LIMITS: define<{ problem: string }>({
    id: 2279,
    severity: 'warning',
    message: (p) => `The limits of the queue leave it no space on disk: ${p.problem} (QUE-07).`,
    remedy: () =>
      'Lower queue.free_mb or queue.disk_mb, or set queue.folder to a larger volume; then restart the agent.',
  }),
} as const;
