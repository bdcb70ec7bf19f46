/** Signs with their ASCII twins. None is of ambiguous width, so tables stay straight everywhere (T4, T6). */
export interface Glyphs {
  readonly ok: string;
  readonly notice: string;
  readonly warn: string;
  readonly alert: string;
  readonly none: string;
  readonly busy: string;
  readonly open: string;
  readonly closed: string;
  readonly leaf: string;
  readonly horizontal: string;
  readonly vertical: string;
  readonly teeDown: string;
  readonly teeUp: string;
  readonly cornerTopLeft: string;
  readonly cornerTopRight: string;
  readonly cornerBottomLeft: string;
  readonly cornerBottomRight: string;
  readonly ascending: string;
  readonly descending: string;
  readonly left: string;
  readonly right: string;
  readonly up: string;
  readonly down: string;
  readonly arrow: string;
  readonly ellipsis: string;
  readonly dot: string;
  /** Eight heights for charts, lowest first. */
  readonly bars: readonly string[];
  readonly admin: string;
  readonly monitor: string;
  readonly locked: string;
}

export const UNICODE: Glyphs = {
  ok: '✓',
  notice: '·',
  warn: '▲',
  alert: '✗',
  none: '?',
  busy: '»',
  open: '▾',
  closed: '▸',
  leaf: ' ',
  horizontal: '─',
  vertical: '│',
  teeDown: '┬',
  teeUp: '┴',
  cornerTopLeft: '┌',
  cornerTopRight: '┐',
  cornerBottomLeft: '└',
  cornerBottomRight: '┘',
  ascending: '▴',
  descending: '▾',
  left: '‹',
  right: '›',
  up: '↑',
  down: '↓',
  arrow: '→',
  ellipsis: '…',
  dot: '·',
  bars: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
  admin: 'A',
  monitor: 'M',
  locked: 'x',
};

export const ASCII: Glyphs = {
  ok: '+',
  notice: '.',
  warn: '!',
  alert: 'X',
  none: '?',
  busy: '>',
  open: 'v',
  closed: '>',
  leaf: ' ',
  horizontal: '-',
  vertical: '|',
  teeDown: '+',
  teeUp: '+',
  cornerTopLeft: '+',
  cornerTopRight: '+',
  cornerBottomLeft: '+',
  cornerBottomRight: '+',
  ascending: '^',
  descending: 'v',
  left: '<',
  right: '>',
  up: '^',
  down: 'v',
  arrow: '->',
  ellipsis: '~',
  dot: '.',
  bars: ['_', '_', '.', '.', '-', '=', '+', '#'],
  admin: 'A',
  monitor: 'M',
  locked: 'x',
};

export const glyphsFor = (ascii: boolean): Glyphs => (ascii ? ASCII : UNICODE);
