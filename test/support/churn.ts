/** The driver of random changes (churn.cc): built once per content, run as a process. */
import { spawn, spawnSync } from 'node:child_process';
import { compiled } from './compiled.js';

export interface ChurnOptions {
  readonly root: string;
  readonly seed: number;
  readonly operations: number;
  /** Operations per second; 0: as fast as it goes. */
  readonly rate?: number;
  readonly uid?: number | null;
}

function command(options: ChurnOptions): [string, string[], object] {
  const args = [options.root, options.seed, options.operations, options.rate ?? 0].map(String);
  return [compiled('churn'), args, typeof options.uid === 'number' ? { uid: options.uid, gid: options.uid } : {}];
}

/** Runs the driver to its end. @throws with its words when the file system refused something */
export function churn(options: ChurnOptions): void {
  const [file, args, more] = command(options);
  const done = spawnSync(file, args, { encoding: 'utf8', ...more });
  if (done.status !== 0) throw new Error(`churn ${args.join(' ')}: ${done.stderr}${done.error ?? ''}`);
}

/** The same beside everything else. */
export function churning(options: ChurnOptions): Promise<void> {
  const [file, args, more] = command(options);
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], ...more });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`churn ${args.join(' ')}: ${said}`))));
  });
}
