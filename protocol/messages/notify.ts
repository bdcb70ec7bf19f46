/** Mail, traps and metrics of a server (LOG-06, LOG-20..30). Their settings are in the family `settings`. */
import { MAIL_RECIPIENTS_MAX, MAIL_TEST_LENGTH_MAX, SETTING_LENGTH_MAX } from '../limits.js';
import { list, method, optional, struct, text } from '../schema.js';

export const MailTest = method(
  'mail.test',
  'administrator',
  true,
  struct({
    to: optional(text(SETTING_LENGTH_MAX, 'other recipients than mail.to, with commas or semicolons between')),
    text: optional(text(MAIL_TEST_LENGTH_MAX, 'what the mail says')),
  }),
  struct({
    via: text(300, 'the mail server, or the local mail command'),
    to: list(text(256, 'address'), MAIL_RECIPIENTS_MAX, 'who it was sent to'),
    rejected: list(text(1_024, 'address'), MAIL_RECIPIENTS_MAX, 'whom the server did not take'),
    response: text(1_024, 'last words of the server'),
  }),
  'LOG-28: sends a test mail with the settings in force, whether notification is enabled or not.',
);

export const SnmpTest = method(
  'snmp.test',
  'administrator',
  true,
  struct({}),
  struct({ targets: list(text(300, 'target'), 16, 'where it was sent; whether it was heard, SNMP does not tell') }),
  'Sends a test trap with the settings in force.',
);

export const MetricsRead = method(
  'metrics.read',
  'monitor',
  false,
  struct({}),
  struct({
    text: text(16_000_000, 'the page as a collector gets it'),
    listen: text(300, 'where collectors get it; empty: nowhere'),
  }),
  'Metrics in the text format of Prometheus.',
);
