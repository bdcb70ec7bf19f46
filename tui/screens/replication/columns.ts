/** Which columns of the table fitTo, and how wide they are. */
import type { Column, TableDef } from '../../model/table.js';
import { width, wrap } from '../../layout/text.js';
import type { Row } from './tables.js';

export interface Placed {
  readonly column: Column<Row>;
  readonly x: number;
  readonly width: number;
}

export interface Columns {
  readonly placed: readonly Placed[];
  readonly hiddenLeft: number;
  readonly hiddenRight: number;
  /** How far to the right one can go until the last column is in sight. */
  readonly lastOffset: number;
}

const LABEL_LINES = 2;
/** Room for the sign before the frozen column. */
export const SIGN_WIDTH = 2;
const GAP = 1;

const labelWidths = new Map<string, number>();

/** Smallest width in which the label takes two lines without cutting a word. */
function labelWidth(label: string): number {
  const known = labelWidths.get(label);
  if (known !== undefined) return known;
  let columns = Math.max(...label.split(' ').map((word) => word.length));
  while (wrap(label, columns).length > LABEL_LINES) columns++;
  labelWidths.set(label, columns);
  return columns;
}

export function columnWidth(column: Column<Row>, visible: readonly Row[]): number {
  let wide = Math.max(column.widthMin, labelWidth(column.label));
  for (const row of visible) {
    if (wide >= column.widthMax) break;
    wide = Math.max(wide, width(column.show(row)));
  }
  return Math.min(wide, Math.max(column.widthMax, labelWidth(column.label)));
}

export function placeColumns(def: TableDef<Row>, visible: readonly Row[], offset: number, available: number): Columns {
  const [frozen, ...rest] = def.columns;
  if (!frozen) return { placed: [], hiddenLeft: 0, hiddenRight: 0, lastOffset: 0 };
  const frozenWidth = Math.min(columnWidth(frozen, visible), Math.max(8, Math.floor(available / 2)));
  const placed: Placed[] = [{ column: frozen, x: SIGN_WIDTH, width: frozenWidth }];
  let x = SIGN_WIDTH + frozenWidth + GAP;
  let index = offset;
  for (; index < rest.length; index++) {
    const column = rest[index];
    if (!column) break;
    const wanted = columnWidth(column, visible);
    const room = available - x;
    // A long text may be shown in part; half a number would be a wrong number.
    if (wanted > room && !(column.align === 'left' && room >= column.widthMin)) break;
    const wide = Math.min(wanted, room);
    placed.push({ column, x, width: wide });
    x += wide + GAP;
  }
  let lastOffset = rest.length;
  let room = available - SIGN_WIDTH - frozenWidth - GAP;
  while (lastOffset > 0) {
    const column = rest[lastOffset - 1];
    if (!column) break;
    const wanted = columnWidth(column, visible);
    if (wanted > room) break;
    room -= wanted + GAP;
    lastOffset--;
  }
  return {
    placed,
    hiddenLeft: offset,
    hiddenRight: rest.length - index,
    lastOffset: Math.min(lastOffset, Math.max(0, rest.length - 1)),
  };
}
