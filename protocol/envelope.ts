/** What a control frame may hold. `id` is chosen by the console and unique on its link while in use. */
import { z } from 'zod';
import { count, list, optional, struct, text } from './schema.js';
import { Notice } from './messages/log.js';

/** What travels for a failed request. */
export const WireError = Notice;
export type WireError = Notice;

/** First frame of each side. */
export const Opening = struct({
  versions: struct({ min: count('oldest protocol version spoken'), max: count('newest') }),
  capabilities: list(text(64, 'capability'), 256, 'what is understood beyond the version'),
  software: text(64, 'release'),
});
export type Opening = z.infer<typeof Opening>;

const id = count('number of the request or subscription on this link');

export const Request = struct({ kind: z.literal('request'), id, method: text(64, 'family.verb'), params: z.unknown() });
export const Subscribe = struct({ kind: z.literal('subscribe'), id, topic: text(64, 'topic'), params: z.unknown() });
export const Cancel = struct({ kind: z.literal('cancel'), id });
/** Console to agent. */
export const Upstream = z.discriminatedUnion('kind', [Request, Subscribe, Cancel]);
export type Upstream = z.infer<typeof Upstream>;

export const Response = struct({
  kind: z.literal('response'),
  id,
  result: optional(z.unknown()),
  error: optional(WireError),
});
/** One item of what is there already. */
export const Snapshot = struct({ kind: z.literal('snapshot'), id, item: z.unknown() });
/** The snapshot is complete; deltas follow, numbered from 1. */
export const Synced = struct({ kind: z.literal('synced'), id });
export const Delta = struct({
  kind: z.literal('delta'),
  id,
  number: count('1, 2, 3 ...; a gap means: subscribe again'),
  put: optional(z.unknown()),
  remove: optional(text(1024, 'key')),
});
/** The subscription is over. */
export const Ended = struct({ kind: z.literal('ended'), id, error: optional(WireError) });
/** Agent to console. */
export const Downstream = z.discriminatedUnion('kind', [Response, Snapshot, Synced, Delta, Ended]);
export type Downstream = z.infer<typeof Downstream>;
