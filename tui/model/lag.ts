/** How far behind its source a replica is, in words: in time and in bytes (GLO-29, P24). Pure. */
import type { ConnectionItem } from '../../protocol/messages/index.js';
import { formatBytes, formatCount, formatMillis, formatSecond } from '../../protocol/units.js';

type Known = Pick<ConnectionItem, 'latencyMs' | 'lagBytes' | 'lagAtLeast' | 'recoveryPoint'>;

/** For a cell. A plus: more waits than is known in bytes. */
export function behind({ latencyMs, lagBytes, lagAtLeast }: Known): string {
  if (latencyMs < 0) return 'unknown';
  if (latencyMs === 0) return 'caught up';
  if (lagBytes === undefined) return formatMillis(latencyMs);
  return `${formatMillis(latencyMs)}, ${formatBytes(lagBytes)}${lagAtLeast ? '+' : ''}`;
}

/** For a line of its own. */
export function behindInFull({ latencyMs, lagBytes, lagAtLeast }: Known): string {
  if (latencyMs < 0) return 'unknown: the target never held everything';
  if (latencyMs === 0) return 'caught up';
  if (lagBytes === undefined) return formatMillis(latencyMs);
  return `${formatMillis(latencyMs)}; ${lagAtLeast ? 'at least ' : ''}${formatCount(lagBytes)} bytes are not applied`;
}

/** Everything that changed before is on the target. */
export function recoveryPoint({ latencyMs, recoveryPoint: point }: Known): string {
  if (latencyMs < 0) return 'none yet';
  if (latencyMs === 0) return 'now';
  return point ? formatSecond(point) : 'not told';
}
