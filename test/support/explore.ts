/**
 * Finds the smallest thing that goes wrong: many short rounds of random changes on a live pair, stopping at the first
 * round after which both trees differ, with what was done in that round.
 *
 *   node dist/test/support/explore.js [SEED] [OPERATIONS PER ROUND] [ROUNDS] [RATE]
 */
import { spawnSync } from 'node:child_process';
import { churnProgram } from './churn.js';
import { Pair } from './pair.js';

const [seed = 1, operations = 6, rounds = 400, rate = 0] = process.argv.slice(2).map(Number);

const pair = await Pair.open();
let ended = 0;
try {
  const link = await pair.connect(pair.folder('source'), pair.folder('target'));
  await pair.mirrored(link);
  for (let round = 0; round < rounds && ended === 0; round++) {
    const args = [link.source, seed + round, operations, rate].map(String);
    const done = spawnSync(churnProgram(), args, { encoding: 'utf8', env: { ...process.env, CHURN_LOG: '1' } });
    const start = Date.now();
    await pair.barrier(link, 30_000);
    const differences = pair.differences(link);
    if (differences.length > 0) {
      ended = 1;
      process.stdout.write(`round ${round}, seed ${seed + round}, barrier after ${Date.now() - start} ms\n`);
      process.stdout.write(`${done.stderr.replaceAll(link.source, '')}\n${differences.join('\n')}\n\n${pair.source.log(6)}\n`);
    }
  }
  if (ended === 0) process.stdout.write(`${rounds} rounds identical\n`);
} catch (error) {
  ended = 1;
  process.stdout.write(`${String(error)}\n${pair.source.log()}\n${pair.target.log()}\n`);
} finally {
  await pair.close();
}
process.exitCode = ended;
