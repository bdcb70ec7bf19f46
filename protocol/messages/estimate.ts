/** Simulated connections and what they tell about bandwidth and time (CON-40..42, EDN-50). */
import { BANDWIDTH_COUNT_MAX, RATE_MINUTES_MAX } from '../limits.js';
import {
  bytes,
  count,
  flag,
  type Infer,
  list,
  method,
  millis,
  nullable,
  optional,
  struct,
  text,
  wallTime,
  whole,
} from '../schema.js';

export { DIAGNOSTICS, TDU } from '../diagnostics.js';

export const ConnectionSimulate = method(
  'connection.simulate',
  'administrator',
  true,
  struct({
    set: text(255, 'replication set'),
    compression: optional(whole(0, 3, 'TRN-41; 1 when left out, so that it is known how well the data compresses')),
    calculateSize: optional(flag('CON-32, SET-21: on when left out')),
  }),
  struct({ id: count('CON-01') }),
  'CON-40: connects a set to a target that is not there. Everything is read, encoded, compressed and counted, nothing is sent or written.',
);

const bits = (why: string) => whole(1_000, 1_000_000_000_000, `${why} [bit/s]`);
/** All lengths of data without the headers of the network; all speeds with them. */
export const Estimate = struct({
  set: text(255, 'replication set'),
  files: count('files of the set'),
  bytes: bytes('of the set'),
  since: wallTime('when looking began'),
  observedMs: millis('how long changes were counted'),
  mirror: nullable(
    struct({
      files: count('sent by the last mirror'),
      bytes: bytes('sent'),
      packed: bytes('the same, compressed'),
      ms: millis('how long it took to read, without a network'),
    }),
  ),
  changes: struct({
    bytes: bytes('sent by replication'),
    packed: bytes('the same, compressed'),
    mean: count('[bytes/s] on the wire, over the whole time'),
    busy: count('[bytes/s] on the wire, exceeded in one minute of twenty'),
    peak: count('[bytes/s] on the wire, in the busiest minute'),
    peakAt: nullable(wallTime('when that was')),
  }),
  recoveryMs: millis('the recovery point that is wanted'),
  bandwidth: count('[bit/s] with which no change would have been older than that on the target'),
  bandwidths: list(
    struct({
      bitsPerSecond: bits('bandwidth'),
      mirrorMs: nullable(millis('for the first mirror, changes meanwhile included; null: not known or never')),
      worstMs: nullable(millis('age of the oldest change at the worst moment; null: without end')),
    }),
    BANDWIDTH_COUNT_MAX,
    'what other bandwidths would do',
  ),
  minutes: list(
    struct({ at: wallTime('begin of the minute'), bytes: bytes('changed'), packed: bytes('compressed') }),
    RATE_MINUTES_MAX,
    'minutes with changes, oldest first; only when asked for',
  ),
});
export type Estimate = Infer<typeof Estimate>;

export const ConnectionEstimate = method(
  'connection.estimate',
  'monitor',
  false,
  struct({
    id: count('connection ID'),
    recoveryMs: optional(whole(1_000, 86_400_000, 'the recovery point that is wanted; 60000 when left out')),
    bandwidths: optional(list(bits('bandwidth'), BANDWIDTH_COUNT_MAX, '10, 100 and 1000 Mbit/s when left out')),
    minutes: optional(flag('list the changes by minute')),
  }),
  Estimate,
  'EDN-50: what a simulated connection has counted, and the bandwidth that follows.',
);
