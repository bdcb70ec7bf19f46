import test from 'ava';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keysPage } from '../../../tui/screens/replication/key-list.js';
import { KEYS } from '../../../tui/screens/replication/keys.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

test('docs/keys.md is made of the key table', (t) => {
  const file = join(ROOT, 'docs/keys.md');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, keysPage());
  t.is(readFileSync(file, 'utf8'), keysPage());
});

test('no key means two things in one pane', (t) => {
  for (const pane of ['tree', 'table', 'charts', 'log'] as const) {
    const seen = new Map<string, string>();
    // A key of one pane may stand before one of everywhere; two of the same kind may not meet.
    for (const key of KEYS.filter((one) => !one.where || one.where.includes(pane))) {
      for (const name of key.keys) {
        const id = `${name} ${key.where ? 'here' : 'everywhere'}`;
        t.false(seen.has(id), `${name} in ${pane}: ${seen.get(id)} and ${key.label}`);
        seen.set(id, key.label);
      }
    }
  }
});

test('what changes a server asks first, and nothing dangerous sits on a movement key', (t) => {
  const moves = new Set(KEYS.filter((key) => key.intent.do === 'move').flatMap((key) => key.keys));
  for (const key of KEYS) {
    if (key.changes || key.danger) t.is(key.intent.do, 'dialog', key.label);
    if (key.danger) for (const name of key.keys) t.false(moves.has(name));
    if (key.changes) t.truthy(key.blocked, `${key.label} must be able to say why not`);
  }
});
