import { readFileSync } from 'node:fs';
import test from 'ava';
import { settingsPage, statesPage } from '../../../agentd/reference.js';

test('the pages of states and settings are what the tables say', (t) => {
  const read = (name: string): string => readFileSync(new URL(`../../../../docs/${name}`, import.meta.url), 'utf8');
  t.true(read('states.md') === statesPage(), 'run: node dist/agentd/reference.js states > docs/states.md');
  t.true(read('settings.md') === settingsPage(), 'run: node dist/agentd/reference.js settings > docs/settings.md');
});
