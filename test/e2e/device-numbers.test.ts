/**
 * The number of a file system's device changes: with a boot, when disks are found in another order, when it is unmounted
 * and mounted again. It is the same file system all the same: nothing is told again, and nothing that was acknowledged
 * goes even for a moment (I2).
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Disk } from '../support/chaos/disk.js';
import { opened } from '../support/opened.js';
import type { Link, Pair } from '../support/pair.js';

const root = process.getuid?.() === 0;
const why = root ? '' : ' (needs root for file systems)';
const run = root ? test.serial : test.serial.skip;
const DISK_MB = 64;

interface Place {
  readonly pair: Pair;
  readonly link: Link;
  readonly disk: Disk;
  /** Takes the device number that the disk had while it is not mounted. */
  readonly other: Disk;
}

async function place(t: ExecutionContext): Promise<Place> {
  const pair = await opened(t);
  const [disk, other] = ['disk', 'other'].map((name) => {
    const made = new Disk(pair.folder(name), DISK_MB);
    t.teardown(async () => {
      await Promise.all([pair.source.stop('SIGKILL'), pair.target.stop('SIGKILL')]);
      made.close();
    });
    return made;
  }) as [Disk, Disk];
  other.unmount();
  fs.mkdirSync(path.join(disk.folder, 'deep/er'), { recursive: true });
  for (const name of ['one', 'deep/two', 'deep/er/three']) fs.writeFileSync(path.join(disk.folder, name), name);
  fs.linkSync(path.join(disk.folder, 'one'), path.join(disk.folder, 'deep/one'));
  const link = await pair.connect(disk.folder, pair.folder('target'));
  await pair.mirrored(link);
  await pair.barrier(link);
  return { pair, link, disk, other };
}

const device = (disk: Disk): number => fs.statSync(disk.folder).dev;

/** Away, and back under another number. */
function renumber({ disk, other }: Place): void {
  const before = device(disk);
  disk.unmount();
  other.mount();
  disk.mount();
  if (device(disk) === before) throw new Error('the device kept its number');
}

/** Which objects the replica is made of. */
const inodes = (link: Link): Record<string, number> =>
  Object.fromEntries(
    fs
      .readdirSync(link.target, { recursive: true })
      .map((name) => [String(name), fs.statSync(path.join(link.target, String(name))).ino]),
  );

async function untouched(t: ExecutionContext, at: Place, before: Record<string, number>): Promise<void> {
  await at.pair.barrier(at.link);
  t.deepEqual(at.pair.differences(at.link), []);
  t.deepEqual(inodes(at.link), before, 'every object there is the one that it was');
  // What moves is still seen to move.
  fs.renameSync(path.join(at.disk.folder, 'deep/er'), path.join(at.disk.folder, 'moved'));
  fs.writeFileSync(path.join(at.disk.folder, 'one'), 'changed');
  await at.pair.barrier(at.link);
  t.deepEqual(at.pair.differences(at.link), []);
  t.is(inodes(at.link)['moved'], before['deep/er']);
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const)
  run(
    `I2: a source that finds its file system on another device after ${signal} tells nothing again${why}`,
    async (t) => {
      const at = await place(t);
      // A snapshot of everything; else what was told last is told again after a kill.
      await at.pair.source.stop();
      await at.pair.source.start();
      await at.pair.barrier(at.link);
      const before = inodes(at.link);
      await at.pair.source.stop(signal);
      renumber(at);
      await at.pair.source.start();
      await untouched(t, at, before);
    },
  );

run(`I2, I11: a file system that was away comes back on another device, and nothing is told again${why}`, async (t) => {
  const at = await place(t);
  const before = inodes(at.link);
  renumber(at);
  await untouched(t, at, before);
});

// Its marks are gone with the first mount, and nothing looks different: the same numbers, the same directory.
run(`I1: a file system that is mounted anew between two looks is captured again${why}`, async (t) => {
  const { link, disk } = await place(t);
  const before = device(disk);
  disk.unmount();
  disk.mount();
  t.is(device(disk), before);
  await wait(2_000);
  const at = path.join(link.target, 'one');
  // Twice: the first may be found by the look at everything that follows.
  for (const text of ['changed', 'and once more']) {
    fs.writeFileSync(path.join(disk.folder, 'one'), text);
    for (const end = Date.now() + 20_000; fs.readFileSync(at, 'utf8') !== text && Date.now() < end; ) await wait(50);
    t.is(fs.readFileSync(at, 'utf8'), text, 'without anybody asking for a look at everything');
    await wait(1_000);
  }
});
