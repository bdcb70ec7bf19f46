/** Wires between servers: delays, silence, cuts. What was on a wire that ended is lost. */
import type { SimEngine } from './engine.js';
import type { Universe } from './machine.js';

/** No frame for so long: the link is dead (tls_link.h). */
const QUIET_TIMEOUT_MS = 30_000;
const PING_MS = 1_000;

export type Frame = (link: Link) => void;

interface Sent {
  readonly to: 'source' | 'target';
  readonly frame: Frame;
  withdraw: () => void;
}

export class Link {
  /** Both ends believe in it. */
  readonly open = { source: true, target: true };
  stalledSince = Number.POSITIVE_INFINITY;
  /** On the wire, each end's in the order of their sending. */
  readonly #flying = new Set<Sent>();
  #stalled: Sent[] = [];
  readonly #last = { source: 0, target: 0 };

  constructor(
    readonly network: Network,
    readonly from: SimEngine,
    readonly to: SimEngine,
    readonly connection: number,
    /** Handle at the target. */
    readonly id: number,
  ) {}

  send(to: 'source' | 'target', frame: Frame): void {
    if (!this.open.source || !this.open.target) return;
    const sent: Sent = { to, frame, withdraw: () => undefined };
    if (this.stalledSince < Number.POSITIVE_INFINITY) {
      this.#stalled.push(sent);
      return;
    }
    const { time } = this.network.universe;
    const at = Math.max(this.#last[to], time.now + this.network.delay());
    this.#last[to] = at;
    this.#flying.add(sent);
    sent.withdraw = time.after(at - time.now, () => {
      this.#flying.delete(sent);
      if (this.open[to] && (to === 'source' ? this.from : this.to).alive()) frame(this);
    });
  }

  /** Nothing goes through; both ends find out in their own time. */
  stall(): void {
    if (this.stalledSince < Number.POSITIVE_INFINITY) return;
    const { time } = this.network.universe;
    this.stalledSince = time.now;
    // What is on its way is held up too, in front of what is sent meanwhile: the line is one stream, nothing overtakes.
    for (const sent of this.#flying) sent.withdraw();
    this.#stalled = [...this.#flying];
    this.#flying.clear();
    time.after(QUIET_TIMEOUT_MS, () => {
      if (this.stalledSince + QUIET_TIMEOUT_MS <= time.now) this.break('ETIMEDOUT', 0);
    });
  }

  /** What waited arrives late, in order. */
  resume(): void {
    this.stalledSince = Number.POSITIVE_INFINITY;
    for (const { to, frame } of this.#stalled.splice(0)) this.send(to, frame);
  }

  /** Since the last frame of the other side. */
  quietMs(now: number): number {
    if (this.stalledSince === Number.POSITIVE_INFINITY) return 0;
    return now - this.stalledSince + PING_MS;
  }

  /** The line is torn: each end notices within `spread` milliseconds, not both at once. */
  break(code: string, spread: number): void {
    const { time, chance } = this.network.universe;
    time.after(chance.between(0, spread), () => this.end('source', code));
    time.after(chance.between(0, spread), () => this.end('target', code));
  }

  end(side: 'source' | 'target', code: string): void {
    if (!this.open[side]) return;
    this.open[side] = false;
    if (!this.open.source && !this.open.target) this.network.links.delete(this);
    const engine = side === 'source' ? this.from : this.to;
    if (!engine.alive()) return;
    if (side === 'source') engine.linkLost(this, code);
    else engine.inboundLost(this, code);
  }
}

export class Network {
  readonly links = new Set<Link>();
  readonly listening = new Map<number, SimEngine>();
  slow = 1;
  /** Pairs of machines that cannot reach each other. */
  readonly #apart = new Set<string>();

  constructor(readonly universe: Universe) {}

  delay(): number {
    return this.universe.chance.between(1, 8) * this.slow;
  }

  reach(a: string, b: string): boolean {
    return !this.#apart.has(pair(a, b));
  }

  /** @param silent the ends are not told; otherwise the line breaks at once */
  cut(a: string, b: string, silent: boolean): void {
    this.#apart.add(pair(a, b));
    for (const link of [...this.links]) {
      if (pair(link.from.machine.name, link.to.machine.name) !== pair(a, b)) continue;
      if (silent) link.stall();
      else link.break('ECONNRESET', 50);
    }
  }

  heal(a: string, b: string): void {
    this.#apart.delete(pair(a, b));
    for (const link of [...this.links])
      if (pair(link.from.machine.name, link.to.machine.name) === pair(a, b)) link.resume();
  }

  healAll(): void {
    this.#apart.clear();
    this.slow = 1;
    for (const link of [...this.links]) link.resume();
  }
}

const pair = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);
