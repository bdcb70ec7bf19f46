/** Runs the commands of tasks as processes (REP-20). */

export interface TaskSpec {
  /** In the environment of all its processes, so that they are found when the agent was killed. */
  readonly key: string;
  readonly command: readonly string[];
  /** Where the program may lie, in order. */
  readonly programs: readonly string[];
  /** Empty: the user of the agent. */
  readonly user: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface TaskEnd {
  readonly how: 'exited' | 'signalled' | 'timed_out' | 'cancelled' | 'not_started';
  readonly exit: number | null;
  readonly signal: string | null;
  /** Begin and end of what it wrote. */
  readonly output: string;
  readonly omitted: number;
  /** not_started: why. */
  readonly why: string;
}

export interface TaskRunner {
  /** Resolves when the process and its group are gone. Never rejects for what the command does. */
  run(spec: TaskSpec, signal: AbortSignal): Promise<TaskEnd>;
  /** Ends what an agent that was killed left running of a task. @returns how many processes */
  endLeftovers(key: string): Promise<number>;
}
