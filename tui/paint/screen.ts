/**
 * The thin layer over blessed: cells in, one write per frame out. Blessed compares with what the terminal shows and
 * sends only what differs. It never sees our keyboard, our text or our mouse.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import type { Widgets } from 'blessed';
import type { Scene } from '../layout/grid.js';
import type { Role } from '../layout/roles.js';
import type { Look, Theme } from '../theme/theme.js';
import { ChartWidgets } from './charts.js';

const require = createRequire(import.meta.url);

/** What we write to; `process.stdout`, or a stream of a test. */
export interface TerminalOutput {
  readonly columns?: number;
  readonly rows?: number;
  write(data: string): boolean;
  once(event: 'drain', call: () => void): unknown;
}

export interface ScreenOptions {
  readonly output: TerminalOutput;
  readonly theme: Theme;
  readonly ascii: boolean;
  readonly mouse: boolean;
}

type Whole = typeof import('blessed');
type Blessed = Pick<Whole, 'screen' | 'box'>;
/** What of blessed's insides is used: its line buffers. `@types/blessed` leaves these out. */
interface Insides {
  lines: ([number, string][] & { dirty: boolean })[];
  olines: [number, string][][];
  clickable: unknown[];
  keyable: unknown[];
  alloc(): void;
  realloc(): void;
  program: {
    cols: number;
    rows: number;
    cursorHidden: boolean;
    _write(text: string): boolean;
    flush(): void;
    input: NodeJS.ReadableStream;
  };
}
interface Element {
  render(): unknown;
}

let loaded: Blessed | null = null;

/** Loads blessed with an environment in which it does the right thing on every terminal (see README). */
export function loadBlessed(): Blessed {
  if (loaded) return loaded;
  const usr = join(dirname(require.resolve('blessed/package.json')), 'usr');
  const wanted: Record<string, string | undefined> = {
    // Its own old-format entry: newer ones of distributions are not understood.
    TERMINFO: usr,
    NCURSES_NO_UTF8_ACS: '1',
    BLESSED_FORCE_MODES: 'SGRMOUSE=1',
    // It would start a process and wrap sequences that tmux drops.
    TMUX: undefined,
  };
  const before: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(wanted)) {
    before[name] = process.env[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  // Only the two that are used: the package's own entry loads thirty more.
  loaded = {
    screen: require('blessed/lib/widgets/screen.js') as Whole['screen'],
    box: require('blessed/lib/widgets/box.js') as Whole['box'],
  };
  restoreEnvironment = () => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  return loaded;
}

let restoreEnvironment: () => void = () => {};

const SYNC_START = '\u001b[?2026h';
const SYNC_END = '\u001b[?2026l';
const FRAMES_PER_SECOND = 15;

/** Collects what blessed writes during a frame. */
class Collector extends Writable {
  text = '';
  columns = 80;
  rows = 24;
  readonly isTTY = true;

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString('utf8');
    done();
  }

  override write(chunk: unknown): boolean {
    this.text += typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString('utf8');
    return true;
  }
}

export class Screen {
  readonly #output: TerminalOutput;
  readonly #collector = new Collector();
  readonly #screen: Widgets.Screen;
  readonly #inside: Insides;
  readonly #charts: ChartWidgets;
  #theme: Theme;
  #attributes: Map<string, number> = new Map();
  #scene: Scene | null = null;
  #pending: (() => Scene) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #lastFrame = 0;
  #blocked = false;
  #over = false;
  #mouse: boolean;
  #cursor = '';

  constructor(options: ScreenOptions) {
    const blessed = loadBlessed();
    this.#output = options.output;
    this.#theme = options.theme;
    this.#mouse = options.mouse;
    this.#collector.columns = Math.max(1, options.output.columns ?? 80);
    this.#collector.rows = Math.max(1, options.output.rows ?? 24);
    const input = Object.assign(new PassThrough(), { isTTY: true, isRaw: true, setRawMode: () => input });
    this.#screen = blessed.screen({
      terminal: 'xterm-256color',
      // Widths are ours: blessed's table of wide characters is that of 2013.
      fullUnicode: false,
      forceUnicode: true,
      smartCSR: false,
      warnings: false,
      input: input as unknown as NodeJS.ReadStream,
      output: this.#collector as unknown as NodeJS.WriteStream,
    } as Widgets.IScreenOptions);
    restoreEnvironment();
    this.#inside = this.#screen as unknown as Insides;
    const surface = blessed.box({ top: 0, left: 0, width: '100%', height: '100%' });
    (surface as unknown as Element).render = () => this.#paintCells();
    this.#screen.append(surface);
    this.#charts = new ChartWidgets(this.#screen, options.ascii || options.theme.kind === 'mono');
    this.#send(`${this.#takeCollected()}\u001b[?2004h${this.#mouseModes()}`);
  }

  /** Asks for a frame soon; many requests make one frame, and a terminal that does not keep up gets fewer. */
  request(make: () => Scene): void {
    this.#pending = make;
    this.#schedule();
  }

  /** Draws at once, for tests and the first frame. */
  draw(scene: Scene): void {
    if (this.#over) return;
    this.#lastFrame = performance.now();
    this.#scene = scene;
    this.#charts.place(scene.charts, (role) => this.#theme.looks[role]);
    this.#screen.render();
    const drawn = this.#takeCollected();
    const cursor =
      scene.cursor === null ? '\u001b[?25l' : `\u001b[${scene.cursor.y + 1};${scene.cursor.x + 1}H\u001b[?25h`;
    if (drawn === '' && cursor === this.#cursor) return;
    // Blessed saves and restores the cursor around its output; ours goes last.
    const hide = this.#cursor.endsWith('h') && drawn !== '' ? '\u001b[?25l' : '';
    this.#cursor = cursor;
    this.#send(`${SYNC_START}${hide}${drawn}${cursor}${SYNC_END}`);
  }

  resize(columns: number, rows: number): void {
    this.#collector.columns = Math.max(1, columns);
    this.#collector.rows = Math.max(1, rows);
    this.#inside.program.cols = this.#collector.columns;
    this.#inside.program.rows = this.#collector.rows;
    this.#inside.alloc();
    this.#cursor = '';
    this.#charts.reset();
  }

  setTheme(theme: Theme, ascii: boolean): void {
    this.#theme = theme;
    this.#attributes = new Map();
    this.#charts.setPlain(ascii || theme.kind === 'mono');
    this.redraw();
  }

  setMouse(on: boolean): void {
    if (on === this.#mouse) return;
    this.#mouse = on;
    this.#send(on ? this.#mouseModes() : '\u001b[?1006l\u001b[?1002l\u001b[?1000l');
  }

  /** Forgets what the terminal shows and draws everything. */
  redraw(): void {
    this.#inside.alloc();
    this.#cursor = '';
    for (const line of this.#inside.lines) line.dirty = true;
  }

  /** After a suspend: the modes again, then everything. */
  enter(): void {
    this.#send(`\u001b[?1049h\u001b[?1h\u001b=\u001b[?25l\u001b[?2004h${this.#mouseModes()}`);
    this.redraw();
  }

  /** Elements that blessed keeps for mouse and keys; grows when something leaks. */
  get held(): number {
    return this.#inside.clickable.length + this.#inside.keyable.length;
  }

  close(): void {
    this.#over = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#screen.destroy();
    this.#takeCollected();
  }

  #mouseModes(): string {
    return this.#mouse ? '\u001b[?1000h\u001b[?1002h\u001b[?1006h' : '';
  }

  #schedule(): void {
    if (this.#timer || this.#blocked || this.#over || !this.#pending) return;
    const wait = Math.max(0, 1000 / FRAMES_PER_SECOND - (performance.now() - this.#lastFrame));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const make = this.#pending;
      this.#pending = null;
      if (make) this.draw(make());
      this.#schedule();
    }, wait);
  }

  #send(text: string): void {
    if (this.#over || text === '') return;
    if (this.#output.write(text)) return;
    this.#blocked = true;
    this.#output.once('drain', () => {
      this.#blocked = false;
      this.#schedule();
    });
  }

  #takeCollected(): string {
    this.#inside.program.flush();
    const { text } = this.#collector;
    this.#collector.text = '';
    return text;
  }

  #paintCells(): void {
    const scene = this.#scene;
    if (!scene) return;
    const { lines, olines } = this.#inside;
    const { grid } = scene;
    for (let y = 0; y < lines.length; y++) {
      const line = lines[y];
      const shown = olines[y];
      if (!line || !shown) continue;
      for (let x = 0; x < line.length; x++) {
        const spot = grid.at(x, y);
        const cell = line[x];
        if (!cell) continue;
        const attribute = spot
          ? this.#attribute(spot.role, spot.layer, spot.bold, spot.underline)
          : this.#attribute('text', 'text', false, false);
        const text = spot ? safe(spot.text) : ' ';
        if (cell[0] === attribute && cell[1] === text) continue;
        cell[0] = attribute;
        cell[1] = text;
        line.dirty = true;
        // The second half of a wide character is drawn with the first, never alone and never skipped.
        const next = shown[x + 1];
        if (next && grid.at(x + 1, y)?.text === '') next[0] = -1;
      }
    }
  }

  #attribute(role: Role, layer: Role, bold: boolean, underline: boolean): number {
    const key = `${role}/${layer}${bold ? '*' : ''}${underline ? '_' : ''}`;
    const known = this.#attributes.get(key);
    if (known !== undefined) return known;
    const made = attributeOf(over(this.#theme.looks[role], this.#theme.looks[layer]), bold, underline);
    this.#attributes.set(key, made);
    return made;
  }
}

/** A look without a background of its own takes that of what lies beneath, reversal included. */
function over(look: Look, beneath: Look): Look {
  if (look.bg >= 0 || look.inverse) return look;
  return { ...look, bg: beneath.bg, inverse: beneath.inverse };
}

/** Blessed's packing: flags, foreground and background of nine bits each, all ones = the terminal's own. */
export function attributeOf(look: Look, bold: boolean, underline: boolean): number {
  const flags = (bold || look.bold ? 1 : 0) | (underline || look.underline ? 2 : 0) | (look.inverse ? 8 : 0);
  const fg = look.fg < 0 ? 0x1ff : look.fg;
  const bg = look.bg < 0 ? 0x1ff : look.bg;
  return (flags << 18) | (fg << 9) | bg;
}

/** Last line of defence: no control character reaches the terminal through a cell. */
function safe(text: string): string {
  return /[\0-\x1f\x7f-\x9f]/.test(text) ? '\ufffd' : text;
}
