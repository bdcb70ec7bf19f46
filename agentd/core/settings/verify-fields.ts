/** Settings of verification (SRV-73, VER-12..16); they count for every connection of this source. */
import type { Field } from './field.js';

const fileName = (value: string): string | null =>
  /^[A-Za-z0-9][A-Za-z0-9._ -]{0,99}$/.test(value) ? null : 'must be the name of a file without a folder';

export const VERIFY_FIELDS = [
  {
    key: 'verify.file',
    row: 'VER-12',
    kind: 'text',
    preset: 'USVerify.log',
    live: true,
    check: fileName,
    why: 'base name of the verification logs in the log folder; the name of the set stands before it',
  },
  {
    key: 'verify.length',
    row: 'VER-13',
    kind: 'whole',
    preset: 1_048_576,
    min: 4_096,
    max: 1_099_511_627_776,
    live: true,
    why: 'bytes of one verification log; when it is full nothing more is logged, and that is said',
  },
  {
    key: 'verify.append',
    row: 'VER-14',
    kind: 'flag',
    preset: true,
    live: true,
    why: 'a verification goes on in the log of the one before; false: each begins a new log',
  },
  {
    key: 'verify.language',
    row: 'VER-15',
    kind: 'choice',
    preset: 'English',
    choices: ['English'],
    live: true,
    why: 'language of the verification log',
  },
] as const satisfies readonly Field[];
