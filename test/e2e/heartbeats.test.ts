/** Heartbeats: a side that falls silent is noticed in the time that the settings promise, and nothing is lost by it. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { LogRead } from '../../protocol/messages/index.js';
import type { AgentProcess } from '../support/agent-process.js';
import { Namespaces } from '../support/namespaces.js';
import { opened, type Opening } from '../support/opened.js';
import type { Link, Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

const CONFIG = '[source]\nguard_percent = 0\n[heartbeat]\ninterval_s = 1\nmissed_limit = 3\n';
const OPENING: Opening = { config: CONFIG, servers: ['alpha', 'beta'] };
/** The last heartbeat is up to an interval old when the line falls silent, and a busy machine looks late. */
const EARLIEST_MS = 1_900;
const LATEST_MS = 4_500;

/** Codes of what an agent logged, oldest first. */
async function codes(agent: AgentProcess): Promise<string[]> {
  const { lines } = await agent.client.request(LogRead, {});
  return lines.map((line) => line.notice.code);
}

/** Milliseconds until the source gives the link up, and whether data queues from then on. */
async function givenUp(pair: Pair, link: Link, silent: () => void): Promise<number> {
  const began = performance.now();
  silent();
  writeFileSync(join(link.source, 'waits'), 'waits');
  await pair.until(link, 'given up', (item) => item.phase !== 'linked', 20_000);
  const ms = performance.now() - began;
  await pair.until(
    link,
    'queueing',
    ({ statistics: { transmitMode, queuedReplicationOps } }) => transmitMode === 'Error' && queuedReplicationOps > 0,
    10_000,
  );
  return ms;
}

test.serial(
  'SRV-35, SRV-36, NET-17: a target that is stopped (SIGSTOP) is given up after interval x limit; data queues, and goes on after',
  async (t) => {
    const pair = await opened(t, OPENING);
    const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
    await pair.mirrored(link);
    await wait(5_000);
    t.is((await pair.item(link)).phase, 'linked', 'quiet is not silent');
    let ms = 0;
    try {
      ms = await givenUp(pair, link, () => process.kill(pair.target.pid, 'SIGSTOP'));
      t.log(`given up after ${Math.round(ms)} ms`);
      t.true(ms > EARLIEST_MS && ms < LATEST_MS, `${ms} ms`);
      t.true((await codes(pair.source)).includes('LINK_SILENT'));
      const said = await understudy(pair, ['logs', 'alpha']);
      t.regex(said.out, /target missed 3 heartbeats, one every 1 s; transmission stopped, changes are queued/);
    } finally {
      process.kill(pair.target.pid, 'SIGCONT');
    }
    await pair.barrier(link);
    t.is(readFileSync(join(link.target, 'waits'), 'utf8'), 'waits');
    await pair.until(link, 'OK', (item) => item.statistics.targetDataState === 'OK');
  },
);

test.serial(
  'SRV-36: a pause of our own process does not count, and a change of the limit is obeyed at once',
  async (t) => {
    const pair = await opened(t, OPENING);
    const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
    await pair.mirrored(link);
    // Only the source may judge: the target hears nothing of it for as long.
    const set = await understudy(pair, ['config', 'set', 'beta', 'heartbeat.missed_limit=1000']);
    t.is(set.code, 0, set.err);
    const { connectedSince } = (await pair.item(link)).statistics;
    process.kill(pair.target.pid, 'SIGSTOP');
    process.kill(pair.source.pid, 'SIGSTOP');
    await wait(7_000);
    // It wakes up before the target does, and finds that it heard nothing for twice its limit.
    process.kill(pair.source.pid, 'SIGCONT');
    await wait(1_000);
    process.kill(pair.target.pid, 'SIGCONT');
    writeFileSync(join(link.source, 'after'), 'after');
    await pair.barrier(link);
    t.false((await codes(pair.source)).includes('LINK_SILENT'));
    t.is((await pair.item(link)).statistics.connectedSince, connectedSince, 'the same link all the time');
  },
);

test.serial('SRV-37: heartbeats are logged while that is on, on both sides, and not otherwise', async (t) => {
  const pair = await opened(t, OPENING);
  const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
  await pair.mirrored(link);
  const count = async (agent: AgentProcess): Promise<number> =>
    (await codes(agent)).filter((code) => code === 'HEARTBEAT').length;
  t.is(await count(pair.source), 0);
  for (const server of ['alpha', 'beta'])
    t.is((await understudy(pair, ['config', 'set', server, 'heartbeat.show=on'])).code, 0);
  await wait(4_000);
  t.true((await count(pair.source)) >= 3);
  t.true((await count(pair.target)) >= 3);
  process.kill(pair.target.pid, 'SIGSTOP');
  await pair.until(link, 'given up', (item) => item.phase !== 'linked', 20_000);
  process.kill(pair.target.pid, 'SIGCONT');
  t.true((await codes(pair.source)).includes('HEARTBEAT_MISSED'));
  t.is((await understudy(pair, ['config', 'set', 'alpha', 'heartbeat.show=off'])).code, 0);
  await pair.until(link, 'OK', (item) => item.statistics.targetDataState === 'OK');
  const before = await count(pair.source);
  await wait(2_500);
  t.is(await count(pair.source), before);
});

const root = process.getuid?.() === 0;
(root ? test.serial : test.serial.skip)(
  `SRV-33, SRV-36: a cable that is pulled is noticed as soon; heartbeats need no port but that of the data link${root ? '' : ' (needs root for its network)'}`,
  async (t) => {
    const net = Namespaces.open();
    t.teardown(() => net.close());
    const pair = await opened(t, {
      ...OPENING,
      places: {
        source: { namespace: net.source, host: net.sourceAddress, port: 1500 },
        target: { namespace: net.target, host: net.targetAddress, port: 1500 },
      },
    });
    const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
    await pair.mirrored(link);
    const ports = execFileSync('ip', ['netns', 'exec', net.source, 'cat', '/proc/net/tcp', '/proc/net/udp'], {
      encoding: 'latin1',
    })
      .split('\n')
      .flatMap((line) => /^\s*\d+: \S+:(\S{4}) \S+:(\S{4}) 01 /.exec(line)?.slice(2, 3) ?? [])
      .map((port) => Number.parseInt(port, 16));
    t.deepEqual(ports, [1500]);
    const cable = (state: 'up' | 'down'): void =>
      void execFileSync('ip', ['-n', net.target, 'link', 'set', 'dev', 'wire0', state]);
    const ms = await givenUp(pair, link, () => cable('down'));
    t.log(`given up after ${Math.round(ms)} ms`);
    t.true(ms > EARLIEST_MS && ms < LATEST_MS, `${ms} ms`);
    cable('up');
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);
  },
);
