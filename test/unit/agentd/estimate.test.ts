/** Estimates: the arithmetic beside a model that is too simple to be wrong, and the driver over a fake engine. */
import test from 'ava';
import fc from 'fast-check';
import {
  addMinute,
  type Minute,
  mirrorTime,
  neededRate,
  rates,
  shiftMinutes,
  WIRE_FACTOR,
  worstLag,
} from '../../../agentd/core/estimate/estimate.js';
import { RATES_FILE } from '../../../agentd/drivers/rates.js';
import { Failure } from '../../../protocol/errors.js';
import * as m from '../../../protocol/messages/index.js';
import { formatBandwidth, readBandwidth } from '../../../tui/cli/commands/estimate.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';
import { fakePair, refused } from '../../support/fake-pair.js';

const minutesOf = (packed: readonly number[], from = 100): Minute[] =>
  packed.flatMap((one, at) => (one > 0 ? [{ minute: from + at, bytes: one * 2, packed: one }] : []));

test('EDN-50: with the bandwidth that is said to be needed no change waits longer, with a little less one does', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5_000_000 })), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 600 }),
      (packed, recoveryS) => {
        const minutes = minutesOf(packed);
        const to = 100 + packed.length - 1;
        const rate = neededRate(minutes, 100, to, recoveryS);
        if (minutes.length === 0) return rate === 0;
        // Every window of minutes has to fit into its own length and the recovery point.
        const lag = (speed: number): number => {
          let queue = 0;
          let worst = 0;
          for (const bytes of packed) {
            worst = Math.max(worst, (queue + bytes * WIRE_FACTOR) / speed);
            queue = Math.max(0, queue + bytes * WIRE_FACTOR - speed * 60);
          }
          return worst;
        };
        const mean = (packed.reduce((sum, one) => sum + one, 0) * WIRE_FACTOR) / (60 * packed.length);
        const less = rate * 0.99 - 2;
        return lag(rate) <= recoveryS && rate >= mean && (less <= 0 || lag(less) > recoveryS || less < mean);
      },
    ),
  );
  t.is(
    worstLag(minutesOf([6_000_000, 6_000_000]), 100, 101, 1_000),
    Number.POSITIVE_INFINITY,
    'the line cannot carry the mean',
  );
});

test('EDN-50: a clock that is set leaves what was counted as far behind as it was, and loses nothing of it', (t) => {
  const counted = minutesOf([60, 0, 6_000, 60]);
  const before = worstLag(counted, 100, 103, 1_000);
  for (const by of [24 * 60, -24 * 60, 0]) {
    const minutes = [...counted];
    shiftMinutes(minutes, by);
    addMinute(minutes, 104 + by, 2, 1, 60);
    t.deepEqual(
      minutes.map(({ minute }) => minute - by),
      [100, 102, 103, 104],
    );
    t.is(worstLag(minutes, 100 + by, 103 + by, 1_000), before);
  }
});

test('EDN-50: mean, busy minute and peak, empty minutes included; the first mirror shares the line with the changes', (t) => {
  const packed = [...Array(19).fill(60), 6_000];
  const found = rates(minutesOf(packed), 100, 119, 1_200);
  t.is(Math.round(found.peak), Math.round((6_000 * WIRE_FACTOR) / 60));
  t.is(found.peakMinute, 119);
  t.is(Math.round(found.busy * 100), Math.round(WIRE_FACTOR * 100));
  t.true(Math.abs(found.mean - (WIRE_FACTOR * (19 * 60 + 6_000)) / 1_200) < 1e-9);
  t.is(mirrorTime(1_000_000, 5, 0, 106_000), 10);
  t.is(mirrorTime(1_000_000, 50, 0, 106_000), 50, 'never faster than reading');
  t.is(mirrorTime(1_000_000, 5, 106_000, 106_000), null);
});

test('I8, CON-41: minutes are added up and the oldest forgotten', (t) => {
  const minutes: Minute[] = [];
  for (let minute = 0; minute < 50; minute += 1) for (let i = 0; i < 2; i += 1) addMinute(minutes, minute, 10, 5, 20);
  t.is(minutes.length, 20);
  t.deepEqual(minutes[0], { minute: 30, bytes: 20, packed: 10 });
  addMinute(minutes, 65, 1, 1, 20);
  t.is(minutes[0]?.minute, 46, 'what is older than the limit goes, however few there are');
  addMinute(minutes, 66, 0, 0, 20);
  t.is(minutes.at(-1)?.minute, 65);
});

test('EDN-50: bandwidths are read and written as people do', (t) => {
  t.is(readBandwidth('100M'), 1e8);
  t.is(readBandwidth('2.5 Gbit/s'), 2.5e9);
  t.is(readBandwidth('64kbit'), 64_000);
  for (const wrong of ['100', 'M', '1x', '0M', '-1M']) t.throws(() => readBandwidth(wrong), { instanceOf: Failure });
  t.is(formatBandwidth(1e8), '100 Mbit/s');
  t.is(formatBandwidth(2.5e9), '2.5 Gbit/s');
});

test('CON-40, CON-41: a simulated connection needs no target, is never called OK, and its counts survive a restart', async (t) => {
  const network = new FakeNetwork();
  const a = new FakeAgent('a', network).start();
  const client = await a.client();
  await client.request(m.SetSave, {
    name: 's',
    generation: null,
    rules: [{ path: '/data', include: true, recursive: true }],
  });
  const { id } = await client.request(m.ConnectionSimulate, { set: 's' });
  await until('mirrored', () => a.agent.connections.items()[0]?.statistics.targetDataState === 'Not Loaded');
  const item = a.agent.connections.items()[0];
  t.like(item, { target: m.DIAGNOSTICS, route: m.TDU, severity: 'information' });
  t.like(item?.statistics, { targetDataState: 'Not Loaded', targetStatus: 'Not Loaded', mirrorStatus: 'Idle' });
  await client.request(m.ConnectionEstimate, { id });
  a.engine.changedBytes = 6_000_000;
  const told = await client.request(m.ConnectionEstimate, {
    id,
    minutes: true,
    bandwidths: [8_000_000, 1_000],
    recoveryMs: 3_000,
  });
  t.like(told, { set: 's', files: 5, bytes: 50, mirror: { files: 5, bytes: 50, packed: 50, ms: 1 } });
  t.like(told.changes, { bytes: 6_000_000, packed: 3_000_000 });
  t.is(
    told.minutes.reduce((sum, one) => sum + one.packed, 0),
    3_000_000,
  );
  t.true(Math.abs(told.bandwidth / ((3_000_000 * WIRE_FACTOR * 8) / 3) - 1) < 0.01);
  t.is(told.bandwidths[1]?.worstMs, null);
  t.is(told.bandwidths[0]?.worstMs, Math.round(3 * WIRE_FACTOR * 1000));
  for (const [method, params] of [
    [m.Verify, { id }],
    [m.TaskRun, { id, command: ['/x'] }],
    [m.BookmarkMake, { id, options: { freezeMs: null, before: null, after: null, command: null } }],
    [m.OrphansStart, { id, preview: true }],
  ] as const)
    t.regex(
      (await refused(t, 'SIMULATED_ONLY', client.request(method as never, params as never)))?.message ?? '',
      /^Connection 1 is simulated: .* needs a target\.$/,
    );
  t.is(item?.problem?.code, 'SIMULATED', 'it protects nothing, and says so');
  await t.throwsAsync(client.request(m.ConnectionSimulate, { set: 's' }), { message: /already connected/ });
  await a.stop();
  const b = new FakeAgent('a', network, null, a.documents).start();
  t.teardown(() => b.stop());
  const again = await b.client();
  await until('restored', () => b.agent.connections.items()[0]?.phase === 'linked');
  t.is(
    (await again.request(m.ConnectionEstimate, { id: 1 })).changes.packed,
    3_000_000 + 0,
    'the fake engine counts from nothing',
  );
  await again.request(m.ConnectionRemove, { id: 1 });
  await until('forgotten', () => b.documents.saved.get(RATES_FILE)?.includes('"rates":{}') ?? false);
});

test('CON-40, EDN-50: a connection that is real has no estimate, and says what makes one', async (t) => {
  const { ca } = await fakePair(t);
  const real = await refused(t, 'NOT_SIMULATED', ca.request(m.ConnectionEstimate, { id: 1 }));
  t.regex(real?.notice.remedy ?? '', /^`understudy connect SERVER:docs diagnostics`/);
});
