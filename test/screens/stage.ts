/** A cockpit on a terminal emulator, with fake agents behind it. */
import xterm from '@xterm/headless';
import { EventEmitter } from 'node:events';
import { Cockpit, type CockpitOptions, type ServerEntry } from '../../tui/cockpit.js';
import { Session } from '../../tui/link/session.js';
import { Input } from '../../tui/paint/input.js';
import { Screen } from '../../tui/paint/screen.js';
import { loadTheme, themeNames } from '../../tui/theme/theme.js';
import { AT, type FakeAgent } from './fake-agent.js';

export interface StageOptions {
  readonly width?: number;
  readonly height?: number;
  readonly ascii?: boolean;
  readonly theme?: string;
  readonly readOnly?: boolean;
  readonly agents?: readonly FakeAgent[];
  readonly memory?: CockpitOptions['memory'];
}

class Output extends EventEmitter {
  columns: number;
  rows: number;
  bytes = 0;
  frames: string[] = [];
  readonly #term: InstanceType<typeof xterm.Terminal>;

  constructor(term: InstanceType<typeof xterm.Terminal>, columns: number, rows: number) {
    super();
    this.#term = term;
    this.columns = columns;
    this.rows = rows;
  }

  write(text: string): boolean {
    this.bytes += Buffer.byteLength(text);
    this.frames.push(text);
    if (this.frames.length > 500) this.frames.shift();
    this.#term.write(text);
    return true;
  }
}

export class Stage {
  readonly term: InstanceType<typeof xterm.Terminal>;
  readonly output: Output;
  readonly screen: Screen;
  readonly cockpit: Cockpit;
  readonly input: Input;
  /** The clock that the cockpit reads; a test moves it. */
  clock = AT + 60_000;
  quits = 0;
  /** Columns saved last; undefined before. */
  saved: readonly string[] | null | undefined;
  suspends = 0;

  constructor(options: StageOptions = {}) {
    const { width = 80, height = 24, ascii = false, agents = [] } = options;
    this.term = new xterm.Terminal({ cols: width, rows: height, allowProposedApi: true });
    this.output = new Output(this.term, width, height);
    const theme = loadTheme(options.theme ?? 'dark', 256);
    this.screen = new Screen({ output: this.output, theme, ascii, mouse: true });
    const entries: ServerEntry[] = agents.map((agent) => ({
      name: agent.name,
      address: `unix:/run/${agent.name}.sock`,
    }));
    this.cockpit = new Cockpit({
      screen: this.screen,
      theme,
      themes: themeNames(),
      colours: 256,
      ascii,
      readOnly: options.readOnly ?? false,
      mouse: true,
      size: { width, height },
      servers: entries,
      reload: () => entries,
      onQuit: () => {
        this.quits += 1;
      },
      onSuspend: () => {
        this.suspends += 1;
      },
      now: () => this.clock,
      ...(options.memory ? { memory: options.memory } : {}),
      saveColumns: async (columns) => {
        this.saved = columns;
      },
      writeRaw: (text) => this.output.write(text),
      session: (entry, onFacts, prompts) =>
        new Session({
          name: entry.name,
          address: entry.address,
          onFacts,
          prompts,
          retryMinMs: 20,
          retryMaxMs: 40,
          random: () => 0.5,
          open: () => {
            const agent = agents.find((one) => one.name === entry.name);
            if (!agent) throw new Error('no such agent');
            return agent.open();
          },
        }),
    });
    this.input = new Input((event) => this.cockpit.input(event), { holdMs: 5 });
  }

  start(): void {
    this.cockpit.start();
  }

  /** Waits until something holds; the emulator and the links work in their own time. */
  async until(holds: () => boolean, what: string): Promise<void> {
    const end = Date.now() + 25_000;
    while (!holds()) {
      if (Date.now() > end) throw new Error(`waited in vain for: ${what}\n${this.text()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** What was written has reached the emulator and the frame of the moment is drawn. */
  async settle(): Promise<void> {
    // Longer than one frame at 15 per second and one batch of facts.
    for (let i = 0; i < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 75));
      await new Promise<void>((resolve) => this.term.write('', resolve));
    }
  }

  async shows(text: string | RegExp): Promise<void> {
    await this.until(
      () => (typeof text === 'string' ? this.text().includes(text) : text.test(this.text())),
      `"${text}" on the screen`,
    );
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) this.input.push(Buffer.from(key));
    this.input.flush();
    await this.settle();
  }

  resize(width: number, height: number): void {
    this.term.resize(width, height);
    this.output.columns = width;
    this.output.rows = height;
    this.cockpit.resize(width, height);
  }

  text(): string {
    const lines: string[] = [];
    const buffer = this.term.buffer.active;
    for (let y = 0; y < this.term.rows; y++) lines.push(buffer.getLine(y)?.translateToString(true) ?? '');
    return lines.join('\n');
  }

  end(): void {
    this.cockpit.stop();
    this.screen.close();
    this.term.dispose();
  }
}
