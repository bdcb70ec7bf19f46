/** Pairing (DESIGN 4): whose key is trusted, and what a source may write here. */
import {
  count,
  flag,
  type Infer,
  keyDigest,
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
import { TARGET_STATUS } from './statistics.js';
import { GRANT_COUNT_MAX, MAPPING_COUNT_MAX, ORIGIN_COUNT_MAX, PEER_COUNT_MAX } from '../limits.js';

export const Peer = struct({
  name: text(255, 'name of the other server'),
  key: keyDigest('hex SHA-256 of its public key'),
  trusted: wallTime('since when'),
});
export type Peer = Infer<typeof Peer>;

export const PeerShow = method(
  'peer.show',
  'monitor',
  false,
  struct({}),
  struct({
    name: text(255, 'name of this server'),
    key: keyDigest('hex SHA-256 of its public key'),
    listen: struct({
      host: text(255, 'address of the data link'),
      port: count('port of the data link, 0 when it does not listen'),
    }),
    addresses: list(text(255, 'address'), 256, 'addresses of this server, primary first'),
    peers: list(Peer, PEER_COUNT_MAX, 'trusted servers'),
  }),
  'What another server has to know to trust this one, and whom this one trusts.',
);
export const PeerTrust = method(
  'peer.trust',
  'administrator',
  true,
  struct({ name: text(255, 'name of the other server'), key: keyDigest('its key') }),
  struct({ changed: flag('false when it was trusted already') }),
  'Trusts a server. A grant or a connection is still needed for data to flow.',
);
export const PeerForget = method(
  'peer.forget',
  'administrator',
  true,
  struct({ key: keyDigest('its key') }),
  struct({ grants: count('grants that ended with it') }),
  'Ends the trust and every grant of that server.',
);

export const Mapping = struct({
  source: path('absolute directory on the source'),
  target: path('absolute directory on the target'),
});
export type Mapping = Infer<typeof Mapping>;

/** A place the data passes or starts from; tells loops (TOP-08). */
export const Origin = struct({ key: keyDigest('server'), path: path('directory on it') });
export type Origin = Infer<typeof Origin>;

export const GrantSpec = struct({
  connection: text(64, 'permanent key of the connection'),
  peer: keyDigest('key of the source'),
  server: text(255, 'name of the source'),
  set: text(255, 'replication set'),
  mappings: list(Mapping, MAPPING_COUNT_MAX, 'directories that may be written, in the order of the source'),
  origins: list(Origin, ORIGIN_COUNT_MAX, 'where the data comes from, this source included'),
  ignoreDeletes: optional(flag('REP-13: deleted files are kept')),
  remapLinks: optional(flag('CAP-31..33: on when left out')),
});
export type GrantSpec = Infer<typeof GrantSpec>;

export const Grant = struct({
  connection: text(64, 'permanent key of the connection'),
  peer: keyDigest('key of the source'),
  server: text(255, 'name of the source'),
  set: text(255, 'replication set'),
  mappings: list(Mapping, MAPPING_COUNT_MAX, 'directories that may be written'),
  ignoreDeletes: flag('REP-13'),
  remapLinks: flag('CAP-33'),
  created: wallTime('when'),
  createdBy: text(255, 'by whom'),
  linked: flag('the data link is up'),
  address: nullable(text(255, 'where the source called from last')),
  paused: flag('CON-60'),
  status: oneOf(TARGET_STATUS, 'STA-06 as this side knows it; Unknown without a link'),
  writtenBytes: count('bytes written since the link came up'),
  queuedBytes: count('received and not yet applied'),
  operations: count('operations applied since the link came up'),
  failed: count('operations in quarantine'),
  lastFileTouched: text(8_192, 'last path written'),
});
export type Grant = Infer<typeof Grant>;

export const GrantCreate = method(
  'grant.create',
  'administrator',
  true,
  GrantSpec,
  struct({ mappings: list(Mapping, MAPPING_COUNT_MAX, 'as granted') }),
  'Lets a trusted source write below these directories and nowhere else (I5). Refuses loops (TOP-08) and shared locations (TOP-09).',
);
export const GrantChange = method(
  'grant.change',
  'administrator',
  true,
  struct({
    connection: text(64, 'permanent key of the connection'),
    ignoreDeletes: flag('REP-13: deleted files are kept from now on'),
  }),
  struct({ changed: flag('false when it was so already') }),
  'Ignore Delete Operations, for a connection that is there already (SRV-52). Takes effect with the next operation.',
);
export const GrantRemove = method(
  'grant.remove',
  'administrator',
  true,
  struct({ connection: text(64, 'permanent key of the connection') }),
  struct({ removed: flag('false when there was none') }),
  'Takes the permission back and ends the link.',
);
export const GrantList = method(
  'grant.list',
  'monitor',
  false,
  struct({}),
  struct({ grants: list(Grant, GRANT_COUNT_MAX, 'oldest first') }),
  'What sources may write here.',
);
export const GrantTopic = topic(
  'grants',
  'monitor',
  struct({}),
  Grant,
  (grant) => grant.connection,
  'Incoming connections with their counters.',
);
