/** Model of one set's worker: native/engine/source.h. Events are hints, reconcile is truth, one walk per mirror. */
import type { EngineEvent, MirrorOptions, SourceOptions, SourceStatistics } from '../../native/index.js';
import { type Channel, Published } from './channel.js';
import type { Machine, ShadowFile, Tree, Universe } from './machine.js';
import type { Ack, Operation, StreamPosition } from './receiver.js';

export interface SourceHost {
  readonly universe: Universe;
  readonly machine: Machine;
  alive(): boolean;
  tell(event: EngineEvent): void;
  connect(channel: Channel): void;
  disconnect(channel: Channel): void;
  /** Batches may flow. */
  send(channel: Channel): void;
  wall(): number;
}

interface Barrier {
  readonly channel: Channel;
  readonly token: number;
  asked: number;
  sequence: number;
  readonly task?: { readonly payload: Buffer; readonly durable: boolean };
}

const ROOT_CHECK_MS = 1_000;
const ATTACH_PATIENCE_MS = 10_000;
/** A path that keeps failing does not hold barriers up for ever. */
const BARRIER_ATTEMPTS_MAX = 4;

export class Source {
  readonly tree: Tree;
  readonly channels: Channel[] = [];
  readonly #shadow: number[];
  readonly #file: ShadowFile | null;
  readonly #vouched: Set<string>;
  readonly #log: Set<number>;
  readonly #startupRepair: Set<number>;
  readonly state: Published<SourceStatistics['state']>;
  readonly #barriers: Barrier[] = [];
  /** Path and since when it is dirty. */
  readonly #dirty = new Map<number, number>();
  #ready = false;
  #capturing = false;
  #stopped = false;
  #closed = false;
  #suspended = false;
  /** Events are lost while this is on. */
  lossy = false;
  #scanning = false;
  #scanSince = 0;
  #scanAgain = false;
  /** A look was begun and has not come to its end, perhaps because a root is not what it was. */
  #scanOwed = false;
  #doubt = false;
  /** What happened by then is accounted for. */
  #lookedAt: number | null = null;
  #current: number | null = null;
  #pumping = false;
  #polling = false;
  #nextRequest = 1;
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
    this.#file = machine.shadows.get(options.stateDir) ?? null;
    this.#shadow = this.#file ? [...this.#file.shadow] : Array.from({ length: universe.paths }, () => 0);
    this.#vouched = new Set(this.#file?.vouched ?? []);
    this.#log = this.#file?.log ?? new Set();
    this.#startupRepair = new Set(this.#log);
    this.state = new Published<SourceStatistics['state']>(universe, 'opening');
    tree.watchers.add(this.#watch);
    const began = universe.time.now;
    const first = (): void => {
      const patient = this.#file !== null && this.channels.length < (options.streams ?? 0);
      if (patient && universe.time.now - began < ATTACH_PATIENCE_MS) this.#later(50, first);
      else this.#openRoots();
    };
    this.#later(universe.chance.between(1, 5), first);
    this.#later(universe.timing.snapshotMs, () => this.#snapshotSoon());
  }

  #later(ms: number, call: () => void): void {
    this.host.universe.time.after(ms, () => {
      if (this.host.alive() && !this.#closed) call();
    });
  }

  // Roots and capture.

  #openRoots(): void {
    if (this.#suspended) return;
    if (this.tree.gone) {
      if (!this.#stopped) this.#rootProblem();
      this.#later(ROOT_CHECK_MS, () => this.#openRoots());
      return;
    }
    if (this.#stopped) {
      this.#stopped = false;
      this.host.tell({ kind: 'source_continues', source: this.id });
    }
    if (!this.#capturing) {
      this.#capturing = true;
      this.#rescan(true, this.#lookedAt ?? undefined);
      this.#lookedAt = null;
    }
    this.#later(ROOT_CHECK_MS, () => this.#openRoots());
    this.pump();
  }

  #rootProblem(): void {
    this.#stopped = true;
    this.#capturing = false;
    this.#lookedAt ??= this.host.universe.time.now - ROOT_CHECK_MS;
    this.#publish();
    this.host.tell({
      kind: 'source_stopped',
      source: this.id,
      why: 'root_changed',
      detail: 'it is not there',
      deleted: 0,
      total: this.#shadow.length,
    });
  }

  #event(path: number): void {
    if (this.#closed || !this.host.alive()) return;
    if (!this.#capturing || this.#stopped) return;
    if (this.lossy) return;
    if (!this.#dirty.has(path)) this.#dirty.set(path, this.host.universe.time.now);
    this.pump();
  }

  lose(why: string): void {
    if (this.#closed || this.#stopped || !this.#capturing) return;
    this.#rescan(true);
    this.host.tell({ kind: 'source_lost', source: this.id, why });
  }

  #rescan(doubt: boolean, since?: number): void {
    const { time, timing } = this.host.universe;
    this.#doubt ||= doubt;
    if (doubt) for (const channel of this.channels) this.#repairs(channel, since);
    // What a look that did not come to its end would have found is still to be found, and as old as that one.
    this.#scanSince = this.#scanOwed ? Math.min(this.#scanSince, time.now) : time.now;
    this.#scanOwed = true;
    for (const barrier of this.#barriers)
      if (barrier.sequence === 0 && barrier.asked !== 0) this.#scanSince = Math.min(this.#scanSince, barrier.asked);
    if (this.#scanning) {
      this.#scanAgain = true;
      return;
    }
    this.#scanning = true;
    this.#publish();
    const look = (): void => {
      if (this.#stopped || !this.#capturing) {
        this.#scanning = false;
        this.#scanAgain = false;
        return;
      }
      if (!this.#room()) {
        this.#later(20, look);
        return;
      }
      for (let path = 0; path < this.#shadow.length; path++)
        if (this.#shadow[path] !== this.tree.version(path))
          this.#reconcile(path, Math.min(this.#scanSince, this.#dirty.get(path) ?? Number.POSITIVE_INFINITY));
      if (this.#scanAgain) {
        this.#scanAgain = false;
        this.#later(timing.scanMs, look);
        return;
      }
      this.#scanning = false;
      this.#scanOwed = false;
      this.#doubt = false;
      if (!this.#ready) this.#firstLookDone();
      this.#publish();
      this.pump();
    };
    this.#later(timing.scanMs, look);
  }

  #firstLookDone(): void {
    this.#ready = true;
    for (const channel of this.channels) {
      if (channel.toldAfterScan) this.#toldAll(channel);
      channel.toldAfterScan = false;
    }
    if (!this.#file) this.#snapshot();
    this.host.tell({
      kind: 'source_ready',
      source: this.id,
      capture: 'model',
      rootIdentity: ['1:2'],
      files: this.#shadow.length,
      bytes: this.#shadow.length * 10,
      ms: 1,
    });
  }

  // Channels.

  attach(channel: Channel): void {
    this.channels.push(channel);
    channel.attached = true;
    const { machine, universe } = this.host;
    const { stateDir } = channel.options;
    const known = machine.attached.has(stateDir);
    const vouched = this.#file !== null && !this.#ready && this.#vouched.has(stateDir);
    channel.toldAfterScan = !known && !this.#ready;
    this.#vouched.add(stateDir);
    if (!channel.toldAfterScan) this.#toldAll(channel);
    machine.attached.add(stateDir);
    channel.expectsReplica = known && vouched;
    const point = known ? machine.points.get(stateDir) : undefined;
    channel.mustMirror = !known || !vouched || !channel.replicating || point?.mustMirror === true;
    channel.doubt = point?.since ?? Number.NEGATIVE_INFINITY;
    if (!point) this.#keepPoint(channel);
    if (known && vouched) {
      if (!universe.mutants.noRepair) channel.startupRepair = true;
      this.#repairs(channel);
    } else if (known)
      this.host.tell({ kind: 'stream_broken', connection: channel.id, why: 'restarted without its shadow' });
    this.host.connect(channel);
  }

  detach(channel: Channel, forget: boolean): void {
    const at = this.channels.indexOf(channel);
    if (at >= 0) this.channels.splice(at, 1);
    channel.attached = false;
    if (!forget) this.#keepPoint(channel);
    channel.walk = null;
    if (forget) this.host.machine.points.delete(channel.options.stateDir);
    if (forget) this.host.machine.attached.delete(channel.options.stateDir);
    if (forget || !this.#suspended) this.#vouched.delete(channel.options.stateDir);
    for (const barrier of this.#barriers.filter((one) => one.channel === channel))
      this.#failBarrier(barrier, 'disconnected');
  }

  #toldAll(channel: Channel): void {
    for (let path = 0; path < this.#shadow.length; path++) channel.told.add(path);
  }

  welcome(channel: Channel, position: StreamPosition, payload: Buffer): void {
    const { mutants } = this.host.universe;
    const repair = new Set<number>();
    const wiped = channel.expectsReplica && position.fresh;
    if (position.fresh && channel.mustMirror) this.#inDoubt(channel, Number.NEGATIVE_INFINITY);
    const resume = channel.broken || wiped ? 'broken' : channel.stream.welcome(position, repair);
    const connection = channel.id;
    if (resume === 'broken' && !mutants.gapResumes) {
      if (position.fresh || !channel.broken) this.#mustMirror(channel, Number.NEGATIVE_INFINITY);
      if (!channel.broken) {
        channel.broken = true;
        this.#tasksLost(channel, 'the target does not know this stream any more');
        this.#walkStop(channel, 'the target does not know this stream any more');
        this.host.tell({ kind: 'stream_broken', connection, why: 'the target does not know this stream any more' });
      }
      this.host.tell({ kind: 'link_up', connection, welcome: payload, resumed: false });
      this.pump();
      return;
    }
    if (resume !== 'resumed') {
      this.#inDoubt(channel);
      this.#restartStream(channel);
      if (!mutants.noRepair) for (const path of repair) channel.repair.add(path);
      channel.expectsReplica = true;
      this.#repairs(channel);
      this.host.connect(channel);
      this.pump();
      return;
    }
    for (const path of repair) channel.repair.add(path);
    if (repair.size > 0) this.#repairs(channel);
    if (channel.walk?.pending) this.#ask(channel, channel.walk.pending.path);
    channel.ready = true;
    this.host.tell({ kind: 'link_up', connection, welcome: payload, resumed: true });
    this.host.send(channel);
    this.pump();
  }

  /** What the target holds is not known from the oldest change on that waits now. */
  #inDoubt(channel: Channel, since = this.host.universe.time.now): void {
    channel.doubt = Math.min(channel.doubt, since, this.waitsSince(channel), channel.stream.oldestChange(true));
  }

  #mustMirror(channel: Channel, since?: number): void {
    this.#inDoubt(channel, since);
    channel.mustMirror = true;
    this.#keepPoint(channel);
  }

  #vouch(channel: Channel): void {
    if (!channel.repairing && !channel.mustMirror && !channel.broken) {
      channel.stream.vouched(channel.doubt);
      channel.doubt = Number.POSITIVE_INFINITY;
    }
    this.#keepPoint(channel);
  }

  #keepPoint(channel: Channel): void {
    const since = Math.min(
      this.host.universe.time.now,
      channel.doubt,
      this.waitsSince(channel),
      channel.stream.oldestChange(true),
      ...[...channel.quarantine.values()].map((entry) => entry.since),
    );
    this.host.machine.points.set(channel.options.stateDir, { since, mustMirror: channel.mustMirror });
  }

  #repairs(channel: Channel, since?: number): void {
    if (this.host.universe.mutants.hiddenRepair) {
      if (!channel.mustMirror) channel.doubt = Number.POSITIVE_INFINITY;
      return;
    }
    this.#inDoubt(channel, since);
    channel.repairing = true;
    channel.repairUntil = 0;
  }

  /** Over when everything is told that was found meanwhile, and applied. */
  #repairOn(channel: Channel): void {
    if (!channel.repairing || channel.startupRepair || channel.repair.size > 0 || !this.#ready || this.#doubt) return;
    if (channel.repairUntil === 0) channel.repairUntil = channel.stream.last + 1;
    if (channel.stream.applied < channel.repairUntil - 1) return;
    channel.repairing = false;
    this.#vouch(channel);
  }

  /** Sequences begin anew, so whatever waited for one of the old stream asks again. */
  #restartStream(channel: Channel): void {
    this.host.disconnect(channel);
    channel.stream.restart();
    channel.repairUntil = 0;
    if (channel.walk) channel.walk.waiting = false;
    this.#tasksLost(channel, 'the stream began anew');
    for (const barrier of this.#barriers) if (barrier.channel === channel) barrier.sequence = 0;
  }

  setReplicating(channel: Channel, on: boolean): void {
    if (!on) this.#mustMirror(channel);
    channel.replicating = on;
    this.pump();
  }

  acknowledged(channel: Channel, ack: Ack): void {
    channel.stream.acknowledge(ack);
    this.pump();
  }

  refusedBy(channel: Channel, stream: number, path: number): void {
    if (stream !== channel.stream.id) return;
    const { now } = this.host.universe.time;
    const entry = channel.quarantine.get(path) ?? {
      attempts: 0,
      retryAt: 0,
      sequence: 0,
      since: Math.min(now, channel.doubt, channel.stream.oldestChange(true)),
    };
    entry.attempts += 1;
    const { retryMs } = channel.options;
    const pause = Math.min(Math.max(300_000, retryMs), retryMs * 2 ** Math.min(18, entry.attempts - 2));
    entry.retryAt = now + (entry.attempts === 1 ? 0 : pause);
    channel.quarantine.set(path, entry);
    channel.failed.force(channel.quarantine.size);
    if (entry.attempts >= 2) {
      channel.refusalsTold = true;
      this.host.tell({
        kind: 'quarantined',
        connection: channel.id,
        path: `/data/p${path}`,
        code: 'EPERM',
        call: 'apply',
        count: channel.quarantine.size,
      });
    }
    this.pump();
  }

  // Telling.

  #emit(channel: Channel, operation: Operation, mirror: boolean): void {
    if (channel.broken) return;
    if (operation.kind === 'write') this.#log.add(operation.path);
    const bytes = operation.kind === 'write' ? this.host.universe.timing.bytesPerChange : 64;
    const waits = Math.min(this.#since, channel.stream.oldestChange(true));
    if (channel.stream.push(operation, mirror, bytes, this.#since, this.host.wall())) {
      this.host.send(channel);
      return;
    }
    this.#mustMirror(channel, waits);
    channel.broken = true;
    this.#tasksLost(channel, 'queue limit reached');
    this.#walkStop(channel, 'queue limit reached');
    this.host.tell({ kind: 'stream_broken', connection: channel.id, why: 'queue limit reached' });
  }

  #write(channel: Channel, path: number, mirror: boolean): void {
    this.#emit(channel, { kind: 'write', path, version: this.#shadow[path] ?? 0, request: 0 }, mirror);
  }

  /** Since when the change waits that is told now. */
  get #since(): number {
    return this.#current ?? this.host.universe.time.now;
  }

  #reconcile(path: number, since: number | null = null): void {
    const version = this.tree.version(path);
    if (this.#shadow[path] === version) return;
    this.host.universe.trace(() => `${this.host.machine.name}: path ${path} of ${this.options.name} is now ${version}`);
    this.#shadow[path] = version;
    this.#current = since;
    for (const channel of this.channels)
      if (channel.replicating && channel.told.has(path)) this.#write(channel, path, false);
    this.#current = null;
  }

  #room(): boolean {
    // Nothing is queued for a broken one, so it holds nobody up.
    const sound = this.channels.filter((channel) => channel.replicating && !channel.broken);
    if (sound.length === 0) return true;
    const anyReady = sound.some((channel) => channel.ready);
    return sound.some((channel) => channel.stream.hasRoom && (channel.ready || !anyReady));
  }

  /** The worker comes by in a moment. */
  pump(): void {
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    this.#later(this.host.universe.chance.between(1, 6), () => {
      this.#pumping = false;
      this.#work();
    });
  }

  #work(): void {
    if (this.#suspended) return;
    if (this.tree.gone && this.#capturing && !this.#stopped) this.#rootProblem();
    if (this.#stopped || !this.#capturing) {
      this.#finishBarriers();
      return;
    }
    this.#beginBarriers();
    const room = this.#room();
    if (room) {
      for (const [path, since] of [...this.#dirty]) {
        this.#dirty.delete(path);
        this.#reconcile(path, since);
      }
      if (this.#ready) for (const channel of this.channels) this.#retell(channel);
    }
    for (const channel of this.channels) {
      this.#repairOn(channel);
      this.#retryQuarantine(channel);
      this.#walkOn(channel);
    }
    this.#finishBarriers();
    this.#publish();
  }

  #retell(channel: Channel): void {
    if (channel.startupRepair) {
      channel.startupRepair = false;
      for (const path of this.#startupRepair) channel.repair.add(path);
    }
    for (const path of channel.repair) {
      // Not told yet: the walk will come by.
      if (channel.told.has(path)) this.#write(channel, path, false);
      channel.repair.delete(path);
    }
  }

  quarantineList(channel: Channel, token: number, after: string, limit: number): void {
    const { now } = this.host.universe.time;
    const all = [...channel.quarantine]
      .map(([path, entry]) => ({ path: `/data/p${path}`, entry }))
      .filter(({ path }) => path > after)
      .sort((a, b) => (a.path < b.path ? -1 : 1));
    const page = all.slice(0, limit);
    this.host.tell({
      kind: 'quarantine_listed',
      connection: channel.id,
      token,
      paths: page.map(({ path }) => path),
      details: page.map(({ entry: { attempts, retryAt } }) => {
        const next = retryAt === Number.POSITIVE_INFINITY ? 0 : this.host.wall() + Math.max(0, retryAt - now);
        return `write 1 ${attempts} ${this.host.wall()} ${next} open`;
      }),
      omitted: all.length - page.length,
      total: channel.quarantine.size,
    });
  }

  quarantineRetry(channel: Channel, token: number, path: string): void {
    const { now } = this.host.universe.time;
    let count = 0;
    for (const [place, entry] of channel.quarantine) {
      if (path !== '' && path !== `/data/p${place}`) continue;
      count += 1;
      if (entry.retryAt !== Number.POSITIVE_INFINITY) entry.retryAt = now;
    }
    this.host.tell({ kind: 'quarantine_retried', connection: channel.id, token, count });
    this.pump();
  }

  #retryQuarantine(channel: Channel): void {
    const { now } = this.host.universe.time;
    for (const [path, entry] of channel.quarantine) {
      if (entry.retryAt === Number.POSITIVE_INFINITY) {
        if (channel.stream.applied >= entry.sequence) channel.quarantine.delete(path);
        continue;
      }
      if (!channel.ready || channel.broken) continue;
      if (entry.retryAt <= now) {
        entry.retryAt = Number.POSITIVE_INFINITY;
        this.#write(channel, path, false);
        entry.sequence = channel.stream.last;
      } else this.#poll();
    }
    if (channel.quarantine.size > 0 || !channel.refusalsTold) return;
    channel.refusalsTold = false;
    this.host.tell({ kind: 'quarantine_emptied', connection: channel.id });
  }

  // The walk.

  mirrorStart(channel: Channel, options: MirrorOptions, verify: boolean, remirror: boolean): void {
    if (channel.walk) this.#walkStop(channel, 'started again');
    channel.toldAfterScan = false;
    channel.walk = {
      verify,
      remirror,
      options,
      started: this.host.universe.time.now,
      next: 0,
      paused: false,
      waiting: false,
      lastSequence: 0,
      pending: null,
      stepping: false,
      skipped: 0,
      different: 0,
    };
    if (!verify) {
      // Nothing of what was refused is named any more.
      const refused = [...channel.quarantine.values()].map((entry) => entry.since);
      this.#mustMirror(channel, Math.min(this.host.universe.time.now, ...refused));
      channel.told.clear();
    }
    if (channel.broken) {
      this.#restartStream(channel);
      channel.broken = false;
      channel.quarantine.clear();
      channel.refusalsTold = false;
      channel.repair.clear();
      channel.startupRepair = false;
      channel.repairing = false;
      // What is lost there is known now, and told anew.
      channel.expectsReplica = false;
      this.host.connect(channel);
    }
    if (!verify) this.host.tell({ kind: 'mirror_started', connection: channel.id });
    this.pump();
  }

  mirrorStop(channel: Channel): void {
    this.#walkStop(channel, 'stopped');
    this.pump();
  }

  mirrorPause(channel: Channel, paused: boolean): void {
    if (channel.walk) channel.walk.paused = paused;
    this.pump();
  }

  #walkStop(channel: Channel, why: string): void {
    if (!channel.walk) return;
    const { verify } = channel.walk;
    channel.walk = null;
    this.host.tell({ kind: verify ? 'verify_stopped' : 'mirror_stopped', connection: channel.id, why });
  }

  #walkOn(channel: Channel): void {
    const { walk } = channel;
    if (!walk || walk.paused || walk.stepping || channel.broken || !channel.ready || !this.#ready) return;
    if (walk.waiting) {
      if (channel.stream.applied >= walk.lastSequence) this.#walkDone(channel);
      return;
    }
    if (walk.pending || !channel.stream.hasRoom) return;
    if (walk.next >= this.#shadow.length) {
      walk.waiting = true;
      walk.lastSequence = channel.stream.last;
      if (this.host.universe.mutants.mirrorDoneEarly || channel.stream.applied >= walk.lastSequence)
        this.#walkDone(channel);
      return;
    }
    walk.stepping = true;
    this.#later(this.host.universe.timing.walkMs, () => {
      walk.stepping = false;
      if (channel.walk !== walk || this.#stopped) return;
      this.#visit(channel);
      this.pump();
    });
  }

  #visit(channel: Channel): void {
    const { walk } = channel;
    if (!walk || walk.paused || channel.broken || !channel.ready) return;
    const path = walk.next++;
    this.#reconcile(path);
    if (!walk.verify && channel.told.has(path)) return;
    if (!walk.verify && walk.options.compare === 'none') {
      this.#write(channel, path, true);
      channel.told.add(path);
    } else this.#ask(channel, path);
  }

  #ask(channel: Channel, path: number): void {
    const request = this.#nextRequest++;
    if (channel.walk) channel.walk.pending = { path, request };
    this.#emit(channel, { kind: 'manifest', path, version: 0, request }, true);
  }

  manifest(channel: Channel, request: number, theirs: number): void {
    const { walk } = channel;
    if (!walk?.pending || walk.pending.request !== request) return;
    const { path } = walk.pending;
    walk.pending = null;
    this.#reconcile(path);
    const same = theirs === this.#shadow[path];
    if (walk.verify) {
      if (!same) walk.different += 1;
      if (!same && walk.remirror && channel.told.has(path)) this.#write(channel, path, false);
    } else {
      if (same) {
        walk.skipped += 1;
        channel.skippedBytes += this.host.universe.timing.bytesPerChange;
      } else this.#write(channel, path, true);
      channel.told.add(path);
    }
    this.pump();
  }

  #walkDone(channel: Channel): void {
    const { walk } = channel;
    if (!walk) return;
    channel.walk = null;
    if (!walk.verify) {
      channel.mustMirror = !channel.replicating;
      this.#vouch(channel);
    }
    const common = { connection: channel.id, files: this.#shadow.length, orphans: 0, ms: 1 };
    if (walk.verify)
      this.host.tell({
        kind: 'verify_done',
        ...common,
        bytes: 0,
        different: walk.different,
        missing: 0,
        resent: 0,
        paths: [],
        details: [],
        omitted: 0,
      });
    else this.host.tell({ kind: 'mirror_done', ...common, sentBytes: 0, skippedBytes: walk.skipped });
  }

  /** Since when a change waits that this connection was not told yet. */
  waitsSince(channel: Channel): number {
    if (!channel.replicating) return Number.POSITIVE_INFINITY;
    let since = this.#lookedAt ?? Number.POSITIVE_INFINITY;
    for (const [path, at] of this.#dirty) if (channel.told.has(path)) since = Math.min(since, at);
    return since;
  }

  // Barriers and tasks.

  task(channel: Channel, token: number, payload: Buffer, durable: boolean): void {
    this.#barriers.push({ channel, token, asked: 0, sequence: 0, task: { payload, durable } });
    this.pump();
  }

  taskCancel(channel: Channel, token: number): void {
    const found = this.#barriers.find((one) => one.channel === channel && one.token === token && one.task);
    if (found) this.#failBarrier(found, 'it was cancelled');
  }

  /** The stream of a channel ends: what was in it may have been reached, or never will. */
  #tasksLost(channel: Channel, why: string): void {
    for (const { token } of channel.tasks.splice(0))
      this.host.tell({ kind: 'task_failed', connection: channel.id, token, why, placed: true });
  }

  barrier(channel: Channel, token: number): void {
    this.#barriers.push({ channel, token, asked: 0, sequence: 0 });
    this.pump();
  }

  #beginBarriers(): void {
    const fresh = this.#barriers.filter((barrier) => barrier.asked === 0);
    if (fresh.length === 0) return;
    for (const barrier of fresh) barrier.asked = this.host.universe.time.now;
    if (this.#scanning) this.#scanAgain = true;
    else this.#rescan(false);
  }

  #met({ channel, asked }: Barrier): boolean {
    if (this.#scanning || this.#scanAgain || channel.walk || channel.startupRepair || channel.repair.size > 0)
      return false;
    for (const since of this.#dirty.values()) if (since <= asked) return false;
    for (const entry of channel.quarantine.values()) if (entry.attempts < BARRIER_ATTEMPTS_MAX) return false;
    return true;
  }

  #finishBarriers(): void {
    for (const { tasks, stream } of this.channels)
      while (tasks[0] && tasks[0].sequence <= stream.applied) tasks.shift();
    for (const barrier of [...this.#barriers]) {
      const { channel } = barrier;
      const why = channel.broken
        ? 'a mirror is required'
        : this.#stopped
          ? 'the set is stopped: a root is not what it was'
          : !channel.replicating && !channel.walk
            ? 'replication is stopped'
            : channel.walk?.paused
              ? 'the mirror is paused'
              : null;
      if (why) {
        this.#failBarrier(barrier, why);
        continue;
      }
      if (barrier.task && barrier.sequence === 0 && barrier.asked !== 0 && this.#met(barrier)) {
        const { task, token } = barrier;
        this.#emit(channel, { kind: 'task', path: 0, version: 0, request: 0, task }, false);
        if (channel.broken) continue;
        const sequence = channel.stream.last;
        channel.tasks.push({ token, sequence });
        this.#barriers.splice(this.#barriers.indexOf(barrier), 1);
        this.host.tell({ kind: 'task_placed', connection: channel.id, token, sequence });
        continue;
      }
      if (!barrier.task && barrier.sequence === 0 && barrier.asked !== 0 && this.#met(barrier)) {
        this.#emit(channel, { kind: 'checkpoint', path: 0, version: 0, request: 0 }, false);
        barrier.sequence = channel.stream.last;
      }
      if (barrier.sequence !== 0 && channel.stream.durable >= barrier.sequence) {
        if (channel.quarantine.size > 0 && !this.#met(barrier)) barrier.sequence = 0;
        else {
          this.#barriers.splice(this.#barriers.indexOf(barrier), 1);
          this.host.tell({ kind: 'barrier_done', connection: channel.id, token: barrier.token });
        }
      }
    }
    if (this.#barriers.length > 0) this.#poll();
  }

  #failBarrier(barrier: Barrier, why: string): void {
    const at = this.#barriers.indexOf(barrier);
    if (at < 0) return;
    this.#barriers.splice(at, 1);
    const { channel, token } = barrier;
    if (barrier.task) this.host.tell({ kind: 'task_failed', connection: channel.id, token, why, placed: false });
    else this.host.tell({ kind: 'barrier_failed', connection: channel.id, token, why });
  }

  #poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    this.#later(500, () => {
      this.#polling = false;
      this.pump();
    });
  }

  /** For the trace of a run that got stuck. */
  describe(): string {
    const channels = this.channels.map(
      (channel) =>
        `stream ${channel.id} ready ${channel.ready} broken ${channel.broken} paused ${channel.paused} replicating ${channel.replicating} repairing ${channel.repairing}/${channel.repairUntil} queue ${channel.stream.batches.length} (${channel.stream.queuedBytes}) applied ${channel.stream.applied} of ${channel.stream.last} walk ${channel.walk ? `${channel.walk.next} waiting ${channel.walk.waiting} pending ${channel.walk.pending?.path}` : 'none'}`,
    );
    return `source ${this.id} ready ${this.#ready} capturing ${this.#capturing} stopped ${this.#stopped} suspended ${this.#suspended} scanning ${this.#scanning} dirty ${this.#dirty.size} room ${this.#room()}: ${channels.join('; ')}`;
  }

  // What survives the process.

  #publish(): void {
    const lost = this.#doubt && this.#scanning;
    this.state.set(this.#stopped ? 'stopped' : !this.#ready ? 'opening' : lost ? 'rescanning' : 'watching');
    for (const channel of this.channels) channel.publish();
  }

  #snapshotSoon(): void {
    if (this.#ready && !this.#suspended && this.#log.size > 0) this.#snapshot();
    if (this.#ready && !this.#suspended) for (const channel of this.channels) this.#keepPoint(channel);
    this.#later(this.host.universe.timing.snapshotMs, () => this.#snapshotSoon());
  }

  #snapshot(): void {
    const { machine } = this.host;
    if (machine.disk.full) return;
    const behind = this.channels.some(
      (channel) =>
        channel.broken ||
        channel.startupRepair ||
        channel.repair.size > 0 ||
        channel.walk !== null ||
        channel.quarantine.size > 0 ||
        !channel.stream.settled,
    );
    if (!behind && this.channels.length > 0) {
      this.#startupRepair.clear();
      this.#log.clear();
    }
    machine.shadows.set(this.options.stateDir, {
      shadow: [...this.#shadow],
      log: this.#log,
      vouched: new Set(this.#vouched),
    });
  }

  suspend(): void {
    this.#suspended = true;
  }

  close(): void {
    if (this.#closed) return;
    if (this.#ready && !this.#stopped) this.#snapshot();
    this.end();
  }

  end(): void {
    this.#closed = true;
    this.tree.watchers.delete(this.#watch);
  }
}
