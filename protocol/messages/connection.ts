/** Connections (SPEC E): a replication set linked to a target. */
import {
  count,
  flag,
  type Infer,
  keyDigest,
  list,
  method,
  millis,
  nullable,
  oneOf,
  optional,
  struct,
  text,
  topic,
  wallTime,
  whole,
} from '../schema.js';
import { CONNECTION_COUNT_MAX, MAPPING_COUNT_MAX, ORIGIN_COUNT_MAX } from '../limits.js';
import { Notice, SEVERITY } from './log.js';
import { MirrorOptions } from './mirror.js';
import { Mapping, Origin } from './peer.js';
import { Statistics } from './statistics.js';

/** Life of the data link; see agentd/core/connection/table.ts. `held`: there is none, because nothing is to be sent now. */
export const CONNECTION_PHASE = ['opening', 'linking', 'linked', 'waiting', 'refused', 'held', 'closed'] as const;
export type ConnectionPhase = (typeof CONNECTION_PHASE)[number];

/** What holds up a connection whose link is up; see agentd/core/stall. */
export const STALL_CAUSE = [
  'target_silent',
  'target_full',
  'target_retrying',
  'apply_blocked',
  'network_blocked',
  'source_blocked',
] as const;
export type StallCause = (typeof STALL_CAUSE)[number];
export const Stall = struct({
  cause: oneOf(
    STALL_CAUSE,
    'target_silent: its agent does not answer; target_full: its disk is; target_retrying: an operation fails again and again; apply_blocked: its applier waits for the system; network_blocked: what is sent does not arrive; source_blocked: the source itself reads or sends nothing',
  ),
  since: wallTime('nothing moved since'),
});
export type Stall = Infer<typeof Stall>;

export const ConnectionItem = struct({
  id: count('CON-01: from 1, anew after each start of the agent'),
  key: text(64, 'permanent key'),
  set: text(255, 'replication set'),
  generation: count('generation of the set this connection runs with'),
  source: text(255, 'name of the source'),
  target: text(255, 'name of the target'),
  targetKey: keyDigest('key of the target'),
  route: text(300, 'CON-24 address and port that receive the data'),
  mappings: list(Mapping, MAPPING_COUNT_MAX, 'CON-25..27'),
  statistics: Statistics,
  phase: oneOf(CONNECTION_PHASE, 'life of the data link'),
  phaseSince: wallTime('when the phase began'),
  severity: oneOf(SEVERITY, 'how it is'),
  problem: nullable(Notice),
  stall: optional(nullable(Stall)),
  latencyMs: millis(
    'GLO-29 recovery point latency, with a link or without; 0 caught up, -1 there is no recovery point',
  ),
  recoveryPoint: optional(
    nullable(wallTime('everything that changed before is on the target; null: nothing waits, or there is none')),
  ),
  lagBytes: optional(count('encoded bytes of operations that the target has not applied')),
  lagAtLeast: optional(flag('more waits that is known by name only, or is in doubt')),
  heartbeatMs: optional(millis('since the target had applied everything in its stream; -1 not yet')),
  quietMs: millis('since the target was heard last; -1 without a link'),
  sequence: count('last batch made'),
  applied: count('last batch the target applied'),
  durable: count('last batch on stable storage of the target'),
  wireBytes: count('bytes on the wire, both directions'),
  targetQueuedBytes: count('received by the target and not yet applied'),
  quarantined: count('paths the target could not write; retried (P6)'),
  mirrorFilesDone: count('files of the running mirror done'),
  mirrorFilesTotal: count('files of the running mirror, 0 when not known'),
});
export type ConnectionItem = Infer<typeof ConnectionItem>;

/** What to do with the set's directories on the target (CON-25..27). */
export const MappingWish = struct({
  kind: oneOf(['all_to_one', 'one_to_one', 'custom'], 'CON-25, CON-26, CON-27'),
  base: optional(
    text(
      4_094,
      'all_to_one: directory on the target that holds /source_name/replication_set_name/volume_name; `/` when left out',
    ),
  ),
  custom: optional(list(Mapping, MAPPING_COUNT_MAX, 'custom: each covers a directory of the set or one above it')),
});
export type MappingWish = Infer<typeof MappingWish>;

export const ConnectionPrepare = method(
  'connection.prepare',
  'administrator',
  false,
  struct({ set: text(255, 'replication set'), mapping: MappingWish }),
  struct({
    key: text(64, 'permanent key for the new connection'),
    peer: keyDigest('key of this source'),
    server: text(255, 'name of this source'),
    generation: count('generation of the set'),
    ignoreDeletes: optional(flag('REP-13, SRV-52: what the source wants for its new connections')),
    mappings: list(Mapping, MAPPING_COUNT_MAX, 'worked out, one per directory of the set'),
    origins: list(Origin, ORIGIN_COUNT_MAX, 'where the data comes from, for the loop guard of the target'),
  }),
  'First step of connect: what the target has to grant. Changes nothing.',
);

export const ConnectionCreate = method(
  'connection.create',
  'administrator',
  true,
  struct({
    key: text(64, 'from connection.prepare'),
    set: text(255, 'replication set'),
    generation: count('from connection.prepare'),
    target: struct({
      name: text(255, 'name of the target'),
      key: keyDigest('key of the target; trusted with this call'),
      host: text(255, 'CON-24 address the data goes to'),
      port: whole(1, 65_535, 'CON-24 its port'),
    }),
    mappings: list(Mapping, MAPPING_COUNT_MAX, 'from connection.prepare'),
    mirror: MirrorOptions,
    replication: flag('CON-29 start replication on connection'),
    compression: optional(whole(0, 3, 'TRN-41: 0 off, 1 minimum, 2 medium, 3 maximum')),
    calculateSize: optional(flag('CON-32, SET-21: on when left out')),
  }),
  struct({ id: count('CON-01') }),
  'Second step of connect, after the target granted it.',
);

export const ConnectionRemove = method(
  'connection.remove',
  'administrator',
  true,
  struct({ id: count('connection ID') }),
  struct({
    key: text(64, 'permanent key, to take the grant back on the target'),
    targetKey: keyDigest('key of the target'),
    target: text(255, 'its name'),
  }),
  'CON-70 Disconnect.',
);
export const ConnectionReconnect = method(
  'connection.reconnect',
  'administrator',
  true,
  struct({ id: count('connection ID') }),
  struct({}),
  'Tries the link now instead of after its wait; takes up a connection that the agent left alone at its start (SRV-23).',
);
export const ConnectionList = method(
  'connection.list',
  'monitor',
  false,
  struct({}),
  struct({ connections: list(ConnectionItem, CONNECTION_COUNT_MAX, 'by ID') }),
  'Every connection made here.',
);
export const ConnectionTopic = topic(
  'connections',
  'monitor',
  struct({}),
  ConnectionItem,
  (connection) => connection.key,
  'Connections with their statistics, once a second while they change.',
);
