/** The transmission of one connection: what a person wants of it, and what its target address allows. */
import type { ConnectionStatistics } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import type { SetState } from '../../protocol/messages/set.js';
import type { LinkState } from '../core/connection/step.js';
import type { LinkFact } from '../core/connection/table.js';
import { manualStep, type Transmission, transmission } from '../core/transmit/step.js';
import type { ManualAct, ManualFact, ManualPhase } from '../core/transmit/table.js';
import type { Instant } from '../../protocol/units.js';
import type { Line } from './transmit-line.js';
import type { World } from './world.js';

export interface TransmitOwner {
  readonly world: World;
  readonly id: number;
  readonly at: { id: number; set: string; target: string };
  readonly scope: { set: string; connection: number; server: string };
  readonly handle: number | null;
  readonly link: LinkState;
  /** When the link came up, if it did. */
  readonly linkedAt: Instant | null;
  readonly sourceState: SetState;
  /** A mirror or verification is wanted or runs. */
  readonly walking: boolean;
  linkFact(fact: LinkFact): void;
  changed(persist: boolean): void;
}

/** `out`: it can do nothing by itself, so nobody waits for it. */
export type Progress = 'busy' | 'done' | 'out';

const SETTLED_MS = 1_000;
const ADVICE: Record<ManualFact, string> = {
  start: 'It is not stopped.',
  pause: 'A stopped transmission is begun with `understudy transmit start`.',
  resume: 'It is not paused; a stopped transmission is begun with `understudy transmit start`.',
  stop: 'It is stopped already.',
};
const STATE: Record<ManualPhase, string> = { flowing: 'started', paused: 'paused', stopped: 'stopped' };

export class TransmitRun {
  constructor(
    readonly owner: TransmitOwner,
    public phase: ManualPhase,
    readonly line: Line,
  ) {}

  get allowed(): Transmission {
    return transmission(this.line.gate.phase, this.phase);
  }

  /** TRN-02. @throws Failure TRANSMIT_NOT_NOW, TRANSMIT_WINDOW_CLOSED */
  ask(fact: ManualFact): void {
    const { owner, line } = this;
    const waiting = line.gate.phase === 'waiting';
    if (fact === 'start' && waiting) line.checkWindow();
    const stepped = manualStep(this.phase, fact);
    if (!stepped && !(fact === 'start' && this.phase === 'flowing' && waiting)) {
      const state = waiting && this.phase === 'flowing' ? 'scheduled' : STATE[this.phase];
      throw failure('TRANSMIT_NOT_NOW', { action: fact, id: owner.id, state, advice: ADVICE[fact] });
    }
    if (stepped) {
      this.phase = stepped[0];
      for (const act of stepped[1]) this.#perform(act);
    }
    if (fact === 'start' && waiting) line.begin();
    owner.changed(true);
  }

  #perform(act: ManualAct): void {
    const { world, at, scope } = this.owner;
    switch (act) {
      case 'apply':
        this.apply();
        return;
      case 'tell_started':
        world.log.say('TRANSMIT_STARTED', at, scope);
        return;
      case 'tell_paused':
        world.log.say('TRANSMIT_PAUSED', at, scope);
        return;
      case 'tell_resumed':
        world.log.say('TRANSMIT_RESUMED', at, scope);
        return;
      case 'tell_stopped':
        world.log.say('TRANSMIT_STOPPED', at, scope);
        return;
    }
  }

  /** Brings link and engine in step with what is allowed. */
  apply(): void {
    const { owner } = this;
    const { link, hold } = this.allowed;
    if (owner.handle !== null) owner.world.engine.transmitPause(owner.handle, hold);
    if (link && owner.link.phase === 'held') owner.linkFact('release');
    if (!link && owner.link.phase !== 'opening' && owner.link.phase !== 'held') owner.linkFact('hold');
  }

  /** A stream was opened. */
  opened(handle: number): void {
    if (this.allowed.hold) this.owner.world.engine.transmitPause(handle, true);
    this.line.opened(handle);
  }

  counters(): ConnectionStatistics | null {
    const { handle, world } = this.owner;
    return handle === null ? null : world.engine.connectionStatistics(handle);
  }

  /** Whether a session still has something to do here. */
  progress(counters: ConnectionStatistics | null): Progress {
    const { owner } = this;
    if (this.phase !== 'flowing' || owner.link.phase === 'refused' || owner.link.phase === 'closed') return 'out';
    if (owner.sourceState !== 'watching' && owner.sourceState !== 'opening' && owner.sourceState !== 'rescanning')
      return 'out';
    if (owner.sourceState !== 'watching' || owner.link.phase !== 'linked' || counters === null) return 'busy';
    const { linkedAt } = owner;
    if (linkedAt === null || owner.world.clock.steady() - linkedAt < SETTLED_MS) return 'busy';
    return owner.walking || counters.mirror !== 'idle' || counters.queuedOps > 0 ? 'busy' : 'done';
  }
}
