/** The agent's log: message windows (RCN-30..33) and `understudy logs`. */
import {
  count,
  type Infer,
  list,
  method,
  nullable,
  oneOf,
  optional,
  parameters,
  struct,
  text,
  topic,
  wallTime,
  whole,
} from '../schema.js';
import { LOG_LINES_MAX } from '../limits.js';

/** LOG-03. */
export const SEVERITY = ['information', 'warning', 'error'] as const;
export type Severity = (typeof SEVERITY)[number];

/** A catalogue message: what happened to what. The reader formats it; `text` is for readers that do not know the code. */
export const Notice = struct({
  code: text(64, 'permanent code, see the catalogue'),
  id: count('numeric message ID (LOG-03)'),
  severity: oneOf(SEVERITY, 'LOG-03'),
  params: parameters('what the message names'),
  cause: nullable(
    struct({ call: text(128, 'call that was refused'), errno: text(64, 'errno name') }, 'the refused call, if one was'),
  ),
  text: text(16_384, 'the message in the words of the agent'),
  remedy: text(16_384, 'what to do, empty when nothing is needed'),
});
export type Notice = Infer<typeof Notice>;

export const LogLine = struct({
  sequence: count('number of the line since the agent started'),
  at: wallTime('when it happened'),
  set: nullable(text(255, 'replication set it is about')),
  connection: nullable(count('connection ID it is about')),
  server: nullable(text(255, 'other server it is about')),
  notice: Notice,
  count: count('how often it happened; repeats are counted on the same line'),
  audit: nullable(text(255, 'who asked for it, when a person did')),
});
export type LogLine = Infer<typeof LogLine>;

const window = struct({
  last: optional(whole(0, LOG_LINES_MAX, 'how many of the newest lines to begin with; all kept when left out')),
});

export const LogRead = method(
  'log.read',
  'monitor',
  false,
  window,
  struct({
    lines: list(LogLine, LOG_LINES_MAX, 'oldest first'),
    omitted: count('older lines that are only in the log file'),
  }),
  'The newest lines of the log.',
);

export const LogTopic = topic(
  'log',
  'monitor',
  window,
  LogLine,
  (line) => String(line.sequence),
  'Lines of the log as they are written; a repeat puts the same line again with a higher count.',
);
