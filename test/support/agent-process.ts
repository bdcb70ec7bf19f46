/** One real agent in its own process, for tests that need the real thing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createConnection, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from '../../protocol/client.js';
import { REPOSITORY } from './import-rules.js';
import type { SteppedClock } from './stepped-clock.js';

const READY_MS = 30_000;
const STOP_MS = 20_000;
/** Of the file that follows it makes the boot ID of what comes after that, and becomes it. */
const BOOTED = ['sh', '-c', 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'];

export interface AgentOptions {
  /** Directory for its state, socket, configuration and log; made when missing. */
  readonly root: string;
  /** Run as this user; null: as the test does. */
  readonly uid?: number | null;
  /** Lines of its configuration file. */
  readonly config?: string;
  /** Address of the data link. */
  readonly host?: string;
  /** Its port; one that is free when left out. */
  readonly port?: number;
  /** Network namespace it runs in. */
  readonly namespace?: string;
  /** A file with what it takes for the boot ID of its machine: another text is another boot. Needs root. */
  readonly bootId?: string;
  /** A wall clock of its own. */
  readonly clock?: SteppedClock;
}

/** A port nobody listens on. The agent keeps it over restarts, as a configured one would. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export class AgentProcess {
  readonly root: string;
  readonly socket: string;
  readonly host: string;
  port = 0;
  #uid: number | null;
  #namespace: string | null;
  #clock: SteppedClock | null;
  #bootId: string | null;
  #child: ChildProcess | null = null;
  #client: Client | null = null;

  constructor(options: AgentOptions) {
    this.root = options.root;
    this.socket = path.join(options.root, 'agent.sock');
    this.host = options.host ?? '127.0.0.1';
    this.#uid = options.uid ?? null;
    this.#namespace = options.namespace ?? null;
    this.#clock = options.clock ?? null;
    this.#bootId = options.bootId ?? null;
    this.port = options.port ?? 0;
    fs.mkdirSync(path.join(options.root, 'state'), { recursive: true });
    fs.writeFileSync(path.join(options.root, 'understudy.toml'), options.config ?? '');
    if (this.#uid !== null) {
      for (const own of [options.root, path.join(options.root, 'state')]) fs.chownSync(own, this.#uid, this.#uid);
    }
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** The link to it. @throws when it is not started */
  get client(): Client {
    if (!this.#client) throw new Error(`the agent in ${this.root} is not running`);
    return this.#client;
  }

  /** Starts it and waits until it answers. @throws with the end of its log when it does not */
  async start(): Promise<void> {
    if (this.port === 0) this.port = await freePort(this.host);
    const out = fs.openSync(path.join(this.root, 'agent.log'), 'a');
    const args = [
      path.join(REPOSITORY, 'dist/agentd/main.js'),
      ...['--config', path.join(this.root, 'understudy.toml'), '--state', path.join(this.root, 'state')],
      ...['--socket', this.socket, '--listen', `${this.host}:${this.port}`],
    ];
    // A test that is killed must not leave agents behind: they go with the process that started them.
    const leash = ['/usr/bin/setpriv', '/bin/setpriv'].find((it) => fs.existsSync(it));
    // It becomes the program it is given, so the process stays the one we end. Unlike `ip netns exec` it leaves the agent
    // in our mount namespace, where file systems come and go.
    const inside = this.#namespace === null ? [] : ['nsenter', `--net=/run/netns/${this.#namespace}`];
    const booted =
      this.#bootId === null ? [] : ['unshare', '--mount', '--propagation', 'slave', ...BOOTED, this.#bootId];
    const started = [...booted, ...inside, process.execPath, ...args];
    const command = [...(leash ? [leash, '--pdeathsig', 'KILL'] : []), ...started];
    const [program = '', ...rest] = command;
    const child = spawn(program, rest, {
      stdio: ['ignore', out, out],
      env: { ...process.env, ...this.#clock?.environment },
      ...(this.#uid === null ? {} : { uid: this.#uid, gid: this.#uid }),
    });
    fs.closeSync(out);
    this.#child = child;
    const until = Date.now() + READY_MS;
    for (;;) {
      try {
        this.#client = await openClient(this.socket);
        return;
      } catch (error) {
        if (child.exitCode !== null || child.signalCode !== null || Date.now() > until) {
          throw new Error(`the agent did not start (${String(error)}):\n${this.log(30)}`);
        }
      }
      await wait(20);
    }
  }

  /** Ends it in order, or by `SIGKILL`; returns when the process is gone. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.#client?.close();
    this.#client = null;
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(late);
  }

  log(lines = 40): string {
    try {
      return fs.readFileSync(path.join(this.root, 'agent.log'), 'utf8').split('\n').slice(-lines).join('\n');
    } catch {
      return '';
    }
  }
}

/** A client on an agent's socket. */
export async function openClient(socket: string): Promise<Client> {
  const stream = createConnection(socket);
  await once(stream, 'connect');
  return Client.open(stream, { address: `unix:${socket}` });
}
