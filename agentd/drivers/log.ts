/** The agent's log: memory, file and standard error; repeats collapse. */
import { type Cause, type Code, entryOf, notice, type ParamsOf } from '../../protocol/errors.js';
import { LOG_LINES_MAX, LOG_REPEAT_MS } from '../../protocol/limits.js';
import type { LogLine, Notice } from '../../protocol/messages/log.js';
import { beginRepeat, countRepeat, endRepeats, type Repeats, repeatKey } from '../core/log/repeats.js';
import type { Clock } from '../ports/clock.js';
import type { LogSink } from '../ports/log-sink.js';
import type { Hub } from './hub.js';

export interface LogScope {
  readonly set?: string | null;
  readonly connection?: number | null;
  readonly server?: string | null;
  readonly audit?: string | null;
}

export class AgentLog {
  /** Oldest first. */
  #lines: LogLine[] = [];
  #next = 1;
  #repeats: Repeats = new Map();
  #sweep: (() => void) | null = null;

  constructor(
    readonly clock: Clock,
    readonly hub: Hub,
    readonly sinks: readonly LogSink[],
  ) {
    hub.register('log', () => this.#lines, { compared: false });
  }

  /** Says something of the catalogue. Returns what was said, for those who also show it beside a set or connection. */
  say<C extends Code>(code: C, params: ParamsOf<C>, scope: LogScope = {}, cause: Cause | null = null): Notice {
    const said = notice(code, params, cause);
    this.write(said, scope);
    return said;
  }

  write(said: Notice, scope: LogScope = {}): void {
    const now = this.clock.monotonic();
    const draft = {
      set: scope.set ?? null,
      connection: scope.connection ?? null,
      server: scope.server ?? null,
      notice: said,
      audit: scope.audit ?? null,
    };
    const key = repeatKey(draft);
    const counted = countRepeat(this.#repeats, key, now);
    // Only what recurs by itself is summed up: every transition, and who asked for what, stays a line of its own.
    if (counted.running && entryOf(said.code)?.retry === 'backoff') {
      const { line, count } = counted.running;
      const again: LogLine = { ...line, ...draft, count };
      this.#repeats = counted.repeats;
      const at = this.#lines.findIndex((kept) => kept.sequence === line.sequence);
      if (at >= 0) this.#lines[at] = again;
      this.hub.put('log', again);
    } else {
      const line: LogLine = { sequence: this.#next++, at: this.clock.wall(), ...draft, count: 1 };
      this.#repeats = beginRepeat(this.#repeats, key, { sequence: line.sequence, since: now, count: 1, line });
      this.#lines.push(line);
      if (this.#lines.length > LOG_LINES_MAX) this.#lines.splice(0, this.#lines.length - LOG_LINES_MAX);
      for (const sink of this.sinks) sink.write(line);
      this.hub.put('log', line);
    }
    this.#sweep ??= this.clock.after(LOG_REPEAT_MS, () => this.#endWindows());
  }

  last(count: number | undefined): { readonly lines: readonly LogLine[]; readonly omitted: number } {
    const lines = count === undefined ? this.#lines : count === 0 ? [] : this.#lines.slice(-count);
    return { lines, omitted: this.#next - 1 - lines.length };
  }

  close(): void {
    this.#sweep?.();
    for (const sink of this.sinks) sink.close();
  }

  #endWindows(): void {
    this.#sweep = null;
    const { repeats, ended } = endRepeats(this.#repeats, this.clock.monotonic());
    this.#repeats = repeats;
    for (const running of ended) {
      // Only the file lacks the count; message windows show it on the line itself.
      const params = {
        count: running.count - 1,
        seconds: Math.round(LOG_REPEAT_MS / 1000),
        text: running.line.notice.text,
      };
      const line: LogLine = { ...running.line, at: this.clock.wall(), notice: notice('REPEATED', params) };
      for (const sink of this.sinks) sink.write(line);
    }
    if (repeats.size > 0) this.#sweep = this.clock.after(LOG_REPEAT_MS, () => this.#endWindows());
  }
}
