/** Where a target may move orphans to (MIR-58). Pure. */
import { overlaps } from '../paths.js';

/** The replica that a folder lies in or holds, or null: moved orphans would be orphans again, or be deleted. */
export function replicaAround(folder: string, replicas: readonly string[]): string | null {
  return folder === '' ? null : (replicas.find((replica) => overlaps(folder, replica)) ?? null);
}

/** A report of the engine's: `moved 3 1 4096 0 0 0`. */
export interface OrphanTotals {
  readonly word: 'found' | 'moved' | 'deleted';
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly kept: number;
  readonly failed: number;
  readonly unlisted: number;
}

export function readTotals(text: string): OrphanTotals | null {
  const match = /^(found|moved|deleted) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$/.exec(text);
  if (!match) return null;
  const [files = 0, directories = 0, bytes = 0, kept = 0, failed = 0, unlisted = 0] = match.slice(2).map(Number);
  return { word: match[1] as OrphanTotals['word'], files, directories, bytes, kept, failed, unlisted };
}
