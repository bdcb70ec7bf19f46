/** `status --watch` and ^C: what is shown when links go, terminals are narrow, and answers do not come. */
import test, { type ExecutionContext } from 'ava';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { watchLines, watchTable } from '../../../tui/cli/commands/watch.js';
import { columns, visible } from '../../../tui/cli/print.js';
import { applyFacts, type Fleet, newServer } from '../../../tui/model/fleet.js';
import { notice } from '../../../protocol/errors.js';
import { makeConnection } from '../../screens/fake-agent.js';

const MAIN = join(dirname(fileURLToPath(import.meta.url)), '../../../tui/main.js');
const NOW = 1_000_000;

function fleetOf(count: number): Fleet {
  const all = Array.from({ length: count }, (_, at) => makeConnection(at + 1, `set-${at + 1}`, 'beta'));
  return applyFacts(
    { servers: [newServer('alpha', 'unix:/a')] },
    'alpha',
    [
      { kind: 'hello', hello: { name: 'alpha', version: '1', access: 'administrator', user: 'u' } },
      { kind: 'link', state: { kind: 'online' } },
      { kind: 'connections', all },
    ],
    NOW,
  );
}
const lost = (fleet: Fleet): Fleet =>
  applyFacts(
    fleet,
    'alpha',
    [
      {
        kind: 'link',
        state: {
          kind: 'lost',
          trouble: { code: 'X', text: 'Nobody listens.', remedy: 'Start it.' },
          retryAt: 0,
          attempt: 1,
        },
      },
    ],
    NOW,
  );

test('I3: what a lost server said last is marked, has its age, and nothing of it is called caught up', (t) => {
  const size = { width: 120, height: 30 };
  const before = watchLines(fleetOf(1), null, NOW, size);
  t.regex(before.join('\n'), /^alpha:1 .* 12 ms$/m);
  const after = watchLines(lost(fleetOf(1)), null, NOW + 9_000, size).join('\n');
  t.regex(after, /^\? alpha:1 .* unknown$/m);
  t.regex(after, /Nobody listens; it is tried again by itself; its figures are 9 s old\n {4}Start it\./);
});

test('T2: a narrow terminal gets fewer columns, whole ones, and the state last of all', (t) => {
  const row = {
    server: 'alpha',
    stale: false,
    ...makeConnection(1, 'documents', 'beta', {}, { targetDataState: 'Mirror Required' }),
  };
  for (const width of [200, 120, 100, 80, 60, 44]) {
    const lines = watchTable([row], width);
    for (const line of lines) t.true(columns(line) <= width, `${width}: ${line}`);
    t.regex(lines[2] ?? '', /Mirror Required/, String(width));
  }
  t.regex(watchTable([row], 80)[2] ?? '', /Replicating 12 ms$/);
});

test('T2: hundreds of connections never scroll the screen away, and problems stay in sight', (t) => {
  const fleet = applyFacts(
    fleetOf(300),
    'alpha',
    [
      {
        kind: 'connection',
        item: makeConnection(300, 'set-300', 'beta', {
          problem: notice('SOURCE_LOST', { set: 'set-300', why: 'full' }),
          severity: 'warning',
        }),
      },
    ],
    NOW,
  );
  const lines = watchLines(fleet, null, NOW, { width: 80, height: 23 });
  t.is(lines.length, 23);
  t.true(lines.some((line) => line.includes('set-300')));
  t.true(lines.some((line) => /\.\.\. and \d+ more lines/.test(line)));
});

test('T20: directions and marks in names turn no line of the command line around', (t) => {
  t.is(visible('a\u202egnp.exe\u0007'), 'a\\u202egnp.exe\\x07');
  t.is(columns('e\u0301x'), 2);
  t.is(columns('文件'), 4);
});

interface Ran {
  readonly interrupt: () => void;
  readonly says: (what: RegExp) => Promise<void>;
  readonly ended: Promise<{ code: number | null; out: string; err: string }>;
}

/** The command line with one server, whose socket is there or not and never says a word. */
async function run(
  t: ExecutionContext,
  args: readonly string[],
  listens: boolean,
): Promise<Ran & { reached: Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-watch-'));
  const socket = join(folder, 's');
  let arrived = (): void => {};
  const reached = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const server = createServer(() => arrived());
  if (listens) await new Promise<void>((resolve) => server.listen(socket, resolve));
  const config = join(folder, 'config');
  mkdirSync(config);
  writeFileSync(
    join(config, 'servers.json'),
    JSON.stringify({ schema: 1, servers: [{ name: 'alpha', address: `unix:${socket}` }] }),
  );
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, UNDERSTUDY_CONFIG_DIR: config },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => {
    child.kill('SIGKILL');
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  let out = '';
  let err = '';
  let look = (): void => {};
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString();
    look();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString();
    look();
  });
  return {
    reached,
    interrupt: () => void child.kill('SIGINT'),
    says: (what) =>
      new Promise((resolve) => {
        look = () => {
          if (what.test(out + err)) resolve();
        };
        look();
      }),
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err }))),
  };
}

test('I3: a watch whose server is gone says so and goes on until ^C; it never ends by itself with code 0', async (t) => {
  const json = await run(t, ['status', '--watch', '--json'], false);
  await json.says(/"link":"lost".*no socket/);
  json.interrupt();
  t.is((await json.ended).code, 0);
  const text = await run(t, ['status', '--watch'], false);
  await text.says(/alpha: There is no socket/);
  text.interrupt();
  const { code, err } = await text.ended;
  t.is(code, 0);
  t.is(err.split('There is no socket').length, 2, 'told once, however often it is tried');
});

test('^C ends a command whose server does not answer, with code 130, and says what may go on', async (t) => {
  const asked = await run(t, ['doctor'], true);
  await asked.reached;
  asked.interrupt();
  t.is((await asked.ended).code, 130);
});
