/** Quarantine: paths that a target refused, told again with growing pauses while everything else goes on (P6, REP-10). */
import { QUARANTINE_PAGE_MAX } from '../limits.js';
import {
  count,
  type Infer,
  list,
  method,
  nullable,
  oneOf,
  optional,
  path,
  struct,
  text,
  wallTime,
  whole,
} from '../schema.js';

const id = count('connection ID (CON-01)');

export const QUARANTINE_OPERATION = [
  'mkdir',
  'file',
  'create',
  'write',
  'truncate',
  'punch',
  'setattr',
  'xattrs',
  'symlink',
  'link',
  'mknod',
  'remove',
  'rename',
  'unknown',
] as const;

export const QuarantineItem = struct({
  path: text(8_192, 'path on the source'),
  operation: oneOf(QUARANTINE_OPERATION, 'what was refused last'),
  call: text(256, 'call that failed on the target; empty: it does not say'),
  errno: text(32, 'its error'),
  error: text(256, 'its error in words'),
  attempts: count('refusals so far'),
  since: wallTime('first refusal'),
  next: nullable(wallTime('told again then; null: it has been, and the target is to say')),
});
export type QuarantineItem = Infer<typeof QuarantineItem>;

export const QuarantineList = method(
  'quarantine.list',
  'monitor',
  false,
  struct({
    id,
    after: optional(path('the last path of the page before; from the start when left out')),
    limit: optional(whole(1, QUARANTINE_PAGE_MAX, 'paths in the answer; as many as there may be when left out')),
  }),
  struct({
    items: list(QuarantineItem, QUARANTINE_PAGE_MAX, 'in the order of their paths'),
    omitted: count('behind the last one'),
    total: count('paths in quarantine'),
  }),
  'P6: paths that the target refused, with what failed there and when they are told again.',
);
export const QuarantineRetry = method(
  'quarantine.retry',
  'administrator',
  true,
  struct({ id, path: optional(path('as it is listed; all when left out')) }),
  struct({ count: count('paths told again; those that are refused once more stay in quarantine') }),
  'REP-10: tells refused paths again now.',
);
