/** Bookmarks with real agents: what a frozen file system, commands around the point, and neither are worth. */
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import type { Link, Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

const PLAIN: m.BookmarkOptions = { freezeMs: null, before: null, after: null, command: null };

async function open(
  t: ExecutionContext,
  mounted = false,
): Promise<{ pair: Pair; link: Link; script: (name: string, text: string) => string }> {
  const pair = await opened(t, { timeoutMs: 180_000 });
  if (mounted) {
    t.teardown(async () => {
      await pair.source.stop();
      execFileSync('umount', ['-l', join(pair.root, 'disk')]);
    });
    const image = join(pair.root, 'image');
    execFileSync('truncate', ['-s', '64M', image]);
    execFileSync('mkfs.ext4', ['-q', image]);
    execFileSync('mount', ['-o', 'loop', image, pair.folder('disk')]);
  }
  const source = pair.folder(mounted ? 'disk/data' : 'data');
  writeFileSync(join(source, 'a'), '0');
  for (const agent of [pair.source, pair.target])
    await agent.client.request(m.SettingsSet, { changes: [{ key: 'task.enabled', value: 'true' }] });
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

const make = (pair: Pair, options: Partial<m.BookmarkOptions>, more = {}): Promise<m.Bookmark> =>
  pair.source.client.request(
    m.BookmarkMake,
    { id: 1, options: { ...PLAIN, ...options }, ...more },
    { timeoutMs: 120_000 },
  );
const list = async (agent: Pair['source']): Promise<m.Bookmark[]> =>
  (await agent.client.request(m.BookmarkList, {})).bookmarks;
const codes = async (agent: Pair['source']): Promise<string[]> =>
  (await agent.client.request(m.LogRead, {})).lines.map((line) => line.notice.code);

/** A writer that puts the same number into many files, one after the other and without a pause, as a database does. */
const FILES = 100;
function writer(t: ExecutionContext, folder: string): void {
  const program = `
    const fs = require('fs');
    const files = Array.from({ length: ${FILES} }, (_, at) => fs.openSync('${folder}/n' + at, 'w'));
    for (let n = 1; ; n += 1) for (const file of files) fs.writeSync(file, String(n).padStart(10, '0'), 0);`;
  const child = spawn(process.execPath, ['-e', program], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
}

/** What is wrong with a copy of these files; null: it is one moment. */
function torn(folder: string): string | null {
  const numbers = Array.from({ length: FILES }, (_, at) => readFileSync(join(folder, `n${at}`), 'utf8'));
  for (const [at, number] of numbers.entries()) {
    const before = Number(numbers[at - 1] ?? number);
    const first = Number(numbers[0]);
    if (Number(number) > before || Number(number) < first - 1)
      return `file ${at} holds ${number} behind ${before}, first ${first}`;
  }
  return null;
}

test.serial(
  'DESIGN 6: a bookmark is recorded with name and time on both sides, survives restarts, and the history is bounded',
  async (t) => {
    const { pair, link, script } = await open(t);
    await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
    await understudy(pair, ['server', 'add', 'beta', `unix:${pair.target.socket}`]);
    writeFileSync(join(link.source, 'a'), '1');
    const made = await understudy(pair, ['bookmark', 'make', '1', '--name', 'before the release']);
    t.is(made.code, 0, made.err);
    t.is(made.out, 'before the release: plain, durable on target\n');
    t.is(readFileSync(join(link.target, 'a'), 'utf8'), '1');
    const copy = script('copy', `cat "$UNDERSTUDY_DIRECTORIES/a"; echo "$UNDERSTUDY_EVENT"`);
    const ran = await make(pair, { command: [copy] }, { name: 'with a command' });
    t.like(ran, { how: 'plain', stoodMs: -1, why: '' });
    t.regex(ran.outcome?.output ?? '', /^1bookmark\n$/);
    const failing = await make(pair, { command: [script('fails', 'exit 9')] }, { name: 'failing' });
    t.regex(failing.why, /exit code 9/);
    await pair.target.stop('SIGKILL');
    await pair.target.start();
    await pair.source.stop();
    await pair.source.start();
    for (const [agent, role] of [
      [pair.source, 'source'],
      [pair.target, 'target'],
    ] as const) {
      const all = await list(agent);
      t.deepEqual(
        all.map((one) => [one.role, one.name, one.key]),
        [failing, ran]
          .map((one) => [role, one.name, one.key])
          .concat([[role, 'before the release', all[2]?.key ?? '']]),
      );
      t.true(all.every((one) => one.recorded !== null && one.at <= one.recorded));
      t.regex(all[0]?.why ?? '', /exit code 9/);
    }
    const shown = await understudy(pair, ['bookmark', 'list']);
    t.regex(shown.out, /alpha +source .*before the release +plain/);
    t.regex(shown.out, /beta +target .*before the release +plain/);
    await pair.target.client.request(m.SettingsSet, { changes: [{ key: 'bookmark.keep', value: '2' }] });
    await make(pair, {}, { name: 'latest' });
    t.deepEqual(
      (await list(pair.target)).map((one) => one.name),
      ['latest', 'failing'],
    );
    t.is((await list(pair.source)).length, 4);
  },
);

test.serial('DESIGN 6: commands around the point quiesce the source, whatever happens between them', async (t) => {
  const { pair, link, script } = await open(t);
  const say = join(pair.root, 'said');
  const before = script('before', `echo before >> ${say}; echo quiet > ${link.source}/a`);
  const after = script('after', `echo after >> ${say}; echo loud > ${link.source}/a`);
  const keep = script('keep', `cat "$UNDERSTUDY_DIRECTORIES/a"`);
  const made = await make(pair, { before: [before], after: [after], command: [keep] });
  t.is(made.how, 'hook');
  t.is(made.outcome?.output, 'quiet\n', 'the target ran its command with what the source held between the two');
  t.true(made.stoodMs >= 0);
  t.is(readFileSync(say, 'utf8'), 'before\nafter\n');
  await pair.barrier(link);
  t.is(readFileSync(join(link.target, 'a'), 'utf8'), 'loud\n');

  const bad = await t.throwsAsync(make(pair, { before: [script('bad', 'exit 3')], after: [after] }), {
    instanceOf: Failure,
  });
  t.regex(bad?.message ?? '', /the command before it ended with exit code 3/);
  t.is(readFileSync(say, 'utf8'), 'before\nafter\nafter\n');
  t.true((await codes(pair.source)).includes('BOOKMARK_FAILED'));

  // Killed in between: the next start releases what was quiesced.
  const stuck = script('stuck', `echo before >> ${say}; touch ${pair.root}/stands; while :; do sleep 0.05; done`);
  const asked = make(pair, { before: [stuck], after: [after] }).catch((error: unknown) => error);
  while (!existsSync(join(pair.root, 'stands'))) await wait(20);
  await pair.source.stop('SIGKILL');
  await asked;
  await pair.source.start();
  while (readFileSync(say, 'utf8') !== 'before\nafter\nafter\nbefore\nafter\n') await wait(20);
  t.is((await list(pair.source)).length, 1);
  const left = readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(stuck);
    } catch {
      return false;
    }
  });
  t.deepEqual(left, [], 'what the killed agent left running was ended');
});

test.serial(
  'DESIGN 6: of a frozen file system the replica is one moment, while an application writes (needs root and loop devices)',
  async (t) => {
    const { pair, link, script } = await open(t, true);
    const copies = pair.folder('copies');
    const keep = script('keep', `cp -r "$UNDERSTUDY_DIRECTORIES" ${copies}/$UNDERSTUDY_TASK`);
    writer(t, link.source);
    while (!existsSync(join(link.source, `n${FILES - 1}`))) await wait(10);
    const verdicts = async (options: Partial<m.BookmarkOptions>, count: number): Promise<(string | null)[]> => {
      const found: (string | null)[] = [];
      for (let i = 0; i < count; i += 1) {
        const made = await make(pair, { ...options, command: [keep] });
        t.is(made.outcome?.result, 'done', made.why);
        if (made.how === 'freeze') t.true(made.stoodMs < 10_000, `stood still for ${made.stoodMs} ms`);
        found.push(torn(join(copies, made.key)));
      }
      return found;
    };
    t.deepEqual(await verdicts({ freezeMs: 10_000 }, 10), Array(10).fill(null));
    t.true(
      (await verdicts({}, 10)).some((one) => one !== null),
      'a plain one promises less, or the test proves nothing',
    );
    // It goes on.
    const was = readFileSync(join(link.source, 'n0'), 'utf8');
    while (readFileSync(join(link.source, 'n0'), 'utf8') <= was) await wait(10);
  },
);

test.serial(
  'DESIGN 6: a freeze never outlives its limit or its agent, and never takes the file systems of the agent (needs root and loop devices)',
  async (t) => {
    const { pair, link } = await open(t, true);
    const writes = async (): Promise<boolean> => {
      const child = spawn('/bin/sh', ['-c', `echo x > ${link.source}/probe`]);
      const done = new Promise<boolean>((resolve) => child.once('exit', () => resolve(true)));
      return await Promise.race([done, wait(20_000, false)]);
    };
    writeFileSync(join(link.source, 'large'), Buffer.alloc(30_000_000, 1));
    await pair.barrier(link, 120_000);
    for (let i = 0; i < 30; i += 1) writeFileSync(join(link.source, `f${i}`), Buffer.alloc(200_000, i));
    const tight = make(pair, { freezeMs: 100 }).then(
      (made) => `made, stood ${made.stoodMs}`,
      (error: Error) => error.message,
    );
    t.regex(await tight, /^made, stood \d+$|released before everything was read/);
    t.true(await writes(), 'nothing stands still any more');

    const asked = make(pair, { freezeMs: 60_000, before: ['/bin/true'] }).catch((error: unknown) => error);
    await wait(300);
    await pair.source.stop('SIGKILL');
    await asked;
    t.true(await writes(), 'the holder thaws when its agent is gone');
    await pair.source.start();
    await pair.until(link, 'linked', (item) => item.phase === 'linked');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);

    const other = await open(t);
    const refused = await t.throwsAsync(make(other.pair, { freezeMs: 1_000 }), { instanceOf: Failure });
    t.is((refused as Failure).code, 'BOOKMARK_REFUSED');
    t.regex(refused?.message ?? '', /never frozen|has to write to/);
  },
);

test.serial('DESIGN 6: scheduled bookmarks are made by themselves, and after a restart go on', async (t) => {
  const { pair } = await open(t);
  await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
  const plan = await pair.source.client.request(m.BookmarkScheduleSet, {
    id: 1,
    schedule: { start: Date.now() + 500, everyMs: 10_000, options: PLAIN },
  });
  t.true((plan.next ?? 0) > Date.now() - 1_000);
  const many = async (count: number): Promise<void> => {
    while ((await list(pair.target)).length < count) await wait(100);
  };
  await many(1);
  await pair.source.stop();
  await pair.source.start();
  await many(2);
  t.regex((await understudy(pair, ['bookmark', 'show', '1'])).out, /Every +10/);
  t.is((await understudy(pair, ['bookmark', 'schedule', '1', '--clear'])).out, 'no schedule\n');
  t.is((await pair.source.client.request(m.BookmarkShow, { id: 1 })).next, null);
});
