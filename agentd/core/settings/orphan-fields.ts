/** Settings of a target for orphans (MIR-51..55); they count for every connection to it. */
import type { Field } from './field.js';

const folder = (value: string): string | null =>
  value === '' || (/^\/[^\0]+$/.test(value) && !/(^|\/)\.\.?(\/|$)|\/\//.test(value))
    ? null
    : 'must be empty or an absolute directory';

export const ORPHAN_FIELDS = [
  {
    key: 'orphans.log',
    row: 'MIR-52',
    kind: 'flag',
    preset: false,
    live: true,
    why: 'this target logs each orphan it meets',
  },
  {
    key: 'orphans.action',
    row: 'MIR-54',
    kind: 'choice',
    preset: 'none',
    choices: ['none', 'move', 'delete'],
    live: true,
    why: 'what this target does with orphans during mirrors, verifications and when asked to remove them',
  },
  {
    key: 'orphans.folder',
    row: 'MIR-54',
    kind: 'text',
    preset: '',
    live: true,
    check: folder,
    why: 'where orphans are moved to, below their whole path; outside of every replica (MIR-58)',
  },
  {
    key: 'orphans.age_s',
    row: 'MIR-55',
    kind: 'whole',
    preset: 0,
    min: 0,
    max: 3_153_600_000,
    live: true,
    why: 'only orphans not modified for this many seconds; 0: all',
  },
] as const satisfies readonly Field[];

/** What only several settings together can have wrong. */
export function orphanProblem(values: Readonly<Record<string, unknown>>): string | null {
  if (values['orphans.action'] === 'move' && values['orphans.folder'] === '')
    return 'orphans.action move needs orphans.folder (MIR-54)';
  return null;
}
