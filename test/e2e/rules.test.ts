/** Sets with real agents: what their rules take and leave, and how they leave and enter a server as a file. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import * as m from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import { understudy } from '../support/understudy.js';

function put(folder: string, names: readonly string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), name);
  }
}

const files = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

test.serial(
  'SET-03, SET-29: a rule that is not recursive stays in its directory; types alone, or all but types and directories',
  async (t) => {
    const pair = await opened(t, { servers: ['alpha', 'beta'] });
    const [flat, types, rest] = ['flat', 'types', 'rest'].map((name) => pair.folder(name)) as [string, string, string];
    put(flat, ['a', 'sub/b']);
    put(types, ['a.db', 'a.txt', 'sub/b.db', 'sub/b.txt']);
    put(rest, ['a.txt', 'a.tmp', 'sub/b.txt', 'sub/b.tmp', 'cache/c.txt', 'flat/d.bak', 'flat/sub/e.bak']);
    const rules: m.Rule[] = [
      { path: flat, include: true, recursive: false },
      { path: join(types, '*.db'), include: true, recursive: true },
      { path: rest, include: true, recursive: true },
      { path: join(rest, '*.tmp'), include: false, recursive: true },
      { path: join(rest, 'cache'), include: false, recursive: true },
      { path: join(rest, 'flat/*.bak'), include: false, recursive: false },
    ];
    const to = (name: string): string => join(pair.root, 'replica', name);
    const places = { [flat]: to('flat'), [types]: to('types'), [rest]: to('rest') };
    const link = await pair.connectAll('rules', places, rules);
    await pair.barrier(link);
    const found = (): Record<string, string[]> => ({
      flat: files(to('flat')),
      types: files(to('types')),
      rest: files(to('rest')),
    });
    t.deepEqual(found(), {
      flat: ['a'],
      types: ['a.db', 'sub/b.db'],
      rest: ['a.txt', 'flat/sub/e.bak', 'sub/b.txt'],
    });
    t.false(existsSync(join(to('flat'), 'sub')), 'not even the directory');
    put(flat, ['live', 'sub/live', 'new/live']);
    put(types, ['live.db', 'live.txt', 'new/live.db', 'new/live.txt']);
    put(rest, ['live.txt', 'live.tmp', 'new/live.tmp', 'cache/live', 'flat/live.bak', 'flat/new/live.bak']);
    await pair.barrier(link);
    t.deepEqual(found(), {
      flat: ['a', 'live'],
      types: ['a.db', 'live.db', 'new/live.db', 'sub/b.db'],
      rest: ['a.txt', 'flat/new/live.bak', 'flat/sub/e.bak', 'live.txt', 'sub/b.txt'],
    });
  },
);

test.serial(
  'SET-22, SET-23: a set is exported as JSON and imported elsewhere, under its name unless told another',
  async (t) => {
    const pair = await opened(t, { servers: ['alpha', 'beta'] });
    const us = async (...args: string[]): Promise<string> => {
      const ran = await understudy(pair, args);
      t.is(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
      return ran.out;
    };
    const data = pair.folder('data');
    await us(
      'set',
      'create',
      'alpha:Daten über alles',
      data,
      '--exclude',
      join(data, '*.tmp'),
      '--include-flat',
      '/srv/x',
    );
    const file = join(pair.root, 'exported.json');
    await us('set', 'export', 'alpha:Daten über alles', file);
    const document = JSON.parse(readFileSync(file, 'utf8')) as { name: string; rules: m.Rule[] };
    t.is(document.name, 'Daten über alles');
    t.deepEqual(document.rules, [
      { path: data, include: true, recursive: true },
      { path: '/srv/x', include: true, recursive: false },
      { path: join(data, '*.tmp'), include: false, recursive: true },
    ]);
    t.is(
      (await understudy(pair, ['set', 'export', 'alpha:Daten über alles', file])).code,
      1,
      'nothing is written over',
    );
    const rulesOf = async (set: string): Promise<m.Rule[]> =>
      (await pair.target.client.request(m.SetList, {})).sets.find((one) => one.name === set)?.rules ?? [];
    await us('set', 'import', 'beta', file);
    t.deepEqual(await rulesOf('Daten über alles'), document.rules);
    t.is((await understudy(pair, ['set', 'import', 'beta', file])).code, 5, 'its name is taken');
    // Edited on the way.
    document.rules.push({ path: join(data, 'old'), include: false, recursive: true });
    writeFileSync(file, JSON.stringify({ ...document, understudySet: 1 }));
    await us('set', 'import', 'beta', file, '--name', 'other');
    t.deepEqual(await rulesOf('other'), document.rules);
  },
);
