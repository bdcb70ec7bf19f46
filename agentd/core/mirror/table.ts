/** Life of a connection's mirror. */
import type { Row } from '../machine.js';

/**
 * idle: nothing is mirrored. wanted: asked for, waits for the link. starting: told to the engine.
 * mirroring: the engine walks and sends. paused: position kept (MIR-06).
 */
export type MirrorPhase = 'idle' | 'wanted' | 'starting' | 'mirroring' | 'paused';

export type MirrorFact =
  | 'asked'
  | 'link_ready'
  | 'started'
  | 'done'
  | 'stopped'
  | 'broken_repair'
  | 'broken_wait'
  | 'stream_closed'
  | 'pause'
  | 'resume'
  | 'stop';

export type MirrorAct =
  | 'start_mirror'
  | 'pause_mirror'
  | 'resume_mirror'
  | 'stop_mirror'
  | 'complete'
  | 'incomplete'
  | 'tell_required'
  | 'tell_remirror'
  | 'tell_started'
  | 'tell_stopped'
  | 'tell_paused'
  | 'tell_resumed';

export const MIRROR_TABLE: readonly Row<MirrorPhase, MirrorFact, MirrorAct>[] = [
  {
    from: ['idle', 'wanted'],
    on: 'asked',
    to: 'wanted',
    act: [],
    why: 'a person or the start of the connection asked (MIR-05, CON-28)',
  },
  { from: ['wanted'], on: 'link_ready', to: 'starting', act: ['start_mirror'], why: 'the link is up' },
  { from: ['wanted', 'starting'], on: 'started', to: 'mirroring', act: ['tell_started'], why: 'the engine walks' },
  {
    from: ['starting', 'mirroring'],
    on: 'done',
    to: 'idle',
    act: ['complete'],
    why: 'everything was sent and applied; the replica equals the source (MIR-01)',
  },
  {
    from: ['starting', 'mirroring', 'paused'],
    on: 'stopped',
    to: 'idle',
    act: ['incomplete', 'tell_stopped'],
    why: 'the engine gave up; a later start mirrors the whole set again (MIR-08)',
  },
  { from: ['mirroring'], on: 'pause', to: 'paused', act: ['pause_mirror', 'tell_paused'], why: 'MIR-06' },
  { from: ['paused'], on: 'resume', to: 'mirroring', act: ['resume_mirror', 'tell_resumed'], why: 'MIR-07' },
  {
    from: ['starting', 'mirroring', 'paused'],
    on: 'stop',
    to: 'idle',
    act: ['stop_mirror', 'incomplete', 'tell_stopped'],
    why: 'MIR-08',
  },
  { from: ['wanted'], on: 'stop', to: 'idle', act: ['incomplete', 'tell_stopped'], why: 'MIR-08, before it began' },
  {
    from: ['idle', 'wanted', 'starting', 'mirroring', 'paused'],
    on: 'broken_repair',
    to: 'wanted',
    act: ['incomplete', 'tell_remirror'],
    why: 'the stream has a gap and auto-remirror is on (MIR-30..32)',
  },
  { from: ['wanted'], on: 'broken_wait', to: 'wanted', act: ['incomplete'], why: 'a mirror comes anyway' },
  {
    from: ['idle', 'starting', 'mirroring', 'paused'],
    on: 'broken_wait',
    to: 'idle',
    act: ['incomplete', 'tell_required'],
    why: 'the stream has a gap and a person has to start the mirror (MIR-33)',
  },
  {
    from: ['starting', 'mirroring', 'paused'],
    on: 'stream_closed',
    to: 'wanted',
    act: ['incomplete'],
    why: 'the source went away in the middle; it begins again when it is back (MIR-34)',
  },
];
