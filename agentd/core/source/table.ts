/** Life of a connected set's capture. */
import type { SetState } from '../../../protocol/messages/set.js';
import type { Row } from '../machine.js';

/** What changes from now on is noticed. */
export const captures = (state: SetState): boolean => state === 'watching' || state === 'rescanning';

export type SourceFact =
  | 'wanted'
  | 'root_missing'
  | 'refused'
  | 'opened'
  | 'ready'
  | 'lost'
  | 'stopped'
  | 'continues'
  | 'settled'
  | 'retry_due'
  | 'unwanted';
export type SourceAct =
  | 'open'
  | 'close'
  | 'retry'
  | 'tell_opening'
  | 'tell_missing'
  | 'tell_failed'
  | 'tell_ready'
  | 'tell_lost'
  | 'tell_stopped'
  | 'tell_continues';

export const SOURCE_TABLE: readonly Row<SetState, SourceFact, SourceAct>[] = [
  {
    from: ['idle'],
    on: 'wanted',
    to: 'opening',
    act: ['open', 'tell_opening'],
    why: 'the first connection of the set',
  },
  {
    from: ['opening'],
    on: 'root_missing',
    to: 'missing',
    act: ['tell_missing', 'retry'],
    why: 'a directory is not there; an empty place must not empty a replica (I11)',
  },
  {
    from: ['opening'],
    on: 'refused',
    to: 'failed',
    act: ['tell_failed', 'retry'],
    why: 'the system refused to watch it',
  },
  { from: ['missing', 'failed'], on: 'retry_due', to: 'opening', act: ['open'], why: 'the wait is over' },
  {
    from: ['opening'],
    on: 'ready',
    to: 'watching',
    act: ['tell_ready'],
    why: 'the first look is done and changes are captured',
  },
  { from: ['rescanning', 'stopped'], on: 'ready', to: 'watching', act: ['tell_ready'], why: 'compared again' },
  {
    from: ['watching', 'rescanning'],
    on: 'lost',
    to: 'rescanning',
    act: ['tell_lost'],
    why: 'events were lost: everything is compared again (I3)',
  },
  { from: ['opening'], on: 'lost', to: 'opening', act: ['tell_lost'], why: 'the first look goes on' },
  { from: ['rescanning'], on: 'settled', to: 'watching', act: [], why: 'the engine is current again' },
  {
    from: ['opening', 'watching', 'rescanning'],
    on: 'stopped',
    to: 'stopped',
    act: ['tell_stopped'],
    why: 'root changed or mass delete: nothing is deleted until a person answers (I11)',
  },
  {
    from: ['stopped'],
    on: 'continues',
    to: 'rescanning',
    act: ['tell_continues'],
    why: 'a person answered, or the root is back',
  },
  {
    from: ['opening', 'watching', 'rescanning', 'stopped', 'missing', 'failed'],
    on: 'unwanted',
    to: 'idle',
    act: ['close'],
    why: 'the last connection of the set is gone',
  },
];
