/** Throughput and latency over time, for the charts: one sample per second, a bounded number of them. */
import type { ConnectionItem } from '../../protocol/messages/index.js';

export const SAMPLES_MAX = 240;
/** Samples closer than this are one. */
const PERIOD_MS = 900;

export interface Sample {
  readonly at: number;
  /** Bytes per second sent, uncompressed. */
  readonly rate: number;
  /** Recovery-point latency in ms; -1 unknown. */
  readonly latencyMs: number;
}

export interface History {
  readonly samples: readonly Sample[];
  readonly lastAt: number;
  readonly lastSent: number;
}

export const NO_HISTORY: History = { samples: [], lastAt: 0, lastSent: 0 };

/** Notes the counters of one connection. Counters that fell (the agent restarted) begin again without a spike. */
export function note(history: History, item: ConnectionItem, now: number): History {
  const sent = item.statistics.sentBytes;
  if (history.lastAt === 0) return { samples: [], lastAt: now, lastSent: sent };
  const elapsed = now - history.lastAt;
  if (elapsed < PERIOD_MS) return history;
  const rate = sent >= history.lastSent ? ((sent - history.lastSent) * 1000) / elapsed : 0;
  const samples = [...history.samples, { at: now, rate, latencyMs: item.latencyMs }];
  return { samples: samples.slice(-SAMPLES_MAX), lastAt: now, lastSent: sent };
}

/** The newest rate, 0 when nothing was heard for a while: agents say nothing while nothing changes. */
export function currentRate(history: History, now: number): number {
  const last = history.samples.at(-1);
  return last && now - last.at < 3_000 ? last.rate : 0;
}

/** `count` values at one-second steps ending now, oldest first; silence is zero for rates and the last value for latency. */
export function series(history: History, count: number, now: number, field: 'rate' | 'latencyMs'): number[] {
  const values = new Array<number>(count).fill(0);
  const start = now - (count - 1) * 1000;
  let index = 0;
  let held = 0;
  let heldAt = 0;
  for (let i = 0; i < count; i++) {
    const at = start + i * 1000;
    while (index < history.samples.length && (history.samples[index]?.at ?? 0) <= at + 500) {
      const sample = history.samples[index++];
      if (!sample) break;
      held = field === 'rate' ? sample.rate : Math.max(0, sample.latencyMs);
      heldAt = sample.at;
    }
    values[i] = field === 'rate' && at - heldAt > 1_500 ? 0 : held;
  }
  return values;
}
