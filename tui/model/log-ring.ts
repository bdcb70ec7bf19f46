/** Lines of one server's log for the message window (RCN-30..33). */
import type { LogLine } from '../../protocol/messages/index.js';

/** RCN-31: the window holds this many; the log file on the server is complete. */
export const RING_LINES_MAX = 1_000;

export type Entry =
  | { readonly kind: 'line'; readonly line: LogLine }
  /** Lines that never reached this window, shown as a red entry (RCN-31). */
  | { readonly kind: 'missing'; readonly count: number; readonly before: number };

export interface LogRing {
  readonly entries: readonly Entry[];
  /** Highest sequence seen; 0 before anything came. */
  readonly last: number;
  /** Lines with this sequence or a lower one were cleared from the window. */
  readonly clearedTo: number;
  /** Entries that fell out of the ring or came while paused, ever; keeps the view in place. */
  readonly dropped: number;
}

export const EMPTY_RING: LogRing = { entries: [], last: 0, clearedTo: 0, dropped: 0 };

/** Adds lines in any order of arrival; a line that came before replaces itself (its count grew). */
export function addLines(ring: LogRing, lines: readonly LogLine[]): LogRing {
  if (lines.length === 0) return ring;
  const entries = [...ring.entries];
  let { last } = ring;
  const sorted = [...lines].sort((a, b) => a.sequence - b.sequence);
  for (const line of sorted) {
    if (line.sequence <= ring.clearedTo && line.sequence <= ring.last) continue;
    if (line.sequence <= last) {
      const index = findLine(entries, line.sequence);
      if (index >= 0) entries[index] = { kind: 'line', line };
      continue;
    }
    // The first line ever seen may have any number: older ones are in the file, none is missing from the window.
    if (last > 0 && line.sequence > last + 1)
      entries.push({ kind: 'missing', count: line.sequence - last - 1, before: line.sequence });
    entries.push({ kind: 'line', line });
    last = line.sequence;
  }
  const over = Math.max(0, entries.length - RING_LINES_MAX);
  return { ...ring, entries: over > 0 ? entries.slice(over) : entries, last, dropped: ring.dropped + over };
}

/** A restarted agent numbers from 1 again: what came before stays, and the seam is shown. */
export function startAgain(ring: LogRing): LogRing {
  return { ...ring, last: 0, clearedTo: 0 };
}

/** RCN-32 Clear: the window only; the log file stays complete. */
export function clear(ring: LogRing): LogRing {
  return { ...ring, entries: [], clearedTo: ring.last, dropped: ring.dropped + ring.entries.length };
}

function findLine(entries: readonly Entry[], sequence: number): number {
  for (let i = entries.length - 1; i >= 0; i--) {
    const entry = entries[i];
    if (entry?.kind === 'line' && entry.line.sequence === sequence) return i;
    if (entry?.kind === 'line' && entry.line.sequence < sequence) return -1;
  }
  return -1;
}
