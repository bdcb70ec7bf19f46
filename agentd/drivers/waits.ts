/** Barriers that somebody waits for. */
import { failure } from '../../protocol/errors.js';
import { BARRIER_COUNT_MAX } from '../../protocol/limits.js';
import type { Instant } from '../../protocol/units.js';
import type { Clock } from '../ports/clock.js';
import { type Awaited, awaited } from './awaited.js';

interface Waiting extends Awaited<number> {
  readonly since: Instant;
  token: number | null;
}

/** What the connection can do for a barrier right now. */
export type BarrierRoad =
  | { readonly kind: 'issue'; readonly issue: (token: number) => void }
  | { readonly kind: 'wait' }
  /** No barrier can ever be reached from here without a person. */
  | { readonly kind: 'never'; readonly why: string };

/** Time until a barrier that the engine gave back is tried again. */
const AGAIN_MS = 250;

export class Barriers {
  readonly #waiting = new Set<Waiting>();
  #nextToken = 1;

  constructor(
    readonly clock: Clock,
    readonly id: () => number,
    readonly road: () => BarrierRoad,
  ) {}

  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves with the milliseconds it took. */
  wait(timeoutMs: number, signal: AbortSignal | undefined): Promise<number> {
    if (this.#waiting.size >= BARRIER_COUNT_MAX)
      return Promise.reject(failure('TOO_MANY', { what: 'waiting barriers', limit: BARRIER_COUNT_MAX }));
    const what = `The barrier on connection ${this.id()}`;
    const asked = awaited<number>({ clock: this.clock, timeoutMs, what, signal }, () => this.#waiting.delete(waiting));
    const waiting: Waiting = { ...asked, since: this.clock.steady(), token: null };
    this.#waiting.add(waiting);
    this.pump();
    return asked.promise;
  }

  /** The connection's state changed: issues what can be issued now. */
  pump(): void {
    for (const waiting of [...this.#waiting]) {
      if (waiting.token !== null) continue;
      const road = this.road();
      if (road.kind === 'never') waiting.reject(failure('BARRIER_FAILED', { id: this.id(), why: road.why }));
      else if (road.kind === 'issue') {
        waiting.token = this.#nextToken++;
        road.issue(waiting.token);
      }
    }
  }

  done(token: number): void {
    for (const waiting of this.#waiting)
      if (waiting.token === token) {
        waiting.resolve(Math.round(this.clock.steady() - waiting.since));
        return;
      }
  }

  /** The engine gave it back, or its stream is gone: a later barrier says the same and more, so it is tried again. */
  failed(token: number | 'all'): void {
    let again = false;
    for (const waiting of this.#waiting) {
      if (waiting.token === null || (token !== 'all' && waiting.token !== token)) continue;
      waiting.token = null;
      again = true;
    }
    if (again) this.clock.after(AGAIN_MS, () => this.pump());
  }

  end(why: string): void {
    for (const waiting of [...this.#waiting]) waiting.reject(failure('BARRIER_FAILED', { id: this.id(), why }));
  }
}
