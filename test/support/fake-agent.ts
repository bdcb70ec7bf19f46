/** An agent in this process: real drivers, fake engine, documents in memory, a console on a pair of streams. */
import { createHash } from 'node:crypto';
import { Duplex } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { systemClock } from '../../agentd/adapters/clock.js';
import type { VolumeFacts } from '../../agentd/core/queue/alert.js';
import { readSettings } from '../../agentd/core/settings/settings.js';
import type { PathKind } from '../../agentd/core/set/rules.js';
import { Agent } from '../../agentd/drivers/agent.js';
import { ControlSession, type Served } from '../../agentd/drivers/control-session.js';
import { loadOverrides } from '../../agentd/drivers/settings.js';
import type { Clock } from '../../agentd/ports/clock.js';
import type { Documents } from '../../agentd/ports/documents.js';
import type { LogSink } from '../../agentd/ports/log-sink.js';
import { alone, type Outside } from '../../agentd/ports/outside.js';
import type { VerifyLogs } from '../../agentd/ports/verify-logs.js';
import { Client } from '../../protocol/client.js';
import type { Access } from '../../protocol/schema.js';
import { instant } from '../../protocol/units.js';
import { FakeEngine, type FakeNetwork } from './fake-engine.js';

/** Waits pass this much faster, so that retries and back-off are seen in a test. */
const HASTE = 50;

export const hastyClock: Clock = {
  wall: () => Date.now(),
  steady: () => systemClock.steady(),
  after(ms, call) {
    const timer = setTimeout(call, Math.ceil(ms / HASTE));
    return () => clearTimeout(timer);
  },
  offsetMs: () => 0,
  random: () => 0.5,
  key: (() => {
    let next = 0;
    return () => (++next).toString(16).padStart(16, '0');
  })(),
};

export class MemoryDocuments implements Documents {
  readonly saved = new Map<string, string>();
  /** What `save` rejects with. */
  broken: Error | null = null;

  load(name: string): unknown {
    const text = this.saved.get(name);
    return text === undefined ? null : JSON.parse(text);
  }

  async save(name: string, value: unknown): Promise<void> {
    if (this.broken) throw this.broken;
    this.saved.set(name, JSON.stringify(value));
  }

  async settled(): Promise<void> {}
}

export class MemoryVerifyLogs implements VerifyLogs {
  readonly texts = new Map<string, string>();
  path = (name: string): string => `/log/${name}`;
  length = (name: string): number => Buffer.byteLength(this.texts.get(name) ?? '');
  endsWith = (name: string, text: string): boolean => (this.texts.get(name) ?? '').endsWith(text);
  append = (name: string, text: string): void => void this.texts.set(name, (this.texts.get(name) ?? '') + text);
  clear = (name: string): void => void this.texts.delete(name);
  tail(name: string): { text: string; omitted: number; length: number } {
    return { text: this.texts.get(name) ?? '', omitted: 0, length: this.length(name) };
  }
}

export class FakeAgent {
  readonly documents: MemoryDocuments;
  readonly kinds = new Map<string, PathKind>();
  readonly fileSystems = new Map<string, number>();
  readonly removed: string[] = [];
  /** Volume by path; none where nothing is said. */
  readonly volumes = new Map<string, VolumeFacts>();
  /** Directories that cannot be made. */
  readonly unmakable = new Set<string>();
  readonly verifyLogs = new MemoryVerifyLogs();
  readonly key: string;
  /** Roads to the outside; those that are left out lead nowhere. */
  outside: Partial<Outside> = {};
  agent!: Agent;
  engine!: FakeEngine;
  readonly #clients: Client[] = [];
  #killed = false;
  readonly sinks: LogSink[] = [];
  /** False: it is never a target. */
  listening = true;
  /** Somebody set its clock. */
  wallAheadMs = 0;
  /** Time that passed for nobody else. */
  steadyAheadMs = 0;

  constructor(
    readonly name: string,
    readonly network: FakeNetwork,
    readonly file: unknown = null,
    documents = new MemoryDocuments(),
    /** Port of the data link; 0 at the first start. */
    public port = 0,
  ) {
    this.documents = documents;
    this.key = createHash('sha256').update(name).digest('hex');
  }

  start(): this {
    const places = {
      hostName: this.name,
      socket: '/run/agent.sock',
      state: `/state/${this.name}`,
      log: `/log/${this.name}`,
    };
    const configured = readSettings(
      places,
      this.file,
      { 'agent.listen': this.listening ? `127.0.0.1:${this.port}` : '' },
      loadOverrides(this.documents),
    );
    if ('problem' in configured) throw new Error(configured.problem);
    this.agent = new Agent({
      // A process that was killed calls nobody back.
      clock: {
        ...hastyClock,
        wall: () => hastyClock.wall() + this.wallAheadMs,
        steady: () => instant(hastyClock.steady() + this.steadyAheadMs),
        after: (ms, call) => hastyClock.after(ms, () => this.#killed || call()),
      },
      documents: this.documents,
      places: {
        kind: (path) => this.kinds.get(path) ?? 'directory',
        resolve: (path) => path,
        ensureDirectory: (path) => {
          if (this.unmakable.has(path)) throw Object.assign(new Error('EROFS'), { code: 'EROFS', syscall: 'mkdir' });
        },
        volume: (path) => this.volumes.get(path) ?? null,
        fileSystem: (path) => this.fileSystems.get(path) ?? null,
        removeTree: (path) => void this.removed.push(path),
        listDirectory: () => ({ entries: [], omitted: 0 }),
      },
      verifyLogs: this.verifyLogs,
      sinks: this.sinks,
      configured,
      outside: { ...alone(configured), ...this.outside },
      ownKey: this.key,
      facts: {
        hostName: this.name,
        operatingSystem: 'test',
        privileged: false,
        probe: () => ({ fanotify: 'no', inotify: 'ok', fileSystem: 'fake' }),
      },
      createEngine: (onEvent) => (this.engine = new FakeEngine(this.network, this.key, onEvent)),
    });
    this.agent.start();
    this.port = this.agent.listen.port;
    return this;
  }

  async stop(): Promise<void> {
    if (this.#killed) return;
    for (const client of this.#clients.splice(0)) client.close();
    await this.agent.stop('test');
  }

  /** The process is gone; what was saved stays. */
  kill(): void {
    this.#killed = true;
    for (const client of this.#clients.splice(0)) client.close();
    for (const connection of [...this.engine.connections.keys()]) this.engine.connectionClose(connection, false);
    this.engine.close();
  }

  /** Codes of the log, oldest first. */
  log(): string[] {
    return this.agent.world.log.last(undefined).lines.map((line) => line.notice.code);
  }

  async client(access: Access = 'administrator', user = 'tester'): Promise<Client> {
    const [near, far] = duplexPair();
    // A console's time to open is not hastened: a machine busy with other things would miss it.
    const served: Served = {
      hub: this.agent.hub,
      clock: systemClock,
      call: (method, params, context) => this.agent.call(method, params, context),
    };
    new ControlSession(far, { access, user }, served, () => undefined);
    const client = await Client.open(near, { address: this.name });
    this.#clients.push(client);
    return client;
  }
}

/** Two ends of one wire. */
export function duplexPair(): [Duplex, Duplex] {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(bytes, _encoding, done) {
        const to = other();
        if (!to.destroyed) to.push(bytes);
        setImmediate(done);
      },
      final(done) {
        other().push(null);
        done();
      },
      destroy(error, done) {
        const to = other();
        if (!to.destroyed) setImmediate(() => to.destroy());
        done(error);
      },
    });
  const a: Duplex = make(() => b);
  const b: Duplex = make(() => a);
  return [a, b];
}

/** Waits until it is so. @throws with what it waited for */
export async function until(what: string, condition: () => boolean, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(2);
  }
}
