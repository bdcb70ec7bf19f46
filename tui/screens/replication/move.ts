/** Moving about in the panes. Positions are clamped here, so a view never has to. */
import type { App } from '../../model/app.js';
import { arrange, type Pane, PANES, scrollTo } from '../../layout/panes.js';
import { placeColumns } from './columns.js';
import type { Move } from './keys.js';
import { logView } from './logs.js';
import type { Replication } from './model.js';
import { selectedIndex, shown } from './tables.js';
import { nodes } from './tree.js';

/** Heading and two header lines above the rows of the table. */
export const TABLE_HEAD = 3;

/** Rows of content in a pane; 1 at least, so that paging always moves. */
export function paneRows(app: App, pane: Pane): number {
  const layout = arrange(app.size.width, app.size.height, app.screen.zoomed);
  const rect = layout?.panes[pane];
  if (!rect) return 1;
  return Math.max(1, rect.height - (pane === 'table' ? TABLE_HEAD : 1));
}

const withScreen = (app: App, change: Partial<Replication>): App => ({ ...app, screen: { ...app.screen, ...change } });

/** Where a move leads in a list of `total`, from `at`. */
function target(by: Move, at: number, total: number, rows: number): number {
  const to = {
    up: at - 1,
    down: at + 1,
    page_up: at - Math.max(1, rows - 1),
    page_down: at + Math.max(1, rows - 1),
    half_up: at - Math.max(1, rows >> 1),
    half_down: at + Math.max(1, rows >> 1),
    first: 0,
    last: total - 1,
    left: at,
    right: at,
  }[by];
  return Math.max(0, Math.min(total - 1, to));
}

export function move(app: App, by: Move): App {
  switch (app.screen.focus) {
    case 'tree':
      return moveTree(app, by);
    case 'log':
      return moveLog(app, by);
    case 'charts':
    case 'table':
      return moveTable(app, by);
  }
}

export function selectNode(app: App, index: number): App {
  const all = nodes(app);
  const node = all[Math.max(0, Math.min(all.length - 1, index))];
  if (!node) return app;
  const top = scrollTo(app.screen.tree.top, all.indexOf(node), paneRows(app, 'tree'), all.length);
  const same = node.id === app.screen.tree.selected;
  return withScreen(app, {
    tree: { ...app.screen.tree, selected: node.id, top },
    // Another place is another table: from its top, with its own columns.
    ...(same ? {} : { table: { ...app.screen.table, selected: null, index: 0, top: 0, column: 0, order: null } }),
  });
}

function moveTree(app: App, by: Move): App {
  const all = nodes(app);
  const at = Math.max(
    0,
    all.findIndex((node) => node.id === app.screen.tree.selected),
  );
  const node = all[at];
  if (by === 'left' && node) {
    if (node.open === true) return toggleNode(app, node.id);
    for (let i = at - 1; i >= 0; i--) if ((all[i]?.depth ?? 0) < node.depth) return selectNode(app, i);
    return app;
  }
  if (by === 'right' && node) {
    if (node.open === false) return toggleNode(app, node.id);
    return node.open === true ? selectNode(app, at + 1) : app;
  }
  return selectNode(app, target(by, at, all.length, paneRows(app, 'tree')));
}

export function toggleNode(app: App, id: string): App {
  const collapsed = new Set(app.screen.tree.collapsed);
  if (!collapsed.delete(id)) collapsed.add(id);
  return withScreen(app, { tree: { ...app.screen.tree, collapsed } });
}

export function selectRow(app: App, index: number): App {
  const { def, rows } = shown(app);
  if (rows.length === 0) return withScreen(app, { table: { ...app.screen.table, selected: null, index: 0, top: 0 } });
  const at = Math.max(0, Math.min(rows.length - 1, index));
  const row = rows[at];
  return withScreen(app, {
    table: {
      ...app.screen.table,
      selected: row ? def.key(row) : null,
      index: at,
      top: scrollTo(app.screen.table.top, at, paneRows(app, 'table'), rows.length),
    },
  });
}

export function tableWidth(app: App): number {
  return arrange(app.size.width, app.size.height, app.screen.zoomed)?.panes.table?.width ?? app.size.width;
}

function moveTable(app: App, by: Move): App {
  const { def, rows } = shown(app);
  if (by === 'left' || by === 'right') {
    const { top, column } = app.screen.table;
    const visible = rows.slice(top, top + paneRows(app, 'table'));
    const { lastOffset } = placeColumns(def, visible, column, tableWidth(app));
    const to = by === 'left' ? Math.max(0, Math.min(column, lastOffset) - 1) : Math.min(lastOffset, column + 1);
    return withScreen(app, { table: { ...app.screen.table, column: to } });
  }
  return selectRow(app, target(by, Math.max(0, selectedIndex(app)), rows.length, paneRows(app, 'table')));
}

function moveLog(app: App, by: Move): App {
  const view = logView(app);
  const total = view.entries.length;
  if (total === 0) return app;
  const rows = paneRows(app, 'log');
  const at = view.selected - view.first;
  if (by === 'left' || by === 'right') return app;
  const to = target(by, at, total, rows);
  return showLine(app, view.first + to, by === 'down' || by === 'page_down' || by === 'half_down' || by === 'last');
}

/** Selects a line. Leaving the bottom holds the window; reaching it again lets it follow (RCN-33). */
export function showLine(app: App, position: number, downwards: boolean): App {
  const view = logView(app);
  const end = view.first + view.entries.length + view.fresh;
  const at = Math.max(view.first, Math.min(position, end - 1));
  const atBottom = at >= view.first + view.entries.length - 1;
  if (atBottom && (downwards || view.following))
    return withScreen(app, { log: { ...app.screen.log, heldAt: null, selected: end - 1, top: end } });
  const rows = paneRows(app, 'log');
  const heldAt = app.screen.log.heldAt ?? end;
  const top = view.following ? Math.max(view.first, end - rows) : app.screen.log.top;
  return withScreen(app, {
    log: {
      ...app.screen.log,
      heldAt,
      selected: at,
      top: Math.max(view.first, Math.min(Math.max(top, at - rows + 1), at)),
    },
  });
}

/** The pane that gets the focus, among those that are on the screen. */
export function focusPane(app: App, wanted: Pane | 'next' | 'previous'): App {
  const { focus, zoomed } = app.screen;
  if (wanted !== 'next' && wanted !== 'previous') {
    // A pane that does not fit beside the others is shown alone.
    const fits = arrange(app.size.width, app.size.height, null)?.panes[wanted] !== null;
    return withScreen(app, { focus: wanted, zoomed: zoomed !== null || !fits ? wanted : null });
  }
  const step = wanted === 'next' ? 1 : -1;
  const layout = arrange(app.size.width, app.size.height, null);
  const order = zoomed ? [...PANES] : PANES.filter((pane) => layout?.panes[pane]);
  const at = order.indexOf(focus);
  const next = order[(at + step + order.length) % order.length] ?? 'table';
  return withScreen(app, { focus: next, zoomed: zoomed ? next : null });
}
