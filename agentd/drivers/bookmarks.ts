/** Makes bookmarks: quiesces or freezes the source, marks the point in the stream, lets go, waits for the target. */
import type { EngineEvent } from '../../native/index.js';
import { failure, type Failure, noticeText } from '../../protocol/errors.js';
import type { Bookmark, BookmarkOptions, BookmarkPlan, BookmarkSchedule } from '../../protocol/messages/bookmark.js';
import type { TaskItem } from '../../protocol/messages/task.js';
import { freezePlan, howOf } from '../core/bookmark/bookmark.js';
import { outcomeText, programPaths } from '../core/task/step.js';
import { nextTime } from '../core/verify/step.js';
import type { Outside } from '../ports/outside.js';
import type { TaskEnd } from '../ports/task-runner.js';
import { BookmarkBook, type Point } from './bookmark-book.js';
import type { ConnectionRun } from './connection-run.js';
import type { LinkTask } from './hello.js';
import { commandText } from './task-journal.js';
import { asFailure, causeOf, type World } from './world.js';

/** Directories whose file systems have to stay writable, besides those of the agent. */
const NEVER_FROZEN = ['/', '/run', '/tmp', '/var', '/var/log', '/usr', '/etc'];
const PLACE_MS = 60_000;

type FreezeEvent = Extract<EngineEvent, { freeze: number }>;
interface Frozen {
  readonly handle: number;
  ended: boolean;
  readonly wake: Set<() => void>;
}

export interface BookmarkWish {
  readonly name: string | undefined;
  readonly options: BookmarkOptions;
  readonly placeMs: number | undefined;
  readonly by: string;
}

export class Bookmarks {
  readonly book: BookmarkBook;
  readonly #freezes = new Map<number, { told: (event: FreezeEvent) => void }>();
  readonly #running = new Set<string>();
  readonly #timers = new Map<string, { readonly cancel: () => void; readonly next: number }>();
  readonly #ending = new AbortController();

  constructor(
    readonly world: World,
    readonly outside: Pick<Outside, 'tasks' | 'fileSystems'>,
    readonly run: (id: number) => ConnectionRun,
    readonly byKey: (key: string) => ConnectionRun | null,
  ) {
    this.book = new BookmarkBook(world);
  }

  /** Undoes what an agent that was killed left behind, then looks at the clock. */
  start(): void {
    for (const point of this.book.points) void this.#undo(point);
    for (const key of this.book.schedules.keys()) this.#arm(key);
  }

  stop(): void {
    this.#ending.abort();
    for (const timer of this.#timers.values()) timer.cancel();
    for (const handle of this.#freezes.keys()) this.world.engine.freezeRelease(handle);
  }

  event(event: FreezeEvent): void {
    this.#freezes.get(event.freeze)?.told(event);
  }

  list(): Bookmark[] {
    return this.book.list();
  }

  /** The target's side: everything before it is durable here. */
  async record(item: TaskItem, mark: NonNullable<LinkTask['bookmark']>): Promise<void> {
    const { book, world } = this;
    const about = { server: item.server, set: item.set };
    book.put({
      key: item.key,
      role: 'target',
      name: mark.name,
      connection: item.connection,
      ...about,
      how: mark.how,
      at: mark.at,
      recorded: world.clock.wall(),
      stoodMs: -1,
      outcome: null,
      why: '',
    });
    await book.save();
    world.log.say('BOOKMARK_RECORDED', { ...about, name: mark.name, how: mark.how }, about);
  }

  async ended({ key, outcome }: TaskItem): Promise<void> {
    const bookmark = this.book.find(key, 'target');
    if (!bookmark || !outcome) return;
    const why = outcome.result === 'done' ? '' : outcomeText(outcome);
    this.book.put({ ...bookmark, outcome, why });
    await this.book.saveStubbornly();
  }

  /** @throws Failure BOOKMARK_REFUSED, BOOKMARK_NOT_MADE, TASK_DISABLED and those of tasks */
  async make(id: number, wish: BookmarkWish, signal: AbortSignal): Promise<Bookmark> {
    const { world } = this;
    const run = this.run(id);
    const { options } = wish;
    const frozen = options.freezeMs === null ? [] : this.#freezable(run);
    if ((options.before ?? options.after ?? options.command) !== null && !world.settings['task.enabled'])
      throw failure('TASK_DISABLED', { server: world.settings['agent.name'] });
    if (this.#running.has(run.key))
      throw failure('NOT_POSSIBLE_NOW', { action: 'A bookmark', id, state: 'making one' });
    this.#running.add(run.key);
    const name = wish.name || new Date(world.clock.wall()).toISOString().replace(/\.\d+Z$/, 'Z');
    try {
      const made = await this.#make(run, name, frozen, wish, AbortSignal.any([signal, this.#ending.signal]));
      world.log.say('BOOKMARK_MADE', { ...run.at, name, how: made.how }, run.scope);
      return made;
    } catch (error) {
      const why = asFailure(error, 'making a bookmark');
      world.log.say('BOOKMARK_FAILED', { ...run.at, name, why: noticeText(why.notice).replace(/\.$/, '') }, run.scope);
      throw why;
    } finally {
      this.#running.delete(run.key);
    }
  }

  async #make(
    run: ConnectionRun,
    name: string,
    frozen: readonly string[],
    { options, placeMs = PLACE_MS, by }: BookmarkWish,
    signal: AbortSignal,
  ): Promise<Bookmark> {
    const { world, book } = this;
    const how = howOf(options);
    const failed = (why: string): Failure => failure('BOOKMARK_NOT_MADE', { id: run.id, name, why });
    // What is behind is brought up first, so that as little as possible has to be read while everybody waits.
    if (how !== 'plain') await run.barriers.wait(placeMs, signal);
    const point: Point = { key: world.clock.key(), set: run.stored.set, frozen: [...frozen], after: options.after };
    let stood = -1;
    let began = world.clock.steady();
    let undone = how === 'plain';
    let held: Frozen | null = null;
    /** Lets the source go on, whatever became of the point. */
    const letGo = async (): Promise<void> => {
      if (undone) return;
      undone = true;
      if (held) await this.#thaw(held);
      if (options.after) await this.#hook(run, options.after, 'after', point.key, options.timeoutMs);
      stood = Math.round(world.clock.steady() - began);
      book.end(point.key);
    };
    if (how !== 'plain') await book.begin(point);
    began = world.clock.steady();
    try {
      if (options.before) {
        const why = await this.#hook(run, options.before, 'before', point.key, options.timeoutMs);
        if (why !== '') throw failed(`the command before it ${why}`);
      }
      if (options.freezeMs !== null) held = await this.#freeze(frozen, options.freezeMs, failed);
      const at = world.clock.wall();
      let releasing: Promise<void> | null = null;
      const item = await run.tasks.ask(
        {
          purpose: 'bookmark',
          command: options.command ?? [],
          durable: true,
          timeoutMs: options.timeoutMs,
          placeMs,
          placedOnly: false,
          by,
          bookmark: { name, how, at },
          ...(held ? { freeze: held.handle } : {}),
          onPlaced: () => {
            releasing = letGo();
          },
        },
        signal,
      );
      await (releasing as Promise<void> | null);
      const { outcome } = item;
      const there = outcome !== null && !['not_run', 'refused', 'unknown'].includes(outcome.result);
      const bookmark: Bookmark = {
        key: item.key,
        role: 'source',
        name,
        connection: run.key,
        set: run.stored.set,
        server: run.targetName,
        how,
        at,
        recorded: there ? world.clock.wall() : null,
        stoodMs: stood,
        outcome,
        why: outcome && outcome.result !== 'done' ? outcomeText(outcome) : '',
      };
      if (!there) throw failed(bookmark.why || 'the target does not have it');
      book.put(bookmark);
      await book.save();
      return bookmark;
    } finally {
      await letGo();
    }
  }

  /** The directories to freeze. @throws Failure BOOKMARK_REFUSED */
  #freezable(run: ConnectionRun): readonly string[] {
    const { fileSystems } = this.outside;
    const of = (directory: string): readonly [string, string] => {
      try {
        return [directory, fileSystems.of(directory)];
      } catch (error) {
        const cause = causeOf(error);
        throw failure('BOOKMARK_REFUSED', { id: run.id, why: `${directory}: ${cause?.errno ?? String(error)}` }, cause);
      }
    };
    const kept = [...this.world.ownFolders, ...NEVER_FROZEN].filter(
      (one) => this.world.places.kind(one) === 'directory',
    );
    const plan = freezePlan(
      run.stored.mappings.map((mapping) => of(mapping.source)),
      // The root first, because that is what most people would be told of.
      ['/', ...kept.filter((one) => one !== '/')].map(of),
    );
    if ('problem' in plan) throw failure('BOOKMARK_REFUSED', { id: run.id, why: plan.problem });
    return plan;
  }

  #freeze(paths: readonly string[], limitMs: number, failed: (why: string) => Failure): Promise<Frozen> {
    return new Promise((resolve, reject) => {
      const handle = this.world.engine.freeze(paths, limitMs);
      const frozen: Frozen = { handle, ended: false, wake: new Set() };
      this.#freezes.set(handle, {
        told: (event) => {
          if (event.kind === 'freeze_held') {
            resolve(frozen);
            return;
          }
          this.#freezes.delete(handle);
          if (event.kind === 'freeze_failed')
            reject(failed(`the file systems cannot be frozen (${event.call}: ${event.code})`));
          else frozen.ended = true;
          for (const wake of frozen.wake) wake();
        },
      });
    });
  }

  async #thaw(frozen: Frozen): Promise<void> {
    if (frozen.ended) return;
    const ended = new Promise<void>((resolve) => frozen.wake.add(resolve));
    this.world.engine.freezeRelease(frozen.handle);
    await ended;
  }

  /** @returns what is wrong; empty: nothing */
  async #hook(
    run: { readonly stored: { readonly set: string } },
    command: readonly string[],
    when: 'before' | 'after',
    key: string,
    timeoutMs: number | undefined,
  ): Promise<string> {
    const { world } = this;
    const { settings } = world;
    const programs = programPaths(command[0] ?? '', settings['task.folder']);
    const end: TaskEnd | string =
      'problem' in programs
        ? programs.problem
        : await this.outside.tasks.run(
            {
              key,
              command,
              programs,
              user: settings['task.user'],
              environment: {
                UNDERSTUDY_EVENT: `bookmark_${when}`,
                UNDERSTUDY_SET: run.stored.set,
                UNDERSTUDY_SOURCE: settings['agent.name'],
              },
              timeoutMs: Math.min(settings['task.timeout_s'] * 1000, timeoutMs ?? Number.POSITIVE_INFINITY),
            },
            // Even when the agent stops: what was quiesced has to be released.
            new AbortController().signal,
          );
    const why =
      typeof end === 'string'
        ? `was refused: ${end}`
        : end.how === 'exited' && end.exit === 0
          ? ''
          : end.how === 'exited'
            ? `ended with exit code ${end.exit}`
            : end.how === 'not_started'
              ? `could not be run: ${end.why}`
              : end.how === 'timed_out'
                ? 'did not end in time'
                : `was ended by ${end.signal}`;
    if (why !== '' && when === 'after')
      world.log.say('BOOKMARK_COMMAND_FAILED', { set: run.stored.set, command: commandText(command), text: why });
    return why;
  }

  async #undo(point: Point): Promise<void> {
    const { log } = this.world;
    await this.outside.tasks.endLeftovers(point.key).catch(() => 0);
    for (const path of point.frozen) {
      try {
        if (this.outside.fileSystems.thaw(path)) log.say('FREEZE_UNDONE', { path });
      } catch (error) {
        log.say('FREEZE_NOT_UNDONE', { path }, {}, causeOf(error));
      }
    }
    if (point.after) await this.#hook({ stored: point }, point.after, 'after', point.key, undefined);
    this.book.end(point.key);
  }

  // When they are made by themselves.

  plan(id: number): BookmarkPlan {
    const { key } = this.run(id);
    return {
      schedule: this.book.schedules.get(key) ?? null,
      next: this.#timers.get(key)?.next ?? null,
      running: this.#running.has(key),
    };
  }

  /** Answered when it is saved. */
  async setSchedule(id: number, schedule: BookmarkSchedule | null): Promise<BookmarkPlan> {
    const { key } = this.run(id);
    if (schedule?.options.freezeMs != null) this.#freezable(this.run(id));
    if (schedule) this.book.schedules.set(key, schedule);
    else this.book.schedules.delete(key);
    this.#arm(key);
    await this.book.save();
    return this.plan(id);
  }

  /** Nobody makes bookmarks of a connection that is gone. */
  removed(key: string): void {
    if (!this.book.schedules.delete(key)) return;
    this.#arm(key);
    this.book.saveSoon();
  }

  #arm(key: string): void {
    const { clock } = this.world;
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
    const schedule = this.book.schedules.get(key);
    const next = schedule ? nextTime(schedule, clock.wall()) : null;
    if (!schedule || next === null) return;
    const cancel = clock.after(Math.min(next - clock.wall(), LOOK_MS), () => {
      // A clock may be set.
      if (clock.wall() < next) {
        this.#arm(key);
        return;
      }
      this.#arm(key);
      const run = this.byKey(key);
      if (!run) {
        this.removed(key);
        return;
      }
      const wish = { name: undefined, options: schedule.options, placeMs: undefined, by: 'schedule' };
      // Told in the log.
      this.make(run.id, wish, this.#ending.signal).catch((error: unknown) => {
        const why = asFailure(error, 'making a bookmark');
        if (why.code === 'NOT_POSSIBLE_NOW')
          this.world.log.say('BOOKMARK_FAILED', { ...run.at, name: 'scheduled', why: why.message }, run.scope);
      });
    });
    this.#timers.set(key, { cancel, next });
  }
}

/** The clock is looked at this often at least, so that one that was set is noticed. */
const LOOK_MS = 60_000;
