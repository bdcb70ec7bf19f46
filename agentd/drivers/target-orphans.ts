/** What a target does with names that its sources do not have, and what it says of them (MIR-51..60). */
import type { EngineEvent, OrphanOptions } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import { readTotals, replicaAround } from '../core/mapping/orphans.js';
import type { StoredGrant } from './stored.js';
import type { World } from './world.js';

const insideReplica = (folder: string, replica: string): string =>
  `orphans.folder ${folder} lies inside the replica ${replica} or around it: what is moved there would be an orphan again (MIR-58)`;

export class TargetOrphans {
  /** @param replicas every directory that is granted, with links followed */
  constructor(
    readonly world: World,
    readonly replicas: () => readonly string[],
  ) {}

  options(): OrphanOptions {
    const { settings, log } = this.world;
    const folder = settings['orphans.folder'];
    // A file of settings may say what the command line would have refused.
    const replica = settings['orphans.action'] === 'move' ? this.#around(folder, this.replicas()) : null;
    if (replica !== null) log.say('ORPHANS_FOLDER_INSIDE', { folder, replica });
    return {
      action: replica === null ? settings['orphans.action'] : 'none',
      log: settings['orphans.log'],
      ageMs: settings['orphans.age_s'] * 1000,
      folder,
    };
  }

  /** MIR-58: orphans are not moved into a replica. @throws Failure SETTING_INVALID */
  checkSettings(changes: readonly { readonly key: string; readonly value: string | null }[]): void {
    const folder = changes.find((change) => change.key === 'orphans.folder')?.value ?? '';
    const replica = this.#around(folder, this.replicas());
    if (replica !== null) throw failure('SETTING_INVALID', { problem: insideReplica(folder, replica) });
  }

  /** The same for replicas that are to come. @throws Failure MAPPING_INVALID */
  checkReplicas(targets: readonly string[]): void {
    const folder = this.world.settings['orphans.folder'];
    const replica = this.#around(folder, targets);
    if (replica !== null) throw failure('MAPPING_INVALID', { path: replica, problem: insideReplica(folder, replica) });
  }

  /** MIR-52, MIR-57, MIR-60: what became of orphans, in the log of the target. @returns false when the report is about something else */
  told(grant: StoredGrant, event: Extract<EngineEvent, { kind: 'receiver_report' }>): boolean {
    const scope = { server: grant.server, set: grant.set };
    const { log } = this.world;
    const cause = event.code ? { call: event.call, errno: event.code } : null;
    switch (event.what) {
      case 'orphan_found':
        log.say('ORPHAN_FOUND', { ...scope, path: event.detail }, scope);
        return true;
      case 'orphan_moved':
        log.say('ORPHAN_MOVED', { ...scope, path: event.detail }, scope);
        return true;
      case 'orphan_deleted':
        log.say('ORPHAN_DELETED', { ...scope, path: event.detail }, scope);
        return true;
      case 'orphan_not_removed':
        log.say('ORPHAN_NOT_REMOVED', { ...scope, path: event.detail }, scope, cause);
        return true;
      case 'orphans_done': {
        const totals = readTotals(event.detail);
        if (totals) log.say('ORPHANS_DONE', { ...scope, ...totals }, scope);
        return true;
      }
      default:
        return false;
    }
  }

  #around(folder: string, replicas: readonly string[]): string | null {
    return folder === '' ? null : replicaAround(this.world.places.resolve(folder), replicas);
  }
}
