/** Barriers and tasks: behind everything that changed before they were asked for (native/engine/barriers.cc). */
import type { Channel } from './channel.js';
import type { Source } from './source.js';

interface Barrier {
  readonly channel: Channel;
  readonly token: number;
  asked: number;
  sequence: number;
  readonly task?: { readonly payload: Buffer; readonly durable: boolean };
}

/** A path that keeps failing does not hold barriers up for ever. */
const ATTEMPTS_MAX = 4;

export class Barriers {
  readonly #all: Barrier[] = [];

  constructor(readonly source: Source) {}

  barrier(channel: Channel, token: number): void {
    this.#all.push({ channel, token, asked: 0, sequence: 0 });
    this.source.pump();
  }

  task(channel: Channel, token: number, payload: Buffer, durable: boolean): void {
    this.#all.push({ channel, token, asked: 0, sequence: 0, task: { payload, durable } });
    this.source.pump();
  }

  taskCancel(channel: Channel, token: number): void {
    const found = this.#all.find((one) => one.channel === channel && one.token === token && one.task);
    if (found) this.#fail(found, 'it was cancelled');
  }

  /** The stream of a channel ends: what was in it may have been reached, or never will. */
  tasksLost(channel: Channel, why: string): void {
    for (const { token } of channel.tasks.splice(0))
      this.source.host.tell({ kind: 'task_failed', connection: channel.id, token, why, placed: true });
  }

  askAgain(channel: Channel): void {
    for (const barrier of this.#all) if (barrier.channel === channel) barrier.sequence = 0;
  }

  end(channel: Channel): void {
    for (const barrier of this.#all.filter((one) => one.channel === channel)) this.#fail(barrier, 'disconnected');
  }

  /** Since when the oldest of them waits for what changed before it. */
  oldestAsked(): number {
    const open = this.#all.filter(({ sequence, asked }) => sequence === 0 && asked !== 0);
    return Math.min(...open.map(({ asked }) => asked));
  }

  begin(): void {
    const { source } = this;
    const fresh = this.#all.filter((barrier) => barrier.asked === 0);
    if (fresh.length === 0) return;
    for (const barrier of fresh) barrier.asked = source.now;
    if (source.scanning) source.scanAgain = true;
    else source.rescan(false);
  }

  #met({ channel, asked }: Barrier): boolean {
    const { source } = this;
    if (source.scanning || source.scanAgain || channel.walk || channel.toldByMirror || channel.behind) return false;
    if (channel.startupRepair || channel.repair.size > 0) return false;
    for (const since of source.dirty.values()) if (since <= asked) return false;
    for (const entry of channel.quarantine.values()) if (entry.attempts < ATTEMPTS_MAX) return false;
    return true;
  }

  #blocked({ channel }: Barrier): string | null {
    if (channel.broken) return 'a mirror is required';
    if (this.source.stopped) return 'the set is stopped: a root is not what it was';
    if (!channel.replicating && !channel.walk) return 'replication is stopped';
    return channel.walk?.paused ? 'the mirror is paused' : null;
  }

  finish(): void {
    const { source } = this;
    for (const { tasks, stream } of source.channels)
      while (tasks[0] && tasks[0].sequence <= stream.applied) tasks.shift();
    for (const barrier of [...this.#all]) this.#finish(barrier);
    if (this.#all.length > 0) source.poll();
  }

  #finish(barrier: Barrier): void {
    const { source } = this;
    const { channel, task, token } = barrier;
    const { stream, id: connection } = channel;
    const why = this.#blocked(barrier);
    if (why) {
      this.#fail(barrier, why);
      return;
    }
    if (barrier.sequence === 0 && barrier.asked !== 0 && this.#met(barrier)) {
      const common = { path: 0, version: 0, request: 0 };
      source.emit(channel, task ? { kind: 'task', ...common, task } : { kind: 'checkpoint', ...common }, false);
      // There was no room for it.
      if (channel.behind || channel.broken) return;
      barrier.sequence = stream.last;
      if (task) {
        channel.tasks.push({ token, sequence: barrier.sequence });
        this.#all.splice(this.#all.indexOf(barrier), 1);
        source.host.tell({ kind: 'task_placed', connection, token, sequence: barrier.sequence });
        return;
      }
    }
    if (barrier.sequence === 0 || stream.durable < barrier.sequence) return;
    if (channel.quarantine.size > 0 && !this.#met(barrier)) {
      barrier.sequence = 0;
      return;
    }
    this.#all.splice(this.#all.indexOf(barrier), 1);
    source.host.tell({ kind: 'barrier_done', connection, token });
  }

  #fail(barrier: Barrier, why: string): void {
    const at = this.#all.indexOf(barrier);
    if (at < 0) return;
    this.#all.splice(at, 1);
    const { channel, token, task } = barrier;
    const { host } = this.source;
    if (task) host.tell({ kind: 'task_failed', connection: channel.id, token, why, placed: false });
    else host.tell({ kind: 'barrier_failed', connection: channel.id, token, why });
  }
}
