/** `understudy mail` and `understudy snmp`: who is told what by a server (LOG-06, LOG-20..32). */
import type { Command } from 'commander';
import type { Client } from '../../../protocol/client.js';
import { MAIL_TEST_LENGTH_MAX } from '../../../protocol/limits.js';
import {
  MailTest,
  type Setting,
  type SettingChange,
  SettingsList,
  SettingsSet,
  SnmpTest,
} from '../../../protocol/messages/index.js';
import { collect, run, usage } from '../command.js';
import { properties } from '../print.js';
import { sendSecret } from '../secrets.js';
import { changedText } from './config.js';

/** An option of `set`, and the setting it gives a value. */
interface Flag {
  readonly option: string;
  readonly name: string;
  readonly key: string;
  readonly why: string;
}

const MAIL_FLAGS: readonly Flag[] = [
  {
    option: '--smtp <host[:port]>',
    name: 'smtp',
    key: 'mail.server',
    why: 'SMTP server; "" for the local mail command',
  },
  { option: '--tls <mode>', name: 'tls', key: 'mail.tls', why: 'auto, required, implicit or off' },
  { option: '--user <name>', name: 'user', key: 'mail.user', why: 'log on as; "" for no log-on' },
  { option: '--from <address>', name: 'from', key: 'mail.from', why: 'From address' },
  {
    option: '--subject-prefix <text>',
    name: 'subjectPrefix',
    key: 'mail.subject_prefix',
    why: 'first word of subjects',
  },
  {
    option: '--description <on|off>',
    name: 'description',
    key: 'mail.subject_description',
    why: 'message text in the subject',
  },
  { option: '--information <on|off>', name: 'information', key: 'mail.information', why: 'mail Information messages' },
  { option: '--warning <on|off>', name: 'warning', key: 'mail.warning', why: 'mail Warning messages' },
  { option: '--error <on|off>', name: 'error', key: 'mail.error', why: 'mail Error messages' },
  {
    option: '--exclude <ids>',
    name: 'exclude',
    key: 'mail.exclude',
    why: 'message IDs not mailed, such as 2210,2220-2228',
  },
  { option: '--per-hour <count>', name: 'perHour', key: 'mail.per_hour', why: 'mails per hour at most' },
];

const SNMP_FLAGS: readonly Flag[] = [
  { option: '--snmp-version <2c|3>', name: 'snmpVersion', key: 'snmp.version', why: 'version of SNMP' },
  { option: '--community <name>', name: 'community', key: 'snmp.community', why: 'community of version 2c' },
  { option: '--user <name>', name: 'user', key: 'snmp.user', why: 'user of version 3' },
  { option: '--auth <protocol>', name: 'auth', key: 'snmp.auth', why: 'none, sha, sha256 or sha512' },
  { option: '--privacy <protocol>', name: 'privacy', key: 'snmp.privacy', why: 'none or aes' },
];

type Given = Record<string, string | string[] | boolean | undefined>;

function changesOf(flags: readonly Flag[], given: Given): SettingChange[] {
  return flags.flatMap(({ name, key }) => {
    const value = given[name];
    return typeof value === 'string' ? [{ key, value }] : [];
  });
}

const listed = (value: Given[string]): string[] => (Array.isArray(value) ? value : []);

/** LOG-24: Add and Remove on the list as it is. */
function edited(now: string, add: readonly string[], remove: readonly string[]): string {
  const items = (text: string): string[] =>
    text
      .split(/[,;]/)
      .map((one) => one.trim())
      .filter((one) => one !== '');
  const gone = new Set(remove.flatMap(items));
  return [...new Set([...items(now), ...add.flatMap(items)])].filter((one) => !gone.has(one)).join(', ');
}

async function settingsOf(
  client: Client,
  family: string,
): Promise<{ settings: Setting[]; secrets: { key: string; set: boolean }[] }> {
  const { settings, secrets } = await client.request(SettingsList, {});
  const mine = (one: { key: string }): boolean => one.key.startsWith(`${family}.`);
  return { settings: settings.filter(mine), secrets: secrets.filter(mine) };
}

/** What mail and traps have in common: a list of receivers that is edited, and the switch. */
function sharedChanges(
  family: 'mail' | 'snmp',
  listKey: string,
  addOption: string,
  given: Given,
  before: readonly Setting[],
): { key: string; value: string }[] {
  const changes: { key: string; value: string }[] = [];
  if (given[addOption] || given['remove']) {
    const now = before.find((one) => one.key === listKey)?.value ?? '';
    changes.push({ key: listKey, value: edited(now, listed(given[addOption]), listed(given['remove'])) });
  }
  if (given['enable'] && given['disable']) throw usage('--enable and --disable exclude each other.');
  if (given['enable'] || given['disable'])
    changes.push({ key: `${family}.enabled`, value: given['enable'] ? 'true' : 'false' });
  return changes;
}

function addShow(parent: Command, family: string, what: string): void {
  parent
    .command('show')
    .description(`${what} of a server`)
    .argument('<server>', 'server')
    .action(
      run(async ({ links, out }, server: string) => {
        const { settings, secrets } = await settingsOf(await links.client(server), family);
        out.show(
          () =>
            properties([
              ...settings.map((one): [string, string] => [one.key, one.value === '' ? '(empty)' : one.value]),
              ...secrets.map((one): [string, string] => [one.key, one.set ? '(set)' : '(not set)']),
            ]),
          { server, settings, secrets },
        );
      }),
    );
}

export function addNotifyCommands(program: Command): void {
  const mail = program.command('mail').description('mail about messages of a server');
  addShow(mail, 'mail', 'mail settings');

  const set = mail
    .command('set')
    .description('changes mail settings; what is not named stays as it is')
    .argument('<server>', 'server')
    .option('--enable', 'mail messages')
    .option('--disable', 'mail nothing; the settings are kept')
    .option('--to <address>', 'adds a recipient; may be given several times', collect)
    .option('--remove <address>', 'removes a recipient; may be given several times', collect)
    .option('--password <file|-|ask>', 'password for the log-on: from a file, standard input, or asked')
    .option('--no-password', 'forget the password')
    .option('--no-test', 'do not mail a summary of the changes (LOG-29)');
  for (const { option, why } of MAIL_FLAGS) set.option(option, why);
  set.action(
    run(async ({ links, out }, server: string, given: Given) => {
      const client = await links.client(server);
      const changes = changesOf(MAIL_FLAGS, given);
      const { settings: before } = await settingsOf(client, 'mail');
      const value = (key: string): string => before.find((one) => one.key === key)?.value ?? '';
      changes.push(...sharedChanges('mail', 'mail.to', 'to', given, before));
      const password = given['password'];
      const secret = typeof password === 'string' || password === false ? password : undefined;
      if (changes.length === 0 && secret === undefined) throw usage('Nothing to change was named.');
      if (secret !== undefined) await sendSecret(client, 'mail.password', 'password', secret);
      const { settings } = changes.length > 0 ? await client.request(SettingsSet, { changes }) : { settings: [] };
      const text = `${changedText(settings)}${secret === undefined ? '' : `mail.password ${secret === false ? 'forgotten' : 'set'}\n`}`;
      const enabled = (settings.find((one) => one.key === 'mail.enabled')?.value ?? value('mail.enabled')) === 'true';
      let tested: unknown = null;
      if (enabled && given['test'] !== false) {
        // LOG-29: whoever gets mail learns what was changed, and a wrong setting is seen at once.
        const words = `Settings of mail were changed:\n\n${text}`.slice(0, MAIL_TEST_LENGTH_MAX);
        tested = await client.request(MailTest, { text: words });
      }
      out.show(`${text}${tested === null ? '' : 'A mail with these changes was sent.\n'}`, {
        server,
        settings,
        test: tested,
      });
    }),
  );

  mail
    .command('test')
    .description('sends a test mail and says what the mail server answered')
    .argument('<server>', 'server')
    .option('--to <addresses>', 'other recipients, with commas or semicolons between')
    .option('--text <text>', 'what the mail says')
    .action(
      run(async ({ links, out }, server: string, flags: { to?: string; text?: string }) => {
        if ((flags.text?.length ?? 0) > MAIL_TEST_LENGTH_MAX)
          throw usage(`A test mail has at most ${MAIL_TEST_LENGTH_MAX} characters (LOG-28).`);
        const sent = await (await links.client(server)).request(MailTest, flags, { timeoutMs: 1_000_000 });
        out.show(
          () =>
            properties([
              ['Result', 'sent'],
              ['By', sent.via],
              ['To', sent.to.join(', ')],
              ...(sent.rejected.length > 0 ? [['Not taken for', sent.rejected.join(', ')] as [string, string]] : []),
              ['Answer', sent.response],
            ]),
          { server, ...sent },
        );
        return sent.rejected.length > 0 ? 1 : 0;
      }),
    );

  const snmp = program.command('snmp').description('SNMP traps of a server');
  addShow(snmp, 'snmp', 'trap settings');
  const traps = snmp
    .command('set')
    .description('changes trap settings; what is not named stays as it is')
    .argument('<server>', 'server')
    .option('--enable', 'send traps')
    .option('--disable', 'send none; the settings are kept')
    .option('--target <host[:port]>', 'adds a receiver; may be given several times', collect)
    .option('--remove <host[:port]>', 'removes a receiver; may be given several times', collect)
    .option('--auth-password <file|-|ask>', 'authentication pass phrase of version 3')
    .option('--privacy-password <file|-|ask>', 'encryption pass phrase of version 3');
  for (const { option, why } of SNMP_FLAGS) traps.option(option, why);
  traps.action(
    run(async ({ links, out }, server: string, given: Given) => {
      const client = await links.client(server);
      const changes = changesOf(SNMP_FLAGS, given);
      const { settings: before } = await settingsOf(client, 'snmp');
      changes.push(...sharedChanges('snmp', 'snmp.targets', 'target', given, before));
      const secrets = (
        [
          ['authPassword', 'snmp.auth_password', 'authentication pass phrase'],
          ['privacyPassword', 'snmp.privacy_password', 'encryption pass phrase'],
        ] as const
      ).filter(([name]) => typeof given[name] === 'string');
      if (changes.length === 0 && secrets.length === 0) throw usage('Nothing to change was named.');
      for (const [name, key, what] of secrets) await sendSecret(client, key, what, given[name] as string);
      const { settings } = changes.length > 0 ? await client.request(SettingsSet, { changes }) : { settings: [] };
      out.show(changedText(settings) + secrets.map(([, key]) => `${key} set\n`).join(''), { server, settings });
    }),
  );

  snmp
    .command('test')
    .description('sends a test trap')
    .argument('<server>', 'server')
    .action(
      run(async ({ links, out }, server: string) => {
        const { targets } = await (await links.client(server)).request(SnmpTest, {});
        out.show(`Sent to ${targets.join(', ')}; whether it was heard, the receiver knows.\n`, { server, targets });
      }),
    );
}
