/** The three kinds of mirror by what they find and what they send (MIR-40..42), and files that stay open. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LIMIT_TYPE, type MirrorOptions, MirrorStart } from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import { lackingSizes, Presence, writeSizes } from '../support/presence.js';
import { understudy } from '../support/understudy.js';

const LARGE = 4_000_000;
const BLOCK = 4_096;

interface Wanted {
  readonly checksumAll: boolean;
  readonly options: MirrorOptions;
  readonly least: number;
  readonly most: number;
  readonly repairs: readonly string[];
}

/** Two of three files are changed on the target, one so that its date tells; then a mirror of that kind runs. */
async function mirrors(t: ExecutionContext, { checksumAll, options, least, most, repairs }: Wanted): Promise<void> {
  const pair = await opened(t, {
    config: `[source]\nguard_percent = 0\nchecksum_all = ${String(checksumAll)}\n`,
  });
  const source = pair.folder('data');
  const names = ['dated', 'silent', 'same'];
  for (const name of names) {
    const bytes = Buffer.alloc(LARGE);
    for (let at = 0; at < LARGE; at += 4) bytes.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
    bytes.write(name);
    writeFileSync(join(source, name), bytes);
    utimesSync(join(source, name), 1_600_000_000, 1_600_000_000);
  }
  const link = await pair.connect(source, join(pair.root, 'copy'));
  await pair.mirrored(link);
  // A foreign hand on the target, in the middle of two files; the times of one tell nothing of it.
  for (const name of ['dated', 'silent']) {
    const file = join(link.target, name);
    const descriptor = openSync(file, 'r+');
    writeSync(descriptor, 'foreign', LARGE / 2);
    closeSync(descriptor);
    const date = name === 'silent' ? 1_600_000_000 : 1_700_000_000;
    utimesSync(file, date, date);
  }
  const before = (await pair.item(link)).statistics;
  const { id } = await pair.item(link);
  await pair.source.client.request(MirrorStart, { id, options });
  await pair.until(link, 'mirroring or done', (item) => item.statistics.sentMirrorBytes > before.sentMirrorBytes);
  await pair.mirrored(link);
  await pair.barrier(link);
  const sent = (await pair.item(link)).statistics.sentMirrorBytes - before.sentMirrorBytes;
  t.log(`sent ${sent} bytes`);
  t.true(sent >= least && sent <= most, `${sent} bytes`);
  const equal = (name: string): boolean =>
    readFileSync(join(source, name)).equals(readFileSync(join(link.target, name)));
  t.deepEqual(
    names.filter((name) => name !== 'same' && equal(name)),
    repairs,
  );
  t.is(statSync(join(link.target, 'dated')).mtimeMs, 1_600_000_000_000, 'not only newer ones count');
  t.true(equal('same'));
}

test.serial('MIR-41, SRV-55: attributes choose the files, newer or older, and only blocks that differ are sent', (t) =>
  mirrors(t, {
    checksumAll: false,
    options: { kind: 'difference', checksum: true },
    least: BLOCK,
    most: 2 * BLOCK,
    repairs: ['dated'],
  }),
);

test.serial('MIR-42, SRV-55: data of every file is compared, and only blocks that differ are sent', (t) =>
  mirrors(t, {
    checksumAll: true,
    options: { kind: 'difference', checksum: true },
    least: 2 * BLOCK,
    most: 3 * BLOCK,
    repairs: ['dated', 'silent'],
  }),
);

test.serial('MIR-40: nothing is compared, everything is sent whole', (t) =>
  mirrors(t, {
    checksumAll: true,
    options: { kind: 'full' },
    least: 3 * LARGE,
    most: 3 * LARGE + 1_000_000,
    repairs: ['dated', 'silent'],
  }),
);

test.serial(
  'REP-07: files that stay open (a database with its log, a disk image) are replicated while they are written in place',
  async (t) => {
    const pair = await opened(t);
    const source = pair.folder('data');
    const image = openSync(join(source, 'disk.img'), 'w+');
    ftruncateSync(image, 64 * 1_048_576);
    const database = openSync(join(source, 'data.db'), 'w+');
    const log = openSync(join(source, 'data.db-wal'), 'w+');
    t.teardown(() => [image, database, log].forEach(closeSync));
    writeSync(database, Buffer.alloc(1_048_576, 1), 0, 1_048_576, 0);
    const link = await pair.connect(source, join(pair.root, 'copy'));
    await pair.mirrored(link);
    for (let round = 0; round < 20; round++) {
      const page = Buffer.alloc(BLOCK, round + 2);
      writeSync(log, page, 0, BLOCK, (round % 8) * BLOCK);
      fsyncSync(log);
      writeSync(database, page, 0, BLOCK, ((round * 37) % 256) * BLOCK);
      fsyncSync(database);
      writeSync(image, page, 0, BLOCK, ((round * 911) % 16_384) * BLOCK);
      fsyncSync(image);
    }
    // Nobody has closed anything.
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
    t.true(statSync(join(link.target, 'disk.img')).blocks * 512 < 8 * 1_048_576, 'the image stays sparse');
  },
);

test.serial(
  'LOG-02: engine, verification and statistics have logs of their own in the log folder; the console asks for them',
  async (t) => {
    const pair = await opened(t, {
      config: '[source]\nguard_percent = 0\n[statistics]\ninterval_s = 1\n',
      servers: ['alpha'],
    });
    const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
    const { id } = await pair.mirrored(link);
    const run = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await understudy(pair, args);
      t.is(code, 0, err);
      return out;
    };
    await run('verify', `alpha:${id}`);
    const folder = join(pair.root, 'source-agent/state/log');
    await pair.until(link, 'written', () => existsSync(join(folder, 'statistic.sts')));
    const files = readdirSync(folder);
    t.true(
      files.some((file) => file.includes('USVerify')),
      files.join(', '),
    );
    t.true(files.includes('statistic.sts'));
    t.true(files.includes('understudy.usl'), files.join(', '));
    t.regex(await run('logs', 'alpha'), /Connection 1/);
    t.regex(await run('verify', 'log', `alpha:${id}`), /Verif/i);
  },
);

test.serial(
  'TRN-03, TRN-40: the limits are bandwidth, start, stop and window; compression is off, and what travels packed is the same at its end',
  async (t) => {
    t.deepEqual([...LIMIT_TYPE].sort(), ['bandwidth', 'start', 'stop', 'window']);
    const pair = await opened(t, { servers: ['alpha'] });
    const source = pair.folder('data');
    const link = await pair.connect(source, join(pair.root, 'copy'));
    const { id } = await pair.mirrored(link);
    const sent = async (): Promise<{ bytes: number; packed: number }> => {
      const { statistics } = await pair.item(link);
      return { bytes: statistics.sentReplicationBytes, packed: statistics.sentCompressedReplicationBytes };
    };
    const text = Buffer.from('the same words again and again. '.repeat(60_000));
    const travel = async (name: string): Promise<number> => {
      const before = await sent();
      writeFileSync(join(source, name), text);
      await pair.barrier(link);
      t.true(readFileSync(join(link.target, name)).equals(text));
      const after = await sent();
      t.true(after.bytes - before.bytes >= text.length);
      return (after.packed - before.packed) / (after.bytes - before.bytes);
    };
    t.is(await travel('plain'), 1, 'off until somebody wants it');
    for (const level of ['minimum', 'maximum']) {
      t.is((await understudy(pair, ['compression', `alpha:${id}`, level])).code, 0);
      t.true((await travel(level)) < 0.2, level);
    }
  },
);

for (const kind of ['full', 'difference'] as const)
  test.serial(`MIR-20, MIR-21, I2: a ${kind} mirror over a replica takes nothing away that is there`, async (t) => {
    const pair = await opened(t);
    const source = pair.folder('data');
    writeSizes(source);
    // Holes, in a place where the target holds bytes.
    const file = openSync(join(source, 'holes'), 'w');
    ftruncateSync(file, LARGE);
    writeSync(file, 'the end', LARGE - 7);
    closeSync(file);
    const link = await pair.connect(source, join(pair.root, 'copy'));
    await pair.mirrored(link);
    await pair.barrier(link);
    writeFileSync(join(link.target, 'holes'), Buffer.alloc(2 * LARGE, 1));
    // Their dates tell that they differ.
    for (const name of readdirSync(link.target)) utimesSync(join(link.target, name), 1_600_000_000, 1_600_000_000);
    const presence = new Presence(() => lackingSizes(link.target));
    const { id } = await pair.item(link);
    const { sentMirrorBytes } = (await pair.item(link)).statistics;
    await pair.source.client.request(MirrorStart, { id, options: { kind } });
    await pair.until(link, 'sending', (item) => item.statistics.sentMirrorBytes > sentMirrorBytes);
    await pair.mirrored(link);
    await pair.barrier(link);
    t.deepEqual(await presence.stop(), []);
    t.true(presence.looks > 100);
    t.deepEqual(pair.differences(link), []);
    t.true(statSync(join(link.target, 'holes')).blocks * 512 < LARGE, 'and the holes are holes again');
  });
