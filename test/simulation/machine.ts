/** What of a server outlives its processes: trees, replicas, and the files of the engine. */
import { SimDisk } from './disk.js';
import { Volume } from './queue.js';
import type { KeptStream } from './stream.js';
import { type Chance, MachineTime, type SimTime } from './time.js';

/** A set's directory: each path holds a version, which counts up with every change. */
export class Tree {
  readonly versions: number[];
  /** `times[path][n]`: when version n + 1 was written, by the monotonic clock here. */
  readonly times: number[][];
  gone = false;
  readonly watchers = new Set<(path: number) => void>();

  constructor(
    readonly time: MachineTime,
    paths: number,
  ) {
    this.versions = Array.from({ length: paths }, () => 1);
    // There long before anybody looked.
    this.times = this.versions.map(() => [-3_600_000]);
  }

  write(path: number): void {
    // Whoever writes is suspended with the machine.
    if (this.gone || this.time.suspended) return;
    this.versions[path] = this.version(path) + 1;
    this.times[path]?.push(this.time.now);
    for (const watcher of [...this.watchers]) watcher(path);
  }

  version(path: number): number {
    return this.versions[path] ?? 0;
  }

  /** When this version stopped being the newest; Infinity while it is. 0: the path was not there at all. */
  outdated(path: number, version: number): number {
    return this.times[path]?.[version] ?? Number.POSITIVE_INFINITY;
  }
}

/** What a target holds. 0: the path is missing. */
export class Replica {
  live: number[];
  durable: number[];
  /** Written since the last sync, in order. */
  pending: { readonly path: number; readonly version: number }[] = [];
  /** Names the directory: another one at the same place is another replica (wiped, or not mounted). */
  identity = 1;
  /** A path that was put back to an older state, though nothing was lost here. */
  wentBack: string | null = null;

  constructor(paths: number) {
    this.live = Array.from({ length: paths }, () => 0);
    this.durable = [...this.live];
  }

  put(path: number, version: number): void {
    const held = this.live[path] ?? 0;
    if (version < held) this.wentBack ??= `path ${path} had version ${held} and was put back to ${version}`;
    this.live[path] = version;
    this.pending.push({ path, version });
  }

  sync(): void {
    this.durable = [...this.live];
    this.pending = [];
  }

  /** Each path keeps its last synced state or any later one. */
  losePower(chance: Chance): void {
    this.live = [...this.durable];
    for (const { path, version } of this.pending) if (chance.happens(0.5)) this.live[path] = version;
    this.sync();
  }

  wipe(): void {
    this.identity += 1;
    this.live.fill(0);
    this.sync();
  }
}

/** native/engine/marks.h: the live page survives the process, the slot survives the machine. */
export interface MarkFile {
  stream: number;
  applied: number;
  boot: number;
  /** Another stream before this one had applied something, or this one has. */
  previous: number;
  replica: number;
  slot: { stream: number; durable: number; previous: number; replica: number };
  held: boolean;
  /** native/engine/receiver_refusals.h: kept until the source has taken them. */
  refusals: { readonly stream: number; readonly id: number; readonly path: number; readonly sequence: number }[];
  /** So many of them are on disk, whatever happens. */
  refusalsSynced: number;
  refusalsLast: number;
}

/** What a target was known to hold when that was written down last (recovery.cc). Moments are of the wall clock. */
export interface Point {
  readonly since: number;
  /** What happened here later, nobody has seen. */
  readonly looked: number;
  readonly mustMirror: boolean;
  /** What was in doubt was told again, and not known to be there. */
  readonly repairing: boolean;
  /** Not in the file: how far the wall clock was ahead of the monotonic one. */
  readonly wallOffset: number;
  /** Nor this: that clock was put back since, so the age looks smaller than it is. */
  readonly understated: boolean;
}

/** The persisted shadow of a source, and the log of paths told since. */
export interface ShadowFile {
  shadow: number[];
  log: Set<number>;
  /** Of this snapshot; what else was kept at the same stop bears it, too. */
  snapshot: number;
}

export class Machine {
  readonly disk = new SimDisk();
  readonly trees = new Map<string, Tree>();
  readonly replicas = new Map<string, Replica>();
  readonly marks = new Map<string, MarkFile>();
  readonly shadows = new Map<string, ShadowFile>();
  /** Boot of the machine during which a source began that has not ended in an orderly way. */
  readonly running = new Map<string, number>();
  /** State folders of streams that were attached once. */
  readonly attached = new Set<string>();
  /** The set went on without these. */
  readonly missed = new Set<string>();
  /** Streams that go on after a clean stop. */
  readonly kept = new Map<string, KeptStream>();
  readonly queues: Volume;
  /** What these streams had reached, as it was written down last. */
  readonly points = new Map<string, Point>();
  readonly time: MachineTime;
  boot = 1;
  /** Writes to replicas take this much longer. */
  slowness = 1;
  /** The replicas' file system is full. */
  replicasFull = false;
  /** Paths that cannot be written here. */
  readonly refused = new Set<number>();

  constructor(
    readonly name: string,
    readonly key: string,
    readonly port: number,
    world: SimTime,
    queueBytes: number,
  ) {
    this.time = new MachineTime(world);
    this.queues = new Volume(queueBytes);
  }

  losePower(chance: Chance): void {
    this.boot += 1;
    this.disk.losePower(chance);
    this.queues.losePower(() => chance.happens(0.5));
    for (const mark of this.marks.values()) {
      const kept = mark.refusals.filter((_, at) => at < mark.refusalsSynced || chance.happens(0.5));
      mark.refusals = kept;
      mark.refusalsSynced = kept.length;
    }
    // The log of what was told is not synced at each batch; of a source that runs it may lack its end.
    for (const [place, { log }] of this.shadows)
      if (this.running.has(place)) for (const path of log) if (chance.happens(0.5)) log.delete(path);
    for (const replica of this.replicas.values()) replica.losePower(chance);
  }

  forget(path: string): void {
    const below = (name: string): boolean => name === path || name.startsWith(`${path}/`);
    for (const files of [this.marks, this.shadows, this.points, this.running, this.kept])
      for (const name of files.keys()) if (below(name)) files.delete(name);
    for (const names of [this.attached, this.missed]) for (const name of names) if (below(name)) names.delete(name);
    this.queues.forget(below);
  }
}

/** Bugs that can be switched on, to see that the checkers notice. */
export interface Mutants {
  /** The target acknowledges a batch that it drops. */
  readonly dropAcknowledged?: boolean;
  /** The target says durable when it has only applied. */
  readonly durableTooEarly?: boolean;
  /** A restarted stream leaves the paths in doubt alone. */
  readonly noRepair?: boolean;
  /** Loss of events is not told. */
  readonly silentLoss?: boolean;
  /** Latency by the wall clock. */
  readonly wallLatency?: boolean;
  /** Changes that wait untold do not count for latency. */
  readonly streamLatency?: boolean;
  /** Without a link nothing lags. */
  readonly linkedLag?: boolean;
  /** Paths in doubt are told again without saying so. */
  readonly hiddenRepair?: boolean;
  /** State files are written in place. */
  readonly tornFiles?: boolean;
  readonly lostJournal?: boolean;
  /** The mirror is called done when the last file was sent. */
  readonly mirrorDoneEarly?: boolean;
  /** Streams that went on are told as gapless after the target lost its mark. */
  readonly gapResumes?: boolean;
  /** That the target lost its power is not noticed. */
  readonly powerUnseen?: boolean;
  /** A queue that goes on after a stop does not know what was told before it. */
  readonly forgetsTouched?: boolean;
  /** A damaged record of the disk queue is left out, and what is behind it sent. */
  readonly skipsDamage?: boolean;
  /** What a full queue does not take is not kept by name either. */
  readonly fullForgets?: boolean;
  /** A full queue says nothing of what waits as names. */
  readonly fullIsCurrent?: boolean;
  /** The maximum of the disk queue does not count. */
  readonly noDiskLimit?: boolean;
  /** A queue in use is not told of. */
  readonly queueUnseen?: boolean;
  /** After all refusals were taken, the next link counts them from the beginning. */
  readonly refusalsRestart?: boolean;
  /** A batch that comes twice is applied twice. */
  readonly appliesTwice?: boolean;
  /** The line gives frames in another order than they were sent. */
  readonly overtaking?: boolean;
  /** What changed while the agent was stopped counts from when it is found. */
  readonly pauseIsYoung?: boolean;
  /** The wall clock is never put back. */
  readonly stuckWall?: boolean;
}

export interface Timing {
  /** Milliseconds per object that a walk visits. */
  readonly walkMs: number;
  readonly scanMs: number;
  readonly applyMs: number;
  readonly bytesPerChange: number;
  readonly snapshotMs: number;
}

/** What a run may meet. */
export type Seen =
  | 'duplicate'
  | 'spilled'
  | 'behind'
  | 'queue resumed'
  | 'queue dropped'
  | 'queue damaged'
  | 'exhausted'
  | 'power repair'
  | 'refusal again';

/** What all engines of one run share. */
export interface Universe {
  readonly time: SimTime;
  readonly chance: Chance;
  readonly timing: Timing;
  readonly mutants: Mutants;
  readonly paths: number;
  readonly queueVolumeBytes: number;
  /** JavaScript of an agent is about to run. */
  ran(): void;
  /** Counts what the model did, so that a test can tell whether it really does it. */
  seen(what: Seen): void;
  trace(text: () => string): void;
}
