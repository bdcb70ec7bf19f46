/** Where things are: (size, what is shown) -> rectangles. */
import type { Rect } from './grid.js';

export const WIDTH_MIN = 40;
export const HEIGHT_MIN = 10;

export const PANES = ['tree', 'table', 'charts', 'log'] as const;
export type Pane = (typeof PANES)[number];

export interface Layout {
  readonly title: Rect;
  /** Each pane's first row is its heading. A pane that is not shown is null. */
  readonly panes: Readonly<Record<Pane, Rect | null>>;
  readonly action: Rect;
  readonly footer: Rect;
}

/** Null when the terminal is too small for anything sensible (T2). */
export function arrange(width: number, height: number, zoomed: Pane | null): Layout | null {
  if (width < WIDTH_MIN || height < HEIGHT_MIN) return null;
  const title = { x: 0, y: 0, width, height: 1 };
  const action = { x: 0, y: height - 2, width, height: 1 };
  const footer = { x: 0, y: height - 1, width, height: 1 };
  const body = { x: 0, y: 1, width, height: height - 3 };
  const none = { tree: null, table: null, charts: null, log: null };
  if (zoomed) return { title, panes: { ...none, [zoomed]: body }, action, footer };

  // Below this only one thing fits beside the log: the table, the tree is reached by zooming.
  const narrow = width < 64;
  const treeWidth = narrow ? 0 : Math.min(38, Math.max(22, Math.round(width * 0.24)));
  const logHeight = body.height < 12 ? 0 : clamp(Math.round(body.height * 0.26), 4, 14);
  const chartHeight = body.height < 18 ? 0 : clamp(Math.round(body.height * 0.3), 5, 18);
  const topHeight = body.height - logHeight - chartHeight;
  return {
    title,
    panes: {
      // The tree runs down beside table and charts, so that many servers find room.
      tree: narrow ? null : { x: 0, y: body.y, width: treeWidth, height: topHeight + chartHeight },
      table: {
        x: narrow ? 0 : treeWidth + 1,
        y: body.y,
        width: narrow ? width : width - treeWidth - 1,
        height: topHeight,
      },
      charts:
        chartHeight === 0
          ? null
          : {
              x: narrow ? 0 : treeWidth + 1,
              y: body.y + topHeight,
              width: narrow ? width : width - treeWidth - 1,
              height: chartHeight,
            },
      log: logHeight === 0 ? null : { x: 0, y: body.y + topHeight + chartHeight, width, height: logHeight },
    },
    action,
    footer,
  };
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

/** A box in the middle, never larger than the screen. */
export function centred(width: number, height: number, wantWidth: number, wantHeight: number): Rect {
  const w = Math.min(width - 2, wantWidth);
  const h = Math.min(height - 2, wantHeight);
  return { x: Math.floor((width - w) / 2), y: Math.floor((height - h) / 2), width: w, height: h };
}

/** First visible row so that `selected` is on screen, moving as little as possible. */
export function scrollTo(first: number, selected: number, rows: number, total: number): number {
  const most = Math.max(0, total - rows);
  let top = Math.min(Math.max(0, first), most);
  if (selected < top) top = selected;
  if (selected >= top + rows) top = selected - rows + 1;
  return Math.min(Math.max(0, top), most);
}
