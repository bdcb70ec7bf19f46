/** What a fact means for a task, who may run what, and how it is told. Pure. */
import type { TaskItem, TaskOutcome } from '../../../protocol/messages/task.js';
import { findRow } from '../machine.js';
import { TASK_TABLE, type TaskAct, type TaskFact, type TaskPhase } from './table.js';

export function taskStep(phase: TaskPhase, fact: TaskFact): readonly [TaskPhase, readonly TaskAct[]] {
  const row = findRow(TASK_TABLE, phase, fact);
  return row ? [row.to, row.act] : [phase, []];
}

const NOTHING = { exit: null, signal: null, output: '', omitted: 0, started: null, ms: 0 };
export const notRun = (why: string): TaskOutcome => ({ ...NOTHING, result: 'not_run', why });
export const refused = (why: string): TaskOutcome => ({ ...NOTHING, result: 'refused', why });
export const unknown = (why: string, started: number | null = null): TaskOutcome => ({
  ...NOTHING,
  result: 'unknown',
  why,
  started,
});

/** Where programs named without a folder are looked for. */
export const TASK_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Where the program of a task may lie.
 * @param folder setting task.folder; empty: anywhere
 * @returns candidates in the order they are tried, or the problem
 */
export function programPaths(program: string, folder: string): readonly string[] | { readonly problem: string } {
  if (program === '' || program.includes('\0')) return { problem: 'no program is named' };
  const parts = program.split('/');
  if (parts.includes('..') || parts.includes('.')) return { problem: `"${program}" is not a plain path` };
  if (folder !== '') {
    if (parts.length === 1) return [`${folder}/${program}`];
    return program.startsWith(`${folder}/`)
      ? [program]
      : { problem: `${program} is not below ${folder} (task.folder)` };
  }
  if (program.startsWith('/')) return [program];
  if (parts.length > 1) return { problem: `"${program}" is not absolute` };
  return TASK_PATH.split(':').map((place) => `${place}/${program}`);
}

/** The outcome in one sentence, without the output. */
export function outcomeText(outcome: TaskOutcome): string {
  switch (outcome.result) {
    case 'done':
      return 'ended with exit code 0';
    case 'failed':
      return outcome.exit !== null
        ? `ended with exit code ${outcome.exit}`
        : outcome.signal !== null
          ? `was ended by ${outcome.signal}`
          : `could not be run: ${outcome.why}`;
    case 'timed_out':
      return `was ended because its time was over (${outcome.why})`;
    case 'refused':
      return `was refused: ${outcome.why}`;
    case 'not_run':
      return `did not run: ${outcome.why}`;
    case 'unknown':
      return `may or may not have run: ${outcome.why}`;
  }
}

/**
 * Which entries of a journal are kept: everything that is not ended, the newest of each connection (it may come again
 * with the next link), and `limit` more.
 * @param items newest first
 */
export function keptTasks(items: readonly TaskItem[], limit: number): TaskItem[] {
  const seen = new Set<string>();
  let ended = 0;
  return items.filter((item) => {
    const newest = item.role === 'target' && !seen.has(item.connection);
    seen.add(item.connection);
    if (item.phase !== 'ended' || newest) return true;
    ended += 1;
    return ended <= limit;
  });
}

/** Begin and end of a text of which too much came. */
export class Excerpt {
  #head = Buffer.alloc(0);
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #total = 0;

  constructor(readonly limit: number) {}

  add(chunk: Buffer): void {
    const half = Math.floor(this.limit / 2);
    this.#total += chunk.length;
    let rest = chunk;
    if (this.#head.length < half) {
      const taken = rest.subarray(0, half - this.#head.length);
      this.#head = Buffer.concat([this.#head, taken]);
      rest = rest.subarray(taken.length);
    }
    if (rest.length === 0) return;
    this.#tail.push(Buffer.from(rest.subarray(Math.max(0, rest.length - half))));
    this.#tailBytes += this.#tail.at(-1)?.length ?? 0;
    if (this.#tailBytes > 4 * half) this.#join(half);
  }

  #join(half: number): void {
    const all = Buffer.concat(this.#tail);
    this.#tail = [all.subarray(Math.max(0, all.length - half))];
    this.#tailBytes = this.#tail[0]?.length ?? 0;
  }

  get omitted(): number {
    this.#join(Math.floor(this.limit / 2));
    return this.#total - this.#head.length - this.#tailBytes;
  }

  text(): string {
    const { omitted } = this;
    const tail = Buffer.concat(this.#tail);
    // Bytes that are no text become replacement characters of three bytes; the limit counts characters.
    if (omitted === 0) return Buffer.concat([this.#head, tail]).toString('utf8');
    return `${this.#head.toString('utf8')}\n... ${omitted} bytes left out ...\n${tail.toString('utf8')}`;
  }
}
