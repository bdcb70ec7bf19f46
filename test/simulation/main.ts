/** `SEED=n` repeats one run and shows it; `SEEDS=n` runs many. Used by `npm run soak:simulation`. */
import { report, runMany } from './many.js';

const seed = process.env['SEED'];
if (seed !== undefined) process.exitCode = (await report(Number(seed))) ? 1 : 0;
else {
  const first = Number(process.env['FIRST'] ?? 1);
  const count = Number(process.env['SEEDS'] ?? 1_000_000);
  const outcome = await runMany(
    first,
    count,
    (line) => process.stdout.write(`${line}\n`),
    Number(process.env['FAILURES'] ?? 1),
  );
  process.stdout.write(`${outcome.passed} passed, ${outcome.failed} failed\n`);
  process.exitCode = outcome.failed === 0 ? 0 : 1;
}
