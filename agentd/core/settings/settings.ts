/** Every setting of the agent, once: name, row, default, limits, meaning. The file is TOML; this knows only values. */
import type { MirrorOptions } from '../../../protocol/messages/mirror.js';
import { type Field, parseListen, valueProblem } from './field.js';
import { LINK_FIELDS, linkProblem } from './link-fields.js';
import { MIRROR_FIELDS, mirrorProblem } from './mirror-fields.js';
import { nearest } from './nearest.js';
import { NOTIFY_FIELDS, notifyProblem } from './notify-fields.js';
import { ORPHAN_FIELDS, orphanProblem } from './orphan-fields.js';
import { BOOKMARK_FIELDS } from './bookmark-fields.js';
import { TASK_FIELDS } from './task-fields.js';
import { QUEUE_FIELDS } from './queue-fields.js';
import { VERIFY_FIELDS } from './verify-fields.js';

export { type Listen, parseListen } from './field.js';

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
  { key: 'agent.state', row: 'SRV-62', kind: 'text', preset: '{state}', fixed: true, why: 'folder of the state files' },
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
  ...LINK_FIELDS,
  ...QUEUE_FIELDS,
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
    live: true,
    why: 'mirror by itself after a gap in the stream (MIR-32)',
  },
  {
    key: 'source.checksum_all',
    row: 'SRV-55',
    kind: 'flag',
    preset: true,
    live: true,
    why: 'a difference mirror with checksum compares every file, not only those that look different',
  },
  {
    key: 'source.ignore_deletes',
    row: 'SRV-52',
    kind: 'flag',
    preset: false,
    live: true,
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
    key: 'source.retry_s',
    row: 'REP-10',
    kind: 'whole',
    preset: 3,
    min: 1,
    max: 3_600,
    live: true,
    why: 'seconds until a path that a target refused twice is told again; doubles with every refusal, up to five minutes; counts for connections that are opened from then on',
  },
  {
    key: 'connection.stall_s',
    row: 'I3',
    kind: 'whole',
    preset: 20,
    min: 0,
    max: 86_400,
    live: true,
    why: 'seconds without movement, while the link is up and something waits, until a connection is called stalled; 0: never',
  },
  {
    key: 'transmit.compression',
    row: 'TRN-40',
    kind: 'choice',
    preset: 'off',
    choices: COMPRESSION,
    live: true,
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
    live: true,
    why: 'links that point inside the set point inside the replica',
  },
  ...MIRROR_FIELDS,
  ...ORPHAN_FIELDS,
  ...VERIFY_FIELDS,
  ...TASK_FIELDS,
  ...BOOKMARK_FIELDS,
  ...NOTIFY_FIELDS,
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
/** Where a value comes from; each beats the ones before it. `set`: by an administrator of the running agent. */
export type Origin = 'default' | 'file' | 'set' | 'command line';

/** Where an agent keeps things when nobody says otherwise; a given state folder takes the log along. */
export interface Places {
  readonly hostName: string;
  readonly socket: string;
  readonly state: string;
  readonly log: string;
}

/** Values an administrator set, by key; kept in the state folder. */
export type Overrides = Readonly<Record<string, unknown>>;

/** All that decides the settings. */
export interface SettingSources {
  readonly places: Places;
  /** Contents of the configuration file as nested tables, or null without a file. */
  readonly file: unknown;
  readonly commandLine: Partial<Record<SettingKey, string>>;
  readonly overrides: Overrides;
}

export interface Configured {
  readonly settings: Settings;
  readonly origins: ReadonlyMap<SettingKey, Origin>;
  readonly sources: SettingSources;
  /** Overrides that an older or newer release left and that mean nothing here. */
  readonly ignored: readonly { readonly key: string; readonly problem: string }[];
}

export function fieldOf(key: string): Field | null {
  return SETTINGS.find((entry) => entry.key === key) ?? null;
}

export function unknownSetting(key: string): string {
  const guess = nearest(
    key,
    SETTINGS.map((entry) => entry.key),
  );
  return `unknown setting "${key}"${guess ? `; did you mean "${guess}"?` : ''}`;
}

/**
 * Puts defaults, file, overrides and command line together.
 * @param file        contents of the configuration file as nested tables, or null without a file
 * @param commandLine settings by key
 * @returns the problem as text, or the settings
 */
export function readSettings(
  places: Places,
  file: unknown,
  commandLine: Partial<Record<SettingKey, string>>,
  overrides: Overrides = {},
): Configured | { readonly problem: string } {
  const given = new Map<string, unknown>();
  const problem = flatten(file ?? {}, '', given);
  if (problem) return { problem };
  for (const key of given.keys()) if (!fieldOf(key)) return { problem: unknownSetting(key) };
  const ignored: { key: string; problem: string }[] = [];
  const set = new Map<string, unknown>();
  for (const [key, value] of Object.entries(overrides)) {
    const entry = fieldOf(key);
    const wrong = !entry ? 'is not known' : entry.fixed ? 'cannot be set here' : valueProblem(entry, value);
    if (wrong) ignored.push({ key, problem: wrong });
    else set.set(key, value);
  }
  const state =
    commandLine['agent.state'] ??
    (typeof given.get('agent.state') === 'string' ? String(given.get('agent.state')) : null);
  const presets: Record<string, string> = {
    '{host name}': places.hostName,
    '{socket}': places.socket,
    '{state}': places.state,
    '{log}': state === null ? places.log : `${state}/log`,
    '{queue}': `${state ?? places.state}/queue`,
  };
  const values: Record<string, unknown> = {};
  const origins = new Map<SettingKey, Origin>();
  for (const entry of SETTINGS) {
    const fromLine = commandLine[entry.key];
    const origin: Origin =
      fromLine !== undefined ? 'command line' : set.has(entry.key) ? 'set' : given.has(entry.key) ? 'file' : 'default';
    const preset = typeof entry.preset === 'string' ? (presets[entry.preset] ?? entry.preset) : entry.preset;
    const layers: Record<Origin, unknown> = {
      default: preset,
      file: given.get(entry.key),
      set: set.get(entry.key),
      'command line': fromLine,
    };
    const value = layers[origin];
    const wrong = valueProblem(entry, value);
    if (wrong) return { problem: `${entry.key} ${wrong} (${entry.row})` };
    values[entry.key] = value;
    origins.set(entry.key, origin);
  }
  const listen = String(values['agent.listen']);
  if (listen !== '' && !parseListen(listen)) return { problem: `agent.listen is "${listen}", not ADDRESS:PORT` };
  const together = notifyProblem(values) ?? orphanProblem(values) ?? linkProblem(values) ?? mirrorProblem(values);
  if (together) return { problem: together };
  return {
    settings: values as unknown as Settings,
    origins,
    sources: { places, file, commandLine, overrides: Object.fromEntries(set) },
    ignored,
  };
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
