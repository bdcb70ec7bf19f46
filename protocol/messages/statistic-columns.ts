/**
 * The words and columns of the statistics, without their validator: a screen draws its first frame from these before
 * anything that checks messages is loaded (T1).
 */
import type { Statistics } from './statistics.js';

/** STA-05; `Unknown`, `Busy` and `Not Loaded` as JOB-15. */
export const TARGET_DATA_STATE = [
  'OK',
  'Mirroring',
  'Mirror Required',
  'Restore required',
  'Not Ready',
  'Busy',
  'Not Loaded',
  'Unknown',
] as const;
/** STA-06; `Unknown` without a link (I3). */
export const TARGET_STATUS = ['OK', 'Not Loaded', 'Paused', 'Pause Pending', 'Retrying', 'Unknown'] as const;
/** STA-07. */
export const COMMIT_MODE = ['Real-time', 'Scheduled'] as const;
/** STA-08, CON-02..06. */
export const TRANSMIT_MODE = ['Started', 'Paused', 'Scheduled', 'Stopped', 'Error'] as const;
/** STA-09. A percentage is shown instead of `Mirroring` when `mirrorPercent` is known (SET-20). */
export const MIRROR_STATUS = [
  'Mirroring',
  'Idle',
  'Paused',
  'Waiting',
  'Restoring',
  'Verifying',
  'Removing Orphans',
] as const;
/** STA-10, REP-08. */
export const REPLICATION_STATUS = [
  'Replicating',
  'Ready',
  'Stopped',
  'Pending',
  'Out of Memory',
  'Failed',
  'Unknown',
] as const;

export type TargetDataState = (typeof TARGET_DATA_STATE)[number];
export type TargetStatus = (typeof TARGET_STATUS)[number];
export type CommitMode = (typeof COMMIT_MODE)[number];
export type TransmitMode = (typeof TRANSMIT_MODE)[number];
export type MirrorStatus = (typeof MIRROR_STATUS)[number];
export type ReplicationStatus = (typeof REPLICATION_STATUS)[number];

export interface StatisticColumn {
  readonly id: string;
  /** Exact label of the specification. */
  readonly label: string;
  readonly field: keyof Statistics;
  readonly kind: 'text' | 'count' | 'bytes' | 'time';
  /** Shown by default. */
  readonly shown: boolean;
}

const column = (
  id: number,
  label: string,
  field: keyof Statistics,
  kind: StatisticColumn['kind'],
  shown: boolean,
): StatisticColumn => ({
  id: `STA-${id.toString().padStart(2, '0')}`,
  label,
  field,
  kind,
  shown,
});

/** Every column in default order; the console's table, the CLI and the statistics log read it. */
export const STATISTIC_COLUMNS: readonly StatisticColumn[] = [
  column(1, 'Replication Set', 'replicationSet', 'text', true),
  column(2, 'Connection ID', 'connectionId', 'count', true),
  column(3, 'Target Name', 'targetName', 'text', true),
  column(4, 'Target IP', 'targetIp', 'text', true),
  column(5, 'Target Data State', 'targetDataState', 'text', true),
  column(6, 'Target Status', 'targetStatus', 'text', true),
  column(7, 'Commit Mode', 'commitMode', 'text', false),
  column(8, 'Transmit Mode', 'transmitMode', 'text', true),
  column(9, 'Mirror Status', 'mirrorStatus', 'text', true),
  column(10, 'Replication Status', 'replicationStatus', 'text', true),
  column(11, 'Queued (Ops)', 'queuedOps', 'count', false),
  column(12, 'Sent (Bytes)', 'sentBytes', 'bytes', true),
  column(13, 'Sent Compressed (Bytes)', 'sentCompressedBytes', 'bytes', true),
  column(14, 'Intermediate Queue (Bytes)', 'intermediateQueueBytes', 'bytes', false),
  column(15, 'Disk Queue (Bytes)', 'diskQueueBytes', 'bytes', true),
  column(16, 'Queued Replication (Bytes)', 'queuedReplicationBytes', 'bytes', true),
  column(17, 'Sent Replication (Bytes)', 'sentReplicationBytes', 'bytes', true),
  column(18, 'Sent Compressed Replication (Bytes)', 'sentCompressedReplicationBytes', 'bytes', false),
  column(19, 'Queued Mirror (Ops)', 'queuedMirrorOps', 'count', false),
  column(20, 'Sent Mirror (Bytes)', 'sentMirrorBytes', 'bytes', true),
  column(21, 'Sent Compressed Mirror (Bytes)', 'sentCompressedMirrorBytes', 'bytes', false),
  column(22, 'Skipped Mirror (Bytes)', 'skippedMirrorBytes', 'bytes', true),
  column(23, 'Remaining Mirror (Bytes)', 'remainingMirrorBytes', 'bytes', true),
  column(24, 'Queued Replication (Ops)', 'queuedReplicationOps', 'count', false),
  column(25, 'Last File Touched', 'lastFileTouched', 'text', true),
  column(26, 'Connected Since', 'connectedSince', 'time', true),
];

/** STA-09 as shown: the percentage when the size is known, otherwise the word (SET-20). */
export function mirrorStatusText(statistics: Pick<Statistics, 'mirrorStatus' | 'mirrorPercent'>): string {
  return statistics.mirrorStatus === 'Mirroring' && statistics.mirrorPercent !== null
    ? `${statistics.mirrorPercent}%`
    : statistics.mirrorStatus;
}
