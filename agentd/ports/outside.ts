/** What an agent needs besides replication: all of it may be missing in a test, and nothing of it may hold it up. */
import type { Configured } from '../core/settings/settings.js';
import type { Vault } from './vault.js';

export interface Outside {
  readonly vault: Vault;
  /** Reads the configuration file again; throws CONFIG_INVALID. */
  readonly reread: () => Configured;
}

/** An agent that knows nobody. */
export function alone(configured: Configured): Outside {
  return { vault: { read: () => null, has: () => false, write: async () => undefined }, reread: () => configured };
}
