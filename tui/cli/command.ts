/** What every command gets, and how it is run. */
import { constants } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { failure } from '../../protocol/errors.js';
import { Links } from './links.js';
import { makeOutput, type Output } from './print.js';

/** How long a command may take to end in order after ^C. */
const LEAVE_MS = 1_000;

export interface Run {
  readonly links: Links;
  readonly out: Output;
  /** The command that runs; its options together with those of the commands above it are `optsWithGlobals`. */
  readonly command: Command;
  /** Aborted by ^C and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Wraps an action: opens what it needs, closes what it opened. The action may return an exit code. */
export function run<A extends unknown[]>(
  action: (run: Run, ...args: A) => Promise<unknown>,
): (...args: [...A, Command]) => Promise<void> {
  return async (...given) => {
    const command = given[given.length - 1] as Command;
    const flags = command.optsWithGlobals<{ json?: boolean; quiet?: boolean }>();
    const interrupted = new AbortController();
    let ended = 0;
    const stop = (signal: NodeJS.Signals): void => {
      ended = 128 + constants.signals[signal];
      interrupted.abort();
      // A road that is being opened or an answer that does not come must not hold whoever wants to leave.
      setTimeout(() => process.exit(ended), LEAVE_MS).unref();
    };
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    const out = makeOutput(flags.json === true, flags.quiet === true);
    const links = new Links();
    try {
      const args = given.slice(0, -1) as unknown as A;
      const code = await action({ links, command, out, signal: interrupted.signal }, ...args);
      // What goes on until ^C ends well by it; everything else was cut short.
      process.exitCode = typeof code !== 'number' || code === 0 ? 0 : ended || code;
    } catch (error) {
      if (ended === 0) throw error;
      out.tell('\nInterrupted. What was begun on a server may go on there; understudy status tells.');
      process.exitCode = ended;
    } finally {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
      await links.close();
    }
  };
}

/** Collects an option that may be given several times. */
export const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** As messages take a time that was given in seconds: at least 1 ms, at most a day. */
export const milliseconds = (seconds: number): number => Math.max(1, Math.min(86_400_000, Math.round(seconds * 1000)));

export function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

/** Waits for the end of the command by a person. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

export const usage = (problem: string): Error => failure('USAGE', { problem });
