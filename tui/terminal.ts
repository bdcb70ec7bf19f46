/** The cockpit on a real terminal: start, signals, suspend, end. */
import { readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Cockpit } from './cockpit.js';
import { configFolder, loadServers } from './cli/servers.js';
import { keep, recall } from './link/memory.js';
import { Input } from './paint/input.js';
import { guard, RESTORE, writeAll } from './paint/restore.js';
import { Screen } from './paint/screen.js';
import { usableColumns } from './screens/replication/column-choice.js';
import { loadTheme, themeNames } from './theme/theme.js';
import { Failure, noticeRemedy, noticeText } from '../protocol/errors.js';

export interface TerminalOptions {
  readonly theme: string | null;
  readonly ascii: boolean | null;
  readonly colour: boolean;
  readonly readOnly: boolean;
}

const columnsPath = (): string => join(configFolder(), 'columns.json');

/** A file that is missing or not understood means the default columns: it is only a view. */
function loadColumns(): string[] | null {
  try {
    return usableColumns(JSON.parse(readFileSync(columnsPath(), 'utf8')));
  } catch {
    return null;
  }
}

async function saveColumns(columns: readonly string[] | null): Promise<void> {
  if (columns === null) return rm(columnsPath(), { force: true });
  await mkdir(configFolder(), { recursive: true, mode: 0o700 });
  const draft = `${columnsPath()}.${process.pid}.tmp`;
  await writeFile(draft, `${JSON.stringify(columns)}\n`, { mode: 0o600, flush: true });
  await rename(draft, columnsPath());
}

/** T4: what the locale says; never a reason to refuse. */
export function localeIsUtf8(env: NodeJS.ProcessEnv): boolean {
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  return /utf-?8/i.test(locale);
}

/** T4: the font of a Linux console has lines and no marks; every sign would be the same box, good news and bad. */
export const plainSigns = (env: NodeJS.ProcessEnv): boolean => !localeIsUtf8(env) || env['TERM'] === 'linux';

/** T5: asked for, or a terminal of the time before colours. */
export const withoutColour = (env: NodeJS.ProcessEnv): boolean =>
  (env['NO_COLOR'] ?? '') !== '' || /^vt\d/.test(env['TERM'] ?? '');

/** How long an unfinished escape sequence may take (T9). */
export function escapeHoldMs(env: NodeJS.ProcessEnv): number {
  const wanted = Number(env['ESCDELAY']);
  if (Number.isFinite(wanted) && wanted > 0) return Math.min(2_000, wanted);
  return env['SSH_CONNECTION'] ? 100 : 25;
}

/** Terminals that say they have few colours get their own palette; all others understand 256. */
export function coloursOf(env: NodeJS.ProcessEnv): 16 | 256 {
  const term = env['TERM'] ?? '';
  if (/256|direct|kitty|ghostty|alacritty|foot|wezterm|truecolor/i.test(`${term} ${env['COLORTERM'] ?? ''}`))
    return 256;
  return env['COLORTERM'] ? 256 : 16;
}

/** Why the cockpit cannot run here; null when it can. */
export function terminalProblem(
  env: NodeJS.ProcessEnv,
  input: { isTTY?: boolean },
  output: { isTTY?: boolean },
): string | null {
  if (!input.isTTY || !output.isTTY) return 'The cockpit needs a terminal; input or output is none.';
  if (!env['TERM'] || env['TERM'] === 'dumb')
    return `The cockpit needs a terminal that can move its cursor; TERM is ${env['TERM'] || 'not set'}.`;
  return null;
}

/** Still running after this, a program was not stopped. */
const NOT_STOPPED_MS = 250;

/** Runs until the person leaves. Resolves with the exit code. */
export function runTerminal(options: TerminalOptions): Promise<number> {
  const { stdin, stdout, env } = process;
  const colours = coloursOf(env);
  const plain = !options.colour || withoutColour(env);
  const theme = loadTheme(options.theme ?? (plain ? 'mono' : 'dark'), colours);
  const ascii = options.ascii ?? plainSigns(env);
  const servers = loadServers();

  let back: NodeJS.Timeout | null = null;

  return new Promise((resolve) => {
    const screen = new Screen({ output: stdout, theme, ascii, mouse: true });
    const guarded = guard({
      fd: stdout.fd,
      setRawMode: (on) => stdin.setRawMode(on),
      explain: (error) =>
        error instanceof Failure
          ? `understudy: ${noticeText(error.notice)} ${noticeRemedy(error.notice)}`
          : `understudy: the cockpit stopped because of an error nobody foresaw. The servers go on without it.\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      onContinue: () => {
        if (back) clearTimeout(back);
        back = null;
        stdin.setRawMode(true);
        screen.enter();
        cockpit.redraw();
      },
    });

    const end = (code: number): void => {
      cockpit.stop();
      stdin.off('data', onData);
      stdin.pause();
      stdout.off('resize', onResize);
      screen.close();
      guarded.restore();
      guarded.release();
      resolve(code);
    };
    const cockpit = new Cockpit({
      screen,
      theme,
      themes: themeNames(),
      colours,
      ascii,
      readOnly: options.readOnly,
      mouse: true,
      size: { width: stdout.columns ?? 80, height: stdout.rows ?? 24 },
      servers,
      reload: loadServers,
      onQuit: () => end(0),
      onSuspend: () => {
        stdin.setRawMode(false);
        writeAll(stdout.fd, RESTORE);
        // To the whole foreground group, as the terminal itself would: whoever started us must stop as well, or the
        // shell never gets its prompt. SIGCONT brings everything back (onContinue).
        process.kill(0, 'SIGTSTP');
        // Where no shell could continue it (`ssh -t host understudy`), the kernel stops nothing: the screen comes back.
        back = setTimeout(() => process.kill(process.pid, 'SIGCONT'), NOT_STOPPED_MS);
      },
      writeRaw: (text) => stdout.write(text),
      memory: { recall, keep },
      columns: loadColumns(),
      saveColumns,
    });
    const input = new Input((event) => cockpit.input(event), { holdMs: escapeHoldMs(env) });
    const onData = (bytes: Buffer): void => input.push(bytes);
    const onResize = (): void => cockpit.resize(stdout.columns, stdout.rows);
    stdin.setRawMode(true);
    stdin.on('data', onData);
    // The terminal went away without a signal.
    stdin.once('end', () => end(0));
    stdout.on('error', () => end(0));
    stdout.on('resize', onResize);
    cockpit.start();
    // Only needed for completion; loading the whole command line would delay the first frame.
    setImmediate(() => {
      import('./verbs.js').then(
        ({ readVerbs }) => cockpit.setVerbs(readVerbs()),
        () => undefined,
      );
    });
  });
}
