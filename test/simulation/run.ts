/** One run: a fleet, faults while checkers watch, then healing and the demand that everything ends well. */
import { contradiction, hiddenLag, lie, unbounded, unsafe } from './checks.js';
import { FAULTS, heal, type Scene } from './faults.js';
import { Fleet, type Wanted } from './fleet.js';
import type { Mutants, Seen, Universe } from './machine.js';
import { MIB } from './queue.js';
import { Chance, SimTime } from './time.js';

export interface Options {
  readonly seed: number;
  readonly mutants?: Mutants;
  /** Faults that may happen; drawn from the seed when left out. */
  readonly faults?: readonly string[];
  readonly trace?: boolean;
}

export interface Outcome {
  readonly seed: number;
  readonly failure: string | null;
  readonly steps: number;
  /** Simulated milliseconds. */
  readonly simulatedMs: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly barriers: number;
  readonly states: ReadonlySet<string>;
  readonly seen: ReadonlySet<Seen>;
  readonly trace: readonly string[];
}

const STEPS_MAX = 60_000;
const HEAL_MS_MAX = 1_200_000;
const CARE_MS = 2_000;

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function simulate({ seed, mutants = {}, faults, trace = false }: Options): Promise<Outcome> {
  const chance = new Chance(seed);
  const time = new SimTime();
  const lines: string[] = [];
  const seen = new Set<Seen>();
  let ran = false;
  const universe: Universe = {
    time,
    chance,
    mutants,
    paths: chance.between(2, 6),
    timing: {
      walkMs: chance.pick([5, 50, 400, 2_500]),
      scanMs: chance.pick([5, 100, 3_000]),
      applyMs: chance.pick([1, 5, 20]),
      bytesPerChange: chance.pick([1, 4, 9]) * 1_048_576,
      snapshotMs: chance.pick([3_000, 15_000, 300_000]),
    },
    queueVolumeBytes: chance.pick([64, 256, 4_096]) * MIB,
    ran: () => {
      ran = true;
    },
    seen: (what) => {
      seen.add(what);
    },
    trace: (text) => {
      if (trace) lines.push(`${(time.now / 1000).toFixed(3).padStart(9)}  ${text()}`);
    },
  };
  const fleet = new Fleet(universe);
  build(fleet, chance);
  const enabled = faults ?? Object.keys(FAULTS).filter((name) => name === 'barrier' || chance.happens(0.4));
  const happened = new Map<string, number>();
  const states = new Set<string>();
  // What is looked at once a minute needs a run of some minutes; there are few of these, and less happens in them.
  const longer = enabled.includes('verify_schedule') && chance.happens(0.15) ? 12 : 1;
  const chaosMs = chance.between(3_000, 25_000) * longer;
  const everyMs = chance.pick([400, 1_500, 5_000]) * longer;
  const writeMs = chance.pick([200, 600, 3_000]) * longer;
  // Looking is not free of consequences: a console brings states up to date. So some runs look seldom.
  const lookEvery = chance.pick([1, 3, 3, 11, 11]);
  const run: { phase: 'chaos' | 'heal' | 'done' } = { phase: 'chaos' };
  const scene: Scene = { fleet, time, chance, chaos: () => run.phase === 'chaos' };

  for (const server of fleet.servers) server.start();
  for (const wanted of fleet.wanted) void fleet.connect(wanted, chance.pick(FIRST_MIRRORS));

  const write = (): void => {
    if (run.phase !== 'chaos') return;
    const tree = chance.pick(fleet.trees);
    tree.write(chance.below(universe.paths));
    time.after(chance.between(1, 2 * writeMs), write);
  };
  time.after(writeMs, write);
  const trouble = (): void => {
    if (run.phase !== 'chaos') return;
    const name = chance.pick(enabled);
    happened.set(name, (happened.get(name) ?? 0) + 1);
    universe.trace(() => `fault: ${name}`);
    FAULTS[name]?.(scene, chance.pick(fleet.wanted));
    time.after(chance.between(1, 2 * everyMs), trouble);
  };
  time.after(chance.between(1, 3_000), trouble);
  let healedAt = 0;
  const care = (): void => {
    if (run.phase !== 'heal') return;
    for (const server of fleet.servers) server.start();
    for (const wanted of fleet.wanted) lookAfter(fleet, wanted);
    time.after(CARE_MS, care);
  };
  time.after(chaosMs, () => {
    run.phase = 'heal';
    healedAt = time.now;
    universe.trace(() => 'everything is healed');
    heal(scene);
    for (const tree of fleet.trees) for (let path = 0; path < universe.paths; path++) tree.write(path);
    care();
  });

  let failure: string | null = null;
  try {
    while (failure === null && run.phase !== 'done') {
      if (!time.step()) {
        failure = 'nothing is to come any more';
        break;
      }
      if (ran) {
        ran = false;
        await settle();
      }
      failure = fleet.failure ?? check(fleet, time.steps % lookEvery === 0);
      if (time.steps % 32 === 0) note(fleet, states);
      if (run.phase === 'heal' && failure === null) {
        if (good(fleet)) run.phase = 'done';
        else if (time.now - healedAt > HEAL_MS_MAX) failure = `no progress: ${describe(fleet)}`;
      }
      if (failure === null && time.steps > STEPS_MAX) failure = `too many steps: ${describe(fleet)}`;
    }
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  for (const server of fleet.servers) server.kill();
  const barriers = happened.get('barrier') ?? 0;
  return {
    seed,
    failure,
    steps: time.steps,
    simulatedMs: time.now,
    faults: happened,
    barriers,
    states,
    seen,
    trace: lines,
  };
}

const FIRST_MIRRORS = [{ kind: 'full' }, { kind: 'difference', checksum: true }, { kind: 'none' }] as const;

function build(fleet: Fleet, chance: Chance): void {
  const settings = {
    task: { enabled: true },
    source: {
      remirror: chance.pick(['difference_checksum', 'difference_checksum', 'full', 'off']),
      reconnect: chance.happens(0.9),
      sweep_s: 0,
    },
    queue: {
      memory_mb: 32,
      disk_mb: chance.pick([-1, 0, 16, 64]),
      free_mb: chance.pick([0, 50]),
      alert_percent: chance.pick([0, 20, 50, 90]),
      when_full: chance.pick(['wait', 'disconnect'] as const),
    },
    target: { retry_s: 3 },
  };
  const a = fleet.add('alpha', settings);
  const b = fleet.add('beta', settings);
  switch (chance.below(4)) {
    case 0:
      fleet.want(a, b, 'docs');
      return;
    case 1: {
      fleet.want(a, b, 'docs');
      fleet.want(a, fleet.add('gamma', settings), 'docs');
      return;
    }
    case 2:
      fleet.want(a, b, 'docs');
      fleet.want(b, a, 'mail');
      return;
    default:
      fleet.want(a, b, 'docs');
      fleet.want(a, b, 'mail');
  }
}

/** Which words were seen together. */
function note(fleet: Fleet, states: Set<string>): void {
  for (const server of fleet.servers)
    for (const { statistics: s } of server.items())
      states.add(`${s.targetDataState}/${s.targetStatus}/${s.transmitMode}/${s.mirrorStatus}/${s.replicationStatus}`);
}

function check(fleet: Fleet, look: boolean): string | null {
  for (const wanted of fleet.wanted) {
    const wrong = unsafe(wanted);
    if (wrong) return wrong;
  }
  if (!look) return null;
  for (const server of fleet.servers) {
    const { now } = server.machine.time;
    const items = server.items();
    const full = fleet.queues.look(server, items);
    if (full) return `${full} (${server.name})`;
    for (const item of items) {
      const wrong = contradiction(item) ?? fleet.times.look(server, item);
      if (wrong) return `${wrong} (connection ${item.id} of ${server.name})`;
      const wanted = fleet.wanted.find((one) => one.source === server && one.key === item.key);
      const lied = wanted ? (lie(wanted, item, now) ?? hiddenLag(wanted, item, now)) : null;
      if (lied) return `${lied} (connection ${item.id} of ${server.name})`;
    }
  }
  return unbounded(fleet);
}

/** A person who reads the states and does what they say. */
function lookAfter(fleet: Fleet, wanted: Wanted): void {
  const { source, target } = wanted;
  if (!source.agent || !target.agent || source.stopping || target.stopping) return;
  if (wanted.key === null) {
    void fleet.connect(wanted, { kind: 'difference', checksum: true });
    return;
  }
  const item = wanted.item();
  if (!item) {
    // The process died after it was asked and before it was written down: it was never made, or is removed.
    wanted.key = null;
    return;
  }
  const { id, statistics } = item;
  const ask = (method: string, more: object = {}): void => {
    void fleet.ask(source, method, { id, ...more });
  };
  if (source.agent.connections.run(id).transmit.line.settings.limiting)
    ask('transmit.set', { patch: { limiting: false } });
  if (item.phase === 'opening' && source.agent.connections.run(id).handle === null) ask('connection.reconnect');
  if (target.agent.grants.paused) void fleet.ask(target, 'server.resume_target', {});
  if (statistics.transmitMode === 'Paused') ask('transmit.resume');
  if (statistics.replicationStatus === 'Stopped') ask('replication.start');
  else if (statistics.mirrorStatus === 'Paused') ask('mirror.resume');
  else if (statistics.targetDataState === 'Mirror Required' && item.phase === 'linked') {
    const { state, repairDue } = source.agent.connections.run(id).mirror;
    if (state.phase === 'idle' && !state.complete && !repairDue && fleet.queues.waits(source, id))
      fleet.failure ??= `MIR-32: connection ${id} of ${source.name} gave its queue up and is not mirrored again by itself`;
    if (state.phase === 'idle' && !state.complete && !repairDue)
      ask('mirror.start', { options: { kind: 'difference', checksum: true } });
  }
}

function good(fleet: Fleet): boolean {
  for (const wanted of fleet.wanted) {
    const item = wanted.item();
    if (item?.statistics.targetDataState !== 'OK' || item.latencyMs !== 0) return false;
    for (let path = 0; path < wanted.replica.live.length; path++)
      if (wanted.replica.durable[path] !== wanted.tree.version(path)) return false;
  }
  // REP-20: what became of each task is known in the end, or said to be unknown.
  const open = fleet.servers.some((one) => one.agent?.taskJournal.list().some((task) => task.phase !== 'ended'));
  return fleet.calls.size === 0 && !open;
}

function describe(fleet: Fleet): string {
  const parts = fleet.wanted.map((wanted) => {
    const item = wanted.item();
    const s = item?.statistics;
    const words = s
      ? `${item?.phase} ${s.targetDataState}, target ${s.targetStatus}, transmit ${s.transmitMode}, mirror ${s.mirrorStatus}, replication ${s.replicationStatus}, latency ${item?.latencyMs}, refused ${item?.quarantined}`
      : 'not there';
    return `${wanted.source.name} -> ${wanted.target.name} ${words}; here ${wanted.tree.versions.join(' ')}, there ${wanted.replica.durable.join(' ')}`;
  });
  const open = [...fleet.calls].map((call) => `${call.what} since ${Math.round(call.since)}`);
  const engines = fleet.servers.flatMap((server) =>
    [...(server.engine?.sources.values() ?? [])].map((source) => `${server.name}: ${source.describe()}`),
  );
  return [...parts, ...open, ...engines].join('\n  ');
}
