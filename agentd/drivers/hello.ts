/** What the control planes say to each other when a data link opens: CBOR, checked like everything from outside. */
import type { z } from 'zod';
import { decode, encode } from '../../protocol/codec.js';
import { WireError } from '../../protocol/envelope.js';
import { type Failure, Failure as FailureError, failure } from '../../protocol/errors.js';
import {
  BOOKMARK_NAME_LENGTH_MAX,
  MAPPING_COUNT_MAX,
  ORIGIN_COUNT_MAX,
  TASK_LIST_MAX,
  TASK_MS_MAX,
} from '../../protocol/limits.js';
import { Mapping, Origin } from '../../protocol/messages/peer.js';
import { BOOKMARK_HOW } from '../../protocol/messages/bookmark.js';
import { TaskCommand, TaskOutcome } from '../../protocol/messages/task.js';
import {
  count,
  type Infer,
  list,
  nullable,
  oneOf,
  optional,
  problemOf,
  struct,
  text,
  wallTime,
  whole,
} from '../../protocol/schema.js';

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
  can: optional(
    list(text(32, 'word'), 32, 'what its release can do beyond the first; `task`: holds a stream at a task'),
  ),
});
export type LinkWelcome = Infer<typeof LinkWelcome>;

/** A task in the stream. */
export const LinkTask = struct({
  key: text(64, 'permanent key'),
  purpose: oneOf(['task', 'bookmark'], 'what it is for'),
  command: TaskCommand,
  timeoutMs: optional(whole(1, TASK_MS_MAX, 'end it after this')),
  by: text(255, 'who asked'),
  asked: wallTime('when'),
  bookmark: optional(
    struct({
      name: text(BOOKMARK_NAME_LENGTH_MAX, 'name'),
      how: oneOf(BOOKMARK_HOW, 'how good it is'),
      at: wallTime('the point, on the clock of the source'),
    }),
  ),
});
export type LinkTask = Infer<typeof LinkTask>;

/** Source to target, while linked: what became of these? */
export const LinkTaskQuestion = struct({
  ask: list(text(64, 'key'), TASK_LIST_MAX, 'answered when they have ended'),
  forbid: list(text(64, 'key'), TASK_LIST_MAX, 'answered at once; one that was not reached will not run any more'),
});
export type LinkTaskQuestion = Infer<typeof LinkTaskQuestion>;

/** Target to source. */
export const LinkTaskAnswer = struct({ key: text(64, 'key'), outcome: TaskOutcome });
export type LinkTaskAnswer = Infer<typeof LinkTaskAnswer>;

/** Target to source, while linked: what it tries again holds up the stream; null: not any more. */
export const LinkTrouble = struct({
  trouble: nullable(
    struct({
      path: text(8_192, 'path, or the directory that is missing'),
      call: text(255, 'the refused call'),
      errno: text(64, 'its error'),
    }),
  ),
});
export type LinkTrouble = Infer<typeof LinkTrouble>;
export const encodeTrouble = (trouble: LinkTrouble): Buffer => encode(trouble);

export const encodeTask = (task: LinkTask): Buffer => encode(task);
export const encodeTaskQuestion = (tasks: LinkTaskQuestion): Buffer => encode({ tasks });
export const encodeTaskAnswer = (task: LinkTaskAnswer): Buffer => encode({ task });

/** What it holds, or null when it is something else, such as a message of a newer release. */
function reader<S extends z.ZodType>(schema: S): (bytes: Uint8Array) => z.infer<S> | null {
  return (bytes) => {
    try {
      const read = schema.safeParse(decode(bytes));
      return read.success ? read.data : null;
    } catch {
      return null;
    }
  };
}
export const decodeTrouble = reader(LinkTrouble);
export const decodeTask = reader(LinkTask);
export const decodeTaskQuestion = reader(struct({ tasks: LinkTaskQuestion }));
export const decodeTaskAnswer = reader(struct({ task: LinkTaskAnswer }));

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
