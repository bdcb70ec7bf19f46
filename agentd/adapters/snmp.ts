/** SNMP notifications by net-snmp. A socket per notification: they are rare, and a target may change at any time. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Session, User } from 'net-snmp';
import type { SendTrap, TrapRoad } from '../ports/traps.js';

type Snmp = typeof import('net-snmp').default;

const LOOKUP_MS = 5_000;
const SEND_MS = 5_000;

function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let late: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    late = setTimeout(() => reject(new Error(`${what} took too long`)), ms);
  });
  return Promise.race([work, deadline]).finally(() => clearTimeout(late));
}

function userOf(snmp: Snmp, road: TrapRoad): User {
  const { SecurityLevel, AuthProtocols, PrivProtocols } = snmp;
  if (road.auth === 'none') return { name: road.user, level: SecurityLevel.noAuthNoPriv };
  const auth = {
    name: road.user,
    authProtocol: AuthProtocols[road.auth] as number,
    authKey: road.authPassword ?? '',
  };
  if (road.privacy === 'none') return { ...auth, level: SecurityLevel.authNoPriv };
  return {
    ...auth,
    level: SecurityLevel.authPriv,
    privProtocol: PrivProtocols[road.privacy] as number,
    privKey: road.privacyPassword ?? '',
  };
}

function open(snmp: Snmp, road: TrapRoad, address: string): Session {
  const options = { trapPort: road.port, transport: isIP(address) === 6 ? ('udp6' as const) : ('udp4' as const) };
  if (road.version === '2c')
    return snmp.createSession(address, road.community, { ...options, version: snmp.Version2c });
  const session = snmp.createV3Session(address, userOf(snmp, road), {
    ...options,
    version: snmp.Version3,
    engineID: road.engineId,
  });
  // The library says boots 0, time 0 in every trap, which a receiver refuses 150 s after the first one (RFC 3414 3.2).
  const send = session.send.bind(session);
  session.send = (request, noWait) => {
    const security = request.message.msgSecurityParameters;
    if (security) {
      security.msgAuthoritativeEngineBoots = road.engineBoots;
      security.msgAuthoritativeEngineTime = road.engineTime;
    }
    return send(request, noWait);
  };
  return session;
}

export const sendTrap: SendTrap = async (road, trap) => {
  // Loaded when the first trap goes: most agents never send one.
  const { default: snmp } = await import('net-snmp');
  const address = isIP(road.host)
    ? road.host
    : (await within(LOOKUP_MS, 'looking the name up', lookup(road.host, { verbatim: true }))).address;
  let session: Session | null = null;
  try {
    session = open(snmp, road, address);
    const at = session;
    await within(
      SEND_MS,
      'sending',
      new Promise<void>((resolve, reject) => {
        at.on('error', reject);
        at.trap(
          trap.oid,
          trap.objects.map(({ oid, value }) => ({
            oid,
            type: typeof value === 'string' ? snmp.ObjectType.OctetString : snmp.ObjectType.Integer,
            value,
          })),
          { upTime: road.upTime },
          (error) => (error ? reject(error) : resolve()),
        );
      }),
    );
  } finally {
    session?.close();
  }
};
