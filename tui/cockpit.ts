/** The cockpit's driver: feeds what happens into `update`, shows what `view` says, does what commands ask for. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { App, Command, Msg, Question } from './model/app.js';
import { type LinkFact, type Remembered, rememberedOf, type Server } from './model/fleet.js';
import type { Session } from './link/session.js';
import { troubleOf } from './link/trouble.js';
import type { Prompts } from './link/transport.js';
import { copy } from './paint/clipboard.js';
import type { InputEvent } from './paint/input.js';
import type { Screen } from './paint/screen.js';
import { REPLICATION_START } from './screens/replication/model.js';
import { update } from './screens/shell/update.js';
import { view } from './screens/shell/view.js';
import { loadTheme, type Theme } from './theme/theme.js';

export interface ServerEntry {
  readonly name: string;
  readonly address: string;
}

export interface CockpitOptions {
  readonly screen: Screen;
  readonly theme: Theme;
  readonly themes: readonly string[];
  readonly colours: 16 | 256;
  readonly ascii: boolean;
  readonly readOnly: boolean;
  readonly mouse: boolean;
  readonly size: { readonly width: number; readonly height: number };
  readonly servers: readonly ServerEntry[];
  /** Reads the list of servers again, after a command may have changed it. */
  readonly reload: () => readonly ServerEntry[];
  readonly onQuit: () => void;
  readonly onSuspend: () => void;
  /** Makes the link to one server; a test gives its own. */
  readonly session?: (
    entry: ServerEntry,
    onFacts: (name: string, facts: readonly LinkFact[]) => void,
    prompts: Prompts,
  ) => Session;
  /** What the last console knew, and where this one leaves what it knows (T1). */
  readonly memory?: {
    readonly recall: (name: string, address: string) => Remembered | null;
    readonly keep: (name: string, address: string, server: Remembered) => void;
  };
  readonly now?: () => number;
  readonly writeRaw: (text: string) => void;
  /** RCN-60, as saved; null = default. */
  readonly columns?: readonly string[] | null;
  readonly saveColumns?: (columns: readonly string[] | null) => Promise<void>;
}

const DOUBLE_CLICK_MS = 400;
const CLI_OUTPUT_MAX = 200_000;
const TICK_MS = 1_000;
/** How often what is known is left for the next console, besides at the end and when a link is lost. */
const KEEP_MS = 60_000;

export class Cockpit {
  readonly #options: CockpitOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #answers = new Map<number, (answer: string | null) => void>();
  readonly #cancels = new Map<number, () => void>();
  #app: App;
  #nextQuestion = 1;
  #tick: NodeJS.Timeout | null = null;
  #lastClick = { at: 0, x: -1, y: -1 };
  #over = false;
  #entries: readonly ServerEntry[] = [];
  #makeSession: CockpitOptions['session'];
  readonly #kept = new Map<string, Server>();
  #keptAt = 0;

  constructor(options: CockpitOptions) {
    this.#options = options;
    this.#makeSession = options.session;
    this.#app = {
      size: options.size,
      ascii: options.ascii,
      readOnly: options.readOnly,
      mouse: options.mouse,
      theme: options.theme.name,
      themes: options.themes,
      now: this.#now(),
      fleet: { servers: [] },
      screen: REPLICATION_START,
      overlay: null,
      asked: [],
      note: null,
      done: [],
      results: [],
      running: new Map(),
      nextCommand: 1,
      typed: [],
      columns: options.columns ?? null,
      interruptedAt: 0,
      verbs: [],
    };
  }

  get app(): App {
    return this.#app;
  }

  /** Nothing on its way and nothing asked; for tests that wait for quiet. */
  get idle(): boolean {
    return this.#app.running.size === 0;
  }

  /** Shows the first frame at once, then begins to log on everywhere. */
  start(): void {
    this.#setServers(this.#options.servers);
    this.#drawFirst();
    this.#keptAt = this.#now();
    this.#scheduleTick();
    if (this.#makeSession) this.#logOnEverywhere();
    else {
      // Speaking the protocol takes as long to load as drawing: the first screen does not wait for it.
      import('./link/session.js').then(
        (module) => {
          this.#makeSession = (entry, onFacts, prompts) =>
            new module.Session({ name: entry.name, address: entry.address, onFacts, prompts });
          if (!this.#over) this.#logOnEverywhere();
        },
        (error: unknown) => this.send({ kind: 'copied', how: troubleOf(error).text, text: null }),
      );
    }
  }

  /** With what the last console knew; without it when that is nothing that can be shown. */
  #drawFirst(): void {
    const empty = this.#app;
    try {
      for (const { name, address } of this.#entries) {
        const from = this.#options.memory?.recall(name, address);
        const facts: LinkFact[] = [{ kind: 'link', state: { kind: 'connecting', attempt: 1 } }];
        if (from) facts.push({ kind: 'remembered', from });
        this.#app = update(this.#app, { kind: 'facts', server: name, facts, now: this.#now() })[0];
      }
      this.#options.screen.draw(view(this.#app));
    } catch (error) {
      if (this.#app === empty) throw error;
      this.#app = empty;
      this.#options.screen.draw(view(this.#app));
    }
  }

  /** Leaves what is known of one server, or of all, for the next console. */
  #keep(name: string | null): void {
    const { memory } = this.#options;
    if (!memory) return;
    for (const server of this.#app.fleet.servers) {
      if ((name !== null && server.name !== name) || this.#kept.get(server.name) === server) continue;
      const known = rememberedOf(server);
      if (!known) continue;
      this.#kept.set(server.name, server);
      memory.keep(server.name, server.address, known);
    }
  }

  send(msg: Msg): void {
    if (this.#over) return;
    const before = this.#app;
    const [next, commands] = update(before, msg);
    this.#app = next;
    if (next.ascii !== before.ascii)
      this.#options.screen.setTheme(loadTheme(next.theme, this.#options.colours), next.ascii);
    if (next !== before) this.#options.screen.request(() => view(this.#app));
    for (const command of commands) this.#perform(command);
  }

  input(event: InputEvent): void {
    if (event.kind === 'mouse') {
      const now = this.#now();
      const double =
        event.action === 'down' &&
        now - this.#lastClick.at < DOUBLE_CLICK_MS &&
        event.x === this.#lastClick.x &&
        event.y === this.#lastClick.y;
      if (event.action === 'down')
        this.#lastClick = double ? { at: 0, x: -1, y: -1 } : { at: now, x: event.x, y: event.y };
      this.#clock();
      this.send({ ...event, double });
      return;
    }
    this.#clock();
    this.send(event);
  }

  resize(width: number, height: number): void {
    this.#options.screen.resize(width, height);
    this.send({ kind: 'resize', size: { width, height } });
  }

  /** After a suspend or a stop that nobody saw coming. */
  redraw(): void {
    this.#options.screen.request(() => view(this.#app));
  }

  stop(): void {
    if (!this.#over) this.#keep(null);
    this.#over = true;
    if (this.#tick) clearTimeout(this.#tick);
    for (const cancel of this.#cancels.values()) cancel();
    for (const answer of this.#answers.values()) answer(null);
    for (const session of this.#sessions.values()) session.stop();
  }

  setVerbs(verbs: App['verbs']): void {
    this.send({ kind: 'verbs', verbs });
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** Keys carry no time; what depends on it must not see the last second's. */
  #clock(): void {
    this.#app = { ...this.#app, now: this.#now() };
  }

  #logOnEverywhere(): void {
    this.#setServers(this.#entries);
    for (const session of this.#sessions.values()) session.start();
  }

  #scheduleTick(): void {
    this.#tick = setTimeout(() => {
      this.send({ kind: 'tick', now: this.#now() });
      if (this.#now() - this.#keptAt >= KEEP_MS) {
        this.#keptAt = this.#now();
        this.#keep(null);
      }
      if (!this.#over) this.#scheduleTick();
    }, TICK_MS);
  }

  #setServers(entries: readonly ServerEntry[]): void {
    for (const [name, session] of this.#sessions) {
      const entry = entries.find((one) => one.name === name);
      if (entry?.address === session.address) continue;
      session.stop();
      this.#sessions.delete(name);
    }
    this.#entries = entries;
    this.send({ kind: 'servers', servers: entries });
    const make = this.#makeSession;
    if (!make) return;
    for (const entry of entries) {
      if (this.#sessions.has(entry.name)) continue;
      const onFacts = (name: string, facts: readonly LinkFact[]): void => {
        this.send({ kind: 'facts', server: name, facts, now: this.#now() });
        if (facts.some((fact) => fact.kind === 'link' && fact.state.kind !== 'connecting')) this.#withdraw(name);
        if (facts.some((fact) => fact.kind === 'link' && fact.state.kind === 'lost')) this.#keep(name);
      };
      const prompts = this.#prompts(entry.name);
      const session = make(entry, onFacts, prompts);
      this.#sessions.set(entry.name, session);
    }
  }

  /** A session's questions become questions on the screen; an answer may take as long as a person takes. */
  #prompts(server: string): Prompts {
    return {
      hostKey: async ({ host, port, keyType, fingerprint, otherTypes }) => {
        const answer = await this.#ask({ kind: 'host_key', server, host, port, keyType, fingerprint, otherTypes });
        return answer === 'yes' || answer === 'once' ? answer : 'no';
      },
      secret: ({ prompt, echo, attempt }) => this.#ask({ kind: 'secret', server, prompt, echo, attempt }),
    };
  }

  #ask(question: Question): Promise<string | null> {
    const id = this.#nextQuestion++;
    return new Promise((resolve) => {
      this.#answers.set(id, resolve);
      this.send({ kind: 'question', id, question });
    });
  }

  /** The link that asked is gone or open: its questions have nobody who waits for the answer. */
  #withdraw(server: string): void {
    for (const { id, question } of this.#app.asked) {
      if (question.server !== server) continue;
      this.#answers.get(id)?.(null);
      this.#answers.delete(id);
      this.send({ kind: 'question_withdrawn', id });
    }
  }

  #perform(command: Command): void {
    switch (command.kind) {
      case 'act': {
        const abort = new AbortController();
        this.#cancels.set(command.command, () => abort.abort());
        const servers = [...this.#sessions.values()].map((session) => ({
          name: session.name,
          address: session.address,
          client: session.client,
        }));
        import('./link/actions.js')
          .then(({ carryOut }) => carryOut(command.action, command.server, servers, abort.signal))
          .then(
            ({ text, lines }) => this.#finish(command.command, `${text}\u0000${command.cli}`, null, lines),
            (error: unknown) => this.#finish(command.command, `\u0000${command.cli}`, error, null),
          );
        return;
      }
      case 'cli':
        import('node:child_process').then(
          ({ spawn }) => this.#runCli(spawn, command.command, command.argv),
          (error: unknown) => this.#finish(command.command, '', error, null),
        );
        return;
      case 'log_on':
        this.#sessions.get(command.server)?.start();
        return;
      case 'log_off':
        this.#sessions.get(command.server)?.stop();
        return;
      case 'answer': {
        const answer = this.#answers.get(command.id);
        this.#answers.delete(command.id);
        answer?.(command.answer);
        return;
      }
      case 'copy':
        copy(command.text, this.#options.writeRaw).then(
          (done) =>
            this.send({
              kind: 'copied',
              how: done.ok ? `Copied ${command.what} (${done.how}).` : `Select and copy (${command.what})`,
              text: done.ok ? null : command.text,
            }),
          (error: unknown) => this.send({ kind: 'copied', how: troubleOf(error).text, text: command.text }),
        );
        return;
      case 'write': {
        const path = join(process.cwd(), command.name);
        // Never over a file that is there: somebody may have kept it.
        import('node:fs/promises')
          .then(({ writeFile }) => writeFile(path, command.text, { flag: 'wx', mode: 0o600 }))
          .then(
            () => this.#finish(command.command, `Written to ${path}.`, null, null),
            (error: NodeJS.ErrnoException) =>
              this.#finish(
                command.command,
                '',
                error.code === 'EEXIST' ? new Error(`${path} exists already; rename it first.`) : error,
                null,
              ),
          );
        return;
      }
      case 'save_columns':
        this.#options
          .saveColumns?.(command.columns)
          .catch((error: unknown) =>
            this.send({ kind: 'copied', how: `Columns could not be saved: ${troubleOf(error).text}`, text: null }),
          );
        return;
      case 'theme':
        this.#setTheme(command.name);
        return;
      case 'mouse':
        this.#options.screen.setMouse(command.on);
        return;
      case 'cancel':
        this.#cancels.get(command.command)?.();
        return;
      case 'redraw':
        this.#options.screen.redraw();
        this.redraw();
        return;
      case 'suspend':
        this.#options.onSuspend();
        return;
      case 'quit':
        this.#options.onQuit();
        return;
    }
  }

  #setTheme(name: string): void {
    try {
      const theme = loadTheme(name, this.#options.colours);
      this.#options.screen.setTheme(theme, this.#app.ascii);
      this.send({ kind: 'themed', theme: name, error: null });
    } catch (error) {
      this.send({ kind: 'themed', theme: name, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #finish(command: number, text: string, error: unknown, lines: readonly string[] | null): void {
    this.#cancels.delete(command);
    this.send({ kind: 'finished', command, text, trouble: error ? troubleOf(error) : null, lines });
  }

  /** The command line in a process of its own: what it prints cannot reach this screen, and ^C ends only it. */
  #runCli(spawn: typeof import('node:child_process').spawn, command: number, argv: readonly string[]): void {
    const main = fileURLToPath(new URL('./main.js', import.meta.url));
    const child = spawn(process.execPath, [main, ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    this.#cancels.set(command, () => child.kill('SIGTERM'));
    let output = '';
    const add = (chunk: Buffer): void => {
      if (output.length < CLI_OUTPUT_MAX) output += chunk.toString('utf8');
    };
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    child.once('error', (error) => this.#finish(command, '', error, null));
    child.once('close', (code, signal) => {
      const lines = output
        .trimEnd()
        .split('\n')
        .filter((line, index, all) => line !== '' || all.length > 1 || index > 0);
      const short = lines.length <= 1;
      if (argv[0] === 'server') this.#reloadServers();
      if (code === 0)
        this.#finish(
          command,
          `${short ? (lines[0] ?? '') : ''}\u0000understudy ${argv.join(' ')}`,
          null,
          short ? null : lines,
        );
      else
        this.#finish(
          command,
          '',
          new Error(signal ? `ended by ${signal}` : (lines[0] ?? `exit code ${code}`)),
          short ? null : lines,
        );
    });
  }

  #reloadServers(): void {
    try {
      this.#setServers(this.#options.reload());
      for (const session of this.#sessions.values())
        if (this.#app.fleet.servers.find((one) => one.name === session.name)?.link.kind === 'off') session.start();
    } catch (error) {
      this.send({ kind: 'copied', how: troubleOf(error).text, text: null });
    }
  }
}
