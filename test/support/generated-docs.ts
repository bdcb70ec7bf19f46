/**
 * Every page that is made from the program itself: `npm run docs` writes them, `--check` (lint) tells which are stale.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { daemonPage, settingsManual } from '../../agentd/manual.js';
import { settingsPage, statesPage } from '../../agentd/reference.js';
import { messagesPage, referencePage } from '../../protocol/reference.js';
import { understudyPage } from '../../tui/manual.js';
import { coveragePage } from './spec-coverage.js';
import { keysPage } from '../../tui/screens/replication/key-list.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

export const PAGES: Readonly<Record<string, () => string>> = {
  'docs/protocol.md': referencePage,
  'docs/messages.md': messagesPage,
  'docs/states.md': statesPage,
  'docs/settings.md': settingsPage,
  'docs/keys.md': keysPage,
  'docs/spec-coverage.md': () => coveragePage(),
  'docs/man/understudy.1': understudyPage,
  'docs/man/understudyd.8': daemonPage,
  'docs/man/understudy.toml.5': settingsManual,
};

function written(file: string): string | null {
  try {
    return readFileSync(join(ROOT, file), 'utf8');
  } catch {
    return null;
  }
}

export function stalePages(): string[] {
  return Object.entries(PAGES)
    .filter(([file, make]) => written(file) !== make())
    .map(([file]) => file);
}

if (process.argv[1]?.endsWith('/generated-docs.js')) {
  const stale = stalePages();
  if (process.argv.includes('--check')) {
    for (const file of stale) process.stdout.write(`${file} is stale; run: npm run docs\n`);
    if (stale.length === 0) process.stdout.write('Generated pages: up to date.\n');
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    for (const file of stale) {
      mkdirSync(dirname(join(ROOT, file)), { recursive: true });
      writeFileSync(join(ROOT, file), PAGES[file]?.() ?? '');
      process.stdout.write(`${file} written\n`);
    }
  }
}
