/** The settings in force, and changes an administrator makes while the agent runs (SRV rows). */
import { z } from 'zod';
import { failure } from '../../protocol/errors.js';
import type { SecretState, Setting, SettingChange } from '../../protocol/messages/settings.js';
import { type Field, parseValue } from '../core/settings/field.js';
import { SECRETS } from '../core/settings/notify-fields.js';
import {
  type Configured,
  fieldOf,
  type Overrides,
  readSettings,
  SETTINGS,
  type SettingKey,
  type Settings,
  unknownSetting,
} from '../core/settings/settings.js';
import type { Documents } from '../ports/documents.js';
import type { Vault } from '../ports/vault.js';
import type { LogScope } from './log.js';
import { saveDocument, type World } from './world.js';

export const SETTINGS_FILE = 'settings.sts';
const Stored = z.object({
  schema: z.literal(1),
  values: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});

/** What was set before, from the state folder. @throws Failure STATE_INVALID */
export function loadOverrides(documents: Documents): Overrides {
  const value = documents.load(SETTINGS_FILE);
  if (value === null) return {};
  const read = Stored.safeParse(value);
  if (!read.success) throw failure('STATE_INVALID', { file: SETTINGS_FILE, problem: 'it is not a list of settings' });
  return read.data.values;
}

const PASSPHRASE_LENGTH_MIN = 8;

export class SettingsStore {
  /** In force. Drivers keep this object, so a live change is seen by the next who reads it. */
  readonly current: Settings;
  readonly #inForce: Record<string, unknown>;
  /** In force after the next start. */
  #configured: Configured;
  readonly #listeners = new Set<(changed: ReadonlySet<SettingKey>) => void>();

  /** @param reread reads the configuration file again; throws CONFIG_INVALID */
  constructor(
    configured: Configured,
    readonly vault: Vault,
    readonly reread: () => Configured,
  ) {
    this.#configured = configured;
    this.#inForce = { ...configured.settings };
    this.current = this.#inForce as unknown as Settings;
  }

  /** Called after a change that is obeyed at once, and after a secret changed. */
  onChange(listener: (changed: ReadonlySet<SettingKey>) => void): void {
    this.#listeners.add(listener);
  }

  /** Says what the start could not use. */
  tellIgnored(world: World): void {
    for (const { key, problem } of this.#configured.ignored) world.log.say('SETTING_IGNORED', { key, problem });
  }

  list(): Setting[] {
    return SETTINGS.map((entry) => this.#shown(entry.key, this.#configured));
  }

  secrets(): SecretState[] {
    return SECRETS.map(({ key, row, why }) => ({ key, row, why, set: this.vault.has(key) }));
  }

  /** @throws Failure SETTING_INVALID, SETTING_FIXED; nothing was changed then */
  async set(
    world: World,
    changes: readonly SettingChange[],
    scope: LogScope,
  ): Promise<{ settings: Setting[]; restart: boolean }> {
    const next = this.#with(this.#configured, changes);
    const before = this.#configured;
    await saveDocument(world, SETTINGS_FILE, { schema: 1, values: next.sources.overrides });
    this.#configured = next;
    const changed = new Set<SettingKey>();
    let restart = false;
    for (const entry of SETTINGS) {
      const { key } = entry;
      if (next.settings[key] === before.settings[key]) continue;
      const field: Field = entry;
      if (field.live) {
        this.#inForce[key] = next.settings[key];
        changed.add(key);
      } else restart = true;
      world.log.say('SETTING_CHANGED', { key, value: brief(next.settings[key]), restart: !field.live }, scope);
    }
    this.#tell(changed);
    return { settings: changes.map((change) => this.#shown(change.key as SettingKey, next)), restart };
  }

  /** What a restart would bring. @throws Failure CONFIG_INVALID, SETTING_INVALID, SETTING_FIXED */
  check(changes: readonly SettingChange[]): Setting[] {
    const read = this.reread();
    const kept = readSettings(read.sources.places, read.sources.file, read.sources.commandLine, {
      ...this.#configured.sources.overrides,
    });
    if ('problem' in kept) throw failure('SETTING_INVALID', { problem: kept.problem });
    const next = changes.length === 0 ? kept : this.#with(kept, changes);
    return SETTINGS.filter((entry) => next.settings[entry.key] !== this.current[entry.key]).map((entry) => ({
      ...this.#shown(entry.key, next),
      next: String(next.settings[entry.key]),
    }));
  }

  /** @throws Failure SECRET_UNKNOWN, SECRET_INVALID */
  async secret(world: World, key: string, value: string | null, scope: LogScope): Promise<void> {
    if (!SECRETS.some((secret) => secret.key === key))
      throw failure('SECRET_UNKNOWN', { key, known: SECRETS.map((secret) => secret.key).join(', ') });
    if (value === '') throw failure('SECRET_INVALID', { key, problem: 'it is empty' });
    // RFC 3414 section 11.2.
    if (value !== null && key.startsWith('snmp.') && value.length < PASSPHRASE_LENGTH_MIN)
      throw failure('SECRET_INVALID', { key, problem: `it has fewer than ${PASSPHRASE_LENGTH_MIN} characters` });
    await this.vault.write(key, value);
    world.log.say('SECRET_CHANGED', { key, set: value !== null }, scope);
    this.#tell(new Set());
  }

  #tell(changed: ReadonlySet<SettingKey>): void {
    for (const listener of this.#listeners) listener(changed);
  }

  #with(base: Configured, changes: readonly SettingChange[]): Configured {
    const { places, file, commandLine, overrides } = base.sources;
    const wanted: Record<string, unknown> = { ...overrides };
    for (const { key, value } of changes) {
      const entry = fieldOf(key);
      if (!entry) throw failure('SETTING_INVALID', { problem: unknownSetting(key) });
      if (entry.fixed)
        throw failure('SETTING_FIXED', { key, why: 'the agent must know it before it can read what was set' });
      if (commandLine[key as SettingKey] !== undefined)
        throw failure('SETTING_FIXED', { key, why: 'the command line of the agent says it' });
      if (value === null) delete wanted[key];
      else wanted[key] = parseValue(entry, value);
    }
    const next = readSettings(places, file, commandLine, wanted);
    if ('problem' in next) throw failure('SETTING_INVALID', { problem: next.problem });
    const named = new Set(changes.map((change) => change.key));
    const wrong = next.ignored.find(({ key }) => named.has(key));
    if (wrong)
      throw failure('SETTING_INVALID', {
        problem: `${wrong.key} ${wrong.problem} (${fieldOf(wrong.key)?.row ?? ''})`,
      });
    return next;
  }

  #shown(key: SettingKey, next: Configured): Setting {
    const entry = fieldOf(key) as Field;
    const value = String(this.current[key]);
    const later = String(next.settings[key]);
    return {
      key,
      row: entry.row,
      kind: entry.kind,
      values: valuesText(entry),
      value,
      next: later === value ? null : later,
      preset: String(entry.preset),
      origin: next.origins.get(key) ?? 'default',
      restart: !entry.live,
      fixed: entry.fixed ?? false,
      why: entry.why,
    };
  }
}

export function valuesText(entry: Field): string {
  switch (entry.kind) {
    case 'choice':
      return entry.choices?.join(', ') ?? '';
    case 'whole':
      return `${entry.min ?? 0} to ${entry.max ?? Number.MAX_SAFE_INTEGER}`;
    case 'flag':
      return 'true, false';
    case 'text':
      return 'text';
  }
}

/** Long lists would fill the log. */
const brief = (value: unknown): string => {
  const text = String(value);
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
};
