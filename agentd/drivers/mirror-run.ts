/** The mirror of one connection, driven by its table in core. */
import { failure } from '../../protocol/errors.js';
import type { MirrorOptions } from '../../protocol/messages/mirror.js';
import { backoffMs } from '../core/backoff.js';
import { type MirrorState, mirrorCall, mirrorStep, mirrorText } from '../core/mirror/step.js';
import type { MirrorAct, MirrorFact } from '../core/mirror/table.js';
import { remirrorOptions } from '../core/settings/settings.js';
import type { ReplicaClaim } from './replica-claim.js';
import type { StoredConnection } from './stored.js';
import type { World } from './world.js';

/** A mirror that the engine gave up is begun again after this, longer each time. */
const REMIRROR_BACKOFF = { minMs: 1_000, maxMs: 60_000 };
const ASKED = 'asked by a person';

export interface MirrorOwner {
  readonly world: World;
  readonly id: number;
  readonly at: { id: number; set: string; target: string };
  readonly scope: { set: string; connection: number; server: string };
  readonly handle: number | null;
  /** Link and capture are there. */
  canMirror(): boolean;
  /** Mirror bytes sent and skipped so far. */
  mirrorBytes(): number;
  changed(persist: boolean): void;
  readonly replication: boolean;
  readonly claim: ReplicaClaim;
}

export class MirrorRun {
  state: MirrorState;
  /** Mirror bytes sent and skipped before the running mirror began. */
  base = 0;
  /** What the running mirror has passed already may have changed unseen: another one follows. */
  again = false;
  /**
   * Starts that the engine has not confirmed yet. It answers each in order, so whatever ends before that is an earlier
   * walk, and says nothing about the one that was asked for since.
   */
  #unconfirmed = 0;
  #failures = 0;
  #stopReason = ASKED;
  #cancelRepair: (() => void) | null = null;

  constructor(
    readonly owner: MirrorOwner,
    stored: StoredConnection['mirror'],
  ) {
    // While replication is stopped nobody believes in the replica anyway; starting it mirrors.
    const stands = !owner.replication || owner.claim.stands;
    this.state = restored(stored, stands, this.#auto());
  }

  /** One will begin again by itself after a while. */
  get repairDue(): boolean {
    return this.#cancelRepair !== null;
  }

  /** What a person asks. @throws Failure NOT_POSSIBLE_NOW */
  ask(action: string, fact: MirrorFact, options: MirrorOptions | null = null): void {
    if (fact === 'stop') this.end();
    if (this.fact(fact, options)) return;
    throw failure('NOT_POSSIBLE_NOW', {
      action: `${action} of the mirror`,
      id: this.owner.id,
      state: this.state.phase,
    });
  }

  /** Says that something is missing on the target; repairs by itself where the setting allows (MIR-32, MIR-33). */
  broken(): void {
    if (this.state.phase === 'wanted') {
      // One comes anyway, as it was asked for; until then the replica is not what it was.
      this.fact('broken_wait');
      return;
    }
    const options = this.#auto();
    this.fact(options ? 'broken_repair' : 'broken_wait', options);
  }

  /** Begins what is wanted as soon as it can. */
  begin(): void {
    if (this.state.phase === 'wanted' && this.owner.canMirror()) this.fact('link_ready');
  }

  /** The engine begins the walk that was asked for. */
  started(): void {
    if (this.#unconfirmed > 0) this.#unconfirmed -= 1;
    if (this.#unconfirmed === 0) this.fact('started');
  }

  /** Nothing that was asked of the stream that ends here is answered any more. */
  streamClosed(): void {
    this.#unconfirmed = 0;
    if (this.state.phase !== 'idle' && this.state.phase !== 'wanted') this.fact('stream_closed');
  }

  done(): void {
    if (this.#unconfirmed > 0) return;
    this.#failures = 0;
    this.fact('done');
    if (!this.again) return;
    this.again = false;
    this.broken();
    this.begin();
  }

  /** The engine ended it before it was done. */
  gaveUp(why: string): void {
    if (this.#unconfirmed > 0) return;
    this.#stopReason = why;
    if (!this.fact('stopped')) return;
    const options = this.#auto();
    if (!options) return;
    this.#failures += 1;
    const { clock } = this.owner.world;
    this.#cancelRepair?.();
    this.#cancelRepair = clock.after(backoffMs(REMIRROR_BACKOFF, this.#failures, clock.random()), () => {
      this.#cancelRepair = null;
      if (this.state.phase !== 'idle' || this.state.complete) return;
      this.fact('broken_repair', options);
      this.begin();
    });
  }

  /** Nothing begins by itself any more. */
  end(): void {
    this.#cancelRepair?.();
    this.#cancelRepair = null;
  }

  fact(fact: MirrorFact, options: MirrorOptions | null = null): boolean {
    const stepped = mirrorStep(this.state, fact, options);
    if (!stepped) return false;
    const [next, acts] = stepped;
    // A mirror tells all of it anew: until its end nothing vouches for what is there (I3).
    if (acts.includes('start_mirror') || (this.state.complete && !next.complete)) this.owner.claim.withdraw();
    if (acts.includes('complete') && this.owner.replication) this.owner.claim.make();
    this.state = next;
    for (const act of acts) this.#perform(act);
    this.owner.changed(true);
    return true;
  }

  #auto(): MirrorOptions | null {
    return remirrorOptions(this.owner.world.settings['source.remirror']);
  }

  #perform(act: MirrorAct): void {
    const { handle, at, scope, world } = this.owner;
    const { engine, log } = world;
    switch (act) {
      case 'start_mirror':
        if (handle === null || !this.state.options) return;
        this.base = this.owner.mirrorBytes();
        this.#unconfirmed += 1;
        engine.mirrorStart(handle, mirrorCall(this.state.options, world.settings['source.checksum_all']));
        return;
      case 'pause_mirror':
        if (handle !== null) engine.mirrorPause(handle);
        return;
      case 'resume_mirror':
        if (handle !== null) engine.mirrorResume(handle);
        return;
      case 'stop_mirror':
        if (handle !== null) engine.mirrorStop(handle);
        return;
      case 'tell_started':
        log.say('MIRROR_STARTED', { ...at, kind: mirrorText(this.state.options) }, scope);
        return;
      case 'tell_stopped':
        log.say('MIRROR_STOPPED', { ...at, why: this.#stopReason }, scope);
        this.#stopReason = ASKED;
        return;
      case 'tell_paused':
        log.say('MIRROR_PAUSED', at, scope);
        return;
      case 'tell_resumed':
        log.say('MIRROR_RESUMED', at, scope);
        return;
      case 'tell_remirror':
        log.say('AUTO_REMIRROR', { ...at, kind: mirrorText(this.state.options) }, scope);
        return;
      case 'tell_required':
        log.say('MIRROR_REQUIRED', at, scope);
        return;
      case 'complete':
      case 'incomplete':
        // Kept in the state itself.
        return;
    }
  }
}

/**
 * After a restart the engine walks nothing: what was under way begins again, a pause stays a pause (MIR-34).
 * @param stands the claim of a complete replica; gone, what took it back was not written down before the run ended
 */
function restored(stored: StoredConnection['mirror'], stands: boolean, auto: MirrorOptions | null): MirrorState {
  switch (stored.phase) {
    case 'starting':
    case 'mirroring':
      return { phase: 'wanted', complete: false, options: auto ?? stored.options };
    case 'wanted':
      return { phase: 'wanted', complete: false, options: stored.options };
    case 'paused':
      return { phase: 'idle', complete: false, options: null };
    case 'idle':
      if (stored.complete && !stands && auto) return { phase: 'wanted', complete: false, options: auto };
      return { phase: 'idle', complete: stored.complete && stands, options: null };
  }
}
