/** Task commands: run on a target at a known point of the stream, or at once (REP-20..22). */
import {
  TASK_ARGUMENT_LENGTH_MAX,
  TASK_ARGUMENTS_MAX,
  TASK_LIST_MAX,
  TASK_MS_MAX,
  TASK_OUTPUT_BYTES_MAX,
} from '../limits.js';
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

export const TASK_PHASE = ['waiting', 'placed', 'lost', 'running', 'ended'] as const;
export const TASK_RESULT = ['done', 'failed', 'timed_out', 'refused', 'not_run', 'unknown'] as const;
export type TaskResult = (typeof TASK_RESULT)[number];

export const TaskCommand = list(
  text(TASK_ARGUMENT_LENGTH_MAX, 'word'),
  TASK_ARGUMENTS_MAX,
  'program and arguments; no shell reads them',
);

/** How it ended, as the target knows it. */
export const TaskOutcome = struct({
  result: oneOf(
    TASK_RESULT,
    'done: exit code 0. refused: the target does not run it. not_run: the stream ended before it. unknown: it was begun, and the agent ended before it knew how it went; it is never begun again',
  ),
  exit: nullable(count('exit code; null when it has none')),
  signal: nullable(text(16, 'what ended it')),
  why: text(1_024, 'in words, for everything but done'),
  output: text(TASK_OUTPUT_BYTES_MAX + 256, 'begin and end of what it wrote, both streams in order'),
  omitted: bytes('left out between them'),
  started: nullable(wallTime('on the clock of the server that ran it')),
  ms: millis('how long it ran'),
});
export type TaskOutcome = Infer<typeof TaskOutcome>;

export const TaskItem = struct({
  key: text(64, 'permanent key; the same on both servers'),
  role: oneOf(['source', 'target', 'direct'], 'source: sent from here. target: came in a stream. direct: REP-22'),
  phase: oneOf(TASK_PHASE, 'placed: in the stream. lost: that stream ended, the target is asked what became of it'),
  purpose: oneOf(['task', 'bookmark'], 'what it is for'),
  connection: text(64, 'permanent key of the connection; empty for a direct one'),
  set: text(255, 'replication set; empty for a direct one'),
  server: text(255, 'the other server'),
  command: TaskCommand,
  durable: flag('everything before it was to be on stable storage of the target first'),
  by: text(255, 'who asked'),
  asked: wallTime('when'),
  outcome: nullable(TaskOutcome),
});
export type TaskItem = Infer<typeof TaskItem>;

const timeoutMs = optional(
  whole(1, TASK_MS_MAX, 'the target ends it after this; its own setting task.timeout_s when left out or smaller'),
);

export const TaskRun = method(
  'task.run',
  'administrator',
  true,
  struct({
    id: count('connection ID (CON-01)'),
    command: TaskCommand,
    durable: optional(flag('first everything before it is made durable on the target')),
    timeoutMs,
    placeMs: optional(whole(1, TASK_MS_MAX, 'give up when it cannot be put into the stream within this; 60000')),
    wait: optional(flag('answer when it has ended, which is the default; otherwise when it is in the stream')),
  }),
  TaskItem,
  'REP-20: put into the stream behind everything that changed before the call; the target runs it when that is applied, and applies nothing behind it until it has ended.',
);
export const TaskSubmit = method(
  'task.submit',
  'administrator',
  true,
  struct({ command: TaskCommand, timeoutMs }),
  TaskItem,
  'REP-22: runs on this server at once, beside the streams. Answers when it has ended.',
);
export const TaskList = method(
  'task.list',
  'monitor',
  false,
  struct({}),
  struct({ tasks: list(TaskItem, TASK_LIST_MAX, 'newest first; outputs are left out') }),
  'The last tasks that this server sent or ran.',
);
export const TaskShow = method(
  'task.show',
  'administrator',
  false,
  struct({ key: text(64, 'key of the task') }),
  TaskItem,
  'One of them with its output.',
);
