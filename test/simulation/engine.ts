/** Model of the native engine of one process, faithful to native/index.ts; every call and event takes its time. */
import type {
  AcceptOptions,
  ConnectionOptions,
  ConnectionStatistics,
  Engine,
  EngineEvent,
  EngineTuning,
  MirrorOptions,
  ReceiverStatistics,
  SourceOptions,
  SourceStatistics,
  VerifyOptions,
} from '../../native/index.js';
import { Channel } from './channel.js';
import type { Machine, Universe } from './machine.js';
import { Link, type Network } from './network.js';
import { Budget } from './queue.js';
import { type Answer, type Hello, Receiver, type StreamPosition } from './receiver.js';
import { Source, type SourceHost } from './source.js';

interface Inbound {
  readonly link: Link;
  readonly hello: Hello;
  receiver: Receiver | null;
}

export class SimEngine implements Engine, SourceHost {
  readonly sources = new Map<number, Source>();
  readonly budget: Budget;
  readonly channels = new Map<number, { readonly channel: Channel; readonly source: Source }>();
  readonly #inbound = new Map<number, Inbound>();
  readonly #links = new Map<number, Link>();
  #next = 1;
  #workerAt = 0;
  #tellAt = 0;
  #dead = false;

  constructor(
    readonly universe: Universe,
    readonly machine: Machine,
    readonly network: Network,
    readonly onEvent: (event: EngineEvent) => void,
    queueMemoryBytes: number,
  ) {
    this.budget = new Budget(queueMemoryBytes);
  }

  alive(): boolean {
    return !this.#dead;
  }

  get #time(): Machine['time'] {
    return this.machine.time;
  }

  /** The process is gone; what the kernel holds of it closes. */
  kill(): void {
    if (this.#dead) return;
    this.#dead = true;
    for (const [port, engine] of this.network.listening) if (engine === this) this.network.listening.delete(port);
    for (const source of this.sources.values()) source.end();
    for (const inbound of this.#inbound.values()) if (inbound.receiver) inbound.receiver.mark.held = false;
    for (const link of [...this.network.links])
      if (link.from === this || link.to === this) link.break('ECONNRESET', 20);
  }

  tell(event: EngineEvent): void {
    const { chance } = this.universe;
    const time = this.#time;
    this.#tellAt = Math.max(this.#tellAt, time.now + chance.between(0, 2));
    time.after(this.#tellAt - time.now, () => {
      if (this.#dead) return;
      this.universe.trace(() => `${this.machine.name}: event ${describe(event)}`);
      this.universe.ran();
      this.onEvent(event);
    });
  }

  #post(call: () => void): void {
    const { chance } = this.universe;
    const time = this.#time;
    this.#workerAt = Math.max(this.#workerAt, time.now + chance.between(0, 4));
    time.after(this.#workerAt - time.now, () => {
      if (!this.#dead) call();
    });
  }

  // Links of sources.

  connect(channel: Channel): void {
    this.disconnect(channel);
    if (!channel.linking) return;
    const time = this.#time;
    const epoch = (this.#dials.get(channel.id) ?? 0) + 1;
    this.#dials.set(channel.id, epoch);
    const asked = time.now;
    const dial = (): void => {
      if (this.#dead || this.#dials.get(channel.id) !== epoch) return;
      const to = this.network.listening.get(channel.options.port);
      if (to && !this.network.reach(this.machine.name, to.machine.name)) {
        if (time.now - asked < 10_000) time.after(10_000, dial);
        else this.#down(channel, 'ETIMEDOUT', 'connect');
        return;
      }
      if (!to) {
        this.#down(channel, 'ECONNREFUSED', 'connect');
        return;
      }
      if (to.machine.key !== channel.options.peerKey) {
        this.#down(channel, 'EACCES', `peer key ${to.machine.key} is not the pinned one`);
        return;
      }
      const link = new Link(this.network, this, to, channel.id, to.#next++);
      this.network.links.add(link);
      this.#links.set(channel.id, link);
      const hello = channel.stream.hello();
      link.send('target', () => to.#incoming(link, hello, this.machine, channel.options.hello));
    };
    time.after(this.network.delay(), dial);
  }

  readonly #dials = new Map<number, number>();

  confirm(channel: Channel, id: number): void {
    this.#links.get(channel.id)?.send('target', (at) => at.to.#inbound.get(at.id)?.receiver?.refusalsTaken(id));
  }

  disconnect(channel: Channel): void {
    this.#dials.set(channel.id, (this.#dials.get(channel.id) ?? 0) + 1);
    const link = this.#links.get(channel.id);
    channel.ready = false;
    channel.stream.linkLost();
    if (!link) return;
    this.#links.delete(channel.id);
    // Ours was asked for, so nothing is told; the other side reads the end of the line.
    link.open.source = false;
    if (this.network.reach(this.machine.name, link.to.machine.name))
      link.to.machine.time.after(this.network.delay(), () => link.end('target', 'ECONNRESET'));
    else link.stall();
  }

  linkLost(link: Link, code: string): void {
    if (this.#links.get(link.connection) !== link) return;
    this.#links.delete(link.connection);
    const known = this.channels.get(link.connection);
    if (known) this.#down(known.channel, code, 'read');
  }

  #down(channel: Channel, code: string, call: string): void {
    channel.ready = false;
    channel.stream.linkLost();
    this.tell({ kind: 'link_down', connection: channel.id, code, call });
  }

  send(channel: Channel): void {
    const link = this.#links.get(channel.id);
    if (!link || !channel.ready || channel.paused) return;
    for (let batch = channel.stream.take(); batch; batch = channel.stream.take()) {
      const sent = batch;
      const arrives = (at: Link): void => {
        const inbound = at.to.#inbound.get(at.id);
        if (!inbound?.receiver?.receive(sent)) at.break('EPROTO', 5);
      };
      link.send('target', arrives, sent.bytes);
    }
    // Its worker sees to it.
    if (channel.stream.damaged) this.channels.get(channel.id)?.source.pump();
  }

  #answered(link: Link, answer: Answer): void {
    const known = this.channels.get(link.connection);
    if (!known || this.#links.get(link.connection) !== link) return;
    const { channel, source } = known;
    switch (answer.kind) {
      case 'ack':
        source.acknowledged(channel, answer.ack);
        this.send(channel);
        return;
      case 'nak':
        source.refusals.refused(channel, answer);
        return;
      case 'manifest':
        source.walks.answered(channel, answer.request, answer.version);
        return;
    }
  }

  #welcomed(link: Link, position: StreamPosition, welcome: Buffer): void {
    const known = this.channels.get(link.connection);
    if (!known || this.#links.get(link.connection) !== link) return;
    this.#post(() => {
      if (this.#links.get(link.connection) === link && known.channel.attached)
        known.source.streams.welcome(known.channel, position, welcome);
    });
  }

  // Links of targets.

  #incoming(link: Link, hello: Inbound['hello'], from: Machine, payload: Uint8Array): void {
    this.#inbound.set(link.id, { link, hello, receiver: null });
    this.tell({
      kind: 'incoming',
      link: link.id,
      peerKey: from.key,
      address: '10.0.0.1:5',
      hello: Buffer.from(payload),
    });
  }

  inboundLost(link: Link, code: string): void {
    const inbound = this.#inbound.get(link.id);
    if (!inbound) return;
    this.#inbound.delete(link.id);
    inbound.receiver?.close();
    this.tell({ kind: 'link_closed', link: link.id, code, call: 'read' });
  }

  listen(_host: string, port: number): number {
    this.network.listening.set(port, this);
    return port;
  }

  /** Sockets, heartbeats and the memory of mirrors are not modelled. */
  tune({ windowBytes }: EngineTuning): number {
    return windowBytes;
  }

  accept(id: number, options: AcceptOptions): void {
    const inbound = this.#inbound.get(id);
    if (!inbound) return;
    const { link } = inbound;
    const root = options.roots[0]?.path ?? '';
    inbound.receiver = new Receiver(
      this.universe,
      this.machine,
      options.markPath,
      root,
      options.retryMs,
      (answer) => link.send('source', (at) => at.from.#answered(at, answer)),
      (what, detail, code, call) => this.tell({ kind: 'receiver_report', link: id, what, detail, code, call }),
      () => !this.#dead,
      (ticket, payload, ready) => this.tell({ kind: 'receiver_task', link: id, ticket, payload, ready }),
    );
    const position = inbound.receiver.position(inbound.hello);
    const welcome = Buffer.from(options.welcome);
    link.send('source', (at) => at.from.#welcomed(at, position, welcome));
    // Those of the last link may be lost with it, and nothing else may follow.
    if (options.paused) inbound.receiver.pause(true);
    inbound.receiver.announce(inbound.hello.refusalsTaken);
  }

  refuse(id: number, payload: Uint8Array): void {
    const inbound = this.#inbound.get(id);
    if (!inbound) return;
    inbound.link.send('source', (at) => {
      at.from.tell({ kind: 'link_refused', connection: at.connection, payload: Buffer.from(payload) });
    });
    this.#time.after(20 * this.network.slow, () => inbound.link.break('ECONNREFUSED', 5));
  }

  linkSend(id: number, payload: Uint8Array): void {
    this.#inbound.get(id)?.link.send('source', (at) => {
      at.from.tell({ kind: 'message', connection: at.connection, payload: Buffer.from(payload) });
    });
  }

  linkClose(id: number): void {
    const link = this.#inbound.get(id)?.link;
    if (!link) return;
    this.#time.after(this.universe.chance.between(1, 10), () => {
      link.end('target', 'ECANCELED');
      if (link.stalledSince === Number.POSITIVE_INFINITY)
        link.from.machine.time.after(this.network.delay(), () => link.end('source', 'ECONNRESET'));
    });
  }

  receiverPause(id: number, paused: boolean): void {
    this.#inbound.get(id)?.receiver?.pause(paused);
  }

  receiverIgnoreDeletes(): void {}

  receiverStatistics(id: number): ReceiverStatistics | null {
    const receiver = this.#inbound.get(id)?.receiver;
    if (!receiver) return null;
    return {
      linked: true,
      batches: receiver.operations,
      operations: receiver.operations,
      writtenBytes: 0,
      mirrorBytes: 0,
      mirrorHeld: false,
      applied: receiver.applied,
      durable: receiver.durable,
      queuedBytes: receiver.queuedBytes,
      failed: 0,
      quarantined: 0,
      checkpoints: 0,
      pausing: false,
      retrying: receiver.retrying,
      task: receiver.task,
      lastPath: '',
    };
  }

  // Orphans are names; the model has none, so their handling has nothing to act on and nobody asks for it.

  receiverOrphans(): void {}

  orphansStart(): void {
    throw new Error('the model knows no names that only a target has');
  }

  // Sources.

  sourceOpen(options: SourceOptions): number {
    const id = this.#next++;
    this.sources.set(id, new Source(this, id, options));
    return id;
  }

  sourceSuspend(id: number): void {
    this.sources.get(id)?.suspend();
  }

  sourceClose(id: number): void {
    const source = this.#source(id);
    if ([...this.channels.values()].some((one) => one.source === source))
      throw new Error("close the source's connections first");
    source.close();
    this.sources.delete(id);
  }

  sourceStatistics(id: number): SourceStatistics {
    const source = this.#source(id);
    return {
      state: source.state.get(),
      capture: 'model',
      files: this.universe.paths,
      directories: 1,
      bytes: 0,
      dirty: 0,
      events: 0,
      lost: 0,
      shadowBytes: 0,
      unreadable: 0,
    };
  }

  sourceContinue(): void {}

  sourceRescan(id: number): void {
    const source = this.#source(id);
    this.#post(() => source.lose('asked by the operator'));
  }

  // Connections.

  connectionOpen(sourceId: number, options: ConnectionOptions): number {
    const source = this.#source(sourceId);
    if (options.simulated) throw new Error('the model has no targets that are not there');
    const id = this.#next++;
    const channel = new Channel(this.universe, this.machine, this.budget, id, options);
    this.channels.set(id, { channel, source });
    this.#post(() => source.streams.attach(channel));
    return id;
  }

  connectionClose(id: number, forget: boolean): void {
    const known = this.channels.get(id);
    if (!known) return;
    this.channels.delete(id);
    this.disconnect(known.channel);
    // A source that is closed next works its commands off first.
    known.source.streams.detach(known.channel, forget);
  }

  connectionStatistics(id: number): ConnectionStatistics {
    const { channel, source } = this.#channel(id);
    const { stream } = channel;
    const { mutants } = this.universe;
    const time = this.#time;
    const link = this.#links.get(id);
    const oldest = stream.batches.find(({ operation: { kind } }) => kind === 'write');
    const untold = mutants.streamLatency ? Number.POSITIVE_INFINITY : source.recovery.waitsSince(channel);
    const unapplied = Math.min(untold, stream.oldestChange(!channel.ready));
    const since = Math.min(unapplied, channel.doubt);
    const wall = time.wall();
    const age = (at: number): number =>
      at === Number.POSITIVE_INFINITY
        ? 0
        : mutants.wallLatency
          ? Math.max(0, wall - (oldest?.capturedWall ?? wall))
          : Math.max(1, Math.round(time.now - at));
    const nothing = mutants.linkedLag && !channel.ready;
    const heard = link ? link.quietMs() : Number.POSITIVE_INFINITY;
    const proven =
      stream.queuedOps === 0 && stream.target && channel.ready
        ? Math.max(stream.provenAt, time.now - heard - 1_000)
        : stream.provenAt;
    return {
      linked: channel.ready,
      transmitPaused: channel.paused,
      mirror: channel.word.get(),
      mirrorHeld: false,
      replicating: channel.replicating,
      queuedOps: stream.queuedOps,
      queuedBytes: stream.queuedBytes,
      queuedMirrorOps: stream.mirrorOps,
      queuedMirrorBytes: stream.mirrorBytes,
      sentBytes: stream.sentBytes,
      sentCompressedBytes: stream.sentBytes,
      sentMirrorBytes: stream.sentMirrorBytes,
      sentMirrorCompressedBytes: stream.sentMirrorBytes,
      skippedMirrorBytes: channel.skippedBytes,
      remainingMirrorBytes: 0,
      mirrorFilesDone: channel.walk?.next ?? 0,
      mirrorFilesTotal: this.universe.paths,
      wireBytes: 0,
      sequence: stream.last,
      applied: stream.applied,
      durable: stream.durable,
      targetQueuedBytes: 0,
      targetPausing: false,
      targetPaused: stream.target?.paused ?? false,
      targetRetrying: stream.target?.retrying ?? false,
      targetTask: false,
      failed: channel.failed.get(),
      repairing: channel.repairing,
      latencyMs: nothing ? 0 : since === Number.NEGATIVE_INFINITY ? -1 : age(since),
      recoveryPointMs: Number.isFinite(since) ? Math.round(wall - (time.now - since)) : 0,
      unappliedMs: age(unapplied),
      lagBytes: since === Number.POSITIVE_INFINITY ? 0 : stream.queuedBytes,
      lagAtLeast: untold !== Number.POSITIVE_INFINITY || channel.doubt !== Number.POSITIVE_INFINITY,
      heartbeatMs: Number.isFinite(proven) ? Math.max(0, Math.round(time.now - proven)) : -1,
      lastPath: '',
      quietMs: link ? link.quietMs() : -1,
      queueHeldBytes: stream.queuedBytes,
      queueRoomBytes: stream.capacity,
      queueMemoryBytes: stream.memory,
      queueDiskBytes: stream.disk.bytes,
      behind: channel.full.get(),
      sessionBytes: 0,
      budgetSpent: false,
    };
  }

  connectionSend(id: number, payload: Uint8Array): void {
    this.#links.get(id)?.send('target', (at) => {
      at.to.tell({ kind: 'link_message', link: at.id, payload: Buffer.from(payload) });
    });
  }

  connectionReconnect(id: number): void {
    const { channel } = this.#channel(id);
    this.#post(() => {
      if (channel.attached) this.connect(channel);
    });
  }

  mirrorStart(id: number, options: MirrorOptions): void {
    this.#worker(id, (source, channel) => source.walks.start(channel, options, false, false));
  }

  mirrorPause(id: number): void {
    this.#worker(id, (source, channel) => source.walks.pause(channel, true));
  }

  mirrorResume(id: number): void {
    this.#worker(id, (source, channel) => source.walks.pause(channel, false));
  }

  mirrorStop(id: number): void {
    this.#worker(id, (source, channel) => source.walks.stop(channel, 'stopped'));
  }

  replicationStart(id: number): void {
    this.#worker(id, (source, channel) => source.streams.setReplicating(channel, true));
  }

  replicationStop(id: number): void {
    this.#worker(id, (source, channel) => source.streams.setReplicating(channel, false));
  }

  transmitPause(id: number, paused: boolean): void {
    const { channel } = this.#channel(id);
    channel.paused = paused;
    this.send(channel);
  }

  transmitLink(id: number, linking: boolean): void {
    const { channel } = this.#channel(id);
    channel.linking = linking;
    if (!linking) {
      this.disconnect(channel);
      return;
    }
    this.#post(() => {
      if (channel.attached) this.connect(channel);
    });
  }

  // The network of the model has no limits of a person; what is offered here is what an agent without them calls.
  transmitLimit(): void {}

  transmitBudget(): void {}

  transmitCompression(): void {}

  barrier(id: number, token: number): void {
    this.#worker(id, (source, channel) => source.barriers.barrier(channel, token));
  }

  task(id: number, token: number, payload: Uint8Array, durable: boolean): void {
    this.#worker(id, (source, channel) => source.barriers.task(channel, token, Buffer.from(payload), durable));
  }

  taskCancel(id: number, token: number): void {
    this.#worker(id, (source, channel) => source.barriers.taskCancel(channel, token));
  }

  receiverTaskDone(link: number, ticket: number): void {
    this.#inbound.get(link)?.receiver?.taskDone(ticket);
  }

  // File systems are not in the model.

  freeze(): number {
    throw new Error('the model has no file systems to freeze');
  }

  freezeRelease(): void {}

  verify(id: number, options: VerifyOptions): void {
    this.#worker(id, (source, channel) =>
      source.walks.start(channel, { compare: 'content', newer: false, all: true }, true, options.remirror),
    );
  }

  quarantineList(id: number, token: number, after: string, limit: number): void {
    this.#worker(id, (source, channel) => source.refusals.list(channel, token, after, limit));
  }

  quarantineRetry(id: number, token: number, path: string): void {
    this.#worker(id, (source, channel) => source.refusals.retryNow(channel, token, path));
  }

  close(): void {
    for (const source of this.sources.values()) source.close();
    for (const inbound of this.#inbound.values()) inbound.receiver?.close();
    this.kill();
  }

  #worker(id: number, command: (source: Source, channel: Channel) => void): void {
    const { channel, source } = this.#channel(id);
    this.#post(() => {
      if (channel.attached) command(source, channel);
    });
  }

  #source(id: number): Source {
    const source = this.sources.get(id);
    if (!source) throw new Error('no such source');
    return source;
  }

  #channel(id: number): { readonly channel: Channel; readonly source: Source } {
    const known = this.channels.get(id);
    if (!known) throw new Error('no such connection');
    return known;
  }
}

function describe(event: EngineEvent): string {
  const { kind, ...rest } = event as { kind: string } & Record<string, unknown>;
  const shown = Object.entries(rest)
    .filter(([, value]) => typeof value !== 'object')
    .map(([key, value]) => `${key}=${String(value)}`);
  return `${kind} ${shown.join(' ')}`;
}
