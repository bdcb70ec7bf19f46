/** Life of a task command on its source: at most once, and never said to have run or not when that is not known. */
import type { TASK_PHASE } from '../../../protocol/messages/task.js';
import type { Row } from '../machine.js';

export type TaskPhase = (typeof TASK_PHASE)[number];
/** `given_back`: the engine could not put it into the stream. `outcome`: of the target. */
export type TaskFact =
  | 'placed'
  | 'given_back'
  | 'given_up'
  | 'stream_ended'
  | 'restarted'
  | 'outcome'
  | 'connection_removed';
export type TaskAct = 'place_again' | 'ask_and_forbid' | 'settle_not_run' | 'settle_unknown' | 'settle';

export const TASK_TABLE: readonly Row<TaskPhase, TaskFact, TaskAct>[] = [
  {
    from: ['waiting'],
    on: 'placed',
    to: 'placed',
    act: [],
    why: 'everything that changed before the call is in front of it (REP-20)',
  },
  {
    from: ['waiting'],
    on: 'given_back',
    to: 'waiting',
    act: ['place_again'],
    why: 'it was in no stream yet, so trying again cannot run it twice',
  },
  {
    from: ['waiting'],
    on: 'given_up',
    to: 'ended',
    act: ['settle_not_run'],
    why: 'its time to be placed is over, or the caller went',
  },
  {
    from: ['placed'],
    on: 'stream_ended',
    to: 'lost',
    act: ['ask_and_forbid'],
    why: 'the target may have reached it; from now on it must not',
  },
  {
    from: ['waiting', 'placed'],
    on: 'restarted',
    to: 'lost',
    act: ['ask_and_forbid'],
    why: 'a stream does not outlive its agent; it may have been placed a moment before that ended',
  },
  {
    from: ['placed', 'lost', 'waiting'],
    on: 'outcome',
    to: 'ended',
    act: ['settle'],
    why: 'what the target says is how it was',
  },
  {
    from: ['placed', 'lost'],
    on: 'connection_removed',
    to: 'ended',
    act: ['settle_unknown'],
    why: 'nobody is left to ask',
  },
  { from: ['waiting'], on: 'connection_removed', to: 'ended', act: ['settle_not_run'], why: 'it was in no stream' },
];
