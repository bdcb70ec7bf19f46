/** Mail, traps, statistics and metrics of an agent whose outside is a fake. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Mail, MailRoad } from '../../../../agentd/ports/mail.js';
import type { Outside } from '../../../../agentd/ports/outside.js';
import type { TrapRoad } from '../../../../agentd/ports/traps.js';
import { Failure } from '../../../../protocol/errors.js';
import * as m from '../../../../protocol/messages/index.js';
import { healthOf } from '../../../../tui/cli/commands/health.js';
import { FakeAgent, until } from '../../../support/fake-agent.js';
import { FakeNetwork } from '../../../support/fake-engine.js';
import { fakeAgents, connectAgents, refused, said, told } from '../../../support/fake-pair.js';
import { REPOSITORY } from '../../../support/import-rules.js';

const MAIL = { enabled: true, from: 'a@x', to: 'ops@x', server: 'mail.x', warning: true };

function make(t: ExecutionContext, file: unknown, outside: Partial<Outside>): FakeAgent {
  const fake = new FakeAgent('alpha', new FakeNetwork(), file);
  fake.outside = outside;
  fake.start();
  t.teardown(() => fake.stop());
  return fake;
}

/** A mail server that does what it is told. */
class Post {
  readonly sent: { road: MailRoad; mail: Mail }[] = [];
  readonly tried: Mail[] = [];
  problem: string | null = null;

  readonly sendMail = async (road: MailRoad, mail: Mail) => {
    this.tried.push(mail);
    if (this.problem) throw new Error(this.problem);
    this.sent.push({ road, mail });
    return { response: '250 ok', rejected: [] };
  };
}

test('LOG-20, LOG-27: an error is mailed to everybody on the list; information is not', async (t) => {
  const post = new Post();
  const { agent } = make(t, { mail: MAIL }, post);
  agent.world.log.say('SET_DELETED', { set: 'x' });
  agent.world.log.say('AGENT_CRASHED', { detail: 'none' });
  await until('the mail', () => post.sent.length > 0);
  t.is(post.sent.length, 1);
  t.like(post.sent[0]?.mail, { from: 'a@x', to: ['ops@x'] });
  t.regex(post.sent[0]?.mail.subject ?? '', /^Understudy: alpha: Error: 2002: Agent stops because/);
});

test('LOG-20: disabled, nothing is mailed and the settings are kept; enabling obeys at once', async (t) => {
  const post = new Post();
  const fake = make(t, { mail: { ...MAIL, enabled: false } }, post);
  const { log } = fake.agent.world;
  log.say('AGENT_CRASHED', { detail: 'one' });
  const client = await fake.client();
  await client.request(m.SettingsSet, { changes: [{ key: 'mail.enabled', value: 'true' }] });
  log.say('AGENT_CRASHED', { detail: 'two' });
  await until('the mail', () => post.sent.length > 0);
  t.deepEqual(
    post.sent.map(({ mail }) => /(one|two)/.exec(mail.body)?.[1]),
    ['two'],
  );
  await client.request(m.SettingsSet, { changes: [{ key: 'mail.enabled', value: 'false' }] });
  log.say('AGENT_CRASHED', { detail: 'three' });
  const { settings } = await client.request(m.SettingsList, {});
  t.is(settings.find((one) => one.key === 'mail.to')?.value, 'ops@x');
  t.is(post.sent.length, 1);
});

test('LOG-30: a mail server that fails for long is told once, and its return once', async (t) => {
  const post = new Post();
  post.problem = '554 no';
  const fake = make(t, { mail: MAIL }, post);
  const { log } = fake.agent.world;
  log.say('AGENT_CRASHED', { detail: 'one' });
  // A change of the settings tries again at once; the clock of the waits is the real one.
  const client = await fake.client();
  for (let tries = 1; tries <= 3; tries += 1) {
    await until('a try', () => post.tried.length >= tries);
    await client.request(m.SettingsSet, { changes: [{ key: 'mail.per_hour', value: String(100 + tries) }] });
  }
  log.say('AGENT_CRASHED', { detail: 'two' });
  t.deepEqual(
    fake.log().filter((code) => code.startsWith('MAIL')),
    ['MAIL_FAILED'],
  );
  await until('the last failure', () => post.tried.length >= 4);
  post.problem = null;
  await client.request(m.SettingsSet, { changes: [{ key: 'mail.per_hour', value: '200' }] });
  await until('both mails', () => post.sent.length === 2);
  t.deepEqual(
    fake.log().filter((code) => code.startsWith('MAIL')),
    ['MAIL_FAILED', 'MAIL_WORKS'],
  );
  t.true(
    post.tried.every((mail) => !mail.subject.includes('242')),
    'nothing about mail is mailed',
  );
});

test('LOG-28, LOG-22: a test mail goes to whom it shall, with the log-on, and its refusal is the answer', async (t) => {
  const post = new Post();
  const fake = make(
    t,
    { mail: { ...MAIL, enabled: false, user: 'ops' } },
    {
      ...post,
      vault: { has: () => true, read: (key) => (key === 'mail.password' ? 'pw' : null), write: async () => undefined },
    },
  );
  const client = await fake.client();
  t.like(await client.request(m.MailTest, { to: 'b@y; c@y', text: 'hello' }), {
    via: 'mail.x',
    to: ['b@y', 'c@y'],
    response: '250 ok',
  });
  t.like(post.sent[0]?.road, { user: 'ops', password: 'pw', server: 'mail.x' });
  t.regex(post.sent[0]?.mail.body ?? '', /^hello\n/);
  post.problem = '535 who are you';
  const failed = (await t.throwsAsync(client.request(m.MailTest, {}), { instanceOf: Failure })) as Failure;
  t.is(failed.code, 'MAIL_TEST_FAILED');
  t.regex(failed.message, /535 who are you/);
  t.regex(failed.notice.remedy, /port 25 \(LOG-32\)/);
  t.is(((await t.throwsAsync(client.request(m.MailTest, { to: '-x' }))) as Failure).code, 'SETTING_INVALID');
  t.is(((await t.throwsAsync(client.request(m.MailTest, { text: 'x'.repeat(1_025) }))) as Failure).code, 'BAD_REQUEST');
});

test('LOG-06, LOG-30: each target is told apart, failures once; the engine counts its starts', async (t) => {
  const sent: TrapRoad[] = [];
  const broken = new Set(['bad']);
  const sendTrap = async (road: TrapRoad): Promise<void> => {
    if (broken.has(road.host)) throw new Error('no route');
    sent.push(road);
  };
  const fake = make(
    t,
    { snmp: { enabled: true, targets: 'good:1162, bad', version: '3', user: 'watch' } },
    { sendTrap, vault: { has: () => true, read: (key) => key, write: async () => undefined } },
  );
  const { log } = fake.agent.world;
  log.say('AGENT_CRASHED', { detail: 'one' });
  log.say('AGENT_CRASHED', { detail: 'two' });
  await until('both traps', () => sent.length === 2);
  await until('the failure', () => fake.log().includes('SNMP_FAILED'));
  broken.clear();
  log.say('AGENT_CRASHED', { detail: 'three' });
  await until('its return', () => fake.log().includes('SNMP_WORKS'));
  t.is(fake.log().filter((code) => code.startsWith('SNMP')).length, 2);
  t.like(sent[0], { host: 'good', port: 1162, engineBoots: 1, authPassword: 'snmp.auth_password' });
  await fake.stop();
  fake.start();
  t.deepEqual((await (await fake.client()).request(m.SnmpTest, {})).targets, ['good:1162', 'bad:162']);
  t.is(sent.at(-1)?.engineBoots, 2, 'RFC 3414: boots never go back');
});

async function page(t: ExecutionContext): Promise<{ fake: FakeAgent; text: string }> {
  const agents = await fakeAgents(t);
  const { a: fake, ca: client } = agents;
  await connectAgents(agents, { set: 'docs {a=b},c' });
  await until('the link', () => fake.agent.connections.linked === 1);
  return { fake, text: (await client.request(m.MetricsRead, {})).text };
}

test('metrics: every sample belongs to a described metric, labels are bounded, names cannot break the format', async (t) => {
  const { fake, text } = await page(t);
  const described = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]));
  for (const sample of text.split('\n').filter((one) => one !== '' && !one.startsWith('#'))) {
    const match = /^([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)$/.exec(sample);
    t.truthy(match, sample);
    t.true(described.has(match?.[1] ?? ''), sample);
    const labels = [...(match?.[2] ?? '').matchAll(/([a-z]+)="/g)].map((label) => label[1] ?? '');
    t.true(
      labels.every((label) =>
        ['set', 'connection', 'target', 'state', 'kind', 'severity', 'version', 'protocol'].includes(label),
      ),
      sample,
    );
  }
  t.regex(text, /understudy_set_configured\{set="docs \{a=b\},c"\} 1/);
  t.is([...text.matchAll(/^understudy_set_state\{.*\} 1$/gm)].length, 1, 'exactly one state holds');
  t.regex(text, /^understudy_set_linked\{.*target="beta".*\} 1$/m);
  t.false(text.includes('/data'), 'no paths');
  const open = await fake.agent.services.metrics.page(true);
  t.regex(open.type, /openmetrics/);
  t.regex(open.text, /# EOF\n$/);
});

test('metrics: every metric named in the alert rules and the dashboard exists', async (t) => {
  const { text } = await page(t);
  const known = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]));
  const rules = readFileSync(join(REPOSITORY, 'packaging/prometheus/alerts.yml'), 'utf8');
  const dashboard = readFileSync(join(REPOSITORY, 'packaging/grafana/understudy.json'), 'utf8');
  const expressions = [
    ...[...rules.matchAll(/^ *expr: (.*)$/gm)].map((match) => match[1] ?? ''),
    ...JSON.parse(dashboard).panels.flatMap((one: { targets: { expr: string }[] }) =>
      one.targets.map(({ expr }) => expr),
    ),
    ...[...dashboard.matchAll(/label_values\((.*?),/g)].map((match) => match[1] ?? ''),
  ];
  t.true(expressions.length > 20);
  for (const expression of expressions)
    for (const [name] of expression.matchAll(/\b(?:understudy|process)_[a-z_]+/g)) t.true(known.has(name), name);
  // States of the rules are words of the protocol.
  for (const [, states] of rules.matchAll(/state=~?"([^"]*)"/g))
    for (const state of (states ?? '').split('|'))
      t.true((m.TARGET_DATA_STATE as readonly string[]).includes(state), state);
});

test('health: OK, WARNING, CRITICAL, UNKNOWN as monitoring plugins say them, with performance data', async (t) => {
  const { fake } = await page(t);
  const client = await fake.client();
  const { status } = await client.request(m.ServerInfo, {});
  const { connections } = await client.request(m.ConnectionList, {});
  const [item] = connections;
  if (!item) return t.fail();
  const limits = { lagWarning: 60, lagCritical: 600 };
  const calm = { ...status, problems: [], targetPaused: false };
  const of = (change: Partial<m.ConnectionItem>, state: m.TargetDataState = 'OK') =>
    healthOf(
      calm,
      [
        {
          ...item,
          set: "it's|set",
          problem: null,
          quarantined: 0,
          latencyMs: 0,
          ...change,
          statistics: { ...item.statistics, targetDataState: state },
        },
      ],
      limits,
    );
  t.like(of({}), { code: 0, word: 'OK', summary: '1 of 1 connections OK, 0 incoming' });
  t.is(of({ latencyMs: 61_000 }).code, 1);
  t.is(of({ latencyMs: 601_000 }, 'Busy').code, 2);
  t.is(of({ latencyMs: -1 }).code, 3);
  t.is(of({}, 'Mirroring').code, 1);
  t.is(of({}, 'Mirror Required').code, 2);
  t.is(of({}, 'Restore required').code, 2);
  t.is(of({}, 'Unknown').code, 3, 'I3: unknown is neither good nor bad');
  t.is(of({ quarantined: 2 }).code, 1);
  t.is(healthOf({ ...calm, targetPaused: true }, [], limits).code, 1);
  const performance = of({ latencyMs: 1_500 }).performance;
  t.regex(
    performance,
    /^'it_s_set beta lag'=1\.500s;60;600;0 'it_s_set beta queue'=\d+B;;;0 connections=1;;;0 incoming=0;;;0$/,
  );
  t.regex(of({ latencyMs: -1 }).performance, /lag'=U;/);
  return t.pass();
});

test('SRV-20, SRV-76: statistics are written at the interval, switched and sped up while the agent runs', async (t) => {
  const written: number[] = [];
  let broken = false;
  const statistics = {
    file: '/log/statistic.sts',
    append: async (records: readonly unknown[]) => {
      if (broken) throw Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'write' });
      written.push(records.length);
    },
    read: async () => ({ records: [], more: false, unreadable: 0 }),
    close: async () => undefined,
  };
  const fake = make(t, { statistics: { enabled: false, interval_s: 1 } }, { statistics });
  const client = await fake.client();
  const set = (key: string, value: string) => client.request(m.SettingsSet, { changes: [{ key, value }] });
  t.is(written.length, 0);
  await set('statistics.enabled', 'true');
  await until('three looks', () => written.length >= 3);
  broken = true;
  await until('trouble told', () => fake.log().includes('STATISTICS_NOT_WRITTEN'));
  broken = false;
  await until('and its end', () => fake.log().includes('STATISTICS_WRITTEN'));
  t.is(fake.log().filter((code) => code === 'STATISTICS_NOT_WRITTEN').length, 1);
  await set('statistics.enabled', 'false');
  const then = written.length;
  await client.request(m.ServerInfo, {});
  t.true(written.length <= then + 1);
});

test('LOG-31: a start that is followed by a stop at once does not wait for its mail', async (t) => {
  let asked = 0;
  const never = (): Promise<never> => {
    asked += 1;
    return new Promise(() => undefined);
  };
  const fake = make(t, { mail: { ...MAIL, information: true } }, { sendMail: never });
  await fake.stop();
  t.true(asked <= 1);
  t.true(fake.log().includes('AGENT_STARTED'), 'the log has what the mail may have lost');
  t.true(fake.log().includes('AGENT_STOPPED'));
});

test('LOG-32: a mail server that is not reached has the help text about port 25', async (t) => {
  const post = new Post();
  post.problem = 'connect ETIMEDOUT';
  const fake = make(t, { mail: MAIL }, post);
  const client = await fake.client();
  const error = await t.throwsAsync(client.request(m.MailTest, {}), { instanceOf: Failure });
  t.regex(error?.notice.remedy ?? '', /Virus scanners and firewalls often block port 25/);
});

test('LOG-06, LOG-28: a test of mail or traps says what is missing, or what the other side says', async (t) => {
  const fake = make(
    t,
    { snmp: { version: '3', privacy: 'none' } },
    {
      sendTrap: async () => {
        throw new Error('no route to host');
      },
    },
  );
  const client = await fake.client();
  const set = (key: string, value: string) => client.request(m.SettingsSet, { changes: [{ key, value }] });
  const missing = async (code: string, method: typeof m.MailTest | typeof m.SnmpTest): Promise<string> =>
    (await refused(t, code, client.request(method as typeof m.SnmpTest, {})))?.message ?? '';
  t.is(await missing('MAIL_NOT_CONFIGURED', m.MailTest), 'No mail can be sent without a From address.');
  await set('mail.from', 'a@x');
  t.is(await missing('MAIL_NOT_CONFIGURED', m.MailTest), 'No mail can be sent without a recipient.');
  t.is(await missing('SNMP_NOT_CONFIGURED', m.SnmpTest), 'No trap can be sent without a target.');
  await set('snmp.targets', 'nms');
  t.is(await missing('SNMP_NOT_CONFIGURED', m.SnmpTest), 'No trap can be sent without a user.');
  await set('snmp.user', 'watch');
  t.is(await missing('SNMP_NOT_CONFIGURED', m.SnmpTest), 'No trap can be sent without the authentication pass phrase.');
  await set('snmp.version', '2c');
  t.is(await missing('SNMP_TEST_FAILED', m.SnmpTest), 'The test trap to nms:162 was not sent: no route to host.');
});

test('LOG-07, LOG-08: a statistics file that cannot be read is named with the cause', async (t) => {
  let problem = Object.assign(new Error('denied'), { code: 'EACCES', syscall: 'open' });
  const statistics = {
    file: '/log/statistic.sts',
    append: async () => undefined,
    read: async () => Promise.reject(problem),
    close: async () => undefined,
  };
  const client = await make(t, null, { statistics }).client();
  const denied = await refused(t, 'STATISTICS_UNREADABLE', client.request(m.StatisticsRead, {}));
  t.is(denied?.notice.text, '/log/statistic.sts cannot be read as a statistics file: the system refused it.');
  t.deepEqual(denied?.notice.cause, { call: 'open', errno: 'EACCES' });
  problem = new Error('it begins with something else') as typeof problem;
  const foreign = await refused(t, 'STATISTICS_UNREADABLE', client.request(m.StatisticsRead, {}));
  t.regex(foreign?.message ?? '', /: it begins with something else\.$/);
});

test('LOG-04: where metrics are served is told, and where they cannot be', async (t) => {
  let taken = true;
  const serveMetrics = async (address: string) => {
    if (taken) throw Object.assign(new Error('in use'), { code: 'EADDRINUSE', syscall: 'listen' });
    return { address, close: async () => undefined };
  };
  const fake = make(t, { metrics: { listen: '127.0.0.1:9' } }, { serveMetrics });
  t.is(await told(fake, 'METRICS_REFUSED'), 'Metrics cannot be served at 127.0.0.1:9.');
  t.deepEqual(said(fake, 'METRICS_REFUSED')[0]?.cause, { call: 'listen', errno: 'EADDRINUSE' });
  taken = false;
  const client = await fake.client();
  await client.request(m.SettingsSet, { changes: [{ key: 'metrics.listen', value: '127.0.0.1:10' }] });
  t.is(await told(fake, 'METRICS_LISTENING'), 'Metrics are served at 127.0.0.1:10.');
});
