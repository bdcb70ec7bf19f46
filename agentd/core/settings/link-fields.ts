/** Settings of the data link: heartbeats and the socket (SRV-30, SRV-35..38). */
import { isAddress, type Field } from './field.js';

const address = (value: string): string | null =>
  value === '' || isAddress(value) ? null : 'must be an IPv4 or IPv6 address of this server, or empty';

export const LINK_FIELDS = [
  {
    key: 'heartbeat.interval_s',
    row: 'SRV-35',
    kind: 'whole',
    preset: 3,
    min: 0,
    max: 3_600,
    live: true,
    why: 'seconds between two heartbeats on every data link, of the link and of the target that applies; 0: none, then silence proves nothing, and a quiet connection is never called OK',
  },
  {
    key: 'heartbeat.missed_limit',
    row: 'SRV-36',
    kind: 'whole',
    preset: 20,
    min: 2,
    max: 1_000,
    live: true,
    why: 'heartbeats missed in a row until transmission stops and data queues: interval times this. Each side judges by its own; a link that is being made has ten seconds, whatever this says',
  },
  {
    key: 'heartbeat.show',
    row: 'SRV-37',
    kind: 'flag',
    preset: false,
    live: true,
    why: 'log every heartbeat, answered or missed; fills logs faster',
  },
  {
    key: 'network.address',
    row: 'SRV-30',
    kind: 'text',
    preset: '',
    max: 64,
    check: address,
    live: true,
    why: 'address of this server that data links are made from (agent.listen says where they come in); empty: the kernel chooses. Counts for links made from then on',
  },
  {
    key: 'network.window',
    row: 'SRV-38',
    kind: 'whole',
    preset: 0,
    min: 0,
    max: 1_073_741_824,
    live: true,
    why: 'bytes of the TCP buffers of a data link, each way; 0: the kernel tunes them, which is best. 37500 bytes for every 10 Mbit/s keep a line full. Counts for links made from then on',
  },
] as const satisfies readonly Field[];

export const WINDOW_BYTES_MIN = 4_096;

/** What single values do not show; null when nothing is wrong. */
export function linkProblem(values: Readonly<Record<string, unknown>>): string | null {
  const window = Number(values['network.window']);
  return window > 0 && window < WINDOW_BYTES_MIN
    ? `network.window must be 0, for the kernel to tune it, or at least ${WINDOW_BYTES_MIN} (SRV-38)`
    : null;
}
