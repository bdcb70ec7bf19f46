/** Replication sets (SPEC D). */
import {
  bytes,
  count,
  flag,
  type Infer,
  list,
  method,
  nullable,
  oneOf,
  optional,
  path,
  struct,
  text,
  topic,
  wallTime,
} from '../schema.js';
import { RULE_COUNT_MAX, RULE_PATH_LENGTH_MAX, SET_COUNT_MAX, SET_NAME_LENGTH_MAX } from '../limits.js';
import { Notice } from './log.js';

/** SET-02. */
export const Rule = struct({
  path: text(RULE_PATH_LENGTH_MAX, 'SET-08 absolute; the last component may hold `*` and `?` (SET-04)'),
  include: flag('Inc, otherwise Exc'),
  recursive: flag('SET-03 Rec: applies to all directories below'),
});
export type Rule = Infer<typeof Rule>;

const name = (why: string) => text(SET_NAME_LENGTH_MAX, why);

/** What the capture of a connected set is doing. */
export const SET_STATE = ['idle', 'missing', 'opening', 'watching', 'rescanning', 'stopped', 'failed'] as const;
export type SetState = (typeof SET_STATE)[number];

export const SetItem = struct({
  name: name('SET-10'),
  generation: count('SET-15 incremented at every save'),
  rules: list(Rule, RULE_COUNT_MAX, 'as saved'),
  saved: wallTime('when'),
  state: oneOf(SET_STATE, 'idle: not connected. missing: a directory is not there. stopped: a guard holds it (I11)'),
  connections: list(count('connection ID'), 10_000, 'connections that use it'),
  outdated: flag('SET-16: a connection still runs with an older definition'),
  capture: nullable(text(255, 'how changes are captured')),
  files: nullable(count('files in the set, null when not calculated')),
  directories: nullable(count('directories in the set')),
  bytes: nullable(bytes('SET-19 size of the set, null when not calculated')),
  sizeAt: nullable(wallTime('SET-19 when the size was calculated')),
  dirty: count('paths that wait to be read'),
  problem: nullable(Notice),
});
export type SetItem = Infer<typeof SetItem>;

export const SetList = method(
  'set.list',
  'monitor',
  false,
  struct({}),
  struct({ sets: list(SetItem, SET_COUNT_MAX, 'by name') }),
  'Every saved replication set.',
);
export const SetSave = method(
  'set.save',
  'administrator',
  true,
  struct({
    name: name('SET-09, SET-10'),
    rules: list(Rule, RULE_COUNT_MAX, 'all rules'),
    generation: nullable(count('SET-15 the generation this edit started from; null: the set must not exist')),
  }),
  struct({
    set: SetItem,
    discarded: list(Rule, RULE_COUNT_MAX, 'SET-06 rules dropped because another one already says it'),
    connected: flag('SET-16: disconnect, reconnect and run a difference mirror'),
  }),
  'Saves a set. Refused when somebody else saved it meanwhile (SET-15).',
);
export const SetRename = method(
  'set.rename',
  'administrator',
  true,
  struct({ name: name('old name'), to: name('new name'), copy: optional(flag('SET-17: keep the original')) }),
  struct({ set: SetItem }),
  'SET-17: a saved set is copied under the new name; without `copy` the original, not connected, is removed.',
);
export const SetDelete = method(
  'set.delete',
  'administrator',
  true,
  struct({ name: name('set') }),
  struct({}),
  'SET-24: only when not connected.',
);
export const SetSize = method(
  'set.size',
  'monitor',
  false,
  struct({ name: name('set') }),
  struct({
    files: count('files'),
    directories: count('directories'),
    bytes: bytes('SET-19, SET-43'),
    at: wallTime('as of'),
  }),
  'SET-19 Calculate or Recalculate.',
);
export const SetContinue = method(
  'set.continue',
  'administrator',
  true,
  struct({
    name: name('set'),
    acceptDeletes: flag('delete on the targets what is gone here, once; otherwise keep it'),
  }),
  struct({ state: oneOf(SET_STATE, 'state after the answer') }),
  'I11: answers the guard that stopped a set.',
);
export const SetRescan = method(
  'set.rescan',
  'administrator',
  true,
  struct({ name: name('set') }),
  struct({}),
  'Compares the set with what was told to the targets.',
);
export const SetRoots = method(
  'set.roots',
  'monitor',
  false,
  struct({ name: name('set') }),
  struct({ roots: list(path('directory'), RULE_COUNT_MAX, 'directories that hold the set') }),
  'Directories a mapping has to cover (CON-25..27).',
);
export const SetTopic = topic(
  'sets',
  'monitor',
  struct({}),
  SetItem,
  (set) => set.name,
  'Replication sets as they change.',
);
