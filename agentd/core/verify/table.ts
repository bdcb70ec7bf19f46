/** Life of a connection's schedule of verifications (VER-07..10). */
import type { Row } from '../machine.js';

/** off: no schedule. waiting: for its time. due: the time came, not possible yet. running: the scheduled one runs. */
export const SCHEDULE_PHASE = ['off', 'waiting', 'due', 'running'] as const;
export type SchedulePhase = (typeof SCHEDULE_PHASE)[number];
export type ScheduleFact =
  | 'saved'
  | 'cleared'
  | 'time_reached'
  | 'clock_set'
  | 'possible'
  | 'ended'
  | 'ended_last'
  | 'interrupted';
export type ScheduleAct = 'arm' | 'disarm' | 'verify' | 'tell_due' | 'tell_interrupted';

export const SCHEDULE_TABLE: readonly Row<SchedulePhase, ScheduleFact, ScheduleAct>[] = [
  {
    from: ['off', 'waiting', 'due'],
    on: 'saved',
    to: 'waiting',
    act: ['arm'],
    why: 'saving runs nothing; the first time lies ahead (VER-10)',
  },
  { from: ['running'], on: 'saved', to: 'running', act: [], why: 'the new times count when this one has ended' },
  {
    from: ['waiting', 'due', 'running'],
    on: 'cleared',
    to: 'off',
    act: ['disarm'],
    why: 'a person cleared it; what runs goes on',
  },
  { from: ['waiting'], on: 'time_reached', to: 'due', act: ['tell_due'], why: 'VER-07, VER-08' },
  {
    from: ['waiting'],
    on: 'clock_set',
    to: 'waiting',
    act: ['arm'],
    why: 'the clock was put back: times of the series that come again count, so none is left out for long (VER-08)',
  },
  {
    from: ['due'],
    on: 'possible',
    to: 'running',
    act: ['verify'],
    why: 'the link is up and no mirror runs (VER-02)',
  },
  { from: ['running'], on: 'ended', to: 'waiting', act: ['arm'], why: 'until the interval is over (VER-08)' },
  { from: ['running'], on: 'ended_last', to: 'off', act: ['disarm'], why: 'it was asked for once' },
  {
    from: ['running'],
    on: 'interrupted',
    to: 'due',
    act: ['tell_interrupted'],
    why: 'the link or the agent went down in the middle: it is made again when it can',
  },
];
