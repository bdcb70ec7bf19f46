/** State of one connection at its source; the rules are in source.ts. */
import type { ConnectionOptions, MirrorOptions } from '../../native/index.js';
import type { Universe } from './machine.js';
import { Stream } from './stream.js';

/** A figure that the worker publishes now and then, so that it may be a little old. */
export class Published<T> {
  #old: T;
  #new: T;
  #at = 0;

  constructor(
    readonly universe: Universe,
    first: T,
  ) {
    this.#old = first;
    this.#new = first;
  }

  set(value: T): void {
    if (value === this.#new) return;
    this.#old = this.get();
    this.#new = value;
    this.#at = this.universe.time.now + this.universe.chance.between(0, 50);
  }

  /** Known at once. */
  force(value: T): void {
    this.#old = value;
    this.#new = value;
  }

  get(): T {
    return this.universe.time.now >= this.#at ? this.#new : this.#old;
  }
}

export interface Walk {
  readonly verify: boolean;
  readonly remirror: boolean;
  readonly options: MirrorOptions;
  readonly started: number;
  next: number;
  paused: boolean;
  waiting: boolean;
  lastSequence: number;
  pending: { readonly path: number; request: number } | null;
  stepping: boolean;
  skipped: number;
  different: number;
}

export interface Quarantined {
  attempts: number;
  /** Since when what it should hold is missing there. */
  readonly since: number;
  /** Infinity: told again, waiting for what the target says. */
  retryAt: number;
  sequence: number;
}

export type MirrorWord = 'idle' | 'mirroring' | 'paused' | 'waiting' | 'verifying';

/** Both stages together; what is beyond it breaks the stream, as with `queue.when_full = "disconnect"`. */
const QUEUE_BYTES_MAX = 32 * 1_048_576;

export class Channel {
  readonly stream: Stream;
  readonly told = new Set<number>();
  readonly quarantine = new Map<number, Quarantined>();
  /** `quarantined` was said, `quarantine_emptied` not yet. */
  refusalsTold = false;
  /** In the stream, and not known to be passed. */
  readonly tasks: { readonly token: number; readonly sequence: number }[] = [];
  /** Paths to be told again: after a restart, a repair, a refusal. */
  readonly repair = new Set<number>();
  replicating: boolean;
  toldAfterScan = false;
  startupRepair = false;
  expectsReplica = false;
  /** What is in doubt there is told again: from here on until it is applied. */
  repairing = false;
  /** The batch behind the last of it; 0 while not everything of it is told. */
  repairUntil = 0;
  /** Since when what the target holds is in doubt (native/engine/recovery.cc); Infinity: it is not, -Infinity: always. */
  doubt = Number.NEGATIVE_INFINITY;
  /** Only a mirror ends it. */
  mustMirror = true;
  broken = false;
  ready = false;
  paused = false;
  attached = false;
  walk: Walk | null = null;
  /** Mirror bytes not sent because equal. */
  skippedBytes = 0;
  readonly word: Published<MirrorWord>;
  readonly failed: Published<number>;

  constructor(
    universe: Universe,
    readonly id: number,
    readonly options: ConnectionOptions,
  ) {
    this.stream = new Stream(universe, QUEUE_BYTES_MAX);
    this.replicating = options.replication;
    this.word = new Published<MirrorWord>(universe, 'idle');
    this.failed = new Published(universe, 0);
  }

  publish(): void {
    const { walk } = this;
    this.word.set(
      !walk ? 'idle' : walk.verify ? 'verifying' : walk.paused ? 'paused' : walk.waiting ? 'waiting' : 'mirroring',
    );
    this.failed.set(this.quarantine.size);
  }
}
