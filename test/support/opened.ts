/** A pair of agents for one test: how long it may take, what is shown when it fails, and its end. */
import type { ExecutionContext } from 'ava';
import { Pair, type PairOptions } from './pair.js';
import { understudy } from './understudy.js';

export interface Opening extends PairOptions {
  readonly timeoutMs?: number;
  /** What the command line knows: `alpha` is the source, `beta` the target. */
  readonly servers?: readonly ('alpha' | 'beta')[];
}

/** What a test undoes by a teardown of its own is undone before the agents end: the last one runs first. */
export async function opened(t: ExecutionContext, opening: Opening = {}): Promise<Pair> {
  const { timeoutMs = 120_000, servers = [], ...options } = opening;
  t.timeout(timeoutMs);
  const pair = await Pair.open(options);
  t.teardown(async () => {
    if (!t.passed) t.log(pair.source.log(), pair.target.log());
    await pair.close();
  });
  for (const name of servers) {
    const { socket } = name === 'alpha' ? pair.source : pair.target;
    await understudy(pair, ['server', 'add', name, `unix:${socket}`]);
  }
  return pair;
}
