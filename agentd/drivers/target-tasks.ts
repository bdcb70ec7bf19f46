/** Tasks that this server runs: at a point of a stream (REP-20), or at once (REP-22). At most once each. */
import { failure } from '../../protocol/errors.js';
import { TASK_DIRECT_MAX } from '../../protocol/limits.js';
import type { TaskItem, TaskOutcome } from '../../protocol/messages/task.js';
import { notRun, programPaths, refused, unknown } from '../core/task/step.js';
import type { TaskEnd, TaskRunner } from '../ports/task-runner.js';
import { decodeTask, encodeTaskAnswer, type LinkTask, type LinkTaskQuestion } from './hello.js';
import type { StoredGrant } from './stored.js';
import { commandText, type TaskJournal } from './task-journal.js';
import { asFailure, type World } from './world.js';

/** What a task needs to know of the links of this server. */
export interface TaskRoad {
  /** The link of a connection at this moment. */
  linkOf(connection: string): number | null;
  /** Whether a task of the connection runs has changed. */
  holdChanged(connection: string): void;
}

export interface TargetBookmarks {
  /** Everything before it is here, durable. Rejects when that cannot be written down. */
  record(item: TaskItem, bookmark: NonNullable<LinkTask['bookmark']>): Promise<void>;
  /** Its command has ended. Resolves when that is on disk, or was found impossible and is tried again. */
  ended(item: TaskItem): Promise<void>;
}

export class TargetTasks {
  /** Connections whose stream stands still, and what lets it go on. */
  readonly #running = new Map<string, (() => void)[]>();
  readonly #direct = new Set<string>();
  readonly #ending = new AbortController();
  #idle: (() => void)[] = [];

  constructor(
    readonly world: World,
    readonly journal: TaskJournal,
    readonly runner: TaskRunner,
    readonly road: TaskRoad,
    readonly bookmarks: TargetBookmarks,
  ) {}

  /** Nothing of this connection is applied now, over whatever link it comes. */
  holds(connection: string): boolean {
    return this.#running.has(connection);
  }

  /** What ran when an earlier process of this agent was killed is ended, and never begun again. */
  start(): void {
    for (const item of [...this.journal.items('target'), ...this.journal.items('direct')]) {
      if (item.phase === 'ended') continue;
      const { connection, key } = item;
      if (connection !== '') this.#running.set(connection, []);
      void this.runner
        .endLeftovers(key)
        .catch(() => 0)
        .then(async (count) => {
          const rest = count > 0 ? `; ${count} of its processes were still there and were ended` : '';
          await this.#settle(item, unknown(`the agent ended while it ran${rest}`, item.asked));
          if (connection !== '') this.#release(connection);
        });
    }
  }

  /** Clean stop: what runs is ended, and said so. */
  async stop(): Promise<void> {
    this.#ending.abort();
    if (this.#running.size + this.#direct.size === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** The stream of a grant stands at a task. `done` lets it go on. */
  async reached(grant: StoredGrant, payload: Uint8Array, ready: boolean, done: () => void): Promise<void> {
    const task = decodeTask(payload);
    if (!task) {
      // Only a newer source says what this release cannot read; it checks beforehand.
      this.world.log.say('TASK_NOT_DONE', { where: whereOf(grant), command: '?', text: 'cannot be read' });
      done();
      return;
    }
    const known = this.#known(task.key, grant);
    if (known?.outcome) {
      this.#answer(known);
      done();
      return;
    }
    const running = this.#running.get(grant.connection);
    if (running) {
      // It was reached over a link that has ended since, and runs.
      running.push(done);
      return;
    }
    if (known) throw new Error('a task of the journal runs without its stream standing still');
    const item: TaskItem = {
      key: task.key,
      role: 'target',
      phase: 'running',
      purpose: task.purpose,
      connection: grant.connection,
      set: grant.set,
      server: grant.server,
      command: task.command,
      durable: ready,
      by: task.by,
      asked: this.world.clock.wall(),
      outcome: null,
    };
    this.#running.set(grant.connection, [done]);
    const outcome = await this.#perform(item, task, grant, ready);
    await this.#settle(item, outcome);
    this.#release(grant.connection);
  }

  async #perform(item: TaskItem, task: LinkTask, grant: StoredGrant, ready: boolean): Promise<TaskOutcome> {
    if (!ready) return refused('what was before it could not be made durable');
    if (task.bookmark) {
      try {
        await this.bookmarks.record(item, task.bookmark);
      } catch (error) {
        return refused(`it cannot be written down: ${asFailure(error, 'writing the bookmark').message}`);
      }
      if (task.command.length === 0) return BARE;
    }
    return await this.#run(item, task.timeoutMs, {
      UNDERSTUDY_EVENT: task.purpose,
      UNDERSTUDY_SOURCE: grant.server,
      UNDERSTUDY_SET: grant.set,
      UNDERSTUDY_CONNECTION: grant.connection,
      UNDERSTUDY_DIRECTORIES: grant.mappings.map((mapping) => mapping.target).join('\n'),
    });
  }

  /** REP-22. @throws Failure TASK_DISABLED, TOO_MANY */
  async submit(
    command: readonly string[],
    timeoutMs: number | undefined,
    by: string,
    signal: AbortSignal,
  ): Promise<TaskItem> {
    const { world } = this;
    if (!world.settings['task.enabled']) throw failure('TASK_DISABLED', { server: world.settings['agent.name'] });
    if (this.#direct.size >= TASK_DIRECT_MAX)
      throw failure('TOO_MANY', { what: 'direct tasks', limit: TASK_DIRECT_MAX });
    const item: TaskItem = {
      key: world.clock.key(),
      role: 'direct',
      phase: 'running',
      purpose: 'task',
      connection: '',
      set: '',
      server: world.settings['agent.name'],
      command: [...command],
      durable: false,
      by,
      asked: world.clock.wall(),
      outcome: null,
    };
    this.#direct.add(item.key);
    try {
      const outcome = await this.#run(item, timeoutMs, { UNDERSTUDY_EVENT: 'task' }, signal);
      return await this.#settle(item, outcome);
    } finally {
      this.#direct.delete(item.key);
      this.#nowIdle();
    }
  }

  async #run(
    item: TaskItem,
    timeoutMs: number | undefined,
    environment: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<TaskOutcome> {
    const { world, journal } = this;
    const { settings } = world;
    if (!settings['task.enabled'])
      return refused(`task command processing is off on ${settings['agent.name']} (REP-21)`);
    const programs = programPaths(item.command[0] ?? '', settings['task.folder']);
    if ('problem' in programs) return refused(programs.problem);
    journal.put(item);
    try {
      // On disk before it begins: whoever finds it there after a crash does not begin it again.
      await journal.save();
    } catch (error) {
      return refused(`its journal cannot be written: ${asFailure(error, 'writing the journal').message}`);
    }
    const limitMs = Math.min(settings['task.timeout_s'] * 1000, timeoutMs ?? Number.POSITIVE_INFINITY);
    world.log.say(
      'TASK_BEGAN',
      {
        where: whereOf(item),
        command: commandText(item.command),
        user: settings['task.user'] || 'the user of the agent',
      },
      scopeOf(item),
    );
    const started = world.clock.wall();
    const began = world.clock.steady();
    const end = await this.runner.run(
      {
        key: item.key,
        command: item.command,
        programs,
        user: settings['task.user'],
        environment: { ...environment, UNDERSTUDY_TARGET: settings['agent.name'] },
        timeoutMs: limitMs,
      },
      signal ? AbortSignal.any([this.#ending.signal, signal]) : this.#ending.signal,
    );
    return outcomeOf(end, started, Math.round(world.clock.steady() - began), limitMs);
  }

  /** What the source wants to know, when a link is up again or its stream has ended. */
  asked(grant: StoredGrant, { ask, forbid }: LinkTaskQuestion): void {
    for (const key of [...ask, ...forbid]) {
      const known = this.#known(key, grant);
      if (known?.outcome) this.#answer(known);
    }
    for (const key of forbid) {
      if (this.journal.find(key, 'target')) continue;
      const item: TaskItem = {
        key,
        role: 'target',
        phase: 'ended',
        purpose: 'task',
        connection: grant.connection,
        set: grant.set,
        server: grant.server,
        command: ['?'],
        durable: false,
        by: '',
        asked: this.world.clock.wall(),
        outcome: notRun('its stream ended before it was reached'),
      };
      this.journal.put(item);
      // Answered when it is certain that it stays so.
      void this.journal.save().then(
        () => this.#answer(item),
        () => undefined,
      );
    }
  }

  #known(key: string, grant: StoredGrant): TaskItem | null {
    const item = this.journal.find(key, 'target');
    return item?.connection === grant.connection ? item : null;
  }

  /** On disk before anybody hears of it: what was told once stays so, whenever this agent is killed. */
  async #settle(item: TaskItem, outcome: TaskOutcome): Promise<TaskItem> {
    const ended: TaskItem = { ...item, phase: 'ended', outcome };
    this.journal.put(ended);
    await Promise.all([
      this.journal.saveStubbornly(),
      ended.role === 'target' ? this.bookmarks.ended(ended) : undefined,
    ]);
    this.journal.tell(ended, outcome, whereOf(ended), scopeOf(ended));
    if (ended.role === 'target') this.#answer(ended);
    return ended;
  }

  #answer({ key, connection, outcome }: TaskItem): void {
    const link = this.road.linkOf(connection);
    if (link === null || !outcome) return;
    try {
      this.world.engine.linkSend(link, encodeTaskAnswer({ key, outcome }));
    } catch {
      // The link went; the source asks again with the next one.
    }
  }

  #release(connection: string): void {
    const waiting = this.#running.get(connection) ?? [];
    this.#running.delete(connection);
    for (const done of waiting) done();
    this.road.holdChanged(connection);
    this.#nowIdle();
  }

  #nowIdle(): void {
    if (this.#running.size + this.#direct.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** Of a bookmark without a command. */
const BARE: TaskOutcome = {
  result: 'done',
  exit: null,
  signal: null,
  why: '',
  output: '',
  omitted: 0,
  started: null,
  ms: 0,
};

const whereOf = ({ set, server }: { set: string; server: string }): string =>
  set === '' ? 'submitted here' : `set "${set}" of ${server}`;
const scopeOf = ({ set, server }: TaskItem): { set?: string; server?: string } => (set === '' ? {} : { set, server });

function outcomeOf(end: TaskEnd, started: number, ms: number, limitMs: number): TaskOutcome {
  const common = { exit: end.exit, signal: end.signal, output: end.output, omitted: end.omitted, started, ms };
  switch (end.how) {
    case 'exited':
      return end.exit === 0
        ? { ...common, result: 'done', why: '' }
        : { ...common, result: 'failed', why: `exit code ${end.exit}` };
    case 'signalled':
      return { ...common, result: 'failed', why: `ended by ${end.signal}` };
    case 'timed_out':
      return { ...common, result: 'timed_out', why: `${limitMs} ms` };
    case 'cancelled':
      return {
        ...common,
        exit: null,
        result: 'failed',
        signal: end.signal,
        why: 'ended because the agent stopped or the caller went',
      };
    case 'not_started':
      return { ...common, result: 'failed', started: null, why: end.why };
  }
}
