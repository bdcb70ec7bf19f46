/** Runs the command line as a user would, with the servers of a pair of agents. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY } from './import-rules.js';
import type { Pair } from './pair.js';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function understudy(pair: Pair, args: readonly string[], options: { uid?: number } = {}): Promise<Ran> {
  const env = { ...process.env, UNDERSTUDY_CONFIG_DIR: join(pair.root, 'console') };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(REPOSITORY, 'dist/tui/main.js'), ...args],
      { env, cwd: '/', ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }) },
      (error, out, err) => {
        resolve({ code: error ? Number(error.code ?? 1) : 0, out, err });
      },
    );
  });
}
