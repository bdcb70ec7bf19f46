/** Documents and folders on the real file system. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { failure } from '../../protocol/errors.js';
import type { VolumeFacts } from '../core/queue/alert.js';
import type { PathKind } from '../core/set/rules.js';
import type { Documents } from '../ports/documents.js';
import type { DirectoryEntry, Places } from '../ports/places.js';

/** Writes a file so that after a crash either the old or the new contents are there (I4). */
export async function replaceFile(path: string, bytes: string | Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The same, for start-up, where nothing else may happen meanwhile. */
export function replaceFileSync(path: string, bytes: string | Uint8Array, mode: number): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = openSync(temporary, 'wx', mode);
    try {
      const all = Buffer.from(bytes);
      for (let at = 0; at < all.length; ) at += writeSync(file, all, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // It was never made.
    }
    throw error;
  }
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

interface Writing {
  next: { text: string; waiting: { resolve: () => void; reject: (error: unknown) => void }[] } | null;
}

export class FileDocuments implements Documents {
  readonly #writing = new Map<string, Writing>();
  readonly #idle: (() => void)[] = [];

  constructor(readonly folder: string) {}

  load(name: string): unknown {
    const file = join(this.folder, name);
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw failure(
        'STATE_INVALID',
        { file, problem: 'it cannot be read' },
        { call: 'open', errno: (error as NodeJS.ErrnoException).code ?? 'EIO' },
      );
    }
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw failure('STATE_INVALID', {
        file,
        problem: `it is not JSON (${error instanceof Error ? error.message : String(error)})`,
      });
    }
  }

  save(name: string, value: unknown): Promise<void> {
    const text = `${JSON.stringify(value, null, 1)}\n`;
    return new Promise((resolve, reject) => {
      const running = this.#writing.get(name);
      if (running) {
        // Whoever waits for an older value is content with a newer one.
        const waiting = running.next?.waiting ?? [];
        running.next = { text, waiting: [...waiting, { resolve, reject }] };
        return;
      }
      const writing: Writing = { next: { text, waiting: [{ resolve, reject }] } };
      this.#writing.set(name, writing);
      void this.#run(name, writing);
    });
  }

  settled(): Promise<void> {
    if (this.#writing.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  async #run(name: string, writing: Writing): Promise<void> {
    while (writing.next) {
      const { text, waiting } = writing.next;
      writing.next = null;
      try {
        await replaceFile(join(this.folder, name), text, 0o600);
        for (const one of waiting) one.resolve();
      } catch (error) {
        for (const one of waiting) one.reject(error);
      }
    }
    this.#writing.delete(name);
    if (this.#writing.size === 0) for (const call of this.#idle.splice(0)) call();
  }
}

/** Names looked at when one directory is listed; beyond it even counting takes too long for a screen. */
const LIST_ENTRIES_MAX = 200_000;

export const realPlaces: Places = {
  kind(path: string): PathKind {
    try {
      return statSync(path).isDirectory() ? 'directory' : 'file';
    } catch {
      return 'missing';
    }
  },

  resolve(path: string): string {
    // The nearest part that is there is followed; what comes after it is taken as it is written.
    let head = path;
    let tail = '';
    for (;;) {
      try {
        return join(realpathSync(head), tail);
      } catch {
        if (head === '/' || head === '.') return path;
        tail = join(head.slice(head.lastIndexOf('/') + 1), tail);
        head = dirname(head);
      }
    }
  },

  ensureDirectory(path: string): void {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  },

  removeTree(path: string): void {
    rmSync(path, { recursive: true, force: true });
  },

  volume(path: string): VolumeFacts | null {
    for (let at = path; ; at = dirname(at)) {
      try {
        const { bsize, blocks } = statfsSync(at);
        return { device: statSync(at).dev, totalBytes: bsize * blocks };
      } catch {
        if (at === dirname(at)) return null;
      }
    }
  },

  fileSystem(path: string): number | null {
    try {
      return statfsSync(path).type;
    } catch {
      return null;
    }
  },

  listDirectory(path: string, limit: number): { entries: DirectoryEntry[]; omitted: number } {
    const entries: DirectoryEntry[] = [];
    let omitted = 0;
    const folder = opendirSync(path);
    try {
      for (
        let entry = folder.readSync();
        entry && entries.length + omitted < LIST_ENTRIES_MAX;
        entry = folder.readSync()
      ) {
        if (entries.length >= limit) {
          omitted += 1;
          continue;
        }
        const kind = entry.isDirectory()
          ? 'directory'
          : entry.isFile()
            ? 'file'
            : entry.isSymbolicLink()
              ? 'link'
              : 'other';
        let size = 0;
        let modified: number | null = null;
        try {
          const found = lstatSync(join(path, entry.name));
          size = kind === 'file' ? found.size : 0;
          modified = found.mtimeMs;
        } catch {
          // Gone since it was listed, or not ours to look at: the name alone is shown.
        }
        entries.push({ name: entry.name, kind, size, modified });
      }
    } finally {
      folder.closeSync();
    }
    const rank = (entry: DirectoryEntry): number => (entry.kind === 'directory' ? 0 : 1);
    entries.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
    return { entries, omitted };
  },
};
