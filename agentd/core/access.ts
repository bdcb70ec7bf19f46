/** Who may do what (SEC-01..06, DESIGN 3). */
import { ACCESS, type Access } from '../../protocol/schema.js';

export const GROUP_ADMINISTRATOR = 'usadmin';
export const GROUP_MONITOR = 'usmon';

export interface Caller {
  readonly uid: number;
  readonly groups: readonly string[];
}

/**
 * @param agentUid user the agent runs as. An agent of an ordinary user belongs to that user; it can do nothing the
 *                 user could not do.
 */
export function accessOf(caller: Caller, agentUid: number): Access {
  if (caller.uid === 0 || caller.uid === agentUid) return 'administrator';
  if (caller.groups.includes(GROUP_ADMINISTRATOR)) return 'administrator';
  if (caller.groups.includes(GROUP_MONITOR)) return 'monitor';
  return 'none';
}

export function permits(have: Access, need: Access): boolean {
  return ACCESS.indexOf(have) >= ACCESS.indexOf(need);
}

export function groupFor(need: Access): string {
  return need === 'administrator' ? GROUP_ADMINISTRATOR : GROUP_MONITOR;
}
