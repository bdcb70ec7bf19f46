/**
 * A folder beside a stream's position stands for "the replica was complete and nothing was left out since". Unlike a
 * state file it can be taken back within the call that takes it back, and on a full disk, too: a crash finds no claim
 * that was withdrawn already (I3).
 */
import type { World } from './world.js';

export class ReplicaClaim {
  constructor(
    readonly world: World,
    readonly folder: string,
  ) {}

  get stands(): boolean {
    return this.world.places.kind(this.folder) === 'directory';
  }

  make(): void {
    try {
      this.world.places.ensureDirectory(this.folder);
    } catch {
      // Full, or not ours any more: after a crash it is mirrored once more than needed.
    }
  }

  withdraw(): void {
    this.world.places.removeTree(this.folder);
  }
}
