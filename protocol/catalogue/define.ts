/** Shape of a catalogue message. */
import type { Severity } from '../messages/log.js';
import { formatBytes, formatCount, formatMillis, formatThings } from '../units.js';

export type Params = Readonly<Record<string, string | number | boolean | null>>;

/** What a caller may do about it: wait and try again, try again after somebody acted, or give up. */
export type Retry = 'backoff' | 'after_fix' | 'never';

/** Exit codes of the command line: 1 failed, 2 usage, 3 not reachable, 4 refused by a guard, 5 conflict, 75 try again. */
export type Exit = 1 | 2 | 3 | 4 | 5 | 75;

export interface Entry<P extends Params = Params> {
  /** Permanent number of the message (LOG-03). */
  readonly id: number;
  readonly severity: Severity;
  readonly retry: Retry;
  readonly exit: Exit;
  /** What happened to what. */
  readonly message: (params: P) => string;
  /** Something to do, and what holds until then; empty when nothing is needed. */
  readonly remedy: (params: P) => string;
}

/** Figures as people read them. The page of messages is made with names in braces for figures; those stay as they are. */
const shown =
  (format: (value: number) => string) =>
  (value: number): string =>
    typeof value === 'number' ? format(value) : String(value);
export const amount = shown(formatBytes);
export const span = shown(formatMillis);
export const many = shown(formatCount);
/** `1 file`, `1,200 files`. */
export const things = (number: number, one: string, several = `${one}s`): string =>
  typeof number === 'number' ? formatThings(number, one, several) : `${String(number)} ${several}`;

interface Draft<P extends Params> extends Omit<Entry<P>, 'retry' | 'exit' | 'remedy'> {
  readonly retry?: Retry;
  readonly exit?: Exit;
  readonly remedy?: (params: P) => string;
}

export function define<P extends Params = Record<string, never>>(draft: Draft<P>): Entry<P> {
  return { retry: 'never', exit: 1, remedy: () => '', ...draft };
}
