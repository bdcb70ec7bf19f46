/** One agent: its parts put together, engine events and control calls handed to them. */
import type { Engine, EngineEvent } from '../../native/index.js';
import { failure, noticeRemedy } from '../../protocol/errors.js';
import { METHODS } from '../../protocol/messages/index.js';
import type { Notice, Severity } from '../../protocol/messages/log.js';
import type { Check, ServerStatus } from '../../protocol/messages/server.js';
import { SOFTWARE_VERSION } from '../../protocol/version.js';
import { type Configured, parseListen, type Settings } from '../core/settings/settings.js';
import type { Clock } from '../ports/clock.js';
import type { Documents } from '../ports/documents.js';
import type { LogSink } from '../ports/log-sink.js';
import { alone, type Outside } from '../ports/outside.js';
import type { Places } from '../ports/places.js';
import type { VerifyLogs } from '../ports/verify-logs.js';
import { Bookmarks } from './bookmarks.js';
import { Connections } from './connections.js';
import type { CallContext, Served } from './control-session.js';
import { Grants } from './grants.js';
import { Hub } from './hub.js';
import { AgentLog } from './log.js';
import { handlers, subjectOf } from './methods.js';
import { Services } from './services.js';
import { Peers } from './peers.js';
import { Sets } from './sets.js';
import { SettingsStore } from './settings.js';
import { Sources } from './sources.js';
import { TargetTasks } from './target-tasks.js';
import { TaskJournal } from './task-journal.js';
import { Tuning } from './tuning.js';
import { causeOf, type World } from './world.js';

export interface AgentFacts {
  readonly hostName: string;
  readonly operatingSystem: string;
  /** Runs as root. */
  readonly privileged: boolean;
  /** What this machine can do for capture at a path; null where the engine cannot say. */
  readonly probe: (path: string) => {
    readonly fanotify: string;
    readonly inotify: string;
    readonly fileSystem: string;
  };
}

export interface AgentOptions {
  readonly clock: Clock;
  readonly documents: Documents;
  readonly places: Places;
  readonly verifyLogs: VerifyLogs;
  readonly sinks: readonly LogSink[];
  readonly configured: Configured;
  readonly outside?: Outside;
  readonly ownKey: string;
  readonly facts: AgentFacts;
  readonly createEngine: (onEvent: (event: EngineEvent) => void) => Engine;
}

const RANK: Readonly<Record<Severity, number>> = { information: 0, warning: 1, error: 2 };
const PROBLEMS_MAX = 100;
/** QUE-05: a quarter for the queue leaves half for applications and a quarter for the system. */
const QUEUE_MEMORY_PERCENT = 25;

/** The queue folder, unless it lies in the state folder. */
const queueFolder = (settings: Settings): string[] =>
  settings['queue.folder'].startsWith(`${settings['agent.state']}/`) ? [] : [settings['queue.folder']];

export class Agent implements Served {
  readonly world: World;
  readonly hub: Hub;
  readonly clock: Clock;
  readonly facts: AgentFacts;
  readonly peers: Peers;
  readonly grants: Grants;
  readonly taskJournal: TaskJournal;
  readonly tasks: TargetTasks;
  readonly bookmarks: Bookmarks;
  readonly sources: Sources;
  readonly sets: Sets;
  readonly connections: Connections;
  readonly settings: SettingsStore;
  readonly services: Services;
  readonly tuning: Tuning;
  /** Where the data link listens; port 0 when it does not. */
  listen: { host: string; port: number } = { host: '', port: 0 };
  readonly #started: number;
  readonly #handlers: ReturnType<typeof handlers>;
  #closed = false;

  /** @throws Failure STATE_INVALID; nothing was changed then */
  constructor(options: AgentOptions) {
    const outside = options.outside ?? alone(options.configured);
    this.settings = new SettingsStore(options.configured, outside.vault, outside.reread);
    const settings = this.settings.current;
    this.clock = options.clock;
    this.facts = options.facts;
    this.#started = options.clock.wall();
    this.hub = new Hub(options.clock);
    this.services = new Services(this, outside);
    const log = new AgentLog(options.clock, this.hub, [...options.sinks, ...this.services.sinks]);
    this.world = {
      clock: options.clock,
      documents: options.documents,
      places: options.places,
      verifyLogs: options.verifyLogs,
      hub: this.hub,
      log,
      settings,
      ownKey: options.ownKey,
      ownFolders: [...new Set([settings['agent.state'], settings['log.folder'], ...queueFolder(settings)])],
      engine: options.createEngine((event) => this.#event(event)),
    };
    this.tuning = new Tuning(this.world, outside.memoryBytes);
    this.peers = new Peers(this.world);
    this.grants = new Grants(this.world, this.peers, () => this.connections.tellOrigins());
    this.sources = new Sources(this.world);
    this.sets = new Sets(this.world, this.sources);
    this.taskJournal = new TaskJournal(this.world);
    this.bookmarks = new Bookmarks(
      this.world,
      outside,
      (id) => this.connections.run(id),
      (key) => this.connections.byKey(key),
    );
    this.tasks = new TargetTasks(this.world, this.taskJournal, outside.tasks, this.grants, this.bookmarks);
    this.grants.attach(this.tasks);
    this.connections = new Connections(
      this.world,
      this.sources,
      this.sets,
      this.peers,
      (roots) => this.grants.origins(roots),
      this.taskJournal,
    );
    this.sets.attach(this.connections);
    this.services.attach();
    this.settings.onChange((changed) => {
      this.tuning.settingsChanged(changed);
      if ([...changed].some((key) => key.startsWith('orphans.'))) this.grants.settingsChanged();
    });
    this.hub.register('server', () => [this.status()], { ticks: true });
    this.#handlers = handlers(this);
  }

  /** Listens for data and takes up old connections. @throws Failure LISTEN_REFUSED */
  start(): void {
    const { log, settings, engine } = this.world;
    this.tuning.apply();
    const wanted = parseListen(settings['agent.listen']);
    if (wanted) {
      try {
        this.listen = { host: wanted.host, port: engine.listen(wanted.host, wanted.port) };
      } catch (error) {
        throw failure('LISTEN_REFUSED', { address: settings['agent.listen'] }, causeOf(error));
      }
    }
    this.settings.tellIgnored(this.world);
    this.tasks.start();
    this.connections.restore();
    this.bookmarks.start();
    const at = wanted ? `${this.listen.host}:${this.listen.port}` : 'no address';
    log.say('AGENT_STARTED', {
      version: SOFTWARE_VERSION,
      sets: this.sets.count,
      connections: this.connections.count,
      listen: at,
    });
    this.services.start();
  }

  /** Clean stop: streams first, then sources, so that what was told is remembered. */
  async stop(reason: string): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.bookmarks.stop();
    await Promise.all([this.services.stop(), this.tasks.stop(), this.connections.rates.stop()]);
    this.sources.suspend();
    this.connections.close();
    this.connections.save();
    this.sources.close();
    this.world.engine.close();
    await this.world.documents.settled();
    this.world.log.say('AGENT_STOPPED', { reason });
    this.world.log.close();
  }

  async call(name: string, params: unknown, context: CallContext): Promise<unknown> {
    const handler = this.#handlers.get(name);
    const method = METHODS.get(name);
    if (!handler || !method) throw failure('UNKNOWN_METHOD', { method: name });
    if (this.#closed)
      throw failure('UNREACHABLE', { address: this.world.settings['agent.name'], reason: 'the agent is stopping' });
    // Said before it is done, so that the log shows the cause before its consequences.
    if (method.changes)
      this.world.log.say(
        'AUDIT',
        { user: context.user, method: name, subject: subjectOf(params) },
        { audit: context.user },
      );
    return await handler(params as never, context);
  }

  status(): ServerStatus {
    const problems: Notice[] = [];
    for (const set of this.sets.items()) if (set.problem) problems.push(set.problem);
    let worst: Severity = 'information';
    for (const item of this.connections.items()) {
      if (RANK[item.severity] > RANK[worst]) worst = item.severity;
      if (item.problem && !problems.some((known) => known.text === item.problem?.text)) problems.push(item.problem);
    }
    for (const problem of problems) if (RANK[problem.severity] > RANK[worst]) worst = problem.severity;
    problems.sort((a, b) => RANK[b.severity] - RANK[a.severity]);
    return {
      name: this.world.settings['agent.name'],
      version: SOFTWARE_VERSION,
      started: this.#started,
      key: this.world.ownKey,
      listen: this.listen,
      privileged: this.facts.privileged,
      sets: this.sets.count,
      connections: this.connections.count,
      incoming: this.grants.count,
      linked: this.connections.linked + this.grants.linked,
      targetPaused: this.grants.paused,
      severity: worst,
      problems: problems.slice(0, PROBLEMS_MAX),
    };
  }

  doctor(path: string | null): Check[] {
    const checks: Check[] = [];
    const add = (name: string, result: Check['result'], text: string, remedy = ''): void => {
      checks.push({ name, result, text, remedy });
    };
    add(
      'agent',
      'ok',
      `understudyd ${SOFTWARE_VERSION} runs as ${this.facts.privileged ? 'root' : 'an ordinary user'}`,
    );
    if (!this.facts.privileged)
      add(
        'privileges',
        'warning',
        'owners, devices and file-system marks need root',
        'Run understudyd as root to replicate whole servers.',
      );
    if (this.listen.port === 0)
      add(
        'data link',
        'warning',
        'this server does not listen for data, so it is never a target',
        'Configure agent.listen.',
      );
    else add('data link', 'ok', `listens at ${this.listen.host}:${this.listen.port}`);
    const paths = path
      ? [path]
      : [...new Set(this.sets.items().flatMap((set) => this.sets.roots(set.name)))].slice(0, 100);
    for (const root of paths) {
      if (this.world.places.kind(root) === 'missing') {
        add(root, 'failed', 'it is not there', 'Create or mount it.');
        continue;
      }
      try {
        const { fanotify, inotify, fileSystem } = this.facts.probe(root);
        add(
          root,
          fanotify.startsWith('usable') || inotify.startsWith('usable') ? 'ok' : 'warning',
          `${fileSystem}; fanotify: ${fanotify}; inotify: ${inotify}`,
        );
      } catch (error) {
        const cause = causeOf(error);
        add(
          root,
          'failed',
          cause ? `${cause.call}: ${cause.errno}` : String(error),
          'Look at the permissions of the path.',
        );
      }
    }
    const memory = this.world.settings['queue.memory_mb'] * 1_048_576;
    const share = Math.round((memory * 100) / this.tuning.memoryBytes);
    if (share > QUEUE_MEMORY_PERCENT)
      add(
        'queue',
        'warning',
        `queue.memory_mb may take ${share} % of the memory of this server; applications and Understudy together must fit (QUE-05)`,
        'Lower queue.memory_mb: what does not fit into it waits on disk.',
      );
    const queue = this.connections.queues.problems();
    const folder = this.world.settings['queue.folder'];
    if (queue.limits) add('queue', 'warning', queue.limits, 'Lower queue.free_mb or queue.disk_mb (QUE-07).');
    if (queue.place) add('queue', 'warning', `${folder}: ${queue.place}`, 'Best a volume of its own (QUE-03).');
    for (const problem of this.status().problems)
      add(
        `message ${problem.id}`,
        problem.severity === 'error' ? 'failed' : 'warning',
        problem.text,
        noticeRemedy(problem),
      );
    return checks;
  }

  #event(event: EngineEvent): void {
    switch (event.kind) {
      case 'incoming':
      case 'link_closed':
      case 'link_message':
      case 'link_heartbeat':
      case 'receiver_report':
      case 'receiver_task':
        this.grants.event(event);
        return;
      case 'source_ready':
      case 'source_lost':
      case 'source_degraded':
      case 'source_stopped':
      case 'source_continues':
      case 'source_path':
      case 'source_mount':
        if (!this.sets.event(event)) this.sources.event(event);
        return;
      case 'mirror_memory':
        this.tuning.event(event);
        return;
      case 'freeze_held':
      case 'freeze_failed':
      case 'freeze_ended':
        this.bookmarks.event(event);
        return;
      default:
        this.connections.event(event);
        return;
    }
  }
}
