/** Saved replication sets (SPEC D). */
import { failure } from '../../protocol/errors.js';
import { SET_COUNT_MAX } from '../../protocol/limits.js';
import type { Rule, SetItem } from '../../protocol/messages/set.js';
import { fileSystemProblem } from '../core/set/file-systems.js';
import { checkRules, engineRules, planRoots, setNameProblem } from '../core/set/rules.js';
import type { Connections } from './connections.js';
import type { Sources } from './sources.js';
import { loadDocument, SETS_FILE, type StoredSet, StoredSets } from './stored.js';
import { asFailure, saveDocument, saveSoon, type World } from './world.js';

/** A size calculation that takes longer is given up. */
const SIZE_MS_MAX = 3_600_000;

export interface SetSize {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly at: number;
}

export class Sets {
  readonly #sets = new Map<string, StoredSet>();
  readonly #sizing = new Map<string, Promise<SetSize>>();
  /** Sources opened only to be counted, and who waits for their first look. */
  readonly #counting = new Map<number, () => void>();
  #connections: Connections | null = null;
  #counted = 0;

  constructor(
    readonly world: World,
    readonly sources: Sources,
  ) {
    for (const set of loadDocument(world.documents, SETS_FILE, StoredSets)?.sets ?? []) this.#sets.set(set.name, set);
    world.hub.register('sets', () => this.items(), { ticks: true });
  }

  /** Connections know sets and sets tell whether they are connected. */
  attach(connections: Connections): void {
    this.#connections = connections;
  }

  get count(): number {
    return this.#sets.size;
  }

  get(name: string): StoredSet {
    const set = this.#sets.get(name);
    if (!set) throw failure('SET_UNKNOWN', { set: name });
    return set;
  }

  items(): SetItem[] {
    this.sources.refresh();
    return [...this.#sets.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).map((set) => this.item(set));
  }

  item(set: StoredSet): SetItem {
    const runs = this.sources.of(set.name);
    const newest = runs[0];
    const counters = newest?.handle != null ? this.world.engine.sourceStatistics(newest.handle) : null;
    const connected = this.#connections?.of(set.name) ?? [];
    const counted =
      counters && newest?.state !== 'opening'
        ? {
            files: counters.files,
            directories: counters.directories,
            bytes: counters.bytes,
            at: this.world.clock.wall(),
          }
        : set.size;
    return {
      name: set.name,
      generation: set.generation,
      rules: set.rules,
      saved: set.saved,
      state: runs.find((run) => run.state === 'stopped')?.state ?? newest?.state ?? 'idle',
      connections: connected.map((run) => run.id),
      outdated: connected.some((run) => run.stored.generation !== set.generation),
      capture: newest?.capture ?? null,
      files: counted?.files ?? null,
      directories: counted?.directories ?? null,
      bytes: counted?.bytes ?? null,
      // The age of a live figure is nothing to tell each second.
      sizeAt: counted === set.size ? (set.size?.at ?? null) : null,
      dirty: counters?.dirty ?? 0,
      problem: runs.find((run) => run.problem)?.problem ?? null,
    };
  }

  /** SET-10, SET-15. */
  async save(
    name: string,
    rules: readonly Rule[],
    generation: number | null,
  ): Promise<{ readonly set: StoredSet; readonly discarded: readonly Rule[]; readonly connected: boolean }> {
    const wrong = setNameProblem(name);
    if (wrong) throw failure('SET_NAME_INVALID', { set: name, problem: wrong });
    const known = this.#sets.get(name);
    if (generation === null && known) throw failure('SET_EXISTS', { set: name });
    if (generation !== null && !known) throw failure('SET_UNKNOWN', { set: name });
    if (known && generation !== known.generation)
      throw failure('SET_GENERATION', { set: name, mine: generation ?? 0, theirs: known.generation });
    if (!known && this.#sets.size >= SET_COUNT_MAX)
      throw failure('TOO_MANY', { what: 'replication sets', limit: SET_COUNT_MAX });
    const checked = checkRules(rules);
    if ('problem' in checked)
      throw checked.path === '' ? failure('SET_EMPTY', { set: name }) : failure('RULE_INVALID', checked);
    this.requireSuitable(name, planRoots(checked.rules, (path) => this.world.places.kind(path)).roots);
    const set: StoredSet = {
      name,
      generation: (known?.generation ?? 0) + 1,
      rules: [...checked.rules],
      saved: this.world.clock.wall(),
      size: null,
    };
    await this.#store(set);
    const connected = this.#connections?.of(name) ?? [];
    if (connected.length > 0)
      this.world.log.say(
        'SET_SAVED_CONNECTED',
        { set: name, generation: set.generation, connections: connected.map((run) => run.id).join(', ') },
        { set: name },
      );
    else this.world.log.say('SET_SAVED', { set: name, generation: set.generation }, { set: name });
    return { set, discarded: checked.discarded, connected: connected.length > 0 };
  }

  /** SET-17. */
  async rename(name: string, to: string, copy: boolean): Promise<StoredSet> {
    const set = this.get(name);
    if (!copy) this.#requireUnconnected(name);
    const saved = await this.save(to, set.rules, null);
    if (!copy) await this.delete(name);
    return saved.set;
  }

  /** SET-24. */
  async delete(name: string): Promise<void> {
    const set = this.get(name);
    this.#requireUnconnected(name);
    this.#sets.delete(name);
    try {
      await this.#save();
    } catch (error) {
      this.#sets.set(name, set);
      throw error;
    }
    this.world.log.say('SET_DELETED', { set: name }, { set: name });
  }

  roots(name: string): readonly string[] {
    return planRoots(this.get(name).rules, (path) => this.world.places.kind(path)).roots;
  }

  /** CAP-02, CAP-04, CAP-11. What is not there yet is looked at again when it is connected. @throws Failure ROOT_UNSUITABLE */
  requireSuitable(name: string, roots: readonly string[]): void {
    for (const path of roots) {
      const problem = fileSystemProblem(this.world.places.fileSystem(path));
      if (problem) throw failure('ROOT_UNSUITABLE', { set: name, path, problem });
    }
  }

  /** SET-19. A connected set answers from its shadow; another one is looked at once. */
  size(name: string): Promise<SetSize> {
    const running = this.#sizing.get(name);
    if (running) return running;
    const begun = this.#measure(name).finally(() => this.#sizing.delete(name));
    this.#sizing.set(name, begun);
    return begun;
  }

  /** True when the event belonged to a source opened only to be counted. */
  event(event: { readonly source: number; readonly kind: string }): boolean {
    const done = this.#counting.get(event.source);
    if (!done) return false;
    if (event.kind === 'source_ready') done();
    return true;
  }

  async #measure(name: string): Promise<SetSize> {
    const set = this.get(name);
    const run = this.sources.of(name).find((one) => one.generation === set.generation);
    const live = run?.handle != null && run.state !== 'opening' ? this.world.engine.sourceStatistics(run.handle) : null;
    const size = live
      ? { files: live.files, directories: live.directories, bytes: live.bytes, at: this.world.clock.wall() }
      : await this.#count(set);
    const known = this.#sets.get(name);
    if (known?.generation === set.generation) {
      this.#sets.set(name, { ...known, size });
      saveSoon(this.world, SETS_FILE, this.#stored());
      this.world.hub.touch('sets');
    }
    return size;
  }

  async #count(set: StoredSet): Promise<SetSize> {
    const { world } = this;
    const plan = planRoots(set.rules, (path) => world.places.kind(path));
    const missing = plan.roots.find((root) => world.places.kind(root) !== 'directory');
    if (missing !== undefined) throw failure('ROOT_MISSING', { set: set.name, path: missing });
    const stateDir = `${world.settings['agent.state']}/counting/${++this.#counted}`;
    let handle: number | null = null;
    try {
      world.places.removeTree(stateDir);
      world.places.ensureDirectory(stateDir);
      const opened = world.engine.sourceOpen({
        name: set.name,
        stateDir,
        roots: plan.roots,
        rules: engineRules(set.rules, plan.roots, world.settings['agent.state']),
        exclude: world.ownFolders,
        capture: 'auto',
        sweepMs: 0,
        guard: null,
        rootIdentity: null,
      });
      handle = opened;
      await new Promise<void>((resolve, reject) => {
        const cancel = world.clock.after(SIZE_MS_MAX, () =>
          reject(failure('TIMED_OUT', { what: `Counting the set "${set.name}"`, ms: SIZE_MS_MAX })),
        );
        this.#counting.set(opened, () => {
          cancel();
          resolve();
        });
      });
      const { files, directories, bytes } = world.engine.sourceStatistics(opened);
      return { files, directories, bytes, at: world.clock.wall() };
    } catch (error) {
      throw asFailure(error, `looking at ${plan.roots.join(', ')}`);
    } finally {
      if (handle !== null) {
        this.#counting.delete(handle);
        world.engine.sourceClose(handle);
      }
      world.places.removeTree(stateDir);
    }
  }

  #requireUnconnected(name: string): void {
    const connected = this.#connections?.of(name) ?? [];
    if (connected.length > 0)
      throw failure('SET_CONNECTED', { set: name, connections: connected.map((run) => run.id).join(', ') });
  }

  async #store(set: StoredSet): Promise<void> {
    const before = this.#sets.get(set.name);
    this.#sets.set(set.name, set);
    try {
      await this.#save();
    } catch (error) {
      if (before) this.#sets.set(set.name, before);
      else this.#sets.delete(set.name);
      throw error;
    }
  }

  async #save(): Promise<void> {
    await saveDocument(this.world, SETS_FILE, this.#stored());
    this.world.hub.touch('sets', 'server');
  }

  #stored(): unknown {
    return { schema: 1, sets: [...this.#sets.values()] };
  }
}
