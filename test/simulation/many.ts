/** Many seeds, on several threads where there are cores, and one seed with everything it did. */
import { Worker } from 'node:worker_threads';
import type { Seen } from './machine.js';
import { type Outcome, simulate } from './run.js';

const SHOWN_LINES = 400;
const TELL_EVERY_MS = 10_000;

export interface Many {
  passed: number;
  failed: number;
  steps: number;
  simulatedMs: number;
  readonly faults: Map<string, number>;
  readonly states: Set<string>;
  /** In how many runs something happened. */
  readonly seen: Map<Seen, number>;
  /** The first failure, with its trace. */
  first: Outcome | null;
}

/** `first`, `first + stride` and so on, `count` of them. */
export interface Seeds {
  readonly first: number;
  readonly count: number;
  readonly stride: number;
  readonly failuresMax: number;
}

const nothing = (): Many => ({
  passed: 0,
  failed: 0,
  steps: 0,
  simulatedMs: 0,
  faults: new Map(),
  states: new Set(),
  seen: new Map(),
  first: null,
});

const count = <K>(counts: Map<K, number>, key: K, times: number): unknown =>
  counts.set(key, (counts.get(key) ?? 0) + times);

export async function runSeeds(
  { first, count: most, stride, failuresMax }: Seeds,
  say: (line: string) => void,
): Promise<Many> {
  const all = nothing();
  const began = Date.now();
  let told = began;
  for (let done = 0; done < most && all.failed < failuresMax; done++) {
    const seed = first + done * stride;
    const outcome = await simulate({ seed });
    all.steps += outcome.steps;
    all.simulatedMs += outcome.simulatedMs;
    for (const [name, times] of outcome.faults) count(all.faults, name, times);
    for (const state of outcome.states) all.states.add(state);
    for (const what of outcome.seen) count(all.seen, what, 1);
    if (outcome.failure === null) all.passed += 1;
    else {
      all.failed += 1;
      all.first ??= await simulate({ seed, trace: true });
      say(`seed ${seed}: ${outcome.failure}`);
    }
    if (Date.now() - told < TELL_EVERY_MS) continue;
    told = Date.now();
    say(`up to seed ${seed}: ${Math.round((done + 1) / ((told - began) / 1000))} a second`);
  }
  return all;
}

/** Spread over `threads`. Ends with the thread that meets `failuresMax` failures first; the others are not waited for. */
export async function runMany(
  first: number,
  most: number,
  threads: number,
  say: (line: string) => void,
  failuresMax = 1,
): Promise<Many> {
  const shares = Array.from({ length: threads }, (_, thread): Seeds => {
    const share = Math.floor(most / threads) + (thread < most % threads ? 1 : 0);
    return { first: first + thread, count: share, stride: threads, failuresMax };
  });
  const all = nothing();
  const workers: Worker[] = [];
  const run = (share: Seeds): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: share });
      workers.push(worker);
      worker.on('message', (told: string | Many) => {
        if (typeof told === 'string') say(told);
        else {
          add(all, told);
          if (all.failed >= failuresMax) for (const other of workers) if (other !== worker) void other.terminate();
        }
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve());
    });
  await Promise.all(shares.map(run));
  return all;
}

function add(all: Many, more: Many): void {
  all.passed += more.passed;
  all.failed += more.failed;
  all.steps += more.steps;
  all.simulatedMs += more.simulatedMs;
  for (const [name, times] of more.faults) count(all.faults, name, times);
  for (const state of more.states) all.states.add(state);
  for (const [what, times] of more.seen) count(all.seen, what, times);
  if (more.first && (!all.first || more.first.seed < all.first.seed)) all.first = more.first;
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
