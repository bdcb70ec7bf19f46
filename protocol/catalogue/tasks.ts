/** Task commands, bookmarks and simulated connections. */
import { define, span } from './define.js';

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
  BOOKMARK_REFUSED: define<{ id: number; why: string }>({
    id: 1720,
    severity: 'error',
    retry: 'after_fix',
    exit: 4,
    message: (p) => `No bookmark can be made this way on connection ${p.id}: ${p.why}.`,
    remedy: () => 'Make a plain one, or use commands around it (`--before`, `--after`).',
  }),
  BOOKMARK_NOT_MADE: define<{ id: number; name: string; why: string }>({
    id: 1721,
    severity: 'error',
    retry: 'backoff',
    exit: 1,
    message: (p) => `Bookmark "${p.name}" of connection ${p.id} was not made: ${p.why}.`,
    remedy: () => 'Replication goes on; repeat it when the cause is gone.',
  }),
  NOT_SIMULATED: define<{ id: number; set: string }>({
    id: 1730,
    severity: 'error',
    exit: 1,
    message: (p) =>
      `Connection ${p.id} is a real one; only a simulated one counts what a bandwidth has to carry (CON-40).`,
    remedy: (p) => `\`understudy connect SERVER:${p.set} diagnostics\` makes one beside it.`,
  }),
  SIMULATED_ONLY: define<{ id: number; action: string }>({
    id: 1731,
    severity: 'error',
    exit: 4,
    message: (p) => `Connection ${p.id} is simulated: ${p.action} needs a target.`,
    remedy: () => 'Use a connection to a server.',
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
    message: (p) => `Task \`${p.command}\` (${p.where}) ended with exit code 0 after ${span(p.ms)}.`,
  }),
  TASK_NOT_DONE: define<{ where: string; command: string; text: string }>({
    id: 2513,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `Task \`${p.command}\` (${p.where}) ${p.text}.`,
    remedy: () => 'Its output is shown by `understudy task show`; replication goes on.',
  }),
  TASK_RUNS: define<At>({
    id: 2515,
    severity: 'information',
    message: (p) => `Connection ${p.id}: ${p.target} stands at a task; what changed behind it waits in the queue.`,
    remedy: () => 'It goes on when the task has ended, at the latest when the time-out of the target is over.',
  }),
  TASK_DOUBTFUL: define<{ where: string; command: string; text: string }>({
    id: 2514,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `Task \`${p.command}\` (${p.where}) ${p.text}.`,
    remedy: () =>
      'Look at what it should have done, then ask for it again if it is missing; it is never repeated by itself.',
  }),
  BOOKMARK_MADE: define<At & { name: string; how: string }>({
    id: 2520,
    severity: 'information',
    message: (p) => `Connection ${p.id}: ${p.target} has bookmark "${p.name}" (${p.how}), durable.`,
  }),
  BOOKMARK_PLACED: define<At & { name: string }>({
    id: 2526,
    severity: 'information',
    message: (p) => `Connection ${p.id}: bookmark "${p.name}" is in the stream to ${p.target}.`,
  }),
  BOOKMARK_RECORDED: define<{ server: string; set: string; name: string; how: string }>({
    id: 2521,
    severity: 'information',
    message: (p) =>
      `Set "${p.set}" of ${p.server}: everything up to bookmark "${p.name}" (${p.how}) is on stable storage here.`,
  }),
  BOOKMARK_FAILED: define<At & { name: string; why: string }>({
    id: 2522,
    severity: 'warning',
    retry: 'backoff',
    message: (p) => `Connection ${p.id}: bookmark "${p.name}" was not made: ${p.why}.`,
    remedy: () => 'Replication goes on; the next scheduled one is made at its time.',
  }),
  BOOKMARK_COMMAND_FAILED: define<{ set: string; command: string; text: string }>({
    id: 2523,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `Set "${p.set}": the command behind a bookmark, \`${p.command}\`, ${p.text}.`,
    remedy: () => 'What it should have released may still stand still: look at the application.',
  }),
  FREEZE_UNDONE: define<{ path: string }>({
    id: 2524,
    severity: 'warning',
    message: (p) => `The file system of ${p.path} was still frozen by an agent that was killed; it is thawed now.`,
  }),
  FREEZE_NOT_UNDONE: define<{ path: string }>({
    id: 2525,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `It is not known whether the file system of ${p.path} is frozen: thawing it failed.`,
    remedy: (p) => `Run \`fsfreeze -u ${p.path}\` by hand, then look whether it can be written to.`,
  }),
  SIMULATED: define<{ id: number; set: string }>({
    id: 2530,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id} is simulated: what the set "${p.set}" would send is counted, nothing is protected (CON-41).`,
    remedy: (p) => `\`understudy estimate ${p.id}\` says what it would take.`,
  }),
} as const;
