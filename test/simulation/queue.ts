/** Model of native/engine/queue_budget.h and disk_queue.h: memory that streams share, and segment files on a volume. */
import type { Machine } from './machine.js';
import type { Batch } from './receiver.js';

export const MIB = 1_048_576;

const FLOOR_MAX = 2 * MIB;
const SEGMENT = 16 * MIB;
/** Room means room for more than one small batch. */
const SPARE = MIB;
const MEASURE_MS = 200;

/** QUE-04: each member has a floor of its own; what it holds beyond comes from a pool. */
export class Budget {
  readonly #floor: number;
  #members = 0;
  #used = 0;

  constructor(readonly bytes: number) {
    this.#floor = Math.min(FLOOR_MAX, Math.max(4_096, bytes / 8));
  }

  join(): void {
    this.#members += 1;
  }

  leave(own: number): void {
    this.give(own, own);
    this.#members -= 1;
  }

  take(own: number, cost: number, urgent = false): boolean {
    const more = this.#beyond(own + cost) - this.#beyond(own);
    if (more > 0 && !this.#fits(own, more, urgent)) return false;
    this.#used += more;
    return true;
  }

  wouldTake(own: number, cost: number): boolean {
    const more = this.#beyond(own + cost) - this.#beyond(own);
    return more === 0 || this.#fits(own, more, false);
  }

  /** Whether it fits or not: it is there already. */
  charge(own: number, cost: number): void {
    this.#used += this.#beyond(own + cost) - this.#beyond(own);
  }

  give(own: number, cost: number): void {
    this.#used -= this.#beyond(own) - this.#beyond(own - cost);
  }

  get share(): number {
    return Math.min(this.bytes, this.#floor + (this.#pool / 3) * 2);
  }

  get #pool(): number {
    return Math.max(0, this.bytes - this.#floor * this.#members);
  }

  #beyond(own: number): number {
    return Math.max(0, own - this.#floor);
  }

  #fits(own: number, more: number, urgent: boolean): boolean {
    if (own === 0) return true;
    const left = Math.max(0, this.#pool - this.#used);
    return more <= left && (urgent || this.#beyond(own) < 2 * left);
  }
}

export interface QueueRecord {
  readonly batch: Batch;
  /** Its checksum does not fit any more. */
  torn: boolean;
}

export interface Segment {
  readonly records: QueueRecord[];
  bytes: number;
  synced: boolean;
}

/** Where queues lie. */
export class Volume {
  readonly folders = new Map<string, Segment[]>();
  /** Taken by everybody else. */
  others = 0;

  constructor(readonly size: number) {}

  get free(): number {
    let used = this.others;
    for (const segments of this.folders.values()) for (const segment of segments) used += segment.bytes;
    return Math.max(0, this.size - used);
  }

  /** What was not synced is torn, or not there at all. */
  losePower(survives: () => boolean): void {
    for (const [folder, segments] of this.folders) {
      for (const { synced, records } of segments) if (!synced) for (const record of records) record.torn = !survives();
      const left = segments.filter((segment) => segment.synced || survives());
      this.folders.set(folder, left);
    }
  }

  forget(below: (name: string) => boolean): void {
    for (const folder of this.folders.keys()) if (below(folder)) this.folders.delete(folder);
  }
}

export type FullWhy = 'EDQUOT' | 'ENOSPC';

/** What a batch takes of memory or of a file, with the names of what it touches. */
export const costOf = (batch: Batch): number => batch.bytes + 64;

export class DiskQueue {
  /** Why the last append failed, or why there is no room. */
  why: FullWhy | null = null;
  #read = { segment: 0, record: 0 };
  #available = 0;
  #measuredAt = Number.NEGATIVE_INFINITY;
  #kept = false;
  /** What lies there is of this run: before it is looked at, it may be of an earlier one. */
  #ours = false;
  #unread = 0;

  constructor(
    readonly machine: Machine,
    readonly folder: string,
    /** -1: any number, 0: there is no disk stage. */
    readonly bytesMax: number,
    readonly freeMin: number,
  ) {}

  get enabled(): boolean {
    return this.bytesMax !== 0;
  }

  get unread(): number {
    return this.#unread;
  }

  get bytes(): number {
    if (!this.#ours) return 0;
    let sum = 0;
    for (const segment of this.#segments) sum += segment.bytes;
    return sum;
  }

  get capacity(): number {
    if (!this.enabled) return 0;
    const possible = this.bytes + Math.max(0, this.#available - this.freeMin);
    return this.bytesMax < 0 ? possible : Math.min(this.bytesMax, possible);
  }

  get firstUnread(): number {
    return this.#next()?.batch.sequence ?? 0;
  }

  append(batch: Batch): boolean {
    if (!this.enabled || this.#kept) return false;
    this.why = this.#fits(costOf(batch), true);
    if (this.why !== null) return false;
    const segments = this.#segments;
    const last = segments.at(-1);
    const follows = last?.records.at(-1)?.batch.sequence === batch.sequence - 1;
    if (!last || !follows || last.bytes >= SEGMENT) segments.push({ records: [], bytes: 0, synced: false });
    this.#write(segments.at(-1) as Segment, batch);
    this.#unread += 1;
    return true;
  }

  /** May more be appended? Looks at the volume now and then. */
  room(): boolean {
    if (!this.enabled || this.#kept) return false;
    if (this.machine.time.now - this.#measuredAt >= MEASURE_MS) this.why = this.#fits(SPARE, true);
    return this.why === null;
  }

  peek(): number {
    const record = this.#next();
    return record ? costOf(record.batch) : 0;
  }

  /** Null: it is damaged. */
  read(): Batch | null {
    const record = this.#next();
    if (!record || record.torn) return null;
    this.#read.record += 1;
    this.#unread -= 1;
    return record.batch;
  }

  /** What was not read yet. */
  waiting(): readonly Batch[] {
    const all = this.#segments.flatMap(({ records }) => records.map((one) => one.batch));
    return this.#unread === 0 ? [] : all.slice(-this.#unread);
  }

  /** For a mutant: the next one is passed over. */
  skip(): Batch | null {
    const record = this.#next();
    if (!record) return null;
    this.#read.record += 1;
    this.#unread -= 1;
    return record.batch;
  }

  applied(sequence: number): void {
    const segments = this.#segments;
    for (
      let first = segments[0];
      first && (first.records.at(-1)?.batch.sequence ?? 0) <= sequence;
      first = segments[0]
    ) {
      if (this.#read.segment === 0 && this.#read.record < first.records.length) return;
      segments.shift();
      if (this.#read.segment > 0) this.#read.segment -= 1;
      else this.#read.record = 0;
    }
  }

  clear(): void {
    this.#segments.splice(0);
    this.#read = { segment: 0, record: 0 };
    this.#unread = 0;
    this.#measuredAt = Number.NEGATIVE_INFINITY;
  }

  // From one run to the next.

  /** A batch of the memory stage; the maximum does not count. */
  keepBatch(batch: Batch): boolean {
    const segments = this.#segments;
    if (segments.some(({ records }) => records.some((one) => one.batch.sequence === batch.sequence))) return true;
    if (this.#fits(costOf(batch), false) !== null) return false;
    let at = segments.findIndex(({ records }) => (records[0]?.batch.sequence ?? 0) > batch.sequence);
    if (at < 0) at = segments.length;
    const before = segments[at - 1];
    const follows = before?.records.at(-1)?.batch.sequence === batch.sequence - 1 && before.bytes < SEGMENT;
    if (!follows) segments.splice(at++, 0, { records: [], bytes: 0, synced: false });
    this.#write(segments[at - 1] as Segment, batch);
    return true;
  }

  keep(): void {
    for (const segment of this.#segments) segment.synced = true;
    this.#kept = true;
  }

  /** Takes over what was kept. False: it is not all there. */
  adopt(first: number, last: number): boolean {
    const segments = this.#segments;
    this.#ours = true;
    while (segments[0] && (segments[0].records.at(-1)?.batch.sequence ?? 0) < first) segments.shift();
    const all = segments.flatMap(({ records }) => records.map((one) => one.batch.sequence));
    const skipped = all.indexOf(first);
    if (skipped < 0 || all.at(-1) !== last || all.length - skipped !== last - first + 1) return false;
    this.#read = { segment: 0, record: skipped };
    this.#unread = last - first + 1;
    return true;
  }

  /** Removes what an earlier run left, without using it. True: there was something. */
  discardLeftovers(): boolean {
    this.#ours = true;
    return this.#segments.splice(0).length > 0;
  }

  get #segments(): Segment[] {
    const { folders } = this.machine.queues;
    let segments = folders.get(this.folder);
    if (!segments) {
      segments = [];
      folders.set(this.folder, segments);
    }
    return segments;
  }

  #next(): QueueRecord | null {
    if (this.#unread === 0) return null;
    const segments = this.#segments;
    for (;;) {
      const segment = segments[this.#read.segment];
      const record = segment?.records[this.#read.record];
      if (record) return record;
      // Taken away under our feet: the same as damage.
      if (!segment) return { batch: LOST, torn: true };
      this.#read = { segment: this.#read.segment + 1, record: 0 };
    }
  }

  /** QUE-07, QUE-08: both limits count. */
  #fits(size: number, limited: boolean): FullWhy | null {
    const { queues, disk, time } = this.machine;
    this.#measuredAt = time.now;
    this.#available = disk.full ? 0 : queues.free;
    if (limited && this.bytesMax >= 0 && this.bytes + size > this.bytesMax) return 'EDQUOT';
    return this.#available - size < this.freeMin ? 'ENOSPC' : null;
  }

  #write(segment: Segment, batch: Batch): void {
    segment.records.push({ batch, torn: false });
    segment.bytes += costOf(batch);
    segment.synced = false;
  }
}

const LOST: Batch = {
  sequence: 0,
  stream: 0,
  operation: { kind: 'checkpoint', path: 0, version: 0, request: 0 },
  mirror: false,
  bytes: 0,
  captured: 0,
  capturedWall: 0,
  closed: 0,
};
