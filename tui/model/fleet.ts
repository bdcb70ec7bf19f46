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

/** What the link reports, many at once (see tui/link/session.ts). */
export type LinkFact =
  | { readonly kind: 'link'; readonly state: LinkState }
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
      switch (fact.kind) {
        case 'link':
          server = { ...server, link: fact.state };
          break;
        case 'hello':
          server = { ...server, hello: fact.hello, heardAt: now };
          break;
        case 'heard':
          server = { ...server, heardAt: now };
          break;
        case 'status':
          server = { ...server, status: fact.status, heardAt: now };
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
          server = { ...server, log: addLines(restarted(server.log, fact) ? startAgain(server.log) : server.log, fact.lines) };
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
  return server.link.kind !== 'online';
}

/** How a server is, its sets and connections included (RCN-23). */
export function serverSeverity(server: Server): Severity {
  if (server.link.kind === 'lost' || server.link.kind === 'refused') return 'alert';
  if (server.link.kind === 'off') return 'ok';
  if (server.link.kind === 'connecting') return server.link.attempt > 1 ? 'alert' : 'notice';
  const parts: Severity[] = [];
  if (server.hello?.access === 'none') parts.push('warn');
  if (server.status) parts.push(ofNotice(server.status.severity));
  for (const set of server.sets.values()) parts.push(ofSet(set));
  for (const connection of server.connections.values()) parts.push(ofConnection(connection));
  return worst(parts);
}

export function setSeverity(server: Server, set: SetItem): Severity {
  const parts = [ofSet(set)];
  for (const connection of server.connections.values()) if (connection.set === set.name) parts.push(ofConnection(connection));
  return worst(parts);
}

/** How many things below need a person, for "2 problems". */
export function problemCount(server: Server): number {
  let count = rank(serverSeverity(server)) >= rank('warn') && isStale(server) ? 1 : 0;
  for (const set of server.sets.values()) if (rank(ofSet(set)) >= rank('warn')) count++;
  for (const connection of server.connections.values()) if (rank(ofConnection(connection)) >= rank('warn')) count++;
  return count;
}
