/** Messages of transmission: requests 1220 to 1229, events 2250 to 2269. */
import { amount, define } from './define.js';

type At = { id: number; set: string; target: string };

export const TRANSMIT_REQUESTS = {
  TRANSMIT_NOT_NOW: define<{ action: string; id: number; state: string; advice: string }>({
    id: 1220,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `Transmission of connection ${p.id} is ${p.state}; ${p.action} is not possible now.`,
    remedy: (p) => p.advice,
  }),
  TRANSMIT_WINDOW_CLOSED: define<{ address: string; open: string; close: string }>({
    id: 1221,
    severity: 'warning',
    retry: 'after_fix',
    exit: 4,
    message: (p) =>
      `The transmission window to ${p.address} is closed; nothing is sent outside ${p.open} to ${p.close} (TRN-20).`,
    remedy: () => 'Wait until it opens, or change it: `understudy transmit clear ID --type window`.',
  }),
  TRANSMIT_INVALID: define<{ problem: string }>({
    id: 1222,
    severity: 'error',
    exit: 2,
    message: (p) => p.problem,
    remedy: () => 'Nothing was changed; correct it and set it again.',
  }),
} as const;

export const TRANSMIT_EVENTS = {
  TRANSMIT_STARTED: define<At>({
    id: 2250,
    severity: 'information',
    message: (p) => `Connection ${p.id}: transmission started.`,
  }),
  TRANSMIT_STOPPED: define<At>({
    id: 2251,
    severity: 'information',
    message: (p) => `Connection ${p.id}: transmission stopped; the link is closed, data is held in the source queue.`,
    remedy: (p) => `\`understudy transmit start ${p.id}\` sends again.`,
  }),
  TRANSMIT_SET: define<{ address: string; connections: string }>({
    id: 2252,
    severity: 'information',
    message: (p) => `Transmission limits to ${p.address} changed; they count for connection ${p.connections}.`,
  }),
  TRANSMIT_SCHEDULED: define<{ address: string }>({
    id: 2253,
    severity: 'information',
    message: (p) => `Transmission to ${p.address} is scheduled: links are made only when a start criterion is met.`,
  }),
  TRANSMIT_REALTIME: define<{ address: string }>({
    id: 2254,
    severity: 'information',
    message: (p) => `Transmission to ${p.address} is not scheduled any more; data is sent as soon as possible.`,
  }),
  SESSION_STARTED: define<{ address: string; why: string; queued: number }>({
    id: 2255,
    severity: 'information',
    message: (p) => `A transmission session to ${p.address} began (${p.why}); ${amount(p.queued)} are queued.`,
  }),
  SESSION_ENDED: define<{ address: string; why: string; bytes: number; seconds: number; queued: number }>({
    id: 2256,
    severity: 'information',
    message: (p) =>
      `The transmission session to ${p.address} ended because ${p.why}: ${amount(p.bytes)} in ${p.seconds} s, ${amount(p.queued)} stay queued.`,
  }),
  SESSION_OUTSIDE_WINDOW: define<{ address: string; open: string }>({
    id: 2257,
    severity: 'warning',
    message: (p) => `A session start to ${p.address} was passed over: the transmission window is closed (TRN-20).`,
    remedy: (p) => `The window opens at ${p.open}; give a session start inside it.`,
  }),
  BANDWIDTH_SET: define<{ address: string; kbps: number }>({
    id: 2258,
    severity: 'information',
    message: (p) =>
      p.kbps === 0
        ? `Bandwidth to ${p.address} is not limited.`
        : `Bandwidth to ${p.address} is limited to ${p.kbps} kbit/s.`,
  }),
  COMPRESSION_SET: define<{ address: string; level: string }>({
    id: 2259,
    severity: 'information',
    message: (p) => `Compression to ${p.address} is ${p.level}.`,
  }),
} as const;
