/** Waits between tries: doubled from a first to a longest one, spread so that many do not come at once. */

export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * @param failures tries that failed in a row, 1 or more
 * @param random   0 <= random < 1
 * @returns between half and the whole of the doubled wait, never above `maxMs`
 */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
  const doubled = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.round(doubled / 2 + (doubled / 2) * random);
}
