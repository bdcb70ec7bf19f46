/** Facts about the server's file system, and the agent's own folders. */
import type { VolumeFacts } from '../core/queue/alert.js';
import type { PathKind } from '../core/set/rules.js';

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: 'directory' | 'file' | 'link' | 'other';
  readonly size: number;
  readonly modified: number | null;
}

export interface Places {
  kind(path: string): PathKind;
  /** The path with every link on it followed; the path itself when it is not there. */
  resolve(path: string): string;
  ensureDirectory(path: string): void;
  removeTree(path: string): void;
  /** The volume of the nearest part of the path that is there; null when the system does not say. */
  volume(path: string): VolumeFacts | null;
  /** f_type of statfs(2) of what is there; null when it is not, or the system does not say. */
  fileSystem(path: string): number | null;
  listDirectory(path: string, limit: number): { readonly entries: readonly DirectoryEntry[]; readonly omitted: number };
}
