import test from 'ava';
import { breaches, breachesBelow, REPOSITORY } from '../../support/import-rules.js';

test('import rules: the repository keeps its own table', (t) => {
  t.deepEqual(breachesBelow(REPOSITORY), []);
});

test('import rules: cockpit and agent never import each other', (t) => {
  t.is(breaches('tui/link/tunnel.ts', "import { start } from '../../agentd/main.js';\n").length, 1);
  t.is(breaches('agentd/main.ts', "import { paint } from '../tui/paint/screen.js';\n").length, 1);
  t.deepEqual(breaches('tui/link/tunnel.ts', "import { FRAME_MAX } from '../../protocol/limits.js';\n"), []);
});

test('import rules: protocol stands alone', (t) => {
  t.is(breaches('protocol/codec.ts', "export * from '../native/index.js';\n").length, 1);
  t.deepEqual(breaches('protocol/codec.ts', "import { z } from 'zod';\nimport { x } from './limits.js';\n"), []);
});

test('import rules: deciding code has no clock, no chance, no waiting', (t) => {
  const file = 'agentd/core/mirror/step.ts';
  t.is(breaches(file, "import fs from 'node:fs';\n").length, 1);
  t.is(breaches(file, 'export const now = () => Date.now();\n').length, 1);
  t.is(breaches(file, 'export const dice = Math.random();\n').length, 1);
  t.is(breaches(file, 'export const f = async (p: Promise<void>) => { await p; };\n').length, 1);
  t.deepEqual(breaches(file, "// We await nothing and never ask Date.now().\nexport const word = 'await';\n"), []);
});

test('import rules: only paint touches the terminal library', (t) => {
  t.is(breaches('tui/screens/main/view.ts', "import blessed from 'blessed';\n").length, 1);
  t.deepEqual(breaches('tui/paint/screen.ts', "import blessed from 'blessed';\n"), []);
});

test('import rules: a folder without a rule is a breach', (t) => {
  t.is(breaches('elsewhere/file.ts', '').length, 1);
});
