/** What is replicated, byte for byte, and what is left out and said so. All cases share one pair of agents. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as m from '../../protocol/messages/index.js';
import { until } from '../support/fake-agent.js';
import { type Link, Pair } from '../support/pair.js';

const root = process.getuid?.() === 0;
const asRoot = root ? test.serial : test.serial.skip;
const needsRoot = root ? '' : ' (needs root)';
const MIB = 1 << 20;

let pair: Pair;

test.before(async (t) => {
  t.timeout(60_000);
  pair = await Pair.open();
});

test.after.always(async () => {
  await pair?.close();
});

/** A set of its own for one case. */
async function place(t: ExecutionContext, name: string, fill?: (folder: string) => void): Promise<Link> {
  t.timeout(120_000);
  const source = pair.folder(`${name}/data`);
  fill?.(source);
  const link = await pair.connect(source, join(pair.root, name, 'replica'));
  await pair.barrier(link);
  return link;
}

/** Bytes without any pattern, the same for the same seed. */
function noise(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let at = 0; at + 4 <= size; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeUInt32LE(state >>> 0, at);
  }
  return bytes;
}

function overwrite(file: string, at: number, bytes: string | Buffer): void {
  const descriptor = fs.openSync(file, 'r+');
  const data = Buffer.from(bytes);
  fs.writeSync(descriptor, data, 0, data.length, at);
  fs.closeSync(descriptor);
}

const wrong = (link: Link): string[] => pair.differences(link);
const skipped = async (): Promise<string[]> =>
  (await pair.source.client.request(m.LogRead, {})).lines
    .filter((line) => line.notice.code === 'PATH_SKIPPED')
    .map((line) => line.notice.text);

test.serial(
  'MIR-01: after the first mirror the target equals the source, with kinds, permissions, owners and times',
  async (t) => {
    const link = await place(t, 'mir01', (folder) => {
      const at = (name: string): string => join(folder, name);
      fs.mkdirSync(at('d/deep/deeper'), { recursive: true });
      fs.writeFileSync(at('d/deep/f'), 'x', { mode: 0o640 });
      fs.writeFileSync(at('empty'), '');
      fs.writeFileSync(at('large'), noise(3 * MIB + 17, 1));
      fs.writeFileSync(at('program'), '#!/bin/sh\n');
      fs.chmodSync(at('program'), 0o4755);
      fs.symlinkSync('nowhere', at('dangling'));
      fs.linkSync(at('large'), at('d/large'));
      fs.writeFileSync(at('name with \n and \x7f'), 'odd');
      fs.truncateSync(at('empty'), 0);
      fs.writeFileSync(at('sparse'), 'begin');
      fs.truncateSync(at('sparse'), 8 * MIB);
      spawnSync('mkfifo', [at('pipe')]);
      fs.chmodSync(at('d'), 0o2750);
      if (root) fs.chownSync(at('d/deep/f'), 12_345, 54_321);
      for (const name of ['d/deep/f', 'large', 'program']) fs.utimesSync(at(name), 1e9, 1_234_567_890.5);
      fs.utimesSync(at('d/deep'), 1e9, 1e9);
    });
    t.deepEqual(wrong(link), []);
    t.is(fs.lstatSync(join(link.target, 'program')).mode, 0o104755);
    t.is(fs.lstatSync(join(link.target, 'd/deep')).mtimeMs, 1e12);
    t.true(fs.lstatSync(join(link.target, 'pipe')).isFIFO());
    t.is((await pair.item(link)).quarantined, 0);
    await pair.disconnect(link);
  },
);

test.serial(
  'MIR-02, MIR-36: a replica that was brought by hand gets what differs: new files, differing blocks, and nothing else',
  async (t) => {
    t.timeout(120_000);
    const source = pair.folder('mir36/data');
    const target = join(pair.root, 'mir36/replica');
    const total = 24 * MIB;
    for (let i = 0; i < 6; i += 1) fs.writeFileSync(join(source, `f${i}`), noise(total / 6, i + 1));
    fs.mkdirSync(join(source, 'd'));
    for (let i = 0; i < 50; i += 1) fs.writeFileSync(join(source, 'd', `small${i}`), noise(2_000, i + 100));
    // By disk or tape: a copy as good as that is. Then some time passes.
    t.is(spawnSync('cp', ['-a', source, target]).status, 0);
    overwrite(join(source, 'f2'), 1_000_000, 'changed since the copy was made');
    fs.writeFileSync(join(source, 'new'), noise(100_000, 77));
    fs.rmSync(join(target, 'f5'));
    fs.writeFileSync(join(source, 'f5'), noise(50_000, 78));
    const same = fs.lstatSync(join(target, 'f0')).ino;
    const link = await pair.connect(source, target, { kind: 'difference', checksum: true });
    await pair.barrier(link);
    const first = (await pair.item(link)).statistics;
    t.deepEqual(wrong(link), []);
    t.is(fs.lstatSync(join(target, 'f0')).ino, same, 'what was there was kept');
    const changed = 4_096 + 100_000 + 50_000;
    t.true(first.sentMirrorBytes >= changed - 4_096, `sent ${first.sentMirrorBytes}`);
    t.true(first.sentMirrorBytes < changed + 100_000, `sent ${first.sentMirrorBytes} of ${total}`);
    t.true(first.skippedMirrorBytes > (total * 4) / 6, `skipped ${first.skippedMirrorBytes}`);

    // MIR-02: once more, with nothing to do.
    const { id } = await pair.item(link);
    for (const checksum of [true, false]) {
      const before = (await pair.item(link)).statistics.sentMirrorBytes;
      await pair.source.client.request(m.MirrorStart, { id, options: { kind: 'difference', checksum } });
      await pair.mirrored(link);
      await pair.barrier(link);
      const sent = (await pair.item(link)).statistics.sentMirrorBytes - before;
      t.true(sent < 30_000, `checksum ${checksum}: ${sent} bytes for nothing`);
    }
    t.deepEqual(wrong(link), []);
    await pair.disconnect(link);
  },
);

test.serial('CAP-05, REP-04: a few bytes written into a large file travel at once, and not the file', async (t) => {
  const link = await place(t, 'cap05', (folder) => fs.writeFileSync(join(folder, 'large'), noise(16 * MIB, 5)));
  // The first change may have to ask for what the target holds.
  overwrite(join(link.source, 'large'), 0, 'first');
  await pair.barrier(link);
  const before = (await pair.item(link)).statistics.sentReplicationBytes;
  const wire = (await pair.item(link)).wireBytes;
  for (const at of [5 * MIB, 9 * MIB + 1_234, 16 * MIB - 8]) overwrite(join(link.source, 'large'), at, 'changed!');
  const copy = join(link.target, 'large');
  const arrived = (): boolean => fs.readFileSync(copy).subarray(-8).toString() === 'changed!';
  await until('the change arrived without being waited for', arrived);
  await pair.barrier(link);
  t.deepEqual(wrong(link), []);
  const sent = (await pair.item(link)).statistics.sentReplicationBytes - before;
  t.true(sent >= 24 && sent < 32_000, `${sent} bytes sent for 24 changed ones`);
  const both = (await pair.item(link)).wireBytes - wire;
  t.true(both < 400_000, `${both} bytes on the wire`);
  await pair.disconnect(link);
});

test.serial(
  'REP-14: one large write is split into many operations, so that nothing else waits for all of it',
  async (t) => {
    const link = await place(t, 'rep14');
    const operations = async (): Promise<number> =>
      (await pair.target.client.request(m.GrantList, {})).grants.find((one) => one.connection === link.key)
        ?.operations ?? 0;
    const before = await operations();
    fs.writeFileSync(join(link.source, 'large'), noise(40 * MIB, 9));
    await pair.barrier(link);
    t.deepEqual(wrong(link), []);
    const made = (await operations()) - before;
    t.true(made >= 40, `${made} operations for 40 MiB written at once`);
    await pair.disconnect(link);
  },
);

test.serial(
  'TOP-12, REP-12: the replica may be read, held open and locked; changes arrive all the same (the row would wait)',
  async (t) => {
    const link = await place(t, 'top12', (folder) => {
      for (const name of ['locked', 'replaced', 'deleted']) fs.writeFileSync(join(folder, name), 'before');
    });
    const holders = ['locked', 'replaced', 'deleted'].map((name) => fs.openSync(join(link.target, name), 'r'));
    const locker = spawn('flock', ['-x', join(link.target, 'locked'), 'sh', '-c', 'echo held; cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.teardown(() => locker.stdin.end());
    await once(locker.stdout, 'data');
    fs.appendFileSync(join(link.source, 'locked'), ' and after');
    fs.writeFileSync(join(link.source, 'next'), 'replaced');
    fs.renameSync(join(link.source, 'next'), join(link.source, 'replaced'));
    fs.rmSync(join(link.source, 'deleted'));
    await pair.barrier(link);
    t.deepEqual(wrong(link), []);
    t.is(fs.readFileSync(join(link.target, 'locked'), 'utf8'), 'before and after');
    const read = holders.map((holder) => fs.readFileSync(holder, 'utf8'));
    t.deepEqual(read, ['before and after', 'before', 'before'], 'who had a file open goes on reading it');
    for (const holder of holders) fs.closeSync(holder);
    locker.stdin.end();
    await once(locker, 'exit');
    await pair.disconnect(link);
  },
);

asRoot(
  `CAP-16: a file that the target denies is tried again until it may be written, and the rest goes on${needsRoot}`,
  async (t) => {
    const link = await place(t, 'cap16', (folder) => fs.writeFileSync(join(folder, 'denied'), 'before'));
    const copy = join(link.target, 'denied');
    const denied = (on: boolean): number | null => spawnSync('chattr', [on ? '+i' : '-i', copy]).status;
    if (denied(true) !== 0) {
      t.pass('this file system knows no immutable files');
      return;
    }
    t.teardown(() => void denied(false));
    fs.writeFileSync(join(link.source, 'denied'), 'after');
    fs.writeFileSync(join(link.source, 'other'), 'goes on');
    await until('what is not denied arrives', () => fs.existsSync(join(link.target, 'other')));
    const item = await pair.until(link, 'in quarantine', ({ quarantined }) => quarantined > 0);
    t.not(item.statistics.targetDataState, 'OK', 'I3');
    t.is(fs.readFileSync(copy, 'utf8'), 'before');
    t.is(denied(false), 0);
    await pair.until(link, 'put right', ({ quarantined }) => quarantined === 0);
    await pair.barrier(link);
    t.is(fs.readFileSync(copy, 'utf8'), 'after');
    // Deleted and moved on the source: a scanner there may clean.
    fs.mkdirSync(join(link.source, 'quarantine'));
    fs.renameSync(join(link.source, 'denied'), join(link.source, 'quarantine/denied'));
    fs.rmSync(join(link.source, 'other'));
    await pair.barrier(link);
    t.deepEqual(wrong(link), []);
    await pair.disconnect(link);
  },
);

/** Makes `part` below `folder` again and again, and a file in the last of them, by steps: no call takes such paths. */
const DIG = `
  const fs = require('node:fs');
  const [folder, last] = process.argv.slice(1);
  process.chdir(folder);
  let length = folder.length;
  const limit = Number(last);
  for (;;) {
    const left = limit - length - 1;
    if (left <= 250) { fs.writeFileSync('f'.repeat(left), 'at the end'); break; }
    const part = 'd'.repeat(Math.min(200, left - 2));
    if (!fs.existsSync(part)) fs.mkdirSync(part);
    process.chdir(part);
    length += part.length + 1;
  }
`;

test.serial(
  'CAP-10: paths of 4094 characters are mirrored, replicated and verified; longer ones are skipped and logged',
  async (t) => {
    const dig = (folder: string, limit: number): void => {
      const ran = spawnSync(process.execPath, ['-e', DIG, folder, String(limit)], { encoding: 'utf8' });
      t.is(ran.status, 0, ran.stderr);
    };
    // No call of this process takes the paths of the replica, whose root is longer.
    t.teardown(() => void spawnSync('rm', ['-rf', join(pair.root, 'cap10')]));
    const link = await place(t, 'cap10', (folder) => dig(folder, 4_094));
    t.deepEqual(wrong(link), [], 'mirrored');
    const { id } = await pair.item(link);
    t.like(await pair.source.client.request(m.Verify, { id, checksum: true }), {
      different: 0,
      missing: 0,
      orphans: 0,
    });
    dig(link.source, 4_093);
    await pair.barrier(link);
    t.deepEqual(wrong(link), [], 'replicated');
    t.deepEqual(await skipped(), []);
    dig(link.source, 4_095);
    await pair.barrier(link);
    t.is(wrong(link).length, 1, 'the one file');
    t.true((await skipped()).some((text) => text.includes('ffff')));
    await pair.disconnect(link);
  },
);

test.serial('CAP-04: what the kernel shows of itself is no data: /proc and /sys are refused', async (t) => {
  for (const path of ['/proc', '/proc/self', '/sys/kernel', '/proc/cpuinfo']) {
    const save = pair.source.client.request(m.SetSave, {
      name: 'kernel',
      rules: [{ path, include: true, recursive: true }],
      generation: null,
    });
    const error = await t.throwsAsync(save, { message: /shows the state of the kernel/ });
    t.is((error as { code?: string }).code, 'ROOT_UNSUITABLE', path);
  }
});
