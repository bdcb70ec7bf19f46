/** What a mail says and who gets it (LOG-23..28). Pure; the sending is in drivers/mailer.ts. */
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import { MAIL_ADDRESS_LENGTH_MAX, MAIL_RECIPIENTS_MAX, MAIL_SUBJECT_LENGTH_MAX } from '../../../protocol/limits.js';
import type { LogLine, Severity } from '../../../protocol/messages/log.js';
import { formatWallTime } from '../../../protocol/units.js';

const SEVERITY_WORD: Readonly<Record<Severity, string>> = {
  information: 'Information',
  warning: 'Warning',
  error: 'Error',
};

export interface MailSettings {
  readonly prefix: string;
  readonly description: boolean;
  readonly severities: Readonly<Record<Severity, boolean>>;
  readonly exclude: string;
}

export interface MailText {
  readonly subject: string;
  readonly body: string;
}

const split = (text: string): string[] =>
  text
    .split(/[,;]/)
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** The address itself, without a name around it: `Ops <ops@example.org>` is refused, a mail command may read it otherwise. */
export function addressProblem(address: string): string | null {
  if (address.length > MAIL_ADDRESS_LENGTH_MAX) return `must be at most ${MAIL_ADDRESS_LENGTH_MAX} characters long`;
  // Local names are addresses, too: `root` is what a local mail command reaches.
  return /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~][^\s,;<>()[\]\\"\x00-\x1f\x7f]*$/.test(address)
    ? null
    : 'must be a plain mail address, such as ops@example.org';
}

/** LOG-24. */
export function recipientsProblem(text: string): string | null {
  const all = split(text);
  if (all.length > MAIL_RECIPIENTS_MAX) return `must be at most ${MAIL_RECIPIENTS_MAX} addresses`;
  for (const address of all) {
    const problem = addressProblem(address);
    if (problem) return `${problem} (it has "${address.slice(0, 60)}")`;
  }
  return null;
}

/** LOG-24: each address once. */
export function recipients(text: string): string[] {
  return [...new Set(split(text))];
}

type Span = readonly [from: number, to: number];

/** LOG-27: `2210`, `2220-2228`, with commas or semicolons; null when it is something else. */
export function parseExcluded(text: string): readonly Span[] | null {
  const spans: Span[] = [];
  for (const item of split(text)) {
    const match = /^(\d{1,9})(?:\s*-\s*(\d{1,9}))?$/.exec(item);
    if (!match) return null;
    const from = Number(match[1]);
    const to = match[2] === undefined ? from : Number(match[2]);
    if (to < from) return null;
    spans.push([from, to]);
  }
  return spans;
}

export function excludedProblem(text: string): string | null {
  return parseExcluded(text) ? null : 'must be message IDs and ranges such as 2210,2220-2228';
}

/**
 * Codes that tell about notifying itself: never mailed and never sent as a trap, or one failure would feed the next
 * (LOG-30).
 */
export const CYCLIC: ReadonlySet<string> = new Set([
  'MAIL_FAILED',
  'MAIL_WORKS',
  'MAIL_LIMITED',
  'SNMP_FAILED',
  'SNMP_WORKS',
  'SYSLOG_FAILED',
]);

/** LOG-27, LOG-30: whether a message is mailed at all. */
export function mailWanted(line: LogLine, settings: MailSettings): boolean {
  const { notice } = line;
  if (CYCLIC.has(notice.code)) return false;
  if (!settings.severities[notice.severity]) return false;
  const spans = parseExcluded(settings.exclude) ?? [];
  return !spans.some(([from, to]) => notice.id >= from && notice.id <= to);
}

/** A file name may hold anything; a header is one line. */
function oneLine(text: string): string {
  return text
    .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, ' ')
    .replace(/ {2,}/g, ' ')
    .trim();
}

/** As much as fits, cut between characters. */
function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  const kept = text.slice(0, max - 1);
  // Half of a surrogate pair is not a character.
  return `${/[\uD800-\uDBFF]$/.test(kept) ? kept.slice(0, -1) : kept}…`;
}

/** LOG-25: `Subject Prefix: Server Name: Message Severity: Message ID: Message Description`. */
export function mailSubject(line: LogLine, server: string, settings: MailSettings): string {
  const { notice } = line;
  const parts = [server, SEVERITY_WORD[notice.severity], String(notice.id)];
  if (settings.prefix !== '') parts.unshift(settings.prefix);
  if (settings.description) parts.push(noticeText(notice));
  return cut(oneLine(parts.join(': ')), MAIL_SUBJECT_LENGTH_MAX);
}

/** LOG-26: the message text, then what else is known; `suppressed` messages were not mailed since the last mail. */
export function mailBody(line: LogLine, server: string, suppressed: number): string {
  const { notice } = line;
  const facts: [string, string | null][] = [
    ['Server', server],
    ['Time', formatWallTime(line.at)],
    ['Severity', SEVERITY_WORD[notice.severity]],
    ['Message ID', String(notice.id)],
    ['Replication set', line.set],
    ['Connection', line.connection === null ? null : String(line.connection)],
    ['Other server', line.server],
    ['Asked for by', line.audit],
  ];
  const remedy = noticeRemedy(notice);
  return [
    oneLine(noticeText(notice)),
    '',
    ...(remedy ? [`What to do: ${oneLine(remedy)}`, ''] : []),
    ...facts.flatMap(([name, value]) => (value === null ? [] : [`${name}: ${oneLine(value)}`])),
    ...(suppressed > 0 ? ['', suppressedText(suppressed)] : []),
    '',
  ].join('\n');
}

export function suppressedText(count: number): string {
  return `Suppressed: ${count} ${count === 1 ? 'message was' : 'messages were'} not mailed; the log of the server has ${count === 1 ? 'it' : 'them'}.`;
}

export function mailOf(line: LogLine, server: string, settings: MailSettings, suppressed: number): MailText {
  return { subject: mailSubject(line, server, settings), body: mailBody(line, server, suppressed) };
}

/** Sent when messages were suppressed and none came after them that could have told it. */
export function mailOfSuppressed(count: number, server: string, settings: MailSettings): MailText {
  const parts = [server, SEVERITY_WORD.warning, `${count} messages suppressed`];
  if (settings.prefix !== '') parts.unshift(settings.prefix);
  return {
    subject: cut(oneLine(parts.join(': ')), MAIL_SUBJECT_LENGTH_MAX),
    body: `${suppressedText(count)}\n\nServer: ${oneLine(server)}\n`,
  };
}

/** LOG-28. */
export function mailOfTest(text: string, server: string, at: number, settings: MailSettings): MailText {
  const parts = [server, SEVERITY_WORD.information, 'Test'];
  if (settings.prefix !== '') parts.unshift(settings.prefix);
  return {
    subject: cut(oneLine(parts.join(': ')), MAIL_SUBJECT_LENGTH_MAX),
    body: `${text}\n\nServer: ${oneLine(server)}\nTime: ${formatWallTime(at)}\n`,
  };
}
