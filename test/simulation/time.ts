/** Chance from one seed, and time that passes only when the next thing happens. */

/** sfc32, seeded through splitmix32: small, fast, and the same on every machine. */
export class Chance {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    let state = seed >>> 0;
    const split = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return (z ^ (z >>> 15)) | 0;
    };
    this.#a = split();
    this.#b = split();
    this.#c = split();
    for (let round = 0; round < 12; round++) this.next();
  }

  /** 0 <= next < 1 */
  next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    return (t >>> 0) / 4_294_967_296;
  }

  /** 0 <= below < n */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** Whole, both ends possible. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }
}

interface Due {
  readonly at: number;
  readonly order: number;
  call: (() => void) | null;
}

/** Wall clock of every machine at the beginning. */
const EPOCH = 1_700_000_000_000;

/** A heap of things to come. Two at one moment happen in the order they were asked for. */
export class SimTime {
  /** Monotonic milliseconds since the simulation began. */
  now = 0;
  /** Things that happened. */
  steps = 0;
  readonly #heap: Due[] = [];
  #order = 0;

  /** The returned function withdraws it. */
  after(ms: number, call: () => void): () => void {
    const due: Due = { at: this.now + Math.max(0, ms), order: this.#order++, call };
    this.#push(due);
    return () => {
      due.call = null;
    };
  }

  /** Makes the next thing happen. False when nothing is to come. */
  step(): boolean {
    for (;;) {
      const due = this.#pop();
      if (!due) return false;
      if (!due.call) continue;
      this.now = due.at;
      this.steps += 1;
      const { call } = due;
      due.call = null;
      call();
      return true;
    }
  }

  #before(a: Due, b: Due): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const above = heap[up] as Due;
      if (!this.#before(due, above)) break;
      heap[at] = above;
      at = up;
    }
    heap[at] = due;
  }

  #pop(): Due | null {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last) return null;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && this.#before(heap[down + 1] as Due, heap[down] as Due)) down += 1;
      if (!this.#before(heap[down] as Due, last)) break;
      heap[at] = heap[down] as Due;
      at = down;
    }
    heap[at] = last;
    return first;
  }
}

/**
 * The clocks and timers of one machine. Its wall clock can be set; its monotonic one goes on by itself, except while the
 * machine is suspended. While it is suspended, or its agent stopped, nothing of it runs.
 */
export class MachineTime {
  /** What the wall clock is wrong by. */
  #wallOffset = 0;
  neverSet = true;
  /** Since when it runs without a break, by its monotonic clock. */
  awakeSince = 0;
  /** When it stood still last. */
  frozenAt = Number.POSITIVE_INFINITY;
  #slept = 0;
  #frozen: { readonly since: number; readonly suspended: boolean } | null = null;
  #held: (() => void)[] = [];

  constructor(readonly world: SimTime) {}

  /** Monotonic. */
  get now(): number {
    const asleep = this.#frozen?.suspended ? this.world.now - this.#frozen.since : 0;
    return this.world.now - this.#slept - asleep;
  }

  wall(): number {
    return EPOCH + Math.floor(this.world.now) + this.#wallOffset;
  }

  /** How far the wall clock is ahead of the monotonic one. */
  get drift(): number {
    return this.wall() - this.now;
  }

  /** Only the wall clock. */
  setWall(byMs: number): void {
    this.#wallOffset += byMs;
    if (byMs !== 0) this.neverSet = false;
  }

  get frozen(): boolean {
    return this.#frozen !== null;
  }

  get suspended(): boolean {
    return this.#frozen?.suspended ?? false;
  }

  after(ms: number, call: () => void): () => void {
    const due = this.now + Math.max(0, ms);
    let withdrawn = false;
    const fire = (): void => {
      if (withdrawn) return;
      if (this.#frozen) this.#held.push(fire);
      else if (this.now + 1e-6 < due) this.world.after(due - this.now, fire);
      else call();
    };
    const withdraw = this.world.after(ms, fire);
    return () => {
      withdrawn = true;
      withdraw();
    };
  }

  /** @param suspended the whole machine; otherwise its agent only, which is stopped as by SIGSTOP */
  freeze(suspended: boolean): void {
    if (this.#frozen) return;
    this.frozenAt = this.now;
    this.#frozen = { since: this.world.now, suspended };
  }

  thaw(): void {
    if (!this.#frozen) return;
    if (this.#frozen.suspended) this.#slept += this.world.now - this.#frozen.since;
    this.#frozen = null;
    this.awakeSince = this.now;
    this.neverSet &&= this.#slept === 0;
    for (const fire of this.#held.splice(0)) this.world.after(0, fire);
  }
}
