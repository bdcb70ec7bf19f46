/** The command line that does the same as a dialog, without the program's name (T16). */
import type { Action } from '../../model/app.js';

/** CON-40: the target that is not there. */
export { DIAGNOSTICS as SIMULATED } from '../../../protocol/diagnostics.js';

export const estimate = (server: string, id: number): string[] => ['estimate', at(server, id)];
export const quarantine = (server: string, id: number, again: boolean): string[] => [
  'quarantine',
  ...(again ? ['retry'] : []),
  at(server, id),
];
export const simulate = (server: string, set: string): string[] => ['connect', `${server}:${set}`, 'diagnostics'];

const at = (server: string, id: number): string => `${server}:${id}`;

export const mirrorStart = (
  server: string,
  id: number,
  kind: 'full' | 'difference',
  checksum: boolean,
  newer: boolean,
): string[] => [
  'mirror',
  'start',
  at(server, id),
  kind === 'full' || !checksum ? `--${kind}` : '--checksum',
  ...(newer ? ['--newer'] : []),
];

export function connection(kind: Action['kind'], server: string, id: number): string[] {
  const [noun = '', verb = ''] = kind.split('_');
  return [noun, verb, at(server, id)];
}

export const verify = (server: string, id: number, checksum: boolean, remirror: boolean): string[] => [
  'verify',
  at(server, id),
  ...(checksum ? ['--checksum'] : []),
  ...(remirror ? ['--remirror'] : []),
];

export const taskRun = (server: string, id: number, command: readonly string[], durable: boolean): string[] => [
  'task',
  'run',
  at(server, id),
  ...(durable ? ['--durable'] : []),
  '--',
  ...(command.length > 0 ? command : ['COMMAND']),
];

export const bookmark = (server: string, id: number, name: string, freeze: boolean): string[] => [
  'bookmark',
  'make',
  at(server, id),
  ...(name === '' ? [] : ['--name', name]),
  ...(freeze ? ['--freeze'] : []),
];

export const disconnect = (server: string, id: number): string[] => ['disconnect', at(server, id)];

export const target = (server: string, verb: 'pause' | 'resume'): string[] => ['target', verb, server];

export const setContinue = (server: string, set: string, deletes: boolean): string[] => [
  'set',
  'continue',
  `${server}:${set}`,
  ...(deletes ? ['--accept-deletes'] : []),
];

export function connect(
  source: string,
  set: string,
  targetServer: string,
  mapping: number,
  path: string,
  sourcePath: string,
  mirror: string,
  replication: boolean,
): string[] {
  const map =
    mapping === 1
      ? ['--one-to-one']
      : mapping === 0
        ? ['--all-to-one', ...(path === '/' ? [] : ['--base', path])]
        : ['--map', `${sourcePath}=${path}`];
  return [
    'connect',
    `${source}:${set}`,
    targetServer,
    ...map,
    '--mirror',
    mirror,
    ...(replication ? [] : ['--no-replication']),
  ];
}

/** Quoted for a shell, so that what is shown can be pasted. */
export function commandLine(argv: readonly string[]): string {
  return ['understudy', ...argv]
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
