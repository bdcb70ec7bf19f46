/** One server and its agent. */
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
  whole,
} from '../schema.js';
import { Notice, SEVERITY } from './log.js';

export const CaptureAbility = struct({
  fanotify: text(1_024, 'whether file-system marks work here, else why not'),
  inotify: text(1_024, 'whether watches work here, with their limit'),
  fileSystem: text(255, 'kind of file system'),
});

export const ServerStatus = struct({
  name: text(255, 'name of the server'),
  version: text(64, 'release of the agent'),
  started: wallTime('when the agent started'),
  key: text(64, 'hex SHA-256 of the public key of this server'),
  listen: struct(
    { host: text(255, 'address of the data link'), port: count('port of the data link, 0 when it does not listen') },
    'NET-01',
  ),
  privileged: flag('the agent runs as root: fanotify marks, owners and devices are possible'),
  sets: count('saved replication sets'),
  connections: count('connections made here, as source'),
  incoming: count('connections granted here, as target'),
  linked: count('data links that are up, both directions'),
  targetPaused: flag('this server is paused as a target (CON-60)'),
  severity: oneOf(SEVERITY, 'the worst of what it looks after'),
  problems: list(Notice, 100, 'what needs a person, worst first'),
});
export type ServerStatus = Infer<typeof ServerStatus>;

export const ServerTopic = topic(
  'server',
  'monitor',
  struct({}),
  ServerStatus,
  (item) => item.name,
  'One item: the state of the server and its agent.',
);

export const ServerInfo = method(
  'server.info',
  'monitor',
  false,
  struct({}),
  struct({
    status: ServerStatus,
    machine: text(255, 'SRV-02 host name'),
    addresses: list(text(255, 'address'), 256, 'SRV-03 primary first'),
    operatingSystem: text(255, 'SRV-06'),
    statePath: path('where state is kept'),
    logPath: path('folder of the log files'),
    socketPath: path('control socket'),
  }),
  'Properties of the server, General tab.',
);

export const Check = struct({
  name: text(255, 'what was looked at'),
  result: oneOf(['ok', 'warning', 'failed'], 'how it is'),
  text: text(4_096, 'what was found'),
  remedy: text(4_096, 'what to do, empty when nothing is needed'),
});
export type Check = Infer<typeof Check>;
export const ServerDoctor = method(
  'server.doctor',
  'monitor',
  false,
  struct({ path: optional(path('directory whose capture abilities are wanted')) }),
  struct({ checks: list(Check, 1_000, 'in order') }),
  'Looks at everything that commonly stands in the way.',
);

export const ServerPauseTarget = method(
  'server.pauseTarget',
  'administrator',
  true,
  struct({}),
  struct({ connections: count('incoming connections paused') }),
  'CON-60: everything received waits; sources queue.',
);
export const ServerResumeTarget = method(
  'server.resumeTarget',
  'administrator',
  true,
  struct({}),
  struct({ connections: count('incoming connections resumed') }),
  'CON-61.',
);

export const Directory = struct({
  name: text(1_024, 'name; bytes that are not UTF-8 shown as replacement characters'),
  kind: oneOf(['directory', 'file', 'link', 'other'], 'what it is'),
  size: bytes('size of a file'),
  modified: nullable(wallTime('modification time')),
});
/** SET-26, RCN-54: the console's file tree. */
export const ServerFiles = method(
  'server.files',
  'administrator',
  false,
  struct({ path: path('absolute directory'), limit: optional(whole(1, 100_000, 'SET-26, 2500 when left out')) }),
  struct({
    entries: list(Directory, 100_000, 'directories first, by name'),
    omitted: count('entries beyond the limit'),
  }),
  'Lists a directory of the server, to choose rules from.',
);
