/** Settings changed while the agent runs, and its secrets. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FileDocuments } from '../../../agentd/adapters/files.js';
import { FileVault, SECRETS_FILE } from '../../../agentd/adapters/vault.js';
import { SETTINGS } from '../../../agentd/core/settings/settings.js';
import type { Client } from '../../../protocol/client.js';
import { Failure } from '../../../protocol/errors.js';
import * as m from '../../../protocol/messages/index.js';
import { FakeAgent } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';

function agent(t: ExecutionContext, file: unknown = null): FakeAgent {
  const made = new FakeAgent('alpha', new FakeNetwork(), file).start();
  t.teardown(() => made.stop());
  return made;
}

const one = async (client: Client, key: string): Promise<m.Setting> => {
  const { settings } = await client.request(m.SettingsList, {});
  const found = settings.find((setting) => setting.key === key);
  if (!found) throw new Error(`no setting ${key}`);
  return found;
};

const refused = async (t: ExecutionContext, call: Promise<unknown>): Promise<Failure> =>
  (await t.throwsAsync(call, { instanceOf: Failure })) as Failure;

test('SRV rows: every setting is listed with its row, origin, and whether it needs a restart', async (t) => {
  const client = await agent(t, { target: { retry_s: 7 } }).client('monitor');
  const { settings, secrets } = await client.request(m.SettingsList, {});
  t.deepEqual(
    settings.map((setting) => setting.key),
    SETTINGS.map((entry) => entry.key as string),
  );
  t.like(await one(client, 'target.retry_s'), { value: '7', origin: 'file', row: 'SRV-58', preset: '3' });
  t.like(await one(client, 'log.length'), { restart: true, row: 'SRV-71' });
  t.like(await one(client, 'log.files'), { restart: true, row: 'SRV-72' });
  t.like(await one(client, 'mail.enabled'), { restart: false, row: 'LOG-20' });
  t.true(secrets.every((secret) => !secret.set));
});

test('SRV-24, SRV-58: a live setting is obeyed at once, another after the next start, and both outlive it', async (t) => {
  const fake = agent(t);
  const client = await fake.client();
  const { settings, restart } = await client.request(m.SettingsSet, {
    changes: [
      { key: 'source.remirror', value: 'off' },
      { key: 'target.retry_s', value: '11' },
    ],
  });
  t.true(restart);
  t.is(fake.agent.world.settings['source.remirror'], 'off');
  t.is(fake.agent.world.settings['target.retry_s'], 3);
  t.like(settings[0], { value: 'off', next: null, origin: 'set' });
  t.like(settings[1], { value: '3', next: '11', origin: 'set' });
  t.deepEqual(fake.log().slice(-3), ['AUDIT', 'SETTING_CHANGED', 'SETTING_CHANGED']);
  await fake.stop();
  fake.start();
  t.is(fake.agent.world.settings['target.retry_s'], 11);
  const again = await fake.client();
  await again.request(m.SettingsSet, { changes: [{ key: 'source.remirror', value: null }] });
  t.like(await one(again, 'source.remirror'), { value: 'difference_checksum', origin: 'default' });
});

test('I10: a change with anything wrong in it changes nothing and says what', async (t) => {
  const fake = agent(t);
  const client = await fake.client();
  const set = (...changes: m.SettingChange[]) => refused(t, client.request(m.SettingsSet, { changes }));
  const good = { key: 'source.remirror', value: 'off' };
  t.regex((await set(good, { key: 'target.retries', value: '1' })).message, /did you mean "target.retry_s"/);
  t.regex(
    (await set(good, { key: 'target.retry_s', value: 'soon' })).message,
    /whole number from 1 to 3600 \(SRV-58\)/,
  );
  t.regex((await set(good, { key: 'mail.enabled', value: 'true' })).message, /needs mail.from/);
  t.is((await set(good, { key: 'agent.state', value: '/x' })).code, 'SETTING_FIXED');
  t.is((await set(good, { key: 'agent.listen', value: ':1' })).code, 'SETTING_FIXED', 'the command line says it');
  fake.documents.broken = Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'write' });
  t.is((await set(good)).code, 'REFUSED_BY_SYSTEM');
  fake.documents.broken = null;
  t.is(fake.agent.world.settings['source.remirror'], 'difference_checksum');
  t.false(fake.documents.saved.has('settings.sts'));
  t.is(
    (await refused(t, (await fake.client('monitor')).request(m.SettingsSet, { changes: [good] }))).code,
    'ACCESS_DENIED',
  );
});

test('a check says what would change and changes nothing', async (t) => {
  const fake = agent(t);
  const client = await fake.client();
  t.deepEqual(await client.request(m.SettingsCheck, {}), { problem: null, settings: [] });
  const { settings } = await client.request(m.SettingsCheck, { changes: [{ key: 'log.files', value: '9' }] });
  t.like(settings[0], { key: 'log.files', value: '5', next: '9' });
  const wrong = await client.request(m.SettingsCheck, { changes: [{ key: 'log.files', value: '1000' }] });
  t.regex(wrong.problem?.text ?? '', /1 to 999 \(SRV-72\)/);
  t.is((await one(client, 'log.files')).next, null);
});

test('P23: what an older release kept and this one does not know is told and does no harm', async (t) => {
  const fake = new FakeAgent('alpha', new FakeNetwork());
  fake.documents.saved.set('settings.sts', JSON.stringify({ schema: 1, values: { 'old.thing': 1, 'log.files': 7 } }));
  fake.start();
  t.teardown(() => fake.stop());
  t.true(fake.log().includes('SETTING_IGNORED'));
  t.is(fake.agent.world.settings['log.files'], 7);
});

test('LOG-33: secrets are on disk only encrypted, their key is private, and a copy without it is worthless', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-unit-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const troubles: string[] = [];
  const open = (): FileVault =>
    new FileVault(folder, new FileDocuments(folder), (key, problem) => troubles.push(`${key}: ${problem}`));
  const vault = open();
  t.is(vault.read('mail.password'), null);
  await vault.write('mail.password', 'pässword');
  await vault.write('snmp.auth_password', 'pässword');
  t.is(open().read('mail.password'), 'pässword');
  const text = readFileSync(join(folder, SECRETS_FILE), 'utf8');
  t.false(text.includes('pässword') || text.includes(Buffer.from('pässword').toString('base64')));
  const kept = (JSON.parse(text) as { secrets: Record<string, { data: string }> }).secrets;
  t.not(kept['mail.password']?.data, kept['snmp.auth_password']?.data, 'equal secrets do not look equal');
  t.is(statSync(join(folder, SECRETS_FILE)).mode & 0o777, 0o600);
  t.is(statSync(join(folder, 'secrets.key')).mode & 0o777, 0o600);

  // One secret in the place of another is noticed.
  writeFileSync(
    join(folder, SECRETS_FILE),
    JSON.stringify({ schema: 1, secrets: { 'mail.password': kept['snmp.auth_password'] } }),
  );
  t.is(open().read('mail.password'), null);
  t.is(troubles.length, 1);
  writeFileSync(join(folder, SECRETS_FILE), text);
  chmodSync(join(folder, 'secrets.key'), 0o640);
  t.is(t.throws(open, { instanceOf: Failure }).code, 'STATE_INVALID');
  rmSync(join(folder, 'secrets.key'));
  t.is(open().read('mail.password'), null);
  t.regex(troubles[1] ?? '', /gone/);
  await open().write('mail.password', null);
  t.false(open().has('mail.password'));
});

test('LOG-33: a secret is never told back, not in the log either', async (t) => {
  const fake = agent(t);
  const client = await fake.client();
  await client.request(m.SettingsSecret, { key: 'mail.password', value: 'hunter2hunter2' });
  const said = JSON.stringify(fake.agent.world.log.last(undefined).lines);
  t.false(said.includes('hunter2'));
  t.true(fake.log().includes('SECRET_CHANGED'));
  t.is((await refused(t, client.request(m.SettingsSecret, { key: 'x', value: 'y' }))).code, 'SECRET_UNKNOWN');
  t.is(
    (await refused(t, client.request(m.SettingsSecret, { key: 'snmp.auth_password', value: 'short' }))).code,
    'SECRET_INVALID',
  );
});
