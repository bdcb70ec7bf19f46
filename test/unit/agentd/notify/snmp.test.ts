/** Traps received by a real receiver over UDP, and the MIB that names them (LOG-06). */
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { sendTrap } from '../../../../agentd/adapters/snmp.js';
import {
  ENTERPRISE,
  engineIdOf,
  NOTIFICATIONS,
  NOTIFICATIONS_OID,
  OBJECTS,
  OBJECTS_OID,
  TRAPS,
  trapOf,
  trapOfTest,
} from '../../../../agentd/core/notify/traps.js';
import type { TrapRoad } from '../../../../agentd/ports/traps.js';
import { CATALOGUE, notice } from '../../../../protocol/errors.js';
import type { LogLine, Notice } from '../../../../protocol/messages/log.js';
import { REPOSITORY } from '../../../support/import-rules.js';

const MIB = join(REPOSITORY, 'packaging/snmp/UNDERSTUDY-MIB.txt');
const MIBS = join(REPOSITORY, 'node_modules/net-snmp/lib/mibs');
const at = { id: 3, set: 'docs', target: 'beta' };
const line = (said: Notice): LogLine => ({
  sequence: 1,
  at: 1,
  set: 'docs',
  connection: 3,
  server: 'beta',
  notice: said,
  count: 1,
  audit: null,
});
const KEY = 'ab'.repeat(32);

const road = (port: number, change: Partial<TrapRoad> = {}): TrapRoad => ({
  host: '127.0.0.1',
  port,
  version: '2c',
  community: 'public',
  user: 'watch',
  auth: 'sha256',
  authPassword: 'authentication',
  privacy: 'aes',
  privacyPassword: 'encryption!',
  engineId: engineIdOf(KEY),
  engineBoots: 7,
  engineTime: 1_000,
  upTime: 100,
  ...change,
});

const found = (command: string): boolean =>
  ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin'].some((folder) => existsSync(join(folder, command)));

test('LOG-06: which messages become which notification', (t) => {
  const kind = (said: Notice): string | null => trapOf(line(said), 'alpha')?.notification ?? null;
  t.is(kind(notice('LINK_DOWN', at)), 'understudyConnectionState');
  t.is(kind(notice('LINK_UP', { ...at, resumed: true })), 'understudyConnectionState');
  t.is(kind(notice('MIRROR_REQUIRED', at)), 'understudyMirrorRequired');
  t.is(
    kind(notice('VERIFY_DIFFERENT', { ...at, files: 1, different: 1, missing: 0, orphans: 0, ms: 1 })),
    'understudyVerifyDifferences',
  );
  t.is(
    kind(notice('SOURCE_MASS_DELETE', { set: 'docs', server: 'alpha', deleted: 1, total: 1, detail: '' })),
    'understudyGuardStop',
  );
  t.is(kind(notice('AGENT_CRASHED', { detail: 'x' })), 'understudyMessage', 'any other error');
  t.is(kind(notice('MIRROR_STARTED', { ...at, kind: 'full' })), null);
  t.is(kind(notice('SNMP_FAILED', { target: 'x', problem: 'y' })), null, 'LOG-30: never about itself');
  t.is(kind(notice('MAIL_FAILED', { via: 'x', problem: 'y' })), null);
  for (const code of Object.keys(TRAPS)) t.true(code in CATALOGUE, code);
});

test('LOG-06: texts are cut to the size of the MIB, between characters', (t) => {
  const trap = trapOf(line(notice('QUARANTINED', { ...at, path: '/日本'.repeat(200), count: 1 })), 'alpha');
  for (const { value } of trap?.objects ?? [])
    if (typeof value === 'string') {
      t.true(Buffer.byteLength(value) <= 255);
      t.false(value.includes('\ufffd'));
    }
});

test('LOG-06: the MIB and the code name the same numbers', (t) => {
  const mib = readFileSync(MIB, 'utf8').replace(/--.*$/gm, '');
  t.regex(mib, new RegExp(`understudyEnterprise OBJECT-IDENTITY[^:]*::= \\{ enterprises ${ENTERPRISE} \\}`));
  const numbers = (kind: string, parent: string): Record<string, number> =>
    Object.fromEntries(
      [...mib.matchAll(new RegExp(`^(\\w+) ${kind}\\n[\\s\\S]*?::= \\{ ${parent} (\\d+) \\}`, 'gm'))].map((match) => [
        match[1] ?? '',
        Number(match[2]),
      ]),
    );
  t.deepEqual(numbers('NOTIFICATION-TYPE', 'understudyNotifications'), { ...NOTIFICATIONS });
  t.deepEqual(numbers('OBJECT-TYPE', 'understudyObjects'), { ...OBJECTS });
  const carried = [...mib.matchAll(/NOTIFICATION-TYPE\s+OBJECTS\s+\{([^}]*)\}/g)].map((match) =>
    (match[1] ?? '').split(',').map((name) => name.trim()),
  );
  t.is(carried.length, Object.keys(NOTIFICATIONS).length);
  for (const objects of carried) t.deepEqual(objects, Object.keys(OBJECTS));
});

const lint = found('smilint') ? test : test.skip;
lint('LOG-06: smilint finds nothing wrong with the MIB (needs smilint of smitools)', (t) => {
  const imports = ['SNMPv2-SMI', 'SNMPv2-TC', 'SNMPv2-CONF'].flatMap((name) => ['-p', join(MIBS, `${name}.mib`)]);
  const said = execFileSync('/bin/sh', ['-c', 'smilint "$@" 2>&1 || true', 'sh', ...imports, '-l', '5', MIB], {
    encoding: 'utf8',
  });
  // The imported modules come from elsewhere; only what is said about ours counts.
  t.deepEqual(
    said.split('\n').filter((text) => text.startsWith(MIB)),
    [],
  );
});

const translate = found('snmptranslate') ? test : test.skip;
translate('LOG-06: a manager turns our numbers into names (needs snmptranslate of snmp)', (t) => {
  const name = (oid: string): string =>
    execFileSync(
      'snmptranslate',
      ['-M', `${MIBS}:${join(REPOSITORY, 'packaging/snmp')}`, '-m', 'UNDERSTUDY-MIB', oid],
      {
        encoding: 'utf8',
      },
    ).trim();
  for (const [word, number] of Object.entries(NOTIFICATIONS))
    t.is(name(`${NOTIFICATIONS_OID}.${number}`), `UNDERSTUDY-MIB::${word}`);
  for (const [word, number] of Object.entries(OBJECTS))
    t.is(name(`${OBJECTS_OID}.${number}.0`), `UNDERSTUDY-MIB::${word}.0`);
});

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

/** snmptrapd of Net-SNMP: another implementation than the one that sends. */
async function receiver(t: ExecutionContext): Promise<{ port: number; until: (pattern: RegExp) => Promise<string> }> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-unit-'));
  const port = await freeUdpPort();
  const log = join(folder, 'log');
  mkdirSync(join(folder, 'state'));
  writeFileSync(
    join(folder, 'snmptrapd.conf'),
    `authCommunity log public\ncreateUser -e 0x${engineIdOf(KEY)} watch SHA-256 authentication AES encryption!\nauthUser log watch authPriv\n` +
      'format2 %V,%v\\n\n',
  );
  const child = spawn(
    'snmptrapd',
    ['-f', '-On', '-m', '', '-C', '-c', join(folder, 'snmptrapd.conf'), '-Lf', log, `udp:127.0.0.1:${port}`],
    { env: { ...process.env, SNMP_PERSISTENT_DIR: join(folder, 'state') }, stdio: 'ignore' },
  );
  t.teardown(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    rmSync(folder, { recursive: true });
  });
  const text = (): string => (existsSync(log) ? readFileSync(log, 'utf8') : '');
  const until = async (pattern: RegExp): Promise<string> => {
    for (const end = Date.now() + 20_000; ; ) {
      const got = text();
      if (pattern.test(got)) return got;
      if (Date.now() > end || child.exitCode !== null) throw new Error(`no ${String(pattern)} in:\n${got}`);
      await wait(20);
    }
  };
  await until(/NET-SNMP version/);
  return { port, until };
}

const heard = found('snmptrapd') ? test : test.skip;
heard('LOG-06: snmptrapd decodes a trap of version 2c (needs snmptrapd)', async (t) => {
  const { port, until } = await receiver(t);
  const trap = trapOf(line(notice('MIRROR_REQUIRED', at)), 'älpha');
  if (!trap) return t.fail();
  await sendTrap(road(port), trap);
  const got = await until(/99999\.1\.1\.8\.0/);
  t.true(got.includes(`.1.3.6.1.6.3.1.1.4.1.0 = OID: .${NOTIFICATIONS_OID}.4`), got);
  t.regex(got, /1\.1\.4\.0 = STRING: "Connection 3: the replica on beta is not complete/);
  t.regex(got, /1\.1\.2\.0 = INTEGER: 2218/);
  t.regex(got, /1\.1\.3\.0 = INTEGER: 3/);
  t.regex(got, /1\.1\.6\.0 = STRING: "docs"/);
  return t.pass();
});

heard('LOG-06: snmptrapd authenticates and decrypts version 3, and time goes on (needs snmptrapd)', async (t) => {
  const { port, until } = await receiver(t);
  const trap = trapOfTest('alpha');
  await sendTrap(road(port, { version: '3' }), trap);
  await until(/Test trap of Understudy on alpha/);
  // After a restart: more boots, time from the beginning. Then what a replay would say, which is refused.
  await sendTrap(road(port, { version: '3', engineBoots: 8, engineTime: 0 }), trapOfTest('beta'));
  await until(/Test trap of Understudy on beta/);
  await sendTrap(road(port, { version: '3', engineBoots: 7, engineTime: 1_001 }), trapOfTest('replay'));
  await sendTrap(road(port, { version: '3', authPassword: 'wrong password' }), trapOfTest('mallory'));
  await sendTrap(road(port, { version: '3', engineBoots: 8, engineTime: 1 }), trapOfTest('gamma'));
  const got = await until(/Test trap of Understudy on gamma/);
  t.false(got.includes('replay'));
  t.false(got.includes('mallory'));
});

test('a name nobody knows is an error with words, and is over in a bounded time', async (t) => {
  await t.throwsAsync(sendTrap(road(162, { host: 'no-such-host.invalid' }), trapOfTest('alpha')), {
    message: /ENOTFOUND|EAI_AGAIN|too long/,
  });
});

test('RFC 3411: the engine ID is ours, stable, and has a legal length', (t) => {
  t.is(engineIdOf(KEY), `8001869f05${'ab'.repeat(16)}`);
  t.is(engineIdOf(KEY).length / 2, 21);
});
