import test from 'ava';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { daemonPage, settingsManual } from '../../../agentd/manual.js';
import { daemonCommand } from '../../../agentd/flags.js';
import { SETTINGS } from '../../../agentd/core/settings/settings.js';
import { prose } from '../../../protocol/mdoc.js';
import { understudyPage } from '../../../tui/manual.js';
import { readVerbs } from '../../../tui/verbs.js';
import { stalePages } from '../../support/generated-docs.js';

const MANDOC = '/usr/bin/mandoc';
const PAGES = { 'understudy.1': understudyPage, 'understudyd.8': daemonPage, 'understudy.toml.5': settingsManual };

test('every page made from the program is up to date', (t) => {
  t.deepEqual(stalePages(), [], 'run: npm run docs');
});

for (const [name, make] of Object.entries(PAGES)) {
  const linted = existsSync(MANDOC) ? test : test.skip;
  linted(`${name} has nothing that mandoc complains about${existsSync(MANDOC) ? '' : ' (needs mandoc)'}`, (t) => {
    const run = spawnSync(MANDOC, ['-Tlint', '-Wwarning'], { input: make(), encoding: 'utf8' });
    t.is(run.stdout + run.stderr, '');
    t.is(run.status, 0);
  });

  linted(`${name} says on a terminal what the program says${existsSync(MANDOC) ? '' : ' (needs mandoc)'}`, (t) => {
    const run = spawnSync(MANDOC, ['-Tutf8'], { input: make(), encoding: 'utf8' });
    // Bold and italics are overstruck.
    const text = run.stdout.replace(/.\u0008/g, '').replace(/\s+/g, ' ');
    if (name === 'understudy.1') for (const verb of readVerbs()) t.true(text.includes(` ${verb.name} `), verb.name);
    if (name === 'understudyd.8')
      for (const option of daemonCommand().options)
        if (option.long !== '--version') t.true(text.includes(option.long ?? '?'), option.flags);
    if (name === 'understudy.toml.5')
      for (const entry of SETTINGS) t.true(text.includes(entry.key.slice(entry.key.indexOf('.') + 1)), entry.key);
  });
}

test('text in a page is never a command of the formatter', (t) => {
  t.deepEqual(prose('.Sh boom'), ['\\&.Sh boom']);
  t.deepEqual(prose("'quoted' at the start"), ["\\&'quoted' at the start"]);
  t.deepEqual(prose('a \\ b "c"'), ['a \\e b \\(dqc\\(dq']);
  t.deepEqual(prose('One is here. Two follows.'), ['One is here.', 'Two follows.']);
});
