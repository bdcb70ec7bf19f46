/** Windows that are read and scrolled: texts, the row's detail, help. What they hold, and how far they go. Pure. */
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import { STATISTIC_COLUMNS } from '../../../protocol/messages/statistic-columns.js';
import { formatBytes, formatCount, formatMillis } from '../../../protocol/units.js';
import type { App, Overlay } from '../../model/app.js';
import { findServer, isStale, targetName } from '../../model/fleet.js';
import { lineText } from '../../model/line-edit.js';
import { behindInFull, recoveryPoint } from '../../model/lag.js';
import { ofConnection, SEVERITY_WORD } from '../../model/severity.js';
import { type Rect, run, type Run } from '../../layout/grid.js';
import { glyphsFor } from '../../layout/glyphs.js';
import { centred } from '../../layout/panes.js';
import { cells, fitTo, width, wrap } from '../../layout/text.js';
import { keyName } from '../replication/key-list.js';
import { KEYS } from '../replication/keys.js';
import { stateRole, statisticText } from '../replication/tables.js';
import { age } from '../replication/tree.js';
import { roleOf, signOf } from '../replication/view.js';

export type Reading = Extract<Overlay, { kind: 'text' | 'detail' | 'help' }>;

export interface Window {
  readonly title: string;
  /** The frame included. */
  readonly wide: number;
  readonly lines: readonly (readonly Run[])[];
  /** There is more at the left, at the right; null where nothing scrolls sideways. */
  readonly sides: { readonly left: boolean; readonly right: boolean } | null;
}

export function windowOf(app: App, overlay: Reading): Window {
  switch (overlay.kind) {
    case 'text':
      return textWindow(app, overlay.title, overlay.lines, overlay.left);
    case 'detail':
      return detailWindow(app, overlay);
    case 'help':
      return helpWindow(app, overlay);
  }
}

/** Where it lies on the screen; its frame is part of it. The footer stays free. */
export const windowRect = (app: App, window: Window): Rect =>
  centred(app.size.width, app.size.height - 1, window.wide, window.lines.length + 2);

/** The last line that can be the first one shown. */
export function topMax(app: App, overlay: Reading): number {
  const window = windowOf(app, overlay);
  return Math.max(0, window.lines.length - (windowRect(app, window).height - 2));
}

/** The farthest a text can be scrolled sideways. */
export function leftMax(app: App, lines: readonly string[]): number {
  return Math.max(0, longestOf(lines) - (app.size.width - 6));
}

const longestOf = (lines: readonly string[]): number => lines.reduce((most, line) => Math.max(most, width(line)), 0);

export function textWindow(app: App, title: string, lines: readonly string[], left: number | null): Window {
  const longest = Math.max(width(title) + 4, longestOf(lines));
  const wide = Math.min(app.size.width - 2, Math.max(40, longest + 4));
  const room = Math.max(10, wide - 4);
  const from = left === null ? 0 : Math.max(0, Math.min(left, longest - room));
  // Output of commands keeps its columns and is scrolled sideways; everything else is wrapped.
  const shown =
    left === null ? lines.flatMap((line) => indented(line, room)) : lines.map((line) => dropColumns(line, from));
  return {
    title,
    wide,
    lines: shown.map((line) => [run(line, 'dialog')]),
    sides: left !== null && longest > room ? { left: from > 0, right: from + room < longest } : null,
  };
}

/** Wrapped below its own beginning, so that what stands under another line still does. */
function indented(line: string, room: number): string[] {
  const [indent = ''] = /^ */.exec(line) ?? [];
  if (indent.length === 0 || indent.length > room >> 1) return wrap(line, room);
  return wrap(line.slice(indent.length), room - indent.length).map((part) => indent + part);
}

/** The line without its first columns; half a wide character becomes a space. */
function dropColumns(line: string, columns: number): string {
  if (columns === 0) return line;
  let at = 0;
  let out = '';
  for (const cell of cells(line)) {
    if (at >= columns) out += cell.text;
    else if (at + cell.width > columns) out += ' ';
    at += cell.width;
  }
  return out;
}

// ---------------------------------------------------------------------------------------------- help

function helpWindow(app: App, overlay: Extract<Overlay, { kind: 'help' }>): Window {
  const filter = lineText(overlay.filter).toLowerCase();
  const wide = Math.min(app.size.width - 2, 100);
  const lines: Run[][] = [];
  for (const group of ['Move', 'Look', 'Connection', 'Server', 'Messages', 'Program'] as const) {
    const keys = KEYS.filter(
      (key) =>
        key.group === group &&
        `${key.label} ${key.help} ${key.keys.map(keyName).join(' ')}`.toLowerCase().includes(filter),
    );
    if (keys.length === 0) continue;
    if (lines.length > 0) lines.push([]);
    lines.push([{ text: group, role: 'dialog.title', bold: true }]);
    for (const key of keys) {
      const names = key.keys.map(keyName).join(' ');
      const where = key.where
        ? ` (in ${key.where.map((pane) => ({ tree: '1', table: '2', charts: '3', log: '4' })[pane]).join(', ')})`
        : '';
      wrap(key.help + where, Math.max(10, wide - 4 - 30)).forEach((part, i) => {
        lines.push([
          run(fitTo(i === 0 ? names : '', 10), 'key'),
          run(' ', 'dialog'),
          run(fitTo(i === 0 ? key.label : '', 19), key.danger ? 'danger' : 'dialog'),
          run(part, 'dialog'),
        ]);
      });
    }
  }
  if (filter === '') {
    lines.push([], [{ text: 'Signs', role: 'dialog.title', bold: true }]);
    const g = glyphsFor(app.ascii);
    for (const severity of ['ok', 'notice', 'warn', 'alert'] as const)
      lines.push([
        run(fitTo(`  ${signOf(severity, g)}`, 11), roleOf(severity)),
        run(SEVERITY_WORD[severity], 'dialog'),
      ]);
    lines.push([
      run(fitTo('  grey', 11), 'stale'),
      run('with ? : not connected; what is shown is as old as its age says', 'dialog'),
    ]);
  }
  if (lines.length === 0) lines.push([run('No key has this in its name or description; Esc shows all.', 'dim')]);
  return {
    title: overlay.typing || filter !== '' ? `Help /${lineText(overlay.filter)}` : 'Help',
    wide,
    lines,
    sides: null,
  };
}

// ---------------------------------------------------------------------------------------------- detail

function detailWindow(app: App, overlay: Extract<Overlay, { kind: 'detail' }>): Window {
  const server = findServer(app.fleet, overlay.server);
  const item = server?.connections.get(overlay.key);
  if (!server || !item) return textWindow(app, 'Gone', ['This connection is gone. Esc closes.'], null);
  const g = glyphsFor(app.ascii);
  const stale = isStale(server);
  const severity = ofConnection(item);
  const wide = Math.min(app.size.width - 2, 110);
  const labelWidth = Math.min(36, Math.max(12, Math.floor((wide - 4) / 2)));
  const lines: Run[][] = [];
  const pair = (label: string, value: string, role: Run['role'] = 'dialog'): void => {
    const parts = wrap(value, Math.max(8, wide - 4 - labelWidth));
    parts.forEach((part, i) => {
      lines.push([run(fitTo(i === 0 ? label : '', labelWidth), 'dim'), run(part, stale ? 'stale' : role)]);
    });
  };
  pair(
    'State',
    stale
      ? `${g.none} Unknown; ${SEVERITY_WORD[severity]} as of ${age(app.now - server.heardAt)} ago`
      : `${signOf(severity, g)} ${SEVERITY_WORD[severity]}`,
    roleOf(severity),
  );
  if (item.problem) {
    pair('Problem', noticeText(item.problem), roleOf(severity));
    if (noticeRemedy(item.problem)) pair('What to do', noticeRemedy(item.problem));
  }
  for (const column of STATISTIC_COLUMNS) {
    const text = column.id === 'STA-03' ? targetName(app.fleet, item) : statisticText(item, column);
    const state = column.id === 'STA-05' || column.id === 'STA-06' || (column.id >= 'STA-08' && column.id <= 'STA-10');
    pair(column.label, text, state ? (stateRole(text) ?? 'dialog') : 'dialog');
  }
  lines.push([]);
  pair('Recovery point latency', behindInFull(item));
  if (item.recoveryPoint !== undefined) pair('Recovery point', recoveryPoint(item));
  if (item.stall)
    pair(
      'Stalled',
      `for ${formatMillis(Math.max(0, app.now - item.stall.since))} (${item.stall.cause})`,
      'status.warn',
    );
  pair('Target last heard', item.quietMs < 0 ? 'no link' : `${formatMillis(item.quietMs)} ago`);
  if ((item.heartbeatMs ?? -1) >= 0) pair('Heartbeat applied', `${formatMillis(item.heartbeatMs ?? 0)} ago`);
  pair('Made / applied / durable', [item.sequence, item.applied, item.durable].map(formatCount).join(' / '));
  pair('Received, not applied', formatBytes(item.targetQueuedBytes));
  pair('On the wire', formatBytes(item.wireBytes));
  pair(
    'Paths in quarantine',
    item.quarantined > 0
      ? `${formatCount(item.quarantined)}; Q names them (understudy quarantine ${server.name}:${item.id})`
      : formatCount(item.quarantined),
    item.quarantined > 0 ? 'status.warn' : 'dialog',
  );
  if (item.mirrorFilesTotal > 0)
    // The total is what the walk began with; files that came meanwhile are done beyond it.
    pair(
      'Mirror files',
      `${formatCount(item.mirrorFilesDone)} of ${formatCount(Math.max(item.mirrorFilesDone, item.mirrorFilesTotal))}`,
    );
  pair('Route', item.route);
  for (const mapping of item.mappings) {
    pair('Directory', mapping.source);
    pair('', `${g.arrow} ${mapping.target}`);
  }
  return {
    title: `Connection ${server.name}:${item.id}  ${item.set} ${g.arrow} ${targetName(app.fleet, item)}`,
    wide,
    lines,
    sides: null,
  };
}
