/** Gives the terminal back, whatever ends the program (T13). */
import { writeSync } from 'node:fs';

/** Everything we may have switched on, off again; harmless when it was not on. */
export const RESTORE =
  '\u001b[?2026l\u001b[?2004l\u001b[?1000l\u001b[?1002l\u001b[?1003l\u001b[?1005l\u001b[?1006l\u001b[?1l\u001b>\u001b[r\u001b[?25h\u001b[m\u001b[?1049l';

/** Exit codes of a process that a signal ended, as shells report them. */
export const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGQUIT: 131, SIGTERM: 143 } as const;
/** EX_SOFTWARE of sysexits: our own fault. */
const EX_SOFTWARE = 70;

export interface Guarded {
  /** Back to the normal screen and cooked mode; may be called any number of times. */
  restore(): void;
  /** Takes the handlers away, for tests and after an ordinary end. */
  release(): void;
}

export interface GuardOptions {
  readonly fd: number;
  readonly setRawMode: (on: boolean) => void;
  /** What to say on the normal screen after a crash. */
  readonly explain: (error: unknown) => string;
  readonly onContinue: () => void;
}

export function guard(options: GuardOptions): Guarded {
  let restored = false;
  const restore = (): void => {
    if (restored) return;
    restored = true;
    try {
      options.setRawMode(false);
    } catch {
      // The terminal is gone; there is nothing to give back.
    }
    writeAll(options.fd, RESTORE);
  };
  const crash = (error: unknown): void => {
    restore();
    writeAll(2, `${options.explain(error)}\n`);
    process.exit(EX_SOFTWARE);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    restore();
    process.exit(SIGNAL_CODES[signal as keyof typeof SIGNAL_CODES] ?? 1);
  };
  const onContinue = (): void => {
    // SIGSTOP cannot be seen coming: draw everything anew whatever happened in between.
    restored = false;
    options.onContinue();
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  for (const signal of Object.keys(SIGNAL_CODES)) process.on(signal as NodeJS.Signals, onSignal);
  process.on('SIGCONT', onContinue);
  process.on('exit', restore);
  return {
    restore,
    release: () => {
      process.off('uncaughtException', crash);
      process.off('unhandledRejection', crash);
      for (const signal of Object.keys(SIGNAL_CODES)) process.off(signal as NodeJS.Signals, onSignal);
      process.off('SIGCONT', onContinue);
      process.off('exit', restore);
    },
  };
}

/** Synchronously and completely: the process may end right after. */
export function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let at = 0;
  for (let tries = 0; at < bytes.length && tries < 200; tries++) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // A terminal that is gone takes nothing; one that is full takes it a moment later.
      if (code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
