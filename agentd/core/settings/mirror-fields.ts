/** Settings of how mirrors share the stream and the memory of a target (SRV-50, SRV-53, SRV-56, SRV-57). */
import type { Field } from './field.js';

export const MIRROR_FIELDS = [
  {
    key: 'source.replication_ratio',
    row: 'SRV-50',
    kind: 'whole',
    preset: 5,
    min: 1,
    max: 1_000,
    live: true,
    why: 'while changes wait to be sent, a mirror has one batch for so many of theirs; larger for heavy replication',
  },
  {
    key: 'source.mirror_pending',
    row: 'SRV-53',
    kind: 'whole',
    preset: 1_000,
    min: 10,
    max: 1_000_000,
    live: true,
    why: 'operations of a mirror, or 32 KiB of its data for each, that may be sent or queued and not applied; a change waits behind no more. At most 24 MiB wait in any case',
  },
  {
    key: 'target.mirror_high_percent',
    row: 'SRV-56',
    kind: 'whole',
    preset: 20,
    min: 1,
    max: 100,
    live: true,
    why: 'percent of the memory of this server (or of what its control group allows): when what is received of mirrors and not applied takes more, all sources pause their mirrors (QUE-12). What they have read by then, at most 24 MiB each, still comes, and so do changes of what is mirrored already',
  },
  {
    key: 'target.mirror_low_percent',
    row: 'SRV-57',
    kind: 'whole',
    preset: 10,
    min: 0,
    max: 99,
    live: true,
    why: 'percent at which they go on (QUE-13); below target.mirror_high_percent',
  },
] as const satisfies readonly Field[];

/** What single values do not show; null when nothing is wrong. */
export function mirrorProblem(values: Readonly<Record<string, unknown>>): string | null {
  const low = Number(values['target.mirror_low_percent']);
  const high = Number(values['target.mirror_high_percent']);
  return low < high
    ? null
    : `target.mirror_low_percent (${low}) must be below target.mirror_high_percent (${high}): mirrors that are paused at the one go on at the other (QUE-12, QUE-13). Set both at once`;
}
