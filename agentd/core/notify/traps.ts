/**
 * Which message becomes which SNMP notification, and what it carries (LOG-06). Pure; the names and numbers are those of
 * packaging/snmp/UNDERSTUDY-MIB.txt, and a test compares the two.
 */
import { type Code, noticeRemedy, noticeText } from '../../../protocol/errors.js';
import type { LogLine, Severity } from '../../../protocol/messages/log.js';
import { CYCLIC } from './mail.js';

/**
 * A private enterprise number that is NOT registered with IANA. An organisation with a number of its own changes it here
 * and at `understudyEnterprise` in the MIB.
 */
export const ENTERPRISE = 99_999;
const ROOT = `1.3.6.1.4.1.${ENTERPRISE}.1`;
export const NOTIFICATIONS_OID = `${ROOT}.0`;
export const OBJECTS_OID = `${ROOT}.1`;

export const NOTIFICATIONS = {
  understudyTest: 1,
  understudyMessage: 2,
  understudyConnectionState: 3,
  understudyMirrorRequired: 4,
  understudyQueueAlert: 5,
  understudyVerifyDifferences: 6,
  understudyGuardStop: 7,
  understudyFailover: 8,
} as const;
export type Notification = keyof typeof NOTIFICATIONS;

/** Objects of every notification, in the order they travel. */
export const OBJECTS = {
  understudyServer: 1,
  understudyMessageId: 2,
  understudySeverity: 3,
  understudyText: 4,
  understudyRemedy: 5,
  understudySet: 6,
  understudyConnection: 7,
  understudyPeer: 8,
} as const;

/** Messages that are sent whatever their severity. Any other error is an `understudyMessage`. */
export const TRAPS: Partial<Readonly<Record<Code, Notification>>> = {
  LINK_UP: 'understudyConnectionState',
  LINK_DOWN: 'understudyConnectionState',
  LINK_UNREACHABLE: 'understudyConnectionState',
  LINK_REFUSED: 'understudyConnectionState',
  LINK_WRONG_KEY: 'understudyConnectionState',
  CONNECTION_CREATED: 'understudyConnectionState',
  CONNECTION_REMOVED: 'understudyConnectionState',
  MIRROR_REQUIRED: 'understudyMirrorRequired',
  MIRROR_STOPPED: 'understudyMirrorRequired',
  STREAM_BROKEN: 'understudyMirrorRequired',
  QUARANTINE_EMPTY: 'understudyMessage', // ends what the error QUARANTINED began
  VERIFY_DIFFERENT: 'understudyVerifyDifferences',
  QUEUE_ALERT: 'understudyQueueAlert',
  QUEUE_FULL: 'understudyQueueAlert',
  QUEUE_EXHAUSTED: 'understudyQueueAlert',
  SOURCE_MASS_DELETE: 'understudyGuardStop',
  SOURCE_ROOT_CHANGED: 'understudyGuardStop',
};

export interface Varbind {
  readonly oid: string;
  readonly value: string | number;
}

export interface Trap {
  readonly notification: Notification;
  readonly oid: string;
  readonly objects: readonly Varbind[];
}

/** RFC 3416: one notification fits into one datagram. */
const TEXT_BYTES_MAX = 255;
const SEVERITY_NUMBER: Readonly<Record<Severity, number>> = { information: 1, warning: 2, error: 3 };

/** Cut to the MIB's SIZE in bytes, between characters. */
function octets(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= TEXT_BYTES_MAX) return text;
  let end = TEXT_BYTES_MAX;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return new TextDecoder().decode(bytes.subarray(0, end));
}

const trap = (notification: Notification, values: Readonly<Record<keyof typeof OBJECTS, string | number>>): Trap => ({
  notification,
  oid: `${NOTIFICATIONS_OID}.${NOTIFICATIONS[notification]}`,
  objects: Object.entries(OBJECTS).map(([name, number]) => {
    const value = values[name as keyof typeof OBJECTS];
    return { oid: `${OBJECTS_OID}.${number}.0`, value: typeof value === 'string' ? octets(value) : value };
  }),
});

/** Null for what is not told by trap. */
export function trapOf(line: LogLine, server: string): Trap | null {
  const { notice } = line;
  // A trap about a trap would feed the next one.
  if (CYCLIC.has(notice.code)) return null;
  const known = Object.hasOwn(TRAPS, notice.code) ? TRAPS[notice.code as Code] : undefined;
  const notification = known ?? (notice.severity === 'error' ? 'understudyMessage' : null);
  if (!notification) return null;
  return trap(notification, {
    understudyServer: server,
    understudyMessageId: notice.id,
    understudySeverity: SEVERITY_NUMBER[notice.severity],
    understudyText: noticeText(notice),
    understudyRemedy: noticeRemedy(notice),
    understudySet: line.set ?? '',
    understudyConnection: line.connection ?? 0,
    understudyPeer: line.server ?? '',
  });
}

export function trapOfTest(server: string): Trap {
  return trap('understudyTest', {
    understudyServer: server,
    understudyMessageId: 0,
    understudySeverity: SEVERITY_NUMBER.information,
    understudyText: `Test trap of Understudy on ${server}.`,
    understudyRemedy: '',
    understudySet: '',
    understudyConnection: 0,
    understudyPeer: '',
  });
}

/**
 * RFC 3411: an engine ID of this server that stays the same, from its key: enterprise with the first bit set, format 5
 * (octets), 16 bytes.
 * @param ownKey hex digest of the server's public key
 */
export function engineIdOf(ownKey: string): string {
  const enterprise = (0x8000_0000 + ENTERPRISE).toString(16);
  return `${enterprise}05${ownKey.slice(0, 32)}`;
}
