/** Where log lines go besides memory. */
import type { LogLine } from '../../protocol/messages/log.js';

export interface LogSink {
  write(line: LogLine): void;
  close(): void;
}
