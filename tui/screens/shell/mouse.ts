/** The mouse: a click focuses and selects, a double click opens, a click on a heading sorts, the wheel scrolls (T11). */
import type { App, MouseMsg, Step } from '../../model/app.js';
import { arrange, type Pane, PANES, scrollTo } from '../../layout/panes.js';
import type { Rect } from '../../layout/grid.js';
import { placeColumns } from '../replication/columns.js';
import { logView } from '../replication/logs.js';
import { focusPane, paneRows, selectNode, selectRow, showLine, TABLE_HEAD } from '../replication/move.js';
import { selectedIndex, shown } from '../replication/tables.js';
import { nodes } from '../replication/tree.js';
import { perform } from '../replication/update.js';
import { askedNow } from './questions.js';

type PressKey = (app: App, name: string, text: string) => Step;

const WHEEL_LINES = 3;

const inside = (rect: Rect, x: number, y: number): boolean =>
  x >= rect.x && x < rect.x + rect.width && y >= rect.y && y < rect.y + rect.height;

export function mouse(app: App, msg: MouseMsg, press: PressKey): Step {
  const wheel = msg.action === 'wheel_up' ? 'up' : msg.action === 'wheel_down' ? 'down' : null;
  // On top of everything else only the wheel means something: it scrolls or chooses.
  const asked = askedNow(app) !== null;
  if (asked || app.overlay) {
    if (!wheel) return [app, []];
    return app.overlay?.kind === 'dialog' || asked ? [app, []] : press(app, wheel, '');
  }
  const layout = arrange(app.size.width, app.size.height, app.screen.zoomed);
  if (!layout) return [app, []];
  const pane = PANES.find((one) => {
    const rect = layout.panes[one];
    return rect !== null && inside(rect, msg.x, msg.y);
  });
  const rect = pane ? layout.panes[pane] : null;
  if (!pane || !rect) return [app, []];
  if (wheel) return [scroll(app, pane, wheel === 'up' ? -WHEEL_LINES : WHEEL_LINES), []];
  if (msg.action !== 'down' || msg.button !== 0) return [app, []];
  const focused = app.screen.focus === pane ? app : focusPane(app, pane);
  const line = msg.y - rect.y;
  if (line === 0) return [focused, []];
  switch (pane) {
    case 'tree': {
      const index = app.screen.tree.top + line - 1;
      if (index >= nodes(app).length) return [focused, []];
      const selected = selectNode(focused, index);
      return msg.double ? perform(selected, { do: 'open' }) : [selected, []];
    }
    case 'table': {
      if (line < TABLE_HEAD) return [sortAt(focused, msg.x - rect.x, rect.width), []];
      const index = app.screen.table.top + line - TABLE_HEAD;
      if (index >= shown(app).rows.length) return [focused, []];
      const selected = selectRow(focused, index);
      return msg.double ? perform(selected, { do: 'open' }) : [selected, []];
    }
    case 'log': {
      const view = logView(focused);
      const rows = paneRows(focused, 'log');
      const top = view.following ? Math.max(view.first, view.first + view.entries.length - rows) : app.screen.log.top;
      const at = top + line - 1;
      if (at >= view.first + view.entries.length) return [focused, []];
      const selected = showLine(focused, at, false);
      return msg.double ? perform(selected, { do: 'open' }) : [selected, []];
    }
    case 'charts':
      return [focused, []];
  }
}

function sortAt(app: App, x: number, width: number): App {
  const { def, rows } = shown(app);
  const { table } = app.screen;
  const visible = rows.slice(table.top, table.top + paneRows(app, 'table'));
  const hit = placeColumns(def, visible, table.column, width).placed.find(
    (one) => x >= one.x - 1 && x < one.x + one.width,
  );
  if (!hit) return app;
  const descending = table.order?.column === hit.column.id ? !table.order.descending : false;
  return { ...app, screen: { ...app.screen, table: { ...table, order: { column: hit.column.id, descending } } } };
}

function scroll(app: App, pane: Pane, by: number): App {
  switch (pane) {
    case 'tree': {
      const all = nodes(app);
      const at = Math.max(
        0,
        all.findIndex((node) => node.id === app.screen.tree.selected),
      );
      return {
        ...app,
        screen: {
          ...app.screen,
          tree: {
            ...app.screen.tree,
            top: scrollTo(
              app.screen.tree.top + by,
              Math.max(0, Math.min(all.length - 1, at)),
              paneRows(app, 'tree'),
              all.length,
            ),
          },
        },
      };
    }
    case 'table':
    case 'charts':
      return selectRow(app, selectedIndex(app) + by);
    case 'log':
      return showLine(app, logView(app).selected + by, by > 0);
  }
}
