/**
 * `SEED=n` repeats one run and shows it; otherwise SEEDS=n runs from FIRST=n on THREADS=n, until FAILURES=n. Used by
 * `npm run soak:simulation`.
 */
import { availableParallelism } from 'node:os';
import { report, runMany } from './many.js';

const given = (name: string, preset: number): number => Number(process.env[name] ?? preset);

const seed = process.env['SEED'];
if (seed !== undefined) process.exitCode = (await report(Number(seed))) ? 1 : 0;
else {
  const began = Date.now();
  const threads = given('THREADS', availableParallelism());
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const all = await runMany(given('FIRST', 1), given('SEEDS', 1_000_000), threads, say, given('FAILURES', 1));
  const seconds = (Date.now() - began) / 1000;
  const rate = Math.round((all.passed + all.failed) / seconds);
  say(`${all.passed} passed, ${all.failed} failed in ${Math.round(seconds)} s: ${rate} a second on ${threads} threads`);
  for (const [what, times] of all.seen) say(`  ${what}: in ${times} runs`);
  process.exitCode = all.failed === 0 ? 0 : 1;
}
