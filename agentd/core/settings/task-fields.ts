/** Settings of task commands (SRV-21, REP-20..22); the server that runs them decides. */
import type { Field } from './field.js';

const folder = (value: string): string | null =>
  value === '' || (/^\/[^\0]*[^/\0]$/.test(value) && !/(^|\/)\.\.?(\/|$)|\/\//.test(value))
    ? null
    : 'must be empty or an absolute directory';
const user = (value: string): string | null =>
  value === '' || /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?$/.test(value) ? null : 'must be empty or the name of a user';

export const TASK_FIELDS = [
  {
    key: 'task.enabled',
    row: 'SRV-21',
    kind: 'flag',
    preset: false,
    live: true,
    why: 'tasks may be put into streams from here, and run here (REP-21)',
  },
  {
    key: 'task.user',
    row: 'REP-20',
    kind: 'text',
    preset: '',
    live: true,
    check: user,
    why: 'user that tasks run as here; empty: the one the agent runs as',
  },
  {
    key: 'task.folder',
    row: 'REP-20',
    kind: 'text',
    preset: '',
    live: true,
    check: folder,
    why: 'only programs below this folder may be tasks here; empty: any',
  },
  {
    key: 'task.timeout_s',
    row: 'REP-20',
    kind: 'whole',
    preset: 60,
    min: 1,
    max: 86_400,
    live: true,
    why: 'seconds after which a task here is ended with all its processes; the stream stands still until then',
  },
] as const satisfies readonly Field[];
