/** The gate of transmission: every row of SPEC J as a script of seconds, and what must hold whatever is set. */
import test from 'ava';
import fc from 'fast-check';
import { instantOf, localTime, parseLocal, type Zone } from '../../../agentd/core/transmit/calendar.js';
import {
  bytesPerSecond,
  cleared,
  defaultSettings,
  isScheduled,
  kbpsAt,
  needsTicks,
  patched,
  startsAround,
  windowOpen,
} from '../../../agentd/core/transmit/limits.js';
import { notesOn } from '../../../agentd/core/transmit/notes.js';
import { LINKS, shownAs } from '../../../agentd/core/transmit/presets.js';
import { queueUse } from '../../../agentd/core/transmit/queue.js';
import {
  type GateFacts,
  type GateState,
  gateAsk,
  gateRearmed,
  gateStart,
  gateStep,
  manualStep,
  transmission,
} from '../../../agentd/core/transmit/step.js';
import { MANUAL_PHASE, MANUAL_TABLE, SESSION_PHASE, SESSION_TABLE } from '../../../agentd/core/transmit/table.js';
import { TransmitPatch, type TransmitSettings } from '../../../protocol/messages/transmit.js';

const UTC: Zone = { offsetMs: () => 0 };
const HOUR = 3_600_000;
/** Central Europe in 2026: an hour ahead from 29 March 01:00 UTC to 25 October 01:00 UTC. */
const EUROPE: Zone = {
  offsetMs: (at) => (at >= Date.UTC(2026, 2, 29, 1) && at < Date.UTC(2026, 9, 25, 1) ? 2 : 1) * HOUR,
};
const at = (text: string): number => Date.parse(`${text.replace(' ', 'T')}${text.length < 17 ? ':00' : ''}Z`);
const showUtc = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString().slice(0, 16));

function set(patch: TransmitPatch): TransmitSettings {
  const next = patched(defaultSettings(0), TransmitPatch.parse({ limiting: true, ...patch }));
  if ('problem' in next) throw new Error(next.problem);
  return next;
}

/** Lives through seconds; tells each change as `HH:MM:SS phase`. */
class Play {
  state: GateState;
  now: number;
  queue = { bytes: 0, percent: 0 };
  drained = false;
  budgetSpent = false;
  /** Null: nobody knows what passed but by the clock on the wall. */
  elapsedMs: number | null = null;
  readonly told: string[] = [];

  constructor(
    public settings: TransmitSettings,
    start: string,
    readonly zone: Zone = UTC,
  ) {
    this.now = at(start);
    this.state = gateStart(this.now);
  }

  get facts(): GateFacts {
    const { settings, zone, now, elapsedMs, queue, drained, budgetSpent } = this;
    return { settings, zone, now, elapsedMs, queue, drained, budgetSpent };
  }

  until(end: string, each: (play: Play) => void = () => undefined): this {
    for (; this.now <= at(end); this.now += 1000) {
      each(this);
      const [next, effects] = gateStep(this.state, this.facts);
      const clock = new Date(this.now).toISOString().slice(11, 19);
      if (next.phase !== this.state.phase) this.told.push(`${clock} ${next.phase}`);
      for (const { act } of effects) if (act === 'tell_outside') this.told.push(`${clock} outside`);
      this.state = next;
    }
    return this;
  }
}

test('TRN-01: without a schedule data is sent as soon as possible', (t) => {
  const play = new Play(defaultSettings(0), '2026-11-25 12:00').until('2026-11-25 12:05');
  t.deepEqual(play.told, []);
  t.deepEqual(transmission(play.state.phase, 'flowing'), { link: true, hold: false });
});

test('TRN-02, CON-03, CON-04: paused keeps the link, stopped closes it, both hold the data', (t) => {
  t.deepEqual(transmission('realtime', 'paused'), { link: true, hold: true });
  t.deepEqual(transmission('realtime', 'stopped'), { link: false, hold: false });
  for (const phase of MANUAL_PHASE)
    for (const fact of ['start', 'pause', 'resume', 'stop'] as const) {
      const row = MANUAL_TABLE.find((each) => each.on === fact && each.from.includes(phase));
      t.deepEqual(manualStep(phase, fact), row ? [row.to, row.act] : null, `${phase} ${fact}`);
    }
});

test('CON-05: while it waits there is no link, whatever a person wants', (t) => {
  for (const manual of MANUAL_PHASE) t.false(transmission('waiting', manual).link);
});

test('TRN-04: the master switch turns every limit off and keeps it', (t) => {
  const on = set({
    start: { at: '2026-11-25T22:00' },
    bandwidth: { kbps: 1_000 },
    window: { enabled: true, open: '21:00', close: '04:00' },
  });
  const off = patched(on, { limiting: false });
  if ('problem' in off) return t.fail();
  t.false(isScheduled(off));
  t.true(windowOpen(off, UTC, at('2026-11-25 12:00')));
  t.is(kbpsAt(off, UTC, at('2026-11-25 12:00')), null);
  t.deepEqual({ ...off, limiting: true }, on);
  t.false(defaultSettings(0).limiting);
  const play = new Play(on, '2026-11-25 21:59').until('2026-11-25 22:01');
  play.settings = off;
  play.until('2026-11-25 22:02');
  t.deepEqual(play.told, ['21:59:00 waiting', '22:00:00 session', '22:01:01 realtime']);
});

test('TRN-05: Clear takes the limits of one type, Clear All every limit', (t) => {
  const all = set({
    start: {
      at: '2026-11-25T22:00',
      interval: { every: 30, unit: 'minutes' },
      thresholdPercent: 40,
      thresholdBytes: 5,
    },
    stop: { time: { every: 1, unit: 'hours' }, bytes: 10_000_000 },
    window: { enabled: true, open: '21:00', close: '04:00' },
    bandwidth: { kbps: 500, table: [{ days: [1], from: '08:00', to: '18:00', kbps: 100 }] },
    compression: 2,
  });
  const none = defaultSettings(2);
  for (const type of ['start', 'stop', 'window', 'bandwidth'] as const)
    t.deepEqual(cleared(all, type), { ...all, [type]: none[type] });
  t.deepEqual(cleared(all, null), { ...none, limiting: true });
});

test('TRN-10: a session begins on the second of its start and ends when the queue is empty', (t) => {
  const play = new Play(set({ start: { at: '2026-11-25T22:00' } }), '2026-11-25 21:59').until(
    '2026-11-25 22:30',
    (p) => {
      p.drained = p.now >= at('2026-11-25 22:20');
    },
  );
  t.deepEqual(play.told, ['21:59:00 waiting', '22:00:00 session', '22:20:00 waiting']);
  t.is(play.state.session, null);
});

test('TRN-11: every 30 minutes from 10 p.m.; the queue is empty at 10:20, the next start is at 10:30', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00', interval: { every: 30, unit: 'minutes' } } });
  const play = new Play(settings, '2026-11-25 21:50').until('2026-11-25 23:10', (p) => {
    const minute = new Date(p.now).getUTCMinutes();
    p.drained = minute === 20 || minute === 45;
  });
  t.deepEqual(play.told, [
    '21:50:00 waiting',
    '22:00:00 session',
    '22:20:00 waiting',
    '22:30:00 session',
    '22:45:00 waiting',
    '23:00:00 session',
  ]);
});

test('TRN-11: a start that comes while a session runs begins no other one', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00', interval: { every: 30, unit: 'minutes' } } });
  const play = new Play(settings, '2026-11-25 21:59:59').until('2026-11-25 22:59:59', (p) => {
    p.drained = p.now >= at('2026-11-25 22:45');
  });
  t.deepEqual(play.told, ['21:59:59 waiting', '22:00:00 session', '22:45:00 waiting']);
});

test('TRN-12, TRN-13: a session begins when the queue holds enough', (t) => {
  for (const start of [{ thresholdPercent: 40 }, { thresholdBytes: 4_000 }]) {
    const play = new Play(set({ start }), '2026-11-25 12:00').until('2026-11-25 12:01', (p) => {
      const seconds = (p.now - at('2026-11-25 12:00')) / 1000;
      p.queue = { percent: seconds, bytes: seconds * 100 };
      p.drained = seconds >= 50;
      if (p.drained) p.queue = { percent: 0, bytes: 0 };
    });
    t.deepEqual(play.told, ['12:00:00 waiting', '12:00:40 session', '12:00:50 waiting']);
  }
});

test('TRN-14: a threshold starts nothing before the session start', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00', thresholdPercent: 40 } });
  const play = new Play(settings, '2026-11-25 21:00').until('2026-11-25 22:20', (p) => {
    p.queue = { percent: 90, bytes: 0 };
    p.drained = p.now === at('2026-11-25 22:10');
    if (p.now >= at('2026-11-25 22:10')) p.queue = { percent: p.now >= at('2026-11-25 22:15') ? 41 : 0, bytes: 0 };
  });
  t.deepEqual(play.told, ['21:00:00 waiting', '22:00:00 session', '22:10:00 waiting', '22:15:00 session']);
});

test('TRN-15: a session is no longer than its time limit; the rest waits for the next start', (t) => {
  const settings = set({
    start: { at: '2026-11-25T22:00', interval: { every: 30, unit: 'minutes' } },
    stop: { time: { every: 10, unit: 'minutes' } },
  });
  const play = new Play(settings, '2026-11-25 21:59').until('2026-11-25 22:31');
  t.deepEqual(play.told, ['21:59:00 waiting', '22:00:00 session', '22:10:00 waiting', '22:30:00 session']);
});

test('TRN-15: a time limit as long as the interval ends one session and begins the next in the same second', (t) => {
  const settings = set({
    start: { at: '2026-11-25T22:00', interval: { every: 1, unit: 'hours' } },
    stop: { time: { every: 1, unit: 'hours' } },
  });
  const play = new Play(settings, '2026-11-25 21:59:59').until('2026-11-25 23:00:01');
  t.deepEqual(play.told, ['21:59:59 waiting', '22:00:00 session']);
  t.is(play.state.session?.since, at('2026-11-25 23:00'));
});

test('TRN-16, TRN-18: threshold 10 MB and byte limit 10 MB: connects at 10 MB, sends 10 MB, disconnects', (t) => {
  const settings = set({ start: { thresholdBytes: 10_000_000 }, stop: { bytes: 10_000_000 } });
  const play = new Play(settings, '2026-11-25 12:00').until('2026-11-25 12:00:40', (p) => {
    const seconds = (p.now - at('2026-11-25 12:00')) / 1000;
    p.queue = { bytes: Math.min(seconds, 20) * 1_000_000, percent: 1 };
    if (seconds >= 15) p.queue = { bytes: 5_000_000, percent: 1 };
    p.budgetSpent = p.state.phase === 'session' && seconds >= 15;
  });
  t.deepEqual(play.told, ['12:00:00 waiting', '12:00:10 session', '12:00:15 waiting']);
  t.is(TransmitPatch.safeParse({ stop: { bytes: 1_000 } }).success, false, 'no batch would fit');
});

test('TRN-16: what the engine said of the last budget does not end the next session', (t) => {
  const settings = set({ start: { thresholdBytes: 10 }, stop: { bytes: 10_000_000 } });
  const play = new Play(settings, '2026-11-25 12:00');
  play.queue = { bytes: 20, percent: 1 };
  play.budgetSpent = true;
  play.until('2026-11-25 12:00:00');
  t.deepEqual(play.told, ['12:00:00 session']);
});

test('TRN-17: without a stop criterion a session ends only when the queue is empty', (t) => {
  const play = new Play(set({ start: { at: '2026-11-25T22:00' } }), '2026-11-25 21:59:58').until('2026-11-26 10:00');
  t.deepEqual(play.told, ['21:59:58 waiting', '22:00:00 session']);
});

test('TRN-20: window 9 p.m. to 4 a.m., start 5 a.m.: not sent', (t) => {
  const settings = set({
    start: { at: '2026-11-25T05:00', interval: { every: 1, unit: 'days' } },
    window: { enabled: true, open: '21:00', close: '04:00' },
  });
  const play = new Play(settings, '2026-11-25 04:59:58').until('2026-11-25 05:00:05');
  t.deepEqual(play.told, ['04:59:58 waiting', '05:00:00 outside']);
  t.regex(notesOn(settings, UTC, at('2026-11-25 12:00')).join(' '), /TRN-20/);
});

test('TRN-20: a window that closes ends a session, a threshold is not heard outside, a person is refused', (t) => {
  const settings = set({ start: { thresholdPercent: 10 }, window: { enabled: true, open: '22:00', close: '23:00' } });
  const play = new Play(settings, '2026-11-25 21:59').until('2026-11-25 23:10', (p) => {
    p.queue = { percent: 50, bytes: 1 };
  });
  t.deepEqual(play.told, ['21:59:00 waiting', '22:00:00 session', '23:00:00 waiting']);
  t.is(gateAsk(play.state, play.facts), null);
});

test('TRN-21: a window alone starts nothing, a person may', (t) => {
  const settings = set({ window: { enabled: true, open: '22:00', close: '23:00' } });
  t.true(isScheduled(settings));
  const play = new Play(settings, '2026-11-25 21:59').until('2026-11-25 22:30', (p) => {
    p.queue = { percent: 100, bytes: 1e9 };
  });
  t.deepEqual(play.told, ['21:59:00 waiting']);
  t.regex(notesOn(settings, UTC, play.now).join(' '), /TRN-21/);
  const asked = gateAsk(play.state, play.facts);
  t.is(asked?.[0].phase, 'session');
  t.is(asked?.[0].session?.cause, 'by hand');
});

test('a stop limit without a start criterion schedules nothing, and says so', (t) => {
  const settings = set({ stop: { time: { every: 1, unit: 'hours' } } });
  t.false(isScheduled(settings));
  t.is(notesOn(settings, UTC, 0).length, 1);
});

test('TRN-10: starts that lie before the settings do not count; those missed while nobody looked count once', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00', interval: { every: 30, unit: 'minutes' } } });
  const play = new Play(settings, '2026-11-25 22:05').until('2026-11-25 22:29:59');
  t.deepEqual(play.told, ['22:05:00 waiting']);
  play.now = at('2026-11-26 03:10'); // The agent was not running.
  play.until('2026-11-26 03:29:59', (p) => {
    p.drained = p.now === at('2026-11-26 03:12');
  });
  t.deepEqual(play.told.slice(1), ['03:10:00 session', '03:12:00 waiting']);
  play.state = gateRearmed(play.state, at('2026-11-26 04:00'));
  play.now = at('2026-11-26 04:00');
  play.until('2026-11-26 04:29:59');
  t.is(play.told.length, 3);
});

test('a clock that is put back makes no session longer and repeats no start', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00' }, stop: { time: { every: 10, unit: 'minutes' } } });
  const play = new Play(settings, '2026-11-25 21:59:50').until('2026-11-25 22:04:59');
  play.now = at('2026-11-25 22:00:00') - 40_000;
  play.until('2026-11-25 22:30');
  // Five minutes had passed, the clock then shows 21:59:20: the rest ends at 22:04:21.
  t.deepEqual(play.told, ['21:59:50 waiting', '22:00:00 session', '22:04:21 waiting']);
});

test('TRN-15: a clock that is put forward makes no session shorter, one that is put back afterwards none longer', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00' }, stop: { time: { every: 10, unit: 'minutes' } } });
  const play = new Play(settings, '2026-11-25 21:59:59');
  play.elapsedMs = 1_000;
  play.until('2026-11-25 22:04:59');
  play.now = at('2026-11-26 22:05:00');
  play.until('2026-11-26 22:06:59');
  play.now = at('2026-11-25 22:07:00');
  play.until('2026-11-25 22:30');
  t.deepEqual(play.told, ['21:59:59 waiting', '22:00:00 session', '22:10:00 waiting']);
});

test('a clock that was far ahead does not silence the schedule once it is right again', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00', interval: { every: 1, unit: 'hours' } } });
  const play = new Play(settings, '2027-11-25 12:30').until('2027-11-25 12:30:10');
  play.now = at('2026-11-25 22:30');
  play.until('2026-11-25 23:00:05');
  t.deepEqual(play.told, ['12:30:00 waiting', '23:00:00 session']);
});

test('TRN-06: every row of the session table is reached, and what is not in it changes nothing', (t) => {
  const facts = new Set(SESSION_TABLE.map((row) => row.on));
  t.is(facts.size, 10);
  const reached = new Set<string>();
  fc.assert(
    fc.property(anySettings, fc.array(anySecond, { maxLength: 60 }), (settings, seconds) => {
      let state = gateStart(at('2026-11-25 12:00'));
      let now = at('2026-11-25 12:00');
      for (const second of seconds) {
        now += second.skip * 1000;
        const before = state;
        const [next, effects] = gateStep(state, {
          ...second,
          settings: second.off ? defaultSettings(0) : settings,
          zone: EUROPE,
          now,
          elapsedMs: second.skip < 0 ? 1_000 : null,
        });
        for (const { fact } of effects) reached.add(fact);
        if (effects.length === 0) t.is(next.phase, before.phase);
        state = next;
        if (second.ask) {
          const asked = gateAsk(state, { ...second, settings, zone: EUROPE, now, elapsedMs: 0 });
          if (asked) state = asked[0];
          for (const { fact } of asked?.[1] ?? []) reached.add(fact);
        }
      }
    }),
    { numRuns: 3_000 },
  );
  for (const fact of facts) t.true(reached.has(fact), fact);
});

const anyTime = fc
  .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
  .map(([h, m]) => `${h.toString().padStart(2, '0')}:${m.toString().padStart(2, '0')}`);
const anySpan = fc.record({
  every: fc.integer({ min: 1, max: 50 }),
  unit: fc.constantFrom('minutes', 'hours', 'days'),
} as const);
const anySettings: fc.Arbitrary<TransmitSettings> = fc
  .record({
    at: fc.option(
      fc.constantFrom(
        '2026-11-25T12:00',
        '2026-11-25T12:03',
        '2026-11-25T22:00',
        '2026-03-29T02:30',
        '2026-10-25T02:30',
      ),
    ),
    interval: fc.option(anySpan),
    thresholdPercent: fc.option(fc.integer({ min: 1, max: 100 })),
    thresholdBytes: fc.option(fc.integer({ min: 1, max: 1_000 })),
    time: fc.option(anySpan),
    bytes: fc.option(fc.constant(10_000_000)),
    enabled: fc.boolean(),
    open: anyTime,
    close: anyTime,
    limiting: fc.boolean(),
  })
  .map((r) => ({
    ...defaultSettings(0),
    limiting: r.limiting,
    start: {
      at: r.at,
      interval: r.at ? r.interval : null,
      thresholdPercent: r.thresholdPercent,
      thresholdBytes: r.thresholdBytes,
    },
    stop: { time: r.time, bytes: r.bytes },
    window: { enabled: r.enabled && r.open !== r.close, open: r.open, close: r.close },
  }));
const anySecond = fc.record({
  skip: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, fc.integer({ min: -7_000, max: 90_000 })),
  queue: fc.record({ bytes: fc.integer({ min: 0, max: 2_000 }), percent: fc.integer({ min: 0, max: 100 }) }),
  drained: fc.boolean(),
  budgetSpent: fc.boolean(),
  ask: fc.boolean(),
  off: fc.boolean(),
});

test('TRN-20: whatever is set, asked and whatever the clock does, there is no link outside the window after a tick', (t) => {
  fc.assert(
    fc.property(
      anySettings,
      fc.array(anySecond, { maxLength: 60 }),
      fc.constantFrom(UTC, EUROPE),
      (settings, seconds, zone) => {
        let now = at('2026-10-24 23:00');
        let state = gateStart(now);
        for (const second of seconds) {
          now += second.skip * 1000;
          const facts = { ...second, settings, zone, now, elapsedMs: second.skip < 0 ? 1_000 : null };
          [state] = gateStep(state, facts);
          if (second.ask) state = gateAsk(state, facts)?.[0] ?? state;
          const open = windowOpen(settings, zone, now);
          if (!open) t.false(MANUAL_PHASE.some((manual) => transmission(state.phase, manual).link));
          // Real time and a schedule exclude each other, and a session is there exactly in its phase.
          t.is(state.phase === 'realtime', !isScheduled(settings));
          t.is(state.session !== null, state.phase === 'session');
          const { time } = settings.stop;
          if (state.session && time?.unit === 'minutes') t.true(now - state.session.since < time.every * 60_000);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('TRN-19: the window goes over midnight and its ends are exact', (t) => {
  const settings = set({ window: { enabled: true, open: '21:00', close: '04:00' } });
  const open = (time: string): boolean => windowOpen(settings, UTC, at(`2026-11-25 ${time}`));
  t.deepEqual(['20:59:59', '21:00:00', '23:59:59', '00:00:00', '03:59:59', '04:00:00', '12:00:00'].map(open), [
    false,
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
  const evening = set({ window: { enabled: true, open: '18:00', close: '24:00' } });
  t.true(windowOpen(evening, UTC, at('2026-11-25 23:59:59')));
  t.false(windowOpen(evening, UTC, at('2026-11-26 00:00:00')));
  t.false(defaultSettings(0).window.enabled);
});

test('TRN-10, TRN-19: clocks go forward: 02:30 does not come, and what is due then happens at 03:00', (t) => {
  t.is(showUtc(instantOf(EUROPE, parseLocal('2026-03-29T02:30') ?? 0)), '2026-03-29T01:00');
  t.is(showUtc(instantOf(EUROPE, parseLocal('2026-03-29T03:00') ?? 0)), '2026-03-29T01:00');
  t.is(showUtc(instantOf(EUROPE, parseLocal('2026-03-29T01:59') ?? 0)), '2026-03-29T00:59');
  const daily = set({ start: { at: '2026-03-28T02:30', interval: { every: 1, unit: 'days' } } });
  const starts: (string | null)[] = [];
  for (let now = at('2026-03-28 00:00'); now < at('2026-03-31 00:00'); ) {
    const { next } = startsAround(daily, EUROPE, now);
    starts.push(showUtc(next));
    now = next ?? Infinity;
  }
  t.deepEqual(starts, ['2026-03-28T01:30', '2026-03-29T01:00', '2026-03-30T00:30', '2026-03-31T00:30']);
  const window = set({ window: { enabled: true, open: '02:15', close: '03:10' } });
  const minutes = [0, 59, 60, 69, 70].map((minute) =>
    windowOpen(window, EUROPE, at('2026-03-29 00:00') + minute * 60_000),
  );
  t.deepEqual(minutes, [false, false, true, true, false]);
});

test('TRN-10, TRN-19: clocks go back: 02:30 comes twice, what is due then happens once, at its first coming', (t) => {
  t.is(showUtc(instantOf(EUROPE, parseLocal('2026-10-25T02:30') ?? 0)), '2026-10-25T00:30');
  const daily = set({ start: { at: '2026-10-24T02:30', interval: { every: 1, unit: 'days' } } });
  const play = new Play(daily, '2026-10-24 22:00', EUROPE).until('2026-10-26 02:00', (p) => {
    p.drained = new Date(p.now).getUTCMinutes() === 35;
  });
  t.deepEqual(play.told, [
    '22:00:00 waiting',
    '00:30:00 session',
    '00:35:00 waiting',
    '01:30:00 session',
    '01:35:00 waiting',
  ]);
  // An hour of a minute interval stays an hour.
  const hourly = set({ start: { at: '2026-10-25T01:00', interval: { every: 1, unit: 'hours' } } });
  t.is(showUtc(startsAround(hourly, EUROPE, at('2026-10-25 00:30')).next), '2026-10-25T01:00');
  t.is(showUtc(startsAround(hourly, EUROPE, at('2026-10-25 01:30')).next), '2026-10-25T02:00');
});

test('local time of any instant leads back to it, or to its first coming', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: at('2026-01-01 00:00') / 1000, max: at('2027-01-01 00:00') / 1000 }), (second) => {
      const now = second * 1000;
      const back = instantOf(EUROPE, now + EUROPE.offsetMs(now));
      t.true(back === now || now - back === HOUR);
      const { weekday, minute } = localTime(EUROPE, now);
      const shifted = new Date(now + EUROPE.offsetMs(now));
      t.is(weekday % 7, shifted.getUTCDay());
      t.is(minute, shifted.getUTCHours() * 60 + shifted.getUTCMinutes());
    }),
  );
  t.is(parseLocal('2026-02-30T10:00'), null);
});

test('TRN-11: for any interval the starts around a moment enclose it, and none is left out', (t) => {
  fc.assert(
    fc.property(
      anySpan,
      fc.integer({ min: 0, max: 400 * 24 * 3600 }),
      fc.constantFrom(UTC, EUROPE),
      (interval, later, zone) => {
        const settings = {
          ...defaultSettings(0),
          limiting: true,
          start: { ...defaultSettings(0).start, at: '2026-01-02T02:30', interval },
        };
        const now = at('2026-01-02 02:30') + later * 1000;
        const { last, next } = startsAround(settings, zone, now);
        t.true(last !== null && next !== null && last <= now && next > now);
        t.is(startsAround(settings, zone, (next ?? 0) - 1).last, last);
        t.is(startsAround(settings, zone, next ?? 0).last, next);
      },
    ),
  );
});

test('TRN-30, TRN-34: Mon-Fri 08-18 h 1 Mbit/s, full speed otherwise; over midnight a row belongs to the day it began', (t) => {
  const settings = set({
    bandwidth: {
      kbps: null,
      table: [
        { days: [1, 2, 3, 4, 5], from: '08:00', to: '18:00', kbps: 1_000 },
        { days: [5], from: '22:00', to: '06:00', kbps: 64 },
      ],
    },
  });
  t.true(needsTicks(settings));
  t.false(isScheduled(settings));
  const kbps = (time: string): number | null => kbpsAt(settings, UTC, at(time));
  t.is(kbps('2026-11-25 07:59:59'), null); // A Wednesday.
  t.is(kbps('2026-11-25 08:00:00'), 1_000);
  t.is(kbps('2026-11-25 17:59:59'), 1_000);
  t.is(kbps('2026-11-25 18:00:00'), null);
  t.is(kbps('2026-11-28 12:00:00'), null);
  t.is(kbps('2026-11-27 22:00:00'), 64);
  t.is(kbps('2026-11-28 05:59:59'), 64);
  t.is(kbps('2026-11-29 05:59:59'), null);
  t.is(kbps('2026-11-27 05:00:00'), null);
  const base = set({ bandwidth: { kbps: 512, table: [{ days: [7], from: '00:00', to: '24:00', kbps: null }] } });
  t.is(kbpsAt(base, UTC, at('2026-11-29 23:59:59')), null, 'Sunday without limit');
  t.is(kbpsAt(base, UTC, at('2026-11-30 00:00:00')), 512);
});

test('TRN-31: only kbit/s is stored; shown is the share of the smallest usual link that fits', (t) => {
  // 30 % of 100 Mbit/s was typed.
  t.like(shownAs(30_000), { kbps: 34_368, percent: 87 });
  t.like(shownAs(10_000), { kbps: 10_000, percent: 100, link: 'Ethernet' });
  t.like(shownAs(28), { kbps: 56, percent: 50 });
  t.like(shownAs(900_000_000), { kbps: 900_000_000, percent: 100 });
  for (const [index, link] of LINKS.entries()) t.true(link.kbps > (LINKS[index - 1]?.kbps ?? 0));
  fc.assert(
    fc.property(fc.integer({ min: 28, max: 100_000_000 }), (kbps) => {
      const { percent, kbps: capacity } = shownAs(kbps);
      t.true(capacity >= kbps && percent >= 1 && percent <= 100);
      t.false(LINKS.some((link) => link.kbps >= kbps && link.kbps < capacity));
    }),
  );
});

test('TRN-32: the smallest limit is 3500 bytes a second', (t) => {
  t.is(bytesPerSecond(28), 3_500);
  t.is(bytesPerSecond(40.008), 5_001);
  t.is(bytesPerSecond(null), 0);
  t.false(TransmitPatch.safeParse({ bandwidth: { kbps: 27.9 } }).success);
});

test('settings that cannot be are refused in words', (t) => {
  const problem = (patch: TransmitPatch): string => {
    const next = patched(defaultSettings(0), TransmitPatch.parse(patch));
    return 'problem' in next ? next.problem : '';
  };
  t.regex(problem({ start: { at: '2026-02-30T10:00' } }), /no day 2026-02-30/);
  t.regex(problem({ start: { interval: { every: 1, unit: 'days' } } }), /counts from a session start/);
  t.regex(problem({ window: { enabled: true, open: '09:00', close: '09:00' } }), /same time/);
  t.regex(problem({ bandwidth: { table: [{ days: [], from: '09:00', to: '10:00', kbps: 64 }] } }), /at least one day/);
  for (const bad of [
    { start: { at: 'tomorrow' } },
    { window: { open: '25:00' } },
    { stop: { time: { every: 0, unit: 'days' } } },
  ])
    t.false(TransmitPatch.safeParse(bad).success);
});

test('taking the session start away takes its interval along', (t) => {
  const settings = set({ start: { at: '2026-11-25T22:00', interval: { every: 1, unit: 'days' } } });
  const next = patched(settings, { start: { at: null } });
  if ('problem' in next) return t.fail(next.problem);
  t.deepEqual(next.start, defaultSettings(0).start);
});

test('TRN-12: the fullest queue counts for the percentage, all together for the bytes', (t) => {
  t.deepEqual(
    queueUse([
      { queueHeldBytes: 10, queueRoomBytes: 100 },
      { queueHeldBytes: 45, queueRoomBytes: 50 },
      { queueHeldBytes: 5, queueRoomBytes: 0 },
    ]),
    { bytes: 60, percent: 90 },
  );
  t.deepEqual(queueUse([]), { bytes: 0, percent: 0 });
});

test('every pair of session phase and fact is answered once', (t) => {
  for (const phase of SESSION_PHASE)
    for (const fact of new Set(SESSION_TABLE.map((row) => row.on)))
      t.true(SESSION_TABLE.filter((row) => row.on === fact && row.from.includes(phase)).length <= 1);
});
