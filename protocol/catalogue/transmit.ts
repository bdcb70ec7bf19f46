/**
 * Messages of transmission: requests 1220 to 1229, events 2250 to 2269; and of the data link, its heartbeats and its socket,
 * and of mirrors that a target pauses: events 2290 to 2299.
 */
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

export const LINK_EVENTS = {
  LINK_SILENT: define<At & { missed: number; interval: number }>({
    id: 2290,
    severity: 'warning',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: ${p.target} missed ${p.missed} heartbeats, one every ${p.interval} s; transmission stopped, changes are queued and the link is tried again by itself (SRV-36).`,
    remedy: (p) =>
      `See whether ${p.target} is overloaded or stopped, and whether the line between the two servers works. Raise heartbeat.missed_limit if such pauses are usual there.`,
  }),
  HEARTBEAT: define<{ peer: string; ms: number }>({
    id: 2291,
    severity: 'information',
    message: (p) => `Heartbeat: ${p.peer} answered after ${p.ms} ms (heartbeat.show).`,
  }),
  HEARTBEAT_MISSED: define<{ peer: string; missed: number; limit: number }>({
    id: 2292,
    severity: 'information',
    message: (p) => `Heartbeat: ${p.peer} missed ${p.missed} of ${p.limit} (heartbeat.show).`,
  }),
  LINK_ADDRESS: define<At & { address: string }>({
    id: 2293,
    severity: 'error',
    retry: 'after_fix',
    message: (p) =>
      `Connection ${p.id}: no link to ${p.target} can be made from ${p.address}, which network.address asks for; it is tried again by itself.`,
    remedy: (p) =>
      `Give ${p.address} to an interface of this server, of the same kind (IPv4 or IPv6) as the address of ${p.target}, or set network.address to another one; empty lets the kernel choose.`,
  }),
  WINDOW_LIMITED: define<{ wanted: number; granted: number }>({
    id: 2294,
    severity: 'warning',
    message: (p) => `The kernel grants ${p.granted} of the ${p.wanted} bytes of network.window (SRV-38).`,
    remedy: () =>
      'Raise net.core.wmem_max and net.core.rmem_max by sysctl, run the agent with CAP_NET_ADMIN, or set network.window to 0.',
  }),
  MIRROR_HELD: define<At>({
    id: 2295,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: ${p.target} has paused the mirror, because what it received of mirrors and did not write yet takes much of its memory (QUE-12). Changes of what is mirrored already go on.`,
    remedy: (p) =>
      `It goes on by itself when ${p.target} has written enough (target.mirror_low_percent there). If it stays so, see what holds up its disks.`,
  }),
  MIRROR_RELEASED: define<At>({
    id: 2296,
    severity: 'information',
    message: (p) => `Connection ${p.id}: ${p.target} has room for the mirror again (QUE-13).`,
  }),
  MIRROR_MEMORY_HIGH: define<{ bytes: number; percent: number }>({
    id: 2297,
    severity: 'information',
    message: (p) =>
      `Mirrors to this server pause: ${amount(p.bytes)} of them wait here to be written, above ${p.percent} % of its memory (QUE-12).`,
    remedy: () => 'They go on by themselves. target.mirror_high_percent is the mark.',
  }),
  MIRROR_MEMORY_LOW: define<{ bytes: number; percent: number }>({
    id: 2298,
    severity: 'information',
    message: (p) =>
      `Mirrors to this server go on: ${amount(p.bytes)} of them wait here to be written, not above ${p.percent} % of its memory (QUE-13).`,
  }),
} as const;
