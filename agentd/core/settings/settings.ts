/** Every setting of the agent, once: name, row, default, limits, meaning. The file is TOML; this knows only values. */
import type { MirrorOptions } from '../../../protocol/messages/mirror.js';
import { nearest } from './nearest.js';

interface Field {
  readonly key: string;
  readonly row: string;
  readonly why: string;
  readonly kind: 'text' | 'flag' | 'whole' | 'choice';
  readonly preset: string | number | boolean;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
}

export const REMIRROR = ['difference_checksum', 'difference', 'full', 'off'] as const;
export const COMPRESSION = ['off', 'minimum', 'medium', 'maximum'] as const;

/** Defaults in braces are worked out from the place the agent runs in; see `places`. */
export const SETTINGS = [
  {
    key: 'agent.name',
    row: 'SRV-02',
    kind: 'text',
    preset: '{host name}',
    why: 'name of this server in messages and target paths',
  },
  {
    key: 'agent.listen',
    row: 'SRV-32',
    kind: 'text',
    preset: '0.0.0.0:1500',
    why: 'address and port of the data link; empty: this server is never a target',
  },
  { key: 'agent.socket', row: 'SRV-04', kind: 'text', preset: '{socket}', why: 'control socket' },
  { key: 'agent.state', row: 'SRV-62', kind: 'text', preset: '{state}', why: 'folder of the state files' },
  { key: 'log.folder', row: 'SRV-70', kind: 'text', preset: '{log}', why: 'folder of the log files' },
  {
    key: 'log.length',
    row: 'SRV-71',
    kind: 'whole',
    preset: 1_048_576,
    min: 4_096,
    max: 1_099_511_627_776,
    why: 'bytes of one log file',
  },
  { key: 'log.files', row: 'SRV-72', kind: 'whole', preset: 5, min: 1, max: 999, why: 'log files kept' },
  {
    key: 'queue.memory_mb',
    row: 'QUE-04',
    kind: 'whole',
    preset: 128,
    min: 32,
    max: 1_048_576,
    why: 'memory for changes of one connection that wait for the network, in MB',
  },
  {
    key: 'source.reconnect',
    row: 'SRV-23',
    kind: 'flag',
    preset: true,
    why: 'take connections up again when the agent starts (MIR-31)',
  },
  {
    key: 'source.remirror',
    row: 'SRV-24',
    kind: 'choice',
    preset: 'difference_checksum',
    choices: REMIRROR,
    why: 'mirror by itself after a gap in the stream (MIR-32)',
  },
  {
    key: 'source.checksum_all',
    row: 'SRV-55',
    kind: 'flag',
    preset: true,
    why: 'a difference mirror with checksum compares every file, not only those that look different',
  },
  {
    key: 'source.ignore_deletes',
    row: 'SRV-52',
    kind: 'flag',
    preset: false,
    why: 'files deleted here are kept on the targets of new connections',
  },
  {
    key: 'source.capture',
    row: 'CAP-01',
    kind: 'choice',
    preset: 'auto',
    choices: ['auto', 'fanotify', 'inotify'],
    why: 'how changes are captured',
  },
  {
    key: 'source.sweep_s',
    row: 'CAP-01',
    kind: 'whole',
    preset: 60,
    min: 0,
    max: 86_400,
    why: 'seconds between looks for changes that no event tells (memory-mapped files); 0: only at barriers',
  },
  {
    key: 'source.guard_percent',
    row: 'I11',
    kind: 'whole',
    preset: 50,
    min: 0,
    max: 100,
    why: 'a burst of deletes above this share of the set stops it; 0: no guard',
  },
  {
    key: 'source.guard_count',
    row: 'I11',
    kind: 'whole',
    preset: 1_000,
    min: 1,
    max: 1_000_000_000,
    why: 'and above this number of files',
  },
  {
    key: 'transmit.compression',
    row: 'TRN-40',
    kind: 'choice',
    preset: 'off',
    choices: COMPRESSION,
    why: 'compression of new connections',
  },
  {
    key: 'target.retry_s',
    row: 'SRV-58',
    kind: 'whole',
    preset: 3,
    min: 1,
    max: 3_600,
    why: 'seconds until a failed operation is tried again',
  },
  {
    key: 'target.remap_links',
    row: 'CAP-33',
    kind: 'flag',
    preset: true,
    why: 'links that point inside the set point inside the replica',
  },
] as const satisfies readonly Field[];

type Entry = (typeof SETTINGS)[number];
export type SettingKey = Entry['key'];
type ValueOf<E extends Entry> = E['kind'] extends 'whole'
  ? number
  : E['kind'] extends 'flag'
    ? boolean
    : E extends { choices: readonly (infer C)[] }
      ? C
      : string;
export type Settings = { readonly [E in Entry as E['key']]: ValueOf<E> };
export type Origin = 'default' | 'file' | 'command line';

/** Where an agent keeps things when nobody says otherwise; a given state folder takes the log along. */
export interface Places {
  readonly hostName: string;
  readonly socket: string;
  readonly state: string;
  readonly log: string;
}

export interface Configured {
  readonly settings: Settings;
  readonly origins: ReadonlyMap<SettingKey, Origin>;
}

/**
 * Puts defaults, file and command line together.
 * @param file        contents of the configuration file as nested tables, or null without a file
 * @param commandLine settings by key
 * @returns the problem as text, or the settings
 */
export function readSettings(
  places: Places,
  file: unknown,
  commandLine: Partial<Record<SettingKey, string>>,
): Configured | { readonly problem: string } {
  const given = new Map<string, unknown>();
  const problem = flatten(file ?? {}, '', given);
  if (problem) return { problem };
  const known = SETTINGS.map((entry) => entry.key as string);
  for (const key of given.keys()) {
    if (known.includes(key)) continue;
    const guess = nearest(key, known);
    return { problem: `unknown setting "${key}"${guess ? `; did you mean "${guess}"?` : ''}` };
  }
  const state =
    commandLine['agent.state'] ??
    (typeof given.get('agent.state') === 'string' ? String(given.get('agent.state')) : null);
  const presets: Record<string, string> = {
    '{host name}': places.hostName,
    '{socket}': places.socket,
    '{state}': places.state,
    '{log}': state === null ? places.log : `${state}/log`,
  };
  const values: Record<string, unknown> = {};
  const origins = new Map<SettingKey, Origin>();
  for (const entry of SETTINGS) {
    const fromLine = commandLine[entry.key];
    const origin: Origin = fromLine !== undefined ? 'command line' : given.has(entry.key) ? 'file' : 'default';
    const preset = typeof entry.preset === 'string' ? (presets[entry.preset] ?? entry.preset) : entry.preset;
    const value = fromLine ?? (given.has(entry.key) ? given.get(entry.key) : preset);
    const wrong = valueProblem(entry, value);
    if (wrong) return { problem: `${entry.key} ${wrong} (${entry.row})` };
    values[entry.key] = value;
    origins.set(entry.key, origin);
  }
  const listen = String(values['agent.listen']);
  if (listen !== '' && !parseListen(listen)) return { problem: `agent.listen is "${listen}", not ADDRESS:PORT` };
  return { settings: values as unknown as Settings, origins };
}

function flatten(value: unknown, prefix: string, into: Map<string, unknown>): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return `"${prefix}" is not a table`;
  for (const [name, inner] of Object.entries(value)) {
    const key = prefix ? `${prefix}.${name}` : name;
    if (prefix === '') {
      const problem = flatten(inner, key, into);
      if (problem) return problem;
    } else into.set(key, inner);
  }
  return null;
}

function valueProblem(entry: Field, value: unknown): string | null {
  switch (entry.kind) {
    case 'flag':
      return typeof value === 'boolean' ? null : 'must be true or false';
    case 'text':
      return typeof value === 'string' && value.length <= 4_096 && !value.includes('\0') ? null : 'must be a text';
    case 'choice':
      return typeof value === 'string' && entry.choices?.includes(value)
        ? null
        : `must be one of ${entry.choices?.join(', ') ?? ''}`;
    case 'whole': {
      const min = entry.min ?? 0;
      const max = entry.max ?? Number.MAX_SAFE_INTEGER;
      return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? null
        : `must be a whole number from ${min} to ${max}`;
    }
  }
}

export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** `ADDRESS:PORT`, `[IPv6]:PORT` or `:PORT` (every address); null when it is none of these. Port 0 takes any. */
export function parseListen(text: string): Listen | null {
  const match = /^(\[[0-9A-Fa-f:.%]+\]|[^:[\]]*):(\d{1,5})$/.exec(text);
  if (!match) return null;
  const port = Number(match[2]);
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  return port <= 65_535 ? { host: host === '' ? '0.0.0.0' : host, port } : null;
}

/** MIR-32 as mirror options; null when auto-remirror is off (MIR-33). */
export function remirrorOptions(setting: (typeof REMIRROR)[number]): MirrorOptions | null {
  switch (setting) {
    case 'difference_checksum':
      return { kind: 'difference', checksum: true };
    case 'difference':
      return { kind: 'difference' };
    case 'full':
      return { kind: 'full' };
    case 'off':
      return null;
  }
}
