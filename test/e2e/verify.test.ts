/** Verification with real agents: what it finds, what it sends, what it writes. */
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import * as m from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import { Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

const BLOCK = 4096;

/** Changes bytes of a file and nothing that its attributes tell. */
function tamper(file: string, at: number): void {
  const { atime, mtime } = statSync(file);
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  utimesSync(file, atime, mtime);
}

test.serial(
  'VER-01, VER-03..06, VER-12, VER-17, VER-18, NAM-12: verify only, then remirror; the log has the state before',
  async (t) => {
    const pair = await opened(t, { servers: ['alpha'] });
    const source = pair.folder('data');
    for (const name of ['same', 'bytes', 'gone', 'newer', 'older'])
      writeFileSync(join(source, name), name.repeat(BLOCK));
    // Whole seconds, so that a time can be put back exactly.
    for (const name of ['same', 'bytes', 'gone', 'newer', 'older']) utimesSync(join(source, name), 1e9, 1e9);
    mkdirSync(join(source, 'd'));
    symlinkSync('same', join(source, 'link'));
    const link = await pair.connect(source, join(pair.root, 'replica'));
    await pair.mirrored(link);
    await pair.barrier(link);
    const at = (name: string): string => join(link.target, name);

    tamper(at('bytes'), 2 * BLOCK);
    rmSync(at('gone'));
    writeFileSync(at('orphan'), 'mine');
    writeFileSync(at('newer'), 'changed there');
    utimesSync(at('newer'), 1, 1);
    writeFileSync(at('older'), 'changed there, later');
    const verify = async (...args: string[]): Promise<m.VerifyResult> => {
      const ran = await understudy(pair, ['verify', '1', '--json', ...args]);
      return JSON.parse(ran.out) as m.VerifyResult;
    };

    const found = async (...args: string[]): Promise<string[]> =>
      (await verify(...args)).differences.map((one) => `${one.what} ${one.path.slice(source.length + 1)}`).sort();
    const byAttributes = ['different newer', 'different older', 'missing gone', 'orphan orphan'];
    t.deepEqual(await found(), byAttributes, 'VER-03: attributes alone, nothing is sent');
    t.false(existsSync(at('gone')));
    t.deepEqual(await found('--checksum'), ['different bytes', ...byAttributes], 'VER-06');

    const first = await verify('--checksum', '--remirror', '--newer');
    t.is(first.resent, 2, 'VER-05: the missing one and the one that is newer here');
    t.like(
      first.differences.find((one) => one.path.endsWith('bytes')),
      { blocksDiffer: 1, blocks: 5, source: { bytes: 5 * BLOCK }, target: { bytes: 5 * BLOCK } },
      'only blocks that differ',
    );
    await pair.barrier(link);
    t.is(readFileSync(at('newer'), 'utf8'), 'newer'.repeat(BLOCK));
    t.is(readFileSync(at('older'), 'utf8'), 'changed there, later');
    const second = await verify('--checksum', '--remirror');
    t.like(second, { different: 2, missing: 0, orphans: 1, resent: 2 });
    await pair.barrier(link);
    t.deepEqual(await found('--checksum'), ['orphan orphan']);
    rmSync(at('orphan'));
    // The time of the directory, which that changed, comes with the next change in it.
    writeFileSync(join(source, 'last'), '');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
    t.regex((await understudy(pair, ['verify', '1', '--checksum'])).out, /: identical$/m);

    const shown = JSON.parse((await understudy(pair, ['verify', 'log', '1', '--json'])).out) as {
      file: string;
      text: string;
      last: { result: m.VerifyResult };
    };
    t.is(shown.file, join(pair.source.root, 'state', 'log', `${link.set} USVerify.log`));
    t.is(readFileSync(shown.file, 'utf8'), shown.text);
    t.is(shown.text.match(/^--- Verification begins/gm)?.length, 6);
    t.is(shown.text.match(/^--- Verification ends/gm)?.length, 6);
    t.regex(
      shown.text,
      /^different \S+\/bytes: source 20480 bytes of .*, target 20480 bytes of .*; 1 of 5 blocks differ$/m,
    );
    t.regex(shown.text, /^missing \S+\/gone: source 16384 bytes of .*, not on the target$/m);
    t.is(shown.last.result.different, 0);
  },
);

test.serial('VER-07..10: a schedule saved by the command line runs at its time, not before', async (t) => {
  t.timeout(120_000);
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
  const link = await pair.connect(pair.folder('data'), join(pair.root, 'replica'));
  await pair.mirrored(link);
  const start = new Date(Date.now() + 3_000).toISOString();
  const saved = await understudy(pair, ['verify', 'schedule', '1', '--start', start, '--every', '12h', '--checksum']);
  t.is(saved.code, 0, saved.err);
  t.regex(
    saved.out,
    /Schedule +contents, verify only[\s\S]*Interval +12 h 00 m[\s\S]*State +waiting[\s\S]*Last +never/,
  );
  for (;;) {
    const { last, next } = await pair.source.client.request(m.VerifyShow, { id: 1 });
    if (last) {
      t.true(last.began >= Date.parse(start), 'VER-10');
      t.like(last, { asked: 'the schedule', options: { checksum: true }, result: { different: 0, missing: 0 } });
      t.is(next, Date.parse(start) + 12 * 3_600_000);
      break;
    }
    await pair.item(link);
  }
  t.regex((await understudy(pair, ['verify', 'schedule', '1', '--clear'])).out, /Schedule +none/);
  t.is((await understudy(pair, ['verify', 'schedule', '1', '--start', 'now'])).code, 2, 'saving would run nothing');
});

test.serial(
  'VER-11: a large file that was written a moment ago is not called different once the target has it',
  async (t) => {
    const pair = await opened(t, { servers: ['alpha'] });
    const source = pair.folder('data');
    writeFileSync(join(source, 'pages'), randomBytes(2_000 * BLOCK));
    const link = await pair.connect(source, join(pair.root, 'replica'));
    await pair.mirrored(link);
    await pair.barrier(link);
    for (let run = 0; run < 5; run++) {
      // In place: the agent looks at this page first, and at the rest of the file later.
      const file = openSync(join(source, 'pages'), 'r+');
      writeSync(file, randomBytes(BLOCK), 0, BLOCK, 300 * BLOCK);
      closeSync(file);
      for (const end = Date.now() + 10_000; pair.differences(link).length > 0; await wait(20))
        if (Date.now() > end) return t.fail('the page does not arrive');
      const result = JSON.parse(
        (await understudy(pair, ['verify', '1', '--json', '--checksum'])).out,
      ) as m.VerifyResult;
      t.deepEqual(result.differences, [], `run ${run}`);
      t.is(result.different, 0);
    }
  },
);

test.serial(
  'VER-11: what is written during a comparison may be named, and nothing else; at rest it is equal',
  async (t) => {
    const pair = await opened(t, { servers: ['alpha'] });
    const source = pair.folder('data');
    for (let i = 0; i < 50; i++) writeFileSync(join(source, `rests${i}`), 'x'.repeat(BLOCK * 4));
    const link = await pair.connect(source, join(pair.root, 'replica'));
    await pair.mirrored(link);
    await pair.barrier(link);
    const verify = async (): Promise<m.VerifyResult> =>
      JSON.parse((await understudy(pair, ['verify', '1', '--json', '--checksum'])).out) as m.VerifyResult;
    let writing = true;
    let wrote = 0;
    const work = (async () => {
      for (; writing; wrote++) {
        appendFileSync(join(source, 'log'), randomBytes(BLOCK));
        await wait(1);
      }
    })();
    for (let run = 0; run < 5; run++) {
      const { differences, orphans } = await verify();
      t.deepEqual(
        differences.filter(({ path }) => path !== join(source, 'log')),
        [],
        `run ${run}`,
      );
      t.is(orphans, 0);
    }
    writing = false;
    await work;
    t.true(wrote > 100);
    await pair.barrier(link);
    const last = await verify();
    t.deepEqual(last.differences, []);
    t.like(last, { different: 0, missing: 0, orphans: 0 });
  },
);
