/** Settings of log, statistics, mail, traps and metrics (SRV-70..78, LOG-05..33). */
import { addressProblem, excludedProblem, recipientsProblem } from '../notify/mail.js';
import { type Field, parseHost, parseListen, splitList } from './field.js';

/** LOG-24. */
const RECIPIENTS_LENGTH_MAX = 256 * 258;
const TRAP_TARGETS_MAX = 8;

const host =
  (port: number, example: string) =>
  (value: string): string | null =>
    value === '' || parseHost(value, port) ? null : `must be HOST or HOST:PORT, such as ${example}`;

const trapTargets = (value: string): string | null => {
  const targets = splitList(value);
  return targets.length <= TRAP_TARGETS_MAX && targets.every((target) => parseHost(target, 162))
    ? null
    : `must be at most ${TRAP_TARGETS_MAX} times HOST or HOST:PORT with commas between`;
};

/** Metrics name servers and sets: they stay on this machine, where a reader with access control can fetch them. */
const metricsListen = (value: string): string | null => {
  if (value === '' || /^unix:\/.+/.test(value)) return null;
  const listen = parseListen(value);
  const local = listen && (/^127\.\d+\.\d+\.\d+$/.test(listen.host) || listen.host === '::1');
  return local ? null : 'must be empty, unix:/PATH, 127.0.0.1:PORT or [::1]:PORT';
};

const fileName = (value: string): string | null =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(value) ? null : 'must be the name of a file without a folder';

const engineId = (value: string): string | null =>
  value === '' || /^80[0-9a-f]{8,62}$/i.test(value) ? null : 'must be empty or 10 to 64 hex digits that begin with 80';

export const NOTIFY_FIELDS = [
  {
    key: 'log.journal',
    row: 'LOG-03',
    kind: 'choice',
    preset: 'auto',
    choices: ['auto', 'off'],
    why: "hand messages to journald with their own fields when it reads this process's output; off: plain lines only",
  },
  {
    key: 'log.syslog',
    row: 'LOG-05',
    kind: 'choice',
    preset: 'auto',
    choices: ['auto', 'on', 'off'],
    live: true,
    why: 'errors and skipped paths go to syslog; auto: only where journald does not get them already',
  },
  {
    key: 'log.syslog_socket',
    row: 'LOG-05',
    kind: 'text',
    preset: '/dev/log',
    live: true,
    why: 'where syslog listens',
  },
  {
    key: 'statistics.enabled',
    row: 'SRV-20',
    kind: 'flag',
    preset: true,
    live: true,
    why: 'write statistics of every connection to a file',
  },
  {
    key: 'statistics.file',
    row: 'SRV-74',
    kind: 'text',
    preset: 'statistic.sts',
    check: fileName,
    why: 'name of the statistics file in the log folder',
  },
  {
    key: 'statistics.length',
    row: 'SRV-75',
    kind: 'whole',
    preset: 10_485_760,
    min: 65_536,
    max: 268_435_456,
    why: 'bytes of the statistics file; the oldest data is overwritten',
  },
  {
    key: 'statistics.interval_s',
    row: 'SRV-76',
    kind: 'whole',
    preset: 300,
    min: 1,
    max: 86_400,
    live: true,
    why: 'seconds between two writes',
  },
  {
    key: 'mail.enabled',
    row: 'LOG-20',
    kind: 'flag',
    preset: false,
    live: true,
    why: 'mail messages; the other mail settings are kept while this is off',
  },
  {
    key: 'mail.server',
    row: 'LOG-21',
    kind: 'text',
    preset: '',
    max: 256,
    live: true,
    check: host(25, 'mail.example.org:587'),
    why: 'SMTP server, port 25 unless given (NET-09); empty: the local `mail` command',
  },
  {
    key: 'mail.tls',
    row: 'LOG-21',
    kind: 'choice',
    preset: 'auto',
    choices: ['auto', 'required', 'implicit', 'off'],
    live: true,
    why: 'auto: STARTTLS where offered, certificate not checked; required: STARTTLS with a valid certificate or no mail; implicit: TLS from the first byte (port 465), valid certificate; off: never',
  },
  {
    key: 'mail.user',
    row: 'LOG-22',
    kind: 'text',
    preset: '',
    max: 256,
    live: true,
    why: 'user name for LOGIN at the mail server; empty: no log-on. The password is a secret, not a setting',
  },
  {
    key: 'mail.from',
    row: 'LOG-23',
    kind: 'text',
    preset: '',
    max: 256,
    live: true,
    check: (value: string) => (value === '' ? null : addressProblem(value)),
    why: 'From address',
  },
  {
    key: 'mail.to',
    row: 'LOG-24',
    kind: 'text',
    preset: '',
    max: RECIPIENTS_LENGTH_MAX,
    live: true,
    check: recipientsProblem,
    why: 'recipients with commas or semicolons between, at most 256',
  },
  {
    key: 'mail.subject_prefix',
    row: 'LOG-25',
    kind: 'text',
    preset: 'Understudy',
    max: 100,
    live: true,
    why: 'first word of the subject; may be empty',
  },
  {
    key: 'mail.subject_description',
    row: 'LOG-25',
    kind: 'flag',
    preset: true,
    live: true,
    why: 'the subject ends with the text of the message',
  },
  {
    key: 'mail.information',
    row: 'LOG-27',
    kind: 'flag',
    preset: false,
    live: true,
    why: 'mail messages of severity Information',
  },
  {
    key: 'mail.warning',
    row: 'LOG-27',
    kind: 'flag',
    preset: true,
    live: true,
    why: 'mail messages of severity Warning',
  },
  {
    key: 'mail.error',
    row: 'LOG-27',
    kind: 'flag',
    preset: true,
    live: true,
    why: 'mail messages of severity Error',
  },
  {
    key: 'mail.exclude',
    row: 'LOG-27',
    kind: 'text',
    preset: '',
    live: true,
    check: excludedProblem,
    why: 'message IDs that are not mailed, such as 2210,2220-2228; commas or semicolons',
  },
  {
    key: 'mail.per_hour',
    row: 'LOG-30',
    kind: 'whole',
    preset: 60,
    min: 1,
    max: 3_600,
    live: true,
    why: 'mails per hour at most; what is above is counted and told with the next one',
  },
  {
    key: 'mail.timeout_s',
    row: 'LOG-21',
    kind: 'whole',
    preset: 20,
    min: 1,
    max: 300,
    live: true,
    why: 'seconds a mail server may stay silent',
  },
  {
    key: 'snmp.enabled',
    row: 'LOG-06',
    kind: 'flag',
    preset: false,
    live: true,
    why: 'send SNMP traps; the other trap settings are kept while this is off',
  },
  {
    key: 'snmp.targets',
    row: 'LOG-06',
    kind: 'text',
    preset: '',
    live: true,
    check: trapTargets,
    why: 'where traps go: HOST or HOST:PORT with commas between, port 162 unless given',
  },
  {
    key: 'snmp.version',
    row: 'LOG-06',
    kind: 'choice',
    preset: '2c',
    choices: ['2c', '3'],
    live: true,
    why: 'version of SNMP',
  },
  {
    key: 'snmp.community',
    row: 'LOG-06',
    kind: 'text',
    preset: 'public',
    max: 255,
    live: true,
    why: 'community of version 2c; it travels in clear text, so it is no secret',
  },
  {
    key: 'snmp.user',
    row: 'LOG-06',
    kind: 'text',
    preset: '',
    max: 32,
    live: true,
    why: 'user of version 3; its pass phrases are secrets, not settings',
  },
  {
    key: 'snmp.auth',
    row: 'LOG-06',
    kind: 'choice',
    preset: 'sha256',
    choices: ['none', 'sha', 'sha256', 'sha512'],
    live: true,
    why: 'authentication of version 3',
  },
  {
    key: 'snmp.privacy',
    row: 'LOG-06',
    kind: 'choice',
    preset: 'aes',
    choices: ['none', 'aes'],
    live: true,
    why: 'encryption of version 3 (AES-128)',
  },
  {
    key: 'snmp.engine_id',
    row: 'LOG-06',
    kind: 'text',
    preset: '',
    live: true,
    check: engineId,
    why: "engine ID of version 3 as hex; empty: made from this server's key",
  },
  {
    key: 'metrics.listen',
    row: 'LOG-07',
    kind: 'text',
    preset: '',
    live: true,
    check: metricsListen,
    why: 'where Prometheus fetches metrics: unix:/PATH or a loopback ADDRESS:PORT; empty: nowhere',
  },
] as const satisfies readonly Field[];

/** What only several settings together can have wrong. */
export function notifyProblem(values: Readonly<Record<string, unknown>>): string | null {
  const given = (key: string): boolean => values[key] !== '';
  if (values['mail.enabled'] === true && !given('mail.from')) return 'mail.enabled needs mail.from (LOG-23)';
  if (values['mail.enabled'] === true && !given('mail.to')) return 'mail.enabled needs mail.to (LOG-24)';
  if (values['snmp.enabled'] === true && !given('snmp.targets')) return 'snmp.enabled needs snmp.targets (LOG-06)';
  if (values['snmp.enabled'] === true && values['snmp.version'] === '3' && !given('snmp.user'))
    return 'snmp.version 3 needs snmp.user (LOG-06)';
  if (values['snmp.auth'] === 'none' && values['snmp.privacy'] !== 'none' && values['snmp.version'] === '3')
    return 'snmp.privacy needs snmp.auth: SNMP encrypts only what it authenticates (LOG-06)';
  return null;
}

/** Secrets beside the settings; kept encrypted (LOG-33). */
export const SECRETS = [
  { key: 'mail.password', row: 'LOG-22', why: 'password for LOGIN at the mail server' },
  { key: 'snmp.auth_password', row: 'LOG-06', why: 'authentication pass phrase of version 3, 8 characters or more' },
  { key: 'snmp.privacy_password', row: 'LOG-06', why: 'encryption pass phrase of version 3, 8 characters or more' },
] as const;
export type SecretKey = (typeof SECRETS)[number]['key'];
