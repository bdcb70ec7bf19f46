/** A screen full of cells, before colours: what a view produces and `paint` shows. */
import { cells } from './text.js';
import type { Role } from './roles.js';

export interface Run {
  readonly text: string;
  readonly role: Role;
  readonly bold?: boolean;
  readonly underline?: boolean;
}

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** One drawn cell; `text` is empty in the second half of a wide character. */
export interface Spot {
  text: string;
  role: Role;
  /** What lies beneath: its background shows where the role has none of its own. */
  layer: Role;
  bold: boolean;
  underline: boolean;
}

export const run = (text: string, role: Role = 'text'): Run => ({ text, role });

export class Grid {
  readonly width: number;
  readonly height: number;
  readonly ascii: boolean;
  readonly #spots: Spot[];

  constructor(width: number, height: number, ascii: boolean, role: Role = 'text') {
    this.width = width;
    this.height = height;
    this.ascii = ascii;
    this.#spots = Array.from({ length: width * height }, () => ({
      text: ' ',
      role,
      layer: role,
      bold: false,
      underline: false,
    }));
  }

  at(x: number, y: number): Spot | undefined {
    return x < 0 || x >= this.width || y < 0 ? undefined : this.#spots[y * this.width + x];
  }

  /** Writes runs from (x, y), never beyond `columns` or the grid. Returns the columns used. */
  put(x: number, y: number, runs: readonly Run[], columns = this.width - x): number {
    const end = Math.min(this.width, x + columns);
    if (y < 0 || y >= this.height) return 0;
    let at = x;
    for (const part of runs) {
      for (const cell of cells(part.text, this.ascii)) {
        if (at + cell.width > end) return at - x;
        if (at >= 0) {
          this.#set(at, y, cell.text, part);
          if (cell.width === 2) this.#set(at + 1, y, '', part);
        }
        at += cell.width;
      }
    }
    return at - x;
  }

  fill(rect: Rect, role: Role, text = ' '): void {
    const part = { text, role };
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      for (let x = rect.x; x < rect.x + rect.width; x++) {
        if (x >= 0 && x < this.width && y >= 0 && y < this.height) {
          this.#set(x, y, text, part);
          const spot = this.at(x, y);
          if (spot) spot.layer = role;
        }
      }
    }
  }

  /** Changes how cells look without touching what they say, as for a selected row. */
  tint(rect: Rect, role: Role): void {
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      for (let x = rect.x; x < rect.x + rect.width; x++) {
        const spot = this.at(x, y);
        if (!spot) continue;
        spot.role = role;
        spot.layer = role;
      }
    }
  }

  /** The picture as plain text, for tests and for copying a screen. */
  text(): string {
    const lines: string[] = [];
    for (let y = 0; y < this.height; y++) {
      let line = '';
      for (let x = 0; x < this.width; x++) line += this.#spots[y * this.width + x]?.text ?? '';
      lines.push(line.trimEnd());
    }
    return lines.join('\n');
  }

  #set(x: number, y: number, text: string, part: Run): void {
    const spot = this.#spots[y * this.width + x];
    if (!spot) return;
    // Overwriting half of a wide character leaves no half behind.
    const next = x + 1 < this.width ? this.#spots[y * this.width + x + 1] : undefined;
    if (spot.text !== '' && next?.text === '') next.text = ' ';
    if (spot.text === '' && text !== '') {
      const left = x > 0 ? this.#spots[y * this.width + x - 1] : undefined;
      if (left) left.text = ' ';
    }
    spot.text = text;
    spot.role = part.role;
    spot.bold = part.bold ?? false;
    spot.underline = part.underline ?? false;
  }
}

/** A chart that a widget may draw instead of the cells beneath it. */
export interface ChartSpot {
  readonly id: string;
  readonly rect: Rect;
  readonly title: string;
  readonly role: Role;
  readonly labels: readonly string[];
  readonly values: readonly number[];
}

export interface Scene {
  readonly grid: Grid;
  /** Where the person types; null hides the cursor. */
  readonly cursor: { readonly x: number; readonly y: number } | null;
  readonly charts: readonly ChartSpot[];
}
