/** What a console does for `connect`: asks the source, grants on the target, creates the connection. */
import type { Client } from '../../protocol/client.js';
import {
  ConnectionCreate,
  ConnectionPrepare,
  ConnectionRemove,
  GrantCreate,
  GrantRemove,
  type Mapping,
  type MirrorOptions,
  PeerShow,
  PeerTrust,
  type Rule,
  SetDelete,
  SetSave,
} from '../../protocol/messages/index.js';

export interface Introduction {
  readonly set: string;
  readonly source: string;
  readonly target: string;
  /** Where the target's data link listens. */
  readonly host: string;
  readonly port: number;
  readonly mirror: MirrorOptions;
  /** Default: everything below `source`. */
  readonly rules?: Rule[];
  /** Default: `source` to `target`. */
  readonly mappings?: Mapping[];
  /** The set is there already. */
  readonly saved?: boolean;
}

export interface Link {
  readonly set: string;
  /** Permanent key of the connection. */
  readonly key: string;
  readonly source: string;
  readonly target: string;
}

/** Saves a set of one directory and connects it to a directory of the target. */
export async function connect(source: Client, target: Client, it: Introduction): Promise<Link> {
  const rules = it.rules ?? [{ path: it.source, include: true, recursive: true }];
  if (!it.saved) await source.request(SetSave, { name: it.set, generation: null, rules });
  const prepared = await source.request(ConnectionPrepare, {
    set: it.set,
    mapping: { kind: 'custom', custom: it.mappings ?? [{ source: it.source, target: it.target }] },
  });
  const peer = await target.request(PeerShow, {});
  await target.request(PeerTrust, { name: prepared.server, key: prepared.peer });
  await target.request(GrantCreate, {
    connection: prepared.key,
    peer: prepared.peer,
    server: prepared.server,
    set: it.set,
    mappings: prepared.mappings,
    origins: prepared.origins,
  });
  await source.request(ConnectionCreate, {
    key: prepared.key,
    set: it.set,
    generation: prepared.generation,
    target: { name: peer.name, key: peer.key, host: it.host, port: it.port },
    mappings: prepared.mappings,
    mirror: it.mirror,
    replication: true,
  });
  return { set: it.set, key: prepared.key, source: it.source, target: it.target };
}

/** Takes all of it back. */
export async function disconnect(source: Client, target: Client, link: Link, id: number): Promise<void> {
  await source.request(ConnectionRemove, { id });
  await target.request(GrantRemove, { connection: link.key });
  await source.request(SetDelete, { name: link.set });
}
