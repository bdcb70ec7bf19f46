/** Messages of settings, statistics, mail, traps and metrics. Requests 1600 to 1699, events 2400 to 2499. */
import { define } from './define.js';

export const SERVICE_REQUESTS = {
  SETTING_INVALID: define<{ problem: string }>({
    id: 1600,
    severity: 'error',
    exit: 2,
    message: (p) => `Nothing was changed: ${p.problem}.`,
    remedy: () => '`understudy config show SERVER` lists settings with their limits.',
  }),
  SETTING_FIXED: define<{ key: string; why: string }>({
    id: 1601,
    severity: 'error',
    exit: 5,
    message: (p) => `${p.key} cannot be set here: ${p.why}.`,
    remedy: () => 'Change the configuration file or the command line of the agent, then start it again.',
  }),
  SECRET_UNKNOWN: define<{ key: string; known: string }>({
    id: 1602,
    severity: 'error',
    exit: 2,
    message: (p) => `There is no secret "${p.key}" (known: ${p.known}).`,
    remedy: () => 'Correct the name.',
  }),
  SECRET_INVALID: define<{ key: string; problem: string }>({
    id: 1603,
    severity: 'error',
    exit: 2,
    message: (p) => `${p.key} was not changed: ${p.problem}.`,
    remedy: () => 'Choose another one.',
  }),
  MAIL_TEST_FAILED: define<{ via: string; problem: string }>({
    id: 1610,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `The test mail was not accepted by ${p.via}: ${p.problem}.`,
    remedy: () =>
      'Check server, port, log-on and addresses with `understudy mail show`. Virus scanners and firewalls often block port 25 (LOG-32).',
  }),
  MAIL_NOT_CONFIGURED: define<{ missing: string }>({
    id: 1611,
    severity: 'error',
    retry: 'after_fix',
    exit: 2,
    message: (p) => `No mail can be sent without ${p.missing}.`,
    remedy: () => '`understudy mail set SERVER --from ADDRESS --to ADDRESS`.',
  }),
  SNMP_NOT_CONFIGURED: define<{ missing: string }>({
    id: 1612,
    severity: 'error',
    retry: 'after_fix',
    exit: 2,
    message: (p) => `No trap can be sent without ${p.missing}.`,
    remedy: () => '`understudy snmp set SERVER --target HOST`; version 3 needs user and pass phrases, too.',
  }),
  SNMP_TEST_FAILED: define<{ target: string; problem: string }>({
    id: 1613,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `The test trap to ${p.target} was not sent: ${p.problem}.`,
    remedy: () => 'Check the targets with `understudy snmp show`.',
  }),
  STATISTICS_UNREADABLE: define<{ file: string; problem: string }>({
    id: 1620,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `${p.file} cannot be read as a statistics file: ${p.problem}.`,
    remedy: () => 'The statistics file is `statistic.sts` in the log folder of a server, or a copy of it.',
  }),
} as const;

export const SERVICE_EVENTS = {
  SETTING_CHANGED: define<{ key: string; value: string; restart: boolean }>({
    id: 2400,
    severity: 'information',
    message: (p) =>
      `Setting ${p.key} is ${p.value === '' ? 'empty' : p.value}${p.restart ? ' after the next start of the agent' : ' now'}.`,
  }),
  SETTING_IGNORED: define<{ key: string; problem: string }>({
    id: 2401,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `A kept value of ${p.key} is not used: it ${p.problem}.`,
    remedy: () => '`understudy config set` gives it a new one.',
  }),
  SECRET_CHANGED: define<{ key: string; set: boolean }>({
    id: 2402,
    severity: 'information',
    message: (p) => `Secret ${p.key} was ${p.set ? 'changed' : 'forgotten'}.`,
  }),
  SECRET_UNREADABLE: define<{ key: string; problem: string }>({
    id: 2403,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `Secret ${p.key} cannot be read: ${p.problem}.`,
    remedy: () => 'Set it again: `understudy mail set` or `understudy snmp set`.',
  }),

  STATISTICS_NOT_WRITTEN: define<{ file: string }>({
    id: 2410,
    severity: 'warning',
    retry: 'backoff',
    message: (p) => `Statistics cannot be written to ${p.file}.`,
    remedy: () => 'Free space or correct the permissions; it is tried again at each interval.',
  }),
  STATISTICS_WRITTEN: define<{ file: string }>({
    id: 2411,
    severity: 'information',
    message: (p) => `Statistics are written to ${p.file} again.`,
  }),
  STATISTICS_STARTED_ANEW: define<{ file: string; kept: string }>({
    id: 2412,
    severity: 'warning',
    message: (p) => `${p.file} is not a statistics file; it was moved to ${p.kept} and a new one begun.`,
    remedy: () => 'Remove it when nobody needs it.',
  }),

  MAIL_FAILED: define<{ via: string; problem: string }>({
    id: 2420,
    severity: 'error',
    retry: 'after_fix',
    message: (p) =>
      `A mail could not be sent by ${p.via}: ${p.problem}. Further failures are not told until a mail was sent again.`,
    remedy: () => '`understudy mail test SERVER` shows what the mail server says; messages stay in the log meanwhile.',
  }),
  MAIL_WORKS: define<{ via: string }>({
    id: 2421,
    severity: 'information',
    message: (p) => `Mail is sent by ${p.via} again.`,
  }),
  MAIL_LIMITED: define<{ perHour: number }>({
    id: 2422,
    severity: 'warning',
    message: (p) =>
      `More messages than ${p.perHour} mails per hour: what is above is counted and told with the next mail.`,
    remedy: () => 'Filter with mail.exclude, or raise mail.per_hour.',
  }),
  SNMP_FAILED: define<{ target: string; problem: string }>({
    id: 2430,
    severity: 'error',
    retry: 'after_fix',
    message: (p) =>
      `A trap to ${p.target} could not be sent: ${p.problem}. Further failures are not told until one was sent again.`,
    remedy: () => 'Check the targets with `understudy snmp show`.',
  }),
  SNMP_WORKS: define<{ target: string }>({
    id: 2431,
    severity: 'information',
    message: (p) => `Traps to ${p.target} are sent again.`,
  }),
  SYSLOG_FAILED: define<{ via: string }>({
    id: 2440,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `Messages cannot be handed to ${p.via}; they are in the log file.`,
    remedy: () => 'Start the log daemon, or set log.syslog to off. It is told once.',
  }),
  METRICS_REFUSED: define<{ address: string }>({
    id: 2450,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `Metrics cannot be served at ${p.address}.`,
    remedy: () => 'Free the address or change metrics.listen; `understudy metrics SERVER` works without it.',
  }),
  METRICS_LISTENING: define<{ address: string }>({
    id: 2451,
    severity: 'information',
    message: (p) => `Metrics are served at ${p.address}.`,
  }),
} as const;
