/** When the next verification is due, and what a fact means for its schedule. Pure. */
import type { VerifySchedule } from '../../../protocol/messages/mirror.js';
import type { WallTime } from '../../../protocol/units.js';
import { findRow } from '../machine.js';
import { SCHEDULE_TABLE, type ScheduleAct, type ScheduleFact, type SchedulePhase } from './table.js';

export interface ScheduleState {
  readonly phase: SchedulePhase;
  readonly schedule: VerifySchedule | null;
  /** When it is or was due; null without a schedule. */
  readonly next: WallTime | null;
}

export const NO_SCHEDULE: ScheduleState = { phase: 'off', schedule: null, next: null };

/** First time of the schedule after `now`; null when there is none any more. */
export function nextTime<S extends Pick<VerifySchedule, 'start' | 'everyMs'>>(
  schedule: S,
  now: WallTime,
): WallTime | null {
  if (schedule.start > now) return schedule.start;
  if (schedule.everyMs === null) return null;
  return schedule.start + (Math.floor((now - schedule.start) / schedule.everyMs) + 1) * schedule.everyMs;
}

export type ScheduleEvent =
  | { readonly kind: 'saved'; readonly schedule: VerifySchedule }
  | { readonly kind: 'cleared' | 'possible' | 'ended' | 'interrupted' }
  /** The clock was looked at. */
  | { readonly kind: 'tick' };

export function scheduleStep(
  state: ScheduleState,
  event: ScheduleEvent,
  now: WallTime,
): readonly [ScheduleState, readonly ScheduleAct[]] {
  const fact = factOf(state, event, now);
  const row = fact === null ? null : findRow(SCHEDULE_TABLE, state.phase, fact);
  if (!row || fact === null) return [state, []];
  const schedule = event.kind === 'saved' ? event.schedule : row.to === 'off' ? null : state.schedule;
  const next = row.act.includes('arm') && schedule ? nextTime(schedule, now) : row.to === 'off' ? null : state.next;
  return [{ phase: row.to, schedule, next }, row.act];
}

/** A correction of the clock up to this repeats no verification. */
const SMALL_STEP_MS = 60_000;

/** No time of a series is further away than its interval, unless the clock was put back. */
function tooFar({ schedule, next }: ScheduleState, now: WallTime): boolean {
  if (!schedule || schedule.everyMs === null || next === null) return false;
  const first = nextTime(schedule, now);
  return next - now > schedule.everyMs + SMALL_STEP_MS && first !== null && first < next;
}

function factOf(state: ScheduleState, event: ScheduleEvent, now: WallTime): ScheduleFact | null {
  switch (event.kind) {
    case 'tick':
      if (state.next === null) return null;
      return state.next <= now ? 'time_reached' : tooFar(state, now) ? 'clock_set' : null;
    case 'ended':
      return state.schedule && nextTime(state.schedule, now) === null ? 'ended_last' : 'ended';
    default:
      return event.kind;
  }
}

/** As found after a restart: what ran is made again, what became due meanwhile is due once (VER-07). */
export function restoredSchedule(stored: ScheduleState | null | undefined): ScheduleState {
  if (!stored?.schedule) return NO_SCHEDULE;
  return stored.phase === 'running' ? { ...stored, phase: 'due' } : stored;
}
