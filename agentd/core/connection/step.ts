/** The next state of a data link and what to do about it. Pure. */
import { LINK_REFUSED_RETRY_MS, LINK_RETRY_MS_MAX, LINK_RETRY_MS_MIN } from '../../../protocol/limits.js';
import type { ConnectionPhase } from '../../../protocol/messages/connection.js';
import type { WallTime } from '../../../protocol/units.js';
import { backoffMs } from '../backoff.js';
import { findRow } from '../machine.js';
import { LINK_TABLE, type LinkAct, type LinkFact } from './table.js';

export interface LinkState {
  readonly phase: ConnectionPhase;
  readonly since: WallTime;
  /** Tries in a row that did not end in a link. */
  readonly failures: number;
}

export interface LinkEffect {
  readonly act: LinkAct;
  /** For `retry_soon` and `retry_seldom`. */
  readonly inMs: number;
}

export const linkStart = (now: WallTime): LinkState => ({ phase: 'opening', since: now, failures: 0 });

/** @param random 0 <= random < 1, spreads retries */
export function linkStep(
  state: LinkState,
  fact: LinkFact,
  now: WallTime,
  random: number,
): readonly [LinkState, readonly LinkEffect[]] {
  const row = findRow(LINK_TABLE, state.phase, fact);
  // The answer to a question nobody asks any more, such as a late event of a closed stream.
  if (!row) return [state, []];
  const failures = failuresAfter(state.failures, fact);
  const effects = row.act.map((act): LinkEffect => ({ act, inMs: waitFor(act, failures, random) }));
  const since = row.to === state.phase ? state.since : now;
  return [{ phase: row.to, since, failures }, effects];
}

function failuresAfter(failures: number, fact: LinkFact): number {
  switch (fact) {
    case 'link_up':
    case 'source_ready':
    case 'release':
      return 0;
    case 'link_down':
    case 'link_refused':
      return failures + 1;
    default:
      return failures;
  }
}

function waitFor(act: LinkAct, failures: number, random: number): number {
  if (act === 'retry_soon') return backoffMs({ minMs: LINK_RETRY_MS_MIN, maxMs: LINK_RETRY_MS_MAX }, failures, random);
  if (act === 'retry_seldom')
    return backoffMs({ minMs: LINK_REFUSED_RETRY_MS / 8, maxMs: LINK_REFUSED_RETRY_MS }, failures, random);
  return 0;
}
