/** The program itself on a real terminal: tmux in a server of its own. */
import test, { type ExecutionContext } from 'ava';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = join(dirname(fileURLToPath(import.meta.url)), '../../tui/main.js');
const hasTmux = existsSync('/usr/bin/tmux');
const real = hasTmux ? test : test.skip;
// Skipped without tmux: these need a real terminal.

class Pane {
  readonly folder = mkdtempSync(join(tmpdir(), 'understudy-tmux-'));
  readonly #socket = join(this.folder, 'socket');

  constructor(t: ExecutionContext, env: Readonly<Record<string, string>> = {}, args = '') {
    const assigned = Object.entries({
      UNDERSTUDY_CONFIG_DIR: join(this.folder, 'config'),
      LC_ALL: 'C.UTF-8',
      NO_COLOR: '',
      ...env,
    })
      .map(([name, value]) => `${name}='${value}'`)
      .join(' ');
    // The shell tells the program's process and, afterwards, its exit code.
    const command = `stty -a > ${this.folder}/before; env ${assigned} ${process.execPath} ${MAIN} ${args}; code=$?; stty -a > ${this.folder}/after; echo "EXIT $code"; exec sleep 60`;
    this.#tmux('-f', '/dev/null', 'new-session', '-d', '-x', '80', '-y', '24', command);
    t.teardown(() => {
      spawnSync('tmux', ['-S', this.#socket, 'kill-server']);
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8', env: { ...process.env, TMUX: '' } });
  }

  text(): string {
    return this.#tmux('capture-pane', '-p');
  }

  type(...keys: string[]): void {
    this.#tmux('send-keys', ...keys);
  }

  resize(width: number, height: number): void {
    this.#tmux('resize-window', '-x', String(width), '-y', String(height));
  }

  /** The cockpit's own process: a child of the pane's shell. */
  pid(): number {
    const shell = this.#tmux('display-message', '-p', '#{pane_pid}').trim();
    return Number(execFileSync('ps', ['-o', 'pid=', '--ppid', shell], { encoding: 'utf8' }).trim().split('\n')[0]);
  }

  /** Modes that tmux believes are on: alternate screen, mouse, hidden cursor. */
  modes(): string {
    return this.#tmux('display-message', '-p', '#{alternate_on}#{mouse_any_flag}#{cursor_flag}').trim();
  }

  terminalSettings(): boolean {
    const read = (name: string): string =>
      readFileSync(join(this.folder, name), 'utf8').replace(/rows \d+; columns \d+/, '');
    return read('before') === read('after');
  }

  async shows(what: RegExp): Promise<string> {
    for (let i = 0; i < 400; i++) {
      const text = this.text();
      if (what.test(text)) return text;
      await sleep(50);
    }
    throw new Error(`waited in vain for ${what}:\n${this.text()}`);
  }
}

const START = /\[2 Connections\]/;

real('the cockpit opens, follows a resize, and q gives the terminal back with code 0', async (t) => {
  const pane = new Pane(t);
  const first = await pane.shows(START);
  t.regex(first, /No servers yet/);
  t.is(pane.modes(), '110');
  pane.resize(120, 40);
  await pane.shows(/: Command/);
  pane.type('q');
  await pane.shows(/EXIT 0/);
  t.is(pane.modes(), '001');
  t.true(pane.terminalSettings());
});

for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
  ['SIGQUIT', 131],
] as const) {
  real(`T13: ${signal} restores the terminal and ends with ${code}`, async (t) => {
    const pane = new Pane(t);
    await pane.shows(START);
    process.kill(pane.pid(), signal);
    await pane.shows(new RegExp(`EXIT ${code}`));
    t.is(pane.modes(), '001');
    t.true(pane.terminalSettings());
  });
}

real('T13: stopped and continued, everything is drawn anew', async (t) => {
  const pane = new Pane(t);
  await pane.shows(START);
  const pid = pane.pid();
  process.kill(pid, 'SIGSTOP');
  process.kill(pid, 'SIGCONT');
  await sleep(300);
  await pane.shows(START);
  t.is(pane.modes(), '110');
  pane.type('?');
  await pane.shows(/Help/);
});

real('T13: ^Z where no shell could continue the cockpit leaves nobody before an empty screen', async (t) => {
  const pane = new Pane(t);
  await pane.shows(START);
  // tmux began this process group itself: the kernel does not stop it.
  pane.type('C-z');
  pane.type('?');
  await pane.shows(/Help/);
  t.is(pane.modes(), '110');
});

real('T4 T5: --ascii and NO_COLOR are obeyed', async (t) => {
  const pane = new Pane(t, { NO_COLOR: '1' }, '--ascii');
  const text = await pane.shows(START);
  t.regex(text, /^[\x20-\x7e\n]*$/);
});

test('a pipe and a dumb terminal are told so, with exit code 2', (t) => {
  const piped = spawnSync(process.execPath, [MAIN], { encoding: 'utf8' });
  t.is(piped.status, 2);
  t.regex(piped.stderr, /needs a terminal/);
  t.is(piped.stdout, '');
});
