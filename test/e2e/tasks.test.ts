/** Task commands with real agents and real processes: in order, at most once, told on both sides. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import type { Link, Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

async function open(
  t: ExecutionContext,
): Promise<{ pair: Pair; link: Link; script: (name: string, text: string) => string }> {
  const pair = await opened(t, { timeoutMs: 180_000 });
  const source = pair.folder('data');
  writeFileSync(join(source, 'a'), 'first');
  const link = await pair.connect(source, join(pair.root, 'replica'));
  await pair.mirrored(link);
  await pair.barrier(link);
  const programs = pair.folder('programs');
  const script = (name: string, text: string): string => {
    const file = join(programs, name);
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
    return file;
  };
  return { pair, link, script };
}

const enable = async (pair: Pair, more: Record<string, string> = {}): Promise<void> => {
  for (const agent of [pair.source, pair.target])
    await agent.client.request(m.SettingsSet, {
      changes: Object.entries({ enabled: 'true', ...more }).map(([key, value]) => ({ key: `task.${key}`, value })),
    });
};
const run = (pair: Pair, command: string[], more: { durable?: boolean; timeoutMs?: number; wait?: boolean } = {}) =>
  pair.source.client.request(m.TaskRun, { id: 1, command, ...more }, { timeoutMs: 120_000 });
const codes = async (agent: Pair['source']): Promise<string[]> =>
  (await agent.client.request(m.LogRead, {})).lines.map((line) => line.notice.code);

async function until<T>(what: string, look: () => T | Promise<T>, ms = 30_000): Promise<NonNullable<T>> {
  for (const end = Date.now() + ms; ; await wait(20)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}

test.serial(
  'REP-20, REP-21: refused while it is off; then run on the target with all before it and nothing behind it',
  async (t) => {
    const { pair, link, script } = await open(t);
    const count = script(
      'count',
      'ls "$UNDERSTUDY_DIRECTORIES" | wc -l; cat "$UNDERSTUDY_DIRECTORIES/a"; echo; sleep 0.5; ls "$UNDERSTUDY_DIRECTORIES" | wc -l; echo "$UNDERSTUDY_SET/$UNDERSTUDY_SOURCE/$UNDERSTUDY_TARGET/$USER"; echo bad >&2',
    );
    const off = await t.throwsAsync(run(pair, [count]), { instanceOf: Failure });
    t.is((off as Failure).code, 'TASK_DISABLED');
    await pair.source.client.request(m.SettingsSet, { changes: [{ key: 'task.enabled', value: 'true' }] });
    const refused = await run(pair, [count]);
    t.like(refused.outcome, { result: 'refused', output: '' });
    t.regex(refused.outcome?.why ?? '', /is off on target \(REP-21\)/);

    await enable(pair);
    for (let i = 0; i < 200; i += 1) writeFileSync(join(link.source, `f${i}`), 'x');
    writeFileSync(join(link.source, 'a'), 'second');
    const asked = run(pair, [count], { durable: true });
    const behind = setInterval(() => writeFileSync(join(link.source, `late${Date.now()}`), 'x'), 20);
    const done = await asked;
    clearInterval(behind);
    t.like(done, { phase: 'ended', role: 'source', durable: true });
    t.is(done.outcome?.result, 'done', done.outcome?.why ?? '');
    const [before, content, after, names, error] = (done.outcome?.output ?? '').split('\n');
    t.true(Number(before) >= 201, `${before} files were there`);
    t.is(before, after, 'nothing behind it was applied while it ran');
    t.is(content?.replace(/\d+$/, ''), 'second');
    t.regex(names ?? '', /^set \d+\/source\/target\/root$/);
    t.is(error, 'bad');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
    t.true((await codes(pair.source)).includes('TASK_DONE') && (await codes(pair.target)).includes('TASK_DONE'));
    const { tasks } = await pair.target.client.request(m.TaskList, {});
    t.like(tasks[0], { role: 'target', key: done.key, phase: 'ended', server: 'source' });
    t.is(tasks[0]?.outcome?.output, '', 'a monitor does not see what it wrote');
    t.is((await pair.target.client.request(m.TaskShow, { key: done.key })).outcome?.output, done.outcome?.output);
  },
);

test.serial(
  'REP-20: exit codes, signals, time-outs with the whole group, bounded output, who may be run',
  async (t) => {
    const { pair, link, script } = await open(t);
    await enable(pair);
    t.like((await run(pair, [script('seven', 'exit 7')])).outcome, { result: 'failed', exit: 7 });
    t.like((await run(pair, [script('killed', 'kill -9 $$')])).outcome, {
      result: 'failed',
      signal: 'SIGKILL',
      exit: null,
    });
    t.like((await run(pair, ['/missing'])).outcome, {
      result: 'failed',
      why: '/missing does not exist',
      started: null,
    });
    const stuck = script(
      'stuck',
      `trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done; ) & echo $! > ${pair.root}/child; while :; do sleep 0.05; done`,
    );
    const slow = await run(pair, [stuck], { timeoutMs: 300 });
    t.is(slow.outcome?.result, 'timed_out', slow.outcome?.why ?? '');
    const child = Number(readFileSync(join(pair.root, 'child'), 'utf8'));
    await until(
      'the end of its child',
      () => !existsSync(`/proc/${child}`) || /\) Z /.test(readFileSync(`/proc/${child}/stat`, 'utf8')),
    );
    const loud = await run(pair, [
      script('loud', 'echo begin; head -c 3000000 /dev/zero | tr "\\0" x; echo; echo end'),
    ]);
    t.true((loud.outcome?.output.length ?? 0) < 20_000);
    t.regex(loud.outcome?.output ?? '', /^begin\nx+\n\.\.\. \d+ bytes left out \.\.\.\nx+\nend\n$/);
    t.true((loud.outcome?.omitted ?? 0) > 2_900_000);

    const open2 = script('open', 'echo never');
    chmodSync(open2, 0o777);
    t.regex((await run(pair, [open2])).outcome?.why ?? '', /can be written by others/);
    await enable(pair, { folder: join(pair.root, 'programs'), user: 'nobody' });
    t.regex((await run(pair, ['/bin/true'])).outcome?.why ?? '', /is not below .*programs/);
    t.like((await run(pair, ['../programs/seven'])).outcome, { result: 'refused' });
    t.is(
      (
        await run(pair, [script('who', 'id -un; id -Gn; echo "$HOME"; env | grep -c SSH || true')])
      ).outcome?.output.split('\n')[0],
      'nobody',
    );
    t.like((await run(pair, ['seven'])).outcome, { result: 'failed', exit: 7 });
    writeFileSync(join(link.source, 'after'), 'x');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), [], 'replication goes on');
  },
);

test.serial(
  'REP-22: submitted directly to a target, beside the streams, only where it is enabled; by the command line, too',
  async (t) => {
    const { pair, script } = await open(t);
    const hello = script('hello', 'echo "hello $1"; [ "$1" = ok ]');
    await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
    await understudy(pair, ['server', 'add', 'beta', `unix:${pair.target.socket}`]);
    const off = await understudy(pair, ['task', 'submit', 'beta', '--', hello, 'ok']);
    t.is(off.code, 4, off.err);
    t.regex(off.err, /off on target \(REP-21\)/);
    // The source stays off (REP-22).
    await pair.target.client.request(m.SettingsSet, { changes: [{ key: 'task.enabled', value: 'true' }] });
    const done = await understudy(pair, ['task', 'submit', 'beta', '--', hello, 'ok']);
    t.is(done.code, 0, done.err);
    t.is(done.out, 'hello ok\n');
    t.regex(done.err, /done, exit code 0/);
    const bad = await understudy(pair, ['--json', 'task', 'submit', 'beta', '--', hello, 'x']);
    t.is(bad.code, 1);
    t.like(JSON.parse(bad.out), { role: 'direct', outcome: { result: 'failed', exit: 1, output: 'hello x\n' } });
    t.is((await understudy(pair, ['task', 'run', 'alpha:1', '--', hello, 'ok'])).code, 4, 'the source is off');
    await pair.source.client.request(m.SettingsSet, { changes: [{ key: 'task.enabled', value: 'true' }] });
    const sent = await understudy(pair, ['task', 'run', '1', '--durable', '--', hello, 'ok']);
    t.is(sent.out, 'hello ok\n', sent.err);
    const listed = await understudy(pair, ['task', 'list']);
    t.regex(listed.out, /alpha .* source .* ended +done/);
    t.regex(listed.out, /beta .* target .* ended +done/);
    t.regex(listed.out, /beta .* direct .* ended +failed/);
    const { key } = JSON.parse(bad.out) as { key: string };
    t.regex((await understudy(pair, ['task', 'show', 'beta', key])).out, /failed with exit code 1\nhello x/);
  },
);

test.serial(
  'REP-20: a target killed while a task runs never runs it again, says so, and ends what was left of it',
  async (t) => {
    const { pair, link, script } = await open(t);
    await enable(pair);
    const marks = join(pair.root, 'ran');
    mkdirSync(marks);
    const endless = script('endless', `touch ${marks}/$$; while :; do sleep 0.05; done`);
    const asked = run(pair, [endless]);
    const pid = await until('its begin', () => readdirSync(marks)[0]);
    writeFileSync(join(link.source, 'behind'), 'x');
    const stands = await pair.until(link, 'at a task', (item) => item.problem?.code === 'TASK_RUNS');
    t.is(stands.severity, 'information', 'I10: why it is behind is said, and nobody has to do anything');
    await pair.target.stop('SIGKILL');
    await pair.target.start();
    const told = await asked;
    t.is(told.outcome?.result, 'unknown', told.outcome?.why ?? '');
    t.regex(told.outcome?.why ?? '', /the agent ended while it ran/);
    await until(
      'the end of what it left',
      () => !existsSync(`/proc/${pid}`) || /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')),
    );
    await pair.barrier(link);
    t.true(existsSync(join(link.target, 'behind')));
    t.is(readdirSync(marks).length, 1, 'once');
    t.true(
      (await codes(pair.source)).includes('TASK_DOUBTFUL') && (await codes(pair.target)).includes('TASK_DOUBTFUL'),
    );
  },
);

test.serial(
  'REP-20: a link or a source that dies meanwhile loses neither the task nor its outcome, and runs it once',
  async (t) => {
    const { pair, link, script } = await open(t);
    await enable(pair);
    const marks = join(pair.root, 'ran');
    mkdirSync(marks);
    const go = join(pair.root, 'go');
    const waits = script(
      'waits',
      `touch ${marks}/$$; while [ ! -e ${go} ]; do sleep 0.05; done; ls "$UNDERSTUDY_DIRECTORIES"`,
    );
    const asked = run(pair, [waits]);
    asked.catch(() => undefined);
    await until('its begin', () => readdirSync(marks)[0]);
    writeFileSync(join(link.source, 'behind'), 'x');
    await pair.source.stop('SIGKILL');
    await pair.source.start();
    await pair.until(link, 'linked again', (item) => item.phase === 'linked');
    // The stream is a new one, but nothing of it is applied while the task of the old one runs.
    writeFileSync(join(link.source, 'more'), 'x');
    await wait(1_500);
    t.false(existsSync(join(link.target, 'behind')) || existsSync(join(link.target, 'more')));
    writeFileSync(go, '');
    const ended = await until('the outcome at the source', async () => {
      const { tasks } = await pair.source.client.request(m.TaskList, {});
      return tasks.find((one) => one.phase === 'ended');
    });
    t.is(ended.outcome?.result, 'done');
    const { outcome } = await pair.source.client.request(m.TaskShow, { key: ended.key });
    t.is(outcome?.output, 'a\n');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
    t.is(readdirSync(marks).length, 1, 'once');
  },
);
