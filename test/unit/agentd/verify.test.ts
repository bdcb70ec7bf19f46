/** Schedules and logs of verifications: the table, the step, the text, and the driver over a fake engine. */
import test from 'ava';
import fc from 'fast-check';
import { fitting, fullText, verifyLogName } from '../../../agentd/core/verify/log.js';
import {
  NO_SCHEDULE,
  nextTime,
  restoredSchedule,
  type ScheduleState,
  scheduleStep,
} from '../../../agentd/core/verify/step.js';
import { SCHEDULE_PHASE, SCHEDULE_TABLE } from '../../../agentd/core/verify/table.js';
import { Failure } from '../../../protocol/errors.js';
import * as m from '../../../protocol/messages/index.js';
import { parseSpan, parseTime } from '../../../tui/cli/times.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import { connectAgents, fakePair } from '../../support/fake-pair.js';

const HOUR = 3_600_000;
const options = { checksum: true, remirror: false, newer: false };
const hourly: m.VerifySchedule = { start: 1_000_000, everyMs: HOUR, options };

test('VER-07, I7: the table of schedules has one answer per phase and fact, and every phase is reached', (t) => {
  const pairs = SCHEDULE_TABLE.flatMap((row) => row.from.map((from) => `${from} ${row.on}`));
  t.is(new Set(pairs).size, pairs.length);
  const reached = new Set(['off']);
  for (let size = 0; size !== reached.size; ) {
    size = reached.size;
    for (const row of SCHEDULE_TABLE) if (row.from.some((from) => reached.has(from))) reached.add(row.to);
  }
  t.deepEqual([...reached].sort(), [...SCHEDULE_PHASE].sort());
});

test('VER-07, VER-08: the next time is the first of the series that lies ahead', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e12 }),
      fc.integer({ min: 60_000, max: 1e10 }),
      fc.nat(1e12),
      (start, everyMs, now) => {
        const next = nextTime({ start, everyMs, options }, now) ?? Number.NaN;
        return next > now && (next - start) % everyMs === 0 && (next === start || next - everyMs <= now);
      },
    ),
  );
  t.is(nextTime({ start: 5, everyMs: null, options }, 4), 5);
  t.is(nextTime({ start: 5, everyMs: null, options }, 5), null, 'once is once');
});

test('VER-10: saving runs nothing, whatever the start says', (t) => {
  for (const start of [0, 999_999, 1_000_000, 5_000_000]) {
    const [state, acts] = scheduleStep(NO_SCHEDULE, { kind: 'saved', schedule: { ...hourly, start } }, 1_000_000);
    t.is(state.phase, 'waiting');
    t.deepEqual(acts, ['arm']);
    t.true((state.next ?? 0) > 1_000_000);
    t.deepEqual(scheduleStep(state, { kind: 'possible' }, 1_000_000), [state, []], 'not before its time');
  }
});

test('VER-08: a clock that was far ahead when the next time was set does not silence the schedule once it is right', (t) => {
  const walk = (state: ScheduleState, event: Parameters<typeof scheduleStep>[1], now: number): ScheduleState =>
    scheduleStep(state, event, now)[0];
  let state = walk(NO_SCHEDULE, { kind: 'saved', schedule: hourly }, 1_000_000 + 9_000 * HOUR);
  t.is(state.next, 1_000_000 + 9_001 * HOUR);
  state = walk(state, { kind: 'tick' }, 1_000_000 + HOUR / 2);
  t.like(state, { phase: 'waiting', next: 1_000_000 + HOUR });
  t.deepEqual(scheduleStep(state, { kind: 'tick' }, 1_000_000 + HOUR / 2 + 1), [state, []], 'once');
  t.is(walk(state, { kind: 'tick' }, 1_000_000 + HOUR).phase, 'due');
});

test('VER-08: due, run, again after the interval; a missed time is made up once', (t) => {
  let state: ScheduleState = NO_SCHEDULE;
  const walk = (event: Parameters<typeof scheduleStep>[1], now: number): readonly string[] => {
    const [next, acts] = scheduleStep(state, event, now);
    state = next;
    return acts;
  };
  walk({ kind: 'saved', schedule: hourly }, 0);
  t.deepEqual(walk({ kind: 'tick' }, 999_999), []);
  t.deepEqual(walk({ kind: 'tick' }, 1_000_000), ['tell_due']);
  t.deepEqual(walk({ kind: 'possible' }, 1_000_001), ['verify']);
  t.deepEqual(walk({ kind: 'tick' }, 1_000_000 + 9 * HOUR), [], 'it still runs');
  t.is(restoredSchedule(state).phase, 'due', 'killed in the middle: made again');
  t.deepEqual(walk({ kind: 'ended' }, 1_000_000 + 9 * HOUR + 1), ['arm']);
  t.is(state.next, 1_000_000 + 10 * HOUR, 'times passed meanwhile are not made up one by one');
  walk({ kind: 'tick' }, 1_000_000 + 10 * HOUR);
  walk({ kind: 'possible' }, 1_000_000 + 10 * HOUR);
  t.deepEqual(walk({ kind: 'interrupted' }, 1_000_001 + 10 * HOUR), ['tell_interrupted']);
  t.is(state.phase, 'due');
  t.deepEqual(walk({ kind: 'cleared' }, 0), ['disarm']);
  t.deepEqual(state, NO_SCHEDULE);
  walk({ kind: 'saved', schedule: { start: 10, everyMs: null, options } }, 0);
  walk({ kind: 'tick' }, 10);
  walk({ kind: 'possible' }, 10);
  t.deepEqual(walk({ kind: 'ended' }, 12), ['disarm'], 'asked for once');
  t.is(state.phase, 'off');
});

test('VER-08: a clock that is put back leaves nothing out for long, and a correction of it repeats nothing', (t) => {
  const start = 1_000_000;
  const due = start + 5 * HOUR;
  const waiting: ScheduleState = { phase: 'waiting', schedule: hourly, next: due };
  const tick = (now: number) => scheduleStep(waiting, { kind: 'tick' }, now);
  t.deepEqual(tick(due - HOUR - 30_000), [waiting, []], 'half a minute: the one before has been made');
  t.deepEqual(tick(due - 4.5 * HOUR), [{ ...waiting, next: due - 4 * HOUR }, ['arm']], 'hours');
  t.deepEqual(tick(start - HOUR), [{ ...waiting, next: start }, ['arm']], 'to before the first: that one comes again');
  const first: ScheduleState = { ...waiting, next: start };
  t.deepEqual(scheduleStep(first, { kind: 'tick' }, start - 900 * HOUR), [first, []], 'the first may be far ahead');
  t.deepEqual(tick(due + 7 * HOUR)[1], ['tell_due'], 'put forward: due at once, and once');
});

test('VER-13: a log takes whole lines up to its length, then says once that it is full', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 200 }), { maxLength: 40 }),
      fc.integer({ min: 200, max: 4_000 }),
      (texts, max) => {
        let log = '';
        for (const text of texts) {
          if (log.endsWith(fullText(max))) break;
          log += fitting([`${text}\n`], Buffer.byteLength(log), max).text;
        }
        return Buffer.byteLength(log) <= max && log.split(fullText(max)).length <= 2;
      },
    ),
  );
  t.deepEqual(fitting(['x'.repeat(100)], 0, 50), { text: '', full: true }, 'too small for even the last line');
  t.is(verifyLogName('UserData', 'USVerify.log'), 'UserData USVerify.log', 'VER-12');
  t.is(verifyLogName('a/b', 'v.log'), 'a_b v.log');
});

test('VER-07, VER-08: times and intervals are read as people type them', (t) => {
  t.is(parseSpan('30m'), 30 * 60_000);
  t.is(parseSpan('12 hours'), 12 * HOUR);
  t.is(parseSpan('7d'), 7 * 24 * HOUR);
  for (const bad of ['0h', '12', '1w', '-1h', 'h']) t.throws(() => parseSpan(bad), { instanceOf: Failure }, bad);
  const now = new Date(2026, 10, 25, 12, 30).getTime();
  t.is(parseTime('now', now), now);
  t.is(parseTime('22:15', now), new Date(2026, 10, 25, 22, 15).getTime());
  t.is(parseTime('12:30', now), new Date(2026, 10, 26, 12, 30).getTime(), 'the next one');
  t.is(parseTime('9:05 AM', now), new Date(2026, 10, 26, 9, 5).getTime());
  t.is(parseTime('1:00 pm', now), new Date(2026, 10, 25, 13).getTime());
  t.is(parseTime('2026-12-31 22:00', now), new Date(2026, 11, 31, 22).getTime());
  t.is(parseTime('2026-12-31', now), new Date(2026, 11, 31).getTime());
  for (const bad of ['25:00', 'tomorrow', '12:61', '2026-13-01'])
    t.throws(() => parseTime(bad, now), { instanceOf: Failure }, bad);
});

const LOG = 'docs USVerify.log';
const verified = (agent: FakeAgent): number => agent.engine.calls.filter((call) => call.startsWith('verify ')).length;

test('VER-12, VER-17, VER-18: the log has begin, each difference with both states before, totals and end', async (t) => {
  const { a, ca } = await fakePair(t);
  const result = await ca.request(m.Verify, { id: 1, checksum: true, remirror: true });
  t.like(result, { different: 1, resent: 1 });
  t.deepEqual(result.differences, [
    {
      what: 'different',
      path: '/f',
      source: { bytes: 12, modified: 1000 },
      target: { bytes: 10, modified: 900 },
      blocksDiffer: 1,
      blocks: 3,
    },
  ]);
  const lines = (a.verifyLogs.texts.get(LOG) ?? '').split('\n');
  t.regex(
    lines[0] ?? '',
    /^--- Verification begins .*: set "docs", connection 1 to beta .*asked for by tester; .*what differs is sent/,
  );
  t.regex(lines[1] ?? '', /^different \/f: source 12 bytes of .*, target 10 bytes of .*; 1 of 3 blocks differ$/);
  t.regex(lines[2] ?? '', /^Totals: 5 files and 50 bytes compared; 1 different, 0 missing .*; 1 sent again$/);
  t.regex(lines[3] ?? '', /^--- Verification ends .*: source and target differ\.$/);
  const log = await ca.request(m.VerifyLogRead, { id: 1 });
  t.is(log.text, a.verifyLogs.texts.get(LOG) ?? 'none');
  t.like(await ca.request(m.VerifyShow, { id: 1 }), {
    phase: 'off',
    last: { asked: 'tester', result: { different: 1 } },
  });
});

test('VER-14: with append off each run begins a new log', async (t) => {
  const { a, ca } = await fakePair(t);
  const runs = (): number => (a.verifyLogs.texts.get(LOG) ?? '').split('Verification begins').length - 1;
  await ca.request(m.Verify, { id: 1 });
  await ca.request(m.Verify, { id: 1 });
  t.is(runs(), 2);
  await ca.request(m.SettingsSet, { changes: [{ key: 'verify.append', value: 'false' }] });
  await ca.request(m.Verify, { id: 1 });
  t.is(runs(), 1);
});

test('VER-16, SRV-73: the settings of a source apply to all its connections, at once', async (t) => {
  const pair = await fakePair(t);
  const { a, ca } = pair;
  await connectAgents(pair, { set: 'mail', source: '/mail', target: '/replica of mail' });
  await until('mirrored', () => a.log().filter((code) => code === 'MIRROR_DONE').length === 2);
  const both = async (): Promise<void> => {
    for (const id of [1, 2]) await ca.request(m.Verify, { id });
  };
  await both();
  t.deepEqual([...a.verifyLogs.texts.keys()].sort(), ['docs USVerify.log', 'mail USVerify.log']);
  await ca.request(m.SettingsSet, {
    changes: [
      { key: 'verify.file', value: 'nightly.log' },
      { key: 'verify.append', value: 'false' },
    ],
  });
  await both();
  await both();
  for (const log of ['docs nightly.log', 'mail nightly.log'])
    t.is((a.verifyLogs.texts.get(log) ?? '').split('Verification begins').length - 1, 1, log);
});

test('VER-13: a full log takes no line more, and that is said', async (t) => {
  const { a, ca } = await fakePair(t);
  await ca.request(m.SettingsSet, { changes: [{ key: 'verify.length', value: '4096' }] });
  while (!a.log().includes('VERIFY_LOG_FULL')) await ca.request(m.Verify, { id: 1 });
  const full = a.verifyLogs.texts.get(LOG) ?? '';
  t.true(Buffer.byteLength(full) <= 4096 && full.endsWith(fullText(4096)));
  await ca.request(m.Verify, { id: 1 });
  t.is(a.verifyLogs.texts.get(LOG), full);
});

test('VER-02: no verification while a mirror runs, and a mirror ends the one that runs', async (t) => {
  const { a, ca } = await fakePair(t);
  a.engine.instant = false;
  const running = ca.request(m.Verify, { id: 1 });
  await until('verifying', () => verified(a) === 1);
  await t.throwsAsync(ca.request(m.Verify, { id: 1 }), { instanceOf: Failure, message: /verifying already/ });
  await ca.request(m.MirrorStart, { id: 1, options: { kind: 'full' } });
  await t.throwsAsync(running, { instanceOf: Failure, message: /started again/ });
  await t.throwsAsync(ca.request(m.Verify, { id: 1 }), { instanceOf: Failure, message: /while it is mirroring/ });
  t.regex(a.verifyLogs.texts.get(LOG) ?? '', /ends .* without a result: started again/);
});

test('VER-05: only what is newer is a choice of what to send', async (t) => {
  const { a, ca } = await fakePair(t);
  await t.throwsAsync(ca.request(m.Verify, { id: 1, newer: true }), { instanceOf: Failure, message: /needs remirror/ });
  await ca.request(m.Verify, { id: 1, newer: true, remirror: true });
  t.true(a.log().includes('NEWER_ONLY'), 'MIR-10: the risk is told');
});

test('VER-07..10: a schedule is kept over a kill; what became due meanwhile runs once, after the link is up', async (t) => {
  const { a, ca } = await fakePair(t);
  const soon = Date.now() + 1_500;
  const plan = await ca.request(m.VerifyScheduleSet, { id: 1, schedule: { start: soon, everyMs: HOUR, options } });
  t.like(plan, { phase: 'waiting', next: soon });
  t.is(verified(a), 0, 'VER-10');
  a.kill();
  await until('its time', () => Date.now() > soon);
  const again = new FakeAgent('alpha', a.network, null, a.documents, a.port).start();
  t.teardown(() => again.stop());
  await until('verified', () => again.log().includes('VERIFY_DIFFERENT'));
  const client = await again.client();
  const after = await client.request(m.VerifyShow, { id: 1 });
  t.like(after, { phase: 'waiting', next: soon + HOUR, last: { asked: 'the schedule' } });
  t.is(verified(again), 1);
  t.like(await client.request(m.VerifyScheduleSet, { id: 1, schedule: null }), {
    phase: 'off',
    schedule: null,
    next: null,
  });
  await t.throwsAsync(client.request(m.VerifyScheduleSet, { id: 1, schedule: { start: 5, everyMs: null, options } }), {
    instanceOf: Failure,
    message: /would never run/,
  });
});

test('VER-02: a scheduled verification waits for the end of a mirror, and is made again when it was cut off', async (t) => {
  const { a, ca } = await fakePair(t);
  a.engine.instant = false;
  await ca.request(m.MirrorStart, { id: 1, options: { kind: 'full' } });
  await ca.request(m.VerifyScheduleSet, { id: 1, schedule: { start: Date.now() + 1_500, everyMs: HOUR, options } });
  await until('due', () => a.log().includes('VERIFY_DUE'));
  t.is(verified(a), 0);
  const handle = [...a.engine.connections.keys()][0] ?? -1;
  a.engine.mirrorDone(handle);
  await until('verifying', () => verified(a) === 1);
  a.engine.breakLink(handle);
  await until('interrupted', () => a.log().includes('VERIFY_INTERRUPTED'));
  a.engine.instant = true;
  await until('verified after all', () => a.log().includes('VERIFY_DIFFERENT'));
  t.is((await ca.request(m.VerifyShow, { id: 1 })).phase, 'waiting');
});
