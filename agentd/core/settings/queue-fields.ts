/** Settings of the queues (SPEC H, SRV-40, SRV-56, SRV-57). */
import type { Field } from './field.js';

const folder = (value: string): string | null =>
  /^\/[^\0]+$/.test(value) && !/(^|\/)\.\.?(\/|$)|\/\/|\/$/.test(value) ? null : 'must be an absolute directory';

export const WHEN_FULL = ['wait', 'disconnect'] as const;

export const QUEUE_FIELDS = [
  {
    key: 'queue.memory_mb',
    row: 'QUE-04',
    kind: 'whole',
    preset: 128,
    min: 32,
    max: 1_048_576,
    why: 'MB of memory for changes that wait, for all connections of this server together; beyond it the disk is used',
  },
  {
    key: 'queue.folder',
    row: 'QUE-02',
    kind: 'text',
    preset: '{queue}',
    check: folder,
    why: 'where changes wait that do not fit into memory; best a volume of its own (QUE-03)',
  },
  {
    key: 'queue.disk_mb',
    row: 'QUE-06',
    kind: 'whole',
    preset: -1,
    min: -1,
    max: 1_099_511_627_776,
    why: 'MB of disk that one connection may use for its queue; -1: unlimited, 0: no disk queue',
  },
  {
    key: 'queue.free_mb',
    row: 'QUE-07',
    kind: 'whole',
    preset: 50,
    min: 0,
    max: 1_099_511_627_776,
    why: 'MB that queues leave free on their volume, whatever queue.disk_mb allows (QUE-08)',
  },
  {
    key: 'queue.alert_percent',
    row: 'QUE-10',
    kind: 'whole',
    preset: 50,
    min: 0,
    max: 100,
    live: true,
    why: 'usage of a queue, memory and disk together, that writes an alert to the log; 0: none',
  },
  {
    key: 'queue.when_full',
    row: 'QUE-09',
    kind: 'choice',
    preset: 'wait',
    choices: WHEN_FULL,
    why: 'a full queue: wait keeps the names of what changes and reads them when there is room; disconnect gives the stream up, and a mirror follows (MIR-30)',
  },
] as const satisfies readonly Field[];
