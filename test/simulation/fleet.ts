/** Servers with real agents on them, and the person who connects and operates them. */
import { createHash } from 'node:crypto';
import type { Configured } from '../../agentd/core/settings/settings.js';
import { readSettings } from '../../agentd/core/settings/settings.js';
import { alone } from '../../agentd/ports/outside.js';
import type { TaskRunner } from '../../agentd/ports/task-runner.js';
import { Agent } from '../../agentd/drivers/agent.js';
import type { Clock } from '../../agentd/ports/clock.js';
import type { Documents } from '../../agentd/ports/documents.js';
import { Failure } from '../../protocol/errors.js';
import type { LogLine } from '../../protocol/messages/log.js';
import { instant } from '../../protocol/units.js';
import type { ConnectionItem, ConnectionPrepare, MirrorOptions, TaskItem } from '../../protocol/messages/index.js';
import type { z } from 'zod';
import { MemoryVerifyLogs } from '../support/fake-agent.js';
import { QueueWatch } from './checks-queue.js';
import { TimeWatch } from './checks-time.js';
import { SimDocuments, simPlaces } from './disk.js';
import { SimEngine } from './engine.js';
import { Machine, Replica, Tree, type Universe } from './machine.js';
import { Network } from './network.js';
import { MIB } from './queue.js';

export interface Call {
  readonly what: string;
  readonly server: Server;
  readonly life: number;
  readonly since: number;
  answered: boolean;
}

/** What may differ from run to run. */
export interface ServerSettings {
  readonly source: { readonly remirror: string; readonly reconnect: boolean; readonly sweep_s: number };
  readonly queue: {
    readonly memory_mb: number;
    readonly disk_mb: number;
    readonly free_mb: number;
    readonly alert_percent: number;
    readonly when_full: 'wait' | 'disconnect';
  };
  readonly target: { readonly retry_s: number };
  readonly task: { readonly enabled: boolean };
}

const settingsOf = new Map<string, Configured>();

export class Server {
  agent: Agent | null = null;
  engine: SimEngine | null = null;
  /** Counts processes; what an earlier one still wanted does not happen. */
  life = 0;
  stopping = false;

  constructor(
    readonly fleet: Fleet,
    readonly machine: Machine,
    readonly settings: ServerSettings,
  ) {}

  get queue(): ServerSettings['queue'] {
    return this.settings.queue;
  }

  get remirror(): string {
    return this.settings.source.remirror;
  }

  get name(): string {
    return this.machine.name;
  }

  /** For how long its agent has been running without a break. */
  get awake(): number {
    const { time } = this.machine;
    return time.frozen ? 0 : time.now - Math.max(time.awakeSince, this.#startedAt);
  }

  #startedAt = 0;

  start(): void {
    const { universe, network } = this.fleet;
    const { machine } = this;
    if (this.agent || machine.time.suspended) return;
    const life = ++this.life;
    this.#startedAt = machine.time.now;
    const alive = (): boolean => this.life === life;
    universe.trace(() => `${this.name}: the agent starts`);
    universe.ran();
    const { time } = machine;
    let highest = 0;
    const clock: Clock = {
      wall: () => {
        highest = Math.max(highest, time.wall());
        return universe.mutants.stuckWall ? highest : time.wall();
      },
      steady: () => instant(time.now),
      after: (ms, call) =>
        time.after(ms, () => {
          if (!alive()) return;
          universe.ran();
          call();
        }),
      offsetMs: () => 0,
      random: () => universe.chance.next(),
      key: () =>
        universe.chance
          .between(1, 2 ** 31)
          .toString(16)
          .padStart(16, '0'),
    };
    const documents = new SimDocuments(
      machine.disk,
      time,
      universe.chance,
      () => {
        if (!alive()) return false;
        universe.ran();
        return true;
      },
      universe.mutants.tornFiles ?? false,
    );
    const places = simPlaces(
      machine.disk,
      (path) => {
        const tree = machine.trees.get(path);
        return tree ? (tree.gone ? 'missing' : 'directory') : null;
      },
      (path) => machine.forget(path),
    );
    const configured = this.#configured();
    this.agent = new Agent({
      clock,
      documents: universe.mutants.lostJournal ? forgetful(documents) : documents,
      places,
      verifyLogs: new MemoryVerifyLogs(),
      sinks: [{ write: (line) => this.fleet.heard(this, line), close: () => undefined }],
      configured,
      outside: { ...alone(configured), tasks: this.fleet.taskRunner(this) },
      ownKey: machine.key,
      facts: {
        hostName: this.name,
        operatingSystem: 'simulated',
        privileged: true,
        probe: () => ({ fanotify: 'no', inotify: 'no', fileSystem: 'simulated' }),
      },
      createEngine: (onEvent) => {
        const memory = configured.settings['queue.memory_mb'] * MIB;
        this.engine = new SimEngine(universe, machine, network, onEvent, memory);
        return this.engine;
      },
    });
    this.agent.start();
  }

  #configured(): Configured {
    const key = `${this.name} ${this.machine.port} ${JSON.stringify(this.settings)}`;
    const known = settingsOf.get(key);
    if (known) return known;
    const places = { hostName: this.name, socket: '/run/s', state: `/state/${this.name}`, log: `/log/${this.name}` };
    const read = readSettings(places, { ...this.settings }, { 'agent.listen': `10.0.0.1:${this.machine.port}` });
    if ('problem' in read) throw new Error(read.problem);
    settingsOf.set(key, read);
    return read;
  }

  /** kill -9. */
  kill(): void {
    if (!this.agent || this.machine.time.suspended) return;
    this.thaw();
    this.fleet.universe.trace(() => `${this.name}: the agent is killed`);
    this.life += 1;
    this.agent = null;
    this.stopping = false;
    this.engine?.kill();
    this.engine = null;
  }

  losePower(): void {
    this.thaw();
    this.fleet.universe.trace(() => `${this.name}: power is lost`);
    this.kill();
    this.machine.losePower(this.fleet.universe.chance);
    for (const wanted of this.fleet.wanted) if (wanted.target === this) wanted.lostAt = wanted.now;
  }

  /** @param suspended the whole machine stands still; otherwise its agent is stopped, and the rest goes on */
  freeze(suspended: boolean): void {
    if (this.machine.time.frozen || (!suspended && !this.agent)) return;
    this.fleet.universe.trace(() => `${this.name}: ${suspended ? 'the machine is suspended' : 'the agent is halted'}`);
    this.machine.time.freeze(suspended);
    this.fleet.network.freeze(this.name);
  }

  thaw(): void {
    if (!this.machine.time.frozen) return;
    this.fleet.universe.trace(() => `${this.name}: goes on`);
    this.machine.time.thaw();
    this.fleet.network.thaw(this.name);
  }

  /** A clean stop; the process is gone when its files are written. */
  stop(): void {
    const { agent, life } = this;
    if (!agent || this.stopping || this.machine.time.frozen) return;
    this.fleet.universe.trace(() => `${this.name}: the agent is stopped`);
    this.stopping = true;
    this.fleet.universe.ran();
    void agent.stop('asked').then(() => {
      if (this.life !== life) return;
      this.life += 1;
      this.agent = null;
      this.stopping = false;
      this.engine?.kill();
      this.engine = null;
    });
  }

  items(): readonly ConnectionItem[] {
    return this.agent && !this.stopping && !this.machine.time.frozen ? this.agent.connections.items() : [];
  }
}

/** A connection as the person wants it. */
export class Wanted {
  /** Permanent key while it is made; null after it was removed. */
  key: string | null = null;
  /** The processes that are being asked to make it; when one of them dies, nobody answers. */
  making: { readonly lives: string } | null = null;
  /** The target lost something that the source cannot know of yet. */
  lostAt = Number.NEGATIVE_INFINITY;
  /** Its source heard of it then. */
  heardAt = Number.NEGATIVE_INFINITY;
  /** Versions that a barrier said are safe. */
  readonly safe: number[];

  constructor(
    readonly source: Server,
    readonly target: Server,
    readonly set: string,
    readonly tree: Tree,
    readonly root: string,
    readonly replica: Replica,
    readonly place: string,
  ) {
    this.safe = tree.versions.map(() => 0);
  }

  /** By the clock of its source, which is that of its writers. */
  get now(): number {
    return this.source.machine.time.now;
  }

  item(): ConnectionItem | null {
    return this.source.items().find((item) => item.key === this.key) ?? null;
  }
}

export class Fleet {
  readonly network: Network;
  readonly servers: Server[] = [];
  readonly wanted: Wanted[] = [];
  readonly calls = new Set<Call>();
  readonly trees: Tree[] = [];
  failure: string | null = null;
  readonly queues = new QueueWatch();
  readonly times = new TimeWatch();

  constructor(readonly universe: Universe) {
    this.network = new Network(universe);
  }

  heard(server: Server, line: LogLine): void {
    this.universe.trace(() => `${server.name}: says ${line.notice.code}`);
    const wrong = this.queues.line(server, line);
    if (wrong) this.failure ??= `${wrong} (${server.name})`;
  }

  add(name: string, settings: Server['settings']): Server {
    const key = keyOf(name);
    const { time } = this.universe;
    const machine = new Machine(name, key, 1500 + this.servers.length, time, this.universe.queueVolumeBytes);
    const server = new Server(this, machine, settings);
    this.servers.push(server);
    return server;
  }

  want(source: Server, target: Server, set: string): Wanted {
    const root = `/${set}`;
    const place = `/replica/${source.name}/${set}/${target.name}`;
    let tree = source.machine.trees.get(root);
    if (!tree) {
      tree = new Tree(source.machine.time, this.universe.paths);
      source.machine.trees.set(root, tree);
      this.trees.push(tree);
    }
    const replica = new Replica(this.universe.paths);
    target.machine.replicas.set(place, replica);
    const wanted = new Wanted(source, target, set, tree, root, replica, place);
    this.wanted.push(wanted);
    return wanted;
  }

  /** Asks an agent as a console would. The answer of a process that died does not count. */
  ask<T = unknown>(server: Server, method: string, params: unknown, what = method): Promise<T | null> {
    const { agent, life } = server;
    if (!agent || server.machine.time.frozen) return Promise.resolve(null);
    const call: Call = {
      what: `${what} on ${server.name}`,
      server,
      life,
      since: server.machine.time.now,
      answered: false,
    };
    this.calls.add(call);
    this.universe.ran();
    this.universe.trace(() => `person: ${what} on ${server.name}`);
    const context = {
      access: 'administrator' as const,
      user: 'operator',
      version: 1,
      signal: new AbortController().signal,
    };
    return agent.call(method, params, context).then(
      (answer) => {
        this.#answered(call);
        return answer as T;
      },
      (error: unknown) => {
        this.#answered(call);
        const expected = error instanceof Failure && error.code !== 'INTERNAL';
        if (!expected)
          this.failure ??= `${call.what} ended with ${error instanceof Error ? error.stack : String(error)}`;
        this.universe.trace(() => `person: ${what} refused: ${error instanceof Error ? error.message : String(error)}`);
        return null;
      },
    );
  }

  #answered(call: Call): void {
    call.answered = true;
    this.calls.delete(call);
  }

  /** Commands of tasks: the word behind the program is the place in this list. */
  readonly #tasks: { readonly wanted: Wanted; readonly versions: readonly number[]; runs: number }[] = [];

  /** REP-20: a task comes behind what was there when it was asked for, and is run once at most. */
  async task(wanted: Wanted, durable: boolean): Promise<void> {
    const item = wanted.item();
    if (!item) return;
    const task = { wanted, versions: [...wanted.tree.versions], runs: 0 };
    const number = this.#tasks.push(task) - 1;
    const asked = { id: item.id, command: ['/task', String(number)], durable, placeMs: 60_000 };
    const answer = await this.ask<TaskItem>(wanted.source, 'task.run', asked);
    const result = answer?.outcome?.result;
    if (result === 'done' && task.runs !== 1)
      this.failure ??= `REP-20: task ${number} is done and ran ${task.runs} times`;
    if ((result === 'not_run' || result === 'refused') && task.runs > 0)
      this.failure ??= `REP-20: task ${number} was told as ${result} and ran`;
  }

  taskRunner(server: Server): TaskRunner {
    const { universe } = this;
    const { life } = server;
    const end = { how: 'exited' as const, exit: 0, signal: null, output: '', omitted: 0, why: '' };
    return {
      endLeftovers: async () => 0,
      run: (spec) => {
        const number = Number(spec.command[1]);
        const task = this.#tasks[number];
        if (!task) throw new Error('a task that nobody asked for');
        task.runs += 1;
        universe.trace(() => `${server.name}: task ${number} begins`);
        if (task.runs > 1) this.failure ??= `REP-20: task ${number} ran twice`;
        const { replica, source, tree } = task.wanted;
        for (const [path, version] of task.versions.entries()) {
          const refused = [...(source.engine?.channels.values() ?? [])].some(
            (one) => one.source.tree === tree && one.channel.quarantine.has(path),
          );
          if ((replica.live[path] ?? 0) < version && !refused && !server.machine.refused.has(path))
            this.failure ??= `REP-20: task ${number} runs with path ${path} as ${replica.live[path]}, asked for behind ${version}`;
        }
        const before = JSON.stringify(replica.live);
        const { key } = task.wanted;
        return new Promise((resolve) => {
          server.machine.time.after(universe.chance.pick([10, 500, 4_000]), () => {
            if (server.life !== life) return;
            // What comes over another connection does not wait for it.
            if (task.wanted.key === key && JSON.stringify(replica.live) !== before)
              this.failure ??= `REP-20: something was applied while task ${number} ran`;
            universe.ran();
            resolve(end);
          });
        });
      },
    };
  }

  /** Makes a connection the way a console does; whatever fails is tried again later. */
  async connect(wanted: Wanted, mirror: MirrorOptions): Promise<void> {
    const { source, target, set } = wanted;
    const lives = `${source.life} ${target.life}`;
    if (wanted.making?.lives === lives || wanted.key !== null || !source.agent || !target.agent) return;
    if (source.machine.time.frozen || target.machine.time.frozen) return;
    const making = { lives };
    wanted.making = making;
    // Begun anew by who could not wait for this; or nobody sees what is there, and had better remove nothing.
    const over = (): boolean =>
      wanted.making !== making || source.stopping || source.machine.time.frozen || target.machine.time.frozen;
    try {
      const rules = [{ path: wanted.root, include: true, recursive: true }];
      await this.ask(source, 'set.save', { name: set, generation: null, rules });
      const prepared = await this.ask<z.infer<typeof ConnectionPrepare.result>>(source, 'connection.prepare', {
        set,
        mapping: { kind: 'custom', custom: [{ source: wanted.root, target: wanted.place }] },
      });
      if (!prepared || over()) return;
      await this.ask(target, 'peer.trust', { name: prepared.server, key: prepared.peer });
      if (over()) return;
      // What was made, though the answer did not say so.
      for (const item of source.items())
        if (item.mappings.some((mapping) => mapping.target === wanted.place))
          await this.ask(source, 'connection.remove', { id: item.id });
      // What is left of a connection that was removed while this target could not be asked.
      for (const grant of target.agent?.grants.items() ?? [])
        if (grant.mappings.some((mapping) => mapping.target === wanted.place))
          await this.ask(target, 'grant.remove', { connection: grant.connection });
      if (over()) return;
      const granted = await this.ask(target, 'grant.create', {
        connection: prepared.key,
        peer: prepared.peer,
        server: prepared.server,
        set,
        mappings: prepared.mappings,
        origins: prepared.origins,
      });
      if (!granted || over()) return;
      const created = await this.ask(source, 'connection.create', {
        key: prepared.key,
        set,
        generation: prepared.generation,
        target: { name: target.name, key: target.machine.key, host: '10.0.0.1', port: target.machine.port },
        mappings: prepared.mappings,
        mirror,
        replication: true,
      });
      // One that was begun meanwhile finds what was made, and removes it.
      if (wanted.making !== making) return;
      if (created) wanted.key = prepared.key;
      else await this.ask(target, 'grant.remove', { connection: prepared.key });
    } finally {
      if (wanted.making === making) wanted.making = null;
    }
  }

  async disconnect(wanted: Wanted): Promise<void> {
    const item = wanted.item();
    if (!item || wanted.making !== null) return;
    const { key } = wanted;
    const removed = await this.ask(wanted.source, 'connection.remove', { id: item.id });
    if (!removed) return;
    if (wanted.key === key) wanted.key = null;
    await this.ask(wanted.target, 'grant.remove', { connection: key });
  }

  /** I2: what is said to be safe is on the target's disk, and stays. */
  async barrier(wanted: Wanted): Promise<void> {
    const item = wanted.item();
    if (!item) return;
    const needed = [...wanted.tree.versions];
    const { engine } = wanted.source;
    const answer = await this.ask(wanted.source, 'connection.barrier', { id: item.id, timeoutMs: 60_000 });
    if (!answer) return;
    for (const [path, version] of needed.entries()) {
      // A path that keeps failing is named in the state of the connection; a barrier does not wait for it.
      const refused = [...(engine?.channels.values() ?? [])].some(
        ({ channel, source }) => source.tree === wanted.tree && (channel.quarantine.get(path)?.attempts ?? 0) >= 4,
      );
      if (refused) continue;
      wanted.safe[path] = Math.max(wanted.safe[path] ?? 0, version);
      if ((wanted.replica.durable[path] ?? 0) < version)
        this.failure ??= `I2: the barrier was met, but path ${path} has version ${wanted.replica.durable[path]} on the target's disk, not ${version}`;
    }
  }
}

/** For a mutant: which tasks were begun is not remembered. */
function forgetful(documents: Documents): Documents {
  return {
    load: (name) => (name === 'tasks.sts' ? null : documents.load(name)),
    save: (name, value) => documents.save(name, value),
    settled: () => documents.settled(),
  };
}

const keys = new Map<string, string>();
function keyOf(name: string): string {
  let key = keys.get(name);
  if (!key) {
    key = createHash('sha256').update(name).digest('hex');
    keys.set(name, key);
  }
  return key;
}
