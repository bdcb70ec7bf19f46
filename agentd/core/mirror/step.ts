/** The next state of a mirror and what to do about it. Pure. */
import type { MirrorOptions } from '../../../protocol/messages/mirror.js';
import { findRow } from '../machine.js';
import { MIRROR_TABLE, type MirrorAct, type MirrorFact, type MirrorPhase } from './table.js';

export interface MirrorState {
  readonly phase: MirrorPhase;
  /** The replica held everything when last looked at, and nothing was lost since. */
  readonly complete: boolean;
  /** What to do when the link is ready, or what is being done. */
  readonly options: MirrorOptions | null;
}

export const MIRROR_NONE: MirrorState = { phase: 'idle', complete: false, options: null };

/**
 * @param options for `asked` and `broken_repair`: what to mirror
 * @returns null when the fact is not possible in this phase; the caller answers whoever asked
 */
export function mirrorStep(
  state: MirrorState,
  fact: MirrorFact,
  options: MirrorOptions | null = null,
): readonly [MirrorState, readonly MirrorAct[]] | null {
  const row = findRow(MIRROR_TABLE, state.phase, fact);
  if (!row) return null;
  let complete = state.complete;
  if (row.act.includes('complete')) complete = true;
  if (row.act.includes('incomplete')) complete = false;
  const chosen = fact === 'asked' || fact === 'broken_repair' ? options : row.to === 'idle' ? null : state.options;
  return [{ phase: row.to, complete, options: chosen }, row.act];
}

/** A mirror as words for the log. */
export function mirrorText(options: MirrorOptions | null): string {
  if (!options || options.kind === 'none') return 'none';
  if (options.kind === 'full') return 'full';
  return ['differences', options.checksum ? 'with checksum' : 'with no checksum', options.newer ? 'only if newer' : '']
    .filter(Boolean)
    .join(' ');
}

/** MIR-20..25 as the engine takes them. `all`: compare every file, not only those that look different (SRV-55). */
export function mirrorCall(
  options: MirrorOptions,
  checksumAll: boolean,
): { compare: 'none' | 'attributes' | 'content'; newer: boolean; all: boolean } {
  if (options.kind !== 'difference') return { compare: 'none', newer: false, all: false };
  const newer = options.newer === true;
  if (!options.checksum) return { compare: 'attributes', newer, all: false };
  return { compare: 'content', newer, all: checksumAll && !newer };
}
