/** Small C++ programs of the tests: compiled once per content. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { REPOSITORY } from './import-rules.js';

const programs = new Map<string, string>();

/** Path of the program made from test/support/NAME.cc; compiles it when its source changed. */
export function compiled(name: string): string {
  const known = programs.get(name);
  if (known !== undefined) return known;
  const source = path.join(REPOSITORY, `test/support/${name}.cc`);
  const digest = createHash('sha256').update(fs.readFileSync(source)).digest('hex').slice(0, 16);
  const folder = path.join(REPOSITORY, '.bootstrap');
  const built = path.join(folder, `${name}-${digest}`);
  if (!fs.existsSync(built)) {
    fs.mkdirSync(folder, { recursive: true });
    const temporary = `${built}.${process.pid}`;
    execFileSync('g++', ['-std=c++20', '-O2', '-Wall', '-Wextra', '-o', temporary, source]);
    fs.renameSync(temporary, built);
  }
  programs.set(name, built);
  return built;
}
