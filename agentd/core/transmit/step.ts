/** The gate: asked each second what holds, it answers what is sent (TRN-06). Pure. */
import { CLOCK_STEP_MS } from '../../../protocol/limits.js';
import type { SessionStart, TransmitSettings } from '../../../protocol/messages/transmit.js';
import type { WallTime } from '../../../protocol/units.js';
import { findRow } from '../machine.js';
import type { Zone } from './calendar.js';
import { isScheduled, spanMs, startReached, startsAround, windowOpen } from './limits.js';
import {
  MANUAL_TABLE,
  type ManualAct,
  type ManualFact,
  type ManualPhase,
  SESSION_TABLE,
  type SessionAct,
  type SessionFact,
  type SessionPhase,
} from './table.js';

export interface Session {
  readonly since: WallTime;
  readonly cause: SessionStart;
}

export interface GateState {
  readonly phase: SessionPhase;
  /** Session starts up to here were taken or passed over. */
  readonly considered: WallTime;
  /** When the gate was asked last. */
  readonly asked: WallTime;
  /** Only in phase `session`. */
  readonly session: Session | null;
}

export const gateStart = (now: WallTime): GateState => ({
  phase: 'realtime',
  considered: now,
  asked: now,
  session: null,
});

export interface GateFacts {
  readonly settings: TransmitSettings;
  readonly zone: Zone;
  readonly now: WallTime;
  /** Since the gate was asked last, by a clock that nobody sets; null: that was before this process. */
  readonly elapsedMs: number | null;
  readonly queue: QueueUse;
  /** The links are up, the queues empty, and nothing is mirrored or verified. */
  readonly drained: boolean;
  /** The engine held a batch back because the byte limit of the session has no room for it. */
  readonly budgetSpent: boolean;
}

export interface QueueUse {
  readonly bytes: number;
  /** Of the fullest queue, 0..100. */
  readonly percent: number;
}

export interface GateEffect {
  readonly act: SessionAct;
  readonly fact: SessionFact;
  /** The session that begins or ends. */
  readonly session: Session | null;
}

/** A correction of the clock up to this repeats no session start. */
const SMALL_STEP_MS = 60_000;

/** Everything that follows from the facts of this second. */
export function gateStep(state: GateState, facts: GateFacts): readonly [GateState, readonly GateEffect[]] {
  let next = clockSet(state, facts);
  const effects: GateEffect[] = [];
  let outside = false;
  // Each fact ends a phase or is told once, so this ends: `realtime`, `waiting`, `session`, and no further.
  for (let turn = 0; turn < 4; turn += 1) {
    const fact = observe(next, facts);
    if (fact === null || (fact === 'start_outside' && outside)) break;
    outside ||= fact === 'start_outside';
    const moved = move(next, fact, facts.now);
    if (!moved) break;
    next = moved[0];
    effects.push(...moved[1]);
    // What holds now was seen before the session: its limits count from the next second on.
    if (fact in CAUSE) break;
  }
  return [{ ...next, considered: Math.max(next.considered, facts.now), asked: facts.now }, effects];
}

/** A person asks for a session. @returns null when that is not possible now; `windowOpen` tells why */
export function gateAsk(state: GateState, facts: GateFacts): readonly [GateState, readonly GateEffect[]] | null {
  if (!windowOpen(facts.settings, facts.zone, facts.now)) return null;
  return move({ ...clockSet(state, facts), asked: facts.now }, 'start_asked', facts.now);
}

/** Session starts that lie before a change of the settings do not count any more. */
export const gateRearmed = (state: GateState, now: WallTime): GateState => ({ ...state, considered: now });

/** The clock was put forward or back: a session becomes neither shorter nor longer by it, and no start is left out for long. */
function clockSet(state: GateState, { now, elapsedMs }: GateFacts): GateState {
  const passed = now - state.asked;
  const step = Math.round(passed - (elapsedMs ?? Math.max(0, passed)));
  if (step === 0 || (elapsedMs !== null && Math.abs(step) < CLOCK_STEP_MS)) return state;
  return {
    ...state,
    asked: now,
    considered: step < -SMALL_STEP_MS ? Math.min(state.considered, now) : state.considered,
    session: state.session && { ...state.session, since: state.session.since + step },
  };
}

function observe(state: GateState, facts: GateFacts): SessionFact | null {
  const { settings, zone, now, queue } = facts;
  const scheduled = isScheduled(settings);
  if (state.phase === 'realtime') return scheduled ? 'scheduled' : null;
  if (!scheduled) return 'unscheduled';
  const open = windowOpen(settings, zone, now);
  if (state.phase === 'session') {
    if (!open) return 'window_closed';
    const { time } = settings.stop;
    if (time && state.session && now - state.session.since >= spanMs(time)) return 'time_limit';
    if (settings.stop.bytes !== null && facts.budgetSpent) return 'byte_limit';
    return facts.drained ? 'drained' : null;
  }
  const { last } = startsAround(settings, zone, now);
  if (last !== null && last > state.considered) return open ? 'start_due' : 'start_outside';
  const { thresholdPercent, thresholdBytes } = settings.start;
  const full =
    (thresholdPercent !== null && queue.percent >= thresholdPercent) ||
    (thresholdBytes !== null && queue.bytes >= thresholdBytes);
  return full && open && startReached(settings, zone, now) ? 'threshold_reached' : null;
}

const CAUSE: Partial<Record<SessionFact, SessionStart>> = {
  start_due: 'session start',
  threshold_reached: 'queue threshold',
  start_asked: 'by hand',
};

function move(state: GateState, fact: SessionFact, now: WallTime): readonly [GateState, readonly GateEffect[]] | null {
  const row = findRow(SESSION_TABLE, state.phase, fact);
  if (!row) return null;
  const cause = CAUSE[fact];
  const session = row.to !== 'session' ? null : cause ? { since: now, cause } : state.session;
  const effects = row.act.map((act) => ({ act, fact, session: session ?? state.session }));
  return [{ ...state, phase: row.to, session }, effects];
}

/** @returns null when a person cannot do that now */
export function manualStep(phase: ManualPhase, fact: ManualFact): readonly [ManualPhase, readonly ManualAct[]] | null {
  const row = findRow(MANUAL_TABLE, phase, fact);
  return row && [row.to, row.act];
}

export interface Transmission {
  /** A network connection shall be. */
  readonly link: boolean;
  /** Data is held although there is a link. */
  readonly hold: boolean;
}

/** What both lives say together. */
export function transmission(session: SessionPhase, manual: ManualPhase): Transmission {
  return { link: manual !== 'stopped' && session !== 'waiting', hold: manual === 'paused' };
}
