/** What the control planes say to each other when a data link opens: CBOR, checked like everything from outside. */
import { decode, encode } from '../../protocol/codec.js';
import { WireError } from '../../protocol/envelope.js';
import { type Failure, Failure as FailureError, failure } from '../../protocol/errors.js';
import { MAPPING_COUNT_MAX, ORIGIN_COUNT_MAX } from '../../protocol/limits.js';
import { Mapping, Origin } from '../../protocol/messages/peer.js';
import { count, type Infer, list, problemOf, struct, text } from '../../protocol/schema.js';

/** Source to target. */
export const LinkHello = struct({
  version: count('of this hello'),
  software: text(64, 'release of the source'),
  server: text(255, 'name of the source'),
  set: text(255, 'replication set'),
  connection: text(64, 'permanent key of the connection'),
  mappings: list(Mapping, MAPPING_COUNT_MAX, 'as the source has them'),
  origins: list(Origin, ORIGIN_COUNT_MAX, 'where the data comes from'),
});
export type LinkHello = Infer<typeof LinkHello>;

/** Source to target, while linked: the data comes from elsewhere now, since a server before it was connected anew. */
export const LinkOrigins = struct({ origins: list(Origin, ORIGIN_COUNT_MAX, 'where the data comes from') });
export type LinkOrigins = Infer<typeof LinkOrigins>;

/** Target to source. */
export const LinkWelcome = struct({
  version: count('of this welcome'),
  software: text(64, 'release of the target'),
  server: text(255, 'name of the target'),
});
export type LinkWelcome = Infer<typeof LinkWelcome>;

export const LINK_HELLO_VERSION = 1;

export const encodeHello = (hello: LinkHello): Buffer => encode(hello);
export const encodeWelcome = (welcome: LinkWelcome): Buffer => encode(welcome);
export const encodeRefusal = (refusal: Failure): Buffer => encode({ error: refusal.notice });

/** @throws Failure HELLO_INVALID */
export function decodeHello(bytes: Uint8Array): LinkHello {
  let value: unknown;
  try {
    value = decode(bytes);
  } catch (error) {
    throw failure('HELLO_INVALID', { problem: error instanceof Error ? error.message : String(error) });
  }
  const read = LinkHello.safeParse(value);
  if (!read.success) throw failure('HELLO_INVALID', { problem: problemOf(read.error) });
  return read.data;
}

/** Why the target refused, in its words or the reader's; never throws. */
export function decodeRefusal(bytes: Uint8Array): Failure {
  try {
    const read = struct({ error: WireError }).safeParse(decode(bytes));
    if (read.success) return new FailureError(read.data.error);
  } catch {
    // Said below.
  }
  return failure('HELLO_INVALID', { problem: 'the target refused without a reason this release can read' });
}

/** What the target says about itself; null when it cannot be read, which costs nothing. */
export function decodeWelcome(bytes: Uint8Array): LinkWelcome | null {
  try {
    const read = LinkWelcome.safeParse(decode(bytes));
    return read.success ? read.data : null;
  } catch {
    return null;
  }
}

export const encodeOrigins = (origins: LinkOrigins): Buffer => encode(origins);

/** New origins, or null when the message is something else, such as one of a newer source. */
export function decodeOrigins(bytes: Uint8Array): LinkOrigins | null {
  try {
    const read = LinkOrigins.safeParse(decode(bytes));
    return read.success ? read.data : null;
  } catch {
    return null;
  }
}
