/** One agent per state folder: a file that names the process, believed only while that very process lives. */
import { closeSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { failure } from '../../protocol/errors.js';

/** Pid and start time, so that a later process with the same number is not taken for it. */
function processMark(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces; the start time is the 20th field after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : `${pid} ${fields[19] ?? ''}`;
  } catch {
    return null;
  }
}

/** @returns a function that gives the folder free. @throws Failure AGENT_RUNNING */
export function lockState(state: string): () => void {
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const path = join(state, 'agent.pid');
  const mine = processMark(process.pid) ?? `${process.pid} `;
  const draft = `${path}.${process.pid}`;
  const file = openSync(draft, 'w', 0o644);
  writeSync(file, mine);
  closeSync(file);
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        // A hard link appears whole and fails if somebody was first.
        linkSync(draft, path);
        return () => unlinkSync(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      let holder = '';
      try {
        holder = readFileSync(path, 'utf8').trim();
      } catch {
        continue;
      }
      if (holder !== '' && processMark(Number.parseInt(holder, 10)) === holder)
        throw failure('AGENT_RUNNING', { socket: `${state} (process ${Number.parseInt(holder, 10)})` });
      try {
        unlinkSync(path);
      } catch {
        // Somebody else cleared it.
      }
    }
    throw failure('AGENT_RUNNING', { socket: state });
  } finally {
    unlinkSync(draft);
  }
}
