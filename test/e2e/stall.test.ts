/** A link that is up while nothing moves: seen, named, told and over by itself. */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import * as m from '../../protocol/messages/index.js';
import { opened, type Opening } from '../support/opened.js';
import { understudy } from '../support/understudy.js';

const CONFIG = '[source]\nguard_percent = 0\n[connection]\nstall_s = 6\n';

const OPENING: Opening = { config: CONFIG, servers: ['alpha'] };

const stalled = (cause: m.StallCause) => (item: m.ConnectionItem) => item.stall?.cause === cause;

test.serial('I3, P28: a target that is stopped (SIGSTOP) is called silent, and goes on by itself', async (t) => {
  const pair = await opened(t, OPENING);
  const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
  await pair.mirrored(link);
  process.kill(pair.target.pid, 'SIGSTOP');
  try {
    writeFileSync(join(link.source, 'new'), 'waits');
    const item = await pair.until(link, 'stalled', (it) => it.stall !== null && it.stall !== undefined);
    t.is(item.phase, 'linked', 'the link itself is still up');
    t.not(item.statistics.targetDataState, 'OK');
    t.is(item.severity, 'warning');
    // Below ten seconds of silence it might as well be the way there; then it is known.
    const silent = await pair.until(link, 'silent', stalled('target_silent'));
    t.regex(silent.problem?.text ?? '', /nothing has moved for 6 s; the agent of target does not answer/);
    const shown = await understudy(pair, ['status', `alpha:${silent.id}`]);
    t.regex(shown.out, /Stalled\s+since .*\(target_silent\)/);
    t.regex(shown.out, /whether understudyd on target runs/);
    t.regex((await understudy(pair, ['metrics', 'alpha'])).out, /understudy_set_stalled\{[^}]*\} 1/);
    t.not((await understudy(pair, ['health', 'alpha'])).code, 0);
  } finally {
    process.kill(pair.target.pid, 'SIGCONT');
  }
  await pair.barrier(link);
  t.is(readFileSync(join(link.target, 'new'), 'utf8'), 'waits');
  const after = await pair.until(link, 'OK', (item) => item.statistics.targetDataState === 'OK');
  t.is(after.stall, null);
  t.is(after.problem, null);
  const story = (await pair.source.client.request(m.LogRead, {})).lines.map((line) => line.notice.code);
  const [held, moves] = [story.indexOf('CONNECTION_STALLED'), story.indexOf('CONNECTION_MOVES')];
  t.true(held >= 0 && held < moves, story.join(' '));
});

const root = process.getuid?.() === 0;
(root ? test.serial : test.serial.skip)(
  `I3, P28, REP-10: a full disk of the target is named as such, with the path${root ? '' : ' (needs root for its small file system)'}`,
  async (t) => {
    const pair = await opened(t, OPENING);
    const disk = pair.folder('disk');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'understudy-stall', disk]);
    t.teardown(() => execFileSync('umount', ['-l', disk]));
    // Beside the replica: what is removed inside of it would change the time of its root.
    const inTheWay = join(disk, 'in the way');
    const link = await pair.connect(pair.folder('data'), pair.folder(join('disk', 'copy')));
    await pair.mirrored(link);
    writeFileSync(inTheWay, Buffer.alloc(1_500_000, 1));
    writeFileSync(join(link.source, 'large'), Buffer.alloc(1_200_000, 2));
    const full = await pair.until(link, 'full', stalled('target_full'));
    t.like(full.problem?.cause ?? {}, { errno: 'ENOSPC' });
    t.regex(full.problem?.text ?? '', /a disk of target is full \(.*large\)/);
    t.is(full.statistics.targetStatus, 'Retrying');
    rmSync(inTheWay);
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
    await pair.until(link, 'moving again', (item) => item.stall === null && item.problem === null);
  },
);
