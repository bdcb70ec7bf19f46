/** Two network namespaces joined by a wire, and what passes on it. Needs root. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Sample {
  /** Milliseconds on the monotonic clock. */
  readonly at: number;
  /** Bytes the interface has sent since it is there, frames with their headers. */
  readonly sent: number;
}

const SAMPLER = `
const fs = require('fs');
const file = fs.openSync('/sys/class/net/' + process.argv[1] + '/statistics/tx_bytes', 'r');
const buffer = Buffer.alloc(32);
setInterval(() => {
  const size = fs.readSync(file, buffer, 0, 32, 0);
  console.log(Number(process.hrtime.bigint()) / 1e6 + ' ' + buffer.toString('latin1', 0, size).trim());
}, 20);
`;

export class Namespaces {
  readonly source: string;
  readonly target: string;
  readonly sourceAddress = '10.231.7.1';
  readonly targetAddress = '10.231.7.2';
  readonly samples: Sample[] = [];
  #sampler: ChildProcess | null = null;

  private constructor(name: string) {
    this.source = `${name}-s`;
    this.target = `${name}-t`;
  }

  /** `exact`: bytes on the wire are counted as a real card sends them, which makes it a slow one. */
  static open({ exact = true } = {}): Namespaces {
    const made = new Namespaces(`understudy-${process.pid}`);
    const ip = (...args: string[]): void => void execFileSync('ip', args);
    for (const side of [made.source, made.target]) ip('netns', 'add', side);
    ip('-n', made.source, 'link', 'add', 'wire0', 'type', 'veth', 'peer', 'name', 'wire0', 'netns', made.target);
    for (const [side, address] of [
      [made.source, made.sourceAddress],
      [made.target, made.targetAddress],
    ] as const) {
      ip('-n', side, 'addr', 'add', `${address}/24`, 'dev', 'wire0');
      // One frame per segment, as a real card puts them on the wire: otherwise 45 of them count one header.
      if (exact) ip('-n', side, 'link', 'set', 'dev', 'wire0', 'gso_max_segs', '1');
      ip('-n', side, 'link', 'set', 'dev', 'wire0', 'up');
      ip('-n', side, 'link', 'set', 'dev', 'lo', 'up');
    }
    return made;
  }

  /** Bytes that the source has sent and received until now, frames with their headers. */
  bytes(): { readonly sent: number; readonly received: number } {
    const told = execFileSync('ip', ['-n', this.source, '-s', '-j', 'link', 'show', 'wire0'], { encoding: 'utf8' });
    const [{ stats64 }] = JSON.parse(told) as [{ stats64: Record<'rx' | 'tx', { bytes: number }> }];
    return { sent: stats64.tx.bytes, received: stats64.rx.bytes };
  }

  /** Begins to read the source's byte counter fifty times a second. */
  watch(): void {
    const child = spawn('ip', ['netns', 'exec', this.source, process.execPath, '-e', SAMPLER, 'wire0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#sampler = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [at = '0', sent = '0'] = line.split(' ');
      this.samples.push({ at: Number(at), sent: Number(sent) });
    });
  }

  async close(): Promise<void> {
    const child = this.#sampler;
    if (child && child.exitCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    for (const side of [this.source, this.target]) execFileSync('ip', ['netns', 'del', side]);
  }
}

/** Most and least bytes in any span of the samples, scaled to exactly that span. */
export function extremes(
  samples: readonly Sample[],
  spanMs: number,
): { readonly most: number; readonly least: number } {
  let most = 0;
  let least = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const first of samples) {
    while (high < samples.length && (samples[high]?.at ?? 0) < first.at + spanMs) high += 1;
    const last = samples[high];
    if (!last) break;
    const sent = ((last.sent - first.sent) * spanMs) / (last.at - first.at);
    most = Math.max(most, sent);
    least = Math.min(least, sent);
  }
  return { most, least };
}
