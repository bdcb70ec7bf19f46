/** Mail over a real SMTP server on loopback, and by the local command. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { sendMail } from '../../../../agentd/adapters/mail.js';
import type { Mail, MailRoad } from '../../../../agentd/ports/mail.js';
import { native } from '../../../../native/index.js';
import { type SinkOptions, SmtpSink, subjectOf } from '../../../support/smtp-sink.js';

const mail: Mail = {
  from: 'understudy@alpha',
  to: ['ops@example.org', 'boss@example.org'],
  subject: 'Understudy: alpha: Error: 2218: Ü 日本',
  body: 'The replica is not complete.\n.\nA line of a dot alone came before this one.\n',
};
const road = (sink: SmtpSink | null, change: Partial<MailRoad> = {}): MailRoad => ({
  server: sink ? `127.0.0.1:${sink.port}` : '',
  tls: 'auto',
  user: '',
  password: null,
  timeoutMs: 10_000,
  ...change,
});

async function open(t: ExecutionContext, options: SinkOptions = {}): Promise<SmtpSink> {
  const sink = await new SmtpSink(options).open();
  t.teardown(() => sink.close());
  return sink;
}

test('LOG-21, LOG-23, LOG-24, LOG-26: a mail arrives whole, with sender, every recipient, subject and body', async (t) => {
  const sink = await open(t);
  const result = await sendMail(road(sink), mail);
  t.deepEqual(result, { response: '250 queued as 42', rejected: [] });
  const [got] = sink.received;
  t.like(got, { from: 'understudy@alpha', to: ['ops@example.org', 'boss@example.org'], user: null });
  t.is(got && subjectOf(got), mail.subject);
  t.regex(got?.text ?? '', /The replica is not complete\.\n\.\nA line of a dot/);
  t.regex(got?.text ?? '', /^Auto-Submitted: auto-generated$/m);
});

test('LOG-22: LOGIN with user and password; a wrong password is said', async (t) => {
  const sink = await open(t, { login: ['ops', 'sécret'] });
  await sendMail(road(sink, { user: 'ops', password: 'sécret' }), mail);
  t.is(sink.received[0]?.user, 'ops');
  t.true(sink.commands.includes('AUTH LOGIN'));
  await t.throwsAsync(sendMail(road(sink, { user: 'ops', password: 'guess' }), mail), { message: /535/ });
  await t.throwsAsync(sendMail(road(sink), mail), { message: /530/ }, 'a server that wants a log-on does not relay');
  t.is(sink.received.length, 1);
});

test('a refusal, a recipient that is not taken, a silent server and a closed port are told apart', async (t) => {
  const sink = await open(t);
  sink.mode = 'refuse';
  await t.throwsAsync(sendMail(road(sink), mail), { message: /554 no thanks/ });
  sink.mode = 'reject';
  const { rejected } = await sendMail(road(sink), { ...mail, to: ['ops@example.org', 'nobody@example.org'] });
  t.deepEqual(rejected, ['nobody@example.org']);
  await t.throwsAsync(sendMail(road(sink), { ...mail, to: ['nobody@example.org'] }), { message: /550/ });
  sink.mode = 'hang';
  await t.throwsAsync(sendMail(road(sink, { timeoutMs: 300 }), mail), { message: /[Gg]reeting|time|long/ });
  const { port } = sink;
  await sink.close();
  await t.throwsAsync(sendMail({ ...road(null), server: `127.0.0.1:${port}` }, mail), { message: /ECONNREFUSED/ });
});

test('mail.tls: STARTTLS where it is offered; `required` wants a valid certificate; `off` never encrypts', async (t) => {
  const { key, certificate } = native().createIdentity('sink');
  const sink = await open(t, { tls: { key, cert: certificate } });
  await sendMail(road(sink), mail);
  t.true(sink.received[0]?.secure);
  await sendMail(road(sink, { tls: 'off' }), mail);
  t.false(sink.received[1]?.secure);
  await t.throwsAsync(sendMail(road(sink, { tls: 'required' }), mail), { message: /certificate|self/i });
  const plain = await open(t);
  await t.throwsAsync(sendMail(road(plain, { tls: 'required' }), mail), { message: /STARTTLS|TLS/ });
  t.is(sink.received.length + plain.received.length, 2);
});

test.serial('LOG-21: without a server the local mail command is used, and its failure is said', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-unit-'));
  const before = process.env['PATH'];
  t.teardown(() => {
    process.env['PATH'] = before;
    rmSync(folder, { recursive: true });
  });
  const command = join(folder, 'mail');
  const out = join(folder, 'out');
  writeFileSync(command, `#!/bin/sh\nfor one; do echo "[$one]"; done > ${out}\n/bin/cat >> ${out}\n`);
  chmodSync(command, 0o755);
  process.env['PATH'] = folder;
  const result = await sendMail(road(null), mail);
  t.regex(result.response, /local mail command/);
  t.is(
    readFileSync(out, 'utf8'),
    `[-s]\n[${mail.subject}]\n[-r]\n[understudy@alpha]\n[ops@example.org]\n[boss@example.org]\n${mail.body}`,
  );
  writeFileSync(command, '#!/bin/sh\necho "queue is full" >&2\nexit 75\n');
  await t.throwsAsync(sendMail(road(null), mail), { message: /status 75: queue is full/ });
  writeFileSync(command, '#!/bin/sh\nexec /bin/sleep 60\n');
  await t.throwsAsync(sendMail(road(null, { timeoutMs: 200 }), mail), { message: /did not end within 200 ms/ });
  rmSync(command);
  await t.throwsAsync(sendMail(road(null), mail), { message: /no `mail` command/ });
});
