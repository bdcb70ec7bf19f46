/** Transmission in the drivers of two agents over a fake engine. */
import test, { type ExecutionContext } from 'ava';
import type { Client } from '../../../protocol/client.js';
import { Failure } from '../../../protocol/errors.js';
import * as m from '../../../protocol/messages/index.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import { fakeAgents, connectAgents, said, told } from '../../support/fake-pair.js';

interface Stage {
  readonly a: FakeAgent;
  readonly ca: Client;
  /** Connects one more set through a host name; the connection's ID. */
  more(host: string): Promise<number>;
  item(id: number): Promise<m.ConnectionItem>;
}

async function stage(t: ExecutionContext, file: unknown = null): Promise<Stage> {
  const agents = await fakeAgents(t, { files: [file, null] });
  const { a, ca } = agents;
  let sets = 0;
  const more = async (host: string): Promise<number> => {
    sets += 1;
    const done = a.log().filter((code) => code === 'MIRROR_DONE').length;
    const { key } = await connectAgents(agents, {
      set: `set ${sets}`,
      source: `/data${sets}`,
      target: `/replica${sets}`,
      host,
    });
    const { connections } = await ca.request(m.ConnectionList, {});
    const made = connections.find((one) => one.key === key);
    if (!made) throw new Error('no connection');
    if (made.statistics.transmitMode !== 'Scheduled')
      await until('mirrored', () => a.log().filter((code) => code === 'MIRROR_DONE').length > done);
    return made.id;
  };
  const item = async (id: number): Promise<m.ConnectionItem> => {
    const { connections } = await (await a.client()).request(m.ConnectionList, {});
    const found = connections.find((one) => one.id === id);
    if (!found) throw new Error(`no connection ${id}`);
    return found;
  };
  return { a, ca, more, item };
}

async function untilMode(it: Stage, id: number, mode: m.TransmitMode): Promise<m.ConnectionItem> {
  const end = Date.now() + 10_000;
  for (;;) {
    const item = await it.item(id);
    if (item.statistics.transmitMode === mode) return item;
    if (Date.now() > end) throw new Error(`connection ${id} is ${item.statistics.transmitMode}, not ${mode}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('TRN-07, TRN-35, TRN-42, CON-34: connections to one address share everything, another address has its own', async (t) => {
  const it = await stage(t);
  const [one, two, other] = [await it.more('127.0.0.1'), await it.more('127.0.0.1'), await it.more('localhost')];
  const set = await it.ca.request(m.TransmitSet, {
    id: one,
    patch: { limiting: true, bandwidth: { kbps: 1_000 }, compression: 2 },
  });
  t.deepEqual(set.connections, [one, two]);
  t.is(set.bytesPerSecond, 125_000);
  t.deepEqual((await it.ca.request(m.TransmitShow, { id: two })).settings, set.settings);
  const theirs = await it.ca.request(m.TransmitShow, { id: other });
  t.like(theirs, { bytesPerSecond: 0, connections: [other] });
  t.is(theirs.settings.compression, 0);
  t.deepEqual(
    it.a.engine.calls.filter((call) => /^(limit|compression) [1-9]/.test(call)),
    ['compression 2', 'compression 2', 'limit 125000'],
  );
  t.true(it.a.log().includes('BANDWIDTH_SET') && it.a.log().includes('COMPRESSION_SET'));
});

test('SRV-65, TRN-07: settings, a stop and a running session survive a restart; a new stream gets rate and budget', async (t) => {
  const it = await stage(t);
  const id = await it.more('127.0.0.1');
  await it.ca.request(m.TransmitSet, {
    id,
    patch: { limiting: true, start: { thresholdBytes: 500 }, stop: { bytes: 10_000_000 }, bandwidth: { kbps: 64 } },
  });
  await untilMode(it, id, 'Scheduled');
  it.a.engine.queueHeldBytes = 600;
  await untilMode(it, id, 'Started');
  it.a.engine.sessionBytes = 4_000_000;
  await until('counted', () => JSON.stringify(it.a.documents.load('schedule.sts')).includes('"sent":4000000'));
  await it.ca.request(m.TransmitStop, { id });
  it.a.kill();
  const again = new FakeAgent('alpha', it.a.network, null, it.a.documents, it.a.port).start();
  t.teardown(() => again.stop());
  await until('opened', () => again.engine.calls.includes('budget 6000000'));
  t.true(again.engine.calls.includes('connectionOpen held'));
  t.true(again.engine.calls.includes('limit 8000'));
  const client = await again.client();
  const [item] = (await client.request(m.ConnectionList, {})).connections;
  t.like(item?.statistics, { transmitMode: 'Stopped', commitMode: 'Scheduled' });
  await client.request(m.TransmitStart, { id: 1 });
  await until('linked', () => again.log().includes('LINK_UP'));
});

test('TRN-42: compression of connections made by an older agent is taken over, and travels no longer with them', async (t) => {
  const it = await stage(t);
  await it.more('127.0.0.1');
  it.a.kill();
  const stored = it.a.documents.load('connect.sts') as { connections: Record<string, unknown>[] };
  t.false('compression' in (stored.connections[0] ?? {}));
  const old = {
    ...stored,
    connections: stored.connections.map((one) => ({ ...one, compression: 3, transmit: undefined })),
  };
  await it.a.documents.save('connect.sts', old);
  it.a.documents.saved.delete('schedule.sts');
  const again = new FakeAgent('alpha', it.a.network, null, it.a.documents, it.a.port).start();
  t.teardown(() => again.stop());
  await until('opened', () => again.engine.connections.size === 1);
  t.is([...again.engine.connections.values()][0]?.options.compression, 3);
});

test('TRN-02: what is not possible now is refused with what to do', async (t) => {
  const it = await stage(t);
  const id = await it.more('127.0.0.1');
  const refused = async (method: typeof m.TransmitStart): Promise<string> => {
    const error = await t.throwsAsync(it.ca.request(method, { id }), { instanceOf: Failure });
    t.is(error.code, 'TRANSMIT_NOT_NOW');
    return error.notice.remedy;
  };
  t.regex(await refused(m.TransmitStart), /not stopped/);
  await refused(m.TransmitResume);
  await it.ca.request(m.TransmitPause, { id });
  await untilMode(it, id, 'Paused');
  await refused(m.TransmitPause);
  await it.ca.request(m.TransmitStop, { id });
  const stopped = await untilMode(it, id, 'Stopped');
  t.like(stopped, { phase: 'held', problem: null });
  t.is(stopped.statistics.connectedSince, null);
  t.regex(await refused(m.TransmitPause), /transmit start/);
  await refused(m.TransmitStop);
  const error = await t.throwsAsync(it.ca.request(m.ConnectionReconnect, { id }), { instanceOf: Failure });
  t.regex(error.notice.remedy, /transmit start/);
  await it.ca.request(m.TransmitStart, { id });
  await untilMode(it, id, 'Started');
});

test('TRN-12, TRN-17, TRN-22: a session by threshold goes Scheduled, Started, Scheduled, and a mirror that waits begins in it', async (t) => {
  const it = await stage(t);
  const first = await it.more('127.0.0.1');
  await it.ca.request(m.TransmitSet, { id: first, patch: { limiting: true, start: { thresholdPercent: 40 } } });
  await untilMode(it, first, 'Scheduled');
  const second = await it.more('127.0.0.1');
  const waiting = await untilMode(it, second, 'Scheduled');
  t.is(
    waiting.severity === 'error',
    waiting.statistics.targetDataState === 'Mirror Required' && waiting.problem !== null,
  );
  it.a.engine.queueHeldBytes = 400_000;
  await untilMode(it, first, 'Started');
  await untilMode(it, second, 'Started');
  it.a.engine.queueHeldBytes = 0;
  await untilMode(it, first, 'Scheduled');
  await untilMode(it, second, 'Scheduled');
  t.is(it.a.log().filter((code) => code === 'MIRROR_DONE').length, 2, 'the new one was mirrored before it ended');
  t.false(it.a.log().includes('LINK_DOWN'));
});

test('TRN-02, TRN-20: by hand a session begins while scheduled, not while the window is closed', async (t) => {
  const it = await stage(t);
  const id = await it.more('127.0.0.1');
  const hour = (after: number): string => `${((new Date().getUTCHours() + after) % 24).toString().padStart(2, '0')}:00`;
  await it.ca.request(m.TransmitSet, {
    id,
    patch: { limiting: true, window: { enabled: true, open: hour(2), close: hour(4) } },
  });
  await untilMode(it, id, 'Scheduled');
  const error = await t.throwsAsync(it.ca.request(m.TransmitStart, { id }), { instanceOf: Failure });
  t.is(error.code, 'TRANSMIT_WINDOW_CLOSED');
  it.a.engine.queueHeldBytes = 1;
  await it.ca.request(m.TransmitSet, { id, patch: { window: { open: hour(0), close: hour(2) } } });
  const state = await it.ca.request(m.TransmitStart, { id }).then(() => it.ca.request(m.TransmitShow, { id }));
  t.is(state.session?.cause, 'by hand');
  await untilMode(it, id, 'Started');
  // Limiting off: real time again, without a break of the link.
  const links = it.a.log().filter((code) => code === 'LINK_UP').length;
  await it.ca.request(m.TransmitSet, { id, patch: { limiting: false } });
  t.like((await it.item(id)).statistics, { transmitMode: 'Started', commitMode: 'Real-time' });
  t.is(it.a.log().filter((code) => code === 'LINK_UP').length, links);
});

test('TRN-16: a spent budget ends the session at the next second', async (t) => {
  const it = await stage(t);
  const id = await it.more('127.0.0.1');
  await it.ca.request(m.TransmitSet, {
    id,
    patch: { limiting: true, start: { thresholdBytes: 10_000_000 }, stop: { bytes: 10_000_000 } },
  });
  await untilMode(it, id, 'Scheduled');
  it.a.engine.queueHeldBytes = 10_000_000;
  await untilMode(it, id, 'Started');
  t.true(it.a.engine.calls.includes('budget 10000000'));
  it.a.engine.queueHeldBytes = 3_000_000;
  it.a.engine.sessionBytes = 9_500_000;
  it.a.engine.budgetSpent = true;
  const ended = await untilMode(it, id, 'Scheduled');
  t.is(ended.statistics.connectedSince, null);
  t.is(ended.statistics.queuedOps, 1, 'the rest stays queued');
});

test('TRN-06: an idle agent without schedule is not asked each second', async (t) => {
  const it = await stage(t);
  const id = await it.more('127.0.0.1');
  await it.ca.request(m.TransmitSet, { id, patch: { limiting: true, bandwidth: { kbps: 64 } } });
  const tenSeconds = async (): Promise<number> => {
    const before = it.a.engine.looks;
    await new Promise((resolve) => setTimeout(resolve, 200)); // Ten seconds of the agent.
    return it.a.engine.looks - before;
  };
  // Two connections, each looked at every five seconds for a stall (I3).
  const idle = await tenSeconds();
  t.true(idle <= 6, `${idle} looks`);
  await it.ca.request(m.TransmitSet, { id, patch: { start: { thresholdPercent: 99 } } });
  const asked = await tenSeconds();
  t.true(asked > 2 * idle, `${asked} looks`);
});

test('TRN-05: clearing is by type or everything; wrong settings are refused and change nothing', async (t) => {
  const it = await stage(t);
  const id = await it.more('127.0.0.1');
  const patch: m.TransmitPatch = { limiting: true, bandwidth: { kbps: 64 }, stop: { bytes: 10_000_000 } };
  await it.ca.request(m.TransmitSet, { id, patch });
  const error = await t.throwsAsync(
    it.ca.request(m.TransmitSet, { id, patch: { bandwidth: { kbps: 99 }, start: { at: '2026-02-30T10:00' } } }),
    { instanceOf: Failure },
  );
  t.is(error.code, 'TRANSMIT_INVALID');
  t.is((await it.ca.request(m.TransmitShow, { id })).settings.bandwidth.kbps, 64);
  const stop = await it.ca.request(m.TransmitClear, { id, type: 'stop' });
  t.is(stop.settings.stop.bytes, null);
  t.is(stop.settings.bandwidth.kbps, 64);
  const all = await it.ca.request(m.TransmitClear, { id });
  t.is(all.settings.bandwidth.kbps, null);
  t.true(it.a.engine.calls.includes('limit 0'));
});

test('TRN-02, TRN-20, TRN-21, TRN-22: what a person does, and what the schedule does, is told', async (t) => {
  const it = await stage(t);
  const id = await it.more('127.0.0.1');
  for (const [method, code, words] of [
    [m.TransmitPause, 'TRANSMIT_PAUSED', 'transmission paused; data is queued'],
    [m.TransmitResume, 'TRANSMIT_RESUMED', 'transmission resumed'],
    [m.TransmitStop, 'TRANSMIT_STOPPED', 'transmission stopped; the link is closed, data is held in the source queue'],
    [m.TransmitStart, 'TRANSMIT_STARTED', 'transmission started'],
  ] as const) {
    await it.ca.request(method, { id });
    t.is(await told(it.a, code), `Connection 1: ${words}.`);
  }
  await it.ca.request(m.TransmitSet, { id, patch: { limiting: true, start: { thresholdBytes: 500 } } });
  t.is(await told(it.a, 'TRANSMIT_SET'), 'Transmission limits to 127.0.0.1 changed; they count for connection 1.');
  t.regex(await told(it.a, 'TRANSMIT_SCHEDULED'), /^Transmission to 127\.0\.0\.1 is scheduled: /);
  // A window that is closed now, whenever that is, and a start that falls outside of it.
  const clock = (hours: number): string => `${String((new Date().getHours() + hours) % 24).padStart(2, '0')}:00`;
  const soon = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000 + 1_500).toISOString().slice(0, 19);
  const window = { enabled: true, open: clock(2), close: clock(4) };
  await it.ca.request(m.TransmitSet, { id, patch: { window, start: { at: soon } } });
  t.is(
    await told(it.a, 'SESSION_OUTSIDE_WINDOW'),
    'A session start to 127.0.0.1 was passed over: the transmission window is closed (TRN-20).',
  );
  t.is(
    said(it.a, 'SESSION_OUTSIDE_WINDOW')[0]?.remedy,
    `The window opens at ${clock(2)}; give a session start inside it.`,
  );
  await it.ca.request(m.TransmitClear, { id });
  t.regex(await told(it.a, 'TRANSMIT_REALTIME'), /^Transmission to 127\.0\.0\.1 is not scheduled any more; /);
});
