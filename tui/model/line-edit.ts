/** A line of text under a cursor that moves by what people see, not by bytes. */
import { graphemes } from '../layout/text.js';

export const LINE_LENGTH_MAX = 4_096;

export interface LineEdit {
  readonly parts: readonly string[];
  /** 0..parts.length */
  readonly at: number;
}

export const lineEdit = (text = ''): LineEdit => {
  const parts = graphemes(text);
  return { parts, at: parts.length };
};

export const lineText = (edit: LineEdit): string => edit.parts.join('');

export function insert(edit: LineEdit, text: string): LineEdit {
  // A paste is text: what would move to another line or worse is dropped.
  const safe = text.replace(/[\0-\x1f\x7f-\x9f]/g, ' ');
  const room = LINE_LENGTH_MAX - edit.parts.length;
  const added = graphemes(safe).slice(0, Math.max(0, room));
  // A mark typed after its base joins it: cut the whole line anew.
  const before = graphemes([...edit.parts.slice(0, edit.at), ...added].join(''));
  return { parts: [...before, ...edit.parts.slice(edit.at)], at: before.length };
}

const WORD = /[\p{L}\p{N}_]/u;

function wordLeft(edit: LineEdit): number {
  let at = edit.at;
  while (at > 0 && !WORD.test(edit.parts[at - 1] ?? '')) at--;
  while (at > 0 && WORD.test(edit.parts[at - 1] ?? '')) at--;
  return at;
}

function wordRight(edit: LineEdit): number {
  let at = edit.at;
  while (at < edit.parts.length && !WORD.test(edit.parts[at] ?? '')) at++;
  while (at < edit.parts.length && WORD.test(edit.parts[at] ?? '')) at++;
  return at;
}

const remove = (edit: LineEdit, from: number, to: number): LineEdit => ({
  parts: [...edit.parts.slice(0, from), ...edit.parts.slice(to)],
  at: from,
});

/** The usual keys of a line editor; null when the key means nothing to it. */
export function editKey(edit: LineEdit, key: string): LineEdit | null {
  const end = edit.parts.length;
  switch (key) {
    case 'left':
    case 'C-b':
      return { ...edit, at: Math.max(0, edit.at - 1) };
    case 'right':
    case 'C-f':
      return { ...edit, at: Math.min(end, edit.at + 1) };
    case 'home':
    case 'C-a':
      return { ...edit, at: 0 };
    case 'end':
    case 'C-e':
      return { ...edit, at: end };
    case 'C-left':
    case 'M-b':
      return { ...edit, at: wordLeft(edit) };
    case 'C-right':
    case 'M-f':
      return { ...edit, at: wordRight(edit) };
    case 'backspace':
      return edit.at === 0 ? edit : remove(edit, edit.at - 1, edit.at);
    case 'delete':
    case 'C-d':
      return edit.at === end ? edit : { ...remove(edit, edit.at, edit.at + 1) };
    case 'C-w':
    case 'M-backspace':
      return remove(edit, wordLeft(edit), edit.at);
    case 'C-u':
      return remove(edit, 0, edit.at);
    case 'C-k':
      return { parts: edit.parts.slice(0, edit.at), at: edit.at };
    default:
      return null;
  }
}
