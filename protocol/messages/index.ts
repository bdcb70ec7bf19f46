/** Every method and topic of the control protocol; the agent serves this list and the reference page prints it. */
import type { Method, Topic } from '../schema.js';
import * as bookmark from './bookmark.js';
import * as connection from './connection.js';
import * as estimate from './estimate.js';
import * as hello from './hello.js';
import * as log from './log.js';
import * as mirror from './mirror.js';
import * as notify from './notify.js';
import * as orphans from './orphans.js';
import * as peer from './peer.js';
import * as quarantine from './quarantine.js';
import * as server from './server.js';
import * as set from './set.js';
import * as settings from './settings.js';
import * as statistics from './statistics.js';
import * as task from './task.js';
import * as transmit from './transmit.js';

export * from './bookmark.js';
export * from './connection.js';
export * from './estimate.js';
export * from './hello.js';
export * from './log.js';
export * from './mirror.js';
export * from './notify.js';
export * from './orphans.js';
export * from './peer.js';
export * from './quarantine.js';
export * from './server.js';
export * from './set.js';
export * from './settings.js';
export * from './statistics.js';
export * from './task.js';
export * from './transmit.js';

const isMethod = (value: unknown): value is Method =>
  typeof value === 'object' && value !== null && 'params' in value && 'result' in value;
const isTopic = (value: unknown): value is Topic =>
  typeof value === 'object' && value !== null && 'params' in value && 'item' in value;

export const FAMILIES: readonly {
  readonly name: string;
  readonly methods: readonly Method[];
  readonly topics: readonly Topic[];
}[] = Object.entries({
  hello,
  server,
  peer,
  set,
  connection,
  mirror,
  orphans,
  quarantine,
  task,
  bookmark,
  estimate,
  transmit,
  log,
  settings,
  statistics,
  notify,
}).map(([name, family]) => ({
  name,
  methods: Object.values(family).filter(isMethod),
  topics: Object.values(family).filter(isTopic),
}));

export const METHODS: ReadonlyMap<string, Method> = new Map(FAMILIES.flatMap((f) => f.methods).map((m) => [m.name, m]));
export const TOPICS: ReadonlyMap<string, Topic> = new Map(FAMILIES.flatMap((f) => f.topics).map((t) => [t.name, t]));
