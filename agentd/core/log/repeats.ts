/** Collapses repeats of a message: the first is written at once, later ones are counted (STYLE 6). Pure. */
import { LOG_REPEAT_COUNT_MAX, LOG_REPEAT_MS } from '../../../protocol/limits.js';
import type { LogLine } from '../../../protocol/messages/log.js';
import type { Instant } from '../../../protocol/units.js';

export interface Running {
  readonly sequence: number;
  readonly since: Instant;
  readonly count: number;
  readonly line: LogLine;
}

export type Repeats = ReadonlyMap<string, Running>;

/** What makes two lines the same message about the same thing; numbers in it may differ. */
export function repeatKey(line: Omit<LogLine, 'sequence' | 'at' | 'count'>): string {
  const texts = Object.entries(line.notice.params).filter(([, value]) => typeof value !== 'number');
  return JSON.stringify([
    line.notice.code,
    line.set,
    line.connection,
    line.server,
    line.audit,
    line.notice.cause,
    texts,
  ]);
}

/** Takes one more message in; `running` is null when it begins anew. */
export function countRepeat(
  repeats: Repeats,
  key: string,
  now: Instant,
): { readonly repeats: Repeats; readonly running: Running | null } {
  const known = repeats.get(key);
  if (!known || now - known.since >= LOG_REPEAT_MS) return { repeats, running: null };
  const running = { ...known, count: known.count + 1 };
  return { repeats: new Map(repeats).set(key, running), running };
}

/** Remembers a line that was just written. The oldest makes room; its repeats are then simply written again. */
export function beginRepeat(repeats: Repeats, key: string, running: Running): Repeats {
  const next = new Map(repeats);
  next.delete(key);
  const [oldest] = next.keys();
  if (next.size >= LOG_REPEAT_COUNT_MAX && oldest !== undefined) next.delete(oldest);
  return next.set(key, running);
}

/** Ends windows that are over; those that counted repeats are told in the log file. */
export function endRepeats(
  repeats: Repeats,
  now: Instant,
): { readonly repeats: Repeats; readonly ended: readonly Running[] } {
  const next = new Map(repeats);
  const ended: Running[] = [];
  for (const [key, running] of repeats) {
    if (now - running.since < LOG_REPEAT_MS) continue;
    next.delete(key);
    if (running.count > 1) ended.push(running);
  }
  return { repeats: next, ended };
}
