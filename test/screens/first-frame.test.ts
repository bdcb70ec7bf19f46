/** What stands on the screen before any server answered, and what had to be loaded for it (T1). */
import test from 'ava';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { forget, keep, recall } from '../../tui/link/memory.js';
import { type Remembered, rememberedOf } from '../../tui/model/fleet.js';
import { addServer, removeServer } from '../../tui/cli/servers.js';
import { FakeAgent } from './fake-agent.js';
import { twoServers } from './fleet.js';
import { Stage } from './stage.js';

const TUI = join(dirname(fileURLToPath(import.meta.url)), '../../tui');
const folder = mkdtempSync(join(tmpdir(), 'understudy-memory-'));
process.env['UNDERSTUDY_CONFIG_DIR'] = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** What a console knows of alpha after a while. */
async function known(): Promise<Remembered> {
  const { alpha, beta } = twoServers();
  const stage = new Stage({ agents: [alpha, beta] });
  stage.start();
  await stage.until(() => stage.cockpit.app.fleet.servers[0]?.connections.size === 3, 'the connections of alpha');
  await stage.settle();
  const server = stage.cockpit.app.fleet.servers[0];
  const found = server ? rememberedOf(server) : null;
  stage.end();
  if (!found) throw new Error('nothing is known');
  return found;
}

test.serial('T1: the first frame needs none of the slow modules, and few of its own', (t) => {
  // Counted, not timed: a busy machine makes everything slow, but never loads another module.
  const hooks = join(folder, 'hooks.mjs');
  writeFileSync(
    hooks,
    `import { writeSync } from 'node:fs';
     export async function load(url, context, next) { writeSync(2, url + '\\n'); return next(url, context); }`,
  );
  const url = (name: string): string => JSON.stringify(pathToFileURL(join(TUI, name)).href);
  const program = join(folder, 'first.mjs');
  writeFileSync(
    program,
    `import { createRequire, register } from 'node:module';
     import { EventEmitter } from 'node:events';
     import { writeSync } from 'node:fs';
     register(${JSON.stringify(pathToFileURL(hooks).href)});
     const { runTerminal } = await import(${url('terminal.js')});
     const tty = (more) => Object.assign(new EventEmitter(), { isTTY: true, fd: 2, columns: 80, rows: 24, ...more });
     let frame = '';
     Object.defineProperty(process, 'stdin', { value: tty({ setRawMode() {}, pause() {} }) });
     Object.defineProperty(process, 'stdout', { value: tty({ write: (text) => (frame += text) }) });
     runTerminal({ theme: null, ascii: false, colour: true, readOnly: false });
     for (const file of Object.keys(createRequire(import.meta.url).cache)) writeSync(2, file + '\\n');
     writeSync(1, frame);
     process.exit(0);`,
  );
  const run = spawnSync(process.execPath, [program], {
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' },
  });
  t.is(run.status, 0, run.stderr);
  t.regex(run.stdout, /2 Connections/);
  const loaded = run.stderr.split('\n').filter((line) => /\.m?js$/.test(line));
  t.log(`${loaded.length} modules`);
  t.true(loaded.some((line) => line.includes('/screens/shell/view.js')));
  for (const slow of [
    'zod',
    'commander',
    'ssh2',
    'cbor-x',
    'smol-toml',
    'blessed-contrib',
    'session.js',
    'messages/index.js',
  ])
    t.deepEqual(
      loaded.filter((line) => line.includes(`/${slow}`)),
      [],
      slow,
    );
  // 71 when this was written. Each more costs about a millisecond before anything is seen.
  t.true(loaded.length <= 80, loaded.join('\n'));
});

test.serial('T1: what the last console knew is shown at once, grey and with its age, and never as OK', async (t) => {
  const from = await known();
  const silent = new FakeAgent('alpha');
  silent.open = () => new Promise(() => {});
  const memory = { recall: () => ({ ...from, heardAt: from.heardAt - 240_000 }), keep: () => {} };
  const stage = new Stage({ agents: [silent], memory });
  t.teardown(() => stage.end());
  stage.start();
  await new Promise<void>((resolve) => stage.term.write('', resolve));
  const text = stage.text();
  t.regex(text, /alpha +as of 4 m/);
  t.regex(text, /postgres +Mirror Required/);
  t.regex(text, /1 problem|1 unknown/);
  t.notRegex(text, /all OK/);
  // The whole row looks like the other stale ones.
  const row = text.split('\n').findIndex((line) => line.includes('documents       OK'));
  t.true(row > 0);
  const stale = stage.term.buffer.active.getLine(row)?.getCell(45)?.getFgColor();
  const frame = stage.term.buffer.active.getLine(1)?.getCell(30)?.getFgColor();
  t.not(stale, frame);
});

test.serial('T8 I3: remembered rows stay grey until the connections were told anew', async (t) => {
  const from = await known();
  const { alpha } = twoServers();
  const first = from.connections[0];
  if (!first) throw new Error('no connection');
  const old = { ...first, key: 'gone', statistics: { ...first.statistics, replicationSet: 'removed-since' } };
  const gone: Remembered = { ...from, connections: [...from.connections, old] };
  const open = alpha.open.bind(alpha);
  let letIn = (): void => {};
  const entered = new Promise<void>((resolve) => {
    letIn = resolve;
  });
  alpha.open = async () => {
    await entered;
    return open();
  };
  const stage = new Stage({ agents: [alpha], memory: { recall: () => gone, keep: () => {} } });
  t.teardown(() => stage.end());
  stage.start();
  await stage.shows('removed-since');
  t.false(stage.cockpit.app.fleet.servers[0]?.current);
  letIn();
  await stage.until(() => stage.cockpit.app.fleet.servers[0]?.current === true, 'current');
  await stage.settle();
  t.notRegex(stage.text(), /removed-since/);
  t.is(stage.cockpit.app.fleet.servers[0]?.connections.size, 3);
});

test.serial('T1: at its end a console leaves what it knows, readable for nobody else', async (t) => {
  const { alpha, beta } = twoServers();
  const stage = new Stage({ agents: [alpha, beta], memory: { recall, keep } });
  stage.start();
  await stage.until(() => stage.cockpit.app.fleet.servers[1]?.current === true, 'both');
  await stage.settle();
  stage.end();
  const found = recall('alpha', 'unix:/run/alpha.sock');
  t.is(found?.connections.length, 3);
  t.is(found?.sets.length, 3);
  t.is(recall('beta', 'unix:/run/beta.sock')?.grants.length, 1);
  t.is(recall('alpha', 'unix:/elsewhere'), null);
  const seen = join(folder, 'state/seen');
  t.deepEqual(readdirSync(seen).sort(), ['alpha.json', 'beta.json']);
  t.is(statSync(join(seen, 'alpha.json')).mode & 0o777, 0o600);
  t.is(statSync(seen).mode & 0o777, 0o700);
  forget('beta');
  t.is(recall('beta', 'unix:/run/beta.sock'), null);
});

test.serial('a removed server leaves nothing behind', async (t) => {
  addServer('alpha', 'unix:/run/alpha.sock');
  keep('alpha', 'unix:/run/alpha.sock', await known());
  t.truthy(recall('alpha', 'unix:/run/alpha.sock'));
  removeServer('alpha');
  t.is(recall('alpha', 'unix:/run/alpha.sock'), null);
});

test.serial('a file of another release, a torn one and a strange one are as good as none', async (t) => {
  const from = await known();
  const file = join(folder, 'state/seen/x.json');
  mkdirSync(dirname(file), { recursive: true });
  keep('x', 'unix:/x', from);
  const good = readFileSync(file, 'utf8');
  t.truthy(recall('x', 'unix:/x'));
  const damage: ((value: Record<string, unknown> & { server: Record<string, unknown> }) => void)[] = [
    (value) => {
      value['release'] = '0.0.1';
    },
    (value) => {
      value['schema'] = 2;
    },
    (value) => {
      value.server['connections'] = [{ key: 'a', statistics: {} }];
    },
    (value) => {
      value.server['sets'] = 'none';
    },
    (value) => {
      delete value.server['hello'];
    },
  ];
  for (const change of damage) {
    const value = JSON.parse(good) as Record<string, unknown> & { server: Record<string, unknown> };
    change(value);
    writeFileSync(file, JSON.stringify(value));
    t.is(recall('x', 'unix:/x'), null, JSON.stringify(change.toString()));
  }
  for (let cut = 0; cut < good.length; cut += Math.ceil(good.length / 50)) {
    writeFileSync(file, good.slice(0, cut));
    t.is(recall('x', 'unix:/x'), null);
  }
});

test.serial('something remembered that no screen can show does not stop the cockpit', async (t) => {
  const from = await known();
  const [first] = from.connections;
  const broken = {
    ...from,
    connections: [{ ...first, statistics: null }],
  } as unknown as Remembered;
  const { alpha } = twoServers();
  const stage = new Stage({ agents: [alpha], memory: { recall: () => broken, keep: () => {} } });
  t.teardown(() => stage.end());
  stage.start();
  t.is(stage.cockpit.app.fleet.servers[0]?.connections.size, 0);
  await stage.shows('postgres');
  t.is(stage.cockpit.app.fleet.servers[0]?.connections.size, 3);
});
