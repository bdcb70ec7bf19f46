/** Model of native/engine/stream.h: a connection's ordered batches, kept until applied; paths until durable. */
import type { Universe } from './machine.js';
import type { Ack, Batch, Operation, StreamPosition } from './receiver.js';

export type Resume = 'resumed' | 'repair' | 'broken';

/** Batches sent and not yet applied. */
const WINDOW = 8;

export class Stream {
  id: number;
  next = 1;
  broken = false;
  queuedBytes = 0;
  batches: Batch[] = [];
  target: Ack | null = null;
  sentBytes = 0;
  sentMirrorBytes = 0;
  #sent = 0;
  #touched: { readonly sequence: number; readonly path: number }[] = [];
  /** Of changes that are not durable: since when each waits. */
  #changes: { readonly sequence: number; readonly since: number }[] = [];
  /** The target had applied everything that was in the stream by then. */
  provenAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly universe: Universe,
    readonly bytesMax: number,
  ) {
    this.id = universe.chance.between(1, 2_000_000_000);
  }

  /** What the queue takes before reading waits. */
  get roomBytes(): number {
    return Math.min(this.bytesMax / 2, 24 * 1_048_576);
  }

  get hasRoom(): boolean {
    return this.queuedBytes < this.roomBytes;
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

  /** False when the queue would exceed its limit: the stream is then broken and empty. */
  push(operation: Operation, mirror: boolean, bytes: number, since: number, wall: number): boolean {
    if (this.broken) return false;
    if (this.queuedBytes + bytes > this.bytesMax) {
      this.broken = true;
      this.#clear();
      return false;
    }
    const batch: Batch = {
      sequence: this.next++,
      stream: this.id,
      operation,
      mirror,
      bytes,
      captured: since,
      capturedWall: wall,
    };
    this.queuedBytes += bytes;
    // A heartbeat each second comes back while nothing else is on its way; the model does without.
    if (this.batches.length === 0 && this.target) this.provenAt = this.universe.time.now;
    if (operation.kind === 'write') {
      this.#touched.push({ sequence: batch.sequence, path: operation.path });
      this.#changes.push({ sequence: batch.sequence, since });
    }
    this.batches.push(batch);
    return true;
  }

  restart(): void {
    this.id = this.universe.chance.between(1, 2_000_000_000);
    this.next = 1;
    this.broken = false;
    this.target = null;
    this.#clear();
  }

  hello(): { readonly stream: number; readonly applied: number } {
    return { stream: this.id, applied: (this.batches[0]?.sequence ?? this.next) - 1 };
  }

  welcome(position: StreamPosition, repair: Set<number>): Resume {
    this.#sent = 0;
    const lowest = this.batches[0]?.sequence ?? this.next;
    if (position.stream !== this.id || position.applied >= this.next) {
      if (position.stream !== this.id && lowest === 1) return 'resumed';
      return 'broken';
    }
    if (position.applied + 1 < lowest) {
      for (const touched of this.#touched) if (touched.sequence > position.durable) repair.add(touched.path);
      return 'repair';
    }
    for (const touched of this.#touched)
      if (touched.sequence > this.applied && touched.sequence <= position.applied + 1) repair.add(touched.path);
    return 'resumed';
  }

  take(): Batch | null {
    if (this.#sent >= WINDOW) return null;
    const batch = this.batches[this.#sent];
    if (!batch) return null;
    this.#sent += 1;
    if (batch.mirror) this.sentMirrorBytes += batch.bytes;
    this.sentBytes += batch.bytes;
    return batch;
  }

  acknowledge(ack: Ack): void {
    if (ack.stream !== this.id) return;
    this.target = ack;
    for (let first = this.batches[0]; first && first.sequence <= ack.applied; first = this.batches[0]) {
      this.batches.shift();
      this.queuedBytes -= first.bytes;
      this.provenAt = Math.max(this.provenAt, first.captured);
      if (this.#sent > 0) this.#sent -= 1;
    }
    while (this.#touched[0] && this.#touched[0].sequence <= ack.durable) this.#touched.shift();
    this.#changes = this.#changes.filter((one) => one.sequence > ack.durable);
  }

  /** What was in doubt is known now, and only as durable as what is applied. */
  vouched(since: number): void {
    if (this.applied > this.durable) this.#changes.push({ sequence: this.applied, since });
  }

  /** Since when the oldest change waits that is not applied, or not durable. */
  oldestChange(durable: boolean): number {
    const behind = durable ? this.durable : this.applied;
    return Math.min(...this.#changes.filter((one) => one.sequence > behind).map((one) => one.since));
  }

  linkLost(): void {
    this.#sent = 0;
  }

  /** Nothing waits that is not on the target's disk. */
  get settled(): boolean {
    return this.durable >= this.last;
  }

  #clear(): void {
    this.batches = [];
    this.queuedBytes = 0;
    this.#sent = 0;
    this.#touched = [];
    this.#changes = [];
    this.provenAt = Number.NEGATIVE_INFINITY;
  }
}
