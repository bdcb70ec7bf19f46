/**
 * Typed facade of the native engine; the only file that loads the addon.
 *
 * Handles (sources, connections, links) are small integers. Calls return at once; what happens later arrives as
 * {@link EngineEvent}s on the JavaScript thread, a few per second, never one per file. A call that the operating
 * system refuses throws {@link NativeError} with errno and call.
 */
import { createRequire } from 'node:module';

/** A refused system or library call as plain data. */
export interface NativeError extends Error {
  /** errno name such as `EACCES`, or `EPROTO`, `EINVAL` for our own refusals. */
  readonly code: string;
  /** The call that was refused, such as `fanotify_mark`. */
  readonly call: string;
}

export interface Identity {
  /** PEM of an EC P-256 private key (PKCS #8). */
  readonly key: string;
  /** PEM of the self-signed certificate for that key. */
  readonly certificate: string;
}

export interface EngineOptions extends Identity {
  /** QUE-04: for the queues of all connections of this engine together. */
  readonly queueMemoryBytes: number;
  /** Called on the JavaScript thread for every event, in order. */
  readonly onEvent: (event: EngineEvent) => void;
}

/** What may change while the engine runs. */
export interface EngineTuning {
  /** SRV-35: between two heartbeats of each link and each stream; 0: none. */
  readonly heartbeatMs: number;
  /** SRV-36: a link that was silent for this many of them ends with ETIMEDOUT in the call `heartbeat`. */
  readonly heartbeatsMissedMax: number;
  /** SRV-37: `heartbeat` and `link_heartbeat` are told. */
  readonly showHeartbeats: boolean;
  /** SRV-30: links are made from this address; empty: from any. Ends with the call `bind ADDRESS` where that fails. */
  readonly localAddress: string;
  /** SRV-38: of the socket buffers of links made from then on; 0: the kernel tunes. */
  readonly windowBytes: number;
  /** SRV-53: operations of a mirror that may be queued or sent and not applied, 32 KiB of its data counting as one. */
  readonly mirrorPendingMax: number;
  /** SRV-50: batches of changes for each batch of a mirror while changes wait. */
  readonly replicationRatio: number;
  /** QUE-12, QUE-13: of mirror data received by all links and not applied. */
  readonly mirrorHighBytes: number;
  readonly mirrorLowBytes: number;
}

/** One rule of a replication set (SET-02), already split. */
export interface SourceRule {
  /** Absolute directory or file, no trailing slash. */
  readonly path: string;
  /** Wildcard for names below `path` (`*`, `?`), or null: everything. */
  readonly pattern: string | null;
  readonly include: boolean;
  readonly recursive: boolean;
}

export interface SourceOptions {
  readonly name: string;
  /** Existing directory for the persisted shadow and its log; excluded from capture. */
  readonly stateDir: string;
  /** Absolute directories; index = mapping id. Must exist. */
  readonly roots: readonly string[];
  readonly rules: readonly SourceRule[];
  /** Absolute paths never replicated (the agents' own directories). */
  readonly exclude: readonly string[];
  readonly capture: 'auto' | 'fanotify' | 'inotify';
  /** Period of the statx sweep in ms; 0 = only at barriers. */
  readonly sweepMs: number;
  /** Mass-delete guard (I11): a delete burst above both numbers stops the set; null = off. */
  readonly guard: { readonly percent: number; readonly count: number } | null;
  /** Identity of each root as `device:inode` strings from an earlier `sourceReady`, or null at first start. */
  readonly rootIdentity: readonly string[] | null;
  /**
   * Connections of an earlier run that are opened right after this call. The first look waits for them, because what
   * changed meanwhile is told only to those that are attached. 0 when left out.
   */
  readonly streams?: number;
}

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** Hex SHA-256 of the target's public key (SPKI, DER). */
  readonly peerKey: string;
  /** Control plane CBOR shown to the target when the link comes up. */
  readonly hello: Uint8Array;
  /** Existing directory for this connection's stream position. */
  readonly stateDir: string;
  /** 0 = off, 1..3 = minimum, medium, maximum (TRN-41). */
  readonly compression: 0 | 1 | 2 | 3;
  /** Makes a link; false: batches wait until `transmitLink` (CON-03, CON-05). */
  readonly linking: boolean;
  /** QUE-02: a folder of this connection alone, made when it is needed; its parent exists. */
  readonly queueFolder: string;
  /** QUE-06: bytes it may hold; -1: any number, 0: there is no disk queue. */
  readonly queueDiskBytesMax: number;
  /** QUE-07: bytes left free on its volume. */
  readonly queueFreeBytesMin: number;
  /** QUE-09: a full queue gives the stream up; false: changes wait as names. */
  readonly disconnectWhenFull: boolean;
  /** Emit replication operations from the start (CON-29). */
  readonly replication: boolean;
  /** REP-10: what the target refused is told again at once, then after this, and after twice as long each time. */
  readonly retryMs: number;
  /** A mirror is started as soon as it can be. What changes until then is told by it and not before. */
  readonly mirrorFollows?: boolean;
  /** CON-40: everything is read, encoded, compressed, counted, and dropped; host, port and key mean nothing. */
  readonly simulated?: boolean;
}

export interface MirrorOptions {
  /** none: send everything whole (MIR-20). attributes: MIR-21/22. content: MIR-23..25. */
  readonly compare: 'none' | 'attributes' | 'content';
  /** Only if the source's date is newer (MIR-22, MIR-25). */
  readonly newer: boolean;
  /** With `content`: compare every file, not only those whose attributes differ (MIR-24, SRV-55). */
  readonly all: boolean;
}

export interface VerifyOptions {
  /** Compare contents too, not only attributes. */
  readonly checksum: boolean;
  /** Send what differs (VER-04). */
  readonly remirror: boolean;
  /** With `remirror`: only what is newer on the source (VER-05). */
  readonly newer: boolean;
}

export interface GrantRoot {
  /** Absolute directory on the target. */
  readonly path: string;
  /** The source's root that is mapped here; used for links that point inside the set (CAP-31). */
  readonly sourcePath: string;
}

export interface AcceptOptions {
  /** Control plane CBOR sent back in `welcome`. */
  readonly welcome: Uint8Array;
  /** State file of this connection (applied mark). Its directory exists. */
  readonly markPath: string;
  readonly roots: readonly GrantRoot[];
  /** CON-60: nothing is applied, from the first operation on; `receiverPause` changes it. */
  readonly paused: boolean;
  readonly ignoreDeletes: boolean;
  readonly remapLinks: boolean;
  readonly retryMs: number;
  readonly orphans: OrphanOptions;
}

/** What a target does with names that its source does not have (MIR-52..55). */
export interface OrphanOptions {
  readonly action: 'none' | 'move' | 'delete';
  readonly log: boolean;
  /** Only those not modified for this long; 0: all. */
  readonly ageMs: number;
  /** move: absolute, outside of every replica. */
  readonly folder: string;
}

/** Counters of one connection. Bytes are exact, not sampled. */
export interface ConnectionStatistics {
  readonly linked: boolean;
  readonly transmitPaused: boolean;
  /** mirror: idle | calculating | mirroring | paused | waiting | verifying */
  readonly mirror: 'idle' | 'mirroring' | 'paused' | 'waiting' | 'verifying' | 'orphans';
  readonly replicating: boolean;
  readonly queuedOps: number;
  readonly queuedBytes: number;
  readonly queuedMirrorOps: number;
  readonly queuedMirrorBytes: number;
  readonly sentBytes: number;
  readonly sentCompressedBytes: number;
  readonly sentMirrorBytes: number;
  readonly sentMirrorCompressedBytes: number;
  readonly skippedMirrorBytes: number;
  readonly remainingMirrorBytes: number;
  readonly mirrorFilesDone: number;
  readonly mirrorFilesTotal: number;
  /** Wire bytes including TLS, both directions. */
  readonly wireBytes: number;
  readonly sequence: number;
  readonly applied: number;
  readonly durable: number;
  readonly targetQueuedBytes: number;
  readonly targetPaused: boolean;
  /** Will be paused when the operation at hand has ended (CON-60). */
  readonly targetPausing: boolean;
  readonly targetRetrying: boolean;
  /** The target runs a task of this stream; what is behind it waits. */
  readonly targetTask: boolean;
  /** The target wants nothing more of a mirror for now (QUE-12). */
  readonly mirrorHeld: boolean;
  /** Operations in quarantine. */
  readonly failed: number;
  /** Paths whose fate on the target is in doubt (after a crash or a power failure) are still compared or told again. */
  readonly repairing: boolean;
  /**
   * Age of the recovery point, ms: everything that changed before it is on the target. 0: nothing waits and nothing is in
   * doubt; -1: the target never held everything. It goes on without a link. Monotonic: a clock that is set changes nothing.
   */
  readonly latencyMs: number;
  /** The recovery point by the wall clock, ms; 0 while `latencyMs` is 0 or -1. */
  readonly recoveryPointMs: number;
  /** Age of the oldest change that is known and not applied, without what is merely in doubt, ms; 0: there is none. */
  readonly unappliedMs: number;
  /** Encoded bytes of what is not applied; `lagAtLeast`: more waits that is not read yet, or is in doubt. */
  readonly lagBytes: number;
  readonly lagAtLeast: boolean;
  /**
   * The target had applied everything that was in its stream so long ago, ms; -1: never yet. A quiet stream carries a
   * heartbeat each second, so that this is a proof of life of the applier, not of the link.
   */
  readonly heartbeatMs: number;
  readonly lastPath: string;
  /** ms since the last frame from the target; -1 without a link. */
  readonly quietMs: number;
  /** Encoded batches in the source queue, memory and disk together, and what both stages could hold. */
  readonly queueHeldBytes: number;
  readonly queueRoomBytes: number;
  /** STA-14, STA-15: memory taken by batches and their paths; bytes of files. */
  readonly queueMemoryBytes: number;
  readonly queueDiskBytes: number;
  /** The queue is full: changes wait as names. */
  readonly behind: boolean;
  /** Bytes all links to this address handed to the network since the last `transmitBudget`. */
  readonly sessionBytes: number;
  /** A batch waits because the budget has no room for it. */
  readonly budgetSpent: boolean;
}

export interface SourceStatistics {
  /** opening: first scan. watching: captured and current. lost: comparing again. stopped: root changed or guard. */
  readonly state: 'opening' | 'watching' | 'rescanning' | 'stopped';
  readonly capture: string;
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly dirty: number;
  readonly events: number;
  readonly lost: number;
  readonly shadowBytes: number;
  readonly unreadable: number;
}

export interface ReceiverStatistics {
  readonly linked: boolean;
  readonly batches: number;
  readonly operations: number;
  readonly writtenBytes: number;
  readonly applied: number;
  readonly durable: number;
  readonly queuedBytes: number;
  /** Of these, of mirrors; and whether their sources are asked to pause, because all links together hold too much. */
  readonly mirrorBytes: number;
  readonly mirrorHeld: boolean;
  /** Operations that were handed back to the source, ever; paths of these that were not put right since. */
  readonly failed: number;
  readonly quarantined: number;
  readonly checkpoints: number;
  /** Paused, but the operation at hand has not ended yet (CON-60). */
  readonly pausing: boolean;
  readonly retrying: boolean;
  /** A task runs; what is behind it waits. */
  readonly task: boolean;
  readonly lastPath: string;
}

/** What the engine reports. `source`, `connection` and `link` are handles. */
export type EngineEvent =
  /** A source presented itself: answer with `accept` or `refuse`. */
  | { kind: 'incoming'; link: number; peerKey: string; address: string; hello: Buffer }
  | { kind: 'link_closed'; link: number; code: string; call: string }
  | { kind: 'link_message'; link: number; payload: Buffer }
  /** Target side: something happened to a path or task; see receiver.h Report. */
  | { kind: 'receiver_report'; link: number; what: string; detail: string; code: string; call: string }
  /**
   * Target side: a task was reached, and everything before it is applied. `receiverTaskDone` with the ticket lets the
   * stream go on; when the link ends before, the task comes again with the next one. ready: what was asked to be durable
   * before it, is.
   */
  | { kind: 'receiver_task'; link: number; ticket: number; payload: Buffer; ready: boolean }
  /** First scan done, capture running. */
  | {
      kind: 'source_ready';
      source: number;
      capture: string;
      rootIdentity: string[];
      files: number;
      bytes: number;
      ms: number;
    }
  /** Capture lost events and compares again, or degraded (why, detail). */
  | { kind: 'source_lost'; source: number; why: string }
  | { kind: 'source_degraded'; source: number; why: string; detail: string }
  /** root_changed: a root is not the directory it was. mass_delete: guard; counts tell. Both wait for `sourceContinue`. */
  | {
      kind: 'source_stopped';
      source: number;
      why: 'root_changed' | 'mass_delete';
      detail: string;
      deleted: number;
      total: number;
    }
  | { kind: 'source_continues'; source: number }
  /** A path that cannot be read or sent (too long, unreadable, unsupported kind); collapsed, at most a few per second. */
  | { kind: 'source_path'; source: number; path: string; code: string; call: string; count: number }
  /** CAP-07: what is mounted here is no part of the set; once for each place. */
  | { kind: 'source_mount'; source: number; path: string }
  | { kind: 'link_up'; connection: number; welcome: Buffer; resumed: boolean }
  | { kind: 'link_refused'; connection: number; payload: Buffer }
  | { kind: 'link_down'; connection: number; code: string; call: string }
  | { kind: 'message'; connection: number; payload: Buffer }
  /** Answered after `roundTripUs`; or (`missed` not 0) so many in a row were not. */
  | { kind: 'heartbeat'; connection: number; roundTripUs: number; missed: number }
  | { kind: 'link_heartbeat'; link: number; roundTripUs: number; missed: number }
  /** The target asks to pause mirrors (QUE-12), or to go on. */
  | { kind: 'mirror_held'; connection: number }
  | { kind: 'mirror_released'; connection: number }
  /** Target side: what all links hold of mirrors passed a mark. */
  | { kind: 'mirror_memory'; held: boolean; bytes: number }
  /** The stream cannot continue where it was (queue limit, target lost its mark): a mirror is required. */
  | { kind: 'stream_broken'; connection: number; why: string }
  /** REP-09: told before the `stream_broken` whose cause is that no memory is left for what changes. */
  | { kind: 'memory_exhausted'; connection: number }
  /** Changes wait as names (`queue_full`); there is room again; the stream is given up, `stream_broken` follows. */
  | { kind: 'queue_full'; connection: number; why: string }
  | { kind: 'queue_room'; connection: number }
  /** It holds more than a moment's worth; told again after it was empty. */
  | { kind: 'queue_used'; connection: number }
  | { kind: 'queue_exhausted'; connection: number; why: string }
  /** At the opening: the queue of the last run goes on, or it could not be used. */
  | { kind: 'queue_resumed'; connection: number; bytes: number }
  | { kind: 'queue_dropped'; connection: number; bytes: number }
  /** Answers each `mirrorStart`, before anything else is said about that walk. */
  | { kind: 'mirror_started'; connection: number }
  /** Everything is sent and applied on the target. */
  | {
      kind: 'mirror_done';
      connection: number;
      files: number;
      sentBytes: number;
      skippedBytes: number;
      orphans: number;
      ms: number;
    }
  | { kind: 'mirror_stopped'; connection: number; why: string }
  /** An operation failed on the target; it is retried, the rest goes on. */
  | { kind: 'quarantined'; connection: number; path: string; code: string; call: string; count: number }
  /** The last of them is applied; follows a `quarantined`, unless a mirror began or the agent was started meanwhile. */
  | { kind: 'quarantine_emptied'; connection: number }
  /** details, one for each path: operation, errno, tries, since, next try [ms since 1970; 0: at it], call. */
  | {
      kind: 'quarantine_listed';
      connection: number;
      token: number;
      paths: string[];
      details: string[];
      omitted: number;
      total: number;
    }
  | { kind: 'quarantine_retried'; connection: number; token: number; count: number }
  | { kind: 'barrier_done'; connection: number; token: number }
  | { kind: 'barrier_failed'; connection: number; token: number; why: string }
  /** It is in the stream as the batch `sequence`. */
  | { kind: 'task_placed'; connection: number; token: number; sequence: number }
  /** placed: it was in the stream, which ended; whether the target reached it is for the target to say. */
  | { kind: 'task_failed'; connection: number; token: number; why: string; placed: boolean }
  | { kind: 'freeze_held'; freeze: number; ms: number }
  | { kind: 'freeze_failed'; freeze: number; code: string; call: string }
  /** Thawed. released: on request. timed_out: by the watchdog. killed: its holder was killed. ms: how long it was frozen. */
  | { kind: 'freeze_ended'; freeze: number; how: 'released' | 'timed_out' | 'killed'; ms: number }
  | {
      kind: 'verify_done';
      connection: number;
      files: number;
      bytes: number;
      different: number;
      missing: number;
      orphans: number;
      resent: number;
      paths: string[];
      /** One for each path: size and time [ms] here, the same there (-1: nothing), differing blocks, blocks. */
      details: string[];
      omitted: number;
      ms: number;
    }
  /** It was given up, by `mirrorStop` or for a mirror. */
  | { kind: 'orphans_done'; connection: number; orphans: number; paths: string[]; omitted: number; ms: number }
  | { kind: 'verify_stopped'; connection: number; why: string };

/** The addon's surface. Everything bulky stays behind it. */
export interface Engine {
  /** Starts to accept data links; returns the port (useful with 0). */
  listen(host: string, port: number): number;
  /** What is in force from then on; returns the bytes of socket buffers that the kernel grants. */
  tune(tuning: EngineTuning): number;
  accept(link: number, options: AcceptOptions): void;
  refuse(link: number, payload: Uint8Array): void;
  linkSend(link: number, payload: Uint8Array): void;
  linkClose(link: number): void;
  receiverPause(link: number, paused: boolean): void;
  receiverIgnoreDeletes(link: number, ignore: boolean): void;
  receiverOrphans(link: number, options: OrphanOptions): void;
  receiverStatistics(link: number): ReceiverStatistics | null;

  sourceOpen(options: SourceOptions): number;
  /**
   * Looks at nothing more from here on. To be called before the connections of a source are closed that shall go on
   * where they were after the next start: what changes in between is found then.
   */
  sourceSuspend(source: number): void;
  /** Persists the shadow (clean stop) and ends the source's threads; connections must be closed before. */
  sourceClose(source: number): void;
  sourceStatistics(source: number): SourceStatistics;
  /** Files and bytes of the set, from the shadow (SET-19). */
  sourceContinue(source: number, accept: 'once' | 'never'): void;
  sourceRescan(source: number): void;

  connectionOpen(source: number, options: ConnectionOptions): number;
  /** Ends link and stream. `forget`: also the stored position. */
  connectionClose(connection: number, forget: boolean): void;
  connectionStatistics(connection: number): ConnectionStatistics;
  connectionSend(connection: number, payload: Uint8Array): void;
  connectionReconnect(connection: number): void;
  mirrorStart(connection: number, options: MirrorOptions): void;
  mirrorPause(connection: number): void;
  mirrorResume(connection: number): void;
  mirrorStop(connection: number): void;
  replicationStart(connection: number): void;
  replicationStop(connection: number): void;
  transmitPause(connection: number, paused: boolean): void;
  /** Makes the link, or ends it at once; the stream goes on either way. */
  transmitLink(connection: number, linking: boolean): void;
  /** Bytes per second at the network interface for all connections to the same host; 0 = unlimited. */
  transmitLimit(connection: number, bytesPerSecond: number): void;
  /** Bytes all connections to the same host may send until the next call; -1 = any number (TRN-16). */
  transmitBudget(connection: number, bytes: number): void;
  transmitCompression(connection: number, level: 0 | 1 | 2 | 3): void;
  /** `barrier_done` follows when every change made before this call is durable on the target. */
  barrier(connection: number, token: number): void;
  /**
   * Puts a task into the stream, behind everything that changed before this call: `task_placed` or `task_failed` follows.
   * durable: the target makes all of that durable first. freeze: only while that freeze lasts.
   */
  task(connection: number, token: number, payload: Uint8Array, durable: boolean, freeze: number | null): void;
  /** Not placed yet: it fails. Placed: nothing happens. */
  taskCancel(connection: number, token: number): void;
  receiverTaskDone(link: number, ticket: number): void;
  /** Freezes the file systems of these directories for at most `limitMs`: `freeze_held` or `freeze_failed` follows. */
  freeze(directories: readonly string[], limitMs: number): number;
  freezeRelease(freeze: number): void;
  verify(connection: number, options: VerifyOptions): void;
  /** What the target refused, by path behind `after`: `quarantine_listed` follows. limit: 1..1000. */
  quarantineList(connection: number, token: number, after: string, limit: number): void;
  /** Tells a path (empty: all) again now: `quarantine_retried` follows. */
  quarantineRetry(connection: number, token: number, path: string): void;
  /** Walks for names that only the target has; `orphans_done` follows when it has worked them off (MIR-56). */
  orphansStart(connection: number, preview: boolean): void;

  /** Stops every thread and closes every link; sources are persisted. */
  close(): void;
}

interface Addon {
  createEngine(options: EngineOptions): Engine;
  createIdentity(commonName: string): Identity;
  /** Hex SHA-256 of the certificate's public key (SPKI, DER). */
  publicKeyDigest(certificatePem: string): string;
  peerCredentials(fd: number): { pid: number; uid: number; gid: number };
  /** Names of a user's groups, primary first; empty for an unknown uid. */
  groupNames(uid: number): string[];
  userName(uid: number): string | null;
  /** A user by name or number; null when unknown. */
  account(name: string): { name: string; uid: number; gid: number; home: string } | null;
  /** One text for each file system, whatever subvolume or bind mount a directory is reached through. */
  fileSystemOf(directory: string): string;
  /** Thaws a file system that an earlier process left frozen; throws EINVAL when it is not. */
  thaw(directory: string): void;
  /** What this machine can do for capture, one line each. */
  probe(path: string): { fanotify: string; inotify: string; fileSystem: string };
  /** One datagram to a Unix socket, such as journald's; never waits. Throws with the errno. Returns the bytes sent. */
  sendDatagram(path: string, bytes: Uint8Array): number;
  /** Compares two trees (content, kind, mode, owner, xattrs, links, times); at most `limit` differences as text. */
  compareTrees(left: string, right: string, limit: number): { files: number; bytes: number; differences: string[] };
}

let loaded: Addon | undefined;

/** The addon; loaded once, at first use. Throws with a remedy when it was not built. */
export function native(): Addon {
  if (loaded) return loaded;
  const require = createRequire(import.meta.url);
  const places = ['../../native/build/Release/understudy.node', '../native/build/Release/understudy.node'];
  for (const place of places) {
    try {
      loaded = require(place) as Addon;
      return loaded;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error('The native engine is not built. Run `npm run build` in the source directory.');
}
