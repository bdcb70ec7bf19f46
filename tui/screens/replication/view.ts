/** The Replication Console as cells: tree, table, charts, messages. Pure. */
import type { App } from '../../model/app.js';
import { isStale } from '../../model/fleet.js';
import type { Severity } from '../../model/severity.js';
import type { ChartSpot, Grid, Rect, Run } from '../../layout/grid.js';
import { run } from '../../layout/grid.js';
import { type Glyphs, glyphsFor } from '../../layout/glyphs.js';
import { type Layout, PANES, scrollTo } from '../../layout/panes.js';
import type { Role } from '../../layout/roles.js';
import { cells, cut, fitTo, width, wrap } from '../../layout/text.js';
import { lineText } from '../../model/line-edit.js';
import { drawCharts } from './charts.js';
import { placeColumns } from './columns.js';
import type { Entry } from '../../model/log-ring.js';
import { datesNeeded, entryText, entryTime, logView } from './logs.js';
import { TABLE_HEAD } from './move.js';
import { selectedIndex, shown } from './tables.js';
import { age, nodes, type Node } from './tree.js';

const ROLE_OF: Readonly<Record<Severity, Role>> = {
  ok: 'status.ok',
  notice: 'status.notice',
  warn: 'status.warn',
  alert: 'status.alert',
};

export const signOf = (severity: Severity | null, glyphs: Glyphs): string =>
  severity === null ? ' ' : glyphs[severity];
export const roleOf = (severity: Severity | null): Role => (severity === null ? 'text' : ROLE_OF[severity]);

export interface Drawn {
  readonly cursor: { x: number; y: number } | null;
  readonly charts: readonly ChartSpot[];
}

export function drawReplication(app: App, grid: Grid, layout: Layout, covered: boolean): Drawn {
  const { panes } = layout;
  let cursor: Drawn['cursor'] = null;
  let charts: readonly ChartSpot[] = [];
  for (const pane of PANES) {
    const rect = panes[pane];
    if (!rect) continue;
    switch (pane) {
      case 'tree':
        drawTree(app, grid, rect);
        break;
      case 'table':
        cursor = drawTable(app, grid, rect);
        break;
      case 'charts':
        charts = drawCharts(app, grid, rect, covered, (title, more) =>
          heading(app, grid, rect, '3', title, app.screen.focus === 'charts', more),
        );
        break;
      case 'log':
        drawLog(app, grid, rect);
        break;
    }
  }
  const { tree, table } = panes;
  if (tree && table) {
    const glyphs = glyphsFor(app.ascii);
    for (let y = tree.y; y < tree.y + tree.height; y++)
      grid.put(tree.x + tree.width, y, [run(y === tree.y ? glyphs.teeDown : glyphs.vertical, 'border')], 1);
  }
  return { cursor, charts };
}

/** First row of a pane: its number, its name, what it says of itself. */
export function heading(
  app: App,
  grid: Grid,
  rect: Rect,
  digit: string,
  title: string,
  focused: boolean,
  more: readonly Run[] = [],
): void {
  const glyphs = glyphsFor(app.ascii);
  const border: Role = focused ? 'border.focus' : 'border';
  const line = glyphs.horizontal;
  grid.put(rect.x, rect.y, [run(line.repeat(rect.width), border)], rect.width);
  const right = more.length === 0 ? 0 : more.reduce((sum, one) => sum + width(one.text), 0) + 2;
  const room = Math.max(4, rect.width - 3 - (right < rect.width - 12 ? right : 0));
  const label = cut(`${digit} ${title}`, room - 2, 'start', glyphs.ellipsis);
  // The focused pane is marked by a sign as well as by its colour.
  grid.put(rect.x + 1, rect.y, [run(focused ? `[${label}]` : ` ${label} `, focused ? 'border.focus' : 'title')], room);
  if (right > 0 && right < rect.width - 12)
    grid.put(rect.x + rect.width - right, rect.y, [run(' ', border), ...more, run(' ', border)], right);
}

// ------------------------------------------------------------------------------------------------- tree

function drawTree(app: App, grid: Grid, rect: Rect): void {
  const glyphs = glyphsFor(app.ascii);
  const focused = app.screen.focus === 'tree';
  heading(app, grid, rect, '1', 'Servers', focused);
  const all = nodes(app);
  const rows = rect.height - 1;
  const selected = Math.max(
    0,
    all.findIndex((node) => node.id === app.screen.tree.selected),
  );
  const top = scrollTo(app.screen.tree.top, selected, rows, all.length);
  for (let i = 0; i < rows; i++) {
    const node = all[top + i];
    if (!node) break;
    drawNode(grid, rect, rect.y + 1 + i, node, glyphs);
    if (top + i === selected)
      grid.tint({ x: rect.x, y: rect.y + 1 + i, width: rect.width, height: 1 }, focused ? 'select' : 'select.blur');
  }
  more(grid, rect, top, rows, all.length, glyphs);
}

function drawNode(grid: Grid, rect: Rect, y: number, node: Node, glyphs: Glyphs): void {
  const indent = ' '.repeat(node.depth);
  const knob = node.open === null ? glyphs.leaf : node.open ? glyphs.open : glyphs.closed;
  // What was fine when it was last heard is not known to be fine now (I3).
  const unknown = node.stale && node.severity !== null && node.severity !== 'alert';
  const sign = unknown ? glyphs.none : signOf(node.severity, glyphs);
  const word = node.word === '' ? '' : ` ${cut(node.word, Math.max(4, rect.width - 12), 'start', glyphs.ellipsis)}`;
  const head = `${indent}${knob}`;
  const room = Math.max(1, rect.width - width(head) - 2 - width(word));
  const role: Role = node.stale ? 'stale' : 'text';
  grid.put(
    rect.x,
    y,
    [
      run(head, 'dim'),
      run(sign, unknown ? 'stale' : roleOf(node.severity)),
      run(' '),
      { text: fitTo(node.label, room, 'left', 'start', glyphs.ellipsis), role },
      run(word, node.severity === 'warn' || node.severity === 'alert' ? roleOf(node.severity) : 'dim'),
    ],
    rect.width,
  );
}

/** Marks at the right edge that there is more above or below. */
function more(grid: Grid, rect: Rect, top: number, rows: number, total: number, glyphs: Glyphs, head = 1): void {
  const x = rect.x + rect.width - 1;
  if (top > 0) grid.put(x, rect.y + head, [run(glyphs.up, 'dim')], 1);
  if (top + rows < total) grid.put(x, rect.y + rect.height - 1, [run(glyphs.down, 'dim')], 1);
}

// ------------------------------------------------------------------------------------------------- table

function drawTable(app: App, grid: Grid, rect: Rect): Drawn['cursor'] {
  const glyphs = glyphsFor(app.ascii);
  const { table, focus, problemsOnly } = app.screen;
  const focused = focus === 'table';
  const { def, rows: list, total } = shown(app);
  const rows = Math.max(0, rect.height - TABLE_HEAD);
  const selected = selectedIndex(app);
  const top = scrollTo(table.top, Math.max(0, selected), Math.max(1, rows), list.length);
  const visible = list.slice(top, top + rows);
  const columns = placeColumns(def, visible, table.column, rect.width);

  const filter = table.typing ? lineText(table.typing) : table.filter;
  const said: Run[] = [];
  if (problemsOnly) said.push(run('problems only ', 'status.warn'));
  if (columns.hiddenLeft > 0 || columns.hiddenRight > 0) {
    said.push(
      run(
        `${columns.hiddenLeft > 0 ? `${columns.hiddenLeft}${glyphs.left} ` : ''}${columns.hiddenRight > 0 ? `${glyphs.right}${columns.hiddenRight} ` : ''}`,
        'dim',
      ),
    );
  }
  said.push(
    run(list.length === total ? `${selected + 1}/${total}` : `${selected + 1}/${list.length} of ${total}`, 'dim'),
  );
  const typing = table.typing !== null;
  const shownFilter = filter !== '' || typing ? ` /${filter}` : '';
  heading(app, grid, rect, '2', `${def.title}${shownFilter}`, focused, said);
  let cursor: Drawn['cursor'] = null;
  if (table.typing) {
    const before = table.typing.parts.slice(0, table.typing.at).join('');
    const x = rect.x + 2 + width(`2 ${def.title} /${before}`);
    cursor = { x: Math.min(x, rect.x + rect.width - 1), y: rect.y };
  }

  grid.fill({ x: rect.x, y: rect.y + 1, width: rect.width, height: Math.min(2, rect.height - 1) }, 'column');
  for (const { column, x, width: wide } of columns.placed) {
    const ordered = table.order?.column === column.id;
    const mark = ordered ? (table.order?.descending ? glyphs.descending : glyphs.ascending) : '';
    const lines = wrap(column.label, Math.max(wide, 1)).slice(0, 2);
    while (lines.length < 2) lines.unshift('');
    lines.forEach((line, i) => {
      const text = i === 1 && mark !== '' ? `${cut(line, wide - 1, 'start', '')}${mark}` : line;
      grid.put(
        rect.x + x,
        rect.y + 1 + i,
        [{ text: fitTo(text, wide, column.align, 'start', glyphs.ellipsis), role: 'column', bold: ordered }],
        wide,
      );
    });
  }
  if (list.length === 0) {
    const why =
      total === 0
        ? def.empty
        : filter !== ''
          ? 'Nothing matches the filter (Esc clears it).'
          : problemsOnly
            ? 'No problems (p shows everything).'
            : def.empty;
    wrap(why, rect.width - 4).forEach((line, i) => {
      grid.put(rect.x + 2, rect.y + TABLE_HEAD + 1 + i, [run(line, 'dim')], rect.width - 2);
    });
    return cursor;
  }
  visible.forEach((row, i) => {
    const y = rect.y + TABLE_HEAD + i;
    const stale = def.stale(row);
    const severity = def.severity(row);
    grid.put(rect.x, y, [run(stale ? glyphs.none : signOf(severity, glyphs), stale ? 'stale' : roleOf(severity))], 1);
    for (const { column, x, width: wide } of columns.placed) {
      const own = stale ? 'stale' : (column.role?.(row) ?? 'text');
      grid.put(
        rect.x + x,
        y,
        [{ text: fitTo(column.show(row), wide, column.align, column.keep ?? 'start', glyphs.ellipsis), role: own }],
        wide,
      );
    }
    if (top + i === selected)
      grid.tint({ x: rect.x, y, width: rect.width, height: 1 }, focused ? 'select' : 'select.blur');
  });
  more(grid, rect, top, rows, list.length, glyphs, TABLE_HEAD);
  return cursor;
}

// ------------------------------------------------------------------------------------------------- messages

const LEVELS = { information: 'notice', warning: 'warn', error: 'alert' } as const;

function drawLog(app: App, grid: Grid, rect: Rect): void {
  const glyphs = glyphsFor(app.ascii);
  const focused = app.screen.focus === 'log';
  const view = logView(app);
  const stale = view.server === null || isStale(view.server);
  const said: Run[] = [];
  if (view.server && stale)
    said.push(
      run(view.server.heardAt > 0 ? `as of ${age(app.now - view.server.heardAt)} ago ` : 'not connected ', 'stale'),
    );
  if (!view.following) said.push(run(view.fresh > 0 ? `paused, ${view.fresh} new` : 'paused', 'status.warn'));
  else said.push(run('following', 'dim'));
  heading(app, grid, rect, '4', `Messages${view.server ? ` of ${view.server.name}` : ''}`, focused, said);
  const rows = rect.height - 1;
  if (view.entries.length === 0) {
    grid.put(rect.x + 2, rect.y + 1, [run(view.server ? 'No messages yet.' : 'No server yet.', 'dim')], rect.width - 2);
    return;
  }
  // Only what is in sight decides: a night ago must not look like an hour ago.
  const textWidth = (dated: boolean): number => Math.max(10, rect.width - (dated ? 17 : 11));
  const seen = logLines(app, view.entries, rows, textWidth(false), glyphs.ellipsis);
  const dated = datesNeeded(
    seen.flatMap(({ at }) => view.entries[at] ?? []),
    app.now,
  );
  const shownLines = dated ? logLines(app, view.entries, rows, textWidth(true), glyphs.ellipsis) : seen;
  shownLines.forEach(({ at, first, text }, i) => {
    const entry = view.entries[at];
    if (!entry) return;
    const level: Severity = entry.kind === 'missing' ? 'alert' : LEVELS[entry.line.notice.severity];
    const role: Role = stale ? 'stale' : level === 'notice' ? 'text' : roleOf(level);
    const y = rect.y + 1 + i;
    grid.put(
      rect.x,
      y,
      first
        ? [
            run(signOf(level, glyphs), stale ? 'stale' : level === 'notice' ? 'dim' : roleOf(level)),
            run(` ${entryTime(entry, dated)} `, stale ? 'stale' : 'dim'),
            { text, role },
          ]
        : [run(' '.repeat(dated ? 17 : 11)), { text, role }],
      rect.width,
    );
    if (focused && view.first + at === view.selected)
      grid.tint({ x: rect.x, y, width: rect.width, height: 1 }, 'select');
  });
}

interface LogTextLine {
  readonly at: number;
  readonly first: boolean;
  readonly text: string;
}

/** Lines of the message window: the newest while following, else from where it stands, with the selected one in sight. */
function logLines(app: App, entries: readonly Entry[], rows: number, columns: number, ellipsis: string): LogTextLine[] {
  const view = logView(app);
  const linesOf = (at: number): LogTextLine[] => {
    const entry = entries[at];
    if (!entry) return [];
    const text = entryText(entry);
    const parts = app.screen.log.wrap ? wrap(text, columns) : [cut(text, columns, 'start', ellipsis)];
    return parts.map((part, i) => ({ at, first: i === 0, text: part }));
  };
  /** The window that ends with this entry, filled upwards. */
  const endingWith = (last: number): LogTextLine[] => {
    const out: LogTextLine[] = [];
    for (let at = last; at >= 0 && out.length < rows; at--) out.unshift(...linesOf(at));
    return out.slice(-rows);
  };
  const total = entries.length;
  if (view.following) return endingWith(total - 1);
  const selected = view.selected - view.first;
  const out: LogTextLine[] = [];
  for (let at = Math.max(0, app.screen.log.top - view.first); at < total && out.length < rows; at++)
    out.push(...linesOf(at));
  const shown = out.slice(0, rows);
  if (shown.length < rows) return endingWith(total - 1);
  return shown.some((line) => line.at === selected) ? shown : endingWith(selected);
}

/** Cuts runs to a width, for lines that are put together of several. */
export function cutRuns(runs: readonly Run[], columns: number): Run[] {
  const out: Run[] = [];
  let left = columns;
  for (const one of runs) {
    if (left <= 0) break;
    const taken =
      cells(one.text).reduce((sum, cell) => sum + cell.width, 0) <= left ? one.text : cut(one.text, left, 'start', '');
    out.push({ ...one, text: taken });
    left -= width(taken);
  }
  return out;
}
