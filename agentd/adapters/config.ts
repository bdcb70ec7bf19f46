/** The configuration file: TOML, unknown keys are errors. */
import { readFileSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { failure } from '../../protocol/errors.js';
import {
  type Configured,
  type Overrides,
  type Places,
  readSettings,
  type SettingKey,
} from '../core/settings/settings.js';

export const CONFIG_PATH = '/etc/understudy/understudy.toml';

/** Where an agent of this user keeps things: the system's folders for root, the user's own otherwise. */
export function defaultPlaces(uid: number, env: NodeJS.ProcessEnv = process.env): Places {
  const hostName = hostname().split('.')[0] ?? 'localhost';
  if (uid === 0)
    return { hostName, socket: '/run/understudy/agent.sock', state: '/var/lib/understudy', log: '/var/log/understudy' };
  const state = join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'understudy', 'agent');
  return {
    hostName,
    socket: join(env['XDG_RUNTIME_DIR'] || state, 'understudy', 'agent.sock'),
    state,
    log: join(state, 'log'),
  };
}

/**
 * @param overrides what an administrator set before, from the state folder
 * @param file path given on the command line, which must exist; null for the usual one, which may be missing
 * @throws Failure CONFIG_INVALID
 */
export function loadConfig(
  file: string | null,
  places: Places,
  commandLine: Partial<Record<SettingKey, string>>,
  overrides: Overrides = {},
): Configured {
  const path = file ?? CONFIG_PATH;
  let contents: unknown = null;
  try {
    contents = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    if (errno === 'ENOENT' && file === null) contents = null;
    else if (errno && (error as NodeJS.ErrnoException).syscall)
      throw failure('CONFIG_INVALID', { file: path, problem: 'it cannot be read' }, { call: 'open', errno });
    else
      throw failure('CONFIG_INVALID', {
        file: path,
        problem: error instanceof Error ? (error.message.split('\n')[0] ?? 'it is not TOML') : String(error),
      });
  }
  const read = readSettings(places, contents, commandLine, overrides);
  if ('problem' in read)
    throw failure('CONFIG_INVALID', { file: contents === null ? 'on the command line' : path, problem: read.problem });
  return read;
}
