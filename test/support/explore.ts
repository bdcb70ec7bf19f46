/**
 * Finds the smallest thing that goes wrong: many short rounds of random changes on a live pair, stopping at the first
 * round after which both trees differ, with what was done in that round.
 *
 *   node dist/test/support/explore.js [SEED] [OPERATIONS PER ROUND] [ROUNDS] [OBJECTS]
 *
 * With OBJECTS, each round has a tree of its own, made by so many operations, and its changes run into the first
 * mirror. PAUSE=ms waits between connecting and changing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { churn } from './churn.js';
import { compiled } from './compiled.js';
import type { Link } from './introduce.js';
import { Pair } from './pair.js';

const [seed = 1, operations = 6, rounds = 400, objects = 0] = process.argv.slice(2).map(Number);
const pause = Number(process.env['PAUSE'] ?? 0);

/** @returns what was done, one line per operation */
async function change(link: Link, round: number): Promise<string> {
  const args = [link.source, seed + round, operations, 0].map(String);
  const child = spawn(compiled('churn'), args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, CHURN_LOG: '1' },
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await once(child, 'close');
  return said.replaceAll(link.source, '');
}

const pair = await Pair.open();
let ended = 0;
try {
  let link: Link | null = null;
  for (let round = 0; round < rounds && ended === 0; round++) {
    if (objects > 0 || link === null) {
      const source = pair.folder(`source-${round}`);
      if (objects > 0) churn({ root: source, seed: seed + round + 1_000_000, operations: objects });
      link = await pair.connect(source, pair.folder(`target-${round}`));
      if (objects === 0) await pair.mirrored(link);
    }
    if (pause > 0) await wait(pause);
    const done = await change(link, round);
    const start = Date.now();
    if (objects > 0) await pair.mirrored(link);
    await pair.barrier(link, 30_000);
    const differences = pair.differences(link);
    if (differences.length > 0) {
      ended = 1;
      process.stdout.write(`round ${round}, seed ${seed + round}, barrier after ${Date.now() - start} ms\n`);
      process.stdout.write(`${done}\n${differences.join('\n')}\n\n${pair.source.log(12)}\n`);
    }
    if (objects > 0) {
      await pair.disconnect(link);
      fs.rmSync(link.source, { recursive: true });
      fs.rmSync(link.target, { recursive: true });
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
