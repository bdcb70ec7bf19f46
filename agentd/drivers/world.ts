/** What every driver of one agent shares. */
import type { Engine, NativeError } from '../../native/index.js';
import { type Cause, Failure, failure } from '../../protocol/errors.js';
import type { Notice } from '../../protocol/messages/log.js';
import { backoffMs } from '../core/backoff.js';
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

/** Waits before a state file that could not be written is written again. */
const SAVE_AGAIN = { minMs: 1_000, maxMs: 60_000 };

/** Which saves of a file were asked for and which are on disk, by their running number. */
interface Saves {
  count: number;
  done: number;
  soon: number;
}
const savesOf = new WeakMap<World, Map<string, Saves>>();

function savesFor(world: World, name: string): Saves {
  const all = savesOf.get(world) ?? new Map<string, Saves>();
  savesOf.set(world, all);
  const saves = all.get(name) ?? { count: 0, done: 0, soon: 0 };
  all.set(name, saves);
  return saves;
}

/** Saves a document; a failure is told in the log and to the caller. */
export async function saveDocument(world: World, name: string, value: unknown): Promise<void> {
  const saves = savesFor(world, name);
  const number = ++saves.count;
  try {
    await world.documents.save(name, value);
  } catch (error) {
    world.log.say('STATE_NOT_SAVED', { file: name }, {}, causeOf(error));
    throw asFailure(error, `writing ${name}`);
  }
  saves.done = Math.max(saves.done, number);
}

/**
 * The same, never in vain: a failure is told in the log, and it is tried again until this or a newer state is on disk.
 * Otherwise a disk that was full for a moment would leave a claim behind that was withdrawn since. Resolves after the
 * first try.
 */
export function saveStubbornly(world: World, name: string, value: unknown, failures = 0): Promise<void> {
  const saves = savesFor(world, name);
  const number = saves.count + 1;
  saves.soon = number;
  return saveDocument(world, name, value).catch(() => {
    world.clock.after(backoffMs(SAVE_AGAIN, failures + 1, world.clock.random()), () => {
      if (saves.soon === number && saves.done < number) void saveStubbornly(world, name, value, failures + 1);
    });
  });
}

/** For changes nobody waits for. */
export function saveSoon(world: World, name: string, value: unknown): void {
  void saveStubbornly(world, name, value);
}
