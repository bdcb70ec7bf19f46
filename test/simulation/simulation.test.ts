/** The whole fleet under faults, from seeds. `SEED=n` repeats one run and prints what happened. */
import { availableParallelism } from 'node:os';
import test from 'ava';
import type { Mutants, Seen } from './machine.js';
import { runMany, story } from './many.js';
import { simulate } from './run.js';

const seed = process.env['SEED'];
/** A project is built on two cores at least. */
const THREADS = Math.min(2, availableParallelism());
/** How many runs, and how long they may take where the machine is busy. */
const SEEDS = Number(process.env['SEEDS'] ?? 10_000);
const PATIENCE_MS = 1_800_000;
/** Some mutants show in one run of three hundred; and which one that is changes with whatever takes a chance. */
const MUTANT_SEEDS = 3_000;

/** What the model has to do now and then, or its checkers look at nothing. */
const SEEN: readonly Seen[] = [
  'duplicate',
  'spilled',
  'behind',
  'exhausted',
  'queue resumed',
  'queue dropped',
  'queue damaged',
  'power repair',
  'refusal again',
];

if (seed === undefined) {
  test('I1, I2, I3, I8: whatever fails, what was acknowledged stays, OK is true, and all ends well', async (t) => {
    t.timeout(PATIENCE_MS);
    const all = await runMany(1, SEEDS, THREADS, () => undefined);
    if (all.first) t.log(story(all.first));
    t.is(all.failed, 0, all.first ? `seed ${all.first.seed}: ${all.first.failure}` : '');
    // The runs are worth something only where they meet what they are for.
    if (SEEDS < 1_000) return;
    for (const [name, times] of all.faults) t.true(times > SEEDS / 20, `${name} happened ${times} times`);
    for (const what of SEEN) t.true((all.seen.get(what) ?? 0) > SEEDS / 500, `${what}: in ${all.seen.get(what)} runs`);
    for (const word of ['OK', 'Mirroring', 'Mirror Required', 'Not Ready', 'Unknown', 'Busy'])
      t.true(
        [...all.states].some((state) => state.startsWith(`${word}/`)),
        `${word} was seen`,
      );
  });
} else {
  test(`I3: seed ${seed}`, async (t) => {
    t.timeout(PATIENCE_MS);
    const outcome = await simulate({ seed: Number(seed), trace: true });
    t.log(story(outcome));
    t.is(outcome.failure, null);
  });
}

/** Seeds that found something, with the faults that it takes (without any: those of the seed): what it was. */
const KEPT: readonly (readonly [string, number, (readonly string[])?])[] = [
  [
    'MIR-32, I3: a mirror that was begun on a full state disk and cut off by a stop is not forgotten',
    124,
    ['disk_full', 'operator', 'restart', 'kill_source', 'slow_target', 'replica_full'],
  ],
  ['MIR-32, I3: a queue that is exhausted while a mirror is wanted is not forgotten', 229_040],
  ['REP-20: a task does not take the stop of a mirror for its end', 278_610],
  ['STA-26: a link that is given up before it was heard of leaves nothing behind', 297_184],
  ['VER-08: a clock that is put back leaves out no verification for long', 1, ['clock', 'verify_schedule']],
  ['VER-08: nor where several connections have a schedule', 89, ['clock', 'verify_schedule']],
];

for (const [what, at, faults] of KEPT)
  test(`${what} (seed ${at})`, async (t) => {
    t.timeout(PATIENCE_MS);
    t.is((await simulate({ seed: at, ...(faults ? { faults } : {}) })).failure, null);
  });

/** What each mutant is, the faults that bring it out, and what a checker has to say of it. */
const MUTANTS: readonly (readonly [string, Mutants, readonly string[], RegExp])[] = [
  ['drops a batch it acknowledges', { dropAcknowledged: true }, ['barrier', 'burst'], /^I[23]/],
  ['calls durable what is only applied', { durableTooEarly: true }, ['power_target', 'barrier'], /^I[23]|no progress/],
  ['leaves paths in doubt alone', { noRepair: true }, ['power_target', 'kill_source', 'barrier'], /^I[23]|no progress/],
  ['does not tell that events were lost', { silentLoss: true }, ['capture_loss'], /^I3|no progress/],
  ['measures latency by the wall clock', { wallLatency: true }, ['clock', 'slow_target', 'replica_full'], /^I3/],
  [
    'does not count changes that wait untold',
    { streamLatency: true },
    ['slow_target', 'replica_full', 'cut', 'burst'],
    /^I3/,
  ],
  ['knows no lag without a link', { linkedLag: true }, ['cut', 'kill_target', 'burst'], /^I3, P26/],
  ['repairs without saying so', { hiddenRepair: true }, ['power_target', 'kill_source', 'slow_target'], /^I3/],
  [
    'writes state files in place',
    { tornFiles: true },
    ['kill_source', 'kill_target', 'operator'],
    /STATE_INVALID|not JSON/,
  ],
  [
    'goes on with a queue and forgets what it told before',
    { forgetsTouched: true },
    ['restart', 'power_target', 'slow_target', 'burst', 'barrier'],
    /^I[123]/,
  ],
  ['forgets which tasks it began', { lostJournal: true }, ['task', 'kill_target', 'power_target'], /^REP-20/],
  ['calls a mirror done that is only sent', { mirrorDoneEarly: true }, ['operator', 'slow_target', 'removal'], /^I3/],
  [
    'tells a target that lost its power what it had told it',
    { powerUnseen: true },
    ['power_target', 'answers_lost', 'burst', 'barrier'],
    /^I1/,
  ],
  [
    'passes over what is damaged in its queue',
    { skipsDamage: true },
    ['queue_damage', 'cut', 'burst', 'silence', 'slow_target'],
    /^I[23]/,
  ],
  [
    'forgets what a full queue does not take',
    { fullForgets: true },
    ['burst', 'cut', 'slow_target', 'silence'],
    /^I[23]|no progress/,
  ],
  [
    'knows no lag of what a full queue does not take',
    { fullIsCurrent: true },
    ['burst', 'cut', 'slow_target', 'silence'],
    /^I3|no progress/,
  ],
  ['knows no maximum of its queue on disk', { noDiskLimit: true }, ['burst', 'cut', 'silence'], /^QUE-06/],
  ['does not tell of a queue that fills', { queueUnseen: true }, ['burst', 'cut', 'silence', 'slow_target'], /^QUE-10/],
  ['applies twice what comes twice', { appliesTwice: true }, ['answers_lost', 'burst', 'barrier'], /^I1|^REP-20/],
  [
    'counts refusals from the beginning at each link',
    { refusalsRestart: true },
    ['refused_path', 'answers_lost'],
    /^I[23]/,
  ],
  ['takes frames in another order', { overtaking: true }, ['slow_network', 'burst'], /^I1|no progress|too many steps/],
  ['finds old changes young after a pause', { pauseIsYoung: true }, ['halted', 'slow_target'], /^I3/],
  [
    'does not see that its clock is put back',
    { stuckWall: true },
    ['clock', 'schedule', 'verify_schedule'],
    /^TRN-|^VER-08|recovery point/,
  ],
  [
    'goes on over a gap in the stream',
    { gapResumes: true },
    ['wiped', 'power_target'],
    /^I[23]|no progress|too many steps/,
  ],
];

for (const [what, mutants, faults, said] of MUTANTS)
  test(`I2, I3: the checkers notice an engine that ${what}`, async (t) => {
    t.timeout(PATIENCE_MS);
    for (let at = 1; at <= MUTANT_SEEDS; at++) {
      const { failure } = await simulate({ seed: at, mutants, faults });
      if (failure === null) continue;
      t.log(`seed ${at}: ${failure.split('\n')[0]}`);
      t.regex(failure, said);
      return;
    }
    t.fail(`none of ${MUTANT_SEEDS} runs noticed`);
  });

test('the same seed gives the same run', async (t) => {
  const first = await simulate({ seed: 7, trace: true });
  const second = await simulate({ seed: 7, trace: true });
  t.deepEqual(second.trace, first.trace);
  t.is(second.steps, first.steps);
});
