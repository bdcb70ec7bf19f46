/** Settings that the engine obeys at once: what it is told, and what people hear of it. */
import test, { type ExecutionContext } from 'ava';
import { freshMs } from '../../../agentd/core/connection/heartbeat.js';
import { isAddress } from '../../../agentd/core/settings/field.js';
import { Failure } from '../../../protocol/errors.js';
import * as m from '../../../protocol/messages/index.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';
import { connect } from '../../support/introduce.js';

async function agent(t: ExecutionContext, name = 'alpha', network = new FakeNetwork(), file: unknown = null) {
  const made = new FakeAgent(name, network, file);
  made.outside = { memoryBytes: 4_000_000_000 };
  made.start();
  t.teardown(() => made.stop());
  const client = await made.client();
  const set = (...changes: [string, string][]): Promise<unknown> =>
    client.request(m.SettingsSet, { changes: changes.map(([key, value]) => ({ key, value })) });
  return { made, client, set };
}

test('SRV-30, SRV-35..38, SRV-50, SRV-53, SRV-56, SRV-57: the engine is told at the start, and again at each change', async (t) => {
  const { made, set } = await agent(t);
  t.deepEqual(made.engine.tuning, {
    heartbeatMs: 3_000,
    heartbeatsMissedMax: 20,
    showHeartbeats: false,
    localAddress: '',
    windowBytes: 0,
    mirrorPendingMax: 1_000,
    replicationRatio: 5,
    mirrorHighBytes: 800_000_000,
    mirrorLowBytes: 400_000_000,
  });
  await set(
    ['heartbeat.interval_s', '0'],
    ['heartbeat.missed_limit', '7'],
    ['heartbeat.show', 'on'],
    ['network.address', 'fd00::7'],
    ['network.window', '375000'],
    ['source.mirror_pending', '50'],
    ['source.replication_ratio', '9'],
    ['target.mirror_high_percent', '50'],
    ['target.mirror_low_percent', '0'],
  );
  t.deepEqual(made.engine.tuning, {
    heartbeatMs: 0,
    heartbeatsMissedMax: 7,
    showHeartbeats: true,
    localAddress: 'fd00::7',
    windowBytes: 375_000,
    mirrorPendingMax: 50,
    replicationRatio: 9,
    mirrorHighBytes: 2_000_000_000,
    mirrorLowBytes: 0,
  });
  const told = made.engine.tuning;
  await set(['connection.stall_s', '30']);
  t.is(made.engine.tuning, told, 'others do not concern it');
});

test('QUE-12, QUE-13: the low mark has to be below the high one, and the error says which and what to do', async (t) => {
  const { set, made } = await agent(t);
  const refused = async (...changes: [string, string][]): Promise<string> =>
    ((await t.throwsAsync(set(...changes), { instanceOf: Failure })) as Failure).message;
  t.regex(
    await refused(['target.mirror_low_percent', '20']),
    /target.mirror_low_percent \(20\) must be below target.mirror_high_percent \(20\).*Set both at once/,
  );
  t.regex(await refused(['target.mirror_high_percent', '5']), /must be below/);
  t.is(made.engine.tuning?.mirrorHighBytes, 800_000_000, 'nothing was changed');
  await set(['target.mirror_high_percent', '5'], ['target.mirror_low_percent', '4']);
  t.is(made.engine.tuning?.mirrorLowBytes, 160_000_000);
});

test('SRV-38: a window that is too small is refused, and one the kernel does not grant is told', async (t) => {
  const { set, made } = await agent(t);
  const error = await t.throwsAsync(set(['network.window', '100']), { instanceOf: Failure });
  t.regex(error?.message ?? '', /network.window must be 0, for the kernel to tune it, or at least 4096 \(SRV-38\)/);
  made.engine.windowBytesMax = 212_992;
  await set(['network.window', '212992']);
  t.false(made.log().includes('WINDOW_LIMITED'));
  await set(['network.window', '375000']);
  t.true(made.log().includes('WINDOW_LIMITED'));
});

test('SRV-30: an address is one by number; anything else is refused in words', async (t) => {
  for (const good of [
    '10.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1%eth0',
    '2001:db8::1:2',
    '1:2:3:4:5:6:7:8',
    '::ffff:10.0.0.1',
  ])
    t.true(isAddress(good), good);
  for (const bad of [
    '',
    'host',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.01.2',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'g::1',
    '::1%',
    '::1%a%b',
    '10.0.0.1%eth0',
    '10.0.0.1::',
  ])
    t.false(isAddress(bad), bad);
  const { set } = await agent(t);
  const error = await t.throwsAsync(set(['network.address', 'eth0']), { instanceOf: Failure });
  t.regex(error?.message ?? '', /network.address must be an IPv4 or IPv6 address of this server, or empty \(SRV-30\)/);
});

test('SRV-35: what counts as fresh follows the time between heartbeats', (t) => {
  t.is(freshMs({ 'heartbeat.interval_s': 3 }), 10_000);
  t.is(freshMs({ 'heartbeat.interval_s': 1 }), 4_000);
  t.is(freshMs({ 'heartbeat.interval_s': 60 }), 181_000);
  t.is(freshMs({ 'heartbeat.interval_s': 0 }), 10_000, 'without any, only what just came proves something (I3)');
});

test('QUE-12, QUE-13, STA-09, SRV-56: a mirror that its target has paused waits, says why, and the target says so, too', async (t) => {
  const network = new FakeNetwork();
  const a = await agent(t, 'alpha', network);
  const b = await agent(t, 'beta', network);
  a.made.engine.instant = false;
  await connect(a.client, b.client, {
    set: 'docs',
    source: '/data',
    target: '/replica',
    host: '127.0.0.1',
    port: b.made.port,
    mirror: { kind: 'full' },
  });
  const item = async (): Promise<m.ConnectionItem | undefined> =>
    (await a.client.request(m.ConnectionList, {})).connections[0];
  const status = async (): Promise<string | undefined> => (await item())?.statistics.mirrorStatus;
  for (let at = 0; (await status()) !== 'Mirroring' && at < 500; at++) await new Promise(setImmediate);
  t.is(await status(), 'Mirroring');
  const [handle = -1] = a.made.engine.connections.keys();
  a.made.engine.mirrorHeld = true;
  a.made.engine.tell({ kind: 'mirror_held', connection: handle });
  b.made.engine.tell({ kind: 'mirror_memory', held: true, bytes: 900_000_000 });
  t.is(await status(), 'Waiting');
  t.like((await item())?.problem ?? {}, { code: 'MIRROR_HELD', severity: 'information' });
  a.made.engine.mirrorHeld = false;
  a.made.engine.tell({ kind: 'mirror_released', connection: handle });
  b.made.engine.tell({ kind: 'mirror_memory', held: false, bytes: 300_000_000 });
  t.is(await status(), 'Mirroring');
  t.is((await item())?.problem, null);
  a.made.engine.mirrorDone(handle);
  await until('mirrored', () => a.made.log().includes('MIRROR_DONE'));
  t.deepEqual(
    a.made.log().filter((code) => code.startsWith('MIRROR_')),
    ['MIRROR_STARTED', 'MIRROR_HELD', 'MIRROR_RELEASED', 'MIRROR_DONE'],
  );
  t.deepEqual(
    b.made.log().filter((code) => code.startsWith('MIRROR_')),
    ['MIRROR_MEMORY_HIGH', 'MIRROR_MEMORY_LOW'],
  );
});
