/** Movement of a connection with a link: slow, on purpose, or stalled. */
import test from 'ava';
import fc from 'fast-check';
import { type Marks, STALL_START, type StallState, stallCause, stallStep } from '../../../agentd/core/stall/step.js';
import { STALL_TABLE, type StallAct } from '../../../agentd/core/stall/table.js';
import { notice, noticeText } from '../../../protocol/errors.js';
import { STALL_CAUSE } from '../../../protocol/messages/connection.js';

const AT: Marks = {
  sequence: 10,
  applied: 8,
  queuedOps: 3,
  unappliedMs: 500,
  quietMs: 200,
  sentBytes: 1_000,
  skippedMirrorBytes: 0,
  mirrorFilesDone: 0,
  wireBytes: 9_000,
  targetQueuedBytes: 700,
  targetRetrying: false,
  capturing: true,
};

/** Looks every 2 s with a limit of 20 s. */
class Watch {
  state: StallState = STALL_START;
  now = 1_000_000;
  told: StallAct[] = [];

  look(marks: Marks | null, errno: string | null = null, limitMs = 20_000): this {
    this.now += 2_000;
    const [next, acts] = stallStep(this.state, { marks, errno, limitMs, freshMs: 10_000, elapsedMs: 2_000 }, this.now);
    this.state = next;
    this.told.push(...acts.filter((act) => act !== 'touch'));
    return this;
  }

  looks(count: number, marks: (look: number) => Marks | null): this {
    for (let look = 0; look < count; look++) this.look(marks(look));
    return this;
  }
}

test('I3, P28: work that waits for longer than the limit while nothing is applied is a stall, told once', (t) => {
  const watch = new Watch().looks(11, () => AT);
  t.is(watch.state.phase, 'stalled');
  t.is(watch.state.since, 1_002_000, 'since it was seen standing first');
  watch.looks(500, () => AT);
  t.deepEqual(watch.told, ['tell_stalled']);
  watch.look({ ...AT, applied: 9 });
  t.deepEqual(watch.told, ['tell_stalled', 'tell_moves']);
  t.like(watch.state, { phase: 'moving', cause: null, since: null });
});

test('I3, P28: what has nothing to do, moves slowly, or waits on purpose, is never a stall', (t) => {
  const idle = { ...AT, applied: 10, queuedOps: 0, unappliedMs: 0, targetQueuedBytes: 0 };
  t.deepEqual(new Watch().looks(100, () => idle).told, [], 'idle');
  t.deepEqual(new Watch().looks(100, () => null).told, [], 'paused, scheduled, or without a link');
  t.deepEqual(new Watch().looks(100, (n) => ({ ...AT, applied: 8 + n })).told, [], 'applied');
  t.deepEqual(
    new Watch().looks(100, (n) => ({ ...AT, wireBytes: n * 7_000 })).told,
    [],
    'a large batch at the slowest rate',
  );
  t.deepEqual(
    new Watch().looks(100, (n) => ({ ...AT, mirrorFilesDone: n })).told,
    [],
    'a mirror that finds files equal',
  );
  const off = new Watch();
  for (let n = 0; n < 100; n++) off.look(AT, null, 0);
  t.deepEqual(off.told, [], 'switched off');
});

test('I3, P28: a source that still looks at everything is no excuse for a target that applies nothing', (t) => {
  const first = { ...AT, capturing: false };
  t.like(new Watch().looks(12, () => ({ ...first, quietMs: 11_000 })).state, {
    phase: 'stalled',
    cause: 'target_silent',
  });
  t.like(new Watch().looks(12, () => first).state, { phase: 'stalled', cause: 'apply_blocked' });
  const nothing = { ...first, applied: 10, targetQueuedBytes: 0 };
  t.deepEqual(new Watch().looks(100, () => nothing).told, [], 'that look may take its time');
});

test('I3, P28: a silent target moves nothing, however much of ours the system still takes', (t) => {
  const watch = new Watch().looks(12, (n) => ({ ...AT, quietMs: 11_000 + n, wireBytes: n * 100_000, sentBytes: n }));
  t.like(watch.state, { phase: 'stalled', cause: 'target_silent' });
  watch.look(null);
  t.like(watch.state, { phase: 'moving', cause: null });
  t.deepEqual(watch.told, ['tell_stalled'], 'the end of the link is told in its own words');
});

test('I3, P28: each cause that can be told apart has its words; a new cause is told anew', (t) => {
  const causes = {
    source_blocked: stallCause({ ...AT, applied: 10 }, null, 10_000),
    target_silent: stallCause({ ...AT, quietMs: 10_001 }, null, 10_000),
    target_full: stallCause({ ...AT, targetRetrying: true }, 'ENOSPC', 10_000),
    target_retrying: stallCause({ ...AT, targetRetrying: true }, 'EIO', 10_000),
    apply_blocked: stallCause(AT, null, 10_000),
    network_blocked: stallCause({ ...AT, targetQueuedBytes: 0 }, null, 10_000),
  };
  t.deepEqual(Object.keys(causes).sort(), [...STALL_CAUSE].sort());
  const texts = new Set<string>();
  for (const [wanted, cause] of Object.entries(causes)) {
    t.is(cause, wanted as typeof cause);
    const said = notice('CONNECTION_STALLED', { id: 1, set: 's', target: 'beta', cause, seconds: 20, path: '/p' });
    texts.add(noticeText(said));
  }
  t.is(texts.size, STALL_CAUSE.length);
  const watch = new Watch().looks(12, () => AT).look({ ...AT, targetRetrying: true }, 'ENOSPC');
  t.like(watch.state, { phase: 'stalled', cause: 'target_full' });
  t.deepEqual(watch.told, ['tell_stalled', 'tell_stalled']);
});

test('I7: whatever is looked at, a stall has a cause and a time, and nothing else has', (t) => {
  const marks = fc.record({
    sequence: fc.nat(3),
    applied: fc.nat(3),
    queuedOps: fc.nat(1),
    unappliedMs: fc.integer({ min: -1, max: 1 }),
    quietMs: fc.constantFrom(-1, 0, 60_000),
    sentBytes: fc.nat(1),
    skippedMirrorBytes: fc.constant(0),
    mirrorFilesDone: fc.constant(0),
    wireBytes: fc.nat(9_000),
    targetQueuedBytes: fc.nat(1),
    targetRetrying: fc.boolean(),
    capturing: fc.boolean(),
  });
  const reached = new Set<string>();
  fc.assert(
    fc.property(fc.array(fc.option(marks), { maxLength: 60 }), fc.nat(20_000), (looks, limitMs) => {
      const watch = new Watch();
      for (const look of looks) {
        const before = watch.state.phase;
        watch.look(look, null, limitMs);
        if (before !== watch.state.phase) reached.add(`${before} ${watch.state.phase}`);
        const stalled = watch.state.phase === 'stalled';
        if (stalled !== (watch.state.cause !== null) || stalled !== (watch.state.since !== null)) return false;
        if (stalled && watch.state.stillMs < limitMs) return false;
      }
      return true;
    }),
    { numRuns: 2_000 },
  );
  for (const row of STALL_TABLE)
    for (const from of row.from) if (from !== row.to) t.true(reached.has(`${from} ${row.to}`), `${from} ${row.on}`);
});
