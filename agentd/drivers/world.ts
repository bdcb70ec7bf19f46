/** What every driver of one agent shares. */
import type { Engine, NativeError } from '../../native/index.js';
import { type Cause, Failure, failure } from '../../protocol/errors.js';
import type { Notice } from '../../protocol/messages/log.js';
import type { Settings } from '../core/settings/settings.js';
import type { Clock } from '../ports/clock.js';
import type { Documents } from '../ports/documents.js';
import type { Places } from '../ports/places.js';
import type { VerifyLogs } from '../ports/verify-logs.js';
import type { Hub } from './hub.js';
import type { AgentLog } from './log.js';

export interface World {
  readonly clock: Clock;
  readonly documents: Documents;
  readonly places: Places;
  readonly verifyLogs: VerifyLogs;
  readonly engine: Engine;
  readonly hub: Hub;
  readonly log: AgentLog;
  readonly settings: Settings;
  /** Hex SHA-256 of this server's public key. */
  readonly ownKey: string;
  /** Absolute folders of the agent itself: never replicated, never written to by a source. */
  readonly ownFolders: readonly string[];
}

/** The refused call of a native or Node error; null for anything else. */
export function causeOf(error: unknown): Cause | null {
  const refused = error as Partial<NativeError> & NodeJS.ErrnoException;
  if (typeof refused?.code !== 'string') return null;
  return { call: refused.call ?? refused.syscall ?? '', errno: refused.code };
}

/** Any thrown thing as an answer to who asked. */
export function asFailure(error: unknown, what: string): Failure {
  if (error instanceof Failure) return error;
  const cause = causeOf(error);
  if (cause) return failure('REFUSED_BY_SYSTEM', { what }, cause);
  return failure('INTERNAL', { detail: error instanceof Error ? error.message : String(error) });
}

export function asNotice(error: unknown, what: string): Notice {
  return asFailure(error, what).notice;
}

/** Saves a document; a failure is told in the log and to the caller. */
export async function saveDocument(world: World, name: string, value: unknown): Promise<void> {
  try {
    await world.documents.save(name, value);
  } catch (error) {
    world.log.say('STATE_NOT_SAVED', { file: name }, {}, causeOf(error));
    throw asFailure(error, `writing ${name}`);
  }
}

/** The same for changes nobody waits for: told in the log, tried again with the next change. */
export function saveSoon(world: World, name: string, value: unknown): void {
  saveDocument(world, name, value).catch(() => undefined);
}
