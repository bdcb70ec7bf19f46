/** Messages of heartbeats, of the socket of a data link, and of mirrors that a target pauses: events 2290 to 2299. */
import { amount, define } from './define.js';

type At = { id: number; set: string; target: string };

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
