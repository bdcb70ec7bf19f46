/** Looks at one connection while it is linked, and says when it stands still (I3). */
import type { ConnectionStatistics } from '../../native/index.js';
import { notice } from '../../protocol/errors.js';
import { STALL_LOOK_MS } from '../../protocol/limits.js';
import type { Stall } from '../../protocol/messages/connection.js';
import type { Notice } from '../../protocol/messages/log.js';
import type { SetState } from '../../protocol/messages/set.js';
import { freshMs } from '../core/connection/heartbeat.js';
import { instant } from '../../protocol/units.js';
import type { LinkState } from '../core/connection/step.js';
import { captures } from '../core/source/table.js';
import { STALL_START, type StallState, stallStep } from '../core/stall/step.js';
import type { StallAct } from '../core/stall/table.js';
import { decodeTrouble, type LinkTrouble } from './hello.js';
import type { TransmitRun } from './transmit-run.js';
import type { World } from './world.js';

export interface StallOwner {
  readonly world: World;
  readonly at: { id: number; set: string; target: string };
  readonly scope: { set: string; connection: number; server: string };
  readonly link: LinkState;
  readonly transmit: TransmitRun;
  readonly sourceState: SetState;
  changed(persist: boolean): void;
}

export class StallRun {
  #state: StallState = STALL_START;
  #trouble: LinkTrouble['trouble'] = null;
  #cancel: (() => void) | null = null;
  #lookedAt = instant(0);

  constructor(readonly owner: StallOwner) {}

  /** While there is no link nothing is looked at. */
  linked(): void {
    this.#trouble = null;
    this.#lookedAt = this.owner.world.clock.steady();
    this.#look();
  }

  down(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#step(null, 0);
  }

  /** The target says which operation it tries again, and why. */
  message(payload: Uint8Array): boolean {
    const told = decodeTrouble(payload);
    if (told) this.#trouble = told.trouble;
    return told !== null;
  }

  get stall(): Stall | null {
    const { cause, since } = this.#state;
    // It is looked at now and then; what a person stops in between does not stand still any more.
    return cause === null || since === null || this.#stopped ? null : { cause, since };
  }

  get problem(): Notice | null {
    const cause = this.stall?.cause;
    if (!cause) return null;
    const { world, at } = this.owner;
    const trouble = cause === 'target_full' || cause === 'target_retrying' ? this.#trouble : null;
    return notice(
      'CONNECTION_STALLED',
      { ...at, cause, seconds: world.settings['connection.stall_s'], path: trouble?.path ?? '' },
      trouble && { call: trouble.call, errno: trouble.errno },
    );
  }

  #look(): void {
    this.#cancel?.();
    const { clock } = this.owner.world;
    // A process that was stopped itself must not look like a target that stands still.
    const elapsed = Math.min(clock.steady() - this.#lookedAt, 2 * STALL_LOOK_MS);
    this.#lookedAt = clock.steady();
    this.#step(this.owner.transmit.counters(), elapsed);
    this.#cancel = clock.after(STALL_LOOK_MS, () => this.#look());
  }

  #step(counters: ConnectionStatistics | null, elapsedMs: number): void {
    const { world } = this.owner;
    const [next, acts] = stallStep(
      this.#state,
      {
        marks:
          counters && !this.#excused(counters) ? { ...counters, capturing: captures(this.owner.sourceState) } : null,
        errno: this.#trouble?.errno ?? null,
        limitMs: world.settings['connection.stall_s'] * 1_000,
        freshMs: freshMs(world.settings),
        elapsedMs,
      },
      world.clock.wall(),
    );
    this.#state = next;
    for (const act of acts) this.#perform(act);
  }

  /** No link, or nothing shall be sent. */
  get #stopped(): boolean {
    const { link, transmit } = this.owner;
    return link.phase !== 'linked' || transmit.phase !== 'flowing' || !transmit.allowed.link;
  }

  /** It waits because somebody wants it to. */
  #excused(counters: ConnectionStatistics): boolean {
    return (
      this.#stopped ||
      !counters.linked ||
      counters.transmitPaused ||
      counters.targetPaused ||
      counters.targetPausing ||
      counters.targetTask ||
      counters.budgetSpent
    );
  }

  #perform(act: StallAct): void {
    const { world, at, scope } = this.owner;
    const { problem } = this;
    switch (act) {
      case 'tell_stalled':
        if (problem) world.log.write(problem, scope);
        return;
      case 'tell_moves':
        world.log.say('CONNECTION_MOVES', at, scope);
        return;
      case 'touch':
        this.owner.changed(false);
        return;
    }
  }
}
