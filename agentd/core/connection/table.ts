/** Life of a connection's data link. Docs, tests and the driver read this table. */
import type { ConnectionPhase } from '../../../protocol/messages/connection.js';
import type { Row } from '../machine.js';

export type LinkFact =
  | 'source_ready'
  | 'source_ready_held'
  | 'source_gone'
  | 'link_up'
  | 'link_down'
  | 'link_refused'
  | 'retry_due'
  | 'hold'
  | 'release'
  | 'removed';
export type LinkAct =
  | 'open_stream'
  | 'close_stream'
  | 'forget_stream'
  | 'reconnect'
  | 'hang_up'
  | 'dial'
  | 'retry_soon'
  | 'retry_seldom'
  | 'tell_up'
  | 'tell_down'
  | 'tell_unreachable'
  | 'tell_refused';

export const LINK_TABLE: readonly Row<ConnectionPhase, LinkFact, LinkAct>[] = [
  {
    from: ['opening'],
    on: 'source_ready',
    to: 'linking',
    act: ['open_stream'],
    why: 'the capture is open; its first look is told to this stream, too',
  },
  {
    from: ['opening'],
    on: 'source_ready_held',
    to: 'held',
    act: ['open_stream'],
    why: 'changes are captured and queued, and there is no link: stopped by a person or by the schedule (CON-03, CON-05)',
  },
  { from: ['opening'], on: 'source_gone', to: 'opening', act: [], why: 'still waiting for the source' },
  {
    from: ['linking', 'linked', 'waiting', 'refused', 'held'],
    on: 'source_gone',
    to: 'opening',
    act: ['close_stream'],
    why: 'a stream needs its source; the position is kept',
  },
  {
    from: ['linking', 'waiting', 'refused'],
    on: 'link_up',
    to: 'linked',
    act: ['tell_up'],
    why: 'the target granted the stream (CON-02)',
  },
  {
    from: ['linking'],
    on: 'link_down',
    to: 'waiting',
    act: ['tell_unreachable', 'retry_soon'],
    why: 'nobody answered (CON-06)',
  },
  {
    from: ['linked'],
    on: 'link_down',
    to: 'waiting',
    act: ['tell_down', 'retry_soon'],
    why: 'the line broke or the target stopped; changes are queued (CON-06)',
  },
  { from: ['waiting'], on: 'link_down', to: 'waiting', act: [], why: 'known already' },
  { from: ['refused'], on: 'link_down', to: 'refused', act: [], why: 'a refusal ends with the end of its link' },
  {
    from: ['linking', 'linked', 'waiting'],
    on: 'link_refused',
    to: 'refused',
    act: ['tell_refused', 'retry_seldom'],
    why: 'the target does not grant it; a person has to act there',
  },
  { from: ['refused'], on: 'link_refused', to: 'refused', act: ['retry_seldom'], why: 'refused again' },
  { from: ['waiting', 'refused'], on: 'retry_due', to: 'linking', act: ['reconnect'], why: 'the wait is over' },
  {
    from: ['opening', 'linking', 'linked', 'waiting', 'refused', 'held'],
    on: 'removed',
    to: 'closed',
    act: ['forget_stream'],
    why: 'a person disconnected it (CON-70)',
  },
  {
    from: ['linking', 'linked', 'waiting', 'refused'],
    on: 'hold',
    to: 'held',
    act: ['hang_up'],
    why: 'transmission was stopped, or its session ended; the stream goes on and its batches wait (CON-03, CON-05)',
  },
  {
    from: ['held'],
    on: 'release',
    to: 'linking',
    act: ['dial'],
    why: 'transmission was started, or a session began (TRN-02, TRN-22)',
  },
];
