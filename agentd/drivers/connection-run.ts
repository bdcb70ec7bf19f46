/** One connection of this source: its link, mirror and replication, driven by the tables in core. */
import type { ConnectionStatistics, EngineEvent } from '../../native/index.js';
import { failure, notice, noticeRemedy, noticeText } from '../../protocol/errors.js';
import type { ConnectionItem } from '../../protocol/messages/connection.js';
import type { Notice } from '../../protocol/messages/log.js';
import type { MirrorOptions } from '../../protocol/messages/mirror.js';
import type { Origin } from '../../protocol/messages/peer.js';
import type { SetState } from '../../protocol/messages/set.js';
import type { Instant } from '../../protocol/units.js';
import { SOFTWARE_VERSION } from '../../protocol/version.js';
import { type LinkEffect, type LinkState, linkStart, linkStep } from '../core/connection/step.js';
import type { LinkFact } from '../core/connection/table.js';
import { captures } from '../core/source/table.js';
import { composeItem } from './connection-item.js';
import { decodeRefusal, decodeWelcome, encodeHello, encodeOrigins, LINK_HELLO_VERSION } from './hello.js';
import { MirrorRun, type MirrorOwner } from './mirror-run.js';
import { QuarantineRun } from './quarantine-run.js';
import { QueueRun } from './queue-run.js';
import { ReplicaClaim } from './replica-claim.js';
import type { Lines } from './transmit.js';
import { type TransmitOwner, TransmitRun } from './transmit-run.js';
import { StallRun, type StallOwner } from './stall-run.js';
import { SourceTasks, type TaskOwner } from './source-tasks.js';
import type { SourceRun, Sources, SourceUser } from './sources.js';
import type { StoredConnection } from './stored.js';
import type { TaskJournal } from './task-journal.js';
import { VerifyRun, type VerifyOwner } from './verify-run.js';
import { type BarrierRoad, Barriers } from './waits.js';
import { tellHeartbeat } from './tuning.js';
import { asNotice, type World } from './world.js';

/** Events of the engine that name a connection. */
export type ConnectionEvent = Extract<EngineEvent, { connection: number }>;

/** A trouble that lasts is told again after this. */
const TELL_AGAIN_MS = 600_000;

export interface RunHost {
  readonly world: World;
  readonly sources: Sources;
  readonly lines: Lines;
  readonly queues: { used(): void };
  readonly taskJournal: TaskJournal;
  /** Something that must survive a restart changed. */
  save(): void;
  opened(handle: number, run: ConnectionRun): void;
  closed(handle: number): void;
  origins(roots: readonly string[]): readonly Origin[];
  mirrored(run: ConnectionRun, event: Extract<EngineEvent, { kind: 'mirror_done' }>): void;
}

export class ConnectionRun implements SourceUser, MirrorOwner, VerifyOwner, TransmitOwner, TaskOwner, StallOwner {
  link: LinkState;
  readonly claim: ReplicaClaim;
  readonly mirror: MirrorRun;
  readonly transmit: TransmitRun;
  handle: number | null = null;
  replication: boolean;
  everLinked: boolean;
  problem: Notice | null = null;
  connectedSince: number | null = null;
  /** The same, for how long that is. */
  linkedAt: Instant | null = null;
  targetName: string;
  readonly barriers: Barriers;
  readonly verifying: VerifyRun;
  readonly tasks: SourceTasks;
  readonly stalling: StallRun;
  targetCan: readonly string[] | null = null;
  readonly queue: QueueRun;
  readonly quarantine: QuarantineRun;
  #cancelRetry: (() => void) | null = null;

  constructor(
    readonly host: RunHost,
    readonly id: number,
    readonly stored: StoredConnection,
  ) {
    this.link = linkStart(host.world.clock.wall());
    this.replication = stored.replication;
    this.everLinked = stored.everLinked;
    this.targetName = stored.target.name;
    this.claim = new ReplicaClaim(host.world, `${this.stateDir}/whole`);
    this.mirror = new MirrorRun(this, stored.mirror);
    const line = host.lines.line(stored.target.host, stored.compression ?? 0);
    this.transmit = new TransmitRun(this, stored.transmit ?? 'flowing', line);
    this.barriers = new Barriers(
      host.world.clock,
      () => id,
      () => this.barrierRoad(),
    );
    this.verifying = new VerifyRun(this, stored.verify);
    this.tasks = new SourceTasks(this, host.taskJournal);
    this.queue = new QueueRun(this);
    this.quarantine = new QuarantineRun(this);
    this.stalling = new StallRun(this);
  }

  get wildcards(): boolean {
    return this.stored.rules.some((rule) => /[*?]/.test(rule.path));
  }

  get key(): string {
    return this.stored.key;
  }

  get world(): World {
    return this.host.world;
  }

  get scope(): { set: string; connection: number; server: string } {
    return { set: this.stored.set, connection: this.id, server: this.targetName };
  }

  /** What most messages about it name. */
  get at(): { id: number; set: string; target: string } {
    return { id: this.id, set: this.stored.set, target: this.targetName };
  }

  get simulated(): boolean {
    return this.stored.simulated ?? false;
  }

  get route(): string {
    if (this.simulated) return this.stored.target.host;
    const { host, port } = this.stored.target;
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  }

  /** As it has to be found after a restart. */
  toStored(): StoredConnection {
    const { phase, complete, options } = this.mirror.state;
    const { compression: _moved, ...stored } = this.stored;
    return {
      ...stored,
      transmit: this.transmit.phase,
      replication: this.replication,
      everLinked: this.everLinked,
      mirror: { phase, complete, options },
      verify: this.verifying.schedule,
    };
  }

  begin(): void {
    this.#begun = true;
    const { set, generation, rules, mappings } = this.stored;
    const roots = mappings.map((mapping) => mapping.source);
    this.#capture = this.host.sources.join(set, generation, rules, roots, this);
  }

  #begun = false;
  #capture: SourceRun | null = null;

  reconnect(): void {
    if (!this.#begun) {
      this.begin();
      return;
    }
    if (this.link.phase === 'held')
      throw failure('TRANSMIT_NOT_NOW', {
        action: 'reconnect',
        id: this.id,
        state: this.transmit.phase === 'stopped' ? 'stopped' : 'scheduled',
        advice: `\`understudy transmit start ${this.id}\` makes the link now.`,
      });
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.linkFact('retry_due');
  }

  // What the source says.

  sourceOpened(source: number): void {
    this.#source = source;
    this.linkFact(this.transmit.allowed.link ? 'source_ready' : 'source_ready_held');
  }

  sourceGone(): void {
    this.linkFact('source_gone');
  }

  sourceChanged(): void {
    this.mirror.begin();
    this.#pump();
  }

  #source: number | null = null;

  // What a person asks.

  startMirror(options: MirrorOptions): void {
    if (options.kind === 'none') throw failure('USAGE', { problem: 'A mirror is full or difference.' });
    this.warn(options);
    this.mirror.ask('A start', 'asked', options);
    this.mirror.begin();
  }

  /** MIR-10, MIR-11: choices that leave something out are told when they are made. */
  warn(options: MirrorOptions): void {
    if (options.kind !== 'difference') return;
    if (options.newer) this.world.log.say('NEWER_ONLY', this.at, this.scope);
    else if (!options.checksum) this.world.log.say('ATTRIBUTES_ONLY', this.at, this.scope);
  }

  stopMirror(): void {
    // Whatever waits for all that changed before it would take the end of the walk for that (I2, REP-20).
    this.barriers.failed('all');
    this.tasks.recall();
    this.mirror.ask('Stop', 'stop');
  }

  pauseMirror(): void {
    this.mirror.ask('Pause', 'pause');
  }

  resumeMirror(): void {
    this.mirror.ask('Resume', 'resume');
  }

  startReplication(): void {
    if (this.replication)
      throw failure('NOT_POSSIBLE_NOW', { action: 'Starting replication', id: this.id, state: 'replicating' });
    this.replication = true;
    if (this.handle !== null) this.host.world.engine.replicationStart(this.handle);
    this.host.world.log.say('REPLICATION_STARTED', this.at, this.scope);
    // What changed meanwhile was not queued (REP-02); a running mirror has passed some of it already.
    if (this.mirror.state.phase === 'idle' || this.mirror.state.phase === 'wanted') {
      this.mirror.broken();
      this.mirror.begin();
    } else this.mirror.again = true;
    this.changed(true);
  }

  stopReplication(): void {
    if (!this.replication)
      throw failure('NOT_POSSIBLE_NOW', { action: 'Stopping replication', id: this.id, state: 'not replicating' });
    this.replication = false;
    // Before the first change is left out.
    this.claim.withdraw();
    if (this.handle !== null) this.host.world.engine.replicationStop(this.handle);
    this.host.world.log.say('REPLICATION_STOPPED', this.at, this.scope);
    this.changed(true);
  }

  /** VER-02. */
  verifyBlocked(): Error | null {
    if (this.simulated) return failure('SIMULATED_ONLY', { id: this.id, action: 'a verification' });
    if (this.handle === null || this.link.phase !== 'linked')
      return failure('NOT_LINKED', { id: this.id, target: this.targetName });
    if (this.mirror.state.phase !== 'idle')
      return failure('NOT_POSSIBLE_NOW', { action: 'Verification', id: this.id, state: 'mirroring' });
    return null;
  }

  /** CON-70. */
  remove(): void {
    const dropped = this.counters()?.queueHeldBytes ?? 0;
    this.linkFact('removed');
    this.#end('the connection was removed');
    this.tasks.removed();
    if (this.#capture) this.host.sources.leave(this.#capture, this);
    this.host.world.places.removeTree(this.stateDir);
    this.queue.remove();
    this.host.world.log.say('CONNECTION_REMOVED', { ...this.at, dropped }, this.scope);
  }

  /** Clean stop of the agent: position and wishes are kept. */
  close(): void {
    this.#end('the agent stops');
    this.#closeStream(false);
  }

  get stateDir(): string {
    return `${this.host.world.settings['agent.state']}/connections/${this.stored.key}`;
  }

  /** What feeds this set may have changed: the target has to know, for its loop guard (TOP-08). */
  tellOrigins(): void {
    if (this.handle === null || this.link.phase !== 'linked') return;
    const before = this.#toldOrigins;
    const origins = this.#origins();
    if (this.#toldOrigins !== before) this.world.engine.connectionSend(this.handle, encodeOrigins({ origins }));
  }

  #toldOrigins = '';
  #helloOrigins = '';

  #origins(): Origin[] {
    const origins = [...this.host.origins(this.stored.mappings.map((mapping) => mapping.source))];
    this.#toldOrigins = JSON.stringify(origins);
    return origins;
  }

  // What the engine says.

  event(event: ConnectionEvent): void {
    const { log } = this.host.world;
    switch (event.kind) {
      case 'link_up': {
        const welcome = decodeWelcome(event.welcome);
        this.targetName = welcome?.server ?? this.targetName;
        this.targetCan = welcome?.can ?? [];
        // The very first stream begins with nothing; a later one that does not go on where it was has a gap.
        const gap = !event.resumed && this.everLinked;
        const first = !this.everLinked;
        this.everLinked = true;
        this.#resumed = event.resumed && !first && this.mirror.state.complete;
        this.linkFact('link_up');
        // It may have been given up again before this was heard.
        if (this.link.phase === 'linked') {
          this.connectedSince = this.host.world.clock.wall();
          this.linkedAt = this.host.world.clock.steady();
        }
        this.queue.linked();
        if (gap) this.mirror.broken();
        this.mirror.begin();
        this.barriers.pump();
        this.tasks.linkUp();
        // The hello is as old as the stream; origins may have changed since.
        this.#toldOrigins = this.#helloOrigins;
        this.tellOrigins();
        this.changed(first || gap);
        return;
      }
      case 'link_refused': {
        const refusal = decodeRefusal(event.payload).notice;
        this.problem = notice('LINK_REFUSED', {
          ...this.at,
          reason: noticeText(refusal),
          advice: noticeRemedy(refusal),
        });
        this.linkFact('link_refused');
        return;
      }
      case 'link_down': {
        if (this.link.phase !== 'refused') this.problem = this.#downNotice(event);
        this.verifying.failed('the link went down');
        this.linkFact('link_down');
        return;
      }
      case 'stream_broken':
        log.say('STREAM_BROKEN', { ...this.at, why: event.why }, this.scope);
        this.barriers.failed('all');
        this.verifying.failed('the stream broke');
        this.mirror.broken();
        this.mirror.begin();
        return;
      case 'queue_used':
      case 'queue_full':
      case 'queue_room':
      case 'queue_exhausted':
      case 'queue_resumed':
      case 'queue_dropped':
      case 'memory_exhausted':
        this.queue.event(event);
        return;
      case 'mirror_started':
        this.queue.emptied();
        this.mirror.started();
        return;
      case 'mirror_done':
        log.say(
          'MIRROR_DONE',
          {
            ...this.at,
            files: event.files,
            sentBytes: event.sentBytes,
            skippedBytes: event.skippedBytes,
            orphans: event.orphans,
            ms: Math.round(event.ms),
          },
          this.scope,
        );
        this.mirror.done();
        this.host.mirrored(this, event);
        this.#pump();
        return;
      case 'mirror_stopped':
        this.mirror.gaveUp(event.why);
        return;
      case 'quarantined':
        log.say('QUARANTINED', { ...this.at, path: event.path, count: event.count }, this.scope, {
          call: event.call,
          errno: event.code,
        });
        this.changed(false);
        return;
      case 'quarantine_emptied':
        log.say('QUARANTINE_EMPTY', this.at, this.scope);
        this.changed(false);
        return;
      case 'quarantine_listed':
      case 'quarantine_retried':
        this.quarantine.event(event);
        return;
      case 'barrier_done':
        this.barriers.done(event.token);
        return;
      case 'barrier_failed':
        this.barriers.failed(event.token);
        return;
      case 'task_placed':
      case 'task_failed':
        this.tasks.event(event);
        return;
      case 'verify_done':
      case 'verify_stopped':
      case 'orphans_done':
        this.verifying.event(event);
        return;
      case 'heartbeat':
        tellHeartbeat(this.world, this.targetName, event, this.scope);
        return;
      case 'mirror_held':
      case 'mirror_released':
        if (this.walking)
          log.say(event.kind === 'mirror_held' ? 'MIRROR_HELD' : 'MIRROR_RELEASED', this.at, this.scope);
        this.changed(false);
        return;
      case 'message':
        // A newer target may say more.
        if (!this.stalling.message(event.payload)) this.tasks.message(event.payload);
        return;
    }
  }

  #downNotice({ code, call }: Extract<ConnectionEvent, { kind: 'link_down' }>): Notice {
    const { settings } = this.world;
    const cause = { call, errno: code };
    if (code === 'EACCES' && call.includes('pinned'))
      return notice('LINK_WRONG_KEY', { ...this.at, route: this.route }, cause);
    if (call.startsWith('bind '))
      return notice('LINK_ADDRESS', { ...this.at, address: call.slice('bind '.length) }, cause);
    if (this.link.phase !== 'linked') return notice('LINK_UNREACHABLE', { ...this.at, route: this.route }, cause);
    if (call !== 'heartbeat') return notice('LINK_DOWN', this.at, cause);
    const interval = settings['heartbeat.interval_s'];
    return notice('LINK_SILENT', { ...this.at, missed: settings['heartbeat.missed_limit'], interval });
  }

  #resumed = false;

  /** The connection as its table row; reads the engine's counters. */
  item(): ConnectionItem {
    const source = this.#capture;
    return composeItem(this, this.counters(), this.mirror.base, source?.state ?? 'idle', source?.problem ?? null);
  }

  counters(): ConnectionStatistics | null {
    if (this.handle === null) return null;
    return this.host.world.engine.connectionStatistics(this.handle);
  }

  linkFact(fact: LinkFact): void {
    const { clock } = this.host.world;
    const [next, effects] = linkStep(this.link, fact, clock.wall(), clock.random());
    const was = this.link.phase;
    this.link = next;
    if (next.phase === 'linked' && was !== 'linked') this.stalling.linked();
    if (next.phase !== 'linked' && was === 'linked') this.stalling.down();
    for (const effect of effects) this.#performLink(effect);
    this.changed(false);
  }

  #performLink({ act, inMs }: LinkEffect): void {
    const { world } = this.host;
    switch (act) {
      case 'open_stream':
        this.#openStream();
        return;
      case 'close_stream':
        this.#closeStream(false);
        this.mirror.streamClosed();
        return;
      case 'forget_stream':
        this.#closeStream(true);
        return;
      case 'reconnect':
        if (this.handle === null) this.#openStream();
        else world.engine.connectionReconnect(this.handle);
        return;
      case 'hang_up':
        this.#cancelRetry?.();
        this.#cancelRetry = null;
        this.connectedSince = null;
        this.problem = null;
        if (this.handle !== null) world.engine.transmitLink(this.handle, false);
        this.verifying.failed('transmission was stopped');
        return;
      case 'dial':
        if (this.handle === null) this.#openStream();
        else world.engine.transmitLink(this.handle, true);
        return;
      case 'retry_soon':
      case 'retry_seldom':
        this.#cancelRetry?.();
        this.#cancelRetry = world.clock.after(inMs, () => this.linkFact('retry_due'));
        return;
      case 'tell_up':
        this.problem = null;
        this.#toldAt = null;
        world.log.say('LINK_UP', { ...this.at, resumed: this.#resumed }, this.scope);
        return;
      case 'tell_down':
      case 'tell_unreachable':
      case 'tell_refused':
        this.connectedSince = null;
        this.#tellProblem();
        return;
    }
  }

  #toldAt: { text: string; at: Instant } | null = null;

  /** The same trouble at every try is told once, and again after a while. */
  #tellProblem(): void {
    const { clock, log } = this.host.world;
    if (!this.problem) return;
    const text = noticeText(this.problem);
    const now = clock.steady();
    if (this.#toldAt?.text === text && now - this.#toldAt.at < TELL_AGAIN_MS) return;
    this.#toldAt = { text, at: now };
    log.write(this.problem, this.scope);
  }

  #openStream(): void {
    const { world } = this.host;
    if (this.#source === null) return;
    const { stored } = this;
    try {
      world.places.ensureDirectory(this.stateDir);
      this.handle = world.engine.connectionOpen(this.#source, {
        host: stored.target.host,
        port: stored.target.port,
        peerKey: stored.target.key,
        hello: encodeHello({
          version: LINK_HELLO_VERSION,
          software: SOFTWARE_VERSION,
          server: world.settings['agent.name'],
          set: stored.set,
          connection: stored.key,
          mappings: stored.mappings,
          origins: this.#origins(),
        }),
        stateDir: this.stateDir,
        compression: this.transmit.line.settings.compression as 0 | 1 | 2 | 3,
        linking: this.transmit.allowed.link,
        ...this.queue.options(),
        replication: this.replication,
        retryMs: world.settings['source.retry_s'] * 1000,
        mirrorFollows: this.mirror.state.phase === 'wanted',
        ...(this.simulated ? { simulated: true } : {}),
      });
      this.#helloOrigins = this.#toldOrigins;
      this.host.opened(this.handle, this);
      this.transmit.opened(this.handle);
    } catch (error) {
      const cause = asNotice(error, 'opening the stream').cause;
      this.problem = notice('LINK_UNREACHABLE', { ...this.at, route: this.route }, cause);
      // After the row that led here is finished.
      queueMicrotask(() => this.linkFact('link_down'));
    }
  }

  #closeStream(forget: boolean): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.connectedSince = null;
    if (this.handle === null) return;
    this.transmit.line.closing();
    const handle = this.handle;
    this.handle = null;
    this.host.closed(handle);
    this.host.world.engine.connectionClose(handle, forget);
    this.barriers.failed('all');
    this.tasks.streamClosed();
    this.quarantine.closed();
    this.verifying.failed('the stream was closed');
  }

  /** What the set holds now, as far as it was looked at. */
  setSize(): { readonly files: number; readonly bytes: number } {
    const handle = this.#capture?.handle ?? null;
    return handle === null ? { files: 0, bytes: 0 } : this.world.engine.sourceStatistics(handle);
  }

  get sourceState(): SetState {
    return this.#capture?.state ?? 'idle';
  }

  get walking(): boolean {
    return this.mirror.state.phase !== 'idle' || this.verifying.running;
  }

  /** Capture comes first: what changes during the walk must not be missed (DESIGN 7). */
  canMirror(): boolean {
    return this.link.phase === 'linked' && captures(this.sourceState);
  }

  mirrorBytes(): number {
    const counters = this.counters();
    return counters ? counters.sentMirrorBytes + counters.skippedMirrorBytes : 0;
  }

  get linked(): boolean {
    return this.link.phase === 'linked';
  }

  #pump(): void {
    this.barriers.pump();
    this.tasks.pump();
  }

  barrierRoad(): BarrierRoad {
    const { engine } = this.host.world;
    const { handle } = this;
    if (!this.replication) return { kind: 'never', why: 'replication is stopped' };
    if (this.#capture?.state === 'stopped') return { kind: 'never', why: 'the set is stopped by its guard' };
    if (this.mirror.state.phase !== 'idle') return { kind: 'wait' };
    if (!this.mirror.state.complete)
      return this.mirror.repairDue || !this.everLinked
        ? { kind: 'wait' }
        : { kind: 'never', why: 'a mirror is required' };
    if (handle === null) return { kind: 'wait' };
    return { kind: 'issue', issue: (token) => engine.barrier(handle, token) };
  }

  #end(why: string): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.mirror.end();
    this.stalling.down();
    this.barriers.end(why);
    this.verifying.end(why);
  }

  changed(persist: boolean): void {
    if (persist) this.host.save();
    this.host.world.hub.touch('connections', 'server');
    this.verifying.poke();
  }
}
