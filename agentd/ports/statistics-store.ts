/** Where statistics of connections are kept (LOG-07). */
import type { StatisticRecord } from '../../protocol/messages/statistics.js';
import type { StatisticsQuery, StatisticsRead } from '../../protocol/statistics-file.js';

export interface StatisticsStore {
  /** Its path, for messages. */
  readonly file: string;
  /** Resolves when they are on stable storage. */
  append(records: readonly Omit<StatisticRecord, 'sequence'>[]): Promise<void>;
  /** Throws an Error with the problem when the file is not what it should be; empty when there is none. */
  read(query: StatisticsQuery): Promise<StatisticsRead>;
  close(): Promise<void>;
}
