/** Task commands and bookmarks. */
import { define } from './define.js';

type At = { id: number; set: string; target: string };

export const TASK_REQUESTS = {
  TASK_DISABLED: define<{ server: string }>({
    id: 1710,
    severity: 'error',
    retry: 'after_fix',
    exit: 4,
    message: (p) => `Task command processing is off on ${p.server} (REP-21).`,
    remedy: (p) =>
      `Whoever may let commands run there turns it on: \`understudy config set ${p.server} task.enabled=true\`.`,
  }),
  TASK_OUTDATED: define<{ target: string }>({
    id: 1711,
    severity: 'error',
    retry: 'after_fix',
    exit: 4,
    message: (p) => `The agent of ${p.target} is too old to hold its stream at a task.`,
    remedy: () => 'Bring it to the release of this agent.',
  }),
  TASK_NOT_PLACED: define<{ id: number; why: string }>({
    id: 1712,
    severity: 'error',
    retry: 'after_fix',
    exit: 1,
    message: (p) => `The task was not put into the stream of connection ${p.id} and did not run: ${p.why}.`,
    remedy: () => 'Start what is stopped, mirror if `Mirror Required` is shown, then repeat.',
  }),
  TASK_UNKNOWN: define<{ key: string }>({
    id: 1713,
    severity: 'error',
    message: (p) => `No task ${p.key} is remembered here.`,
    remedy: () => '`understudy task list` shows those that are.',
  }),
} as const;

export const TASK_EVENTS = {
  TASK_PLACED: define<At & { command: string }>({
    id: 2510,
    severity: 'information',
    message: (p) => `Connection ${p.id}: the task \`${p.command}\` is in the stream to ${p.target}.`,
  }),
  TASK_BEGAN: define<{ where: string; command: string; user: string }>({
    id: 2511,
    severity: 'information',
    message: (p) => `Task \`${p.command}\` (${p.where}) begins as ${p.user}.`,
  }),
  TASK_DONE: define<{ where: string; command: string; ms: number }>({
    id: 2512,
    severity: 'information',
    message: (p) => `Task \`${p.command}\` (${p.where}) ended with exit code 0 after ${p.ms} ms.`,
  }),
  TASK_NOT_DONE: define<{ where: string; command: string; text: string }>({
    id: 2513,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `Task \`${p.command}\` (${p.where}) ${p.text}.`,
    remedy: () => 'Its output is shown by `understudy task show`; replication goes on.',
  }),
  TASK_DOUBTFUL: define<{ where: string; command: string; text: string }>({
    id: 2514,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `Task \`${p.command}\` (${p.where}) ${p.text}.`,
    remedy: () =>
      'Look at what it should have done, then ask for it again if it is missing; it is never repeated by itself.',
  }),
} as const;
