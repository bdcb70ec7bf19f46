/** Every connection this server made as a source. */
import type { z } from 'zod';
import { failure } from '../../protocol/errors.js';
import { CONNECTION_COUNT_MAX } from '../../protocol/limits.js';
import type { ConnectionItem, MappingWish } from '../../protocol/messages/connection.js';
import type { MirrorOptions, VerifyPlan, VerifySchedule } from '../../protocol/messages/mirror.js';
import type { Mapping, Origin } from '../../protocol/messages/peer.js';
import { innerOverlap, planMapping } from '../core/mapping/mapping.js';
import { COMPRESSION } from '../core/settings/settings.js';
import { planRoots } from '../core/set/rules.js';
import { type ConnectionEvent, ConnectionRun, type RunHost } from './connection-run.js';
import { DIAGNOSTICS, TDU } from '../../protocol/diagnostics.js';
import type { Peers } from './peers.js';
import { Rates } from './rates.js';
import { Queues } from './queues.js';
import type { Sets } from './sets.js';
import type { Sources } from './sources.js';
import type { TaskJournal } from './task-journal.js';
import { Lines } from './transmit.js';
import { CONNECTIONS_FILE, loadDocument, type StoredConnection, StoredConnections as Stored } from './stored.js';
import { saveDocument, saveSoon, type World } from './world.js';

export interface NewConnection {
  readonly key: string;
  readonly set: string;
  readonly generation: number;
  readonly target: StoredConnection['target'];
  readonly mappings: readonly Mapping[];
  readonly mirror: MirrorOptions;
  readonly replication: boolean;
  readonly compression: number | undefined;
  readonly calculateSize: boolean | undefined;
}

/** Key of a target that is not there. */
const NOBODY = '0'.repeat(64);

export class Connections implements RunHost {
  readonly lines: Lines;
  readonly rates: Rates;
  readonly queues: Queues;
  readonly #runs = new Map<number, ConnectionRun>();
  readonly #byHandle = new Map<number, ConnectionRun>();
  /** Being removed: no state file holds them any more. */
  readonly #leaving = new Set<number>();
  /** CON-01. */
  #nextId = 1;

  constructor(
    readonly world: World,
    readonly sources: Sources,
    readonly sets: Sets,
    readonly peers: Peers,
    /** What flows into these directories, for the loop guard of the next server. */
    readonly origins: (roots: readonly string[]) => readonly Origin[],
    readonly taskJournal: TaskJournal,
  ) {
    this.lines = new Lines(world);
    this.rates = new Rates(world, () => [...this.#runs.values()].filter((run) => run.simulated));
    this.queues = new Queues(world, () => this.#runs.values());
    world.hub.register('connections', () => this.items(), { ticks: true });
  }

  get count(): number {
    return this.#runs.size;
  }

  get linked(): number {
    return [...this.#runs.values()].filter((run) => run.link.phase === 'linked').length;
  }

  items(): ConnectionItem[] {
    this.sources.refresh();
    return [...this.#runs.values()].map((run) => run.item());
  }

  of(set: string): readonly ConnectionRun[] {
    return [...this.#runs.values()].filter((run) => run.stored.set === set);
  }

  run(id: number): ConnectionRun {
    const run = this.#runs.get(id);
    if (!run) throw failure('CONNECTION_UNKNOWN', { id: String(id) });
    return run;
  }

  byKey(key: string): ConnectionRun | null {
    return [...this.#runs.values()].find((run) => run.key === key) ?? null;
  }

  /** Takes up what was connected before (MIR-31); IDs begin at 1 again. */
  restore(): void {
    const stored = loadDocument(this.world.documents, CONNECTIONS_FILE, Stored)?.connections ?? [];
    for (const one of [...stored].sort((a, b) => a.created - b.created)) {
      const run = this.#add(one);
      if (!this.world.settings['source.reconnect']) {
        this.world.log.say('CONNECTION_LEFT', { id: run.id, set: one.set, target: one.target.name }, run.scope);
        continue;
      }
      this.world.log.say('CONNECTION_RESTORED', { id: run.id, set: one.set, target: one.target.name }, run.scope);
      run.begin();
    }
    this.taskJournal.abandon((key) => this.byKey(key) !== null);
    this.sources.start();
    this.rates.arm();
  }

  /** First step of connect: works everything out and changes nothing. */
  prepare(
    setName: string,
    wish: MappingWish,
  ): {
    readonly key: string;
    readonly generation: number;
    readonly mappings: readonly Mapping[];
    readonly origins: readonly Origin[];
  } {
    const set = this.sets.get(setName);
    const roots = this.#roots(set.name, set.rules);
    const mappings = planMapping(wish, roots, this.world.settings['agent.name'], set.name);
    if ('problem' in mappings) throw failure('MAPPING_INVALID', mappings);
    const inner = innerOverlap(mappings);
    if (inner)
      throw failure('MAPPING_INVALID', {
        path: inner[0].target,
        problem: `it overlaps ${inner[1].target}, the target of ${inner[1].source}`,
      });
    return { key: this.world.clock.key(), generation: set.generation, mappings, origins: this.origins(roots) };
  }

  async create(wanted: NewConnection): Promise<ConnectionRun> {
    const { world } = this;
    const set = this.sets.get(wanted.set);
    if (set.generation !== wanted.generation)
      throw failure('SET_GENERATION', { set: set.name, mine: wanted.generation, theirs: set.generation });
    if (this.#runs.size >= CONNECTION_COUNT_MAX)
      throw failure('TOO_MANY', { what: 'connections', limit: CONNECTION_COUNT_MAX });
    const roots = this.#roots(set.name, set.rules);
    const unmapped =
      roots.find((root, index) => wanted.mappings[index]?.source !== root) ?? wanted.mappings[roots.length]?.source;
    if (unmapped !== undefined)
      throw failure('MAPPING_INVALID', {
        path: unmapped,
        problem: 'the directories of the set changed since the connection was prepared',
      });
    for (const run of this.#runs.values()) {
      const same =
        run.stored.key === wanted.key ||
        (run.stored.set === set.name &&
          run.stored.target.key === wanted.target.key &&
          JSON.stringify(run.stored.mappings) === JSON.stringify(wanted.mappings));
      if (same) throw failure('CONNECTION_EXISTS', { set: set.name, target: run.targetName, id: run.id });
    }
    await this.peers.trust(wanted.target.name, wanted.target.key);
    const preset = Math.max(0, COMPRESSION.indexOf(world.settings['transmit.compression']));
    const run = this.#add({
      key: wanted.key,
      set: set.name,
      generation: set.generation,
      rules: [...set.rules],
      target: wanted.target,
      mappings: [...wanted.mappings],
      replication: wanted.replication,
      compression: wanted.compression ?? preset,
      transmit: 'flowing',
      calculateSize: wanted.calculateSize ?? true,
      mirror:
        wanted.mirror.kind === 'none'
          ? { phase: 'idle', complete: false, options: null }
          : { phase: 'wanted', complete: false, options: wanted.mirror },
      everLinked: false,
      created: world.clock.wall(),
    });
    await this.#created(run);
    run.warn(wanted.mirror);
    this.#begin(run, wanted.compression);
    return run;
  }

  /** Written down, or not there at all. */
  async #created(run: ConnectionRun): Promise<void> {
    const { world } = this;
    try {
      await saveDocument(world, CONNECTIONS_FILE, this.#stored());
    } catch (error) {
      this.#runs.delete(run.id);
      this.lines.leave(run.transmit);
      throw error;
    }
    const about = { id: run.id, set: run.stored.set, target: run.targetName, route: run.route };
    world.log.say('CONNECTION_CREATED', about, run.scope);
  }

  #begin(run: ConnectionRun, compression: number | undefined): void {
    if (compression !== undefined && compression !== run.transmit.line.settings.compression)
      run.transmit.line.patch({ compression });
    this.lines.save();
    run.begin();
    this.sources.start();
    this.world.hub.touch('connections', 'sets', 'server');
  }

  mirrored(run: ConnectionRun, event: Extract<ConnectionEvent, { kind: 'mirror_done' }>): void {
    if (run.simulated) this.rates.mirrored(run, event);
  }

  /** CON-40: both start options on, no mappings. @throws Failure SET_UNKNOWN, ROOT_MISSING, CONNECTION_EXISTS, TOO_MANY */
  async simulate(setName: string, compression: number, calculateSize: boolean): Promise<ConnectionRun> {
    const { world } = this;
    const set = this.sets.get(setName);
    if (this.#runs.size >= CONNECTION_COUNT_MAX)
      throw failure('TOO_MANY', { what: 'connections', limit: CONNECTION_COUNT_MAX });
    const roots = this.#roots(set.name, set.rules);
    const known = this.of(set.name).find((run) => run.simulated);
    if (known) throw failure('CONNECTION_EXISTS', { set: set.name, target: DIAGNOSTICS, id: known.id });
    const run = this.#add({
      key: world.clock.key(),
      set: set.name,
      generation: set.generation,
      rules: [...set.rules],
      target: { name: DIAGNOSTICS, key: NOBODY, host: TDU, port: 1 },
      mappings: roots.map((root) => ({ source: root, target: root })),
      replication: true,
      compression,
      transmit: 'flowing',
      calculateSize,
      mirror: { phase: 'wanted', complete: false, options: { kind: 'full' } },
      everLinked: false,
      simulated: true,
      created: world.clock.wall(),
    });
    await this.#created(run);
    this.#begin(run, compression);
    this.rates.arm();
    return run;
  }

  /** VER-07..10; answered when it is saved. */
  async schedule(id: number, schedule: VerifySchedule | null): Promise<VerifyPlan> {
    const plan = this.run(id).verifying.setSchedule(schedule);
    await saveDocument(this.world, CONNECTIONS_FILE, this.#stored());
    return plan;
  }

  async remove(id: number): Promise<ConnectionRun> {
    const run = this.run(id);
    if (this.#leaving.has(id)) throw failure('NOT_POSSIBLE_NOW', { action: 'Disconnecting', id, state: 'closed' });
    this.#leaving.add(id);
    try {
      // Written down first: one that came back after a crash, its stream forgotten, would believe in its old replica.
      await saveDocument(this.world, CONNECTIONS_FILE, this.#stored());
    } finally {
      this.#leaving.delete(id);
    }
    this.#runs.delete(id);
    run.remove();
    this.lines.leave(run.transmit);
    this.rates.removed(run.key);
    this.world.hub.touch('connections', 'sets', 'server');
    return run;
  }

  /** Tries now what would be tried later, or never (SRV-23). */
  reconnect(id: number): void {
    this.run(id).reconnect();
    this.sources.start();
  }

  /** Clean stop. */
  close(): void {
    this.lines.close();
    this.queues.stop();
    for (const run of this.#runs.values()) run.close();
    this.lines.save();
  }

  /** What is written to this server changed, so what flows on from here may come from elsewhere. */
  tellOrigins(): void {
    for (const run of this.#runs.values()) run.tellOrigins();
  }

  event(event: ConnectionEvent): void {
    this.#byHandle.get(event.connection)?.event(event);
  }

  save(): void {
    saveSoon(this.world, CONNECTIONS_FILE, this.#stored());
  }

  opened(handle: number, run: ConnectionRun): void {
    this.#byHandle.set(handle, run);
    this.queues.opened();
  }

  closed(handle: number): void {
    this.#byHandle.delete(handle);
  }

  #add(stored: StoredConnection): ConnectionRun {
    const run = new ConnectionRun(this, this.#nextId++, stored);
    this.#runs.set(run.id, run);
    this.lines.join(run.transmit);
    return run;
  }

  #roots(set: string, rules: StoredConnection['rules']): readonly string[] {
    const { roots } = planRoots(rules, (path) => this.world.places.kind(path));
    const missing = roots.find((root) => this.world.places.kind(root) !== 'directory');
    if (missing !== undefined) throw failure('ROOT_MISSING', { set, path: missing });
    this.sets.requireSuitable(set, roots);
    return roots;
  }

  #stored(): z.infer<typeof Stored> {
    const kept = [...this.#runs.values()].filter((run) => !this.#leaving.has(run.id));
    return { schema: 1, connections: kept.map((run) => run.toStored()) };
  }
}
