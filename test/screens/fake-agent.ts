/** An agent that speaks the real protocol over memory, and says what a test wants it to say. */
import { Duplex } from 'node:stream';
import { decode, encode } from '../../protocol/codec.js';
import { type Code, failure, notice, type ParamsOf } from '../../protocol/errors.js';
import { encodeFrame, FrameDecoder } from '../../protocol/frame.js';
import type { Access } from '../../protocol/schema.js';
import {
  type ConnectionItem,
  type Grant,
  type LogLine,
  METHODS,
  type Notice,
  type ServerStatus,
  type SetItem,
  TOPICS,
} from '../../protocol/messages/index.js';
import { MAGIC, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN } from '../../protocol/version.js';

/** Two ends of one stream in memory. */
export function pair(): [Duplex, Duplex] {
  const make = (): Duplex & { peer: Duplex | null } => {
    const end = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        const { peer } = end;
        setImmediate(() => {
          if (peer && !peer.destroyed) peer.push(chunk);
          done();
        });
      },
      final(done) {
        const { peer } = end;
        setImmediate(() => {
          if (peer && !peer.destroyed) peer.push(null);
          done();
        });
      },
      destroy(error, done) {
        const { peer } = end;
        setImmediate(() => peer?.destroy());
        done(error);
      },
    }) as Duplex & { peer: Duplex | null };
    end.peer = null;
    return end;
  };
  const a = make();
  const b = make();
  a.peer = b;
  b.peer = a;
  return [a, b];
}

interface Subscriber {
  readonly id: number;
  readonly topic: string;
  readonly send: (value: unknown) => void;
  number: number;
}

export const AT = Date.UTC(2026, 10, 20, 22, 0, 0);

export class FakeAgent {
  readonly name: string;
  access: Access = 'administrator';
  status: ServerStatus;
  readonly sets = new Map<string, SetItem>();
  readonly connections = new Map<string, ConnectionItem>();
  readonly grants = new Map<string, Grant>();
  readonly log: LogLine[] = [];
  /** Requests in order, as `method {params}`. */
  readonly asked: { method: string; params: unknown }[] = [];
  /** Answers by method; a test may put its own. */
  readonly answers = new Map<string, (params: never) => unknown>();
  readonly #ends = new Set<Duplex>();
  readonly #subscribers = new Set<Subscriber>();

  constructor(name: string) {
    this.name = name;
    this.status = {
      name,
      version: '0.1.0',
      started: AT,
      key: 'ab'.repeat(32),
      listen: { host: '0.0.0.0', port: 1500 },
      privileged: true,
      sets: 0,
      connections: 0,
      incoming: 0,
      linked: 0,
      targetPaused: false,
      severity: 'information',
      problems: [],
    };
  }

  /** A new link, as a transport would open it. */
  open(): Promise<Duplex> {
    const [near, far] = pair();
    this.#ends.add(far);
    far.on('close', () => this.#ends.delete(far));
    far.on('error', () => {});
    this.#serve(far);
    return Promise.resolve(near);
  }

  /** Cuts every link, as a network would. */
  cut(): void {
    for (const end of [...this.#ends]) end.destroy();
    this.#subscribers.clear();
  }

  put(
    topic: 'connections' | 'sets' | 'server' | 'grants',
    item: ConnectionItem | SetItem | ServerStatus | Grant,
  ): void {
    if (topic === 'connections') this.connections.set((item as ConnectionItem).key, item as ConnectionItem);
    if (topic === 'sets') this.sets.set((item as SetItem).name, item as SetItem);
    if (topic === 'grants') this.grants.set((item as Grant).connection, item as Grant);
    if (topic === 'server') this.status = item as ServerStatus;
    this.#tell(topic, { put: item });
  }

  remove(topic: 'connections' | 'sets', key: string): void {
    (topic === 'connections' ? this.connections : this.sets).delete(key);
    this.#tell(topic, { remove: key });
  }

  write<C extends Code>(code: C, params: ParamsOf<C>, more: Partial<LogLine> = {}): LogLine {
    const line: LogLine = {
      sequence: (this.log.at(-1)?.sequence ?? 0) + 1,
      at: AT + this.log.length * 1000,
      set: null,
      connection: null,
      server: null,
      notice: notice(code, params),
      count: 1,
      audit: null,
      ...more,
    };
    this.log.push(line);
    this.#tell('log', { put: line });
    return line;
  }

  #tell(topic: string, what: { put: unknown } | { remove: string }): void {
    for (const one of this.#subscribers)
      if (one.topic === topic) one.send({ kind: 'delta', id: one.id, number: ++one.number, ...what });
  }

  #serve(end: Duplex): void {
    const decoder = new FrameDecoder();
    const send = (value: unknown): void => {
      if (!end.destroyed) end.write(encodeFrame(encode(value)));
    };
    end.write(MAGIC);
    send({
      versions: { min: PROTOCOL_VERSION_MIN, max: PROTOCOL_VERSION },
      capabilities: ['cancel', 'subscribe'],
      software: '0.1.0',
    });
    let first = true;
    end.on('data', (bytes: Buffer) => {
      for (const payload of decoder.push(bytes)) {
        const message = decode(payload) as { kind: string; id: number; method: string; topic: string; params: unknown };
        if (first) {
          first = false;
          continue;
        }
        if (message.kind === 'request') this.#answer(message, send);
        else if (message.kind === 'subscribe') this.#subscribe(message, send);
        else if (message.kind === 'cancel')
          for (const one of this.#subscribers)
            if (one.id === message.id && one.send === send) this.#subscribers.delete(one);
      }
    });
  }

  #answer(message: { id: number; method: string; params: unknown }, send: (value: unknown) => void): void {
    const { id, method, params } = message;
    if (method === 'server.hello') {
      send({
        kind: 'response',
        id,
        result: {
          name: this.name,
          version: '0.1.0',
          protocol: 1,
          access: this.access,
          user: 'operator',
          capabilities: [],
        },
      });
      return;
    }
    this.asked.push({ method, params });
    const answer = this.answers.get(method);
    try {
      const result = answer ? answer(params as never) : {};
      // A fake that says what no agent could say would prove nothing.
      METHODS.get(method)?.result.parse(result);
      send({ kind: 'response', id, result });
    } catch (error) {
      const said: Notice =
        (error as { notice?: Notice }).notice ?? failure('INTERNAL', { detail: String(error) }).notice;
      send({ kind: 'response', id, error: said });
    }
  }

  #subscribe(message: { id: number; topic: string }, send: (value: unknown) => void): void {
    const { id, topic } = message;
    const items: Iterable<unknown> =
      topic === 'sets'
        ? this.sets.values()
        : topic === 'connections'
          ? this.connections.values()
          : topic === 'grants'
            ? this.grants.values()
            : topic === 'log'
              ? this.log.slice(-1000)
              : [this.status];
    for (const item of items) {
      TOPICS.get(topic)?.item.parse(item);
      send({ kind: 'snapshot', id, item });
    }
    send({ kind: 'synced', id });
    this.#subscribers.add({ id, topic, send, number: 0 });
  }
}

export function makeSet(name: string, more: Partial<SetItem> = {}): SetItem {
  return {
    name,
    generation: 1,
    rules: [{ path: `/srv/${name}`, include: true, recursive: true }],
    saved: AT,
    state: 'watching',
    connections: [],
    outdated: false,
    capture: 'fanotify',
    files: 1_200,
    directories: 80,
    bytes: 52_000_000,
    sizeAt: AT,
    dirty: 0,
    problem: null,
    ...more,
  };
}

export function makeConnection(
  id: number,
  set: string,
  target: string,
  more: Partial<ConnectionItem> = {},
  statistics: Partial<ConnectionItem['statistics']> = {},
): ConnectionItem {
  return {
    id,
    key: `key-${id}-${set}`,
    set,
    generation: 1,
    source: 'alpha',
    target,
    targetKey: 'cd'.repeat(32),
    route: '10.0.0.2:1500',
    mappings: [{ source: `/srv/${set}`, target: `/replica/${set}` }],
    phase: 'linked',
    phaseSince: AT,
    severity: 'information',
    problem: null,
    latencyMs: 12,
    quietMs: 300,
    sequence: 4_211,
    applied: 4_211,
    durable: 4_209,
    wireBytes: 51_000_000,
    targetQueuedBytes: 0,
    quarantined: 0,
    mirrorFilesDone: 0,
    mirrorFilesTotal: 0,
    ...more,
    statistics: {
      replicationSet: set,
      connectionId: id,
      targetName: target,
      targetIp: '10.0.0.2',
      targetDataState: 'OK',
      targetStatus: 'OK',
      commitMode: 'Real-time',
      transmitMode: 'Started',
      mirrorStatus: 'Idle',
      mirrorPercent: null,
      replicationStatus: 'Replicating',
      queuedOps: 0,
      sentBytes: 73_400_320,
      sentCompressedBytes: 41_943_040,
      intermediateQueueBytes: 0,
      diskQueueBytes: 0,
      queuedReplicationBytes: 0,
      sentReplicationBytes: 20_971_520,
      sentCompressedReplicationBytes: 10_485_760,
      queuedMirrorOps: 0,
      sentMirrorBytes: 52_428_800,
      sentCompressedMirrorBytes: 31_457_280,
      skippedMirrorBytes: 0,
      remainingMirrorBytes: 0,
      queuedReplicationOps: 0,
      lastFileTouched: `/srv/${set}/reports/2026/november.ods`,
      connectedSince: AT,
      ...statistics,
    },
  };
}
