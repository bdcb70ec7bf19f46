/** Settings of a server (SPEC T): what is in force, where it comes from, and changes that outlive a restart. */
import { SETTING_CHANGES_MAX, SETTING_LENGTH_MAX } from '../limits.js';
import { flag, type Infer, list, method, nullable, oneOf, optional, struct, text } from '../schema.js';
import { Notice } from './log.js';

export const SETTING_KIND = ['text', 'flag', 'whole', 'choice'] as const;
export const SETTING_ORIGIN = ['default', 'file', 'set', 'command line'] as const;

const value = (why: string) => text(SETTING_LENGTH_MAX, why);

export const Setting = struct({
  key: text(128, 'name in the configuration file'),
  row: text(32, 'row of the specification'),
  kind: oneOf(SETTING_KIND, 'what it holds'),
  values: text(1_024, 'what it may be, in words'),
  value: value('value in force, as it would be written'),
  next: nullable(value('value after the next start, where it differs from the one in force')),
  preset: value('value when nothing is configured'),
  origin: oneOf(SETTING_ORIGIN, 'where the value comes from; `set` beats `file`, and `command line` beats both'),
  restart: flag('a change takes effect when the agent starts again'),
  fixed: flag('only the configuration file or the command line of the agent can say it'),
  why: text(1_024, 'what it does'),
});
export type Setting = Infer<typeof Setting>;

export const SecretState = struct({
  key: text(128, 'name of the secret'),
  row: text(32, 'row of the specification'),
  set: flag('there is one; nobody can read it back'),
  why: text(1_024, 'what it is for'),
});
export type SecretState = Infer<typeof SecretState>;

export const SettingChange = struct({
  key: text(128, 'name of the setting'),
  value: nullable(value('new value as text; null: what file or default say again')),
});
export type SettingChange = Infer<typeof SettingChange>;
const changes = list(SettingChange, SETTING_CHANGES_MAX, 'all of them or none');

export const SettingsList = method(
  'settings.list',
  'monitor',
  false,
  struct({}),
  struct({
    settings: list(Setting, 1_000, 'in the order of the configuration file'),
    secrets: list(SecretState, 100, 'passwords and the like'),
  }),
  'Every setting with its value, default and origin.',
);

export const SettingsSet = method(
  'settings.set',
  'administrator',
  true,
  struct({ changes }),
  struct({
    settings: list(Setting, SETTING_CHANGES_MAX, 'the named settings as they are now'),
    restart: flag('at least one of them takes effect when the agent starts again'),
  }),
  'Changes settings. They are kept in the state folder, beat the configuration file, and are obeyed at once where `restart` is off.',
);

export const SettingsCheck = method(
  'settings.check',
  'monitor',
  false,
  struct({ changes: optional(changes) }),
  struct({
    problem: nullable(Notice),
    settings: list(Setting, 1_000, 'settings whose value would differ after the next start'),
  }),
  'Reads the configuration file again and says what a restart would bring; with changes: what they would. Changes nothing.',
);

export const SettingsSecret = method(
  'settings.secret',
  'administrator',
  true,
  struct({
    key: text(128, 'name of the secret'),
    value: nullable(text(1_024, 'the secret; null: forget it')),
  }),
  struct({}),
  'Keeps a password or pass phrase, encrypted (LOG-33). No method gives it back.',
);
