/** Where the demo lives while it runs: a temporary directory, and the processes it started. Nothing of it outlives it. */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import fs from 'node:fs';
import { createConnection } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const READY_MS = 20_000;
const TERM_MS = 8_000;
const COMMAND_MS = 120_000;

const DIST = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const AGENT = path.join(DIST, 'agentd/main.js');
export const CONSOLE = path.join(DIST, 'tui/main.js');

export class Place {
  readonly root: string;
  readonly #children = new Set<ChildProcess>();
  readonly #undo: (() => Promise<void>)[] = [];
  #gone: Promise<void> | null = null;

  constructor() {
    this.root = fs.mkdtempSync(path.join(os.tmpdir(), 'understudy-demo-'));
    for (const folder of ['home/.ssh', 'home/.config/understudy']) {
      fs.mkdirSync(path.join(this.root, folder), { recursive: true, mode: 0o700 });
    }
  }

  path(...parts: string[]): string {
    return path.join(this.root, ...parts);
  }

  /** A console of the demo must not see or change the person's own settings, keys and servers. */
  environment(): NodeJS.ProcessEnv {
    const { SSH_AUTH_SOCK: _agent, ...rest } = process.env;
    const home = this.path('home');
    return {
      ...rest,
      HOME: home,
      XDG_CONFIG_HOME: path.join(home, '.config'),
      XDG_STATE_HOME: path.join(home, '.local/state'),
      XDG_DATA_HOME: path.join(home, '.local/share'),
    };
  }

  /** Called at the end, newest first. */
  onEnd(undo: () => Promise<void>): void {
    this.#undo.push(undo);
  }

  /**
   * Starts one of our programs.
   * @param log file for what it says; null: this terminal
   */
  start(program: string, args: readonly string[], log: string | null): ChildProcess {
    const out = log === null ? null : fs.openSync(log, 'a', 0o600);
    const stdio: StdioOptions = out === null ? 'inherit' : ['ignore', out, out];
    // A group of its own: ^C in the terminal is for us, and we end the agents in order.
    const child = spawn(process.execPath, [program, ...args], {
      stdio,
      env: this.environment(),
      detached: out !== null,
    });
    if (out !== null) fs.closeSync(out);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Starts an agent and waits until it answers on its socket. */
  async startAgent(name: string): Promise<{ socket: string }> {
    const state = this.path(name, 'state');
    const socket = this.path(name, 'agent.sock');
    const log = this.path(name, 'agent.log');
    fs.mkdirSync(state, { recursive: true, mode: 0o700 });
    const config = this.path(name, 'understudy.toml');
    fs.writeFileSync(config, `[agent]\nname = "${name}"\n`);
    const child = this.start(
      AGENT,
      ['--config', config, '--state', state, '--socket', socket, '--listen', '127.0.0.1:0'],
      log,
    );
    const until = Date.now() + READY_MS;
    while (Date.now() < until) {
      if (child.exitCode !== null || child.signalCode !== null) break;
      if (await answers(socket)) return { socket };
      await wait(30);
    }
    throw new Error(`The agent ${name} did not start. It said:\n${tail(log)}`);
  }

  /** Runs one command of the console and gives what it printed. @throws Error with its words when it fails. */
  async command(args: readonly string[]): Promise<string> {
    const child = spawn(process.execPath, [CONSOLE, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.environment(),
    });
    this.#children.add(child);
    let said = '';
    let complained = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complained += text;
    });
    const deadline = globalThis.setTimeout(() => child.kill('SIGKILL'), COMMAND_MS);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    clearTimeout(deadline);
    this.#children.delete(child);
    if (code === 0) return said;
    throw new Error(`understudy ${args.join(' ')} ended with status ${code}:\n${complained}${said}`);
  }

  /** Ends every process by its id, waits for them, and removes the directory. Safe to call again. */
  end(): Promise<void> {
    this.#gone ??= this.#end();
    return this.#gone;
  }

  async #end(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo().catch(() => {});
    const children = [...this.#children];
    for (const child of children) child.kill('SIGTERM');
    const until = Date.now() + TERM_MS;
    while (this.#children.size > 0 && Date.now() < until) await wait(20);
    for (const child of this.#children) child.kill('SIGKILL');
    fs.rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
  }
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

function tail(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8').split('\n').slice(-15).join('\n');
  } catch {
    return '(nothing)';
  }
}
