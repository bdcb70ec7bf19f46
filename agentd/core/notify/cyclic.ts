/**
 * LOG-30, for everything that tells of trouble by a road that may itself be in trouble: one message at the first failure,
 * silence, one at the first success after it, then from the beginning.
 */
import { findRow, type Row } from '../machine.js';

export type CyclicPhase = 'working' | 'failing';
export type CyclicFact = 'failed' | 'sent';
export type CyclicAct = 'tell_failed' | 'tell_works' | 'retry_later' | 'go_on';

export const CYCLIC_TABLE: readonly Row<CyclicPhase, CyclicFact, CyclicAct>[] = [
  {
    from: ['working'],
    on: 'failed',
    to: 'failing',
    act: ['tell_failed', 'retry_later'],
    why: 'the first failure is told once, and never by the road that failed (LOG-30)',
  },
  { from: ['failing'], on: 'failed', to: 'failing', act: ['retry_later'], why: 'further failures are silent (LOG-30)' },
  {
    from: ['failing'],
    on: 'sent',
    to: 'working',
    act: ['tell_works', 'go_on'],
    why: 'the first success is told once; the next failure is the first one again (LOG-30)',
  },
  { from: ['working'], on: 'sent', to: 'working', act: ['go_on'], why: 'nothing to tell' },
];

export function cyclicStep(
  phase: CyclicPhase,
  fact: CyclicFact,
): readonly [next: CyclicPhase, acts: readonly CyclicAct[]] {
  const row = findRow(CYCLIC_TABLE, phase, fact);
  return row ? [row.to, row.act] : [phase, []];
}
