/** Shapes of the state files. Each names its schema; an older one is lifted, a newer one refused. */
import { z } from 'zod';
import { failure } from '../../protocol/errors.js';
import { MirrorOptions } from '../../protocol/messages/mirror.js';
import { Mapping, Origin, Peer } from '../../protocol/messages/peer.js';
import { Rule } from '../../protocol/messages/set.js';
import { SESSION_START, TransmitSettings } from '../../protocol/messages/transmit.js';
import { TaskItem } from '../../protocol/messages/task.js';
import { keyDigest, problemOf } from '../../protocol/schema.js';
import { MANUAL_PHASE, SESSION_PHASE } from '../core/transmit/table.js';
import type { Documents } from '../ports/documents.js';
import { StoredSchedule } from './verify-run.js';

export const SETS_FILE = 'understudy.db';
export const CONNECTIONS_FILE = 'connect.sts';
export const PEERS_FILE = 'peers.sts';
export const GRANTS_FILE = 'grants.sts';
export const ROOTS_FILE = 'roots.sts';
/** SRV-65. */
export const SCHEDULE_FILE = 'schedule.sts';

/** Tasks that were sent or run, with their outcomes. */
export const TASKS_FILE = 'tasks.sts';

export const StoredSet = z.object({
  name: z.string(),
  generation: z.number(),
  rules: z.array(Rule),
  saved: z.number(),
  size: z.object({ files: z.number(), directories: z.number(), bytes: z.number(), at: z.number() }).nullable(),
});
export type StoredSet = z.infer<typeof StoredSet>;

export const StoredConnection = z.object({
  key: z.string(),
  set: z.string(),
  generation: z.number(),
  rules: z.array(Rule),
  target: z.object({ name: z.string(), key: keyDigest('target'), host: z.string(), port: z.number() }),
  mappings: z.array(Mapping),
  replication: z.boolean(),
  /** Of older agents; since then it belongs to the target address. */
  compression: z.number().optional(),
  /** What a person wants of its transmission (TRN-02). */
  transmit: z.enum(MANUAL_PHASE).optional(),
  calculateSize: z.boolean(),
  mirror: z.object({
    phase: z.enum(['idle', 'wanted', 'starting', 'mirroring', 'paused']),
    complete: z.boolean(),
    options: MirrorOptions.nullable(),
  }),
  /** A stream was up once, so a new one means that something is missing. */
  everLinked: z.boolean(),
  /** CON-40: to a target that is not there. */
  simulated: z.boolean().optional(),
  /** VER-07..10; null or left out: none. */
  verify: StoredSchedule.nullish(),
  created: z.number(),
});
export type StoredConnection = z.infer<typeof StoredConnection>;

export const StoredGrant = z.object({
  connection: z.string(),
  peer: keyDigest('source'),
  server: z.string(),
  set: z.string(),
  mappings: z.array(Mapping),
  origins: z.array(Origin),
  ignoreDeletes: z.boolean(),
  remapLinks: z.boolean(),
  created: z.number(),
  createdBy: z.string(),
});
export type StoredGrant = z.infer<typeof StoredGrant>;

/** Transmission to one target address; connections refer to it by their address (TRN-07). */
export const StoredLine = z.object({
  address: z.string(),
  settings: TransmitSettings,
  gate: z.object({
    phase: z.enum(SESSION_PHASE),
    considered: z.number(),
    asked: z.number(),
    session: z.object({ since: z.number(), cause: z.enum(SESSION_START) }).nullable(),
  }),
  /** Bytes of the session that runs. */
  sent: z.number(),
});
export type StoredLine = z.infer<typeof StoredLine>;
export const StoredLines = z.object({ schema: z.literal(1), addresses: z.array(StoredLine) });

export const StoredSets = z.object({ schema: z.literal(1), sets: z.array(StoredSet) });
export const StoredConnections = z.object({ schema: z.literal(1), connections: z.array(StoredConnection) });
export const StoredPeers = z.object({ schema: z.literal(1), peers: z.array(Peer) });
export const StoredGrants = z.object({ schema: z.literal(1), paused: z.boolean(), grants: z.array(StoredGrant) });
export const StoredTasks = z.object({ schema: z.literal(1), tasks: z.array(TaskItem) });
/** Identity of the directories of each connected set, as the engine names it (I11). */
export const StoredRoots = z.object({ schema: z.literal(1), roots: z.record(z.string(), z.array(z.string())) });

/** The document, or null when there is none. Throws STATE_INVALID when it is not what it should be. */
export function loadDocument<S extends z.ZodType>(documents: Documents, name: string, schema: S): z.infer<S> | null {
  const value = documents.load(name);
  if (value === null) return null;
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw failure('STATE_INVALID', { file: name, problem: problemOf(read.error) });
}
