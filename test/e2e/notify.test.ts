/** Two real agents that mail, trap, count and serve: SMTP, SNMP and HTTP over loopback, statistics on disk. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import * as m from '../../protocol/messages/index.js';
import type { AgentProcess } from '../support/agent-process.js';
import { Pair } from '../support/pair.js';
import { SmtpSink, subjectOf } from '../support/smtp-sink.js';
import { understudy } from '../support/understudy.js';

async function until<T>(what: string, look: () => Promise<T | null> | T | null, ms = 30_000): Promise<T> {
  for (const end = Date.now() + ms; ; ) {
    const found = await look();
    if (found !== null) return found;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(30);
  }
}

const codes = async (agent: AgentProcess): Promise<string[]> =>
  (await agent.client.request(m.LogRead, {})).lines.map((line) => line.notice.code);

function fetchUnix(path: string, url: string): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    get({ socketPath: path, path: url }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: String(response.headers['content-type']), text }),
      );
    }).on('error', reject);
  });
}

test('LOG-06, LOG-07, LOG-20..30, SRV-74..76: what two real agents tell the outside, through kills and refusals', async (t) => {
  t.timeout(180_000);
  const sink = await new SmtpSink({ login: ['ops', 'secret'] }).open();
  const udp = createSocket('udp4');
  const traps: Buffer[] = [];
  udp.on('message', (bytes) => traps.push(bytes));
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const pair = await Pair.open({ config: '[statistics]\ninterval_s = 1\nlength = 65536\n[log]\nsyslog = "off"\n' });
  t.teardown(async () => {
    if (!t.passed) t.log(pair.source.log());
    await pair.close();
    await sink.close();
    udp.close();
  });
  const run = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await understudy(pair, args);
    if (code !== 0) throw new Error(`understudy ${args.join(' ')}: ${code}\n${out}${err}`);
    return out;
  };
  await run('server', 'add', 'alpha', `unix:${pair.source.socket}`);

  // Mail: set by the command line, password from a file, and the summary of LOG-29 arrives.
  const secret = join(pair.root, 'password');
  writeFileSync(secret, 'secret\n', { mode: 0o600 });
  const smtp = `127.0.0.1:${sink.port}`;
  await run(
    ...['mail', 'set', 'alpha', '--enable', '--smtp', smtp, '--user', 'ops', '--password', secret],
    ...['--from', 'understudy@alpha', '--to', 'ops@example.org', '--to', 'boss@example.org'],
  );
  t.is(sink.received.length, 1);
  t.regex(sink.received[0]?.text ?? '', /Settings of mail were changed/);
  t.is(sink.received[0]?.user, 'ops');
  const state = join(pair.root, 'source-agent/state');
  t.false(readFileSync(join(state, 'secrets.sts'), 'utf8').includes('secret"'), 'LOG-33');
  t.is(statSync(join(state, 'secrets.key')).mode & 0o777, 0o600);
  t.regex(await run('mail', 'show', 'alpha'), /mail\.password +\(set\)/);

  // Traps and metrics, obeyed at once.
  const metrics = join(pair.root, 'metrics.sock');
  await run('snmp', 'set', 'alpha', '--enable', '--target', `127.0.0.1:${udp.address().port}`);
  await run('snmp', 'test', 'alpha');
  await until('the test trap', () => (traps.length > 0 ? true : null));
  await run('config', 'set', 'alpha', `metrics.listen=unix:${metrics}`);
  await until('the metrics socket', () => (existsSync(metrics) ? true : null));

  const folder = pair.folder('data');
  writeFileSync(join(folder, 'file'), 'contents');
  const link = await pair.connect(folder, pair.folder('replica'));
  const item = await pair.mirrored(link);
  await until('statistics', async () =>
    (await pair.source.client.request(m.StatisticsRead, { key: link.key })).records.some(
      ({ statistics }) => statistics.targetDataState === 'OK',
    )
      ? true
      : null,
  );
  const page = await fetchUnix(metrics, '/metrics');
  t.is(page.status, 200);
  t.regex(page.type, /^text\/plain/);
  t.regex(page.text, new RegExp(`understudy_set_state\\{.*connection="${link.key}".*state="OK"\\} 1`));
  t.is((await fetchUnix(metrics, '/etc/passwd')).status, 404);
  t.regex(await run('metrics', 'alpha'), /^# HELP understudy_build_info/);
  t.regex(await run('health', 'alpha'), /^UNDERSTUDY OK - 1 of 1 connections OK/);

  // The target dies: a warning by mail, a trap, and health says it.
  const before = traps.length;
  await pair.target.stop('SIGKILL');
  await sink.until(2);
  t.true(
    sink.received.some((mail) => /^Understudy: source: (Warning|Error): 221[12]: Connection 1/.test(subjectOf(mail))),
  );
  t.deepEqual(sink.received.at(-1)?.to, ['ops@example.org', 'boss@example.org']);
  await until('a trap about it', () => (traps.length > before ? true : null));
  t.not((await understudy(pair, ['health', 'alpha'])).code, 0);

  // LOG-30: the mail server refuses; told once, and nothing about it is mailed.
  sink.mode = 'refuse';
  const refused = await understudy(pair, ['mail', 'test', 'alpha']);
  t.is(refused.code, 1);
  t.regex(refused.err, /554 no thanks/);
  // The same trouble within ten seconds is folded into a count and mailed once, so it may have to fall more than once.
  const failed = async (): Promise<boolean> => (await codes(pair.source)).includes('MAIL_FAILED');
  for (let fall = 0; fall < 5 && !(await failed()); fall++) {
    await pair.target.start();
    await pair.until(link, 'linked again', ({ phase }) => phase === 'linked');
    await pair.target.stop('SIGKILL');
    const end = Date.now() + 5_000;
    await until('told or folded', async () => ((await failed()) || Date.now() > end ? true : null));
  }
  t.true(await failed(), 'MAIL_FAILED');
  const taken = sink.received.length;
  sink.mode = 'take';
  await run('mail', 'test', 'alpha');
  await until('MAIL_WORKS', async () => ((await codes(pair.source)).includes('MAIL_WORKS') ? true : null));
  t.true(sink.received.length > taken + 1, 'what waited was sent, too');
  t.is((await codes(pair.source)).filter((code) => code === 'MAIL_FAILED').length, 1);
  t.false(sink.received.some((mail) => /: 242\d:/.test(subjectOf(mail))));

  // A copy of the statistics is read without any agent, and a killed agent goes on with its file.
  const file = join(state, 'log/statistic.sts');
  const copy = join(pair.root, 'copy.sts');
  await pair.source.stop('SIGKILL');
  copyFileSync(file, copy);
  const offline = JSON.parse(await run('stats', '--file', copy, '--json')) as { records: m.StatisticRecord[] };
  t.true(offline.records.length > 0);
  const last = offline.records.at(-1)?.sequence ?? 0;
  const csv = (await run('stats', '--file', copy, '--csv', '--connection', link.key)).trim().split('\r\n');
  t.is(csv.length, offline.records.filter(({ key }) => key === link.key).length + 1);
  t.regex(csv[0] ?? '', /^Record,Time,Key,Replication Set,Connection ID,/);
  await pair.source.start();
  await until('statistics after the restart', async () =>
    (await pair.source.client.request(m.StatisticsRead, { after: last })).records.length > 0 ? true : null,
  );
  t.regex(await run('stats', 'alpha', '--connection', String(item.id), '--since', '1h'), /^Time +ID +Replication Set/);
  t.true(statSync(file).size <= 65_536);

  // What was set outlives the kill, and a copy of nothing is refused.
  t.regex(await run('config', 'show', 'alpha', 'mail', '--changed'), /mail\.enabled +true +true, false +set/);
  await until('metrics again', () =>
    fetchUnix(metrics, '/metrics').then(
      ({ status }) => (status === 200 ? true : null),
      () => null,
    ),
  );
  t.is((await understudy(pair, ['stats', '--file', secret])).code, 1);
  await pair.source.stop();
  t.is((await understudy(pair, ['health', 'alpha'])).code, 3, 'UNKNOWN: it does not answer');
});
