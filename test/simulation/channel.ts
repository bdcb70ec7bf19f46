/** State of one connection at its source; the rules are in source.ts and the files beside it. */
import type { ConnectionOptions, MirrorOptions } from '../../native/index.js';
import type { Machine, Universe } from './machine.js';
import { type Budget, DiskQueue } from './queue.js';
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
  /** Replication was off meanwhile: what it passed already may have changed, and nobody was told. */
  missed: boolean;
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
  /** First and last batch of what was told again last. */
  from: number;
  sequence: number;
}

export type MirrorWord = 'idle' | 'mirroring' | 'paused' | 'waiting' | 'verifying';

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
  /** Nothing counts as told before the first look has come to its end, or before a mirror begins. */
  toldAfterScan = false;
  toldByMirror = false;
  /** Goes on with the queue of the last run: what that run told is not in doubt, but for `doubts`. */
  resumed = false;
  doubts: readonly number[] = [];
  startupRepair = false;
  expectsReplica = false;
  /** What is in doubt there is told again: from here on until it is applied. */
  repairing = false;
  /** What was found up to here is part of it. */
  repairSince = 0;
  /** The batch behind the last of it; 0 while not everything of it is told. */
  repairUntil = 0;
  /** Since when what the target holds is in doubt (native/engine/recovery.cc); Infinity: it is not, -Infinity: always. */
  doubt = Number.NEGATIVE_INFINITY;
  /** The wall clock was put back since the last run: the age that it gave is too small (the checkers have to know). */
  understated = false;
  /** Only a mirror ends it. */
  mustMirror = true;
  broken = false;
  /** The queue was exhausted: nothing is told until it is drained, names are kept. */
  behind = false;
  readonly later = new Set<number>();
  fullTold = false;
  useTold = false;
  ready = false;
  paused = false;
  linking: boolean;
  attached = false;
  walk: Walk | null = null;
  /** Mirror bytes not sent because equal. */
  skippedBytes = 0;
  readonly word: Published<MirrorWord>;
  readonly failed: Published<number>;
  readonly full: Published<boolean>;

  constructor(
    universe: Universe,
    machine: Machine,
    budget: Budget,
    readonly id: number,
    readonly options: ConnectionOptions,
  ) {
    const { queueFolder, queueDiskBytesMax, queueFreeBytesMin } = options;
    const bytesMax = universe.mutants.noDiskLimit && queueDiskBytesMax > 0 ? -1 : queueDiskBytesMax;
    const disk = new DiskQueue(machine, queueFolder, bytesMax, queueFreeBytesMin);
    this.stream = new Stream(universe, () => machine.time.now, budget, disk);
    this.replicating = options.replication;
    this.linking = options.linking;
    this.word = new Published<MirrorWord>(universe, 'idle');
    this.failed = new Published(universe, 0);
    this.full = new Published(universe, false);
  }

  /** Batches are on their way: the link is up, and neither side has paused. */
  get flowing(): boolean {
    return this.ready && !this.paused && this.linking && !(this.stream.target?.paused ?? false);
  }

  publish(): void {
    const { walk } = this;
    this.word.set(
      !walk ? 'idle' : walk.verify ? 'verifying' : walk.paused ? 'paused' : walk.waiting ? 'waiting' : 'mirroring',
    );
    this.failed.set(this.quarantine.size);
  }
}
