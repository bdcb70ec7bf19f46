/**
 * Connects a set to a target: the console, an administrator on both servers, introduces them (DESIGN 4).
 * What fails half-way is taken back.
 */
import { isIP } from 'node:net';
import type { Client } from '../../protocol/client.js';
import { failure } from '../../protocol/errors.js';
import {
  ConnectionCreate,
  ConnectionPrepare,
  GrantCreate,
  GrantRemove,
  type Mapping,
  type MappingWish,
  type MirrorOptions,
  PeerShow,
  PeerTrust,
} from '../../protocol/messages/index.js';
import { parseAddress } from '../link/transport.js';

export interface Introduction {
  readonly source: Client;
  readonly target: Client;
  readonly sourceAddress: string;
  readonly targetAddress: string;
  readonly targetName: string;
  readonly set: string;
  readonly mapping: MappingWish;
  readonly mirror: MirrorOptions;
  readonly replication: boolean;
  readonly compression?: number;
  readonly calculateSize?: boolean;
  /** CON-24: ADDRESS or ADDRESS:PORT as the source reaches the target. */
  readonly route?: string;
}

export interface Introduced {
  readonly id: number;
  readonly key: string;
  readonly route: string;
  readonly mappings: readonly Mapping[];
}

export async function introduce(it: Introduction): Promise<Introduced> {
  const prepared = await it.source.request(ConnectionPrepare, { set: it.set, mapping: it.mapping });
  const peer = await it.target.request(PeerShow, {});
  if (peer.listen.port === 0) throw failure('NOT_LISTENING', { server: it.targetName });
  const route = chooseRoute(it, peer.listen, peer.addresses);
  if (peer.key !== prepared.peer) await it.target.request(PeerTrust, { name: prepared.server, key: prepared.peer });
  const { mappings } = await it.target.request(GrantCreate, {
    connection: prepared.key,
    peer: prepared.peer,
    server: prepared.server,
    set: it.set,
    mappings: prepared.mappings,
    origins: prepared.origins,
    ...(prepared.ignoreDeletes ? { ignoreDeletes: true } : {}),
  });
  try {
    const { id } = await it.source.request(ConnectionCreate, {
      key: prepared.key,
      set: it.set,
      generation: prepared.generation,
      target: { name: it.targetName, key: peer.key, host: route.host, port: route.port },
      mappings,
      mirror: it.mirror,
      replication: it.replication,
      ...(it.compression === undefined ? {} : { compression: it.compression }),
      ...(it.calculateSize === undefined ? {} : { calculateSize: it.calculateSize }),
    });
    return {
      id,
      key: prepared.key,
      route: route.host.includes(':') ? `[${route.host}]:${route.port}` : `${route.host}:${route.port}`,
      mappings,
    };
  } catch (error) {
    await it.target.request(GrantRemove, { connection: prepared.key }).catch(() => undefined);
    throw error;
  }
}

interface Route {
  readonly host: string;
  readonly port: number;
}

/** Where the source sends the data: as told, as the target listens, or as this console reaches the target. */
export function chooseRoute(
  it: Pick<Introduction, 'route' | 'sourceAddress' | 'targetAddress'>,
  listen: Route,
  addresses: readonly string[],
): Route {
  if (it.route !== undefined) {
    const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:[\]]+)|([0-9A-Fa-f]*:[0-9A-Fa-f:.%]+))(?::(\d{1,5}))?$/.exec(it.route);
    const host = match?.[1] ?? match?.[2] ?? match?.[3];
    const port = match?.[4] === undefined ? listen.port : Number(match[4]);
    if (host === undefined || port < 1 || port > 65_535)
      throw failure('USAGE', { problem: `"${it.route}" is not a route: ADDRESS or ADDRESS:PORT.` });
    return { host, port };
  }
  const everywhere = listen.host === '0.0.0.0' || listen.host === '::';
  if (!everywhere) return { host: listen.host, port: listen.port };
  const source = parseAddress(it.sourceAddress);
  const target = parseAddress(it.targetAddress);
  const hostOf = (address: typeof source): string => (address.kind === 'unix' ? 'localhost' : address.host);
  const isLocal = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');
  if (isLocal(hostOf(source)) && isLocal(hostOf(target)))
    return { host: listen.host === '::' ? '::1' : '127.0.0.1', port: listen.port };
  // A name may be an alias of this console's ssh configuration, which the source does not know; an address is the same everywhere.
  const host = hostOf(target);
  if (isIP(host) !== 0 && !isLocal(host)) return { host, port: listen.port };
  const [first] = addresses;
  return { host: first ?? host, port: listen.port };
}
