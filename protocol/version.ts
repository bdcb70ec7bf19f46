/** Versions of the control protocol. An agent and a console work together when their ranges overlap (N and N-1). */

/** Newest version spoken here. */
export const PROTOCOL_VERSION = 1;
/** Oldest version still spoken here. */
export const PROTOCOL_VERSION_MIN = 1;

/** First bytes of every control stream, so that a login banner or another daemon is never taken for frames. */
export const MAGIC = Uint8Array.from([0x89, 0x55, 0x53, 0x54, 0x44, 0x59, 0x0d, 0x0a]);

/** Release of this software; equal to package.json (a test compares them). */
export const SOFTWARE_VERSION = '0.1.0';

/** What this side understands beyond the version. Names are never reused with another meaning. */
export const CAPABILITIES: readonly string[] = ['cancel', 'subscribe'];

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

/** The newest version both ranges contain, or null when they do not overlap. */
export function negotiate(mine: VersionRange, theirs: VersionRange): number | null {
  const version = Math.min(mine.max, theirs.max);
  return version >= Math.max(mine.min, theirs.min) ? version : null;
}
