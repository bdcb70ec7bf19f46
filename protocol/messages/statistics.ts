/** The 26 connection statistics with their exact words (STA-01..26). */
import { STATISTICS_RECORDS_MAX } from '../limits.js';
import {
  bytes,
  count,
  flag,
  type Infer,
  list,
  method,
  millis,
  nullable,
  oneOf,
  optional,
  struct,
  text,
  wallTime,
  whole,
} from '../schema.js';
import {
  COMMIT_MODE,
  MIRROR_STATUS,
  REPLICATION_STATUS,
  TARGET_DATA_STATE,
  TARGET_STATUS,
  TRANSMIT_MODE,
} from './statistic-columns.js';

export * from './statistic-columns.js';

export const Statistics = struct({
  replicationSet: text(255, 'STA-01 name of the connected set'),
  connectionId: count('STA-02 connection ID (CON-01)'),
  targetName: text(255, 'STA-03 name of the target, else its address'),
  targetIp: text(255, 'STA-04 address that receives the data'),
  targetDataState: oneOf(TARGET_DATA_STATE, 'STA-05 whether the replica can be trusted (I3)'),
  targetStatus: oneOf(TARGET_STATUS, 'STA-06'),
  commitMode: oneOf(COMMIT_MODE, 'STA-07'),
  transmitMode: oneOf(TRANSMIT_MODE, 'STA-08'),
  mirrorStatus: oneOf(MIRROR_STATUS, 'STA-09'),
  mirrorPercent: nullable(
    whole(0, 100, 'STA-09, SET-20 percent complete, null when the size is not known or nothing is mirrored'),
  ),
  replicationStatus: oneOf(REPLICATION_STATUS, 'STA-10'),
  queuedOps: count('STA-11 mirror and replication operations in the source queue'),
  sentBytes: bytes('STA-12 mirror and replication bytes sent'),
  sentCompressedBytes: bytes('STA-13 the same, compressed'),
  intermediateQueueBytes: bytes('STA-14 memory used by the operations buffer'),
  diskQueueBytes: bytes('STA-15 disk used on the source'),
  queuedReplicationBytes: bytes('STA-16 replication bytes still to send'),
  sentReplicationBytes: bytes('STA-17 replication bytes sent'),
  sentCompressedReplicationBytes: bytes('STA-18 the same, compressed'),
  queuedMirrorOps: count('STA-19 mirror operations in the queue'),
  sentMirrorBytes: bytes('STA-20 mirror bytes sent'),
  sentCompressedMirrorBytes: bytes('STA-21 the same, compressed'),
  skippedMirrorBytes: bytes('STA-22 not sent because equal'),
  remainingMirrorBytes: bytes('STA-23 mirror bytes still to send'),
  queuedReplicationOps: count('STA-24 replication operations in the queue'),
  lastFileTouched: text(8_192, 'STA-25 last file sent'),
  connectedSince: nullable(wallTime('STA-26 when the data link came up; null without a link')),
});
export type Statistics = Infer<typeof Statistics>;

/** One look at one connection (LOG-07). */
export const StatisticRecord = struct({
  sequence: count('number of the record, 1 for the first one of the file; gaps are records that were overwritten'),
  at: wallTime('when it was taken'),
  key: text(64, 'permanent key of the connection; its ID is that of its time (CON-01)'),
  latencyMs: millis('GLO-29 recovery point latency; -1 unknown'),
  wireBytes: count('bytes on the wire since the link came up, both directions'),
  quarantined: count('paths the target could not write'),
  statistics: Statistics,
});
export type StatisticRecord = Infer<typeof StatisticRecord>;

export const StatisticsRead = method(
  'statistics.read',
  'monitor',
  false,
  struct({
    after: optional(count('only records with a higher number')),
    since: optional(wallTime('only records of this time and later')),
    key: optional(text(64, 'only the connection with this permanent key')),
    id: optional(count('only the connection that had this ID then')),
    limit: optional(whole(1, STATISTICS_RECORDS_MAX, 'how many at most')),
  }),
  struct({
    records: list(StatisticRecord, STATISTICS_RECORDS_MAX, 'in the order they were written'),
    more: flag('there are more: ask again with `after`'),
    unreadable: count('records among them that this release cannot read'),
  }),
  'LOG-07, LOG-08: records of the statistics file, from the oldest that is still there.',
);
