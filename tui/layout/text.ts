/**
 * Text for a terminal: cleaned, measured in columns, cut and padded. Everything that a server said passes through
 * here, because a file name may hold escape sequences, direction overrides or characters no terminal agrees about.
 */
import { eastAsianWidth } from 'get-east-asian-width';

/** Stands for what must not be shown as it is. */
export const REPLACEMENT = '\ufffd';

const PLAIN = /^[\x20-\x7e]*$/;
/** What stands alone in one column: ASCII, Latin, and the lines, bars, arrows and marks that our own screens use. */
const SIMPLE =
  /^[\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u2013\u2014\u2026\u2039\u203a\u2190-\u21ff\u2500-\u25fc\u25ff\u2713\u2717]*$/;
/** C0, DEL, C1, line and paragraph separators, direction and invisible formatting, tags, lone surrogates. */
const HOSTILE =
  /[\0-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;
/**
 * Signs that take the next character into their own cluster (UAX 29, Prepend). Whatever is written after them, a
 * padding space or the neighbouring column, would be swallowed, and terminals do not agree about their width.
 */
const PREPEND =
  /[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\u{110bd}\u{110cd}\u{111c2}\u{111c3}\u{113d1}\u{1193f}\u{11941}\u{11a84}-\u{11a89}\u{11d46}\u{11f02}]/gu;
/** Marks and skin tones without a base would join the cell before them. */
const MARK_FIRST = /^(\p{M}|[\u{1f3fb}-\u{1f3ff}])/u;
/** Thai and Lao am and the sound marks of half-width katakana: one cluster with the letter before, two columns. */
const OWN_COLUMN = /(?=[\u0e33\u0eb3\uff9e\uff9f])/u;
const PICTURE = /\p{Extended_Pictographic}|\p{Regional_Indicator}|[\ufe00-\ufe0f\u{1f3fb}-\u{1f3ff}]/u;
/** A base with more marks than any language uses is an attempt to paint over the neighbours. */
const MARKS_MAX = 3;

let segmenter: Intl.Segmenter | null = null;

/** Made when the first text needs it: it costs as much as a whole frame. */
function segments(text: string): Iterable<Intl.SegmentData> {
  segmenter ??= new Intl.Segmenter('und', { granularity: 'grapheme' });
  return segmenter.segment(text);
}

/** The same text without anything that could move the cursor, mislead the eye or join the cell beside it. */
export function clean(text: string): string {
  return SIMPLE.test(text) ? text : text.replace(HOSTILE, REPLACEMENT).replace(PREPEND, REPLACEMENT);
}

export interface Cell {
  readonly text: string;
  readonly width: 1 | 2;
}

/** Cleaned text as the cells of a terminal row. With `ascii`, everything else becomes a question mark. */
export function cells(text: string, ascii = false): Cell[] {
  const out: Cell[] = [];
  if (ascii ? PLAIN.test(text) : SIMPLE.test(text)) {
    for (const char of text) out.push({ text: char, width: 1 });
    return out;
  }
  for (const { segment } of segments(clean(text))) {
    for (const part of segment.split(OWN_COLUMN)) {
      const cell = cellOf(part);
      if (ascii && !PLAIN.test(cell.text)) for (let i = 0; i < cell.width; i++) out.push({ text: '?', width: 1 });
      else out.push(cell);
    }
  }
  return out;
}

function cellOf(segment: string): Cell {
  const first = segment.codePointAt(0) ?? 0x20;
  if (MARK_FIRST.test(segment)) return { text: REPLACEMENT, width: 1 };
  const single = segment.length === (first > 0xffff ? 2 : 1);
  if (single) return { text: segment, width: eastAsianWidth(first) };
  // Terminals disagree about the width of joined pictures and flags; one neutral sign keeps the columns straight.
  if (PICTURE.test(segment) || [...segment].length > MARKS_MAX + 1) return { text: REPLACEMENT, width: 1 };
  const width = eastAsianWidth(first);
  return { text: segment, width };
}

/** Columns the text takes. */
export function width(text: string): number {
  if (SIMPLE.test(text)) return text.length;
  let sum = 0;
  for (const cell of cells(text)) sum += cell.width;
  return sum;
}

/** At most `columns` columns; what is left out is marked. `keep` says which end matters. */
export function cut(text: string, columns: number, keep: 'start' | 'end' = 'start', ellipsis = '\u2026'): string {
  const safe = clean(text);
  if (columns <= 0) return '';
  if (SIMPLE.test(safe)) {
    if (safe.length <= columns) return safe;
    if (columns <= ellipsis.length) return safe.slice(0, columns);
    const room = columns - ellipsis.length;
    return keep === 'start' ? safe.slice(0, room) + ellipsis : ellipsis + safe.slice(safe.length - room);
  }
  const parts = cells(safe);
  const total = parts.reduce((sum, cell) => sum + cell.width, 0);
  if (total <= columns) return parts.map((cell) => cell.text).join('');
  const room = Math.max(0, columns - ellipsis.length);
  const order = keep === 'start' ? parts : [...parts].reverse();
  const taken: string[] = [];
  let used = 0;
  for (const cell of order) {
    if (used + cell.width > room) break;
    used += cell.width;
    taken.push(cell.text);
  }
  return keep === 'start' ? taken.join('') + ellipsis : ellipsis + taken.reverse().join('');
}

/** Exactly `columns` columns, cut or padded. */
export function fitTo(
  text: string,
  columns: number,
  align: 'left' | 'right' = 'left',
  keep: 'start' | 'end' = 'start',
  ellipsis = '\u2026',
): string {
  const short = cut(text, columns, keep, ellipsis);
  const pad = ' '.repeat(Math.max(0, columns - width(short)));
  return align === 'left' ? short + pad : pad + short;
}

/** Breaks text into lines of at most `columns`, at spaces where there are any. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      let rest = word;
      while (width(rest) > columns) {
        if (line !== '') lines.push(line);
        line = '';
        const head = cut(rest, columns, 'start', '');
        if (head === '') break;
        lines.push(head);
        rest = rest.slice(head.length);
      }
      if (line === '') line = rest;
      else if (width(line) + 1 + width(rest) <= columns) line += ` ${rest}`;
      else {
        lines.push(line);
        line = rest;
      }
    }
    lines.push(line);
  }
  return lines;
}

/** Grapheme clusters, for an editor that moves by what people see. */
export function graphemes(text: string): string[] {
  return SIMPLE.test(text) ? [...text] : [...segments(text)].map((part) => part.segment);
}
