import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../../support/import-rules.js';

const lines = (file: string): string[] => readFileSync(join(REPOSITORY, file), 'utf8').trimEnd().split('\n');

test('RCN-01: the picture in the README is the top of the documented screen, and that has the labels of today', (t) => {
  const picture = /```\n( Understudy[^`]*)\n```/.exec(readFileSync(join(REPOSITORY, 'README.md'), 'utf8'))?.[1];
  const shown = lines('docs/screens/console-80x24.txt');
  t.deepEqual(picture?.split('\n'), shown.slice(0, picture?.split('\n').length));
  const now = lines('test/golden/console-80x24.txt');
  t.is(shown.at(-1), now.at(-1), 'the keys in the footer');
  // What a pane is called, without what it shows of the moment.
  const headings = (screen: readonly string[]): string[] =>
    screen.flatMap((line) => line.match(/\d (Servers|Connections|Charts|Messages)/g) ?? []);
  t.deepEqual(headings(shown), headings(now));
  t.regex(shown.find((line) => line.includes(' 2111 ')) ?? '', /^· \d\d:\d\d:\d\d 2111 Set "/);
  t.regex(now.find((line) => line.includes(' 2111 ')) ?? '', /^· \d\d:\d\d:\d\d 2111 Set "/);
});
