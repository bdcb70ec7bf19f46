/** The log files of both agents as one reads them afterwards: is what happened told, and in its order (I10)? */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CATALOGUE, type Code } from '../../../protocol/errors.js';
import type { Pair } from '../pair.js';

export type Side = 'source' | 'target';

/** One of these messages, on this side. */
export interface Expected {
  readonly on: Side;
  readonly codes: readonly Code[];
}

const LINE = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (Information|Warning|Error) (\d+) (.*)$/;
const POLL_MS = 50;
/** What an agent says first. */
const BEGIN = new Set([CATALOGUE.CONNECTION_RESTORED.id, CATALOGUE.AGENT_STARTED.id]);

export class Story {
  constructor(readonly pair: Pair) {}

  lines(side: Side): string[] {
    try {
      const text = fs.readFileSync(path.join(this.pair[side].root, 'state/log/understudy.usl'), 'utf8');
      return text.split('\n').slice(0, -1);
    } catch {
      return [];
    }
  }

  /** The last lines, without those that name one path each. */
  outline(side: Side, count: number): string[] {
    const aside = new Set([CATALOGUE.QUARANTINED.id, CATALOGUE.RECEIVER_REPORT.id, CATALOGUE.REPEATED.id]);
    return this.lines(side)
      .filter((line) => !aside.has(Number(LINE.exec(line)?.[3])))
      .slice(-count);
  }

  /** Where the story stands; what is told from here on comes behind it. */
  mark(): Record<Side, number> {
    return { source: this.lines('source').length, target: this.lines('target').length };
  }

  /** `counted`: told before, and counted since; some of the count may be older than the mark. */
  toldSince(mark: Record<Side, number>, { on, codes }: Expected): 'told' | 'counted' | null {
    const ids = new Set(codes.map((code) => CATALOGUE[code].id));
    const all = this.lines(on).map((line) => LINE.exec(line));
    const wanted = (found: RegExpExecArray | null): boolean => ids.has(Number(found?.[3]));
    // What recurs within seconds is counted, and the count is told instead.
    const before = all.filter(wanted).map((found) => (found?.[4] ?? '').split(/ Cause: | -> /)[0] ?? '');
    const counted = (found: RegExpExecArray | null): boolean =>
      Number(found?.[3]) === CATALOGUE.REPEATED.id && before.some((text) => found?.[4]?.includes(text));
    const since = all.slice(mark[on]);
    return since.some(wanted) ? 'told' : since.some(counted) ? 'counted' : null;
  }

  /** Waits until one of several is told; a count is believed when nothing clearer came. */
  async told(mark: Record<Side, number>, any: readonly Expected[], patienceMs: number): Promise<boolean> {
    for (const end = Date.now() + patienceMs; ; await wait(POLL_MS)) {
      const found = any.map((one) => this.toldSince(mark, one));
      if (found.includes('told')) return true;
      if (Date.now() > end) return found.includes('counted');
    }
  }

  /**
   * Lines that are no messages, stand before an earlier one, or tell of what must never happen. Time stamps go back only
   * where the log says that the clock did, or where an agent began anew and cannot know.
   */
  wrong(): string[] {
    const found: string[] = [];
    for (const side of ['source', 'target'] as const) {
      let before = '';
      for (const line of this.lines(side)) {
        const [, at, , id] = LINE.exec(line) ?? [];
        if (at === undefined) found.push(`${side}: no message: ${line}`);
        else if (at < before && Number(id) !== CATALOGUE.CLOCK_SET.id && !BEGIN.has(Number(id)))
          found.push(`${side}: out of order: ${line}`);
        if ([CATALOGUE.AGENT_CRASHED.id, CATALOGUE.INTERNAL.id].includes(Number(id))) found.push(`${side}: ${line}`);
        before = at ?? before;
      }
    }
    return found;
  }
}
