/** Model of the target side of one connection: native/engine/receiver.h and marks.h. */
import type { MarkFile, Machine, Replica, Universe } from './machine.js';

export interface StreamPosition {
  readonly stream: number;
  readonly applied: number;
  readonly durable: number;
  /** Nothing was ever applied here. */
  readonly fresh: boolean;
  /** Of the machine. */
  readonly boot: number;
}

export interface Hello {
  readonly stream: number;
  readonly applied: number;
  readonly refusalsTaken: number;
}

export interface Operation {
  readonly kind: 'write' | 'manifest' | 'checkpoint' | 'task';
  readonly path: number;
  readonly version: number;
  /** Of a manifest: names the answer. */
  readonly request: number;
  readonly task?: { readonly payload: Buffer; readonly durable: boolean };
}

export interface Batch {
  readonly sequence: number;
  readonly stream: number;
  readonly operation: Operation;
  readonly mirror: boolean;
  readonly bytes: number;
  /** Monotonic time of its reading. */
  readonly captured: number;
  readonly capturedWall: number;
  /** When it was put into the stream. */
  readonly closed: number;
}

export interface Ack {
  readonly stream: number;
  readonly applied: number;
  readonly durable: number;
  readonly paused: boolean;
  readonly retrying: boolean;
}

/** What the receiver says to its source. */
export type Answer =
  | { readonly kind: 'ack'; readonly ack: Ack }
  | {
      readonly kind: 'nak';
      readonly stream: number;
      readonly id: number;
      readonly path: number;
      readonly sequence: number;
    }
  | { readonly kind: 'manifest'; readonly request: number; readonly version: number };

const CHECKPOINT_MS = 1_000;

export class Receiver {
  readonly mark: MarkFile;
  readonly #replica: Replica;
  #queue: Batch[] = [];
  #lastReceived: number;
  #foreign = false;
  #paused = false;
  #retrying = false;
  #busy = false;
  #closed = false;
  #syncing = false;
  /** Of the task it stands at; 0: it does not. */
  #ticket = 0;
  #tickets = 0;
  operations = 0;

  /** @throws EWOULDBLOCK while another receiver holds the mark */
  constructor(
    readonly universe: Universe,
    readonly machine: Machine,
    readonly markPath: string,
    root: string,
    readonly retryMs: number,
    readonly send: (answer: Answer) => void,
    readonly report: (what: string, detail: string, code: string, call: string) => void,
    readonly alive: () => boolean,
    /** The stream stands at a task. */
    readonly onTask: (ticket: number, payload: Buffer, ready: boolean) => void,
  ) {
    const replica = machine.replicas.get(root);
    if (!replica) throw new Error(`no such replica: ${root}`);
    this.#replica = replica;
    let mark = machine.marks.get(markPath);
    if (mark?.held) throw Object.assign(new Error('EWOULDBLOCK, flock'), { code: 'EWOULDBLOCK', call: 'flock(mark)' });
    if (!mark) {
      const slot = { stream: 0, durable: 0, previous: 0, replica: replica.identity };
      mark = {
        stream: 0,
        applied: 0,
        boot: machine.boot,
        previous: 0,
        replica: replica.identity,
        slot,
        held: false,
        refusals: [],
        refusalsSynced: 0,
        refusalsLast: 0,
      };
      machine.marks.set(markPath, mark);
    }
    if (mark.slot.stream !== 0 && mark.slot.replica !== replica.identity) {
      report('replica_changed', root, 'ESTALE', 'open(mark)');
      mark.slot = { stream: 0, durable: 0, previous: 0, replica: replica.identity };
      mark.boot = 0;
    }
    if (mark.boot !== machine.boot || mark.replica !== replica.identity) {
      // The machine was off: only what was synced counts.
      const { stream, durable, previous } = mark.slot;
      Object.assign(mark, { stream, applied: durable, previous, boot: machine.boot, replica: replica.identity });
    }
    if (mark.slot.stream !== mark.stream) mark.slot = { ...mark.slot, stream: mark.stream, durable: 0 };
    mark.held = true;
    mark.refusals = mark.refusals.filter((one) => one.stream === mark.stream);
    mark.refusalsSynced = mark.refusals.length;
    mark.refusalsLast = mark.refusals.at(-1)?.id ?? 0;
    this.mark = mark;
    this.#lastReceived = mark.applied;
  }

  get applied(): number {
    return this.mark.applied;
  }

  get durable(): number {
    return this.mark.slot.durable;
  }

  get task(): boolean {
    return this.#ticket !== 0;
  }

  taskDone(ticket: number): void {
    if (this.#ticket !== ticket || this.#closed) return;
    this.#ticket = 0;
    this.#passed = true;
    this.#pump();
  }

  #passed = false;

  get retrying(): boolean {
    return this.#retrying;
  }

  get queuedBytes(): number {
    return this.#queue.reduce((sum, batch) => sum + batch.bytes, 0);
  }

  position(hello: Hello): StreamPosition {
    const { mark } = this;
    if (hello.stream !== 0 && hello.stream !== mark.stream && hello.applied === 0) this.#begin(hello.stream);
    this.#foreign = hello.stream === 0 || hello.stream !== mark.stream;
    const fresh = mark.stream === 0 || (mark.previous === 0 && mark.applied === 0);
    const { boot } = this.machine;
    return { stream: mark.stream, applied: mark.applied, durable: mark.slot.durable, fresh, boot };
  }

  /** What was refused and not taken is told once more, ahead of everything else. */
  announce(taken: number): void {
    this.refusalsTaken(taken);
    if (this.mark.refusals.length > 0) this.universe.seen('refusal again');
    for (const one of this.mark.refusals) this.send({ kind: 'nak', ...one });
    this.acknowledge();
  }

  refusalsTaken(id: number): void {
    const { mark } = this;
    // Numbers go on where the source knows them to be: one that it took once stands for no other.
    if (!this.universe.mutants.refusalsRestart) mark.refusalsLast = Math.max(mark.refusalsLast, id);
    const left = mark.refusals.filter((one) => one.id > id);
    mark.refusalsSynced = Math.max(0, mark.refusalsSynced - (mark.refusals.length - left.length));
    mark.refusals = left;
  }

  #begin(stream: number): void {
    const { mark } = this;
    const fresh = mark.stream === 0 || (mark.previous === 0 && mark.applied === 0);
    const previous = fresh ? 0 : mark.stream;
    // What the old stream wrote may be compared by the new one's mirror: it has to be on disk before.
    this.#replica.sync();
    this.#queue = [];
    this.#ticket = 0;
    this.#passed = false;
    this.#lastReceived = 0;
    this.#retrying = false;
    Object.assign(mark, { stream, applied: 0, previous, refusals: [], refusalsSynced: 0, refusalsLast: 0 });
    mark.slot = { stream, durable: 0, previous, replica: this.#replica.identity };
  }

  /** False: the peer broke the protocol, the link has to be closed. */
  receive(batch: Batch): boolean {
    if (this.#closed || this.#foreign) return false;
    if (batch.stream !== this.mark.stream) return false;
    const { mutants, seen } = this.universe;
    if (batch.sequence <= this.#lastReceived) {
      // Sent again after a reconnect.
      seen('duplicate');
      if (!mutants.appliesTwice) return true;
    } else if (batch.sequence !== this.#lastReceived + 1 && !mutants.skipsDamage) return false;
    this.#lastReceived = batch.sequence;
    this.#queue.push(batch);
    this.#pump();
    return true;
  }

  pause(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    this.acknowledge();
    this.#pump();
  }

  /** The link is gone: what is applied is synced, what is queued comes again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#checkpoint();
    this.mark.held = false;
  }

  acknowledge(): void {
    const { mark } = this;
    if (mark.stream === 0) return;
    this.send({
      kind: 'ack',
      ack: {
        stream: mark.stream,
        applied: mark.applied,
        durable: mark.slot.durable,
        paused: this.#paused,
        retrying: this.#retrying,
      },
    });
  }

  #pump(): void {
    if (this.#busy || this.#closed || this.#paused || this.#queue.length === 0 || this.#ticket !== 0) return;
    const { universe, machine } = this;
    this.#busy = true;
    const stream = this.mark.stream;
    machine.time.after(universe.timing.applyMs * machine.slowness, () => {
      if (!this.alive()) return;
      this.#busy = false;
      if (this.#closed) return;
      if (!this.#paused && this.mark.stream === stream) this.#apply();
      this.#pump();
    });
  }

  #apply(): void {
    const { universe, machine, mark } = this;
    const batch = this.#queue[0];
    if (!batch) return;
    const { operation } = batch;
    if (operation.kind === 'write' && machine.replicasFull) {
      if (!this.#retrying) {
        this.#retrying = true;
        this.report('retrying', `p${operation.path}`, 'ENOSPC', 'write');
        this.acknowledge();
      }
      this.#busy = true;
      machine.time.after(this.retryMs, () => {
        if (!this.alive()) return;
        this.#busy = false;
        this.#pump();
      });
      return;
    }
    if (this.#retrying) {
      this.#retrying = false;
      this.report('retry_succeeded', `p${operation.path}`, '', '');
    }
    const { mutants, chance } = universe;
    if (operation.task && !this.#passed) {
      if (operation.task.durable) this.#checkpoint();
      this.#ticket = ++this.#tickets;
      this.onTask(this.#ticket, operation.task.payload, true);
      return;
    }
    this.#passed = false;
    switch (operation.kind) {
      case 'write':
        if (machine.refused.has(operation.path)) {
          mark.refusalsLast += 1;
          const { stream, refusalsLast: id } = mark;
          const refusal = { stream, id, path: operation.path, sequence: batch.sequence };
          mark.refusals.push(refusal);
          this.send({ kind: 'nak', ...refusal });
          this.report('quarantined', `p${operation.path}`, 'EPERM', 'open');
        } else if (!(mutants.dropAcknowledged && chance.happens(0.05)))
          this.#replica.put(operation.path, operation.version);
        break;
      case 'manifest':
        this.send({ kind: 'manifest', request: operation.request, version: this.#replica.live[operation.path] ?? 0 });
        break;
      case 'checkpoint':
      case 'task':
        break;
    }
    universe.trace(
      () =>
        `${machine.name}: ${operation.kind} of path ${operation.path} as ${operation.version} applied, batch ${batch.sequence} of ${mark.stream}`,
    );
    this.operations += 1;
    this.#queue.shift();
    mark.applied = batch.sequence;
    if (operation.kind === 'checkpoint' && !mutants.durableTooEarly) this.#checkpoint();
    else if (mutants.durableTooEarly) mark.slot = { ...mark.slot, durable: mark.applied };
    this.acknowledge();
    this.#checkpointSoon();
  }

  #checkpointSoon(): void {
    if (this.#syncing || this.mark.slot.durable === this.mark.applied) return;
    this.#syncing = true;
    this.machine.time.after(CHECKPOINT_MS, () => {
      if (!this.alive()) return;
      this.#syncing = false;
      if (this.#closed) return;
      this.#checkpoint();
      this.acknowledge();
    });
  }

  #checkpoint(): void {
    const { mark } = this;
    this.#replica.sync();
    mark.refusalsSynced = mark.refusals.length;
    if (mark.slot.stream === mark.stream) mark.slot = { ...mark.slot, durable: mark.applied };
  }
}
