/** Messages for journald and syslog (LOG-03..05), received on real sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { ErrorStream, formatLine } from '../../../../agentd/adapters/log-file.js';
import {
  isJournal,
  JournalSink,
  journalEntry,
  messageId,
  SyslogSink,
  syslogEntry,
} from '../../../../agentd/adapters/system-log.js';
import type { LogSink } from '../../../../agentd/ports/log-sink.js';
import { native } from '../../../../native/index.js';
import { notice } from '../../../../protocol/errors.js';
import type { LogLine, Notice } from '../../../../protocol/messages/log.js';

const at = { id: 3, set: 'docs', target: 'beta' };
const line = (said: Notice, change: Partial<LogLine> = {}): LogLine => ({
  sequence: 1,
  at: new Date(2026, 10, 5, 7, 8, 9).getTime(),
  set: 'docs',
  connection: 3,
  server: 'beta',
  notice: said,
  count: 1,
  audit: null,
  ...change,
});
const required = line(notice('MIRROR_REQUIRED', at));
const skipped = line(
  notice('PATH_SKIPPED', { set: 'docs', path: '/a\nb', count: 1 }, { call: 'openat', errno: 'ENAMETOOLONG' }),
);
const information = line(notice('MIRROR_STARTED', { ...at, kind: 'full' }));

/** Node has no datagram sockets of this family; Python's are the other end. */
async function listener(t: ExecutionContext): Promise<{ path: string; next: () => Promise<Buffer> }> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-unit-'));
  const path = join(folder, 'socket');
  const child: ChildProcess = spawn(
    'python3',
    [
      '-uc',
      'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint("ready")\nwhile True: print(s.recv(1<<20).hex())',
      path,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  t.teardown(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    rmSync(folder, { recursive: true });
  });
  await lines.next();
  return { path, next: async () => Buffer.from(String((await lines.next()).value), 'hex') };
}

/** Fields of journald's native protocol. */
function fieldsOf(bytes: Buffer): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf('\n', from);
    const text = bytes.subarray(from, end).toString();
    const equal = text.indexOf('=');
    if (equal > 0) {
      fields[text.slice(0, equal)] = text.slice(equal + 1);
      from = end + 1;
    } else {
      const length = Number(bytes.readBigUInt64LE(end + 1));
      fields[text] = bytes.subarray(end + 9, end + 9 + length).toString();
      from = end + 9 + length + 1;
    }
  }
  return fields;
}

test('LOG-03: date and time, severity, numeric message ID, text', (t) => {
  t.regex(
    formatLine(required),
    /^2026-11-05 07:08:09\.000 Error 2218 Connection 3: the replica on beta is not complete; a mirror is required\. -> /,
  );
});

test('LOG-03: journald gets every message with fields of its own', async (t) => {
  const { path, next } = await listener(t);
  const fallback: string[] = [];
  const sink = new JournalSink(
    native().sendDatagram,
    { write: (said) => fallback.push(said.notice.code), close: () => undefined },
    () => t.fail(),
    path,
  );
  sink.write(required);
  t.like(fieldsOf(await next()), {
    MESSAGE_ID: messageId(2218),
    PRIORITY: '3',
    UNDERSTUDY_SET: 'docs',
    UNDERSTUDY_CONNECTION: '3',
    UNDERSTUDY_SERVER: 'beta',
    UNDERSTUDY_CODE: 'MIRROR_REQUIRED',
    SYSLOG_IDENTIFIER: 'understudyd',
    MESSAGE: 'Connection 3: the replica on beta is not complete; a mirror is required.',
  });
  sink.write(skipped);
  const fields = fieldsOf(await next());
  t.true(fields['MESSAGE']?.includes('/a\nb'), 'a line feed in a name is data, not another field');
  t.is(fields['UNDERSTUDY_ERRNO'], 'ENAMETOOLONG');
  t.is(fields['PRIORITY'], '4');
  t.deepEqual(fallback, []);
});

test('a message ID is 128 bits of its own for each number', (t) => {
  t.regex(messageId(2218), /^[0-9a-f]{32}$/);
  t.not(messageId(2218), messageId(2219));
});

test('without journald the lines go to standard error with their priority, and it is told once', (t) => {
  const said: string[] = [];
  const troubles: string[] = [];
  const stream = { write: (text: string) => said.push(text) } as unknown as NodeJS.WritableStream;
  const sink: LogSink = new JournalSink(
    native().sendDatagram,
    new ErrorStream(stream, true),
    (error) => troubles.push(error.code ?? ''),
    '/no/such/socket',
  );
  sink.write(required);
  sink.write(information);
  t.deepEqual(troubles, ['ENOENT']);
  t.regex(said[0] ?? '', /^<3>2026/);
  t.regex(said[1] ?? '', /^<6>2026/);
});

test('JOURNAL_STREAM counts only when it names this very stream', (t) => {
  const fd = openSync('/dev/null', 'r');
  const { dev, ino } = fstatSync(fd);
  t.true(isJournal(`${dev}:${ino}`, fd));
  t.false(isJournal('1:2', fd));
  t.false(isJournal(undefined, fd));
  t.false(isJournal(`${dev}:${ino}`, 9_999));
});

test('LOG-04, LOG-05: errors and skipped paths go to syslog, one line each; nothing else does', async (t) => {
  const { path, next } = await listener(t);
  let wanted = true;
  const sink = new SyslogSink({
    send: native().sendDatagram,
    pid: 42,
    wanted: () => wanted,
    path: () => path,
    onTrouble: () => t.fail(),
  });
  sink.write(information);
  wanted = false;
  sink.write(required);
  wanted = true;
  sink.write(required);
  t.regex((await next()).toString(), /^<27>Nov {2}5 07:08:09 understudyd\[42\]: Error 2218 Connection 3: the replica/);
  sink.write(skipped);
  const text = (await next()).toString();
  t.regex(text, /^<28>.*Warning 2119 .*\/a\\x0ab/);
  t.false(text.includes('\n'));
});

test('LOG-05: a syslog that is not there is told once, and again after it worked', async (t) => {
  const { path, next } = await listener(t);
  const troubles: string[] = [];
  let at = '/no/such/socket';
  const sink = new SyslogSink({
    send: native().sendDatagram,
    pid: 1,
    wanted: () => true,
    path: () => at,
    onTrouble: (where, error) => troubles.push(`${where} ${error.code}`),
  });
  sink.write(required);
  sink.write(required);
  t.is(troubles.length, 1);
  at = path;
  sink.write(required);
  await next();
  at = '/no/such/socket';
  sink.write(required);
  t.deepEqual(troubles, ['/no/such/socket ENOENT', '/no/such/socket ENOENT']);
  t.true(syslogEntry(line(notice('AGENT_CRASHED', { detail: 'x'.repeat(9_000) })), 1).length <= 2_048);
});

test('a datagram to a path that is too long is an errno, not a crash', (t) => {
  t.throws(() => native().sendDatagram('/x'.repeat(200), Buffer.from('a')), { code: 'ENAMETOOLONG' });
  t.throws(() => native().sendDatagram('', Buffer.from('a')));
});

test('journalEntry keeps a message that is far too long within bounds', (t) => {
  const entry = journalEntry(line(notice('AGENT_CRASHED', { detail: 'x'.repeat(1_000_000) })));
  t.true(entry.length < 100_000);
});
