/**
 * Bytes of a terminal, put together again: the network may cut an escape sequence in two, and blessed would then see
 * Escape, `[` and `A` as three keys that close dialogs and start things. Paste, mouse and characters beyond the basic
 * plane come out whole.
 */
import { StringDecoder } from 'node:string_decoder';

export type InputEvent =
  /** `key` is a name such as `up`, `C-c`, `M-x` or the character itself; `text` is what it types. */
  | { readonly kind: 'key'; readonly key: string; readonly text: string }
  | { readonly kind: 'paste'; readonly text: string }
  | {
      readonly kind: 'mouse';
      readonly action: 'down' | 'up' | 'drag' | 'wheel_up' | 'wheel_down';
      readonly button: number;
      readonly x: number;
      readonly y: number;
    };

export interface InputOptions {
  /** How long an unfinished sequence may take to be finished. */
  readonly holdMs: number;
  readonly setTimer?: (call: () => void, ms: number) => unknown;
  readonly clearTimer?: (timer: unknown) => void;
}

const ESC = '\u001b';
const PASTE_START = `${ESC}[200~`;
const PASTE_END = `${ESC}[201~`;
const OLD_MOUSE = `${ESC}[M`;
const OLD_MOUSE_LENGTH = OLD_MOUSE.length + 3;
/** More than this between the brackets of a paste is thrown away, not kept. */
export const PASTE_LENGTH_MAX = 1 << 20;
/** No sequence is longer; what goes on beyond is not one. */
const SEQUENCE_LENGTH_MAX = 64;

const CSI_PART = /^\u001b\[[\x20-\x3f]{0,62}/;
const CSI = /^\u001b\[[\x20-\x3f]{0,62}[\x40-\x7e]/;
/** Anything else that ends like one is taken whole, and means nothing. */
const CSI_FORM = /^\u001b\[[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]$/;
const STRING_PART = /^\u001b[\]PX^_]/;
const STRING_END = /\u0007|\u001b\\|\u009c/;

export class Input {
  readonly #emit: (event: InputEvent) => void;
  readonly #options: InputOptions;
  readonly #decoder = new StringDecoder('utf8');
  #held = '';
  #paste: string | null = null;
  #timer: unknown = null;

  constructor(emit: (event: InputEvent) => void, options: InputOptions) {
    this.#emit = emit;
    this.#options = options;
  }

  push(bytes: Uint8Array): void {
    this.#stop();
    this.#held += this.#decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#drain(false);
    if (this.#held !== '') this.#start();
  }

  /** Ends the waiting: what is held is what it looks like. */
  flush(): void {
    this.#stop();
    this.#drain(true);
  }

  #start(): void {
    const set = this.#options.setTimer ?? ((call, ms) => setTimeout(call, ms));
    this.#timer = set(() => {
      this.#timer = null;
      this.#drain(true);
    }, this.#options.holdMs);
  }

  #stop(): void {
    if (this.#timer === null) return;
    const clear = this.#options.clearTimer ?? ((timer) => clearTimeout(timer as NodeJS.Timeout));
    clear(this.#timer);
    this.#timer = null;
  }

  /** Takes off everything that is complete. With `late`, nothing more will come for what is begun. */
  #drain(late: boolean): void {
    while (this.#held !== '') {
      if (this.#paste !== null) {
        if (!this.#drainPaste()) return;
        continue;
      }
      if (!this.#held.startsWith(ESC)) {
        const point = this.#held.codePointAt(0) ?? 0;
        const char = String.fromCodePoint(point);
        // A first half of a pair alone: the decoder gives whole ones, so this is damage; it is dropped.
        this.#held = this.#held.slice(char.length);
        if (point >= 0xd800 && point <= 0xdfff) continue;
        this.#character(char);
        continue;
      }
      const taken = this.#sequence(late);
      if (taken === 0) return;
      this.#held = this.#held.slice(taken);
    }
  }

  /** Length of the sequence at the start, reported; 0: not complete yet. */
  #sequence(late: boolean): number {
    const held = this.#held;
    if (held.startsWith(PASTE_START)) {
      this.#paste = '';
      return PASTE_START.length;
    }
    // The old mouse form carries three raw bytes behind; they must not become keys, nor the beginning of a sequence.
    if (held.startsWith(OLD_MOUSE)) return held.length < OLD_MOUSE_LENGTH && !late ? 0 : OLD_MOUSE_LENGTH;
    const csi = CSI.exec(held);
    if (csi) {
      this.#csi(csi[0]);
      return csi[0].length;
    }
    if (held.length === 1) return late ? this.#escape() : 0;
    const second = held[1] ?? '';
    if (second === '[') {
      const part = CSI_PART.exec(held)?.[0].length ?? 2;
      if (!late && part === held.length && part < SEQUENCE_LENGTH_MAX) return 0;
      // Never finished or not a sequence at all: its characters are not keys that anybody pressed.
      return part;
    }
    if (second === 'O') {
      if (held.length < 3) {
        if (!late) return 0;
        this.#key('M-O', '');
        return 2;
      }
      this.#ss3(held[2] ?? '');
      return 3;
    }
    if (STRING_PART.test(held)) {
      const end = STRING_END.exec(held.slice(2));
      if (end) return 2 + end.index + end[0].length;
      if (!late && held.length < PASTE_LENGTH_MAX) return 0;
      return held.length;
    }
    if (second === ESC) return this.#escape();
    const point = held.codePointAt(1) ?? 0;
    const char = String.fromCodePoint(point);
    const name = keyOfControl(char);
    this.#key(`M-${name ?? char}`, '');
    return 1 + char.length;
  }

  #escape(): number {
    this.#key('escape', '');
    return 1;
  }

  #drainPaste(): boolean {
    const end = this.#held.indexOf(PASTE_END);
    if (end >= 0) {
      const text = ((this.#paste ?? '') + this.#held.slice(0, end)).slice(0, PASTE_LENGTH_MAX);
      this.#held = this.#held.slice(end + PASTE_END.length);
      this.#paste = null;
      this.#emit({ kind: 'paste', text: text.replace(/\r\n?/g, '\n') });
      return true;
    }
    // The end mark may be cut in two, so its length stays held.
    const keep = Math.min(this.#held.length, PASTE_END.length - 1);
    this.#paste = ((this.#paste ?? '') + this.#held.slice(0, this.#held.length - keep)).slice(0, PASTE_LENGTH_MAX);
    this.#held = this.#held.slice(this.#held.length - keep);
    return false;
  }

  #character(char: string): void {
    const name = keyOfControl(char);
    if (name !== null) this.#key(name, '');
    else if (char === ' ') this.#key('space', ' ');
    else if (char >= '\u0080' && char <= '\u009f') return;
    else this.#key(char, char);
  }

  #csi(sequence: string): void {
    if (!CSI_FORM.test(sequence)) return;
    const final = sequence.at(-1) ?? '';
    const params = sequence.slice(2, -1);
    if (params.startsWith('<') && (final === 'M' || final === 'm')) {
      this.#mouse(params.slice(1), final === 'm');
      return;
    }
    // Answers of the terminal to questions nobody asked (device attributes, focus) are not keys.
    if (/^[?>=]/.test(params)) return;
    const numbers = params.split(/[;:]/).map((part) => Number(part || '0'));
    const name = final === '~' ? TILDE[numbers[0] ?? 0] : final === 'Z' ? 'S-tab' : FINALS[final];
    if (!name) return;
    const modifier = (numbers[1] ?? 1) - 1;
    this.#key(withModifier(name, Math.max(0, modifier)), '');
  }

  #ss3(final: string): void {
    const name = FINALS[final] ?? (final === 'M' ? 'enter' : undefined);
    if (name) this.#key(name, '');
  }

  #mouse(params: string, release: boolean): void {
    const [code = 0, x = 1, y = 1] = params.split(';').map(Number);
    if (![code, x, y].every((one) => Number.isInteger(one) && one >= 0)) return;
    const at = { x: Math.max(0, x - 1), y: Math.max(0, y - 1), button: code & 3 };
    if (code & 64) this.#emit({ kind: 'mouse', action: (code & 1) === 0 ? 'wheel_up' : 'wheel_down', ...at });
    else if (code & 32) this.#emit({ kind: 'mouse', action: 'drag', ...at });
    else this.#emit({ kind: 'mouse', action: release ? 'up' : 'down', ...at });
  }

  #key(key: string, text: string): void {
    this.#emit({ kind: 'key', key, text });
  }
}

const FINALS: Readonly<Record<string, string>> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  H: 'home',
  F: 'end',
  P: 'f1',
  Q: 'f2',
  R: 'f3',
  S: 'f4',
  E: 'clear',
};
const TILDE: Readonly<Record<number, string>> = {
  1: 'home',
  2: 'insert',
  3: 'delete',
  4: 'end',
  5: 'pageup',
  6: 'pagedown',
  7: 'home',
  8: 'end',
  11: 'f1',
  12: 'f2',
  13: 'f3',
  14: 'f4',
  15: 'f5',
  17: 'f6',
  18: 'f7',
  19: 'f8',
  20: 'f9',
  21: 'f10',
  23: 'f11',
  24: 'f12',
};

function withModifier(name: string, bits: number): string {
  return `${bits & 4 ? 'C-' : ''}${bits & 2 ? 'M-' : ''}${bits & 1 ? 'S-' : ''}${name}`;
}

/** Names of C0 control characters; null for printable ones. */
function keyOfControl(char: string): string | null {
  switch (char) {
    case '\r':
    case '\n':
      return 'enter';
    case '\t':
      return 'tab';
    case '\b':
    case '\u007f':
      return 'backspace';
    case '\0':
      return 'C-space';
    default:
      break;
  }
  const code = char.charCodeAt(0);
  if (char.length === 1 && code < 32)
    return code <= 26 ? `C-${String.fromCharCode(code + 96)}` : `C-${String.fromCharCode(code + 64)}`;
  return null;
}
