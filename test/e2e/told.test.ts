/** What the agent says of its own files and addresses when it starts, and what the command line says of mistakes. */
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { failure } from '../../protocol/errors.js';
import { ConnectionSimulate, LogRead, MailTest, SetSave, SettingsSecret } from '../../protocol/messages/index.js';
import type { AgentProcess } from '../support/agent-process.js';
import { opened } from '../support/opened.js';
import { understudy } from '../support/understudy.js';

const texts = async (agent: AgentProcess, code: string): Promise<string[]> =>
  (await agent.client.request(LogRead, {})).lines.flatMap(({ notice }) => (notice.code === code ? [notice.text] : []));

test('LOG-07, LOG-33, SEC-07: a start with foreign, lost or damaged files says what became of them, and loses none', async (t) => {
  const pair = await opened(t);
  const { source } = pair;
  const folder = join(source.root, 'own-log');
  t.regex((await texts(source, 'IDENTITY_CREATED'))[0] ?? '', /^A new identity was made; public key [0-9a-f]{64}\.$/);
  await source.client.request(SettingsSecret, { key: 'mail.password', value: 'pw' });
  await source.stop();
  mkdirSync(folder);
  writeFileSync(join(folder, 'statistic.sts'), 'something else');
  unlinkSync(join(source.root, 'state', 'secrets.key'));
  appendFileSync(
    join(source.root, 'understudy.toml'),
    `[log]\nfolder = "${folder}"\nlength = 4096\n[statistics]\nenabled = true\ninterval_s = 1\n[mail]\nenabled = true\nuser = "u"\nfrom = "a@x"\nto = "b@x"\nserver = "127.0.0.1"\n`,
  );
  await source.start();
  t.deepEqual(await texts(source, 'IDENTITY_CREATED'), [], 'the identity is kept');
  await t.throwsAsync(source.client.request(MailTest, {}));
  t.deepEqual(await texts(source, 'SECRET_UNREADABLE'), ['Secret mail.password cannot be read: secrets.key is gone.']);
  const rules = [{ path: pair.folder('data'), include: true, recursive: true }];
  await source.client.request(SetSave, { name: 'set', rules, generation: null });
  await source.client.request(ConnectionSimulate, { set: 'set' }); // Somebody to count.
  let anew: string[] = [];
  for (let tries = 0; tries < 100 && anew.length === 0; tries += 1) {
    anew = await texts(source, 'STATISTICS_STARTED_ANEW');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const kept = readdirSync(folder).find((name) => name.endsWith('.kept')) ?? '';
  t.is(
    anew[0],
    `${join(folder, 'statistic.sts')} is not a statistics file; it was moved to ${join(folder, kept)} and a new one begun.`,
  );
  t.is(readFileSync(join(folder, kept), 'utf8'), 'something else');
  // The folder of the log goes while the agent runs, and something else takes its place: seen when the file is full.
  rmSync(folder, { recursive: true });
  writeFileSync(folder, '');
  for (let generation = 1; generation < 40; generation += 1)
    await source.client.request(SetSave, { name: 'set', rules, generation });
  t.deepEqual(await texts(source, 'LOG_NOT_WRITTEN'), [
    `The log file in ${folder} cannot be written; messages are kept in memory and on standard error.`,
  ]);
  t.true(source.log().includes('saved as generation 40'), 'standard error has them all');
});

test('SRV-32, SRV-70: an agent that cannot start says why, and leaves with its exit code', async (t) => {
  const pair = await opened(t);
  const { source } = pair;
  const { port } = source;
  await source.stop();
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const { message: taken = '' } = (await t.throwsAsync(source.start())) ?? {};
  t.true(taken.includes(failure('LISTEN_REFUSED', { address: `127.0.0.1:${port}` }).message), taken);
  other.close();
  appendFileSync(join(source.root, 'understudy.toml'), '[log]\nfolder = "relative"\n');
  const { message: wrong = '' } = (await t.throwsAsync(source.start())) ?? {};
  t.true(
    wrong.includes(failure('CONFIG_INVALID', { file: 'relative', problem: 'folders must be absolute' }).message),
    wrong,
  );
});

test('I10, LOG-08, VER-03: mistakes on the command line are named, with what to do and their exit codes', async (t) => {
  const pair = await opened(t, { servers: ['alpha', 'beta'] });
  const said = async (...args: string[]) => {
    const { code, err } = await understudy(pair, args);
    return { code, err };
  };
  const address = await said('server', 'add', 'x', 'http://x');
  t.is(address.code, 2);
  t.true(address.err.includes(failure('ADDRESS_INVALID', { problem: '' }).notice.remedy), address.err);
  const usage = await said('stats', 'alpha', '--since', 'yesterday');
  t.is(usage.code, 2);
  t.true(usage.err.includes(failure('USAGE', { problem: '' }).notice.remedy), usage.err);
  const file = join(pair.root, 'no-statistics');
  writeFileSync(file, 'x');
  const foreign = await said('stats', '--file', file);
  t.is(foreign.code, 1);
  t.true(foreign.err.includes(`${file} cannot be read as a statistics file: `), foreign.err);
  t.true(foreign.err.includes(failure('STATISTICS_UNREADABLE', { file, problem: '' }).notice.remedy), foreign.err);

  // Connection 1 of both: each mirrors to the other.
  const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
  await pair.mirrored(link);
  const back = await understudy(pair, ['set', 'create', 'beta:back', pair.folder('other')]);
  t.is(back.code, 0, back.err);
  t.is(
    (
      await understudy(pair, [
        'connect',
        'beta:back',
        'alpha',
        '--map',
        `${join(pair.root, 'other')}=${join(pair.root, 'back')}`,
      ])
    ).code,
    0,
  );
  const twice = await said('barrier', '1');
  t.is(twice.code, 2);
  t.true(twice.err.includes(failure('ID_AMBIGUOUS', { id: 1, servers: 'alpha, beta' }).message), twice.err);
  t.true(twice.err.includes('Name the server, such as alpha:1.'), twice.err);

  writeFileSync(join(link.target, 'orphan'), '');
  const differ = await said('verify', 'alpha:1');
  t.is(differ.code, 1);
  t.true(
    differ.err.includes(failure('TREES_DIFFER', { id: 1, different: 0, missing: 0, orphans: 1 }).notice.remedy),
    differ.err,
  );
});
