/** Small C++ programs of the tests: compiled once per content. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { REPOSITORY } from './import-rules.js';

const made = new Map<string, string>();

/**
 * Path of what is made from test/support/NAME.cc; compiles it when its source changed.
 * @param kind a program, or a library to be preloaded into one
 */
export function compiled(name: string, kind: 'program' | 'library' = 'program'): string {
  const known = made.get(name);
  if (known !== undefined) return known;
  const source = path.join(REPOSITORY, `test/support/${name}.cc`);
  const digest = createHash('sha256').update(fs.readFileSync(source)).digest('hex').slice(0, 16);
  const folder = path.join(REPOSITORY, '.bootstrap');
  const built = path.join(folder, `${name}-${digest}${kind === 'library' ? '.so' : ''}`);
  if (!fs.existsSync(built)) {
    fs.mkdirSync(folder, { recursive: true });
    const temporary = `${built}.${process.pid}`;
    const how = kind === 'library' ? ['-shared', '-fPIC'] : [];
    execFileSync('g++', ['-std=c++20', '-O2', '-Wall', '-Wextra', ...how, '-o', temporary, source]);
    fs.renameSync(temporary, built);
  }
  made.set(name, built);
  return built;
}
