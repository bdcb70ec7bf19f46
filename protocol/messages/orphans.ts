/** Orphans: what a target holds and the set does not (MIR-50..62). */
import { VERIFY_PATHS_MAX } from '../limits.js';
import { count, flag, type Infer, list, method, millis, struct, text } from '../schema.js';

const id = count('connection ID (CON-01)');

export const OrphansResult = struct({
  orphans: count('names on the target only; a directory counts as one'),
  paths: list(text(8_192, 'path as it would be on the source'), VERIFY_PATHS_MAX, 'the first of them'),
  omitted: count('paths not listed'),
  wildcards: flag('MIR-59: the set has wildcards; names outside of its includes are orphans, excluded ones are kept'),
  ms: millis('how long it took'),
});
export type OrphansResult = Infer<typeof OrphansResult>;

export const OrphansStart = method(
  'orphans.start',
  'administrator',
  true,
  struct({ id, preview: flag('list only; the target logs them, nothing is touched') }),
  OrphansResult,
  'MIR-56: finds orphans and lets the target do with them what its settings say. Returns when it has worked them off.',
);
export const OrphansStop = method(
  'orphans.stop',
  'administrator',
  true,
  struct({ id }),
  struct({ stopped: flag('false when none ran') }),
  'MIR-56.',
);
