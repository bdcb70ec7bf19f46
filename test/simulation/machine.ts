/** What of a server outlives its processes: trees, replicas, and the files of the engine. */
import { SimDisk } from './disk.js';
import type { Chance, SimTime } from './time.js';

/** A set's directory: each path holds a version, which counts up with every change. */
export class Tree {
  readonly versions: number[];
  /** `times[path][n]`: when version n + 1 was written. */
  readonly times: number[][];
  gone = false;
  readonly watchers = new Set<(path: number) => void>();

  constructor(paths: number) {
    this.versions = Array.from({ length: paths }, () => 1);
    // There long before anybody looked.
    this.times = this.versions.map(() => [-3_600_000]);
  }

  write(path: number, now: number): void {
    if (this.gone) return;
    this.versions[path] = this.version(path) + 1;
    this.times[path]?.push(now);
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

  constructor(paths: number) {
    this.live = Array.from({ length: paths }, () => 0);
    this.durable = [...this.live];
  }

  put(path: number, version: number): void {
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
}

/** The persisted shadow of a source, and the log of paths told since. */
export interface ShadowFile {
  shadow: number[];
  log: Set<number>;
  /** Streams which were told everything the shadow says. */
  vouched: Set<string>;
}

export class Machine {
  readonly disk = new SimDisk();
  readonly trees = new Map<string, Tree>();
  readonly replicas = new Map<string, Replica>();
  readonly marks = new Map<string, MarkFile>();
  readonly shadows = new Map<string, ShadowFile>();
  /** State folders of streams that were attached once. */
  readonly attached = new Set<string>();
  /** What these streams had reached, as it was written down last. */
  readonly points = new Map<string, { readonly since: number; readonly mustMirror: boolean }>();
  boot = 1;
  /** Writes to replicas take this much longer. */
  slowness = 1;
  /** The replicas' file system is full. */
  replicasFull = false;
  /** Paths that cannot be written here. */
  readonly refused = new Set<number>();
  wallOffset = 0;

  constructor(
    readonly name: string,
    readonly key: string,
    readonly port: number,
  ) {}

  losePower(chance: Chance): void {
    this.boot += 1;
    this.disk.losePower(chance);
    for (const replica of this.replicas.values()) replica.losePower(chance);
  }

  forget(path: string): void {
    const below = (name: string): boolean => name === path || name.startsWith(`${path}/`);
    for (const files of [this.marks, this.shadows, this.points])
      for (const name of files.keys()) if (below(name)) files.delete(name);
    for (const name of this.attached) if (below(name)) this.attached.delete(name);
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
}

export interface Timing {
  /** Milliseconds per object that a walk visits. */
  readonly walkMs: number;
  readonly scanMs: number;
  readonly applyMs: number;
  readonly bytesPerChange: number;
  readonly snapshotMs: number;
}

/** What all engines of one run share. */
export interface Universe {
  readonly time: SimTime;
  readonly chance: Chance;
  readonly timing: Timing;
  readonly mutants: Mutants;
  readonly paths: number;
  /** JavaScript of an agent is about to run. */
  ran(): void;
  trace(text: () => string): void;
}
