import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { loadConfig } from '../../../agentd/adapters/config.js';
import { ControlSocket } from '../../../agentd/adapters/control-socket.js';
import { FileDocuments, realPlaces } from '../../../agentd/adapters/files.js';
import { loadIdentity } from '../../../agentd/adapters/identity.js';
import { ErrorStream, formatLine, LogFile } from '../../../agentd/adapters/log-file.js';
import { lockState } from '../../../agentd/adapters/state-lock.js';
import { Client } from '../../../protocol/client.js';
import { Failure, notice } from '../../../protocol/errors.js';
import type { LogLine } from '../../../protocol/messages/log.js';
import { openUnix } from '../../../tui/link/unix.js';
import { FakeAgent } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'understudy-unit-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const line = (text: string): LogLine => ({
  sequence: 1,
  at: 0,
  set: null,
  connection: null,
  server: null,
  notice: notice('SET_DELETED', { set: text }),
  count: 1,
  audit: null,
});

test('I4: documents appear whole, private, without leftovers; the last of many saves wins', async (t) => {
  const path = folder(t);
  const documents = new FileDocuments(path);
  t.is(documents.load('x'), null);
  await Promise.all(Array.from({ length: 50 }, (_, i) => documents.save('x', { i })));
  t.deepEqual(documents.load('x'), { i: 49 });
  t.is(statSync(join(path, 'x')).mode & 0o777, 0o600);
  t.deepEqual(readdirSync(path), ['x']);
  await documents.settled();
});

test('a document that cannot be written leaves the old one and says the call', async (t) => {
  const path = folder(t);
  const documents = new FileDocuments(path);
  await documents.save('x', 1);
  // A directory in the way refuses the rename for every user, root included.
  mkdirSync(join(path, 'y'));
  writeFileSync(join(path, 'y', 'keep'), '');
  const error = await t.throwsAsync(documents.save('y', 2));
  t.regex((error as NodeJS.ErrnoException).code ?? '', /EISDIR|ENOTEMPTY|EEXIST/);
  t.deepEqual(readdirSync(path).sort(), ['x', 'y']);
});

test('a damaged document is an error, never an empty state', (t) => {
  const path = folder(t);
  writeFileSync(join(path, 'x'), '{"schema": 1, "sets": [');
  t.is(t.throws(() => new FileDocuments(path).load('x'), { instanceOf: Failure }).code, 'STATE_INVALID');
});

test('places: kinds follow links, and a path that is not there yet is resolved as far as it goes', (t) => {
  const path = realPlaces.resolve(folder(t));
  mkdirSync(join(path, 'real'));
  writeFileSync(join(path, 'real', 'file'), '');
  symlinkSync('real', join(path, 'link'));
  t.is(realPlaces.kind(join(path, 'link')), 'directory');
  t.is(realPlaces.kind(join(path, 'link', 'file')), 'file');
  t.is(realPlaces.kind(join(path, 'none')), 'missing');
  t.is(realPlaces.resolve(join(path, 'link', 'new', 'deep')), join(path, 'real', 'new', 'deep'));
  const { entries, omitted } = realPlaces.listDirectory(path, 1);
  t.is(entries.length + omitted, 2, 'SET-26');
});

test('SRV-71, SRV-72, LOG-01, NAM-13: the log rotates by length and keeps so many files', (t) => {
  const path = folder(t);
  const log = new LogFile({ folder: path, lengthMax: 200, filesMax: 3, onTrouble: (error) => t.fail(String(error)) });
  for (let i = 0; i < 20; i += 1) log.write(line(`set ${i}`));
  log.close();
  t.deepEqual(readdirSync(path).sort(), ['understudy.usl', 'understudy1.usl', 'understudy2.usl']);
  for (const name of readdirSync(path)) t.true(statSync(join(path, name)).size <= 200);
  t.regex(readFileSync(join(path, 'understudy.usl'), 'utf8'), /set 19/);
});

test('LOG-03: a line has date, severity, number and text, and cannot be broken by a name', (t) => {
  const text = formatLine(line('evil\n2026-01-01 Error 1 forged'));
  t.false(text.includes('\n'));
  t.regex(text, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} Information 2102 Set "evil\\x0a2026/);
});

test('LOG-05: journald gets the severity of each line', (t) => {
  const written: string[] = [];
  const stream = { write: (text: string) => written.push(text) } as unknown as NodeJS.WritableStream;
  new ErrorStream(stream, true).write(line('a'));
  new ErrorStream(stream, false).write(line('a'));
  t.regex(written[0] ?? '', /^<6>\d{4}/);
  t.regex(written[1] ?? '', /^\d{4}/);
});

test('a log file that cannot be written is told once', (t) => {
  const path = folder(t);
  writeFileSync(join(path, 'blocked'), '');
  let told = 0;
  const log = new LogFile({
    folder: join(path, 'blocked', 'in'),
    lengthMax: 200,
    filesMax: 3,
    onTrouble: () => (told += 1),
  });
  log.write(line('a'));
  log.write(line('b'));
  t.is(told, 1);
});

test('one agent per state folder; a lock of a dead process is cleared', (t) => {
  const path = folder(t);
  const unlock = lockState(path);
  t.is(t.throws(() => lockState(path), { instanceOf: Failure }).code, 'AGENT_RUNNING');
  unlock();
  writeFileSync(join(path, 'agent.pid'), '999999999 1');
  lockState(path)();
  writeFileSync(join(path, 'agent.pid'), `${process.pid} 1`);
  lockState(path)();
  t.deepEqual(readdirSync(path), []);
});

test('SEC-07: the identity is private, and refused when others could have read it', (t) => {
  const path = folder(t);
  let made = 0;
  const create = () => ({ key: `key ${++made}`, certificate: `certificate ${made}` });
  t.true(loadIdentity(path, create).created);
  t.is(statSync(join(path, 'identity.key')).mode & 0o777, 0o600);
  t.deepEqual(loadIdentity(path, create), { key: 'key 1', certificate: 'certificate 1', created: false });
  chmodSync(join(path, 'identity.key'), 0o644);
  t.is(t.throws(() => loadIdentity(path, create), { instanceOf: Failure }).code, 'STATE_INVALID');
  rmSync(join(path, 'identity.key'));
  t.is(t.throws(() => loadIdentity(path, create), { instanceOf: Failure }).code, 'STATE_INVALID');
});

test('the configuration is TOML, and every way it can be wrong is said with its file', (t) => {
  const path = folder(t);
  const file = join(path, 'understudy.toml');
  const places = { hostName: 'h', socket: '/s', state: '/st', log: '/l' };
  writeFileSync(file, '[agent]\nname = "alpha"\n[queue]\nmemory_mb = 64\n');
  t.is(loadConfig(file, places, {}).settings['queue.memory_mb'], 64);
  const wrong = (text: string): string => {
    writeFileSync(file, text);
    return t.throws(() => loadConfig(file, places, {}), { instanceOf: Failure }).message;
  };
  t.regex(wrong('[agent\n'), new RegExp(`${file} cannot be used`));
  t.regex(wrong('[agent]\nnam = 1\n'), /did you mean "agent.name"/);
  t.throws(() => loadConfig(join(path, 'none.toml'), places, {}), { instanceOf: Failure });
  t.is(loadConfig(null, places, {}).settings['agent.name'], 'h', 'the usual file may be missing');
});

test('DESIGN 3: the control socket is open to everybody, and who calls decides what they may', async (t) => {
  const path = folder(t);
  const agent = new FakeAgent('alpha', new FakeNetwork()).start();
  t.teardown(() => agent.stop());
  let uid = 0;
  const options = {
    path: join(path, 'agent.sock'),
    served: agent.agent,
    accounts: {
      ownUid: 500,
      userName: (id: number) => `user${id}`,
      groupNames: (id: number) => (id === 7 ? ['usmon'] : []),
    },
    peerUid: () => uid,
  };
  writeFileSync(join(path, 'not-a-socket'), 'x');
  const control = await ControlSocket.listen(options);
  t.is(statSync(options.path).mode & 0o777, 0o666);
  const hello = async (as: number) => {
    uid = as;
    const client = await Client.open(await openUnix(options.path), { address: 'x' });
    t.teardown(() => client.close());
    return client.hello;
  };
  t.like(await hello(0), { access: 'administrator', user: 'user0' });
  t.like(await hello(500), { access: 'administrator' });
  t.like(await hello(7), { access: 'monitor' });
  t.like(await hello(8), { access: 'none' });
  t.is((await t.throwsAsync(ControlSocket.listen(options), { instanceOf: Failure })).code, 'AGENT_RUNNING');
  await control.close();
  // A socket left over by a killed agent is replaced.
  await (await ControlSocket.listen(options)).close();
  await t.throwsAsync(ControlSocket.listen({ ...options, path: join(path, 'not-a-socket') }));
  t.is(readFileSync(join(path, 'not-a-socket'), 'utf8'), 'x');
});
