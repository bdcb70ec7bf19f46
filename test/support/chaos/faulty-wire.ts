/**
 * Two network namespaces with a wire between them that delays, loses and is cut (faulty-wire.cc), or whose ends are
 * unplugged. Needs root.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { compiled } from '../compiled.js';
import type { Place } from '../pair.js';

export interface Weather {
  readonly delayMs: number;
  readonly jitterMs: number;
  /** Permille of the frames that leave the source, and of those that leave the target; 1000: cut. */
  readonly lostFromSource: number;
  readonly lostFromTarget: number;
  readonly twice: number;
}

export const FAIR: Weather = { delayMs: 0, jitterMs: 0, lostFromSource: 0, lostFromTarget: 0, twice: 0 };

const PORT = 1500;
let wires = 0;

export class FaultyWire {
  readonly source: Place;
  readonly target: Place;
  readonly #between: string;
  #child: ChildProcess | null = null;
  #answers: Interface | null = null;

  private constructor(name: string) {
    this.source = { namespace: `${name}-s`, host: '10.231.8.1', port: PORT };
    this.target = { namespace: `${name}-t`, host: '10.231.8.2', port: PORT };
    this.#between = `${name}-w`;
  }

  static async open(seed: number): Promise<FaultyWire> {
    const program = compiled('faulty-wire');
    wires += 1;
    const made = new FaultyWire(`us-chaos-${process.pid}-${wires}`);
    const middle = made.#between;
    ip('netns', 'add', middle);
    for (const [place, end] of [
      [made.source, 'near'],
      [made.target, 'far'],
    ] as const) {
      const { namespace, host } = place;
      ip('netns', 'add', namespace);
      ip('-n', namespace, 'link', 'add', 'wire0', 'type', 'veth', 'peer', 'name', end, 'netns', middle);
      ip('-n', namespace, 'addr', 'add', `${host}/24`, 'dev', 'wire0');
      // One frame per segment, as a real card puts them on the wire: a lost one is 1.5 KB, not 64.
      ip('-n', namespace, 'link', 'set', 'dev', 'wire0', 'gso_max_segs', '1');
      ip('-n', namespace, 'link', 'set', 'dev', 'wire0', 'up');
      ip('-n', namespace, 'link', 'set', 'dev', 'lo', 'up');
      ip('-n', middle, 'link', 'set', 'dev', end, 'up');
    }
    const args = [`--net=/run/netns/${middle}`, program, 'near', 'far', String(seed)];
    const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    made.#child = child;
    made.#answers = createInterface({ input: child.stdout });
    await once(made.#answers, 'line');
    return made;
  }

  async weather(it: Weather): Promise<void> {
    const { delayMs, jitterMs, lostFromSource, lostFromTarget, twice } = it;
    if (!this.#answers) throw new Error('the wire is gone');
    const answered = once(this.#answers, 'line');
    this.#child?.stdin?.write(`${[delayMs, jitterMs, lostFromSource, lostFromTarget, twice].join(' ')}\n`);
    await answered;
  }

  /** As somebody pulls the plug, or puts it in again. */
  plug(side: 'source' | 'target', state: 'up' | 'down'): void {
    ip('-n', this[side].namespace, 'link', 'set', 'dev', 'wire0', state);
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.stdin?.end();
      await gone;
    }
    for (const name of [this.source.namespace, this.target.namespace, this.#between]) ip('netns', 'del', name);
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
