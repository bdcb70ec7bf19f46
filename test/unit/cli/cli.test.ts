/** Parts of the command line that need no server. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Failure, failure, noticeRemedy, noticeText } from '../../../protocol/errors.js';
import { readMap } from '../../../tui/cli/commands/connect.js';
import { mirrorOptionsOf } from '../../../tui/cli/commands/mirror.js';
import { buildProgram } from '../../../tui/cli/index.js';
import { chooseRoute } from '../../../tui/cli/introduce.js';
import { asCliFailure, exitCode } from '../../../tui/cli/links.js';
import { parseAddress } from '../../../tui/link/transport.js';
import { columns, table, visible } from '../../../tui/cli/print.js';
import { addServer, loadServers, removeServer, splitName } from '../../../tui/cli/servers.js';

test('every verb of the command line is there', (t) => {
  const names: string[] = [];
  const walk = (command: ReturnType<typeof buildProgram>, prefix: string): void => {
    for (const child of command.commands) {
      names.push(`${prefix}${child.name()}`);
      walk(child, `${prefix}${child.name()} `);
    }
  };
  walk(buildProgram(), '');
  const wanted = `server add,server list,server remove,peer show,peer trust,set create,set edit,set list,set show,set size,set export,set import,set delete,connect,disconnect,status,mirror start,mirror stop,mirror pause,mirror resume,replication start,replication stop,barrier,verify,logs,doctor,demo`;
  for (const name of wanted.split(',')) t.true(names.includes(name), name);
});

test('CON-27: --map takes two absolute directories, names may hold =', (t) => {
  t.deepEqual(readMap('/a=/b'), { source: '/a', target: '/b' });
  t.deepEqual(readMap('/a=x=/b=y'), { source: '/a=x', target: '/b=y' });
  for (const text of ['a=/b', '/a', '/a=b', '=/b']) t.throws(() => readMap(text), { instanceOf: Failure });
});

test('MIR-26: without a choice a mirror sends differences found by checksum', (t) => {
  t.deepEqual(mirrorOptionsOf({}), { kind: 'difference', checksum: true });
  t.deepEqual(mirrorOptionsOf({ full: true }), { kind: 'full' });
  t.deepEqual(mirrorOptionsOf({ difference: true }), { kind: 'difference' });
  t.deepEqual(mirrorOptionsOf({ newer: true }), { kind: 'difference', newer: true });
  t.deepEqual(mirrorOptionsOf({ difference: true, newer: true, checksum: true }), {
    kind: 'difference',
    checksum: true,
    newer: true,
  });
  t.throws(() => mirrorOptionsOf({ full: true, newer: true }), { instanceOf: Failure });
});

test('CON-24: the route is as told, as the target listens, or as the console reaches it', (t) => {
  const listen = { host: '0.0.0.0', port: 1500 };
  const choose = (
    sourceAddress: string,
    targetAddress: string,
    route?: string,
    at = listen,
    addresses = ['10.0.0.9'],
  ) => chooseRoute({ sourceAddress, targetAddress, ...(route ? { route } : {}) }, at, addresses);
  t.deepEqual(choose('unix:/a', 'ssh://x', '192.0.2.1:77'), { host: '192.0.2.1', port: 77 });
  t.deepEqual(choose('unix:/a', 'ssh://x', 'fd00::1'), { host: 'fd00::1', port: 1500 });
  t.deepEqual(choose('unix:/a', 'ssh://x', '[fd00::1]:77'), { host: 'fd00::1', port: 77 });
  t.deepEqual(choose('unix:/a', 'ssh://x', undefined, { host: '10.1.1.1', port: 9 }), { host: '10.1.1.1', port: 9 });
  t.deepEqual(choose('unix:/a', 'unix:/b'), { host: '127.0.0.1', port: 1500 });
  t.deepEqual(choose('ssh://far', 'ssh://10.0.0.5'), { host: '10.0.0.5', port: 1500 });
  t.deepEqual(choose('ssh://far', 'ssh://alias'), { host: '10.0.0.9', port: 1500 });
  t.deepEqual(choose('ssh://far', 'unix:/b'), { host: '10.0.0.9', port: 1500 });
  t.throws(() => choose('unix:/a', 'unix:/b', 'a:b:c:d!'), { instanceOf: Failure });
});

test('names of sets and servers', (t) => {
  const one = [{ name: 'alpha', address: 'unix:/a' }];
  t.deepEqual(splitName('alpha:docs', one), { server: 'alpha', rest: 'docs' });
  t.deepEqual(splitName('docs', one), { server: 'alpha', rest: 'docs' });
  t.throws(() => splitName('docs', [...one, { name: 'beta', address: 'unix:/b' }]), { instanceOf: Failure });
  t.throws(() => splitName('alpha:', one), { instanceOf: Failure });
});

test('text of servers cannot steer the terminal, and tables line up for wide characters', (t) => {
  t.is(visible('a\x1b[2Jb\u009b'), 'a\\x1b[2Jb\\x9b');
  t.is(columns('日本'), 4);
  t.is(
    table(
      [{ title: 'A' }, { title: 'N', right: true }],
      [
        ['日本', '1'],
        ['x', '22'],
      ],
    ),
    'A      N\n日本   1\nx     22\n',
  );
});

test.serial('I10: the list of servers is private, keeps its order and refuses doubles', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-unit-'));
  const before = process.env['UNDERSTUDY_CONFIG_DIR'];
  process.env['UNDERSTUDY_CONFIG_DIR'] = join(folder, 'deep', 'er');
  t.teardown(() => {
    if (before === undefined) delete process.env['UNDERSTUDY_CONFIG_DIR'];
    else process.env['UNDERSTUDY_CONFIG_DIR'] = before;
    rmSync(folder, { recursive: true });
  });
  addServer('b', 'unix:/b.sock');
  addServer('a', 'ssh://root@host:22/x.sock');
  t.deepEqual(
    loadServers().map((server) => server.name),
    ['b', 'a'],
  );
  t.is(t.throws(() => addServer('a', 'unix:/x'), { instanceOf: Failure }).code, 'SERVER_EXISTS');
  t.throws(() => addServer('12', 'unix:/x'), { instanceOf: Failure });
  t.throws(() => addServer('c', 'http://x'));
  removeServer('b');
  t.is(t.throws(() => removeServer('b'), { instanceOf: Failure }).code, 'SERVER_UNKNOWN');
  const path = join(folder, 'deep', 'er', 'servers.json');
  t.is(statSync(path).mode & 0o777, 0o600);
  t.is((JSON.parse(readFileSync(path, 'utf8')) as { schema: number }).schema, 1);
});

test('I10: what is not known leaves with exit code 1, what nobody can carry out with 2, each in its own words', (t) => {
  const server = failure('SERVER_UNKNOWN', { name: 'x', known: 'alpha' });
  t.is(exitCode(server), 1);
  t.is(exitCode(failure('CONNECTION_UNKNOWN', { id: '9' })), 1);
  t.is(exitCode(failure('SET_UNKNOWN', { set: 'x' })), 1);
  const error = t.throws(() => parseAddress('ftp://h'));
  const said = asCliFailure(error);
  t.is(exitCode(said), 2);
  t.is(noticeText(said.notice), '"ftp://h" is not an address: it is neither unix: nor ssh://.');
  t.regex(noticeRemedy(said.notice), /ssh:\/\/\[user@\]host/);
});
