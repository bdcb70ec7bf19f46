/** Whether a connection with a link moves on (I3). The other states say what it is; this says that it stands still. */
import type { Row } from '../machine.js';

/** moving: it moves, or nothing waits. still: something waits, not for long. stalled: for longer than the limit. */
export const STALL_PHASE = ['moving', 'still', 'stalled'] as const;
export type StallPhase = (typeof STALL_PHASE)[number];
export type StallFact = 'moved' | 'excused' | 'waits' | 'limit_reached' | 'cause_changed';
export type StallAct = 'tell_stalled' | 'tell_moves' | 'touch';

export const STALL_TABLE: readonly Row<StallPhase, StallFact, StallAct>[] = [
  {
    from: ['moving'],
    on: 'waits',
    to: 'still',
    act: [],
    why: 'something waits, and the target has applied nothing since',
  },
  { from: ['still'], on: 'moved', to: 'moving', act: [], why: 'it was slow, not stalled' },
  {
    from: ['still'],
    on: 'excused',
    to: 'moving',
    act: [],
    why: 'it waits on purpose, or has no link: other states say so',
  },
  {
    from: ['still'],
    on: 'limit_reached',
    to: 'stalled',
    act: ['tell_stalled', 'touch'],
    why: 'the link is up, something waits, and nothing moved for the time of `connection.stall_s`',
  },
  {
    from: ['stalled'],
    on: 'cause_changed',
    to: 'stalled',
    act: ['tell_stalled', 'touch'],
    why: 'more is known, or something else holds it up now',
  },
  { from: ['stalled'], on: 'moved', to: 'moving', act: ['tell_moves', 'touch'], why: 'it ends by itself' },
  {
    from: ['stalled'],
    on: 'excused',
    to: 'moving',
    act: ['touch'],
    why: 'the link went down or somebody paused it, which is told in its own words',
  },
];
