/** Every server the cockpit knows, as last heard. */
import type { ConnectionItem, Grant, LogLine, ServerStatus, SetItem } from '../../protocol/messages/index.js';
import type { Access } from '../../protocol/schema.js';
import { EMPTY_RING, addLines, startAgain, type LogRing } from './log-ring.js';
import { NO_HISTORY, note, type History } from './history.js';
import { ofConnection, ofNotice, ofSet, rank, type Severity, worst } from './severity.js';

export interface Trouble {
  readonly code: string;
  readonly text: string;
  readonly remedy: string;
}

/** Asked for and observed are separate: `wanted` says what the person asked for. */
export type LinkState =
  | { readonly kind: 'connecting'; readonly attempt: number }
  | { readonly kind: 'online' }
  /** Tried again by itself at `retryAt`. */
  | { readonly kind: 'lost'; readonly trouble: Trouble; readonly retryAt: number; readonly attempt: number }
  /** Waits for a person. */
  | { readonly kind: 'refused'; readonly trouble: Trouble }
  | { readonly kind: 'off' };

export interface Hello {
  readonly name: string;
  readonly version: string;
  readonly access: Access;
  readonly user: string;
}

export interface Server {
  /** Name in the console, unique. */
  readonly name: string;
  readonly address: string;
  readonly link: LinkState;
  /** Wall time of the last sign of life; 0 = never. */
  readonly heardAt: number;
  /** What is shown was heard by a console before this one (T1). */
  readonly remembered: boolean;
  /** The connections were told anew since the link came up; before that what is shown is as old as `heardAt`. */
  readonly current: boolean;
  readonly hello: Hello | null;
  readonly status: ServerStatus | null;
  readonly sets: ReadonlyMap<string, SetItem>;
  /** By permanent key. */
  readonly connections: ReadonlyMap<string, ConnectionItem>;
  readonly grants: ReadonlyMap<string, Grant>;
  readonly histories: ReadonlyMap<string, History>;
  readonly log: LogRing;
}

export interface Fleet {
  /** In the order the person added them. */
  readonly servers: readonly Server[];
}

/** What a console leaves for the next one: shown at once, grey and with its age, until the link speaks. */
export interface Remembered {
  readonly heardAt: number;
  readonly hello: Hello;
  readonly status: ServerStatus | null;
  readonly sets: readonly SetItem[];
  readonly connections: readonly ConnectionItem[];
  readonly grants: readonly Grant[];
}

/** What the link reports, many at once (see tui/link/session.ts). */
export type LinkFact =
  | { readonly kind: 'link'; readonly state: LinkState }
  | { readonly kind: 'remembered'; readonly from: Remembered }
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'heard' }
  | { readonly kind: 'status'; readonly status: ServerStatus }
  | { readonly kind: 'sets'; readonly all: readonly SetItem[] }
  | { readonly kind: 'set'; readonly item: SetItem }
  | { readonly kind: 'set_gone'; readonly key: string }
  | { readonly kind: 'connections'; readonly all: readonly ConnectionItem[] }
  | { readonly kind: 'connection'; readonly item: ConnectionItem }
  | { readonly kind: 'connection_gone'; readonly key: string }
  | { readonly kind: 'grants'; readonly all: readonly Grant[] }
  | { readonly kind: 'grant'; readonly item: Grant }
  | { readonly kind: 'grant_gone'; readonly key: string }
  | { readonly kind: 'log'; readonly lines: readonly LogLine[]; readonly snapshot: boolean };

export function newServer(name: string, address: string): Server {
  return {
    name,
    address,
    link: { kind: 'off' },
    heardAt: 0,
    remembered: false,
    current: false,
    hello: null,
    status: null,
    sets: new Map(),
    connections: new Map(),
    grants: new Map(),
    histories: new Map(),
    log: EMPTY_RING,
  };
}

export function findServer(fleet: Fleet, name: string): Server | undefined {
  return fleet.servers.find((server) => server.name === name);
}

/** STA-03: the name in the tree of the server with this key, where the console knows it; else what the source says. */
export function targetName(fleet: Fleet, item: ConnectionItem): string {
  return fleet.servers.find((server) => server.status?.key === item.targetKey)?.name ?? item.statistics.targetName;
}

export function withServer(fleet: Fleet, name: string, change: (server: Server) => Server): Fleet {
  return { ...fleet, servers: fleet.servers.map((server) => (server.name === name ? change(server) : server)) };
}

/** Applies what one link reported. Maps are copied once per batch, not once per fact. */
export function applyFacts(fleet: Fleet, name: string, facts: readonly LinkFact[], now: number): Fleet {
  return withServer(fleet, name, (before) => {
    let server = before;
    const sets = new Map(before.sets);
    const connections = new Map(before.connections);
    const grants = new Map(before.grants);
    const histories = new Map(before.histories);
    for (const fact of facts) {
      // Before the connections came, a sign of life makes nothing that is shown any younger.
      if (fact.kind !== 'link' && fact.kind !== 'remembered' && (server.current || before.heardAt === 0))
        server = { ...server, heardAt: now };
      switch (fact.kind) {
        case 'link':
          server = { ...server, link: fact.state, current: server.current && fact.state.kind === 'online' };
          break;
        case 'remembered':
          server = {
            ...server,
            heardAt: Math.min(now, fact.from.heardAt),
            remembered: true,
            hello: fact.from.hello,
            status: fact.from.status,
          };
          for (const item of fact.from.sets) sets.set(item.name, item);
          for (const item of fact.from.connections) connections.set(item.key, item);
          for (const item of fact.from.grants) grants.set(item.connection, item);
          break;
        case 'hello':
          server = { ...server, hello: fact.hello };
          // Nothing of what an earlier console was told may be shown to somebody without access.
          if (fact.hello.access === 'none') {
            for (const map of [sets, connections, grants, histories]) map.clear();
            server = { ...server, status: null, heardAt: now, remembered: false, current: true };
          }
          break;
        case 'heard':
          break;
        case 'status':
          server = { ...server, status: fact.status };
          break;
        case 'sets':
          sets.clear();
          for (const item of fact.all) sets.set(item.name, item);
          break;
        case 'set':
          sets.set(fact.item.name, fact.item);
          break;
        case 'set_gone':
          sets.delete(fact.key);
          break;
        case 'connections':
          connections.clear();
          for (const item of fact.all) take(item);
          for (const key of histories.keys()) if (!connections.has(key)) histories.delete(key);
          server = { ...server, heardAt: now, remembered: false, current: true };
          break;
        case 'connection':
          take(fact.item);
          break;
        case 'connection_gone':
          connections.delete(fact.key);
          histories.delete(fact.key);
          break;
        case 'grants':
          grants.clear();
          for (const item of fact.all) grants.set(item.connection, item);
          break;
        case 'grant':
          grants.set(fact.item.connection, fact.item);
          break;
        case 'grant_gone':
          grants.delete(fact.key);
          break;
        case 'log':
          server = {
            ...server,
            log: addLines(restarted(server.log, fact) ? startAgain(server.log) : server.log, fact.lines),
          };
          break;
      }
    }
    return { ...server, sets, connections, grants, histories };

    function take(item: ConnectionItem): void {
      connections.set(item.key, item);
      histories.set(item.key, note(histories.get(item.key) ?? NO_HISTORY, item, now));
    }
  });
}

/** A snapshot whose newest line is older than what we hold comes from an agent that started anew. */
function restarted(ring: LogRing, fact: { lines: readonly LogLine[]; snapshot: boolean }): boolean {
  if (!fact.snapshot || ring.last === 0) return false;
  return fact.lines.reduce((most, line) => Math.max(most, line.sequence), 0) < ring.last;
}

/** Can what is shown be trusted to be current? */
export function isStale(server: Server): boolean {
  return server.link.kind !== 'online' || !server.current;
}

/** A server's part of what the next console shows at once; null when there is nothing worth keeping. */
export function rememberedOf(server: Server): Remembered | null {
  if (!server.hello || server.hello.access === 'none' || server.heardAt === 0 || server.remembered) return null;
  return {
    heardAt: server.heardAt,
    hello: server.hello,
    status: server.status,
    sets: [...server.sets.values()],
    connections: [...server.connections.values()],
    grants: [...server.grants.values()],
  };
}

interface RollUp {
  readonly severity: Severity;
  readonly problems: number;
  /** Worst of each set's connections, by name of the set. */
  readonly ofSets: ReadonlyMap<string, Severity>;
}

/** A server never changes, it is replaced: what follows from it is worked out once, however many connections it has. */
const rolledUp = new WeakMap<Server, RollUp>();

function rollUp(server: Server): RollUp {
  const known = rolledUp.get(server);
  if (known) return known;
  const made = workOut(server);
  rolledUp.set(server, made);
  return made;
}

function workOut(server: Server): RollUp {
  const parts: Severity[] = [];
  const ofSets = new Map<string, Severity>();
  let problems = 0;
  if (server.hello?.access === 'none') parts.push('warn');
  if (server.status) parts.push(ofNotice(server.status.severity));
  // Nobody pauses a target for good: it waits for a person (CON-60).
  if (server.status?.targetPaused) parts.push('warn');
  for (const set of server.sets.values()) {
    const own = ofSet(set);
    parts.push(own);
    if (rank(own) >= rank('warn')) problems++;
  }
  for (const connection of server.connections.values()) {
    const own = ofConnection(connection);
    parts.push(own);
    if (rank(own) >= rank('warn')) problems++;
    ofSets.set(connection.set, worst([own, ofSets.get(connection.set) ?? 'ok']));
  }
  return { severity: worst(parts), problems, ofSets };
}

/** How a server is, its sets and connections included (RCN-23). */
export function serverSeverity(server: Server): Severity {
  switch (server.link.kind) {
    case 'lost':
    case 'refused':
      return 'alert';
    case 'off':
      return 'ok';
    case 'connecting':
      // One that was there before is missed; one that never answered is only new.
      return server.link.attempt > 1 || (server.heardAt > 0 && !server.remembered) ? 'alert' : 'notice';
    case 'online':
      return server.current ? rollUp(server).severity : 'notice';
  }
}

export function setSeverity(server: Server, set: SetItem): Severity {
  return worst([ofSet(set), rollUp(server).ofSets.get(set.name) ?? 'ok']);
}

/** How many things need a person, for "2 problems": the link itself, sets, connections. */
export function problemCount(server: Server): number {
  return rollUp(server).problems + (isStale(server) && serverSeverity(server) === 'alert' ? 1 : 0);
}
