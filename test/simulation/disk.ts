/** A server's own disk: state files that appear whole or not at all, and folders. */
import { failure } from '../../protocol/errors.js';
import type { Documents } from '../../agentd/ports/documents.js';
import type { Places } from '../../agentd/ports/places.js';
import type { Chance, MachineTime } from './time.js';

export class SimDisk {
  /** Names as a reading process sees them. */
  readonly visible = new Map<string, string>();
  /** What is there after a power failure, whatever else is lost. */
  readonly durable = new Map<string, string>();
  readonly folders = new Set<string>();
  full = false;

  /** A rename that was not synced may or may not have reached the disk. */
  losePower(chance: Chance): void {
    for (const [name, text] of this.visible) {
      const old = this.durable.get(name);
      if (old === text || chance.happens(0.5)) continue;
      if (old === undefined) this.visible.delete(name);
      else this.visible.set(name, old);
    }
    for (const [name, text] of this.visible) this.durable.set(name, text);
  }
}

interface Writing {
  next: { text: string; waiting: { resolve: () => void; reject: (error: unknown) => void }[] } | null;
}

const refused = (call: string, code: string): Error =>
  Object.assign(new Error(`${code}, ${call}`), { code, syscall: call });

/** The steps of agentd/adapters/files.ts, each at its own moment: a process can die between any two of them. */
export class SimDocuments implements Documents {
  readonly #writing = new Map<string, Writing>();
  readonly #idle: (() => void)[] = [];

  constructor(
    readonly disk: SimDisk,
    readonly time: MachineTime,
    readonly chance: Chance,
    /** The process whose documents these are still runs. Called before anything reaches JavaScript. */
    readonly alive: () => boolean,
    /** A mutant: the file is written in place. */
    readonly torn: boolean,
  ) {}

  load(name: string): unknown {
    const text = this.disk.visible.get(name);
    if (text === undefined) return null;
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw failure('STATE_INVALID', { file: name, problem: 'it is not JSON' });
    }
  }

  save(name: string, value: unknown): Promise<void> {
    const text = JSON.stringify(value);
    return new Promise((resolve, reject) => {
      const running = this.#writing.get(name);
      if (running) {
        const waiting = running.next?.waiting ?? [];
        running.next = { text, waiting: [...waiting, { resolve, reject }] };
        return;
      }
      const writing: Writing = { next: { text, waiting: [{ resolve, reject }] } };
      this.#writing.set(name, writing);
      this.#run(name, writing);
    });
  }

  settled(): Promise<void> {
    if (this.#writing.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #step(call: () => void): void {
    this.time.after(this.chance.between(0, 8), () => {
      if (this.alive()) call();
    });
  }

  #run(name: string, writing: Writing): void {
    const job = writing.next;
    if (!job) {
      this.#writing.delete(name);
      if (this.#writing.size === 0) for (const call of this.#idle.splice(0)) call();
      return;
    }
    writing.next = null;
    this.#step(() => {
      // The temporary file: nobody reads it, and a crash leaves only rubbish behind.
      if (this.torn) this.disk.visible.set(name, job.text.slice(0, job.text.length >> 1));
      if (this.disk.full) {
        for (const one of job.waiting) one.reject(refused('write', 'ENOSPC'));
        this.#run(name, writing);
        return;
      }
      this.#step(() => {
        this.disk.visible.set(name, job.text);
        this.#step(() => {
          this.disk.durable.set(name, job.text);
          for (const one of job.waiting) one.resolve();
          this.#run(name, writing);
        });
      });
    });
  }
}

/**
 * @param kindOf    what stands at a path of the replicated trees
 * @param onRemoved files of the engine below it go, too
 */
export function simPlaces(
  disk: SimDisk,
  kindOf: (path: string) => 'directory' | 'missing' | null,
  onRemoved: (path: string) => void,
): Places {
  return {
    kind: (path) => kindOf(path) ?? (disk.folders.has(path) ? 'directory' : 'missing'),
    resolve: (path) => path,
    ensureDirectory(path) {
      if (disk.folders.has(path)) return;
      if (disk.full) throw refused('mkdir', 'ENOSPC');
      let at = path;
      while (at !== '' && !disk.folders.has(at)) {
        disk.folders.add(at);
        at = at.slice(0, at.lastIndexOf('/'));
      }
    },
    removeTree(path) {
      disk.folders.delete(path);
      for (const folder of disk.folders) if (folder.startsWith(`${path}/`)) disk.folders.delete(folder);
      onRemoved(path);
    },
    volume: () => null,
    fileSystem: () => null,
    listDirectory: () => ({ entries: [], omitted: 0 }),
  };
}
