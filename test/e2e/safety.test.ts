/** I11: nothing is deleted on a target because a source looked empty. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { LogRead, SetContinue, SetList } from '../../protocol/messages/index.js';
import { Pair } from '../support/pair.js';

const FILES = 600;
/** A guard that 600 files can trip. */
const config = '[source]\nguard_percent = 50\nguard_count = 100\n';
const root = process.getuid?.() === 0;

function fill(folder: string): void {
  for (let i = 0; i < FILES; i++) {
    fs.mkdirSync(path.join(folder, `d${i % 20}`), { recursive: true });
    fs.writeFileSync(path.join(folder, `d${i % 20}`, `f${i}`), `content ${i}`);
  }
}

function files(folder: string): number {
  return fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((it) => it.isFile()).length;
}

async function setState(pair: Pair, name: string): Promise<string> {
  const { sets } = await pair.source.client.request(SetList, {});
  return sets.find((it) => it.name === name)?.state ?? 'gone';
}

async function untilState(pair: Pair, name: string, wanted: readonly string[]): Promise<string> {
  const end = Date.now() + 30_000;
  for (;;) {
    const state = await setState(pair, name);
    if (wanted.includes(state) || Date.now() > end) return state;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test.serial('I11: emptying the source root deletes nothing on the target until a person agrees', async (t) => {
  t.timeout(120_000);
  const pair = await Pair.open({ config });
  t.teardown(() => pair.close());
  const source = pair.folder('source');
  const target = pair.folder('target');
  fill(source);
  const link = await pair.connect(source, target);
  await pair.mirrored(link);
  await pair.barrier(link);
  t.is(files(target), FILES);

  for (const name of fs.readdirSync(source)) fs.rmSync(path.join(source, name), { recursive: true });
  t.is(await untilState(pair, link.set, ['stopped']), 'stopped');
  t.is(files(target), FILES, 'not one file was deleted');

  await pair.source.client.request(SetContinue, { name: link.set, acceptDeletes: true });
  await untilState(pair, link.set, ['watching']);
  await pair.barrier(link);
  t.is(files(target), 0, 'a person agreed');
});

test.serial('I11: a source root that was replaced by another directory deletes nothing on the target', async (t) => {
  t.timeout(120_000);
  const pair = await Pair.open({ config });
  t.teardown(() => pair.close());
  const source = pair.folder('source');
  const target = pair.folder('target');
  fill(source);
  const link = await pair.connect(source, target);
  await pair.mirrored(link);
  await pair.barrier(link);
  fs.renameSync(source, `${source}.away`);
  fs.mkdirSync(source);
  const state = await untilState(pair, link.set, ['stopped', 'missing']);
  t.true(['stopped', 'missing'].includes(state), state);
  t.is(files(target), FILES);
});

(root ? test.serial : test.serial.skip)(
  'I11: unmounting the source deletes nothing on the target, and mounting it again goes on',
  async (t) => {
    t.timeout(180_000);
    const pair = await Pair.open({ config });
    const image = path.join(pair.root, 'image');
    const source = pair.folder('mounted');
    const target = pair.folder('target');
    const mounted = (): boolean => fs.readFileSync('/proc/self/mounts', 'utf8').includes(` ${source} `);
    t.teardown(async () => {
      await Promise.all([pair.source.stop(), pair.target.stop()]);
      if (mounted()) execFileSync('umount', ['-l', source]);
      await pair.close();
    });
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 256 << 20);
    execFileSync('mkfs.ext4', ['-q', '-F', image]);
    execFileSync('mount', ['-o', 'loop', image, source]);
    fill(source);
    const link = await pair.connect(source, target);
    await pair.mirrored(link);
    await pair.barrier(link);
    const before = files(target);

    // Nobody holds the file system open: an unmount must not fail because of us.
    execFileSync('umount', [source]);
    const state = await untilState(pair, link.set, ['stopped', 'missing']);
    t.true(['stopped', 'missing'].includes(state), state);
    t.is(files(target), before, 'nothing was deleted');

    execFileSync('mount', ['-o', 'loop', image, source]);
    fs.writeFileSync(path.join(source, 'after the mount'), 'again');
    if ((await untilState(pair, link.set, ['watching'])) !== 'watching') {
      await pair.source.client.request(SetContinue, { name: link.set, acceptDeletes: false });
    }
    await pair.until(link, 'replicating again', ({ statistics }) =>
      ['Replicating', 'Ready'].includes(statistics.replicationStatus),
    );
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
  },
);

(root ? test.serial : test.serial.skip)(
  `CAP-07: a directory that is mounted below itself is passed over, and that is said${root ? '' : ' (needs root to mount)'}`,
  async (t) => {
    t.timeout(120_000);
    const pair = await Pair.open({ config });
    const source = pair.folder('source');
    const inside = path.join(source, 'a', 'again');
    fs.mkdirSync(inside, { recursive: true });
    execFileSync('mount', ['--bind', source, inside]);
    t.teardown(async () => {
      await Promise.all([pair.source.stop(), pair.target.stop()]);
      execFileSync('umount', ['-l', inside]);
      await pair.close();
    });
    fs.writeFileSync(path.join(source, 'one'), '1');
    const link = await pair.connect(source, pair.folder('target'));
    await pair.mirrored(link);
    fs.writeFileSync(path.join(inside, 'two'), '2');
    await pair.barrier(link);
    const names = fs.readdirSync(link.target, { recursive: true }).map(String).sort();
    t.deepEqual(names, ['a', 'one', 'two'], 'told by the path that is no mount');
    const { lines } = await pair.source.client.request(LogRead, {});
    const said = lines.filter(({ notice }) => notice.code === 'MOUNT_INSIDE').map(({ notice }) => notice.text);
    t.is(said.length, 1);
    t.true(said[0]?.includes(inside) && said[0].includes('mounted'), said[0]);
  },
);
