/**
 * Two agents on a wire of their own, with a file system each, under work that does not end, and what may be said of them
 * at every moment.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { ROOTS_FILE } from '../../../agentd/drivers/stored.js';
import { CAUGHT_UP_MS } from '../../../protocol/limits.js';
import type { ConnectionItem } from '../../../protocol/messages/index.js';
import { churning } from '../churn.js';
import { type Link, Pair } from '../pair.js';
import { SteppedClock } from '../stepped-clock.js';
import { understudy } from '../understudy.js';
import { Disk } from './disk.js';
import { FaultyWire } from './faulty-wire.js';
import { type Side, Story } from './story.js';
import { type Seen, Witness } from './witness.js';

const DISK_MB = 1_024;
const STEP_MS = 40;
const CHURN_OPERATIONS = 60;
const CHURN_RATE = 150;
const BARRIER_MS = 20_000;
/** After it everything that was written has been seen by the capture, on a busy machine, too. */
const SEEN_MS = 1_000;
/** What it takes to open a world, more than enough. */
const OPENED_MS = 60_000;
/** To become equal again, after the last fault. */
const PATIENCE_MS = 120_000;
const NAME = 'alpha';

export interface Wish {
  readonly seed: number;
  /** Further lines of both configurations. */
  readonly config: string;
}

/** SplitMix-like: the same numbers for the same seed. */
export function drawing(seed: number): (below: number) => number {
  let state = BigInt(seed) * 0x9e3779b97f4a7c15n + 1n;
  return (below) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number((state >> 33n) % BigInt(below));
  };
}

export class World {
  readonly random: (below: number) => number;
  readonly story: Story;
  readonly happened: string[] = [];
  readonly violations: string[] = [];
  barriers = 0;
  faults = 0;
  /** Names of the faults that struck. */
  readonly kinds = new Set<string>();
  readonly #began = Date.now();
  #healed = Date.now();
  readonly #witness: Witness;
  #acknowledged: Seen | null = null;
  #working = false;
  #resting = false;
  #ended = false;
  #seed: number;
  /** What runs until the end: churn, witness, barriers. */
  #loops: Promise<void>[] = [];
  /** Those of them that write now. */
  #writing = 0;

  private constructor(
    readonly wish: Wish,
    readonly wire: FaultyWire,
    readonly sourceDisk: Disk,
    readonly targetDisk: Disk,
    readonly clocks: Readonly<Record<Side, SteppedClock>>,
    readonly pair: Pair,
    readonly link: Link,
  ) {
    this.#seed = wish.seed * 100_000;
    this.random = drawing(wish.seed);
    this.story = new Story(pair);
    this.#witness = new Witness(path.join(link.source, 'witness'), drawing(wish.seed + 1));
    fs.mkdirSync(path.join(link.source, 'churn'));
    this.#loops = [this.#churn(), this.#step(), this.#barrier()];
  }

  static async open(wish: Wish): Promise<World> {
    const wire = await FaultyWire.open(wish.seed);
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'understudy-chaos-'));
    const disks: Disk[] = [];
    let pair: Pair | null = null;
    try {
      const [source, target] = ['source', 'target'].map((name) => {
        const disk = new Disk(path.join(root, `${name}-disk`), DISK_MB);
        disks.push(disk);
        return disk;
      }) as [Disk, Disk];
      const config = `[source]\nguard_percent = 0\n[connection]\nstall_s = 2\n[target]\nretry_s = 1\n[log]\nlength = 268435456\n${wish.config}`;
      const [sourceClock, targetClock] = ['source', 'target'].map(
        (name) => new SteppedClock(path.join(root, `${name}-clock`)),
      ) as [SteppedClock, SteppedClock];
      const clocks = { source: sourceClock, target: targetClock };
      pair = await Pair.open({ root, config, places: wire, clocks });
      await understudy(pair, ['server', 'add', NAME, `unix:${pair.source.socket}`]);
      const replica = path.join(target.folder, 'replica');
      fs.mkdirSync(replica);
      const link = await pair.connect(source.folder, replica);
      // Until that is on disk, an agent that dies takes an empty mount point for the set: nobody told it otherwise.
      const identity = path.join(pair.source.root, 'state', ROOTS_FILE);
      for (const end = Date.now() + PATIENCE_MS; !fs.existsSync(identity) && Date.now() < end; ) await wait(20);
      return new World(wish, wire, source, target, clocks, pair, link);
    } catch (error) {
      await pair?.close();
      for (const disk of disks) disk.close();
      await wire.close();
      throw error;
    }
  }

  /** Ends everything and removes it. */
  async close(): Promise<void> {
    this.#ended = true;
    const keep = process.env['KEEP'];
    for (const side of ['source', 'target'] as const)
      if (keep)
        fs.writeFileSync(path.join(keep, `${this.wish.seed}-${side}.log`), `${this.story.lines(side).join('\n')}\n`);
    await Promise.all([this.pair.source.stop('SIGKILL'), this.pair.target.stop('SIGKILL')]);
    await Promise.allSettled(this.#loops);
    for (const disk of [this.sourceDisk, this.targetDisk]) disk.close();
    for (const clock of Object.values(this.clocks)) clock.close();
    await this.pair.close();
    await this.wire.close();
  }

  note(text: string): void {
    this.happened.push(`${((Date.now() - this.#began) / 1000).toFixed(2).padStart(8)} s  ${text}`);
  }

  violated(text: string): void {
    this.note(`VIOLATED: ${text}`);
    this.violations.push(text);
  }

  async start(side: Side): Promise<void> {
    if (this.pair[side].pid === 0) await this.pair[side].start();
  }

  signal(side: Side, signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.pair[side].pid !== 0) process.kill(this.pair[side].pid, signal);
  }

  // The work.

  work(): void {
    this.#resting = false;
    this.#working = true;
  }

  /** After a fault for which it had to stand still. */
  goOnWorking(): void {
    this.#working = !this.#resting;
  }

  /** Returns when nobody writes any more. */
  async holdWork(): Promise<void> {
    this.#working = false;
    while (this.#writing > 0) await wait(10);
  }

  async #write(what: () => Promise<void> | void): Promise<void> {
    if (!this.#working) return void (await wait(20));
    this.#writing += 1;
    try {
      await what();
    } catch (error) {
      this.violated(`the work failed: ${String(error)}`);
      this.#ended = true;
    } finally {
      this.#writing -= 1;
    }
  }

  async #churn(): Promise<void> {
    const root = path.join(this.link.source, 'churn');
    while (!this.#ended)
      await this.#write(() => churning({ root, seed: this.#seed++, operations: CHURN_OPERATIONS, rate: CHURN_RATE }));
  }

  async #step(): Promise<void> {
    while (!this.#ended) {
      await this.#write(() => this.#witness.step());
      await wait(STEP_MS);
    }
  }

  // What may be said.

  async #barrier(): Promise<void> {
    while (!this.#ended) {
      const seen = this.#witness.seen();
      try {
        await this.pair.barrier(this.link, BARRIER_MS);
      } catch {
        await wait(100); // Nobody can promise anything now.
        continue;
      }
      this.#acknowledged = seen;
      this.barriers += 1;
      this.judge('after a barrier');
      await wait(300);
    }
  }

  /** What was acknowledged is on the target now, whoever lives or not (I2). */
  judge(when: string): void {
    if (!this.#acknowledged) return;
    for (const text of this.#witness.missing(path.join(this.link.target, 'witness'), this.#acknowledged))
      this.violated(`${when}, of what was acknowledged at step ${this.#acknowledged.steps}: ${text}`);
  }

  /** What `understudy status --json` says; null: nothing. */
  async status(): Promise<ConnectionItem | null> {
    const { out } = await understudy(this.pair, ['status', '--json']);
    try {
      return (JSON.parse(out) as { connections: ConnectionItem[] }).connections[0] ?? null;
    } catch {
      return null;
    }
  }

  /** The last fault is over: what was said of the link before may be out of date. */
  healed(): void {
    this.#healed = Date.now();
    this.note('healed');
  }

  /** The target was heard since the last fault: before, a source may believe in the link to an agent that has died. */
  async linked(): Promise<boolean> {
    const end = Date.now() + PATIENCE_MS;
    for (; Date.now() < end; await wait(50)) {
      try {
        const asked = Date.now();
        const { phase, quietMs } = await this.pair.item(this.link);
        if (phase === 'linked' && quietMs >= 0 && quietMs < asked - this.#healed) return true;
      } catch {
        // It is only just starting.
      }
    }
    this.violated(`no link within ${PATIENCE_MS} ms without a fault`);
    return false;
  }

  /**
   * The work has ended, `last` is still on. Whenever `OK` is said the trees are equal; when `last` is healed it is said
   * before long (I1, I3).
   */
  async rest(last: { heal(): Promise<unknown>; readonly lastsMs: number }): Promise<void> {
    this.#resting = true;
    await this.holdWork();
    this.note('the work rests');
    let since = Date.now();
    await this.#untilOk(since, since + SEEN_MS + last.lastsMs, false);
    await last.heal();
    this.note('everything is healed');
    since = Date.now();
    if (!(await this.#untilOk(since, since + PATIENCE_MS, true))) {
      const item = JSON.stringify(await this.status());
      this.violated(`not equal and OK ${PATIENCE_MS} ms after the last fault: ${item}\n${this.#difference()}`);
      return;
    }
    await this.pair.barrier(this.link);
    for (const text of this.pair.differences(this.link)) this.violated(`after the rest: ${text}`);
    this.judge('at rest');
    for (const text of this.story.wrong()) this.violated(text);
    this.note(
      `equal, ${((Date.now() - since) / 1000).toFixed(1)} s after the last fault; ${this.barriers} barriers so far`,
    );
  }

  /** A replica is never older than this world, nor younger than now, whatever any clock says (GLO-29, P26). */
  #judgeAge({ latencyMs }: ConnectionItem): void {
    const most = Date.now() - this.#began + OPENED_MS;
    if (latencyMs < -1 || latencyMs > most) this.violated(`said to be ${latencyMs} ms behind`);
  }

  #difference(): string {
    try {
      return this.pair.differences(this.link).join('\n');
    } catch (error) {
      return String(error);
    }
  }

  async #untilOk(since: number, until: number, enough: boolean): Promise<boolean> {
    while (Date.now() < until && this.violations.length === 0) {
      await wait(Math.max(200, since + SEEN_MS - Date.now()));
      const asked = Date.now();
      const item = await this.status();
      if (item) this.#judgeAge(item);
      const settled = item?.latencyMs === 0 || asked - since > CAUGHT_UP_MS + SEEN_MS;
      if (item?.statistics.targetDataState !== 'OK' || !settled) continue;
      const differences = this.sourceDisk.mounted ? this.#difference() : '';
      if (differences !== '')
        this.violated(
          `OK was said (${item.latencyMs} ms behind, quiet ${item.quietMs} ms), and the trees differ:\n${differences}`,
        );
      else if (enough) return true;
    }
    return false;
  }
}
