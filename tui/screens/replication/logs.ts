/** The message window: whose log it shows, which lines, and where it stands (RCN-30..34). */
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import { formatWallTime } from '../../../protocol/units.js';
import type { App } from '../../model/app.js';
import { findServer, type Server } from '../../model/fleet.js';
import type { Entry } from '../../model/log-ring.js';
import { selectedRow } from './tables.js';
import { selectedServerName } from './tree.js';

/** RCN-30: a chosen server, else the one selected in the tree or table. */
export function logServer(app: App): Server | null {
  const name = app.screen.log.server ?? selectedServerName(app) ?? selectedRow(app)?.server.name ?? null;
  return (name === null ? null : findServer(app.fleet, name)) ?? app.fleet.servers[0] ?? null;
}

export interface LogView {
  readonly server: Server | null;
  /** Lines that may be shown; while held these end at the line that was newest. */
  readonly entries: readonly Entry[];
  /** Absolute position of the first of them. */
  readonly first: number;
  /** Lines that came since the window was paused. */
  readonly fresh: number;
  readonly following: boolean;
  /** Absolute position of the selected line. */
  readonly selected: number;
}

export function logView(app: App): LogView {
  const server = logServer(app);
  const { heldAt, selected } = app.screen.log;
  if (!server) return { server, entries: [], first: 0, fresh: 0, following: true, selected: 0 };
  const { entries, dropped } = server.log;
  const end = dropped + entries.length;
  const until = heldAt === null ? end : Math.min(end, Math.max(heldAt, dropped));
  const shownEntries = entries.slice(0, until - dropped);
  const last = until - 1;
  return {
    server,
    entries: shownEntries,
    first: dropped,
    fresh: end - until,
    following: heldAt === null,
    selected: heldAt === null ? last : Math.min(last, Math.max(dropped, selected)),
  };
}

export function entryText(entry: Entry): string {
  if (entry.kind === 'missing') {
    return `${entry.count} line${entry.count === 1 ? ' is' : 's are'} missing here; the log file on the server is complete (understudy logs)`;
  }
  const { line } = entry;
  const text = noticeText(line.notice);
  // Most messages name their connection or set; saying it twice costs a quarter of a narrow line.
  const about =
    line.connection !== null
      ? text.startsWith(`Connection ${line.connection}:`)
        ? ''
        : ` [${line.connection}]`
      : line.set !== null && !text.includes(`"${line.set}"`)
        ? ` [${line.set}]`
        : '';
  const times = line.count > 1 ? ` (x${line.count})` : '';
  return `${line.notice.id}${about} ${text}${times}`;
}

/** Do some of these need their date, because they are not of today? */
export function datesNeeded(entries: readonly Entry[], now: number): boolean {
  const today = formatWallTime(now).slice(0, 10);
  return entries.some((entry) => entry.kind === 'line' && formatWallTime(entry.line.at).slice(0, 10) !== today);
}

export function entryTime(entry: Entry, dated: boolean): string {
  const [from, to] = dated ? [5, 19] : [11, 19];
  return entry.kind === 'line' ? formatWallTime(entry.line.at).slice(from, to) : ' '.repeat(to - from);
}

/** One line as it would stand in a file. */
export function entryLine(entry: Entry): string {
  if (entry.kind === 'missing') return entryText(entry);
  return `${formatWallTime(entry.line.at)} ${entry.line.notice.severity.padEnd(11)} ${entryText(entry)}`;
}

/** Everything about one line: text, remedy, who asked. */
export function entryDetail(entry: Entry): string[] {
  if (entry.kind === 'missing') return [entryText(entry)];
  const { line } = entry;
  const remedy = noticeRemedy(line.notice);
  return [
    `${formatWallTime(line.at)}   ${line.notice.severity}   message ${line.notice.id} (${line.notice.code})`,
    '',
    noticeText(line.notice),
    ...(remedy ? ['', `What to do: ${remedy}`] : []),
    '',
    ...(line.set !== null ? [`Replication set  ${line.set}`] : []),
    ...(line.connection !== null ? [`Connection       ${line.connection}`] : []),
    ...(line.server !== null ? [`Other server     ${line.server}`] : []),
    ...(line.audit !== null ? [`Asked for by     ${line.audit}`] : []),
    ...(line.count > 1 ? [`Happened         ${line.count} times`] : []),
  ];
}
