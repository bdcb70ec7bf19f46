/**
 * Messages for the system's own log: journald with fields (LOG-03), syslog for what needs a person (LOG-05). Node sends
 * no datagrams to Unix sockets, so the sending comes from the addon.
 */
import { fstatSync } from 'node:fs';
import { noticeRemedy, noticeText } from '../../protocol/errors.js';
import type { LogLine } from '../../protocol/messages/log.js';
import type { LogSink } from '../ports/log-sink.js';
import { formatLine, PRIORITY, visible } from './log-file.js';

export type SendDatagram = (path: string, bytes: Uint8Array) => number;

export const JOURNAL_SOCKET = '/run/systemd/journal/socket';
const IDENTIFIER = 'understudyd';
/** LOG_DAEMON. */
const FACILITY = 3;
/** journald takes more only by passing a file; a message this long has said what it has to say. */
const VALUE_BYTES_MAX = 32_768;
const SYSLOG_BYTES_MAX = 2_048;

/**
 * Whether journald reads what this process writes to a descriptor: `JOURNAL_STREAM` is inherited, so it counts only when
 * it names that very stream (systemd.exec).
 */
export function isJournal(stream: string | undefined, fd: number): boolean {
  if (!stream) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/**
 * MESSAGE_ID of a message: 128 bits that nobody else uses, the last 32 of them the number of the catalogue. So
 * `journalctl MESSAGE_ID=...` finds every time a thing happened.
 */
export function messageId(id: number): string {
  return `b6f0c1d29a7e4c55a3d84e17${id.toString(16).padStart(8, '0')}`;
}

function clip(value: string): Buffer {
  const bytes = Buffer.from(value);
  return bytes.length <= VALUE_BYTES_MAX ? bytes : bytes.subarray(0, VALUE_BYTES_MAX);
}

/** journald's native protocol: `NAME=value\n`, or with a length where the value has line feeds. */
export function journalEntry(line: LogLine): Buffer {
  const { notice } = line;
  const fields: [string, string | null][] = [
    ['MESSAGE', noticeText(notice)],
    ['MESSAGE_ID', messageId(notice.id)],
    ['PRIORITY', String(PRIORITY[notice.severity])],
    ['SYSLOG_IDENTIFIER', IDENTIFIER],
    ['SYSLOG_FACILITY', String(FACILITY)],
    ['UNDERSTUDY_ID', String(notice.id)],
    ['UNDERSTUDY_CODE', notice.code],
    ['UNDERSTUDY_SET', line.set],
    ['UNDERSTUDY_CONNECTION', line.connection === null ? null : String(line.connection)],
    ['UNDERSTUDY_SERVER', line.server],
    ['UNDERSTUDY_USER', line.audit],
    ['UNDERSTUDY_REMEDY', noticeRemedy(notice) || null],
    ['UNDERSTUDY_ERRNO', notice.cause?.errno ?? null],
  ];
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    if (value === null) continue;
    const bytes = clip(value);
    if (bytes.includes(0x0a)) {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(bytes.length));
      parts.push(Buffer.from(`${name}\n`), length, bytes, Buffer.from('\n'));
    } else parts.push(Buffer.from(`${name}=`), bytes, Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}

/** journald by its socket; when it does not take one, the line goes to standard error with its priority, as before. */
export class JournalSink implements LogSink {
  #troubled = false;

  constructor(
    readonly send: SendDatagram,
    readonly fallback: LogSink,
    readonly onTrouble: (error: NodeJS.ErrnoException) => void,
    readonly path = JOURNAL_SOCKET,
  ) {}

  write(line: LogLine): void {
    try {
      this.send(this.path, journalEntry(line));
      this.#troubled = false;
    } catch (error) {
      this.fallback.write(line);
      if (this.#troubled) return;
      this.#troubled = true;
      this.onTrouble(error as NodeJS.ErrnoException);
    }
  }

  close(): void {
    this.fallback.close();
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** RFC 3164 as local syslog daemons read it: the priority, the time, who, and one line. */
export function syslogEntry(line: LogLine, pid: number): Buffer {
  const { notice } = line;
  const at = new Date(line.at);
  const two = (n: number): string => n.toString().padStart(2, '0');
  const time = `${MONTHS[at.getMonth()]} ${at.getDate().toString().padStart(2, ' ')} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  // The line itself begins with date and time as in the log file; syslog has said them.
  const text = formatLine(line).replace(/^\S+ \S+ /, '');
  const bytes = Buffer.from(
    `<${FACILITY * 8 + PRIORITY[notice.severity]}>${time} ${IDENTIFIER}[${pid}]: ${visible(text)}`,
  );
  return bytes.length <= SYSLOG_BYTES_MAX ? bytes : bytes.subarray(0, SYSLOG_BYTES_MAX);
}

/** Codes that go to syslog besides errors: what is skipped is not protected (LOG-04, CAP-07, CAP-10). */
const ALSO: ReadonlySet<string> = new Set(['PATH_SKIPPED', 'MOUNT_INSIDE']);

export interface SyslogOptions {
  readonly send: SendDatagram;
  readonly pid: number;
  /** `auto` is off where journald has every message already. */
  readonly wanted: () => boolean;
  readonly path: () => string;
  /** Told once, until one was sent again. */
  readonly onTrouble: (path: string, error: NodeJS.ErrnoException) => void;
}

/** LOG-05. */
export class SyslogSink implements LogSink {
  #troubled = false;

  constructor(readonly options: SyslogOptions) {}

  write(line: LogLine): void {
    const { notice } = line;
    if (notice.code === 'SYSLOG_FAILED' || (notice.severity !== 'error' && !ALSO.has(notice.code))) return;
    if (!this.options.wanted()) return;
    const path = this.options.path();
    try {
      this.options.send(path, syslogEntry(line, this.options.pid));
      this.#troubled = false;
    } catch (error) {
      if (this.#troubled) return;
      this.#troubled = true;
      this.options.onTrouble(path, error as NodeJS.ErrnoException);
    }
  }

  close(): void {
    // Every message has its own socket.
  }
}
