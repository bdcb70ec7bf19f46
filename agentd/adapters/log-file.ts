/** Log lines in rotating files (LOG-01, SRV-70..72) and on standard error for journald. */
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { noticeRemedy, noticeText } from '../../protocol/errors.js';
import type { LogLine, Severity } from '../../protocol/messages/log.js';
import { formatWallTime } from '../../protocol/units.js';
import type { LogSink } from '../ports/log-sink.js';

/** syslog priorities as journald reads them from standard error. */
export const PRIORITY: Readonly<Record<Severity, number>> = { information: 6, warning: 4, error: 3 };
const WORD: Readonly<Record<Severity, string>> = { information: 'Information', warning: 'Warning', error: 'Error' };

/** LOG-03: date and time, severity, message ID, text; a remedy follows where there is one. Control bytes are shown. */
export function formatLine(line: LogLine): string {
  const remedy = noticeRemedy(line.notice);
  const who = line.audit ? ` [${line.audit}]` : '';
  return `${formatWallTime(line.at)} ${WORD[line.notice.severity]} ${line.notice.id}${who} ${visible(noticeText(line.notice))}${remedy ? ` -> ${visible(remedy)}` : ''}`;
}

/** File names may hold anything; a line feed in one must not look like a second message. */
export function visible(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

export interface LogFileOptions {
  readonly folder: string;
  /** SRV-71. */
  readonly lengthMax: number;
  /** SRV-72. */
  readonly filesMax: number;
  /** Called once when the file cannot be written any more. */
  readonly onTrouble: (error: NodeJS.ErrnoException) => void;
}

/** `understudy.usl` is the newest; `understudy1.usl`, `understudy2.usl` ... are older. */
export class LogFile implements LogSink {
  #file: number | null = null;
  #length = 0;
  #troubled = false;

  constructor(readonly options: LogFileOptions) {}

  write(line: LogLine): void {
    // Messages are rare and the last one before a crash matters most, so it is written at once.
    const bytes = Buffer.from(`${formatLine(line)}\n`);
    try {
      if (this.#file === null) this.#open();
      if (this.#length > 0 && this.#length + bytes.length > this.options.lengthMax) this.#rotate();
      if (this.#file !== null) {
        writeSync(this.#file, bytes);
        this.#length += bytes.length;
        this.#troubled = false;
      }
    } catch (error) {
      this.close();
      if (this.#troubled) return;
      this.#troubled = true;
      this.options.onTrouble(error as NodeJS.ErrnoException);
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  #path(age: number): string {
    return join(this.options.folder, age === 0 ? 'understudy.usl' : `understudy${age}.usl`);
  }

  #open(): void {
    mkdirSync(this.options.folder, { recursive: true, mode: 0o750 });
    this.#file = openSync(this.#path(0), 'a', 0o640);
    this.#length = fstatSync(this.#file).size;
  }

  #rotate(): void {
    this.close();
    rmSync(this.#path(this.options.filesMax - 1), { force: true });
    for (let age = this.options.filesMax - 2; age >= 0; age -= 1) {
      if (existsSync(this.#path(age))) renameSync(this.#path(age), this.#path(age + 1));
    }
    this.#open();
  }
}

/** For journald when it listens, plain otherwise. */
export class ErrorStream implements LogSink {
  constructor(
    readonly stream: NodeJS.WritableStream,
    readonly prefixed: boolean,
  ) {}

  write(line: LogLine): void {
    this.stream.write(`${this.prefixed ? `<${PRIORITY[line.notice.severity]}>` : ''}${formatLine(line)}\n`);
  }

  close(): void {
    // The stream belongs to the process.
  }
}
