/** Captures of connected sets: one engine source per definition in use, shared by its connections. */
import type { EngineEvent } from '../../native/index.js';
import { notice } from '../../protocol/errors.js';
import { SOURCE_RETRY_MS_MAX, SOURCE_RETRY_MS_MIN } from '../../protocol/limits.js';
import type { Notice } from '../../protocol/messages/log.js';
import type { Rule, SetState } from '../../protocol/messages/set.js';
import { backoffMs } from '../core/backoff.js';
import { findRow } from '../core/machine.js';
import { engineRules, sourceFolder, sourceKey } from '../core/set/rules.js';
import { SOURCE_TABLE, type SourceAct, type SourceFact } from '../core/source/table.js';
import { loadDocument, ROOTS_FILE, StoredRoots } from './stored.js';
import { asNotice, causeOf, saveSoon, type World } from './world.js';

type EventOf<K extends EngineEvent['kind']> = Extract<EngineEvent, { kind: K }>;
type SourceEvent = EventOf<
  | 'source_ready'
  | 'source_lost'
  | 'source_degraded'
  | 'source_stopped'
  | 'source_continues'
  | 'source_path'
  | 'source_mount'
>;

export interface SourceUser {
  /** The capture has a handle; its first look may still run. */
  sourceOpened(source: number): void;
  sourceGone(): void;
  sourceChanged(): void;
}

/** One definition of a set that is in use. */
export class SourceRun {
  state: SetState = 'idle';
  handle: number | null = null;
  capture: string | null = null;
  problem: Notice | null = null;
  failures = 0;
  readonly users = new Set<SourceUser>();
  cancelRetry: (() => void) | null = null;

  constructor(
    readonly key: string,
    readonly set: string,
    readonly generation: number,
    readonly rules: readonly Rule[],
    /** Index = mapping; fixed when the connection was made, whatever stands at the paths of the rules later. */
    readonly roots: readonly string[],
    readonly stateDir: string,
  ) {}
}

export class Sources {
  readonly #runs = new Map<string, SourceRun>();
  readonly #byHandle = new Map<number, SourceRun>();
  readonly #roots: Record<string, string[]>;

  constructor(readonly world: World) {
    this.#roots = { ...(loadDocument(world.documents, ROOTS_FILE, StoredRoots)?.roots ?? {}) };
  }

  /** Definitions of a set that are in use, newest first. */
  of(set: string): readonly SourceRun[] {
    return [...this.#runs.values()].filter((run) => run.set === set).sort((a, b) => b.generation - a.generation);
  }

  /** Joins the capture of a definition. `start` begins what nobody has begun yet. */
  join(set: string, generation: number, rules: readonly Rule[], roots: readonly string[], user: SourceUser): SourceRun {
    const key = sourceKey(set, generation, roots);
    let run = this.#runs.get(key);
    if (!run) {
      const stateDir = `${this.world.settings['agent.state']}/sets/${sourceFolder(key)}`;
      run = new SourceRun(key, set, generation, rules, roots, stateDir);
      this.#runs.set(key, run);
    }
    run.users.add(user);
    if (run.handle !== null) user.sourceOpened(run.handle);
    return run;
  }

  /**
   * Opens what was joined and is not open yet. All streams of a set are attached before its first look: what
   * changed while the agent was away must be told to every one of them.
   */
  start(): void {
    for (const run of this.#runs.values()) if (run.state === 'idle') this.#fact(run, 'wanted');
  }

  /** Leaves a capture; the last user ends it and what it remembered. */
  leave(run: SourceRun, user: SourceUser): void {
    if (!run.users.delete(user) || run.users.size > 0) return;
    this.#fact(run, 'unwanted');
    this.#runs.delete(run.key);
    delete this.#roots[run.key];
    this.#saveRoots();
    this.world.places.removeTree(run.stateDir);
  }

  /** Answers the guard of a stopped set (I11). Returns false when nothing is stopped. */
  continue(set: string, acceptDeletes: boolean): boolean {
    const stopped = this.of(set).filter((run) => run.state === 'stopped' && run.handle !== null);
    for (const run of stopped) {
      if (run.handle === null) continue;
      // Without consent the engine looks again: it goes on by itself when the directory or its files are back.
      if (acceptDeletes) this.world.engine.sourceContinue(run.handle, 'once');
      else this.world.engine.sourceRescan(run.handle);
    }
    return stopped.length > 0;
  }

  rescan(set: string): void {
    for (const run of this.of(set)) if (run.handle !== null) this.world.engine.sourceRescan(run.handle);
  }

  event(event: SourceEvent): void {
    const run = this.#byHandle.get(event.source);
    if (!run) return;
    const scope = { set: run.set };
    switch (event.kind) {
      case 'source_ready':
        run.capture = event.capture;
        run.failures = 0;
        run.problem = null;
        this.#roots[run.key] = [...event.rootIdentity];
        this.#saveRoots();
        this.world.log.say(
          'SOURCE_READY',
          { set: run.set, capture: event.capture, files: event.files, bytes: event.bytes, ms: Math.round(event.ms) },
          scope,
        );
        this.#fact(run, 'ready');
        break;
      case 'source_lost':
        this.world.log.say('SOURCE_LOST', { set: run.set, why: event.why }, scope);
        this.#fact(run, 'lost');
        break;
      case 'source_degraded':
        this.world.log.say('SOURCE_DEGRADED', { set: run.set, why: event.why, detail: event.detail }, scope);
        break;
      case 'source_stopped': {
        const common = { set: run.set, server: this.world.settings['agent.name'], detail: event.detail };
        run.problem =
          event.why === 'mass_delete'
            ? this.world.log.say('SOURCE_MASS_DELETE', { ...common, deleted: event.deleted, total: event.total }, scope)
            : this.world.log.say('SOURCE_ROOT_CHANGED', common, scope);
        this.#fact(run, 'stopped');
        break;
      }
      case 'source_continues':
        run.problem = null;
        this.world.log.say('SOURCE_CONTINUES', { set: run.set }, scope);
        this.#fact(run, 'continues');
        break;
      case 'source_path':
        this.world.log.say('PATH_SKIPPED', { set: run.set, path: event.path, count: event.count }, scope, {
          call: event.call,
          errno: event.code,
        });
        break;
      case 'source_mount':
        this.world.log.say('MOUNT_INSIDE', { set: run.set, path: event.path }, scope);
        break;
    }
  }

  /** Brings the states that have no event of their own up to date: the engine tells when a rescan is over by its state. */
  refresh(): void {
    for (const run of this.#runs.values()) {
      if (run.handle === null || run.state !== 'rescanning') continue;
      if (this.world.engine.sourceStatistics(run.handle).state === 'watching') this.#fact(run, 'settled');
    }
  }

  /** Nothing is told from here on, so that no stream misses what another one hears while they are closed. */
  suspend(): void {
    for (const run of this.#runs.values()) if (run.handle !== null) this.world.engine.sourceSuspend(run.handle);
  }

  /** Clean stop: what was told to the targets is remembered. Streams must be closed before. */
  close(): void {
    for (const run of this.#runs.values()) {
      run.cancelRetry?.();
      if (run.handle !== null) this.world.engine.sourceClose(run.handle);
      run.handle = null;
    }
    this.#byHandle.clear();
  }

  #fact(run: SourceRun, fact: SourceFact): void {
    const row = findRow(SOURCE_TABLE, run.state, fact);
    if (!row) return;
    run.state = row.to;
    for (const act of row.act) this.#perform(run, act);
    for (const user of [...run.users]) user.sourceChanged();
    this.world.hub.touch('sets', 'connections', 'server');
  }

  #perform(run: SourceRun, act: SourceAct): void {
    switch (act) {
      case 'open':
        this.#open(run);
        return;
      case 'close':
        run.cancelRetry?.();
        run.cancelRetry = null;
        if (run.handle !== null) {
          this.#byHandle.delete(run.handle);
          this.world.engine.sourceClose(run.handle);
          run.handle = null;
        }
        return;
      case 'retry': {
        run.failures += 1;
        const wait = backoffMs(
          { minMs: SOURCE_RETRY_MS_MIN, maxMs: SOURCE_RETRY_MS_MAX },
          run.failures,
          this.world.clock.random(),
        );
        run.cancelRetry = this.world.clock.after(wait, () => this.#fact(run, 'retry_due'));
        return;
      }
      case 'tell_opening':
        this.world.log.say('SOURCE_OPENING', { set: run.set, roots: run.roots.join(', ') }, { set: run.set });
        return;
      case 'tell_missing':
      case 'tell_failed':
        if (run.problem) this.world.log.write(run.problem, { set: run.set });
        return;
      default:
        // Told where the event is known.
        return;
    }
  }

  #open(run: SourceRun): void {
    const { world } = this;
    const missing = run.roots.find((root) => world.places.kind(root) !== 'directory');
    if (missing !== undefined) {
      run.problem = notice('SOURCE_MISSING', { set: run.set, path: missing });
      // After the row that led here is finished.
      queueMicrotask(() => this.#fact(run, 'root_missing'));
      return;
    }
    const percent = world.settings['source.guard_percent'];
    try {
      world.places.ensureDirectory(run.stateDir);
      run.handle = world.engine.sourceOpen({
        name: run.set,
        stateDir: run.stateDir,
        roots: run.roots,
        rules: engineRules(run.rules, run.roots, world.settings['agent.state']),
        exclude: world.ownFolders,
        capture: world.settings['source.capture'],
        sweepMs: world.settings['source.sweep_s'] * 1000,
        guard: percent === 0 ? null : { percent, count: world.settings['source.guard_count'] },
        rootIdentity: this.#roots[run.key] ?? null,
        streams: run.users.size,
      });
      this.#byHandle.set(run.handle, run);
      for (const user of [...run.users]) user.sourceOpened(run.handle);
    } catch (error) {
      run.problem = notice(
        'SOURCE_FAILED',
        { set: run.set, detail: asNotice(error, `watching ${run.roots.join(', ')}`).text },
        causeOf(error),
      );
      queueMicrotask(() => this.#fact(run, 'refused'));
    }
  }

  #saveRoots(): void {
    saveSoon(this.world, ROOTS_FILE, { schema: 1, roots: this.#roots });
  }
}
