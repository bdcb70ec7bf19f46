/** Tasks as real processes: a group of their own, a clean environment, an end that is certain. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { TASK_OUTPUT_BYTES_MAX } from '../../protocol/limits.js';
import { Excerpt, TASK_PATH } from '../core/task/step.js';
import type { TaskEnd, TaskRunner, TaskSpec } from '../ports/task-runner.js';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** Between asking the processes of a task to end and ending them. */
const GRACE_MS = 5_000;
/** For what the pipes still hold when the process has ended. */
const DRAIN_MS = 1_000;
const LEFTOVER_TRIES = 100;

export class TaskProcesses implements TaskRunner {
  constructor(
    readonly ownUid: number,
    readonly account: (name: string) => Account | null,
  ) {}

  async run(spec: TaskSpec, signal: AbortSignal): Promise<TaskEnd> {
    const failed = (why: string): TaskEnd => ({
      how: 'not_started',
      exit: null,
      signal: null,
      output: '',
      omitted: 0,
      why,
    });
    if (signal.aborted) return failed('it was cancelled');
    const account = this.account(spec.user === '' ? String(this.ownUid) : spec.user);
    if (!account && spec.user !== '') return failed(`there is no user "${spec.user}" (task.user)`);
    if (account && account.uid !== this.ownUid && this.ownUid !== 0)
      return failed(`the agent is not root and cannot run it as ${spec.user} (task.user)`);
    const program = this.#find(spec.programs);
    if (typeof program !== 'string') return failed(program.problem);
    const other = account !== null && account.uid !== this.ownUid;
    const child = spawn(program, spec.command.slice(1), {
      argv0: spec.command[0] ?? program,
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: TASK_PATH,
        LANG: 'C.UTF-8',
        HOME: account?.home ?? '/',
        USER: account?.name ?? String(this.ownUid),
        LOGNAME: account?.name ?? String(this.ownUid),
        ...spec.environment,
        UNDERSTUDY_TASK: spec.key,
      },
      ...(other ? { uid: account.uid, gid: account.gid } : {}),
    });
    const output = new Excerpt(TASK_OUTPUT_BYTES_MAX);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => output.add(chunk));
      stream.on('error', () => undefined);
    }
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    let ended: 'timed_out' | 'cancelled' | null = null;
    let kill: NodeJS.Timeout | null = null;
    const end = (why: 'timed_out' | 'cancelled'): void => {
      if (ended !== null) return;
      ended = why;
      signalGroup(child.pid, 'SIGTERM');
      kill = setTimeout(() => signalGroup(child.pid, 'SIGKILL'), GRACE_MS);
    };
    const timer = setTimeout(() => end('timed_out'), spec.timeoutMs);
    const onAbort = (): void => end('cancelled');
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const result = await new Promise<{ exit: number | null; signal: string | null } | { error: Error }>((resolve) => {
        child.once('error', (error) => resolve({ error }));
        child.once('exit', (exit, by) => resolve({ exit, signal: by }));
      });
      if ('error' in result && child.pid === undefined) return failed(result.error.message);
      // What it left in the background would go on behind the point the task stands for.
      signalGroup(child.pid, 'SIGKILL');
      await Promise.race([closed, wait(DRAIN_MS, undefined, { ref: false })]);
      const { exit, signal: by } = 'error' in result ? { exit: null, signal: null } : result;
      return {
        how: ended ?? (by === null ? 'exited' : 'signalled'),
        exit,
        signal: by,
        output: output.text(),
        omitted: output.omitted,
        why: '',
      };
    } finally {
      clearTimeout(timer);
      if (kill) clearTimeout(kill);
      signal.removeEventListener('abort', onAbort);
      child.stdout.destroy();
      child.stderr.destroy();
    }
  }

  /** The program, unless somebody else could have put something in its place. */
  #find(programs: readonly string[]): string | { readonly problem: string } {
    for (const path of programs) {
      try {
        const program = realpathSync(path);
        for (const part of [program, dirname(program)]) {
          const { uid, mode } = statSync(part);
          if (uid !== 0 && uid !== this.ownUid) return { problem: `${part} belongs to another user` };
          if ((mode & 0o022) !== 0) return { problem: `${part} can be written by others than its owner` };
        }
        if (!statSync(program).isFile()) return { problem: `${path} is not a file` };
        // Under the name it was asked for: a program may be many, told apart by that.
        return path;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ENOENT' && code !== 'ENOTDIR') return { problem: `${path}: ${code}` };
      }
    }
    return {
      problem: programs.length === 1 ? `${programs[0]} does not exist` : 'no such program in the usual folders',
    };
  }

  async endLeftovers(key: string): Promise<number> {
    const killed = new Set<number>();
    for (let i = 0; i < LEFTOVER_TRIES; i += 1) {
      const found = processesOf(key);
      if (found.length === 0) break;
      for (const pid of found) {
        killed.add(pid);
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself.
        }
      }
      await wait(20);
    }
    return killed.size;
  }
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it is gone.
  }
}

/** Every process that carries the task's key in its environment. */
function processesOf(key: string): number[] {
  const wanted = `UNDERSTUDY_TASK=${key}`;
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      return readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(wanted) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}
