/** The 26 statistics (STA-01..26) from counters and states. Words exactly as specified; `OK` only as I3 allows. */
import { CAUGHT_UP_MS } from '../../../protocol/limits.js';
import type { ConnectionPhase } from '../../../protocol/messages/connection.js';
import type { SetState } from '../../../protocol/messages/set.js';
import type {
  MirrorStatus,
  ReplicationStatus,
  Statistics,
  TargetDataState,
  TargetStatus,
  TransmitMode,
} from '../../../protocol/messages/statistics.js';
import type { MirrorPhase } from '../mirror/table.js';
import type { ManualPhase, SessionPhase } from '../transmit/table.js';

/** The counters the engine keeps for a connection; see native/index.ts. */
export interface Counters {
  readonly linked: boolean;
  readonly transmitPaused: boolean;
  readonly mirror: 'idle' | 'mirroring' | 'paused' | 'waiting' | 'verifying' | 'orphans';
  readonly replicating: boolean;
  readonly queuedOps: number;
  readonly queuedBytes: number;
  readonly queuedMirrorOps: number;
  readonly queuedMirrorBytes: number;
  readonly queueMemoryBytes: number;
  readonly queueDiskBytes: number;
  readonly sentBytes: number;
  readonly sentCompressedBytes: number;
  readonly sentMirrorBytes: number;
  readonly sentMirrorCompressedBytes: number;
  readonly skippedMirrorBytes: number;
  readonly remainingMirrorBytes: number;
  readonly mirrorFilesDone: number;
  readonly mirrorFilesTotal: number;
  readonly targetPaused: boolean;
  readonly targetPausing: boolean;
  readonly targetRetrying: boolean;
  /** The target wants nothing more of a mirror for now (QUE-12). */
  readonly mirrorHeld: boolean;
  readonly failed: number;
  readonly repairing: boolean;
  readonly latencyMs: number;
  readonly unappliedMs: number;
  readonly heartbeatMs: number;
  readonly lastPath: string;
  readonly quietMs: number;
}

/** Everything that decides the words. */
export interface ConnectionFacts {
  readonly id: number;
  readonly set: string;
  readonly target: string;
  readonly targetAddress: string;
  readonly phase: ConnectionPhase;
  readonly failures: number;
  readonly source: SetState;
  readonly mirror: MirrorPhase;
  /** The replica was complete and nothing was lost since. */
  readonly complete: boolean;
  /** A person wants replication. */
  readonly replication: boolean;
  readonly calculateSize: boolean;
  /** Mirror bytes sent and skipped before the running mirror began. */
  readonly mirrorBase: number;
  readonly connectedSince: number | null;
  /** What a person wants of its transmission, and the sessions of its target address. */
  readonly manual: ManualPhase;
  readonly session: SessionPhase;
  /** The last try reached the server, and nothing listens there: its target part is off (LIC-05). */
  readonly notLoaded: boolean;
  /** REP-09: no memory was left for what changes, and no mirror has begun since. */
  readonly outOfMemory: boolean;
  /** CON-40: there is no target. */
  readonly simulated: boolean;
  /** The link is up, something waits, and nothing moves; see core/stall. */
  readonly stalled: boolean;
  /** A target that was heard within this time is good; see core/connection/heartbeat. */
  readonly freshMs: number;
  /** Null while no stream is open. */
  readonly counters: Counters | null;
}

/** STA-05. The order is the order of gravity: the first that applies is said. */
export function targetDataState(facts: ConnectionFacts): TargetDataState {
  const { counters } = facts;
  if (facts.mirror === 'starting' || facts.mirror === 'mirroring' || facts.mirror === 'paused') return 'Mirroring';
  // What is known to be bad stays said, whatever else is not known.
  if (!facts.complete || facts.mirror === 'wanted')
    return facts.source === 'opening' && facts.mirror !== 'idle' ? 'Not Ready' : 'Mirror Required';
  if (counters && counters.failed > 0) return 'Mirror Required';
  if (facts.source === 'opening') return 'Not Ready';
  if (facts.source !== 'watching') return 'Unknown';
  if (!facts.replication) return 'Unknown';
  if (facts.phase !== 'linked' || !counters || !isFresh(counters, facts.freshMs)) return 'Unknown';
  // Nothing holds anything (I3).
  if (facts.simulated) return 'Not Loaded';
  if (counters.repairing || counters.latencyMs < 0) return 'Unknown';
  if (facts.stalled || counters.latencyMs > CAUGHT_UP_MS) return 'Busy';
  // The link answers, but the applier has not for a while.
  if (counters.heartbeatMs < 0 || counters.heartbeatMs > facts.freshMs) return 'Busy';
  return 'OK';
}

const isFresh = (counters: Counters, freshMs: number): boolean =>
  counters.linked && counters.quietMs >= 0 && counters.quietMs <= freshMs;

/** STA-06. */
export function targetStatus(facts: ConnectionFacts): TargetStatus {
  const { counters } = facts;
  if (facts.simulated || (facts.phase !== 'linked' && facts.notLoaded)) return 'Not Loaded';
  if (facts.phase !== 'linked' || !counters || !isFresh(counters, facts.freshMs)) return 'Unknown';
  if (counters.targetPausing) return 'Pause Pending';
  if (counters.targetPaused) return 'Paused';
  if (counters.targetRetrying) return 'Retrying';
  return 'OK';
}

/** STA-08, CON-02..06, TRN-22: waiting for a schedule is no error, and neither is the link being made after it. */
export function composeMode({
  phase,
  failures,
  manual,
  session,
}: Pick<ConnectionFacts, 'phase' | 'failures' | 'manual' | 'session'>): TransmitMode {
  if (manual === 'stopped') return 'Stopped';
  if (session === 'waiting') return 'Scheduled';
  switch (phase) {
    case 'linked':
      return manual === 'paused' ? 'Paused' : 'Started';
    case 'waiting':
    case 'refused':
      return 'Error';
    default:
      if (phase === 'linking' && failures > 0) return 'Error';
      return session === 'session' ? 'Scheduled' : 'Stopped';
  }
}

/**
 * STA-09. What is asked decides, the engine's counters only refine it: they are a moment older, and two sources of one
 * truth would contradict each other in between.
 */
export function mirrorStatus(facts: ConnectionFacts): MirrorStatus {
  const engine = facts.counters?.mirror;
  switch (facts.mirror) {
    case 'paused':
      return 'Paused';
    case 'starting':
      return 'Mirroring';
    case 'mirroring':
      // The target has enough to write: it sends for more when there is room (QUE-12).
      return engine === 'waiting' || facts.counters?.mirrorHeld ? 'Waiting' : 'Mirroring';
    case 'idle':
    case 'wanted':
      return engine === 'verifying' ? 'Verifying' : engine === 'orphans' ? 'Removing Orphans' : 'Idle';
  }
}

/** SET-20: percent of the running mirror; 100 is left to its end. */
export function mirrorPercent(facts: ConnectionFacts): number | null {
  const { counters } = facts;
  if (!counters || !facts.calculateSize || mirrorStatus(facts) !== 'Mirroring') return null;
  const done = Math.max(0, counters.sentMirrorBytes + counters.skippedMirrorBytes - facts.mirrorBase);
  const total = done + counters.remainingMirrorBytes;
  if (counters.mirrorFilesTotal === 0) return null;
  const share = counters.remainingMirrorBytes > 0 ? done / total : counters.mirrorFilesDone / counters.mirrorFilesTotal;
  return Math.min(99, Math.floor(share * 100));
}

/** STA-10. */
export function replicationStatus(facts: ConnectionFacts): ReplicationStatus {
  const { counters } = facts;
  if (!facts.replication) return 'Stopped';
  if (facts.source !== 'watching' && facts.source !== 'rescanning') return 'Pending';
  if (!counters) return 'Pending';
  // After a failure until the remirror begins, for ever if nobody starts one.
  if (facts.mirror === 'wanted' || (facts.mirror === 'idle' && !facts.complete))
    return facts.outOfMemory ? 'Out of Memory' : 'Pending';
  if (!counters.replicating || counters.repairing) return 'Pending';
  return counters.queuedOps - counters.queuedMirrorOps > 0 || counters.unappliedMs > 0 ? 'Replicating' : 'Ready';
}

export function composeStatistics(facts: ConnectionFacts): Statistics {
  const c = facts.counters;
  const less = (all: number | undefined, part: number | undefined): number => Math.max(0, (all ?? 0) - (part ?? 0));
  return {
    replicationSet: facts.set,
    connectionId: facts.id,
    targetName: facts.target,
    targetIp: facts.targetAddress,
    targetDataState: targetDataState(facts),
    targetStatus: targetStatus(facts),
    // STA-07.
    commitMode: facts.session === 'realtime' ? 'Real-time' : 'Scheduled',
    transmitMode: composeMode(facts),
    mirrorStatus: mirrorStatus(facts),
    mirrorPercent: mirrorPercent(facts),
    replicationStatus: replicationStatus(facts),
    queuedOps: c?.queuedOps ?? 0,
    sentBytes: c?.sentBytes ?? 0,
    // TRN-44: what travelled without compression counts the same in both; the engine sees to it.
    sentCompressedBytes: c?.sentCompressedBytes ?? 0,
    intermediateQueueBytes: c?.queueMemoryBytes ?? 0,
    diskQueueBytes: c?.queueDiskBytes ?? 0,
    queuedReplicationBytes: less(c?.queuedBytes, c?.queuedMirrorBytes),
    sentReplicationBytes: less(c?.sentBytes, c?.sentMirrorBytes),
    sentCompressedReplicationBytes: less(c?.sentCompressedBytes, c?.sentMirrorCompressedBytes),
    queuedMirrorOps: c?.queuedMirrorOps ?? 0,
    sentMirrorBytes: c?.sentMirrorBytes ?? 0,
    sentCompressedMirrorBytes: c?.sentMirrorCompressedBytes ?? 0,
    skippedMirrorBytes: c?.skippedMirrorBytes ?? 0,
    remainingMirrorBytes: facts.calculateSize ? (c?.remainingMirrorBytes ?? 0) : 0,
    queuedReplicationOps: less(c?.queuedOps, c?.queuedMirrorOps),
    lastFileTouched: c?.lastPath ?? '',
    connectedSince: facts.connectedSince,
  };
}
