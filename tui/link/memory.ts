/**
 * What the last console knew of each server, kept in the person's state folder so that the next one shows it at once,
 * grey and with its age (T1). Only a convenience: whatever is missing, strange or too large is left out.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { STATISTIC_COLUMNS } from '../../protocol/messages/statistic-columns.js';
import { SOFTWARE_VERSION } from '../../protocol/version.js';
import type { Remembered } from '../model/fleet.js';

/** A larger file would delay the first frame that it is there for. */
const FILE_BYTES_MAX = 4 << 20;
/** More connections than this are asked for instead: turning them into text would stop the screen for a moment. */
const CONNECTIONS_MAX = 2_000;

interface File {
  readonly schema: 1;
  /** Another release may show other things: its file is not read. */
  readonly release: string;
  readonly address: string;
  readonly server: Remembered;
}

/** `$UNDERSTUDY_CONFIG_DIR/state` where that is set, else the user's usual place. */
export function stateFolder(env: NodeJS.ProcessEnv = process.env): string {
  const own = env['UNDERSTUDY_CONFIG_DIR'];
  return own ? join(own, 'state') : join(env['XDG_STATE_HOME'] || join(homedir(), '.local/state'), 'understudy');
}

const pathOf = (name: string): string => join(stateFolder(), 'seen', `${encodeURIComponent(name)}.json`);

/** Null: nothing is known, or not of this address. */
export function recall(name: string, address: string): Remembered | null {
  try {
    const path = pathOf(name);
    if (statSync(path).size > FILE_BYTES_MAX) return null;
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<File> | null;
    if (value?.schema !== 1 || value.release !== SOFTWARE_VERSION || value.address !== address) return null;
    return usable(value.server) ? value.server : null;
  } catch {
    return null;
  }
}

/** Replaces what is kept; never fails, because nothing depends on it. */
export function keep(name: string, address: string, server: Remembered): void {
  const path = pathOf(name);
  try {
    const file: File = { schema: 1, release: SOFTWARE_VERSION, address, server };
    const text = server.connections.length > CONNECTIONS_MAX ? null : JSON.stringify(file);
    if (text === null || Buffer.byteLength(text) > FILE_BYTES_MAX) {
      forget(name);
      return;
    }
    mkdirSync(join(stateFolder(), 'seen'), { recursive: true, mode: 0o700 });
    const draft = `${path}.${process.pid}.tmp`;
    writeFileSync(draft, text, { mode: 0o600 });
    renameSync(draft, path);
  } catch {
    // A full disk or a folder that is not ours: the next console starts without it.
    remove(`${path}.${process.pid}.tmp`);
  }
}

export function forget(name: string): void {
  remove(pathOf(name));
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Not ours to remove; its age is shown with it.
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const named = (field: string) => (value: unknown) => isObject(value) && typeof value[field] === 'string';

/** Enough of a look that no screen stumbles over it; the real check of everything is made where links are opened. */
function usable(value: unknown): value is Remembered {
  if (!isObject(value) || !isObject(value['hello']) || typeof value['heardAt'] !== 'number') return false;
  const { sets, connections, grants } = value;
  if (!Array.isArray(sets) || !Array.isArray(connections) || !Array.isArray(grants)) return false;
  return (
    sets.every(named('name')) &&
    grants.every(named('connection')) &&
    connections.every((item) => {
      if (!named('key')(item)) return false;
      const { statistics } = item as { statistics?: unknown };
      return isObject(statistics) && STATISTIC_COLUMNS.every((column) => statistics[column.field] !== undefined);
    })
  );
}
