/**
 * Random trees of operations against a live pair of agents, during the mirror and afterwards: after the barrier both
 * trees are identical (I1). A failing seed is printed; `SEED=... npm test -- test/e2e/convergence.test.ts` repeats it.
 *
 *   SEED=n      first seed (default: a fixed one)
 *   SECONDS=n   time for the rounds of the first test (default 45); hundreds of seeds need a few minutes
 */
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { churn, churning } from '../support/churn.js';
import { type Link, Pair } from '../support/pair.js';

const FIRST_SEED = Number(process.env['SEED'] ?? 1);
const ROUND_SECONDS = Number(process.env['SECONDS'] ?? 45);
const SCALE = ROUND_SECONDS / 45;
const OPERATIONS = 1_500;
/** A tree that has grown this long is given up for a fresh one, so that new seeds meet a first mirror again. */
const ROUNDS_PER_TREE = 12;

test.serial('I1, MIR-03: random operations during the mirror and afterwards end in identical trees', async (t) => {
  t.timeout((ROUND_SECONDS + 240) * 1000);
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const end = Date.now() + ROUND_SECONDS * 1000;
  let seed = FIRST_SEED;
  let rounds = 0;
  for (let tree = 0; tree === 0 || Date.now() < end; tree++) {
    const source = pair.folder(`source-${tree}`);
    const target = pair.folder(`target-${tree}`);
    churn({ root: source, seed, operations: OPERATIONS });
    const link = await pair.connect(source, target);
    for (let round = 0; round < ROUNDS_PER_TREE && (round === 0 || Date.now() < end); round++) {
      seed += 1;
      rounds += 1;
      // The first round of a tree runs into its mirror; later ones alternate between bursts and a steady trickle.
      await churning({ root: source, seed, operations: OPERATIONS, rate: round % 3 === 1 ? 3_000 : 0 });
      if (round === 0) await pair.mirrored(link);
      await pair.barrier(link);
      const differences = pair.differences(link);
      if (differences.length > 0)
        t.log(`SEED=${FIRST_SEED} differs at seed ${seed}, tree ${tree}, round ${round}`, await pair.item(link));
      t.deepEqual(differences, []);
    }
    await pair.disconnect(link);
    fs.rmSync(source, { recursive: true });
    fs.rmSync(target, { recursive: true });
  }
  t.log(`${rounds} rounds of ${OPERATIONS} operations, seeds ${FIRST_SEED + 1}..${seed}`);
  t.true(rounds > 0);
});

test.serial('I1: the same without privileges, by inotify', async (t) => {
  if (process.getuid?.() !== 0) {
    t.pass('every other test runs unprivileged already');
    return;
  }
  t.timeout(240_000);
  const uid = 4_711;
  const pair = await Pair.open({ uid });
  t.teardown(() => pair.close());
  const source = pair.folder('source', uid);
  const target = pair.folder('target', uid);
  churn({ root: source, seed: FIRST_SEED + 10_000, operations: OPERATIONS, uid });
  const link = await pair.connect(source, target);
  for (let round = 0; round < Math.ceil(4 * SCALE); round++) {
    await churning({
      root: source,
      seed: FIRST_SEED + 10_001 + round,
      operations: OPERATIONS,
      uid,
      rate: round % 2 === 1 ? 3_000 : 0,
    });
    if (round === 0) await pair.mirrored(link);
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), [], `seed ${FIRST_SEED + 10_001 + round}`);
  }
});

for (const victim of ['source', 'target'] as const) {
  test.serial(
    `I2: kill -9 of the ${victim} agent at random moments ends, after restart, in identical trees`,
    async (t) => {
      t.timeout((240 + 60 * SCALE) * 1000);
      const pair = await Pair.open();
      t.teardown(() => pair.close());
      const source = pair.folder('source');
      const target = pair.folder('target');
      const seed = FIRST_SEED + (victim === 'source' ? 20_000 : 30_000);
      churn({ root: source, seed, operations: OPERATIONS });
      const link = await pair.connect(source, target);
      for (let round = 0; round < Math.ceil(3 * SCALE); round++) {
        const work = churning({ root: source, seed: seed + 1 + round, operations: 4_000, rate: 2_500 });
        // The moment decides what is lost: in the mirror, between batches, inside of one.
        await wait(randomInt(20, 1_500));
        await pair[victim].stop('SIGKILL');
        await wait(randomInt(0, 400));
        await pair[victim].start();
        await work;
        await pair.mirrored(link, 90_000);
        await pair.barrier(link, 90_000);
        const differences = pair.differences(link);
        if (differences.length > 0)
          t.log(`seed ${seed + 1 + round}, round ${round}`, await pair.item(link), pair[victim].log());
        t.deepEqual(differences, []);
      }
    },
  );
}

/** Files that were just written are looked at once more; until then a barrier still finds something to tell. */
async function settled(pair: Pair, link: Link): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const before = await pair.item(link);
    await pair.barrier(link);
    const after = await pair.item(link);
    if (after.wireBytes - before.wireBytes < 3_000) return;
    await wait(100);
  }
}

test.serial('I1: a directory of 10,000 files is renamed, and renamed again before anybody looked', async (t) => {
  t.timeout(240_000);
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const source = pair.folder('source');
  const link = await pair.connect(source, pair.folder('target'));
  const many = path.join(source, 'many');
  fs.mkdirSync(many);
  for (let i = 0; i < 10_000; i++) fs.writeFileSync(path.join(many, `file-${i}`), `${i}`);
  await pair.mirrored(link);
  await settled(pair, link);
  t.deepEqual(pair.differences(link), []);

  const before = await pair.item(link);
  fs.renameSync(many, path.join(source, 'moved'));
  const started = Date.now();
  await pair.barrier(link);
  const after = await pair.item(link);
  t.log(`one rename: ${Date.now() - started} ms, ${after.wireBytes - before.wireBytes} bytes on the wire`);
  t.deepEqual(pair.differences(link), []);
  // The files themselves must not travel again: their names alone would be more than this.
  t.true(after.wireBytes - before.wireBytes < 20_000, `${after.wireBytes - before.wireBytes} bytes`);

  fs.mkdirSync(path.join(source, 'deep'));
  fs.renameSync(path.join(source, 'moved'), path.join(source, 'deep/a'));
  fs.renameSync(path.join(source, 'deep'), path.join(source, 'deeper'));
  fs.mkdirSync(path.join(source, 'deep'));
  fs.renameSync(path.join(source, 'deeper/a'), path.join(source, 'deep/b'));
  fs.renameSync(path.join(source, 'deep/b'), path.join(source, 'many'));
  await pair.barrier(link);
  t.deepEqual(pair.differences(link), []);
});

test.serial('MIR-20..22: every kind of mirror repairs a target that somebody changed', async (t) => {
  t.timeout(240_000);
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const source = pair.folder('source');
  const target = pair.folder('target');
  churn({ root: source, seed: FIRST_SEED + 40_000, operations: 4_000 });
  const kinds = [{ kind: 'full' }, { kind: 'difference' }, { kind: 'difference', checksum: true }] as const;
  for (const [index, options] of kinds.entries()) {
    // A foreign hand on the target: other contents, other kinds, missing and surplus names.
    churn({ root: target, seed: FIRST_SEED + 40_001 + index, operations: 2_000 });
    const link = await pair.connect(source, target, options);
    await pair.mirrored(link);
    await pair.barrier(link);
    // What exists only on the target stays there (GLO-11: orphans are removed on request only).
    const wrong = pair
      .differences(link)
      .filter((line) => !/only (on|in) (the )?(right|target)|extra|orphan/i.test(line));
    t.deepEqual(
      wrong.filter((line) => !/mtime|time/i.test(line)),
      [],
      JSON.stringify(options),
    );
    await pair.disconnect(link);
    fs.rmSync(target, { recursive: true });
    fs.mkdirSync(target);
  }
});
