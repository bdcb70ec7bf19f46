/** Tells a connection that stands still from one that is slow, waits on purpose, or has nothing to do. Pure. */
import { STALL_WIRE_BYTES_MIN } from '../../../protocol/limits.js';
import type { StallCause } from '../../../protocol/messages/connection.js';
import type { WallTime } from '../../../protocol/units.js';
import { findRow } from '../machine.js';
import { STALL_TABLE, type StallAct, type StallFact, type StallPhase } from './table.js';

/** What the counters of the engine say of movement. */
export interface Marks {
  readonly sequence: number;
  readonly applied: number;
  readonly queuedOps: number;
  readonly unappliedMs: number;
  readonly quietMs: number;
  readonly sentBytes: number;
  readonly skippedMirrorBytes: number;
  readonly mirrorFilesDone: number;
  readonly wireBytes: number;
  readonly targetQueuedBytes: number;
  readonly targetRetrying: boolean;
  /** The source captures. Until then it looks at everything, as long as that takes, and only what is on its way counts. */
  readonly capturing: boolean;
}

export interface StallFacts {
  /** Null: no link, or it waits on purpose (paused, scheduled, limited, a task runs). */
  readonly marks: Marks | null;
  /** errno of the operation that the target tries again, as it told. */
  readonly errno: string | null;
  readonly limitMs: number;
  /** A target that was heard within this time is not silent. */
  readonly freshMs: number;
  /** Since the last look, as far as this process was awake. */
  readonly elapsedMs: number;
}

export interface StallState {
  readonly phase: StallPhase;
  readonly marks: Marks | null;
  readonly stillMs: number;
  /** Only while stalled. */
  readonly cause: StallCause | null;
  readonly since: WallTime | null;
}

export const STALL_START: StallState = { phase: 'moving', marks: null, stillMs: 0, cause: null, since: null };

const fresh = (marks: Marks, freshMs: number): boolean => marks.quietMs >= 0 && marks.quietMs <= freshMs;

/** Something is owed: batches that are not applied, or changes that are not even in one. */
const waits = (marks: Marks): boolean =>
  marks.sequence > marks.applied || (marks.capturing && (marks.queuedOps > 0 || marks.unappliedMs > 0));

function moved(before: Marks, now: Marks, freshMs: number): boolean {
  if (now.applied !== before.applied) return true;
  // A silent target moves nothing, however much the system still takes from us.
  if (!fresh(now, freshMs)) return false;
  return (
    now.sentBytes !== before.sentBytes ||
    now.skippedMirrorBytes !== before.skippedMirrorBytes ||
    now.mirrorFilesDone !== before.mirrorFilesDone ||
    now.wireBytes - before.wireBytes >= STALL_WIRE_BYTES_MIN
  );
}

/** The nearest to the source that is known to stand still. */
export function stallCause(marks: Marks, errno: string | null, freshMs: number): StallCause {
  // Heartbeats travel in the stream, so a source that works always owes one to a target that does not answer.
  if (marks.sequence === marks.applied) return 'source_blocked';
  if (!fresh(marks, freshMs)) return 'target_silent';
  if (marks.targetRetrying) return errno === 'ENOSPC' || errno === 'EDQUOT' ? 'target_full' : 'target_retrying';
  return marks.targetQueuedBytes > 0 ? 'apply_blocked' : 'network_blocked';
}

/** @returns the next state and what to do about it; never throws */
export function stallStep(
  state: StallState,
  facts: StallFacts,
  now: WallTime,
): readonly [StallState, readonly StallAct[]] {
  const { marks } = facts;
  const still = marks !== null && state.marks !== null && waits(marks) && !moved(state.marks, marks, facts.freshMs);
  const stillMs = still ? state.stillMs + facts.elapsedMs : 0;
  const fact = factOf(state, facts, still, stillMs);
  const row = findRow(STALL_TABLE, state.phase, fact);
  const phase = row?.to ?? state.phase;
  const stalled = phase === 'stalled' && marks !== null;
  return [
    {
      phase,
      marks,
      stillMs,
      cause: stalled ? stallCause(marks, facts.errno, facts.freshMs) : null,
      since: stalled ? (state.since ?? now - stillMs) : null,
    },
    row?.act ?? [],
  ];
}

function factOf(
  state: StallState,
  { marks, errno, limitMs, freshMs }: StallFacts,
  still: boolean,
  stillMs: number,
): StallFact {
  if (marks === null || state.marks === null) return 'excused';
  if (!still) return 'moved';
  if (state.phase === 'moving') return 'waits';
  if (state.phase === 'still') return limitMs > 0 && stillMs >= limitMs ? 'limit_reached' : 'waits';
  return limitMs === 0 ? 'excused' : stallCause(marks, errno, freshMs) === state.cause ? 'waits' : 'cause_changed';
}
