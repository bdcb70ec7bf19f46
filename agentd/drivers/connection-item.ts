/** A connection as consoles see it. */
import { notice } from '../../protocol/errors.js';
import type { ConnectionItem } from '../../protocol/messages/connection.js';
import type { Notice } from '../../protocol/messages/log.js';
import type { SetState } from '../../protocol/messages/set.js';
import type { Statistics } from '../../protocol/messages/statistics.js';
import { freshMs } from '../core/connection/heartbeat.js';
import { composeStatistics, type Counters } from '../core/statistics/compose.js';
import type { ConnectionRun } from './connection-run.js';

export interface AllCounters extends Counters {
  readonly recoveryPointMs: number;
  readonly lagBytes: number;
  readonly lagAtLeast: boolean;
  readonly sequence: number;
  readonly applied: number;
  readonly durable: number;
  readonly wireBytes: number;
  readonly targetQueuedBytes: number;
  readonly targetTask: boolean;
}

/** States that are what they should be, or on their way there. */
const EXPECTED: readonly string[] = ['OK', 'Mirroring', 'Not Ready'];

/** Between two sessions nobody can know better, and nobody has to do anything. */
const isExpected = ({ targetDataState, transmitMode }: Statistics): boolean =>
  EXPECTED.includes(targetDataState) || (transmitMode === 'Scheduled' && targetDataState === 'Unknown');

/** In whole seconds, so that an idle connection is not told anew each time. */
const steady = (ms: number, heardMs: number): number => (ms < 0 ? -1 : ms < heardMs ? 0 : Math.floor(ms / 1000) * 1000);

/** With the link or without it (P26): how far behind the replica is, in time and in bytes. */
function recoveryPoint(
  counters: AllCounters | null,
  complete: boolean,
): Pick<ConnectionItem, 'latencyMs' | 'recoveryPoint' | 'lagBytes' | 'lagAtLeast'> {
  // A moment apart, the engine may call current what is known to be incomplete here.
  if (!counters || counters.latencyMs < 0 || (counters.latencyMs === 0 && !complete))
    return { latencyMs: -1, recoveryPoint: null, lagBytes: counters?.lagBytes ?? 0, lagAtLeast: true };
  const { latencyMs, recoveryPointMs, lagBytes, lagAtLeast } = counters;
  const recoveryPoint = latencyMs === 0 ? null : Math.floor(recoveryPointMs / 1000) * 1000;
  return { latencyMs, recoveryPoint, lagBytes, lagAtLeast };
}

export function composeItem(
  run: ConnectionRun,
  counters: AllCounters | null,
  mirrorBase: number,
  source: SetState,
  sourceProblem: Notice | null,
): ConnectionItem {
  const { stored } = run;
  const fresh = freshMs(run.host.world.settings);
  // A heartbeat is as old as the time between two, now and then.
  const heard = Math.max(3_000, fresh / 2);
  const statistics = composeStatistics({
    id: run.id,
    set: stored.set,
    target: run.targetName,
    targetAddress: stored.target.host,
    phase: run.link.phase,
    failures: run.link.failures,
    source,
    mirror: run.mirror.state.phase,
    complete: run.mirror.state.complete,
    replication: run.replication,
    calculateSize: stored.calculateSize,
    mirrorBase,
    connectedSince: run.connectedSince,
    manual: run.transmit.phase,
    session: run.transmit.line.gate.phase,
    simulated: run.simulated,
    notLoaded: run.problem?.cause?.errno === 'ECONNREFUSED',
    outOfMemory: run.queue.outOfMemory,
    stalled: run.stalling.stall !== null,
    freshMs: fresh,
    counters,
  });
  const incomplete = statistics.targetDataState === 'Mirror Required' && run.mirror.state.phase === 'idle';
  const refused = counters?.failed ?? 0;
  const problem =
    sourceProblem ??
    run.problem ??
    run.stalling.problem ??
    (incomplete
      ? // A mirror would be refused the same paths.
        run.mirror.state.complete && refused > 0
        ? notice('PATHS_REFUSED', { ...run.at, count: refused })
        : notice('MIRROR_REQUIRED', run.at)
      : run.simulated
        ? notice('SIMULATED', { id: run.id, set: stored.set })
        : counters?.targetTask && run.link.phase === 'linked'
          ? notice('TASK_RUNS', run.at)
          : counters?.mirrorHeld && statistics.mirrorStatus === 'Waiting'
            ? notice('MIRROR_HELD', run.at)
            : null);
  return {
    id: run.id,
    key: stored.key,
    set: stored.set,
    generation: stored.generation,
    source: run.host.world.settings['agent.name'],
    target: run.targetName,
    targetKey: stored.target.key,
    route: run.route,
    mappings: stored.mappings,
    statistics,
    phase: run.link.phase,
    phaseSince: run.link.since,
    severity: problem?.severity ?? (isExpected(statistics) ? 'information' : 'warning'),
    problem,
    stall: run.stalling.stall,
    ...recoveryPoint(counters, run.mirror.state.complete),
    heartbeatMs: steady(counters?.heartbeatMs ?? -1, heard),
    quietMs: steady(counters?.quietMs ?? -1, heard),
    sequence: counters?.sequence ?? 0,
    applied: counters?.applied ?? 0,
    durable: counters?.durable ?? 0,
    wireBytes: counters?.wireBytes ?? 0,
    targetQueuedBytes: counters?.targetQueuedBytes ?? 0,
    quarantined: refused,
    mirrorFilesDone: counters?.mirrorFilesDone ?? 0,
    mirrorFilesTotal: stored.calculateSize ? (counters?.mirrorFilesTotal ?? 0) : 0,
  };
}
