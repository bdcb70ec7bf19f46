/** The console's list of servers: `servers.json` in its configuration folder. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { failure } from '../../protocol/errors.js';
import { forget } from '../link/memory.js';
import { formatAddress, parseAddress, SOCKET_DEFAULT } from '../link/transport.js';

export interface ServerEntry {
  readonly name: string;
  /** As written: `unix:PATH` or `ssh://...`. */
  readonly address: string;
}

/** `$UNDERSTUDY_CONFIG_DIR`, else the user's usual place. */
export function configFolder(env: NodeJS.ProcessEnv = process.env): string {
  return env['UNDERSTUDY_CONFIG_DIR'] || join(env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'understudy');
}

export const serversPath = (): string => join(configFolder(), 'servers.json');

/** Names are typed before a colon and shown in tables. */
export function serverNameProblem(name: string): string | null {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name))
    return 'names of servers are letters, digits, dots, dashes and underscores';
  if (/^\d+$/.test(name)) return 'a number alone would be taken for a connection ID';
  return null;
}

/**
 * The servers as saved. Where nothing is saved, the agent of this machine is offered as `local`, so that a first
 * `understudy status` on a server just works.
 */
export function loadServers(): ServerEntry[] {
  const path = serversPath();
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw failure(
        'CONFIG_INVALID',
        { file: path, problem: 'it cannot be read' },
        { call: 'open', errno: (error as NodeJS.ErrnoException).code ?? 'EIO' },
      );
    return existsSync(SOCKET_DEFAULT) ? [{ name: 'local', address: `unix:${SOCKET_DEFAULT}` }] : [];
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw failure('CONFIG_INVALID', { file: path, problem: 'it is not JSON' });
  }
  const read = entriesOf(value);
  if (typeof read === 'string') throw failure('CONFIG_INVALID', { file: path, problem: read });
  return read;
}

/** Checked by hand: the first frame waits for this file, and a validator takes as long to load as the whole cockpit. */
function entriesOf(value: unknown): ServerEntry[] | string {
  const file = value as { schema?: unknown; servers?: unknown } | null;
  if (typeof file !== 'object' || file === null) return 'it must be an object with "schema" and "servers"';
  if (file.schema !== 1) return 'schema: only 1 is understood';
  if (!Array.isArray(file.servers)) return 'servers: must be a list';
  const entries: ServerEntry[] = [];
  for (const [index, one] of (file.servers as unknown[]).entries()) {
    const { name, address } = (one ?? {}) as { name?: unknown; address?: unknown };
    if (typeof name !== 'string' || name === '') return `servers.${index}.name: must be text`;
    if (typeof address !== 'string' || address === '') return `servers.${index}.address: must be text`;
    entries.push({ name, address });
  }
  return entries;
}

export function saveServers(servers: readonly ServerEntry[]): void {
  const path = serversPath();
  mkdirSync(configFolder(), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.tmp`;
  writeFileSync(draft, `${JSON.stringify({ schema: 1, servers }, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(draft, path);
}

export function addServer(name: string, address: string): ServerEntry {
  const problem = serverNameProblem(name);
  if (problem) throw failure('USAGE', { problem: `"${name}": ${problem}.` });
  const servers = existsSync(serversPath()) ? loadServers() : [];
  if (servers.some((server) => server.name === name)) throw failure('SERVER_EXISTS', { name });
  const entry = { name, address: formatAddress(parseAddress(address)) };
  saveServers([...servers, entry]);
  return entry;
}

export function removeServer(name: string): void {
  const servers = existsSync(serversPath()) ? loadServers() : [];
  findServer(servers, name);
  saveServers(servers.filter((server) => server.name !== name));
  forget(name);
}

export function findServer(servers: readonly ServerEntry[], name: string): ServerEntry {
  const server = servers.find((one) => one.name === name);
  if (!server) throw failure('SERVER_UNKNOWN', { name, known: servers.map((one) => one.name).join(', ') });
  return server;
}

/** `SERVER:SET`; the server may be left out when there is only one. */
export function splitName(
  text: string,
  servers: readonly ServerEntry[],
): { readonly server: string; readonly rest: string } {
  const cut = text.indexOf(':');
  if (cut > 0 && cut < text.length - 1) return { server: text.slice(0, cut), rest: text.slice(cut + 1) };
  const [only] = servers;
  if (cut < 0 && only && servers.length === 1) return { server: only.name, rest: text };
  throw failure('USAGE', { problem: `"${text}" must be written SERVER:NAME.` });
}
