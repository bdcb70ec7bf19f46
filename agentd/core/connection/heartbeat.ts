/** What heartbeats prove, by how often they come. Pure. */
import { HEARTBEAT_FRESH_MS } from '../../../protocol/limits.js';
import type { Settings } from '../settings/settings.js';

/** A target that was heard within this time is good: three heartbeats may be late, and the third takes its way (I3). */
export const freshMs = (settings: Pick<Settings, 'heartbeat.interval_s'>): number => {
  const interval = settings['heartbeat.interval_s'];
  return interval === 0 ? HEARTBEAT_FRESH_MS : interval * 3_000 + 1_000;
};
