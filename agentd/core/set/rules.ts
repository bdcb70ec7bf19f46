/** Rules of a replication set: what they may be, which of them count, and what the engine is told (SET-01..09). */
import { RULE_COUNT_MAX, RULE_PATH_LENGTH_MAX, SET_NAME_LENGTH_MAX } from '../../../protocol/limits.js';
import type { Rule } from '../../../protocol/messages/set.js';
import { isWithin, normalize, parent, pathProblem } from '../paths.js';

/** SET-09: not in set names, and not in parts of a chosen target location. */
export const FORBIDDEN_CHARACTERS = '.?<>:"\\/*|';

/** Why `name` cannot name a set, or null (SET-09). */
export function setNameProblem(name: string): string | null {
  if (name.trim() === '') return 'it is empty';
  if (name !== name.trim()) return 'it begins or ends with a space';
  if (name.length > SET_NAME_LENGTH_MAX) return `it is longer than ${SET_NAME_LENGTH_MAX} characters`;
  for (const character of name) {
    if (FORBIDDEN_CHARACTERS.includes(character)) return `it holds ${character}`;
    if (character < ' ' || character === '\x7f') return 'it holds a control character';
  }
  return null;
}

/** A rule as the engine takes it: the wildcard split off. */
export interface SplitRule {
  readonly path: string;
  readonly pattern: string | null;
  readonly include: boolean;
  readonly recursive: boolean;
}

export interface RuleProblem {
  readonly path: string;
  readonly problem: string;
}

export interface CheckedRules {
  /** Normalized and in effect, in the given order. */
  readonly rules: readonly Rule[];
  /** SET-06: said by another rule already. */
  readonly discarded: readonly Rule[];
}

const isWild = (text: string): boolean => /[*?]/.test(text);

/** Why one rule is not possible, or null. */
export function ruleProblem(rule: Rule): string | null {
  const clean = pathProblem(rule.path);
  if (clean) return clean;
  if (rule.path.length > RULE_PATH_LENGTH_MAX) return `it is longer than ${RULE_PATH_LENGTH_MAX} characters (SET-08)`;
  const path = normalize(rule.path);
  if (path !== '/' && isWild(parent(path))) return 'wildcards are possible in the last part only';
  return null;
}

/** Directory or file and wildcard of a rule. `/data/*` included means the same as `/data`. */
export function splitRule(rule: Rule): SplitRule {
  const path = normalize(rule.path);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (!isWild(name)) return { path, pattern: null, include: rule.include, recursive: rule.recursive };
  const pattern = rule.include && name === '*' ? null : name;
  return { path: parent(path), pattern, include: rule.include, recursive: rule.recursive };
}

/**
 * Normalizes, checks and thins out the rules of a set.
 * @returns the problem of the first impossible rule, or the rules in effect
 */
export function checkRules(given: readonly Rule[]): CheckedRules | RuleProblem {
  if (given.length > RULE_COUNT_MAX)
    return { path: given[0]?.path ?? '', problem: `there are more than ${RULE_COUNT_MAX} rules` };
  const all: Rule[] = [];
  for (const rule of given) {
    const problem = ruleProblem(rule);
    if (problem) return { path: rule.path, problem };
    all.push({ path: normalize(rule.path), include: rule.include, recursive: rule.recursive });
  }
  const discarded: Rule[] = [];
  const kept = all.filter((rule, index) => {
    const covered = all.some(
      (other, at) => at !== index && covers(other, rule, all) && !(covers(rule, other, all) && index < at),
    );
    if (covered) discarded.push(rule);
    return !covered;
  });
  if (!kept.some((rule) => rule.include)) return { path: '', problem: 'nothing is included' };
  return { rules: kept, discarded };
}

/**
 * SET-06: `upper` says everything that `lower` says. Not so when a rule of the other kind stands between the two
 * (`/a` inc, `/a/b` exc, `/a/b/c` inc: the third one counts, SET-07).
 */
function covers(upper: Rule, lower: Rule, all: readonly Rule[]): boolean {
  if (upper.include !== lower.include) return false;
  const a = splitRule(upper);
  const b = splitRule(lower);
  if (a.pattern !== null && a.pattern !== b.pattern) return false;
  if (a.path === b.path && a.pattern === b.pattern) return upper.recursive || !lower.recursive;
  if (!upper.recursive || !isWithin(b.path, a.path)) return false;
  return !all.some((rule) => {
    if (rule.include === upper.include) return false;
    const between = splitRule(rule);
    return isWithin(between.path, a.path) && (isWithin(b.path, between.path) || isWithin(between.path, b.path));
  });
}

/** What stands at a rule's path; the driver looks. */
export type PathKind = 'directory' | 'file' | 'missing';

export interface RootPlan {
  /** Directories the set lives in, none inside another; index = mapping. */
  readonly roots: readonly string[];
  readonly rules: readonly SplitRule[];
}

/**
 * The directories to watch and to map: those of the include rules, without those that lie in another one. A rule for
 * a single file lives in its directory. A path which is not there yet counts as a directory (SET-05).
 */
export function planRoots(rules: readonly Rule[], kindOf: (path: string) => PathKind): RootPlan {
  const split = rules.map(splitRule);
  const directories = split
    .filter((rule) => rule.include)
    .map((rule) => (rule.pattern === null && kindOf(rule.path) === 'file' ? parent(rule.path) : rule.path));
  const unique = [...new Set(directories)].sort();
  const roots = unique.filter((path) => !unique.some((other) => other !== path && isWithin(path, other)));
  return { roots, rules: split };
}

/** `path inc, rec` as SET-02 writes it. */
export function formatRule(rule: Rule): string {
  return `${rule.path} ${rule.include ? 'inc' : 'exc'}, ${rule.recursive ? 'rec' : 'non-rec'}`;
}

/**
 * The rules as the engine takes them. It need not match names where every rule takes in a whole root; a rule for less
 * than its root, such as a single file, is told apart by one rule that is not of that kind and excludes nothing new.
 * @param own a folder of the agent, which is never replicated anyway
 */
export function engineRules(rules: readonly Rule[], roots: readonly string[], own: string): readonly SplitRule[] {
  const split = rules.map(splitRule);
  const partly = split.some((rule) => rule.include && !roots.includes(rule.path));
  const plain = split.every((rule) => rule.include && rule.recursive && rule.pattern === null);
  return partly && plain ? [...split, { path: own, pattern: null, include: false, recursive: true }] : split;
}

/** FNV-1a, 32 bits: the same at every start. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return value.toString(16).padStart(8, '0');
}

/** Names a definition in use: the same set may run in two shapes while it is being changed. */
export function sourceKey(set: string, generation: number, roots: readonly string[]): string {
  return `${set}@${generation}-${hash(roots.join('\0'))}`;
}

/** A file name may have 255 bytes, and every character of a set's name may need nine when escaped. */
const FOLDER_LENGTH_MAX = 200;

/** Name of the folder of a source. */
export function sourceFolder(key: string): string {
  const plain = encodeURIComponent(key);
  if (plain.length <= FOLDER_LENGTH_MAX) return plain;
  return `${plain.slice(0, 150)}~${hash(key)}${hash([...key].reverse().join(''))}`;
}
