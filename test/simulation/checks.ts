/** What must hold at every step. Each returns what is wrong, or null. */
import { CAUGHT_UP_MS, LOG_LINES_MAX } from '../../protocol/limits.js';
import type { ConnectionItem } from '../../protocol/messages/index.js';
import type { Fleet, Wanted } from './fleet.js';

/** A state may be as old as what it says about itself, and this. */
const SLACK_MS = 3_500;
/** A question nobody answered for this long is forgotten. Barriers have 60 seconds. */
export const ANSWER_MS_MAX = 61_000;

/** On its way to what it should be; and between two sessions nobody can know better. */
const isExpected = ({ statistics: { targetDataState, transmitMode } }: ConnectionItem): boolean =>
  ['Mirroring', 'Not Ready'].includes(targetDataState) ||
  (transmitMode === 'Scheduled' && targetDataState === 'Unknown');

/** Words that contradict each other (STA-05..10). */
export function contradiction(item: ConnectionItem): string | null {
  const s = item.statistics;
  const walking = s.mirrorStatus === 'Mirroring' || s.mirrorStatus === 'Paused' || s.mirrorStatus === 'Waiting';
  if (s.targetDataState === 'OK') {
    if (s.transmitMode !== 'Started' && s.transmitMode !== 'Paused')
      return `OK while transmission is ${s.transmitMode}`;
    if (s.targetStatus === 'Unknown' || s.targetStatus === 'Not Loaded')
      return `OK while the target is ${s.targetStatus}`;
    if (s.replicationStatus !== 'Ready' && s.replicationStatus !== 'Replicating')
      return `OK while replication is ${s.replicationStatus}`;
    if (walking) return `OK while the mirror is ${s.mirrorStatus}`;
    if (item.latencyMs < 0 || item.latencyMs > CAUGHT_UP_MS) return `OK at a latency of ${item.latencyMs} ms`;
    if (item.quarantined > 0) return `OK with ${item.quarantined} paths refused`;
    if (item.severity === 'error') return 'OK with an error';
    if (item.stall) return 'OK while nothing moves';
  } else if (item.severity === 'information' && !isExpected(item))
    return `${s.targetDataState} is told as mere information`;
  if (walking !== (s.targetDataState === 'Mirroring'))
    return `the mirror is ${s.mirrorStatus}, the data ${s.targetDataState}`;
  if (item.stall && (item.phase !== 'linked' || s.transmitMode !== 'Started'))
    return `stalled while the link is ${item.phase} and transmission ${s.transmitMode}`;
  if (s.mirrorPercent !== null && s.mirrorStatus !== 'Mirroring') return `${s.mirrorPercent}% of no mirror`;
  if (s.transmitMode !== 'Started' && s.transmitMode !== 'Paused') {
    if (s.targetStatus !== 'Unknown' && s.targetStatus !== 'Not Loaded')
      return `the target is ${s.targetStatus} while transmission is ${s.transmitMode}`;
    if (s.connectedSince !== null) return 'connected since, without a link';
  }
  if (s.targetDataState === 'Mirror Required' && s.replicationStatus === 'Ready' && item.quarantined === 0)
    return 'replication is Ready while a mirror is required';
  return null;
}

/** The target lost something while the source stood still, which has only just gone on. */
const lostUnseen = ({ lostAt, source }: Wanted): boolean =>
  lostAt >= source.machine.time.frozenAt && source.awake < SLACK_MS;

/** I3: `OK` is said only of a replica that is no older than the connection says. */
export function lie(wanted: Wanted, item: ConnectionItem, now: number): string | null {
  if (item.statistics.targetDataState !== 'OK') return null;
  const oldest = now - (Math.max(0, item.latencyMs) + Math.max(0, item.quietMs) + SLACK_MS);
  // Power was lost there a moment ago: nobody can know it here before the silence is noticed.
  if (wanted.lostAt > now - Math.max(0, item.quietMs) - SLACK_MS) return null;
  if (lostUnseen(wanted)) return null;
  for (let path = 0; path < wanted.replica.live.length; path++) {
    const version = wanted.replica.live[path] ?? 0;
    const outdated = wanted.tree.outdated(path, version);
    if (outdated < oldest)
      return `I3: OK is said, but path ${path} has version ${version} there and ${wanted.tree.version(path)} here; it is outdated since ${Math.round((now - outdated) / 1000)} s (phase ${item.phase}, latency ${item.latencyMs} ms, quiet ${item.quietMs} ms)`;
  }
  return null;
}

/**
 * GLO-29, P26: nothing that changed before the recovery point is missing on the target, with a link or without, whatever
 * the state is. Paths that the target refuses are named on their own.
 */
export function hiddenLag(wanted: Wanted, item: ConnectionItem, now: number): string | null {
  if (item.phase === 'linked' && item.quietMs >= 0 && !lostUnseen(wanted))
    wanted.heardAt = now - item.quietMs - SLACK_MS;
  if (item.latencyMs < 0 || item.quarantined > 0 || understated(wanted, item)) return null;
  // What a target lost while nobody could hear of it, nobody knows here.
  if (wanted.lostAt > wanted.heardAt || lostUnseen(wanted)) return null;
  const point = now - item.latencyMs - SLACK_MS;
  for (let path = 0; path < wanted.replica.live.length; path++) {
    const outdated = wanted.tree.outdated(path, wanted.replica.live[path] ?? 0);
    if (outdated < point)
      return `I3, P26: a lag of ${item.latencyMs} ms is said, but path ${path} is outdated since ${Math.round(now - outdated)} ms (phase ${item.phase}, ${item.statistics.targetDataState})`;
  }
  return null;
}

/** Over a restart the recovery point is kept by the wall clock; one that was put back meanwhile makes it look young. */
function understated({ source }: Wanted, { id }: ConnectionItem): boolean {
  const handle = source.agent?.connections.run(id).handle;
  return typeof handle === 'number' && (source.engine?.channels.get(handle)?.channel.understated ?? false);
}

export function unsafe(wanted: Wanted): string | null {
  const { replica, tree, safe } = wanted;
  if (replica.wentBack) return `I1: ${replica.wentBack}`;
  for (let path = 0; path < replica.live.length; path++) {
    const version = replica.live[path] ?? 0;
    if (version > tree.version(path)) return `I1: path ${path} has version ${version}, which the source never had`;
    if (version < (safe[path] ?? 0))
      return `I2: path ${path} was acknowledged as version ${safe[path]} and is ${version}`;
  }
  return null;
}

export function unbounded(fleet: Fleet): string | null {
  for (const server of fleet.servers) {
    if (!server.agent) continue;
    if (server.agent.world.log.last(undefined).lines.length > LOG_LINES_MAX)
      return `I8: the log of ${server.name} grows`;
    const channels = server.engine?.channels.size ?? 0;
    if (channels > server.agent.connections.count) return `I8: ${server.name} has ${channels} streams open`;
  }
  for (const call of fleet.calls) {
    if (call.life !== call.server.life) fleet.calls.delete(call);
    else if (
      call.what.includes('barrier') &&
      call.server.machine.time.now - call.since > ANSWER_MS_MAX &&
      call.server.awake > SLACK_MS
    )
      return `${call.what} was never answered`;
  }
  return null;
}
