/**
 * An engine without disks and threads: agents made with one `FakeNetwork` reach each other by port, and the test says
 * when things happen. It keeps the order of events the real one promises.
 */
import type {
  AcceptOptions,
  ConnectionOptions,
  ConnectionStatistics,
  Engine,
  EngineEvent,
  EngineTuning,
  MirrorOptions,
  OrphanOptions,
  ReceiverStatistics,
  SourceOptions,
  SourceStatistics,
  VerifyOptions,
} from '../../native/index.js';

export class FakeNetwork {
  readonly listening = new Map<number, FakeEngine>();
  nextPort = 40_000;
  /** Nothing goes through while it is cut. */
  cut = false;
}

interface FakeConnection {
  readonly options: ConnectionOptions;
  readonly source: number;
  remote: { engine: FakeEngine; link: number } | null;
  replicating: boolean;
  mirror: ConnectionStatistics['mirror'];
  readonly barriers: number[];
  /** Tasks in the stream that the target has not reached, and one it stands at. */
  readonly tasks: { readonly token: number; readonly payload: Buffer; placed: boolean; ticket: number }[];
  streamNew: boolean;
  paused: boolean;
  /** `mirror_started` has answered the last `mirrorStart`. */
  confirmed: boolean;
  /** What the target refused: path, and how often. */
  readonly refused: Map<string, number>;
}

interface FakeLink {
  readonly from: FakeEngine;
  readonly connection: number;
  accepted: AcceptOptions | null;
  paused: boolean;
  /** The task it stands at. */
  task: number | null;
}

export class FakeEngine implements Engine {
  readonly sources = new Map<number, { options: SourceOptions; state: SourceStatistics['state'] }>();
  readonly connections = new Map<number, FakeConnection>();
  readonly links = new Map<number, FakeLink>();
  readonly calls: string[] = [];
  /** What `sourceOpen` throws next. */
  refuseSource: (Error & { code: string; call: string }) | null = null;
  /** Mirrors end by themselves. */
  instant = true;
  /** What the throttle to every address says. */
  budgetSpent = false;
  sessionBytes = 0;
  /** How often somebody looked at a connection. */
  looks = 0;
  /** What replication has sent, twice as large as on the wire. */
  changedBytes = 0;
  /** Tasks are not placed. */
  holdTasks = false;
  /** Questions about the quarantine are not answered. */
  mute = false;
  /** What every queue holds. */
  queueHeldBytes = 0;
  queueRoomBytes = 1_000_000;
  /** As it was told last. */
  tuning: EngineTuning | null = null;
  /** Socket buffers that the system allows. */
  windowBytesMax = Number.POSITIVE_INFINITY;
  /** QUE-12: what every target says. */
  mirrorHeld = false;
  #next = 1;

  constructor(
    readonly network: FakeNetwork,
    readonly key: string,
    readonly tell: (event: EngineEvent) => void,
  ) {}

  listen(_host: string, port: number): number {
    const at = port === 0 ? this.network.nextPort++ : port;
    this.network.listening.set(at, this);
    return at;
  }

  tune(tuning: EngineTuning): number {
    this.tuning = tuning;
    return Math.min(tuning.windowBytes, this.windowBytesMax);
  }

  accept(link: number, options: AcceptOptions): void {
    const found = this.#link(link);
    found.accepted = options;
    found.paused = options.paused;
    const { from, connection } = found;
    const fresh = from.connections.get(connection)?.streamNew ?? false;
    from.later(() => {
      const theirs = from.connections.get(connection);
      if (!theirs) return;
      theirs.remote = { engine: this, link };
      from.tell({ kind: 'link_up', connection, welcome: Buffer.from(options.welcome), resumed: !fresh });
      from.pump(connection);
    });
  }

  refuse(link: number, payload: Uint8Array): void {
    const { from, connection } = this.#link(link);
    this.links.delete(link);
    from.later(() => from.tell({ kind: 'link_refused', connection, payload: Buffer.from(payload) }));
  }

  linkSend(link: number, payload: Uint8Array): void {
    const { from, connection } = this.#link(link);
    from.later(() => from.tell({ kind: 'message', connection, payload: Buffer.from(payload) }));
  }

  linkClose(link: number): void {
    const found = this.links.get(link);
    if (!found) return;
    this.links.delete(link);
    this.later(() => this.tell({ kind: 'link_closed', link, code: 'ECONNRESET', call: 'close' }));
    found.from.later(() => {
      // Only the link that ended; the source may have a newer one already.
      const theirs = found.from.connections.get(found.connection);
      if (theirs?.remote?.engine === this && theirs.remote.link === link) found.from.drop(found.connection);
    });
  }

  receiverPause(link: number, paused: boolean): void {
    const found = this.links.get(link);
    if (!found) return;
    found.paused = paused;
    if (!paused) found.from.later(() => found.from.pump(found.connection));
  }

  receiverIgnoreDeletes(link: number, ignore: boolean): void {
    this.#link(link);
    this.calls.push(`receiverIgnoreDeletes ${ignore}`);
  }

  receiverOrphans(link: number, options: OrphanOptions): void {
    this.#link(link);
    this.calls.push(`receiverOrphans ${options.action} ${options.ageMs}`);
  }

  receiverStatistics(link: number): ReceiverStatistics | null {
    return this.links.has(link)
      ? {
          linked: true,
          batches: 1,
          operations: 2,
          writtenBytes: 3,
          mirrorBytes: 0,
          mirrorHeld: this.mirrorHeld,
          applied: 1,
          durable: 1,
          queuedBytes: 0,
          failed: 0,
          quarantined: 0,
          checkpoints: 1,
          pausing: false,
          retrying: false,
          task: false,
          lastPath: '/f',
        }
      : null;
  }

  sourceOpen(options: SourceOptions): number {
    if (this.refuseSource) throw this.refuseSource;
    const source = this.#next++;
    this.sources.set(source, { options, state: 'opening' });
    this.calls.push(`sourceOpen ${options.name}`);
    this.later(() => this.ready(source));
    return source;
  }

  ready(source: number): void {
    const found = this.sources.get(source);
    if (!found) return;
    found.state = 'watching';
    this.tell({
      kind: 'source_ready',
      source,
      capture: 'fake',
      rootIdentity: found.options.roots.map(() => '1:2'),
      files: 5,
      bytes: 50,
      ms: 1,
    });
  }

  sourceSuspend(): void {}

  sourceClose(source: number): void {
    if ([...this.connections.values()].some((one) => one.source === source))
      throw new Error("close the source's connections first");
    this.sources.delete(source);
    this.calls.push('sourceClose');
  }

  sourceStatistics(source: number): SourceStatistics {
    const found = this.sources.get(source);
    if (!found) throw new Error('no such source');
    return {
      state: found.state,
      capture: 'fake',
      files: 5,
      directories: 1,
      bytes: 50,
      dirty: 0,
      events: 0,
      lost: 0,
      shadowBytes: 0,
      unreadable: 0,
    };
  }

  sourceContinue(source: number, accept: 'once' | 'never'): void {
    this.calls.push(`sourceContinue ${accept}`);
    this.later(() => this.tell({ kind: 'source_continues', source }));
  }

  sourceRescan(): void {
    this.calls.push('sourceRescan');
  }

  connectionOpen(source: number, options: ConnectionOptions): number {
    const connection = this.#next++;
    this.connections.set(connection, {
      options,
      source,
      remote: null,
      replicating: options.replication,
      mirror: 'idle',
      barriers: [],
      tasks: [],
      streamNew: false,
      paused: false,
      confirmed: true,
      refused: new Map(),
    });
    this.calls.push(options.linking ? 'connectionOpen' : 'connectionOpen held');
    if (options.linking) this.#dial(connection);
    return connection;
  }

  connectionClose(connection: number, forget: boolean): void {
    this.calls.push(`connectionClose ${forget ? 'forget' : 'keep'}`);
    const found = this.connections.get(connection);
    this.connections.delete(connection);
    const remote = found?.remote;
    if (remote) remote.engine.hangUp(remote.link);
  }

  connectionStatistics(connection: number): ConnectionStatistics {
    const found = this.connections.get(connection);
    if (!found) throw new Error('no such connection');
    this.looks += 1;
    return {
      linked: found.remote !== null || found.options.simulated === true,
      transmitPaused: found.paused,
      mirror: found.mirror,
      replicating: found.replicating,
      queuedOps: this.queueHeldBytes > 0 ? 1 : 0,
      queuedBytes: this.queueHeldBytes,
      queuedMirrorOps: 0,
      queuedMirrorBytes: 0,
      sentBytes: 10 + this.changedBytes,
      sentCompressedBytes: 10 + this.changedBytes / 2,
      sentMirrorBytes: 10,
      sentMirrorCompressedBytes: 10,
      skippedMirrorBytes: 0,
      remainingMirrorBytes: 0,
      mirrorFilesDone: 0,
      mirrorFilesTotal: 0,
      wireBytes: 99,
      sequence: 1,
      applied: 1,
      durable: 1,
      targetQueuedBytes: 0,
      targetPaused: false,
      targetPausing: false,
      targetRetrying: false,
      targetTask: false,
      mirrorHeld: this.mirrorHeld,
      failed: found.refused.size,
      repairing: false,
      latencyMs: found.remote || found.options.simulated ? 0 : -1,
      recoveryPointMs: 0,
      unappliedMs: 0,
      lagBytes: 0,
      lagAtLeast: false,
      heartbeatMs: found.remote || found.options.simulated ? 1 : -1,
      lastPath: '/f',
      quietMs: found.remote || found.options.simulated ? 1 : -1,
      queueHeldBytes: this.queueHeldBytes,
      queueRoomBytes: this.queueRoomBytes,
      queueMemoryBytes: this.queueHeldBytes,
      queueDiskBytes: 0,
      behind: false,
      sessionBytes: this.sessionBytes,
      budgetSpent: this.budgetSpent,
    };
  }

  connectionSend(connection: number, payload: Uint8Array): void {
    const { remote } = this.#connection(connection);
    remote?.engine.later(() =>
      remote.engine.tell({ kind: 'link_message', link: remote.link, payload: Buffer.from(payload) }),
    );
  }

  connectionReconnect(connection: number): void {
    this.calls.push('connectionReconnect');
    this.#dial(connection);
  }

  mirrorStart(connection: number, options: MirrorOptions): void {
    const found = this.#connection(connection);
    this.calls.push(`mirrorStart ${options.compare}`);
    if (found.mirror === 'verifying') this.tell({ kind: 'verify_stopped', connection, why: 'started again' });
    found.mirror = 'mirroring';
    found.confirmed = false;
    this.later(() => {
      this.#confirm(connection);
      if (this.instant) this.mirrorDone(connection);
    });
  }

  mirrorDone(connection: number): void {
    const found = this.connections.get(connection);
    if (!found) return;
    this.#confirm(connection);
    found.mirror = 'idle';
    found.streamNew = false;
    this.tell({ kind: 'mirror_done', connection, files: 5, sentBytes: 50, skippedBytes: 0, orphans: 0, ms: 1 });
  }

  mirrorPause(connection: number): void {
    this.#connection(connection).mirror = 'paused';
  }

  mirrorResume(connection: number): void {
    this.#connection(connection).mirror = 'mirroring';
  }

  mirrorStop(connection: number): void {
    this.#connection(connection).mirror = 'idle';
    this.calls.push('mirrorStop');
  }

  replicationStart(connection: number): void {
    this.#connection(connection).replicating = true;
  }

  replicationStop(connection: number): void {
    this.#connection(connection).replicating = false;
  }

  transmitPause(connection: number, paused: boolean): void {
    this.#connection(connection).paused = paused;
  }

  transmitLimit(connection: number, bytesPerSecond: number): void {
    this.calls.push(`limit ${bytesPerSecond}`);
    this.#connection(connection);
  }

  transmitBudget(connection: number, bytes: number): void {
    this.calls.push(`budget ${bytes}`);
    this.#connection(connection);
    this.budgetSpent = false;
    this.sessionBytes = 0;
  }

  transmitCompression(connection: number, level: number): void {
    this.calls.push(`compression ${level}`);
    this.#connection(connection);
  }

  transmitLink(connection: number, linking: boolean): void {
    this.calls.push(`link ${linking}`);
    const found = this.#connection(connection);
    if (linking) {
      this.#dial(connection);
      return;
    }
    const { remote } = found;
    found.remote = null;
    if (remote) remote.engine.hangUp(remote.link);
  }

  barrier(connection: number, token: number): void {
    this.calls.push('barrier');
    this.#connection(connection).barriers.push(token);
    this.later(() => this.pump(connection));
  }

  task(connection: number, token: number, payload: Uint8Array, durable: boolean): void {
    this.calls.push(`task ${durable ? 'durable' : 'plain'}`);
    const found = this.#connection(connection);
    found.tasks.push({ token, payload: Buffer.from(payload), placed: false, ticket: 0 });
    this.later(() => {
      const task = found.tasks.find((one) => one.token === token);
      if (!task || this.holdTasks) return;
      task.placed = true;
      this.tell({ kind: 'task_placed', connection, token, sequence: 1 });
      this.pump(connection);
    });
  }

  taskCancel(connection: number, token: number): void {
    const found = this.#connection(connection);
    const at = found.tasks.findIndex((one) => one.token === token && !one.placed);
    if (at < 0) return;
    found.tasks.splice(at, 1);
    this.later(() => this.tell({ kind: 'task_failed', connection, token, why: 'cancelled', placed: false }));
  }

  receiverTaskDone(link: number, ticket: number): void {
    const theirs = this.links.get(link);
    const found = theirs?.from.connections.get(theirs.connection);
    if (!theirs || found?.tasks[0]?.ticket !== ticket) return;
    found.tasks.shift();
    this.calls.push('receiverTaskDone');
    theirs.from.later(() => theirs.from.pump(theirs.connection));
  }

  freeze(): number {
    throw new Error('the fake engine freezes nothing');
  }

  freezeRelease(): void {}

  verify(connection: number, options: VerifyOptions): void {
    this.calls.push(`verify ${options.checksum}`);
    const found = this.#connection(connection);
    found.mirror = 'verifying';
    if (!this.instant) return;
    found.mirror = 'idle';
    this.later(() =>
      this.tell({
        kind: 'verify_done',
        connection,
        files: 5,
        bytes: 50,
        different: 1,
        missing: 0,
        orphans: 0,
        resent: options.remirror ? 1 : 0,
        paths: ['different /f'],
        details: ['12 1000 10 900 1 3'],
        omitted: 0,
        ms: 1,
      }),
    );
  }

  orphansStart(connection: number, preview: boolean): void {
    this.calls.push(`orphansStart ${preview}`);
    this.later(() =>
      this.tell({ kind: 'orphans_done', connection, orphans: 1, paths: ['orphan /o'], omitted: 0, ms: 1 }),
    );
  }

  quarantineList(connection: number, token: number, after: string, limit: number): void {
    const { refused } = this.#connection(connection);
    const all = [...refused].filter(([path]) => path > after).sort(([a], [b]) => (a < b ? -1 : 1));
    const page = all.slice(0, limit);
    this.calls.push('quarantineList');
    if (this.mute) return;
    this.later(() =>
      this.tell({
        kind: 'quarantine_listed',
        connection,
        token,
        paths: page.map(([path]) => path),
        details: page.map(([, attempts]) => `write 1 ${attempts} 1000 0 openat(file at the target)`),
        omitted: all.length - page.length,
        total: refused.size,
      }),
    );
  }

  quarantineRetry(connection: number, token: number, path: string): void {
    const { refused } = this.#connection(connection);
    const wanted = [...refused.keys()].filter((one) => path === '' || one === path);
    for (const one of wanted) refused.set(one, (refused.get(one) ?? 0) + 1);
    this.calls.push(`quarantineRetry ${path}`);
    this.later(() => this.tell({ kind: 'quarantine_retried', connection, token, count: wanted.length }));
  }

  close(): void {
    for (const [port, engine] of this.network.listening) if (engine === this) this.network.listening.delete(port);
    for (const link of [...this.links.keys()]) this.linkClose(link);
    this.calls.push('close');
  }

  // What a test makes happen.

  /** The link breaks; nothing is lost. */
  breakLink(connection: number): void {
    const found = this.#connection(connection);
    found.remote?.engine.hangUp(found.remote.link);
    this.drop(connection);
  }

  /** The stream has a gap from here on. */
  breakStream(connection: number): void {
    const found = this.#connection(connection);
    found.streamNew = true;
    for (const { token, placed } of found.tasks.splice(0))
      this.tell({ kind: 'task_failed', connection, token, why: 'the stream broke', placed });
    this.tell({ kind: 'stream_broken', connection, why: 'queue limit reached' });
  }

  drop(connection: number): void {
    const found = this.connections.get(connection);
    if (!found) return;
    found.remote = null;
    this.tell({ kind: 'link_down', connection, code: 'ECONNRESET', call: 'read' });
  }

  hangUp(link: number): void {
    if (!this.links.delete(link)) return;
    this.later(() => this.tell({ kind: 'link_closed', link, code: 'ECONNRESET', call: 'read' }));
  }

  pump(connection: number): void {
    const found = this.connections.get(connection);
    if (!found?.remote) return;
    for (const token of found.barriers.splice(0)) this.tell({ kind: 'barrier_done', connection, token });
    const { remote } = found;
    const task = found.tasks[0];
    const link = remote.engine.links.get(remote.link);
    // One at a time, and again over each new link until it is done with.
    if (!task?.placed || !link || link.paused || link.task === task.token) return;
    link.task = task.token;
    task.ticket = remote.engine.#next++;
    const { payload, ticket } = task;
    remote.engine.later(() => {
      if (remote.engine.links.has(remote.link))
        remote.engine.tell({ kind: 'receiver_task', link: remote.link, ticket, payload, ready: true });
    });
  }

  later(call: () => void): void {
    setImmediate(call);
  }

  /** Nothing is said about a walk before its start is. */
  #confirm(connection: number): void {
    const found = this.connections.get(connection);
    if (!found || found.confirmed) return;
    found.confirmed = true;
    this.tell({ kind: 'mirror_started', connection });
  }

  #dial(connection: number): void {
    this.later(() => {
      const found = this.connections.get(connection);
      if (!found) return;
      if (found.options.simulated) {
        this.tell({ kind: 'link_up', connection, welcome: Buffer.alloc(0), resumed: true });
        return;
      }
      const engine = this.network.cut ? undefined : this.network.listening.get(found.options.port);
      // A cut line stays silent; a machine without an agent refuses.
      const code = this.network.cut ? 'ETIMEDOUT' : 'ECONNREFUSED';
      if (!engine) return this.tell({ kind: 'link_down', connection, code, call: 'connect' });
      if (engine.key !== found.options.peerKey)
        return this.tell({
          kind: 'link_down',
          connection,
          code: 'EACCES',
          call: `peer key ${engine.key} is not the pinned one`,
        });
      const link = engine.#next++;
      engine.links.set(link, { from: this, connection, accepted: null, paused: false, task: null });
      engine.tell({
        kind: 'incoming',
        link,
        peerKey: this.key,
        address: '127.0.0.1:5',
        hello: Buffer.from(found.options.hello),
      });
    });
  }

  #connection(connection: number): FakeConnection {
    const found = this.connections.get(connection);
    if (!found) throw new Error('no such connection');
    return found;
  }

  #link(link: number): FakeLink {
    const found = this.links.get(link);
    if (!found) throw new Error('no such link');
    return found;
  }
}
