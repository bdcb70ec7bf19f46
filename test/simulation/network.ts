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
  readonly bytes: number;
  withdraw: () => void;
}

export class Link {
  /** Both ends believe in it. */
  readonly open = { source: true, target: true };
  stalledSince = Number.POSITIVE_INFINITY;
  /** What the target says does not arrive any more; what it is sent does. */
  #oneWay = false;
  /** When the source heard the target last, by its own clock. */
  #heard = 0;
  /** On the wire, each end's in the order of their sending. */
  readonly #flying = new Set<Sent>();
  #stalled: Sent[] = [];
  readonly #last = { source: 0, target: 0 };
  /** When the wire has taken everything that was sent. */
  readonly #taken = { source: 0, target: 0 };

  constructor(
    readonly network: Network,
    readonly from: SimEngine,
    readonly to: SimEngine,
    readonly connection: number,
    /** Handle at the target. */
    readonly id: number,
  ) {}

  send(to: 'source' | 'target', frame: Frame, bytes = 0): void {
    if (!this.open.source || !this.open.target) return;
    // Lost with the link, which does not live for long.
    if (this.#oneWay && to === 'source') return;
    const sent: Sent = { to, frame, bytes, withdraw: () => undefined };
    if (this.stalledSince < Number.POSITIVE_INFINITY) {
      this.#stalled.push(sent);
      return;
    }
    const { time, mutants } = this.network.universe;
    this.#taken[to] = Math.max(this.#taken[to], time.now) + bytes / this.network.bytesPerMs;
    const at = Math.max(mutants.overtaking ? 0 : this.#last[to], this.#taken[to] + this.network.delay());
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
    const since = time.now;
    this.stalledSince = since;
    if (!this.#oneWay) this.#heard = this.from.machine.time.now;
    // What is on its way is held up too, in front of what is sent meanwhile: the line is one stream, nothing overtakes.
    for (const sent of this.#flying) sent.withdraw();
    this.#stalled = [...this.#flying];
    this.#flying.clear();
    for (const sent of this.#stalled) this.#taken[sent.to] = 0;
    time.after(QUIET_TIMEOUT_MS, () => {
      if (this.stalledSince === since) this.break('ETIMEDOUT', 0);
    });
  }

  /** What waited arrives late, in order. */
  resume(): void {
    if (this.stalledSince === Number.POSITIVE_INFINITY) return;
    this.stalledSince = Number.POSITIVE_INFINITY;
    for (const { to, frame, bytes } of this.#stalled.splice(0)) this.send(to, frame, bytes);
  }

  /** The way back ends: what is applied from here on the source does not hear of, and sends again over the next link. */
  loseAnswers(): void {
    if (this.#oneWay || this.stalledSince < Number.POSITIVE_INFINITY) return;
    this.#oneWay = true;
    this.#heard = this.from.machine.time.now;
    for (const sent of this.#flying) if (sent.to === 'source') sent.withdraw();
    this.network.universe.time.after(QUIET_TIMEOUT_MS, () => this.break('ETIMEDOUT', 0));
  }

  /** At the source: since the last frame of the target. */
  quietMs(): number {
    if (!this.#oneWay && this.stalledSince === Number.POSITIVE_INFINITY) return 0;
    return this.from.machine.time.now - this.#heard + PING_MS;
  }

  /** The line is torn: each end notices within `spread` milliseconds, not both at once, and when it runs. */
  break(code: string, spread: number): void {
    const { chance } = this.network.universe;
    this.from.machine.time.after(chance.between(0, spread), () => this.end('source', code));
    this.to.machine.time.after(chance.between(0, spread), () => this.end('target', code));
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
  /** How fast a line is. */
  bytesPerMs = Number.POSITIVE_INFINITY;
  /** Machines that answer nothing, because they do not run. */
  readonly frozen = new Set<string>();
  /** Pairs of machines that cannot reach each other. */
  readonly #apart = new Set<string>();

  constructor(readonly universe: Universe) {}

  delay(): number {
    return this.universe.chance.between(1, 8) * this.slow;
  }

  reach(a: string, b: string): boolean {
    return !this.#apart.has(pair(a, b)) && !this.frozen.has(a) && !this.frozen.has(b);
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

  /** Ends the way back of each line from `a` to `b`, and after a while the line. */
  loseAnswers(a: string, b: string, forMs: number): void {
    for (const link of this.links) {
      if (link.from.machine.name !== a || link.to.machine.name !== b) continue;
      link.loseAnswers();
      this.universe.time.after(forMs, () => link.break('ECONNRESET', 20));
    }
  }

  heal(a: string, b: string): void {
    this.#apart.delete(pair(a, b));
    this.#resume();
  }

  /** Its frames wait in its kernel and on the other sides. */
  freeze(name: string): void {
    this.frozen.add(name);
    for (const link of this.links) if (link.from.machine.name === name || link.to.machine.name === name) link.stall();
  }

  thaw(name: string): void {
    this.frozen.delete(name);
    this.#resume();
  }

  healAll(): void {
    this.#apart.clear();
    this.frozen.clear();
    this.slow = 1;
    this.bytesPerMs = Number.POSITIVE_INFINITY;
    this.#resume();
  }

  #resume(): void {
    for (const link of [...this.links]) if (this.reach(link.from.machine.name, link.to.machine.name)) link.resume();
  }
}

const pair = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);
