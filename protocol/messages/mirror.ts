/** Mirror, replication, barrier and verification of one connection (SPEC F, G, I). */
import {
  bytes,
  count,
  flag,
  type Infer,
  list,
  method,
  millis,
  oneOf,
  optional,
  struct,
  text,
  whole,
} from '../schema.js';
import { VERIFY_PATHS_MAX } from '../limits.js';

const id = count('connection ID (CON-01)');

export const MIRROR_KIND = ['full', 'difference', 'none'] as const;
/** MIR-05, MIR-20..25. */
export const MirrorOptions = struct({
  kind: oneOf(
    MIRROR_KIND,
    'full: everything whole (MIR-20). difference: what differs (MIR-21). none: leave it to a person (CON-28)',
  ),
  newer: optional(flag('MIR-22: only if the source is newer; risky with databases (MIR-10)')),
  checksum: optional(flag('MIR-23: only the blocks that differ')),
});
export type MirrorOptions = Infer<typeof MirrorOptions>;

export const MirrorStart = method(
  'mirror.start',
  'administrator',
  true,
  struct({ id, options: MirrorOptions }),
  struct({}),
  'MIR-05.',
);
export const MirrorStop = method(
  'mirror.stop',
  'administrator',
  true,
  struct({ id }),
  struct({}),
  'MIR-08: forgets the position.',
);
export const MirrorPause = method(
  'mirror.pause',
  'administrator',
  true,
  struct({ id }),
  struct({}),
  'MIR-06: keeps the position.',
);
export const MirrorResume = method('mirror.resume', 'administrator', true, struct({ id }), struct({}), 'MIR-07.');
export const ReplicationStart = method(
  'replication.start',
  'administrator',
  true,
  struct({ id }),
  struct({}),
  'REP-02; a mirror follows, because changes made meanwhile were not queued.',
);
export const ReplicationStop = method('replication.stop', 'administrator', true, struct({ id }), struct({}), 'REP-02.');
export const TransmitPause = method(
  'transmit.pause',
  'administrator',
  true,
  struct({ id }),
  struct({}),
  'CON-04: the link stays, data is queued.',
);
export const TransmitResume = method(
  'transmit.resume',
  'administrator',
  true,
  struct({ id }),
  struct({}),
  'Ends the pause.',
);

export const Barrier = method(
  'connection.barrier',
  'monitor',
  false,
  struct({ id, timeoutMs: optional(whole(1, 86_400_000, 'give up after this; 60000 when left out')) }),
  struct({ ms: millis('how long it took') }),
  'Returns when every change made before the call is durable on the target (I2).',
);

export const VerifyResult = struct({
  files: count('files compared'),
  bytes: bytes('bytes compared'),
  different: count('paths whose attributes or contents differ'),
  missing: count('paths missing on the target'),
  orphans: count('paths on the target only (GLO-11)'),
  paths: list(text(8_192, 'path with what differs'), VERIFY_PATHS_MAX, 'the first of them'),
  omitted: count('paths not listed'),
  ms: millis('how long it took'),
});
export type VerifyResult = Infer<typeof VerifyResult>;
export const Verify = method(
  'connection.verify',
  'administrator',
  true,
  struct({
    id,
    checksum: optional(flag('compare contents too')),
    remirror: optional(flag('VER-04: send what differs')),
  }),
  VerifyResult,
  'Compares source and target.',
);
