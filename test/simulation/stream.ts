/** Model of native/engine/stream.h: a connection's ordered batches, kept until applied; paths until durable. */
import type { Universe } from './machine.js';
import { type Budget, costOf, type DiskQueue, type FullWhy, MIB } from './queue.js';
import type { Ack, Batch, Operation, StreamPosition } from './receiver.js';

export type Resume = 'resumed' | 'repair' | 'broken';

/** Batches sent and not yet applied: the windows of source and target together. */
const WINDOW = 8;

interface Mark {
  readonly sequence: number;
  readonly since: number;
}

/** What a clean stop writes down (stream_keep.cc). Moments are of the wall clock. */
export interface KeptStream {
  readonly snapshot: number;
  readonly id: number;
  readonly next: number;
  readonly lowest: number;
  readonly boot: number;
  readonly target: Ack | null;
  readonly refusalsTaken: number;
  readonly touched: readonly { readonly sequence: number; readonly path: number }[];
  readonly changes: readonly Mark[];
  readonly doubts: readonly number[];
}

export class Stream {
  id: number;
  next = 1;
  /** Encoded, both stages. */
  queuedBytes = 0;
  queuedOps = 0;
  mirrorBytes = 0;
  mirrorOps = 0;
  /** Taken of the budget. */
  memory = 0;
  batches: Batch[] = [];
  target: Ack | null = null;
  sentBytes = 0;
  sentMirrorBytes = 0;
  refusalsTaken = 0;
  /** What is on disk cannot be read any more. */
  damaged = false;
  #sent = 0;
  #boot = 0;
  #touched: { readonly sequence: number; readonly path: number }[] = [];
  /** Of changes that are not durable: since when each waits. A later one that is older hides those before it. */
  #changes: Mark[] = [];
  /** The target had applied everything that was in the stream by then. */
  provenAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly universe: Universe,
    readonly now: () => number,
    readonly budget: Budget,
    readonly disk: DiskQueue,
  ) {
    this.id = this.#freshId();
    budget.join();
  }

  /** The process goes on without it. */
  end(): void {
    this.budget.leave(this.memory);
    this.memory = 0;
  }

  get #roomBytes(): number {
    return Math.min(this.budget.bytes / 2, 24 * MIB);
  }

  get #typical(): number {
    return Math.min(this.budget.bytes / 16, 512 * 1_024);
  }

  get last(): number {
    return this.next - 1;
  }

  get applied(): number {
    return this.target?.applied ?? 0;
  }

  get durable(): number {
    return this.target?.durable ?? 0;
  }

  get spilled(): boolean {
    return this.disk.unread > 0;
  }

  /** What both stages could hold. */
  get capacity(): number {
    return this.budget.share + this.disk.capacity;
  }

  get lowest(): number {
    return this.batches[0]?.sequence ?? (this.spilled ? this.disk.firstUnread : this.next);
  }

  /** May the worker read more changes for this stream? */
  hasRoom(flowing: boolean): boolean {
    const memory = !this.spilled && (this.queuedBytes === 0 || this.budget.wouldTake(this.memory, this.#typical));
    if (memory && (!flowing || this.queuedBytes < this.#roomBytes)) return true;
    return !flowing && this.disk.room();
  }

  /** The same for a mirror, which never fills the disk, and for what is told again. */
  walkRoom(mirror: boolean): boolean {
    if (!mirror) return !this.spilled && this.queuedBytes < this.#roomBytes;
    const memory = this.spilled || this.queuedBytes === 0 || this.budget.wouldTake(this.memory, this.#typical);
    return this.mirrorBytes < this.#roomBytes && memory;
  }

  /** Null: memory is full, and there is no disk stage. */
  get fullWhy(): FullWhy | null {
    return this.disk.enabled ? this.disk.why : null;
  }

  /** False when neither stage takes it: nothing of it was taken. */
  push(operation: Operation, mirror: boolean, bytes: number, since: number, wall: number): boolean {
    const { next: sequence, id: stream } = this;
    const about = { captured: since, capturedWall: wall, closed: this.now() };
    const batch: Batch = { sequence, stream, operation, mirror, bytes, ...about };
    const fits = !this.spilled && this.budget.take(this.memory, costOf(batch), !this.disk.enabled);
    if (!fits && !this.disk.append(batch)) return false;
    // A heartbeat each second comes back while nothing else is on its way; the model does without.
    if (this.queuedOps === 0 && this.target) this.provenAt = this.now();
    this.next += 1;
    this.#count(batch, 1);
    if (operation.kind === 'write') this.#closed(sequence, since);
    if (fits) {
      this.memory += costOf(batch);
      this.#hold(batch);
    }
    return true;
  }

  restart(): void {
    this.id = this.#freshId();
    this.next = 1;
    this.target = null;
    this.refusalsTaken = 0;
    this.breakOff();
  }

  /** Both stages are empty then. */
  breakOff(): void {
    this.#forgetQueued();
    this.disk.clear();
  }

  hello(): { readonly stream: number; readonly applied: number; readonly refusalsTaken: number } {
    return { stream: this.id, applied: this.lowest - 1, refusalsTaken: this.refusalsTaken };
  }

  welcome(position: StreamPosition, repair: Set<number>): Resume {
    this.#sent = 0;
    // After a loss of power the target holds any part of what it had not made durable, not a beginning of it: nothing of
    // that may be repeated as it was told.
    const powerLost = this.#boot !== 0 && position.boot !== this.#boot && !this.universe.mutants.powerUnseen;
    this.#boot = position.boot;
    if (this.damaged) return 'broken';
    const known = position.stream === this.id;
    if (known && position.applied >= this.next) return 'broken';
    if (!known && this.durable !== 0) return 'broken';
    if (!known && !powerLost) return this.lowest === 1 ? 'resumed' : 'broken';
    const gone = known && position.applied + 1 < this.lowest;
    if (!gone && !(powerLost && (this.#touched.length > 0 || this.spilled))) return 'resumed';
    const durable = known ? position.durable : 0;
    for (const touched of this.#touched) if (touched.sequence > durable) repair.add(touched.path);
    return 'repair';
  }

  take(): Batch | null {
    for (;;) {
      if (this.#sent >= WINDOW) return null;
      const batch = this.batches[this.#sent];
      if (batch) {
        this.#sent += 1;
        if (batch.mirror) this.sentMirrorBytes += batch.bytes;
        this.sentBytes += batch.bytes;
        return batch;
      }
      if (this.damaged || !this.spilled || !this.#fromDisk()) return null;
    }
  }

  #fromDisk(): boolean {
    const cost = this.disk.peek();
    // An acknowledgement makes room. With nothing on its way none would come: then it goes in any case.
    if (this.batches.length === 0) this.budget.charge(this.memory, cost);
    else if (!this.budget.take(this.memory, cost)) return false;
    this.memory += cost;
    const batch = this.disk.read();
    if (!batch) {
      this.#release(cost);
      const skipped = this.universe.mutants.skipsDamage ? this.disk.skip() : null;
      if (!skipped) this.damaged = true;
      else this.#count(skipped, -1);
      return skipped !== null;
    }
    if (batch.sequence > this.applied) this.#hold(batch);
    else {
      // Before the stop of an earlier run, and we did not hear of it.
      this.#release(cost);
      this.#count(batch, -1);
      this.#touch(batch);
      this.disk.applied(batch.sequence);
    }
    return true;
  }

  acknowledge(ack: Ack): void {
    if (ack.stream !== this.id) return;
    this.target = ack;
    for (let first = this.batches[0]; first && first.sequence <= ack.applied; first = this.batches[0]) {
      this.batches.shift();
      this.#count(first, -1);
      this.#release(costOf(first));
      this.provenAt = Math.max(this.provenAt, first.closed);
      if (this.#sent > 0) this.#sent -= 1;
    }
    while (this.#touched[0] && this.#touched[0].sequence <= ack.durable) this.#touched.shift();
    while (this.#changes[0] && this.#changes[0].sequence <= ack.durable) this.#changes.shift();
    this.disk.applied(Math.min(ack.applied, this.lowest - 1));
  }

  refusalTaken(id: number): void {
    this.refusalsTaken = Math.max(this.refusalsTaken, id);
  }

  /** What was in doubt is known now, and only as durable as what is applied. */
  vouched(since: number): void {
    if (this.applied <= this.durable) return;
    const later = this.#changes.filter((one) => one.sequence > this.applied);
    this.#changes = this.#changes.filter((one) => one.sequence <= this.applied && one.since < since);
    this.#changes.push({ sequence: this.applied, since });
    for (const one of later) this.#closed(one.sequence, one.since);
  }

  /** Since when the oldest change waits that is not applied, or not durable. */
  oldestChange(durable: boolean): number {
    const behind = durable ? this.durable : this.applied;
    return this.#changes.find((one) => one.sequence > behind)?.since ?? Number.POSITIVE_INFINITY;
  }

  linkLost(): void {
    this.#sent = 0;
  }

  /** Something was told that is not known to be on the target's disk. */
  get undurable(): boolean {
    return this.#touched.length > 0 || this.spilled;
  }

  // Over a clean stop.

  /** Null: it cannot be kept. */
  keep(snapshot: number, doubts: readonly number[], toWall: (since: number) => number): KeptStream | null {
    const queued = this.batches.length > 0 || this.spilled;
    if (this.damaged || (queued && !this.disk.enabled)) return null;
    const { id, next, lowest, target, refusalsTaken } = this;
    for (const batch of this.batches) if (!this.disk.keepBatch(batch)) return null;
    if (queued) this.disk.keep();
    return {
      snapshot,
      id,
      next,
      lowest,
      boot: this.#boot,
      target,
      refusalsTaken,
      touched: this.#touched.filter((one) => one.sequence < lowest),
      changes: this.#changes.map(({ sequence, since }) => ({ sequence, since: toWall(since) })),
      doubts,
    };
  }

  /** Goes on where `keep` left off, or is a fresh stream. */
  resume(
    kept: KeptStream | null,
    snapshot: number,
    fromWall: (wall: number) => number,
  ): 'nothing' | 'taken' | 'dropped' {
    const fresh = (): 'nothing' | 'dropped' => (this.disk.discardLeftovers() || kept ? 'dropped' : 'nothing');
    if (!kept || snapshot === 0 || kept.snapshot !== snapshot) return fresh();
    const { lowest, next } = kept;
    if (lowest < next && (!this.disk.enabled || !this.disk.adopt(lowest, next - 1))) return fresh();
    if (lowest === next) this.disk.discardLeftovers();
    this.id = kept.id;
    this.next = next;
    this.#boot = kept.boot;
    this.target = kept.target;
    this.refusalsTaken = kept.refusalsTaken;
    this.#touched = this.universe.mutants.forgetsTouched ? [] : [...kept.touched];
    for (const { sequence, since } of kept.changes) this.#closed(sequence, fromWall(since));
    for (const batch of this.disk.waiting()) this.#count(batch, 1);
    return 'taken';
  }

  #freshId(): number {
    return this.universe.chance.between(1, 2_000_000_000);
  }

  #closed(sequence: number, since: number): void {
    for (let last = this.#changes.at(-1); last && last.since >= since; last = this.#changes.at(-1)) this.#changes.pop();
    this.#changes.push({ sequence, since });
  }

  #count(batch: Batch, sign: 1 | -1): void {
    this.queuedBytes += sign * batch.bytes;
    this.queuedOps += sign;
    if (!batch.mirror) return;
    this.mirrorBytes += sign * batch.bytes;
    this.mirrorOps += sign;
  }

  #hold(batch: Batch): void {
    this.batches.push(batch);
    this.#touch(batch);
  }

  #touch({ sequence, operation }: Batch): void {
    if (operation.kind === 'write') this.#touched.push({ sequence, path: operation.path });
  }

  #release(cost: number): void {
    this.budget.give(this.memory, cost);
    this.memory -= cost;
  }

  #forgetQueued(): void {
    this.#release(this.memory);
    this.batches = [];
    this.queuedBytes = this.queuedOps = this.mirrorBytes = this.mirrorOps = 0;
    this.#sent = 0;
    this.#touched = [];
    this.#changes = [];
    this.damaged = false;
    this.provenAt = Number.NEGATIVE_INFINITY;
  }
}
