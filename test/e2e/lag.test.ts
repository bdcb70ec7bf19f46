/** How far a replica is behind, told with a link and without (GLO-29, P24, P26). */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type * as m from '../../protocol/messages/index.js';
import { Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

async function open(t: ExecutionContext): Promise<Pair> {
  t.timeout(180_000);
  const pair = await Pair.open({ config: '[source]\nguard_percent = 0\n' });
  t.teardown(async () => {
    if (!t.passed) t.log(pair.source.log(), pair.target.log());
    await pair.close();
  });
  await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
  return pair;
}

const caughtUp = (item: m.ConnectionItem): boolean => item.latencyMs === 0 && item.lagBytes === 0;
const sample = (page: string, name: string): number => {
  const value = new RegExp(`^${name}\\{[^}]*\\} ([0-9.e+]+)$`, 'm').exec(page)?.[1];
  return value === undefined ? Number.NaN : Number(value);
};

test.serial(
  'P24, P26: without a link the lag grows while something waits, is shown everywhere, and falls to 0',
  async (t) => {
    const pair = await open(t);
    const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
    await pair.mirrored(link);
    await pair.barrier(link);
    await pair.until(link, 'caught up and OK', (it) => caughtUp(it) && it.statistics.targetDataState === 'OK');
    await pair.target.stop('SIGKILL');
    const quiet = await pair.until(link, 'the link is down', (it) => it.phase !== 'linked');
    t.is(quiet.latencyMs, 0, 'a quiet source is behind nothing');
    t.is(sample((await understudy(pair, ['metrics', 'alpha'])).out, 'understudy_set_lag_seconds'), 0);

    writeFileSync(join(link.source, 'waits'), Buffer.alloc(200_000, 1));
    const wrote = Date.now();
    const first = await pair.until(link, 'it waits', (it) => it.latencyMs > 0 && (it.lagBytes ?? 0) >= 200_000);
    const later = await pair.until(link, 'it grows', (it) => it.latencyMs > first.latencyMs + 2_000);
    t.true(later.latencyMs >= Date.now() - wrote - 3_000, 'no younger than it is');
    t.true(Math.abs((later.recoveryPoint ?? 0) - wrote) <= 3_000, 'the recovery point stays');
    t.not(later.statistics.targetDataState, 'OK');

    const { out } = await understudy(pair, ['status', `alpha:${later.id}`]);
    t.regex(out, /Behind\s+[0-9.]+ s; (at least )?[0-9,]+ bytes are not applied/);
    t.regex(out, /Recovery point\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/);
    const json = JSON.parse((await understudy(pair, ['status', `alpha:${later.id}`, '--json'])).out);
    t.true(json.connection.latencyMs > 0 && json.connection.lagBytes >= 200_000);
    const page = (await understudy(pair, ['metrics', 'alpha'])).out;
    t.true(sample(page, 'understudy_set_lag_seconds') > 2);
    t.true(sample(page, 'understudy_set_lag_bytes') >= 200_000);
    t.is(sample(page, 'understudy_set_recovery_point'), 1);

    await pair.target.start();
    await pair.until(link, 'it falls', (it) => caughtUp(it) && it.statistics.targetDataState === 'OK');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
  },
);

const root = process.getuid?.() === 0;
(root ? test.serial : test.serial.skip)(
  `I3, P26: a frozen file system of the target stops the applier, not the link: OK ends within seconds${root ? '' : ' (needs root for a loop mount)'}`,
  async (t) => {
    const pair = await open(t);
    const image = join(pair.root, 'image');
    const disk = pair.folder('disk');
    execFileSync('truncate', ['-s', '64M', image]);
    execFileSync('mkfs.ext4', ['-q', '-F', image]);
    execFileSync('mount', ['-o', 'loop', image, disk]);
    t.teardown(() => execFileSync('umount', ['-l', disk]));
    const link = await pair.connect(pair.folder('data'), join(disk, 'copy'));
    await pair.mirrored(link);
    await pair.until(link, 'OK', (it) => it.statistics.targetDataState === 'OK');
    execFileSync('fsfreeze', ['-f', disk]);
    try {
      writeFileSync(join(link.source, 'waits'), 'waits');
      const item = await pair.until(link, 'not OK', (it) => it.statistics.targetDataState !== 'OK');
      t.is(item.phase, 'linked');
      const old = await pair.until(link, 'old', (it) => (it.heartbeatMs ?? 0) > 10_000);
      t.true(old.latencyMs > 5_000 && old.quietMs < 10_000, 'the link answers, the applier does not');
      t.not(old.statistics.targetDataState, 'OK');
    } finally {
      execFileSync('fsfreeze', ['-u', disk]);
    }
    await pair.until(link, 'it goes on', (it) => caughtUp(it) && it.statistics.targetDataState === 'OK');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
  },
);
