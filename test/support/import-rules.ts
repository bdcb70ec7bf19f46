/**
 * Which folder may import which: the table that keeps the cockpit and the agent apart, and deciding code pure.
 * Run by `npm run lint` and by a unit test.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

interface Rule {
  /** Folder or file the rule is for; the longest match applies. */
  readonly folder: string;
  /** Folders of ours that it may import (its own folder always). */
  readonly may: readonly string[];
  /** No `node:*`, clock, randomness or waiting: the same inputs give the same outputs. */
  readonly pure: boolean;
  /** npm packages it may import; null: any but those that `PACKAGES_OF` gives to somebody else. */
  readonly packages: readonly string[] | null;
}

export const RULES: readonly Rule[] = [
  { folder: 'protocol', may: [], pure: false, packages: null },
  { folder: 'native/index.ts', may: ['protocol/units.ts'], pure: false, packages: [] },
  { folder: 'agentd', may: ['agentd', 'native/index.ts', 'protocol'], pure: false, packages: null },
  { folder: 'agentd/core', may: ['protocol'], pure: true, packages: [] },
  { folder: 'agentd/ports', may: ['agentd/core', 'protocol'], pure: false, packages: [] },
  { folder: 'tui', may: ['tui', 'protocol'], pure: false, packages: null },
  {
    folder: 'tui/model',
    may: ['tui/screens', 'tui/layout', 'protocol'],
    pure: true,
    packages: ['get-east-asian-width'],
  },
  {
    folder: 'tui/screens',
    may: ['tui/model', 'tui/layout', 'protocol'],
    pure: true,
    packages: ['get-east-asian-width'],
  },
  {
    folder: 'tui/layout',
    may: ['tui/model', 'tui/screens', 'protocol'],
    pure: true,
    packages: ['get-east-asian-width'],
  },
  { folder: 'test', may: ['test', 'agentd', 'tui', 'protocol', 'native/index.ts'], pure: false, packages: null },
  { folder: 'bench', may: ['bench', 'test/support/introduce.ts', 'protocol'], pure: false, packages: null },
];

/** The demo compares both trees with the engine's own comparison: the one place of `tui` that may load the addon. */
const EXTRA: Readonly<Record<string, readonly string[]>> = {
  'tui/demo': ['native/index.ts'],
};

/** Packages which only one folder may touch. */
const PACKAGES_OF: Readonly<Record<string, readonly string[]>> = {
  blessed: ['tui/paint', 'test'],
  'blessed-contrib': ['tui/paint', 'test'],
};

/** What a pure folder must not name. Comments and strings are removed before looking. */
const IMPURE: readonly (readonly [RegExp, string])[] = [
  [/\bMath\.random\b/, 'Math.random'],
  [/\bDate\.now\b|\bnew Date\(\s*\)/, 'the clock (Date)'],
  [/\bperformance\.now\b/, 'the clock (performance)'],
  [/\bsetTimeout\b|\bsetInterval\b|\bsetImmediate\b/, 'a timer'],
  [/\bawait\b/, 'await'],
  [/\bprocess\./, 'process'],
];

const FOLDERS = ['protocol', 'agentd', 'native', 'tui', 'test', 'bench'];

/** `from '...'`, `import '...'` and `import('...')`; `import type` counts as well, but not for ports -> core. */
const IMPORT = /(?:^|[\s;}])(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g;

function ruleFor(file: string): Rule | undefined {
  const inside = RULES.filter((rule) => file === rule.folder || file.startsWith(`${rule.folder}/`));
  return inside.sort((a, b) => b.folder.length - a.folder.length)[0];
}

const within = (file: string, folder: string): boolean => file === folder || file.startsWith(`${folder}/`);

/** Comments and strings as blanks, so that a word in them is not taken for code. */
function codeOnly(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, ' ');
}

/** Imports of one file as `[specifier, isType]`. */
function importsOf(text: string): [string, boolean][] {
  const plain = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/[^\n]*/gm, ' ');
  return [...plain.matchAll(IMPORT)].map((m) => [m[2] ?? m[3] ?? '', m[1] !== undefined]);
}

/**
 * Breaches of the table in one file.
 * @param file path relative to the repository, `/` between parts
 * @param text its TypeScript
 * @returns one sentence per breach; empty when there is none
 */
export function breaches(file: string, text: string): string[] {
  const rule = ruleFor(file);
  if (!rule) return [`${file}: no import rule covers this folder; add one to test/support/import-rules.ts`];
  const found: string[] = [];
  const extra = Object.entries(EXTRA).flatMap(([folder, may]) => (within(file, folder) ? may : []));
  for (const [specifier] of importsOf(text)) {
    if (specifier.startsWith('.')) {
      const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier)).replace(/\.js$/, '.ts');
      const allowed = [rule.folder, ...rule.may, ...extra].some((folder) => within(target, folder));
      if (!allowed) found.push(`${file}: ${rule.folder} may not import ${target}`);
    } else if (specifier.startsWith('node:')) {
      if (rule.pure) found.push(`${file}: ${rule.folder} is pure and may not import ${specifier}`);
    } else {
      const name = specifier.startsWith('@')
        ? specifier.split('/').slice(0, 2).join('/')
        : (specifier.split('/')[0] ?? '');
      const owners = PACKAGES_OF[name];
      if (owners && !owners.some((folder) => within(file, folder))) {
        found.push(`${file}: only ${owners.join(' and ')} may import ${name}`);
      } else if (rule.packages && !rule.packages.includes(name)) {
        found.push(`${file}: ${rule.folder} may not import the package ${name}`);
      }
    }
  }
  if (rule.pure) {
    const code = codeOnly(text);
    for (const [pattern, name] of IMPURE) {
      if (pattern.test(code)) found.push(`${file}: ${rule.folder} is pure and may not use ${name}`);
    }
  }
  return found;
}

/** Every breach in the repository at `root`. */
export function breachesBelow(root: string): string[] {
  const found: string[] = [];
  const todo = [...FOLDERS];
  while (todo.length > 0) {
    const at = todo.pop() ?? '';
    const entries = fs.existsSync(path.join(root, at))
      ? fs.readdirSync(path.join(root, at), { withFileTypes: true })
      : [];
    for (const entry of entries) {
      const name = path.posix.join(at, entry.name);
      if (entry.isDirectory()) {
        if (entry.name !== 'build' && entry.name !== 'tmp') todo.push(name);
      } else if (entry.name.endsWith('.ts')) {
        found.push(...breaches(name, fs.readFileSync(path.join(root, name), 'utf8')));
      }
    }
  }
  return found.sort();
}

/** The repository's root, from the compiled place of this file (`dist/test/support`). */
export const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const found = breachesBelow(REPOSITORY);
  for (const line of found) process.stderr.write(`${line}\n`);
  process.stdout.write(found.length === 0 ? 'Import rules: kept.\n' : `Import rules: ${found.length} broken.\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
