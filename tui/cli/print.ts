/** Text for people and JSON for programs. Data goes to standard output, talk to standard error. */
import { eastAsianWidth } from 'get-east-asian-width';
import type { Failure } from '../../protocol/errors.js';
import { noticeRemedy, noticeText } from '../../protocol/errors.js';

/** Version of every JSON document the command line prints. */
export const JSON_SCHEMA = 1;

const CONTROLS = '\\x00-\\x1f\\x7f-\\x9f';
const DIRECTIONS = '\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff';
const CONTROL = new RegExp(`[${CONTROLS}]`, 'g');
const DIRECTION = new RegExp(`[${DIRECTIONS}]`, 'g');
const UNQUOTED = new RegExp(`[\\\\'${CONTROLS}${DIRECTIONS}]`, 'g');
const code = (sign: string, digits: number): string => sign.charCodeAt(0).toString(16).padStart(digits, '0');

/** Text of servers may hold anything; on a terminal control bytes and directions are shown instead of obeyed (T20). */
export function visible(text: string): string {
  return text.replace(CONTROL, (byte) => `\\x${code(byte, 2)}`).replace(DIRECTION, (sign) => `\\u${code(sign, 4)}`);
}

/** As a shell reads it back, whatever bytes are in it. */
export function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (word === visible(word)) return `'${word.replaceAll("'", `'\\''`)}'`;
  const escaped = word.replace(UNQUOTED, (one) => (one === '\\' || one === "'" ? `\\${one}` : `\\u${code(one, 4)}`));
  return `$'${escaped}'`;
}

/** Marks and joiners stand on the character before them. */
const ON_TOP = /[\p{M}\u200c\u200d]/u;

/** Columns a text takes on a terminal. */
export function columns(text: string): number {
  let width = 0;
  for (const character of text) if (!ON_TOP.test(character)) width += eastAsianWidth(character.codePointAt(0) ?? 0);
  return width;
}

/** As much of a text as fits. */
export function clip(text: string, width: number): string {
  let used = 0;
  let kept = '';
  for (const character of text) {
    used += columns(character);
    if (used > width) break;
    kept += character;
  }
  return kept;
}

export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** A table with two spaces between columns; the last column is not filled up. */
export function table(heads: readonly Column[], rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map(visible));
  const widths = heads.map((head, at) => Math.max(columns(head.title), ...shown.map((row) => columns(row[at] ?? ''))));
  const line = (cells: readonly string[]): string =>
    heads
      .map((head, at) => {
        const cell = cells[at] ?? '';
        const gap = ' '.repeat(Math.max(0, (widths[at] ?? 0) - columns(cell)));
        return head.right ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd();
  return `${[line(heads.map((head) => head.title)), ...shown.map(line)].join('\n')}\n`;
}

/** Name and value, one per line. */
export function properties(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => columns(name)));
  return pairs
    .map(([name, value]) => `${name}${' '.repeat(width - columns(name))}  ${visible(value)}`.trimEnd())
    .join('\n')
    .concat('\n');
}

export interface Output {
  /** Prints the text, or the value as JSON when that was asked for. */
  show(text: string | (() => string), value: Readonly<Record<string, unknown>>): void;
  /** One of many values that come over time; JSON is one line each. */
  stream(text: string | (() => string), value: Readonly<Record<string, unknown>>): void;
  /** Says something to the person only. */
  tell(text: string): void;
  readonly json: boolean;
}

export function makeOutput(json: boolean, quiet: boolean): Output {
  const pick = (text: string | (() => string)): string => (typeof text === 'string' ? text : text());
  return {
    json,
    show: (text, value) =>
      void process.stdout.write(json ? `${JSON.stringify({ schema: JSON_SCHEMA, ...value }, null, 2)}\n` : pick(text)),
    stream: (text, value) =>
      void process.stdout.write(json ? `${JSON.stringify({ schema: JSON_SCHEMA, ...value })}\n` : pick(text)),
    tell: (text) => {
      if (!quiet && !json) process.stderr.write(`${text}\n`);
    },
  };
}

export function showFailure(error: Failure, json: boolean): void {
  const { notice } = error;
  const remedy = noticeRemedy(notice);
  if (json) {
    const { code, id, severity, params, cause } = notice;
    process.stderr.write(
      `${JSON.stringify({ schema: JSON_SCHEMA, error: { code, id, severity, message: noticeText(notice), remedy, params, cause } })}\n`,
    );
    return;
  }
  process.stderr.write(`understudy: ${visible(noticeText(notice))}\n${remedy ? `${visible(remedy)}\n` : ''}`);
}
