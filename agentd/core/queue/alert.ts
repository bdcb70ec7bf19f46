/** QUE-10: when the use of a queue is told. Pure. */

export interface QueueUse {
  /** Encoded bytes in memory and on disk. */
  readonly held: number;
  /** What both stages could hold; 0: not known. */
  readonly capacity: number;
}

export type AlertState = 'calm' | 'alerted';
export type AlertAct = 'alert' | 'calm';

/** Told again only after it went so far below the threshold that it is another crossing, as parts of the threshold. */
const CALM_SHARE = 0.8;

export const usePercent = ({ held, capacity }: QueueUse): number =>
  capacity <= 0 ? 0 : Math.min(100, Math.floor((held / capacity) * 100));

/**
 * @param percent the setting, 0: off
 * @returns the next state and what is to be told, if anything
 */
export function alertStep(state: AlertState, use: QueueUse, percent: number): readonly [AlertState, AlertAct | null] {
  if (percent === 0) return ['calm', null];
  const now = usePercent(use);
  if (state === 'calm') return now >= percent && use.held > 0 ? ['alerted', 'alert'] : ['calm', null];
  return now < percent * CALM_SHARE ? ['calm', 'calm'] : ['alerted', null];
}

export interface VolumeFacts {
  /** What tells one volume from another. */
  readonly device: number;
  readonly totalBytes: number;
}

/**
 * QUE-03: what is wrong with the place of the queue, as words; null when nothing is.
 * @param roots replicated directories with the volume of each
 */
export function placeProblem(
  queue: VolumeFacts,
  system: VolumeFacts | null,
  roots: readonly { readonly path: string; readonly volume: VolumeFacts }[],
): string | null {
  const shared = roots.find(({ volume }) => volume.device === queue.device);
  if (shared) return `it is on the same volume as the replicated ${shared.path}`;
  return system?.device === queue.device ? 'it is on the root volume' : null;
}

/** QUE-07: the minimum free space must be less than disk size minus maximum queue. */
export function limitsProblem(queue: VolumeFacts, diskMb: number, freeMb: number): string | null {
  if (diskMb === 0) return null;
  const size = Math.floor(queue.totalBytes / 1_048_576);
  const left = size - Math.max(0, diskMb);
  if (freeMb < left) return null;
  return diskMb < 0
    ? `queue.free_mb ${freeMb} is not less than the ${size} MB of the volume`
    : `queue.free_mb ${freeMb} is not less than the ${size} MB of the volume minus queue.disk_mb ${diskMb}`;
}
