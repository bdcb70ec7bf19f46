/** Removing orphans by hand, from the source's connection (MIR-56). What becomes of them is the target's choice. */
import type { EngineEvent } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import { VERIFY_PATHS_MAX } from '../../protocol/limits.js';
import type { OrphansResult } from '../../protocol/messages/orphans.js';
import type { VerifyOwner } from './verify-run.js';

export class OrphanRun {
  #running: {
    readonly preview: boolean;
    readonly resolve: (result: OrphansResult) => void;
    readonly reject: (error: Error) => void;
  } | null = null;

  constructor(readonly owner: VerifyOwner) {}

  get running(): boolean {
    return this.#running !== null;
  }

  /** @throws Failure NOT_LINKED, NOT_POSSIBLE_NOW, ORPHANS_FAILED */
  async start(preview: boolean, busy: boolean, signal: AbortSignal): Promise<OrphansResult> {
    const { owner } = this;
    const blocked = owner.verifyBlocked();
    if (blocked) throw blocked;
    const { handle, world } = owner;
    if (busy || this.#running || handle === null)
      throw failure('NOT_POSSIBLE_NOW', { action: 'Removing orphans', id: owner.id, state: 'verifying' });
    // MIR-59: names that no include takes in any more are orphans, too.
    const wildcards = owner.wildcards;
    if (wildcards) world.log.say('ORPHANS_WILDCARDS', owner.at, owner.scope);
    const result = new Promise<OrphansResult>((resolve, reject) => {
      this.#running = { preview, resolve, reject };
      try {
        world.engine.orphansStart(handle, preview);
      } catch (error) {
        this.#running = null;
        reject(error as Error);
      }
      owner.changed(false);
    });
    const onAbort = (): void => void this.stop();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await result;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** What was told to the target already is worked off. @returns false when none runs */
  stop(): boolean {
    const { handle, world } = this.owner;
    if (!this.#running) return false;
    this.failed('it was stopped');
    if (handle !== null) world.engine.mirrorStop(handle);
    return true;
  }

  done({ orphans, paths, omitted, ms }: Extract<EngineEvent, { kind: 'orphans_done' }>): void {
    const running = this.#running;
    if (!running) return;
    this.#running = null;
    const { owner } = this;
    owner.world.log.say(running.preview ? 'ORPHANS_PREVIEWED' : 'ORPHANS_TOLD', { ...owner.at, orphans }, owner.scope);
    running.resolve({
      orphans,
      paths: paths.slice(0, VERIFY_PATHS_MAX).map((path) => path.replace(/^orphan /, '')),
      omitted: omitted + Math.max(0, paths.length - VERIFY_PATHS_MAX),
      wildcards: owner.wildcards,
      ms: Math.round(ms),
    });
    owner.changed(false);
  }

  failed(why: string): void {
    const running = this.#running;
    if (!running) return;
    this.#running = null;
    running.reject(failure('ORPHANS_FAILED', { id: this.owner.id, why }));
  }
}
