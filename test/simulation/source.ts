/**
 * Model of one set's worker: native/engine/source.h. Events are hints, reconcile is truth.
 *
 * Here are roots, capture, looking and telling; the files beside it have what native/engine has in files of those names.
 */
import type { EngineEvent, SourceOptions, SourceStatistics } from '../../native/index.js';
import { type Channel, Published } from './channel.js';
import type { Machine, ShadowFile, Tree, Universe } from './machine.js';
import type { Ack, Operation } from './receiver.js';
import { Barriers } from './source-barriers.js';
import { Queueing } from './source-queueing.js';
import { Recovery } from './source-recovery.js';
import { Refusals } from './source-refusals.js';
import { Streams } from './source-streams.js';
import { Walks } from './source-walk.js';

export interface SourceHost {
  readonly universe: Universe;
  readonly machine: Machine;
  alive(): boolean;
  tell(event: EngineEvent): void;
  connect(channel: Channel): void;
  disconnect(channel: Channel): void;
  /** Batches may flow. */
  send(channel: Channel): void;
  /** Refusals up to this one need not be told again. */
  confirm(channel: Channel, id: number): void;
}

const ROOT_CHECK_MS = 1_000;
const ATTACH_PATIENCE_MS = 10_000;

export class Source {
  readonly tree: Tree;
  readonly channels: Channel[] = [];
  readonly shadow: number[];
  readonly file: ShadowFile | null;
  readonly log: Set<number>;
  /** Names in the log of the last run: what became of them is in doubt. */
  readonly startupRepair: Set<number>;
  /** The last run did not end in an orderly way; and it ended with the power. */
  readonly unclean: boolean;
  readonly powerLost: boolean;
  readonly state: Published<SourceStatistics['state']>;
  readonly barriers = new Barriers(this);
  readonly queueing = new Queueing(this);
  readonly recovery = new Recovery(this);
  readonly refusals = new Refusals(this);
  readonly streams = new Streams(this);
  readonly walks = new Walks(this);
  /** Path and since when it is dirty. */
  readonly dirty = new Map<number, number>();
  ready = false;
  capturing = false;
  stopped = false;
  suspended = false;
  scanning = false;
  /** Events were lost, and what they told of is not looked at yet. */
  doubt = false;
  /** A stream that was closed may lack something of what the shadow says. */
  leftBehind = false;
  stopSnapshot = 0;
  /** What happened by then is accounted for. */
  lookedAt: number | null = null;
  /** Events are lost while this is on. */
  lossy = false;
  #closed = false;
  #scanSince = 0;
  scanAgain = false;
  /** A look was begun and has not come to its end, perhaps because a root is not what it was. */
  #scanOwed = false;
  #current: number | null = null;
  #pumping = false;
  #polling = false;
  readonly #watch = (path: number): void => this.#event(path);

  constructor(
    readonly host: SourceHost,
    readonly id: number,
    readonly options: SourceOptions,
  ) {
    const { machine, universe } = host;
    const tree = machine.trees.get(options.roots[0] ?? '');
    if (!tree) throw Object.assign(new Error('ENOENT, open'), { code: 'ENOENT', call: 'open' });
    this.tree = tree;
    this.file = machine.shadows.get(options.stateDir) ?? null;
    this.shadow = this.file ? [...this.file.shadow] : Array.from({ length: universe.paths }, () => 0);
    this.log = this.file?.log ?? new Set();
    this.startupRepair = new Set(this.log);
    const before = machine.running.get(options.stateDir);
    this.unclean = before !== undefined;
    this.powerLost = before !== undefined && before !== machine.boot;
    machine.running.set(options.stateDir, machine.boot);
    this.state = new Published<SourceStatistics['state']>(universe, 'opening');
    tree.watchers.add(this.#watch);
    const began = this.now;
    const first = (): void => {
      const patient = this.file !== null && this.channels.length < (options.streams ?? 0);
      if (patient && this.now - began < ATTACH_PATIENCE_MS) this.later(50, first);
      else this.#openRoots();
    };
    this.later(universe.chance.between(1, 5), first);
    this.later(universe.timing.snapshotMs, () => this.#snapshotSoon());
  }

  get now(): number {
    return this.host.machine.time.now;
  }

  later(ms: number, call: () => void): void {
    this.host.machine.time.after(ms, () => {
      if (this.host.alive() && !this.#closed) call();
    });
  }

  // Roots and capture.

  #openRoots(): void {
    if (this.suspended) return;
    if (this.tree.gone) {
      if (!this.stopped) this.#rootProblem();
      this.later(ROOT_CHECK_MS, () => this.#openRoots());
      return;
    }
    if (this.stopped) {
      this.stopped = false;
      this.host.tell({ kind: 'source_continues', source: this.id });
    }
    if (!this.capturing) {
      this.capturing = true;
      this.rescan(true, this.lookedAt ?? undefined);
      this.lookedAt = null;
    }
    this.later(ROOT_CHECK_MS, () => this.#openRoots());
    this.pump();
  }

  #rootProblem(): void {
    this.stopped = true;
    this.capturing = false;
    this.lookedAt ??= this.now - ROOT_CHECK_MS;
    this.#publish();
    this.host.tell({
      kind: 'source_stopped',
      source: this.id,
      why: 'root_changed',
      detail: 'it is not there',
      deleted: 0,
      total: this.shadow.length,
    });
  }

  #event(path: number): void {
    if (this.#closed || !this.host.alive()) return;
    if (!this.capturing || this.stopped || this.lossy) return;
    if (this.host.machine.time.frozen && this.host.universe.mutants.pauseIsYoung) {
      this.later(0, () => this.#event(path));
      return;
    }
    if (!this.dirty.has(path)) this.dirty.set(path, this.now);
    this.pump();
  }

  lose(why: string): void {
    if (this.#closed || this.stopped || !this.capturing) return;
    this.rescan(true);
    this.host.tell({ kind: 'source_lost', source: this.id, why });
  }

  rescan(doubt: boolean, since?: number): void {
    const { timing } = this.host.universe;
    this.doubt ||= doubt;
    if (doubt) for (const channel of this.channels) this.recovery.begin(channel, since);
    // What a look that did not come to its end would have found is still to be found, and as old as that one.
    this.#scanSince = this.#scanOwed ? Math.min(this.#scanSince, this.now) : this.now;
    this.#scanOwed = true;
    this.#scanSince = Math.min(this.#scanSince, this.barriers.oldestAsked());
    if (this.scanning) {
      this.scanAgain = true;
      return;
    }
    this.scanning = true;
    this.#publish();
    const look = (): void => {
      if (this.stopped || !this.capturing) {
        this.scanning = false;
        this.scanAgain = false;
        return;
      }
      if (!this.queueing.room()) {
        this.later(20, look);
        return;
      }
      this.queueing.watch(true);
      for (let path = 0; path < this.shadow.length; path++)
        if (this.shadow[path] !== this.tree.version(path))
          this.reconcile(path, Math.min(this.#scanSince, this.dirty.get(path) ?? Number.POSITIVE_INFINITY));
      if (this.scanAgain) {
        this.scanAgain = false;
        this.later(timing.scanMs, look);
        return;
      }
      this.scanning = false;
      this.#scanOwed = false;
      // What it found is as old as the doubt: told, or waiting to be.
      if (this.doubt) for (const channel of this.channels) channel.repairSince = this.now;
      this.doubt = false;
      if (!this.ready) this.#firstLookDone();
      this.#publish();
      this.pump();
    };
    this.later(timing.scanMs, look);
  }

  #firstLookDone(): void {
    this.ready = true;
    for (const channel of this.channels) {
      if (channel.toldAfterScan) this.streams.toldAll(channel);
      channel.toldAfterScan = false;
    }
    if (!this.file) this.#snapshot();
    this.host.tell({
      kind: 'source_ready',
      source: this.id,
      capture: 'model',
      rootIdentity: ['1:2'],
      files: this.shadow.length,
      bytes: this.shadow.length * 10,
      ms: 1,
    });
  }

  // Telling.

  acknowledged(channel: Channel, ack: Ack): void {
    channel.stream.acknowledge(ack);
    this.pump();
  }

  emit(channel: Channel, operation: Operation, mirror: boolean): void {
    const since = this.#current ?? this.now;
    const { kind, path } = operation;
    if (channel.broken || channel.behind) {
      // What it is not told is kept by name.
      if (kind !== 'write') return;
      channel.doubt = Math.min(channel.doubt, since);
      if (channel.behind) this.queueing.noteLater(channel, path);
      return;
    }
    if (kind === 'write') this.log.add(path);
    const bytes = kind === 'write' ? this.host.universe.timing.bytesPerChange : 64;
    const waits = Math.min(since, channel.stream.oldestChange(true));
    if (channel.stream.push(operation, mirror, bytes, since, this.host.machine.time.wall())) this.host.send(channel);
    else this.queueing.fallBehind(channel, operation, waits);
  }

  write(channel: Channel, path: number, mirror: boolean): void {
    this.emit(channel, { kind: 'write', path, version: this.shadow[path] ?? 0, request: 0 }, mirror);
  }

  /** @param since when it changed, as far as that is known */
  reconcile(path: number, since = this.dirty.get(path)): void {
    const version = this.tree.version(path);
    if (this.shadow[path] === version) return;
    this.host.universe.trace(() => `${this.host.machine.name}: path ${path} of ${this.options.name} is now ${version}`);
    this.shadow[path] = version;
    this.#current = since ?? null;
    for (const channel of this.channels)
      if (channel.replicating && channel.told.has(path)) this.write(channel, path, false);
    this.#current = null;
  }

  // The worker.

  /** It comes by in a moment. */
  pump(): void {
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    this.later(this.host.universe.chance.between(1, 6), () => {
      this.#pumping = false;
      this.#work();
    });
  }

  #work(): void {
    if (this.suspended) return;
    if (this.tree.gone && this.capturing && !this.stopped) this.#rootProblem();
    if (this.stopped || !this.capturing) {
      this.barriers.finish();
      return;
    }
    this.barriers.begin();
    const room = this.queueing.room();
    this.queueing.watch(room);
    if (room) {
      for (const [path, since] of [...this.dirty]) {
        this.reconcile(path, since);
        this.dirty.delete(path);
      }
      if (this.ready) for (const channel of this.channels) this.recovery.afterRestart(channel);
    } else this.poll();
    for (const channel of this.channels) {
      this.recovery.retell(channel);
      this.recovery.settle(channel);
      this.refusals.retry(channel);
      this.walks.on(channel);
    }
    this.barriers.finish();
    this.#publish();
  }

  /** Time alone may bring on what waits. */
  poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    this.later(500, () => {
      this.#polling = false;
      this.pump();
    });
  }

  /** For the trace of a run that got stuck. */
  describe(): string {
    const channels = this.channels.map(
      (channel) =>
        `stream ${channel.id} ready ${channel.ready} broken ${channel.broken} behind ${channel.behind} paused ${channel.paused} linking ${channel.linking} replicating ${channel.replicating} repairing ${channel.repairing}/${channel.repairUntil} to retell ${channel.repair.size} queue ${channel.stream.batches.length}+${channel.stream.disk.unread} (${channel.stream.queuedBytes}) applied ${channel.stream.applied} of ${channel.stream.last} walk ${channel.walk ? `${channel.walk.next} waiting ${channel.walk.waiting} pending ${channel.walk.pending?.path}` : 'none'}`,
    );
    return `source ${this.id} ready ${this.ready} capturing ${this.capturing} stopped ${this.stopped} suspended ${this.suspended} scanning ${this.scanning} dirty ${this.dirty.size} room ${this.queueing.room()}: ${channels.join('; ')}`;
  }

  // What survives the process (persist.cc).

  #publish(): void {
    const lost = this.doubt && this.scanning;
    this.state.set(this.stopped ? 'stopped' : !this.ready ? 'opening' : lost ? 'rescanning' : 'watching');
    for (const channel of this.channels) channel.publish();
  }

  #snapshotSoon(): void {
    if (this.ready && !this.suspended && this.log.size > 0) this.#snapshot();
    if (this.ready && !this.suspended) for (const channel of this.channels) this.recovery.keepPoint(channel);
    this.later(this.host.universe.timing.snapshotMs, () => this.#snapshotSoon());
  }

  /** May the target lack something of what the shadow calls told? */
  unsettled(channel: Channel): boolean {
    return (
      channel.broken ||
      channel.behind ||
      channel.startupRepair ||
      channel.repair.size > 0 ||
      channel.walk !== null ||
      channel.quarantine.size > 0 ||
      channel.stream.undurable
    );
  }

  #snapshot(): void {
    const { machine } = this.host;
    if (machine.disk.full) return;
    const behind = this.leftBehind || this.channels.some((channel) => this.unsettled(channel));
    if (!behind && this.channels.length > 0) this.startupRepair.clear();
    if (!behind && this.startupRepair.size === 0) this.log.clear();
    const { shadow, log, stopSnapshot: snapshot } = this;
    machine.shadows.set(this.options.stateDir, { shadow: [...shadow], log, snapshot });
  }

  suspend(): void {
    this.suspended = true;
    this.stopSnapshot = this.host.universe.chance.between(1, 2_000_000_000);
  }

  close(): void {
    if (this.#closed) return;
    if (this.ready && !this.stopped) {
      this.#snapshot();
      this.host.machine.running.delete(this.options.stateDir);
    }
    this.end();
  }

  end(): void {
    this.#closed = true;
    this.tree.watchers.delete(this.#watch);
    for (const { stream } of this.channels) stream.end();
  }
}
