/** Orphans with real agents: listed, moved, deleted, kept; never anything that the source has. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import type { Link, Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

async function open(t: ExecutionContext, pattern?: string): Promise<{ pair: Pair; link: Link }> {
  const pair = await opened(t, { timeoutMs: 180_000 });
  const source = pair.folder('data');
  mkdirSync(join(source, 'd'));
  for (const name of ['a', 'd/b']) writeFileSync(join(source, name), name);
  const rules: m.Rule[] = [{ path: source, include: true, recursive: true }];
  if (pattern) rules.push({ path: join(source, pattern), include: false, recursive: true });
  const link = await pair.connect(source, join(pair.root, 'replica'), { kind: 'full' }, rules);
  await pair.mirrored(link);
  await pair.barrier(link);
  return { pair, link };
}

const settings = (pair: Pair, values: Record<string, string>): Promise<unknown> =>
  pair.target.client.request(m.SettingsSet, {
    changes: Object.entries(values).map(([key, value]) => ({ key: `orphans.${key}`, value })),
  });
const start = (pair: Pair, preview = false): Promise<m.OrphansResult> =>
  pair.source.client.request(m.OrphansStart, { id: 1, preview });
const told = async (pair: Pair, code: string): Promise<m.LogLine['notice']['params'][]> =>
  (await pair.target.client.request(m.LogRead, {})).lines
    .filter((line) => line.notice.code === code)
    .map((line) => line.notice.params);

test.serial(
  'MIR-50..60: orphans are previewed, kept by age and by excludes, and deleted; links are not followed',
  async (t) => {
    const { pair, link } = await open(t, '*.keep');
    await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
    const outside = pair.folder('outside');
    writeFileSync(join(outside, 'precious'), 'x');
    const at = (name: string): string => join(link.target, name);
    mkdirSync(at('old/deep'), { recursive: true });
    for (let i = 0; i < 300; i += 1) writeFileSync(at(`old/deep/f${i}`), 'orphan');
    symlinkSync(outside, at('old/link'));
    symlinkSync(outside, at('link'));
    writeFileSync(at('d/x.keep'), 'excluded');
    writeFileSync(at('old/y.keep'), 'excluded');
    writeFileSync(at('young'), 'orphan');
    for (const name of readdirSync(at('old/deep'))) utimesSync(at(`old/deep/${name}`), 1, 1);

    const shown = await understudy(pair, ['orphans', 'preview', '1']);
    t.regex(shown.out, /3 orphans/, shown.err);
    t.regex(shown.err, /MIR-59/);
    t.is((await told(pair, 'ORPHAN_FOUND')).length, 303, 'MIR-56: the list goes to the log of the target');
    t.like((await told(pair, 'ORPHANS_DONE'))[0], { word: 'found', files: 303, kept: 1 });
    t.true(existsSync(at('young')) && existsSync(at('old/deep/f0')), 'nothing was touched');
    await start(pair);
    t.true(existsSync(at('young')), 'MIR-53: off by default');

    await settings(pair, { action: 'delete', age_s: '3600' });
    await start(pair);
    t.false(existsSync(at('old/deep')), 'MIR-55');
    t.true(existsSync(at('young')));
    await settings(pair, { age_s: '0' });
    t.is((await start(pair)).orphans, 3);
    t.deepEqual(readdirSync(link.target).sort(), ['a', 'd', 'old']);
    t.deepEqual(readdirSync(at('old')), ['y.keep'], 'MIR-59: excluded names stay, inside an orphan, too');
    t.true(existsSync(at('d/x.keep')) && existsSync(join(outside, 'precious')), 'I5');
    t.like((await told(pair, 'ORPHANS_DONE')).at(-1), { word: 'deleted', files: 3, failed: 0 });

    writeFileSync(at('late'), 'orphan');
    await pair.source.client.request(m.MirrorStart, { id: 1, options: { kind: 'difference', checksum: true } });
    await pair.until(link, 'mirrored', () => !existsSync(at('late')));
    await pair.mirrored(link);
    rmSync(at('d/x.keep'));
    rmSync(at('old'), { recursive: true });
    // The times of directories that this test changed by hand come with the next change in them.
    for (const name of ['last', 'd/last']) writeFileSync(join(link.source, name), '');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), [], 'MIR-53: during a mirror, too; times of directories are put back');
  },
);

test.serial(
  'MIR-54, MIR-58, MIR-60: orphans are moved with their path, across file systems, and never over each other',
  async (t) => {
    const { pair, link } = await open(t);
    const at = (name: string): string => join(link.target, name);
    await t.throwsAsync(settings(pair, { folder: at('d') }), {
      instanceOf: Failure,
      message: /lies inside the replica .*MIR-58/,
    });
    await t.throwsAsync(settings(pair, { folder: pair.root }), { instanceOf: Failure, message: /or around it/ });
    await t.throwsAsync(settings(pair, { action: 'move' }), { instanceOf: Failure, message: /needs orphans.folder/ });
    const memory = mkdtempSync('/dev/shm/understudy-test-');
    t.teardown(() => rmSync(memory, { recursive: true }));
    t.not(lstatSync(memory).dev, lstatSync(pair.root).dev, 'the two folders are on different file systems');
    for (const folder of [pair.folder('moved'), memory]) {
      await settings(pair, { folder, action: 'move', log: 'true' });
      for (const round of ['first', 'second']) {
        mkdirSync(at('o/empty'), { recursive: true });
        writeFileSync(at('o/f'), round, { mode: 0o640 });
        symlinkSync('nowhere', at('o/link'));
        utimesSync(at('o/f'), 1e9, 1e9);
        await start(pair);
        t.false(existsSync(at('o')));
      }
      const moved = (name: string): string => join(folder, link.target, 'o', name);
      t.is(readFileSync(moved('f'), 'utf8'), 'first');
      t.is(readFileSync(moved('f.1'), 'utf8'), 'second');
      t.like(lstatSync(moved('f')), { mode: 0o100640, mtimeMs: 1e12 });
      t.true(lstatSync(moved('link')).isSymbolicLink() && existsSync(moved('empty')));
      t.like((await told(pair, 'ORPHANS_DONE')).at(-1), {
        word: 'moved',
        files: 2,
        directories: 2,
        bytes: 6,
        failed: 0,
      });
    }
    t.true(
      (await told(pair, 'ORPHAN_MOVED')).some((one) => String(one['path']).endsWith('/o/f')),
      'MIR-60',
    );
  },
);

test.serial(
  'MIR-50, I1, I2: a kill while orphans go and files that appear meanwhile lose nothing of the source',
  async (t) => {
    const { pair, link } = await open(t);
    await settings(pair, { action: 'delete' });
    mkdirSync(join(link.target, 'd/many'));
    for (let i = 0; i < 3_000; i += 1) writeFileSync(join(link.target, `d/many/f${i}`), '');
    for (let i = 0; i < 200; i += 1) writeFileSync(join(link.target, `same${i}`), 'orphan');
    const removing = start(pair).catch((error: unknown) => error);
    for (let i = 0; i < 200; i += 1) writeFileSync(join(link.source, `same${i}`), `source ${i}`);
    await pair.target.stop('SIGKILL');
    await removing;
    await pair.target.start();
    await pair.barrier(link);
    await start(pair);
    await pair.barrier(link);
    t.false(existsSync(join(link.target, 'd/many')));
    t.deepEqual(pair.differences(link), []);
  },
);
