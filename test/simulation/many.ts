/** Many seeds one after the other, and one seed with everything it did. */
import { type Outcome, simulate } from './run.js';

const SHOWN_LINES = 400;

export interface Many {
  passed: number;
  failed: number;
  steps: number;
  simulatedMs: number;
  readonly faults: Map<string, number>;
  readonly states: Set<string>;
  /** The first failure, with its trace. */
  first: Outcome | null;
}

export async function runMany(
  first: number,
  count: number,
  say: (line: string) => void,
  failuresMax = 1,
): Promise<Many> {
  const all: Many = {
    passed: 0,
    failed: 0,
    steps: 0,
    simulatedMs: 0,
    faults: new Map(),
    states: new Set(),
    first: null,
  };
  const began = Date.now();
  let told = began;
  for (let seed = first; seed < first + count && all.failed < failuresMax; seed++) {
    const outcome = await simulate({ seed });
    all.steps += outcome.steps;
    all.simulatedMs += outcome.simulatedMs;
    for (const [name, times] of outcome.faults) all.faults.set(name, (all.faults.get(name) ?? 0) + times);
    for (const state of outcome.states) all.states.add(state);
    if (outcome.failure === null) all.passed += 1;
    else {
      all.failed += 1;
      all.first ??= await simulate({ seed, trace: true });
      say(`seed ${seed}: ${outcome.failure}`);
    }
    if (Date.now() - told > 10_000) {
      told = Date.now();
      const done = seed - first + 1;
      say(`${done} seeds, ${Math.round(done / ((told - began) / 1000))} a second, ${all.steps} steps`);
    }
  }
  return all;
}

/** The end of what happened in a failed run. */
export function story(outcome: Outcome): string {
  const lines = outcome.trace;
  const left = lines.length - SHOWN_LINES;
  return [
    `seed ${outcome.seed}: ${outcome.failure ?? 'passed'}`,
    ...(left > 0 ? [`(${left} lines before)`] : []),
    ...lines.slice(-SHOWN_LINES),
    `repeat it with: SEED=${outcome.seed} npm test -- test/simulation/simulation.test.ts`,
  ].join('\n');
}

export async function report(seed: number): Promise<string | null> {
  const outcome = await simulate({ seed, trace: true });
  process.stdout.write(`${story(outcome)}\n`);
  return outcome.failure;
}
