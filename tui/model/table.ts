/** Tables of any length: columns, filter and order. Only the rows in sight are ever formatted. */
import type { Role } from '../layout/roles.js';
import type { Severity } from './severity.js';

export interface Column<R> {
  readonly id: string;
  /** The specification's label, exactly. */
  readonly label: string;
  readonly align: 'left' | 'right';
  /** What to order by. */
  readonly value: (row: R) => string | number;
  readonly show: (row: R) => string;
  readonly role?: (row: R) => Role | null;
  readonly widthMin: number;
  readonly widthMax: number;
  /** Which end of a long value matters. */
  readonly keep?: 'start' | 'end';
}

export interface TableDef<R> {
  readonly title: string;
  readonly columns: readonly Column<R>[];
  readonly key: (row: R) => string;
  readonly severity: (row: R) => Severity;
  readonly stale: (row: R) => boolean;
  /** Texts that a plain filter word looks at. */
  readonly empty: string;
}

export interface Order {
  readonly column: string;
  readonly descending: boolean;
}

/** Filter words: `word`, `!word`, `column:text`, `column>5`, `column<5`; all must hold. */
export interface FilterWord {
  readonly negated: boolean;
  readonly column: string | null;
  readonly op: ':' | '>' | '<';
  readonly text: string;
  readonly number: number;
}

const UNIT: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

export function parseFilter(text: string): FilterWord[] {
  const words: FilterWord[] = [];
  for (const raw of text.trim().split(/\s+/)) {
    if (raw === '') continue;
    const negated = raw.startsWith('!') && raw.length > 1;
    const body = negated ? raw.slice(1) : raw;
    const match = /^([a-z][a-z-]*)([:<>])(.+)$/i.exec(body);
    const value = match?.[3] ?? body;
    const number = /^(\d+(?:\.\d+)?)([kmgt]?)/i.exec(value);
    words.push({
      negated,
      column: match?.[1]?.toLowerCase() ?? null,
      op: (match?.[2] as FilterWord['op'] | undefined) ?? ':',
      text: value.toLowerCase(),
      number: number ? Number(number[1]) * (UNIT[(number[2] ?? '').toLowerCase()] ?? 1) : Number.NaN,
    });
  }
  return words;
}

const squeeze = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, '');

function columnFor<R>(columns: readonly Column<R>[], name: string): Column<R> | undefined {
  const wanted = squeeze(name);
  return (
    columns.find((column) => squeeze(column.label) === wanted) ??
    columns.find((column) => squeeze(column.label).includes(wanted))
  );
}

function wordHolds<R>(def: TableDef<R>, row: R, word: FilterWord): boolean {
  const column = word.column === null ? undefined : columnFor(def.columns, word.column);
  if (word.column !== null && column) {
    if (word.op === ':') return column.show(row).toLowerCase().includes(word.text);
    const value = column.value(row);
    const number = typeof value === 'number' ? value : Number.NaN;
    return word.op === '>' ? number > word.number : number < word.number;
  }
  const text = word.column === null ? word.text : `${word.column}${word.op}${word.text}`;
  return def.columns.some((one) => one.show(row).toLowerCase().includes(text));
}

export function choose<R>(
  def: TableDef<R>,
  rows: readonly R[],
  filter: string,
  problemsOnly: boolean,
  order: Order | null,
): R[] {
  const words = parseFilter(filter);
  let out = rows.filter(
    (row) =>
      (!problemsOnly || def.severity(row) === 'warn' || def.severity(row) === 'alert') &&
      words.every((word) => wordHolds(def, row, word) !== word.negated),
  );
  const column = order && def.columns.find((one) => one.id === order.column);
  if (order && column) {
    const sign = order.descending ? -1 : 1;
    // Values are read once per row: comparing reads each of them many times.
    const keyed = out.map((row, index) => ({ row, index, value: column.value(row) }));
    keyed.sort((a, b) => {
      if (a.value !== b.value) {
        if (typeof a.value === 'number' && typeof b.value === 'number') return sign * (a.value - b.value);
        return sign * (String(a.value) < String(b.value) ? -1 : 1);
      }
      return a.index - b.index;
    });
    out = keyed.map((one) => one.row);
  }
  return out;
}
