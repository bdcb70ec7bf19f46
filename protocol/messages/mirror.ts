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
  nullable,
  path,
  wallTime,
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
export const Barrier = method(
  'connection.barrier',
  'monitor',
  false,
  struct({ id, timeoutMs: optional(whole(1, 86_400_000, 'give up after this; 60000 when left out')) }),
  struct({ ms: millis('how long it took') }),
  'Returns when every change made before the call is durable on the target (I2).',
);

/** VER-03..06. */
export const VerifyOptions = struct({
  checksum: flag('VER-06: compare contents block by block; with remirror only blocks that differ are sent'),
  remirror: flag('VER-04: send what differs'),
  newer: flag('VER-05: send only what is newer on the source; risky with databases'),
});
export type VerifyOptions = Infer<typeof VerifyOptions>;

const Side = nullable(
  struct({ bytes: bytes('size of a file'), modified: wallTime('modification time') }, 'null where nothing is'),
);
export const VerifyDifference = struct({
  what: oneOf(['different', 'missing', 'orphan'], 'missing: on the source only. orphan: on the target only'),
  path: text(8_192, 'path on the source'),
  source: Side,
  target: Side,
  blocksDiffer: count('VER-06: blocks whose contents differ'),
  blocks: count('blocks compared, 0 when attributes told enough'),
});
export type VerifyDifference = Infer<typeof VerifyDifference>;

export const VerifyResult = struct({
  files: count('files compared'),
  bytes: bytes('bytes compared'),
  different: count('paths whose attributes or contents differ'),
  missing: count('paths missing on the target'),
  orphans: count('paths on the target only (GLO-11)'),
  resent: count('paths sent again (VER-04)'),
  paths: list(text(8_192, 'path with what differs'), VERIFY_PATHS_MAX, 'the first of them'),
  differences: list(VerifyDifference, VERIFY_PATHS_MAX, 'the same with the state before anything was sent (VER-18)'),
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
    checksum: optional(flag('VER-06: compare contents too')),
    remirror: optional(flag('VER-04: send what differs')),
    newer: optional(flag('VER-05: only what is newer on the source')),
  }),
  VerifyResult,
  'VER-02: compares source and target and logs what it finds; refused while a mirror runs.',
);

/** VER-07..09. */
export const VerifySchedule = struct({
  start: wallTime('VER-07: the first time; later ones count from it'),
  everyMs: nullable(whole(60_000, 366 * 86_400_000, 'VER-08: interval [ms]; null: once')),
  options: VerifyOptions,
});
export type VerifySchedule = Infer<typeof VerifySchedule>;

export const VERIFY_PHASE = ['off', 'waiting', 'due', 'running'] as const;
export const VerifyPlan = struct({
  phase: oneOf(VERIFY_PHASE, 'off: no schedule. due: its time came, the link or a mirror is in the way'),
  schedule: nullable(VerifySchedule),
  next: nullable(wallTime('when it is or was due')),
  last: nullable(
    struct({
      began: wallTime('when'),
      asked: text(255, 'by whom, or `schedule`'),
      options: VerifyOptions,
      result: VerifyResult,
    }),
  ),
  log: path('VER-12: where it is logged'),
});
export type VerifyPlan = Infer<typeof VerifyPlan>;

export const VerifyScheduleSet = method(
  'verify.schedule',
  'administrator',
  true,
  struct({ id, schedule: nullable(VerifySchedule) }),
  VerifyPlan,
  'VER-07..10: saves or clears (null) the schedule of a connection. Saving runs nothing.',
);
export const VerifyShow = method(
  'verify.show',
  'monitor',
  false,
  struct({ id }),
  VerifyPlan,
  'The schedule of a connection and the result of its last verification.',
);
export const VerifyLogRead = method(
  'verify.log',
  'monitor',
  false,
  struct({ id, limit: optional(whole(1, 4_194_304, 'bytes from its end; 1 MiB when left out')) }),
  struct({
    file: path('the log'),
    text: text(4_194_304, 'its end, whole lines'),
    omitted: bytes('before that'),
    length: bytes('of the file'),
  }),
  'VER-01: the verification log of the set of this connection.',
);
