/** Where the directories of a set go on the target (CON-14, CON-25..27). */
import type { MappingWish } from '../../../protocol/messages/connection.js';
import type { Mapping } from '../../../protocol/messages/peer.js';
import { isWithin, join, normalize, overlaps, pathProblem, relative } from '../paths.js';
import { FORBIDDEN_CHARACTERS } from '../set/rules.js';

export interface MappingProblem {
  readonly path: string;
  readonly problem: string;
}

/**
 * Works the wish out into one target directory per directory of the set, in the same order.
 * @param roots directories of the set, see planRoots
 */
export function planMapping(
  wish: MappingWish,
  roots: readonly string[],
  source: string,
  set: string,
): readonly Mapping[] | MappingProblem {
  switch (wish.kind) {
    case 'one_to_one':
      return roots.map((root) => ({ source: root, target: root }));
    case 'all_to_one':
      return allToOne(wish.base ?? '/', roots, source, set);
    case 'custom':
      return custom(wish.custom ?? [], roots);
  }
}

/** CON-25: `/source_name/replication_set_name/volume_name` beneath the base; the volume is the path without its root. */
function allToOne(
  base: string,
  roots: readonly string[],
  source: string,
  set: string,
): readonly Mapping[] | MappingProblem {
  const problem = pathProblem(base) ?? locationProblem(base, []);
  if (problem) return { path: base, problem };
  const home = join(join(normalize(base), source), set);
  return roots.map((root) => ({ source: root, target: join(home, root.slice(1)) }));
}

function custom(given: readonly Mapping[], roots: readonly string[]): readonly Mapping[] | MappingProblem {
  const wanted: Mapping[] = [];
  for (const mapping of given) {
    const problem = pathProblem(mapping.source) ?? pathProblem(mapping.target);
    if (problem) return { path: `${mapping.source}=${mapping.target}`, problem };
    const clean = { source: normalize(mapping.source), target: normalize(mapping.target) };
    const location = locationProblem(clean.target, clean.source.split('/'));
    if (location) return { path: clean.target, problem: location };
    if (wanted.some((other) => other.source === clean.source))
      return { path: clean.source, problem: 'it is mapped twice' };
    wanted.push(clean);
  }
  const result: Mapping[] = [];
  const used = new Set<Mapping>();
  for (const root of roots) {
    // The nearest directory at or above decides, so that a part of a mapped directory may go elsewhere.
    const best = wanted
      .filter((mapping) => isWithin(root, mapping.source))
      .sort((a, b) => b.source.length - a.source.length)[0];
    if (!best) return { path: root, problem: 'it is part of the set and has no target directory' };
    used.add(best);
    result.push({ source: root, target: join(best.target, relative(root, best.source)) });
  }
  const idle = wanted.find((mapping) => !used.has(mapping));
  if (idle) return { path: idle.source, problem: `it is not a directory of the set (those are ${roots.join(', ')})` };
  return result;
}

/** SET-09: characters of a chosen location; parts carried over from the source are exempt. */
function locationProblem(target: string, carried: readonly string[]): string | null {
  for (const part of normalize(target).split('/')) {
    if (part === '' || carried.includes(part)) continue;
    for (const character of part)
      if (FORBIDDEN_CHARACTERS.includes(character)) return `"${part}" holds ${character} (SET-09)`;
  }
  return null;
}

/** Two target directories of one mapping that hold each other, or null. */
export function innerOverlap(mappings: readonly Mapping[]): readonly [Mapping, Mapping] | null {
  for (const [index, mapping] of mappings.entries()) {
    const other = mappings.slice(index + 1).find((later) => overlaps(later.target, mapping.target));
    if (other) return [mapping, other];
  }
  return null;
}
