/**
 * Loop guard (TOP-08) and same-location guard (TOP-09).
 *
 * A connection carries its origins: the directories it reads and, where those are themselves replicas, the origins of
 * what is written there. Chains (TOP-05) are allowed; data that would come back to where it started is not.
 */
import { ORIGIN_COUNT_MAX } from '../../../protocol/limits.js';
import type { Mapping, Origin } from '../../../protocol/messages/peer.js';
import { overlaps } from '../paths.js';

/** What is already granted on this server. */
export interface Granted {
  readonly connection: string;
  readonly server: string;
  readonly set: string;
  readonly mappings: readonly Mapping[];
  readonly origins: readonly Origin[];
}

/** Origins of data read from `roots` of the server `self`: its own, and what flows into them. Without duplicates. */
export function originsOf(self: string, roots: readonly string[], granted: readonly Granted[]): readonly Origin[] {
  const found = new Map<string, Origin>();
  const add = (origin: Origin): void => {
    if (found.size < ORIGIN_COUNT_MAX) found.set(`${origin.key} ${origin.path}`, origin);
  };
  for (const root of roots) add({ key: self, path: root });
  for (const grant of granted) {
    const feeds = grant.mappings.some((mapping) => roots.some((root) => overlaps(mapping.target, root)));
    if (feeds) for (const origin of grant.origins) add(origin);
  }
  return [...found.values()];
}

export interface Loop {
  /** Target directory on this server that would be written. */
  readonly target: string;
  /** Directory of this server the same data comes from. */
  readonly source: string;
}

/** The first way in which writing these targets on `self` would feed its own source (TOP-02, TOP-06, TOP-08). */
export function findLoop(self: string, mappings: readonly Mapping[], origins: readonly Origin[]): Loop | null {
  for (const origin of origins) {
    if (origin.key !== self) continue;
    const mapping = mappings.find((candidate) => overlaps(candidate.target, origin.path));
    if (mapping) return { target: mapping.target, source: origin.path };
  }
  return null;
}

export interface Shared {
  readonly target: string;
  readonly other: string;
  readonly granted: Granted;
}

/** TOP-09: a target directory that another connection writes already, or that holds or lies in one. */
export function findShared(
  connection: string,
  mappings: readonly Mapping[],
  granted: readonly Granted[],
): Shared | null {
  for (const grant of granted) {
    if (grant.connection === connection) continue;
    for (const mapping of mappings) {
      const other = grant.mappings.find((candidate) => overlaps(candidate.target, mapping.target));
      if (other) return { target: mapping.target, other: other.target, granted: grant };
    }
  }
  return null;
}
