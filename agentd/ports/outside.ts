/** What an agent needs besides replication: all of it may be missing in a test, and nothing of it may hold it up. */
import type { Configured } from '../core/settings/settings.js';
import type { FileSystems } from './file-systems.js';
import type { SendMail } from './mail.js';
import type { ServeMetrics } from './metrics-server.js';
import type { StatisticsStore } from './statistics-store.js';
import type { TaskRunner } from './task-runner.js';
import type { SendTrap } from './traps.js';
import type { Vault } from './vault.js';

export interface Outside {
  readonly vault: Vault;
  /** Reads the configuration file again; throws CONFIG_INVALID. */
  readonly reread: () => Configured;
  readonly sendMail: SendMail;
  readonly sendTrap: SendTrap;
  /** Null: none is kept. */
  readonly statistics: StatisticsStore | null;
  /** Null: nobody can fetch them. */
  readonly serveMetrics: ServeMetrics | null;
  readonly tasks: TaskRunner;
  readonly fileSystems: FileSystems;
  /** Memory of this machine, or as much of it as this process may use. */
  readonly memoryBytes: number;
}

/** An agent that knows nobody. */
export function alone(configured: Configured): Outside {
  const nobody = async (): Promise<never> => {
    throw new Error('this agent has no road to anybody');
  };
  return {
    vault: { read: () => null, has: () => false, write: async () => undefined },
    reread: () => configured,
    sendMail: nobody,
    sendTrap: nobody,
    statistics: null,
    serveMetrics: null,
    tasks: { run: nobody, endLeftovers: async () => 0 },
    memoryBytes: 1024 ** 3,
    fileSystems: { of: () => 'unknown', thaw: () => false },
  };
}
