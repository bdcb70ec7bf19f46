import test from 'ava';
import fc from 'fast-check';
import { backoffMs } from '../../../agentd/core/backoff.js';
import { type LinkState, linkStart, linkStep } from '../../../agentd/core/connection/step.js';
import { LINK_TABLE, type LinkFact } from '../../../agentd/core/connection/table.js';
import type { Row } from '../../../agentd/core/machine.js';
import { type MirrorState, mirrorCall, mirrorStep, mirrorText } from '../../../agentd/core/mirror/step.js';
import { MIRROR_TABLE, type MirrorFact, type MirrorPhase } from '../../../agentd/core/mirror/table.js';
import { SOURCE_TABLE } from '../../../agentd/core/source/table.js';
import { STALL_PHASE, STALL_TABLE } from '../../../agentd/core/stall/table.js';
import { MANUAL_PHASE, MANUAL_TABLE, SESSION_PHASE, SESSION_TABLE } from '../../../agentd/core/transmit/table.js';
import { LINK_REFUSED_RETRY_MS, LINK_RETRY_MS_MAX, LINK_RETRY_MS_MIN } from '../../../protocol/limits.js';
import { CONNECTION_PHASE } from '../../../protocol/messages/connection.js';
import { SET_STATE } from '../../../protocol/messages/set.js';

const MIRROR_PHASES: readonly MirrorPhase[] = ['idle', 'wanted', 'starting', 'mirroring', 'paused'];

function wellFormed(
  t: {
    is: (a: unknown, b: unknown, m?: string) => void;
    true: (a: boolean, m?: string) => void;
    regex: (a: string, b: RegExp) => void;
  },
  table: readonly Row<string, string, string>[],
  phases: readonly string[],
  first: string,
): void {
  const pairs = table.flatMap((row) => row.from.map((from) => `${from} ${row.on}`));
  t.is(new Set(pairs).size, pairs.length, 'one answer per phase and fact');
  for (const row of table) {
    t.regex(row.why, /\S/);
    for (const phase of [...row.from, row.to]) t.true(phases.includes(phase), phase);
  }
  const reached = new Set([first]);
  for (let size = 0; size !== reached.size; ) {
    size = reached.size;
    for (const row of table) if (row.from.some((from) => reached.has(from))) reached.add(row.to);
  }
  for (const phase of phases) t.true(reached.has(phase), `${phase} is reached`);
}

test('I7: the tables give one answer per phase and fact, and every phase is reached', (t) => {
  wellFormed(t, LINK_TABLE, CONNECTION_PHASE, 'opening');
  wellFormed(t, MIRROR_TABLE, MIRROR_PHASES, 'idle');
  wellFormed(t, SOURCE_TABLE, SET_STATE, 'idle');
  wellFormed(t, STALL_TABLE, STALL_PHASE, 'moving');
  wellFormed(t, MANUAL_TABLE, MANUAL_PHASE, 'flowing');
  wellFormed(t, SESSION_TABLE, SESSION_PHASE, 'realtime');
});

const LINK_FACTS: readonly LinkFact[] = [
  'source_ready',
  'source_ready_held',
  'source_gone',
  'link_up',
  'link_down',
  'link_refused',
  'retry_due',
  'hold',
  'release',
  'removed',
];

test('CON-02..06: every row of the link table, and every pair that is not in it, is answered', (t) => {
  for (const phase of CONNECTION_PHASE) {
    for (const fact of LINK_FACTS) {
      const state: LinkState = { phase, since: 1, failures: 2 };
      const [next, effects] = linkStep(state, fact, 5, 0.5);
      const row = LINK_TABLE.find((one) => one.on === fact && one.from.includes(phase));
      if (!row) {
        t.is(next, state, `${phase} ${fact} changes nothing`);
        t.deepEqual(effects, []);
        continue;
      }
      t.is(next.phase, row.to);
      t.deepEqual(
        effects.map((effect) => effect.act),
        row.act as never,
      );
      t.is(next.since, row.to === phase ? 1 : 5);
    }
  }
});

test('a link that does not come up is tried again, ever more seldom, within its bounds (I8)', (t) => {
  let state = linkStart(0);
  const waits: number[] = [];
  [state] = linkStep(state, 'source_ready', 0, 0);
  for (let i = 0; i < 12; i += 1) {
    let effects: readonly { act: string; inMs: number }[];
    [state, effects] = linkStep(state, 'link_down', 0, 0.999);
    waits.push(effects.find((effect) => effect.act === 'retry_soon')?.inMs ?? -1);
    [state] = linkStep(state, 'retry_due', 0, 0.999);
  }
  t.true(waits.every((wait, i) => i === 0 || wait >= (waits[i - 1] ?? 0)));
  t.true((waits[0] ?? 0) <= LINK_RETRY_MS_MIN && (waits[11] ?? 0) <= LINK_RETRY_MS_MAX);
  [state] = linkStep(state, 'link_up', 0, 0);
  t.is(state.failures, 0);
});

test('a refused link is tried again seldom, and the end of the refused link is not told twice', (t) => {
  let state: LinkState = { phase: 'linking', since: 0, failures: 0 };
  const [refused, effects] = linkStep(state, 'link_refused', 1, 0.5);
  t.deepEqual(
    effects.map((effect) => effect.act),
    ['tell_refused', 'retry_seldom'],
  );
  t.true((effects[1]?.inMs ?? 0) <= LINK_REFUSED_RETRY_MS);
  const [after, silent] = linkStep(refused, 'link_down', 2, 0.5);
  t.is(after.phase, 'refused');
  t.deepEqual(silent, []);
  [state] = linkStep(after, 'retry_due', 3, 0.5);
  t.is(state.phase, 'linking');
});

test('backoff stays between half and the whole of the doubled wait', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999999, noNaN: true }),
      (failures, random) => {
        const wait = backoffMs({ minMs: 100, maxMs: 5_000 }, failures, random);
        const whole = Math.min(5_000, 100 * 2 ** Math.min(30, failures - 1));
        t.true(wait >= Math.floor(whole / 2) && wait <= whole);
      },
    ),
  );
});

const MIRROR_FACTS: readonly MirrorFact[] = [
  'asked',
  'link_ready',
  'started',
  'done',
  'stopped',
  'broken_repair',
  'broken_wait',
  'stream_closed',
  'pause',
  'resume',
  'stop',
];

test('MIR-05..08: every pair of mirror phase and fact is answered or refused', (t) => {
  for (const phase of MIRROR_PHASES) {
    for (const fact of MIRROR_FACTS) {
      const row = MIRROR_TABLE.find((one) => one.on === fact && one.from.includes(phase));
      const state: MirrorState = { phase, complete: true, options: { kind: 'full' } };
      const stepped = mirrorStep(state, fact, { kind: 'difference', checksum: true });
      if (!row) {
        t.is(stepped, null, `${phase} ${fact}`);
        continue;
      }
      t.is(stepped?.[0].phase, row.to);
      t.deepEqual(stepped?.[1], row.act);
    }
  }
});

test('MIR-04: a replica is complete only after a mirror that ended, and never while one is wanted after a gap', (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...MIRROR_FACTS), { maxLength: 40 }), (facts) => {
      let state: MirrorState = { phase: 'idle', complete: false, options: null };
      for (const fact of facts) {
        const stepped = mirrorStep(state, fact, { kind: 'full' });
        if (!stepped) continue;
        const before = state;
        [state] = stepped;
        if (state.complete && !before.complete) t.is(fact, 'done');
        if (['broken_repair', 'broken_wait', 'stopped', 'stop', 'stream_closed'].includes(fact))
          t.false(state.complete, fact);
        if (state.phase === 'idle') t.is(state.options, null);
        else t.truthy(state.options);
      }
    }),
  );
});

test('MIR-20..25: options as the engine takes them', (t) => {
  t.deepEqual(mirrorCall({ kind: 'full' }, true), { compare: 'none', newer: false, all: false });
  t.deepEqual(mirrorCall({ kind: 'difference' }, true), { compare: 'attributes', newer: false, all: false });
  t.deepEqual(mirrorCall({ kind: 'difference', newer: true }, true), {
    compare: 'attributes',
    newer: true,
    all: false,
  });
  t.deepEqual(mirrorCall({ kind: 'difference', checksum: true }, false), {
    compare: 'content',
    newer: false,
    all: false,
  });
  t.deepEqual(mirrorCall({ kind: 'difference', checksum: true }, true), {
    compare: 'content',
    newer: false,
    all: true,
  });
  t.deepEqual(mirrorCall({ kind: 'difference', checksum: true, newer: true }, true), {
    compare: 'content',
    newer: true,
    all: false,
  });
  t.is(mirrorText({ kind: 'difference', checksum: true, newer: true }), 'differences with checksum only if newer');
  t.is(mirrorText({ kind: 'difference' }), 'differences with no checksum');
});
