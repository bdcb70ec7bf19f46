/** Bandwidth, recovery point and time of a first mirror, from what a simulated connection counted (EDN-50). Pure. */

export interface Minute {
  /** Minutes since 1970. */
  readonly minute: number;
  readonly bytes: number;
  readonly packed: number;
}

/** Bytes at the network interface for a byte handed to the link: TLS records, TCP, IP and Ethernet headers. */
export const WIRE_FACTOR = 1.06;
const MINUTE_S = 60;

/** Bytes on the wire of every minute from the first to the last, empty ones included. */
function* everyMinute(minutes: readonly Minute[], from: number, to: number): Generator<number> {
  let at = 0;
  for (let minute = from; minute <= to; minute += 1) {
    while ((minutes[at]?.minute ?? Number.POSITIVE_INFINITY) < minute) at += 1;
    yield minutes[at]?.minute === minute ? (minutes[at]?.packed ?? 0) * WIRE_FACTOR : 0;
  }
}

/**
 * Age of the oldest change that waits, at the worst moment.
 * @param bytesPerSecond of the line
 * @returns seconds; infinite when what waits grows to the end and the line cannot even carry the mean
 */
export function worstLag(minutes: readonly Minute[], from: number, to: number, bytesPerSecond: number): number {
  let queue = 0;
  let worst = 0;
  let total = 0;
  let count = 0;
  for (const bytes of everyMinute(minutes, from, to)) {
    // All of a minute may have come at its end.
    worst = Math.max(worst, (queue + bytes) / bytesPerSecond);
    queue = Math.max(0, queue + bytes - bytesPerSecond * MINUTE_S);
    total += bytes;
    count += 1;
  }
  return count > 0 && total > bytesPerSecond * MINUTE_S * count ? Number.POSITIVE_INFINITY : worst;
}

/** Bytes per second with which no change would have waited longer than `recoveryS`; 0 without changes. */
export function neededRate(minutes: readonly Minute[], from: number, to: number, recoveryS: number): number {
  let low = 0;
  let high = 1;
  const peak = Math.max(0, ...[...everyMinute(minutes, from, to)]);
  if (peak === 0) return 0;
  while (worstLag(minutes, from, to, high) > recoveryS) high *= 2;
  while (high - low > Math.max(1, high / 1_000)) {
    const middle = (low + high) / 2;
    if (worstLag(minutes, from, to, middle) > recoveryS) low = middle;
    else high = middle;
  }
  return high;
}

export interface Rates {
  readonly mean: number;
  readonly busy: number;
  readonly peak: number;
  readonly peakMinute: number | null;
}

/** Bytes per second on the wire. @param observedS how long changes were counted; a minute at least counts */
export function rates(minutes: readonly Minute[], from: number, to: number, observedS: number): Rates {
  const all = [...everyMinute(minutes, from, to)];
  const total = all.reduce((sum, one) => sum + one, 0);
  const peak = all.reduce((most, one) => Math.max(most, one), 0);
  const sorted = [...all].sort((a, b) => a - b);
  const busy = sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)] ?? 0;
  return {
    mean: total / Math.max(MINUTE_S, observedS),
    busy: busy / MINUTE_S,
    peak: peak / MINUTE_S,
    peakMinute: peak > 0 ? from + all.indexOf(peak) : null,
  };
}

/**
 * Time of the first mirror in seconds: what is left of the line after the changes that go on, and never faster than
 * reading. Null: never.
 */
export function mirrorTime(packed: number, readS: number, mean: number, bytesPerSecond: number): number | null {
  const left = bytesPerSecond - mean;
  return left <= 0 ? null : Math.max(readS, (packed * WIRE_FACTOR) / left);
}

/** Adds to the minute of `now`; the oldest go beyond `limit`. @param minutes ascending */
export function addMinute(minutes: Minute[], minute: number, bytes: number, packed: number, limit: number): void {
  if (bytes <= 0 && packed <= 0) return;
  const last = minutes.at(-1);
  if (last?.minute === minute)
    minutes[minutes.length - 1] = { minute, bytes: last.bytes + bytes, packed: last.packed + packed };
  else minutes.push({ minute, bytes, packed });
  while (minutes.length > limit || (minutes[0]?.minute ?? minute) <= minute - limit) minutes.shift();
}

/** The clock was put forward (or back) by this: everything counted before keeps its distance from now. */
export function shiftMinutes(minutes: Minute[], by: number): void {
  if (by === 0) return;
  for (const [at, one] of minutes.entries()) minutes[at] = { ...one, minute: one.minute + by };
}
