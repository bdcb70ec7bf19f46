/**
 * Two lives decide whether anything is sent (TRN-02, CON-02..05). What a person wants belongs to one connection; the
 * sessions belong to a target address, because all connections to it share their schedule (TRN-07).
 */
import type { Row } from '../machine.js';

export const MANUAL_PHASE = ['flowing', 'paused', 'stopped'] as const;
export type ManualPhase = (typeof MANUAL_PHASE)[number];
export type ManualFact = 'start' | 'pause' | 'resume' | 'stop';
export type ManualAct = 'apply' | 'tell_started' | 'tell_paused' | 'tell_resumed' | 'tell_stopped';

export const MANUAL_TABLE: readonly Row<ManualPhase, ManualFact, ManualAct>[] = [
  {
    from: ['flowing'],
    on: 'pause',
    to: 'paused',
    act: ['apply', 'tell_paused'],
    why: 'the link stays, data is held in the source queue (CON-04)',
  },
  { from: ['paused'], on: 'resume', to: 'flowing', act: ['apply', 'tell_resumed'], why: 'what was held is sent' },
  {
    from: ['flowing', 'paused'],
    on: 'stop',
    to: 'stopped',
    act: ['apply', 'tell_stopped'],
    why: 'the link is closed, data is held in the source queue (CON-03)',
  },
  {
    from: ['stopped'],
    on: 'start',
    to: 'flowing',
    act: ['apply', 'tell_started'],
    why: 'sends as soon as possible, or by the schedule (TRN-01)',
  },
];

export const SESSION_PHASE = ['realtime', 'waiting', 'session'] as const;
export type SessionPhase = (typeof SESSION_PHASE)[number];
export type SessionFact =
  | 'scheduled'
  | 'unscheduled'
  | 'start_due'
  | 'start_outside'
  | 'threshold_reached'
  | 'start_asked'
  | 'window_closed'
  | 'time_limit'
  | 'byte_limit'
  | 'drained';
export type SessionAct = 'apply' | 'begin' | 'end' | 'tell_waits' | 'tell_realtime' | 'tell_outside';

export const SESSION_TABLE: readonly Row<SessionPhase, SessionFact, SessionAct>[] = [
  {
    from: ['realtime'],
    on: 'scheduled',
    to: 'waiting',
    act: ['apply', 'tell_waits'],
    why: 'a start criterion or a window was set: links are made only when it is met (CON-05, TRN-21)',
  },
  {
    from: ['waiting'],
    on: 'unscheduled',
    to: 'realtime',
    act: ['apply', 'tell_realtime'],
    why: 'no criterion is left or limiting was switched off (TRN-01, TRN-04)',
  },
  {
    from: ['session'],
    on: 'unscheduled',
    to: 'realtime',
    act: ['end', 'apply', 'tell_realtime'],
    why: 'the same; the links stay',
  },
  {
    from: ['waiting'],
    on: 'start_due',
    to: 'session',
    act: ['begin', 'apply'],
    why: 'the session start or its interval has come (TRN-10, TRN-11)',
  },
  {
    from: ['waiting'],
    on: 'start_outside',
    to: 'waiting',
    act: ['tell_outside'],
    why: 'the window is closed, and it beats everything (TRN-20)',
  },
  {
    from: ['waiting'],
    on: 'threshold_reached',
    to: 'session',
    act: ['begin', 'apply'],
    why: 'the queue holds enough (TRN-12, TRN-13), and the session start has passed (TRN-14)',
  },
  {
    from: ['waiting'],
    on: 'start_asked',
    to: 'session',
    act: ['begin', 'apply'],
    why: 'a person wants it now (TRN-02), and the window is open (TRN-20)',
  },
  {
    from: ['session'],
    on: 'window_closed',
    to: 'waiting',
    act: ['end', 'apply'],
    why: 'nothing is ever sent outside the window (TRN-20)',
  },
  {
    from: ['session'],
    on: 'time_limit',
    to: 'waiting',
    act: ['end', 'apply'],
    why: 'the session is as long as it may be; the rest stays queued (TRN-15)',
  },
  {
    from: ['session'],
    on: 'byte_limit',
    to: 'waiting',
    act: ['end', 'apply'],
    why: 'the next batch does not fit any more; the rest stays queued (TRN-16, TRN-18)',
  },
  {
    from: ['session'],
    on: 'drained',
    to: 'waiting',
    act: ['end', 'apply'],
    why: 'the queue is empty and nothing is mirrored or verified (TRN-10, TRN-17)',
  },
];
