/** Writes statistics of every connection at an interval (LOG-07, SRV-20, SRV-76) and reads them back (LOG-08). */
import { failure } from '../../protocol/errors.js';
import { STATISTICS_RECORDS_MAX } from '../../protocol/limits.js';
import type { ConnectionItem } from '../../protocol/messages/connection.js';
import type { StatisticsQuery, StatisticsRead } from '../../protocol/statistics-file.js';
import type { StatisticsStore } from '../ports/statistics-store.js';
import type { SettingsStore } from './settings.js';
import { causeOf, type World } from './world.js';

export type StatisticsAsked = Omit<StatisticsQuery, 'limit'> & { readonly limit?: number | undefined };

export class StatisticsLog {
  #cancel: (() => void) | null = null;
  #troubled = false;
  #stopped = false;

  constructor(
    readonly world: World,
    readonly store: StatisticsStore,
    readonly items: () => readonly ConnectionItem[],
    settings: SettingsStore,
  ) {
    settings.onChange((changed) => {
      if (changed.has('statistics.enabled') || changed.has('statistics.interval_s')) this.#arm();
    });
  }

  start(): void {
    this.#arm();
  }

  /** Takes a last look and ends. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    if (this.world.settings['statistics.enabled']) await this.write();
    await this.store.close();
  }

  /** Looks at every connection now. Never throws: statistics must not hold anything up. */
  async write(): Promise<void> {
    const { clock, log } = this.world;
    const at = clock.wall();
    try {
      await this.store.append(
        this.items().map(({ key, latencyMs, wireBytes, quarantined, statistics }) => ({
          at,
          key,
          latencyMs,
          wireBytes,
          quarantined,
          statistics,
        })),
      );
      if (this.#troubled) log.say('STATISTICS_WRITTEN', { file: this.store.file });
      this.#troubled = false;
    } catch (error) {
      if (!this.#troubled) log.say('STATISTICS_NOT_WRITTEN', { file: this.store.file }, {}, causeOf(error));
      this.#troubled = true;
    }
  }

  async read(query: StatisticsAsked): Promise<StatisticsRead> {
    try {
      return await this.store.read({ ...query, limit: query.limit ?? STATISTICS_RECORDS_MAX });
    } catch (error) {
      const cause = causeOf(error);
      throw failure(
        'STATISTICS_UNREADABLE',
        { file: this.store.file, problem: cause ? 'the system refused it' : (error as Error).message },
        cause,
      );
    }
  }

  #arm(): void {
    const { clock, settings } = this.world;
    this.#cancel?.();
    this.#cancel = null;
    if (this.#stopped || !settings['statistics.enabled']) return;
    this.#cancel = clock.after(settings['statistics.interval_s'] * 1000, () => {
      this.#cancel = null;
      void this.write().finally(() => {
        // A change of the interval meanwhile has armed it already.
        if (this.#cancel === null) this.#arm();
      });
    });
  }
}
