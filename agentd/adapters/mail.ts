/** Mail by SMTP, or by the local `mail` command where no server is named (LOG-21). */
import { spawn } from 'node:child_process';
import { parseHost } from '../core/settings/field.js';
import type { Mail, MailResult, MailRoad, SendMail } from '../ports/mail.js';

const SMTP_PORT = 25;
const SMTPS_PORT = 465;
/** A server that answers each command just in time is given up after so many silences. */
const TOTAL_TIMEOUTS = 3;
const SAID_LENGTH_MAX = 1_000;

const oneLine = (text: string): string =>
  text
    .replace(/[\x00-\x1f\x7f]+/g, ' ')
    .trim()
    .slice(0, SAID_LENGTH_MAX);

async function bySmtp(road: MailRoad, mail: Mail): Promise<MailResult> {
  const at = parseHost(road.server, road.tls === 'implicit' ? SMTPS_PORT : SMTP_PORT);
  if (!at) throw new Error(`"${road.server}" is not a server`);
  // Loaded when the first mail goes: most agents never send one, and its modules are many.
  const { createTransport } = await import('nodemailer');
  const transport = createTransport({
    host: at.host,
    port: at.port,
    secure: road.tls === 'implicit',
    ignoreTLS: road.tls === 'off',
    requireTLS: road.tls === 'required',
    // What may fall back to clear text gains nothing from a certificate that is looked at.
    tls: { rejectUnauthorized: road.tls !== 'auto' },
    connectionTimeout: road.timeoutMs,
    greetingTimeout: road.timeoutMs,
    socketTimeout: road.timeoutMs,
    dnsTimeout: road.timeoutMs,
    // A message is text; nothing in it is ever fetched.
    disableFileAccess: true,
    disableUrlAccess: true,
    ...(road.user === ''
      ? {}
      : { authMethod: 'LOGIN', auth: { type: 'login' as const, user: road.user, pass: road.password ?? '' } }),
  });
  let late: NodeJS.Timeout | undefined;
  try {
    const sending = transport.sendMail({
      from: mail.from,
      to: [...mail.to],
      subject: mail.subject,
      text: mail.body,
      // RFC 3834: nobody's holiday reply is wanted.
      headers: { 'Auto-Submitted': 'auto-generated' },
    });
    const deadline = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new Error('it took too long')), road.timeoutMs * TOTAL_TIMEOUTS);
    });
    sending.catch(() => undefined);
    const sent = await Promise.race([sending, deadline]);
    return { response: oneLine(String(sent.response)), rejected: sent.rejected.map((one) => oneLine(String(one))) };
  } catch (error) {
    // The library says a bare `Timeout` when its clock for the silent socket runs out first.
    if (error instanceof Error && error.message === 'Timeout')
      throw new Error(`no answer in time: ${road.server} was silent for ${road.timeoutMs} ms`);
    throw new Error(oneLine(error instanceof Error ? error.message : String(error)));
  } finally {
    clearTimeout(late);
    transport.close();
  }
}

function byCommand(road: MailRoad, mail: Mail): Promise<MailResult> {
  return new Promise((resolve, reject) => {
    // Settings allow no address that begins with a dash, so none is taken for an option.
    const child = spawn('mail', ['-s', mail.subject, '-r', mail.from, ...mail.to], { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    const hear = (bytes: Buffer): void => {
      if (said.length < SAID_LENGTH_MAX) said += bytes.toString('utf8');
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    let slow = false;
    const late = setTimeout(() => {
      slow = true;
      child.kill('SIGKILL');
    }, road.timeoutMs);
    child.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(late);
      reject(new Error(error.code === 'ENOENT' ? 'there is no `mail` command here' : oneLine(error.message)));
    });
    child.once('close', (code, signal) => {
      clearTimeout(late);
      if (code === 0) resolve({ response: oneLine(said) || 'taken by the local mail command', rejected: [] });
      else if (slow) reject(new Error(`the mail command did not end within ${road.timeoutMs} ms`));
      else reject(new Error(`the mail command ended with ${signal ?? `status ${code}`}: ${oneLine(said)}`));
    });
    // It may end before it has read everything.
    child.stdin.on('error', () => undefined);
    child.stdin.end(mail.body);
  });
}

export const sendMail: SendMail = (road, mail) => (road.server === '' ? byCommand(road, mail) : bySmtp(road, mail));
