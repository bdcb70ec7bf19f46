import test from 'ava';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  hostName,
  judgeHostKey,
  keyTypeOf,
  knownKeyTypes,
  parseKnownHosts,
  patternsCover,
} from '../../../../tui/link/known-hosts.js';
import { fromAnswer, parseJump } from '../../../../tui/link/ssh-config.js';
import { formatAddress, parseAddress } from '../../../../tui/link/transport.js';

const key = (type: string, fill: string): Buffer => {
  const name = Buffer.from(type);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(name.length);
  return Buffer.concat([head, name, Buffer.from(fill)]);
};
const ED = key('ssh-ed25519', 'one');
const ED2 = key('ssh-ed25519', 'two');
const RSA = key('ssh-rsa', 'three');
const line = (patterns: string, k: Buffer): string => `${patterns} ${keyTypeOf(k)} ${k.toString('base64')}`;

test('known, changed, other type, unknown', (t) => {
  const entries = parseKnownHosts(`# comment\n\n${line('web,10.0.0.5', ED)}\nbroken line\n@strange x y z\n`, 'f');
  t.is(entries.length, 1);
  t.is(entries[0]?.line, 3);
  t.is(judgeHostKey(entries, 'web', ED).kind, 'known');
  t.is(judgeHostKey(entries, '10.0.0.5', ED).kind, 'known');
  t.is(judgeHostKey(entries, 'web', ED2).kind, 'changed');
  t.deepEqual(judgeHostKey(entries, 'web', RSA), { kind: 'unknown', otherTypes: ['ssh-ed25519'], authority: null });
  t.deepEqual(judgeHostKey(entries, 'other', ED), { kind: 'unknown', otherTypes: [], authority: null });
  t.deepEqual(knownKeyTypes(entries, 'web'), ['ssh-ed25519']);
});

test('a second good key of the same type beside an old one is still good', (t) => {
  const entries = parseKnownHosts(`${line('web', ED2)}\n${line('web', ED)}\n`, 'f');
  t.is(judgeHostKey(entries, 'web', ED).kind, 'known');
});

test('wildcards and negation', (t) => {
  t.true(patternsCover('*.example.org,!bad.example.org', 'www.example.org'));
  t.false(patternsCover('*.example.org,!bad.example.org', 'bad.example.org'));
  t.false(patternsCover('!bad.example.org', 'good.example.org'));
  t.true(patternsCover('web?', 'web1'));
  t.false(patternsCover('web?', 'web12'));
  t.true(patternsCover('WEB1', 'web1'));
  t.false(patternsCover(`${'*a'.repeat(60)}b`, 'a'.repeat(200)));
});

test('ports other than 22 are part of the name', (t) => {
  t.is(hostName('Web', 22), 'web');
  t.is(hostName('Web', 2222), '[web]:2222');
  const entries = parseKnownHosts(line('[web]:2222', ED), 'f');
  t.is(judgeHostKey(entries, hostName('web', 22), ED).kind, 'unknown');
  t.is(judgeHostKey(entries, hostName('web', 2222), ED).kind, 'known');
});

test('revoked beats known, authorities are reported', (t) => {
  const entries = parseKnownHosts(
    `${line('web', ED)}\n@revoked ${line('*', ED)}\n@cert-authority ${line('*.corp', RSA)}\n`,
    'f',
  );
  t.is(judgeHostKey(entries, 'web', ED).kind, 'revoked');
  const verdict = judgeHostKey(entries, 'db.corp', ED2);
  t.true(verdict.kind === 'unknown' && verdict.authority?.line === 3);
});

const hasKeygen = existsSync('/usr/bin/ssh-keygen');
(hasKeygen ? test : test.skip)(
  'hashed names: what ssh-keygen -H writes we find, and only that (cross-checked with ssh-keygen -F)',
  (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-known-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'known_hosts');
    const made = join(folder, 'k');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', made]);
    const [type, blob] = readFileSync(`${made}.pub`, 'utf8').split(' ');
    writeFileSync(
      file,
      `web.example.org ${type} ${blob}\n[web.example.org]:2222 ${type} ${blob}\n[2001:db8::1]:22022 ${type} ${blob}\n`,
    );
    execFileSync('ssh-keygen', ['-H', '-f', file], { stdio: 'ignore' });
    const text = readFileSync(file, 'utf8');
    t.regex(text, /^\|1\|/);
    const entries = parseKnownHosts(text, file);
    const bytes = Buffer.from(blob ?? '', 'base64');
    for (const [host, port] of [
      ['web.example.org', 22],
      ['WEB.example.org', 2222],
      ['2001:db8::1', 22022],
      ['web.example.org', 2223],
      ['example.org', 22],
    ] as const) {
      const name = hostName(host, port);
      let found = true;
      try {
        execFileSync('ssh-keygen', ['-F', name.toLowerCase(), '-f', file], { stdio: 'ignore' });
      } catch {
        found = false;
      }
      t.is(judgeHostKey(entries, name, bytes).kind === 'known', found, name);
    }
  },
);

test('addresses are read, written back and refused', (t) => {
  for (const text of [
    'unix:/run/understudy/agent.sock',
    'ssh://web',
    'ssh://me@web:2222',
    'ssh://me@web:2222/tmp/a.sock',
    'ssh://[2001:db8::1]:2222',
  ]) {
    t.is(formatAddress(parseAddress(text)), text);
  }
  for (const text of [
    '',
    'web',
    'unix:relative',
    'ssh://',
    'ssh://-oProxyCommand=x',
    'ssh://-x@web',
    'ssh://web:0',
    'ssh://web:70000',
    'ssh://we b',
  ]) {
    t.throws(() => parseAddress(text), { name: 'LinkError' }, text);
  }
});

test('the answer of ssh -G is understood', (t) => {
  const config = fromAnswer(
    { host: 'alias', user: null, port: null },
    'hostname web.example.org\nuser deploy\nport 2222\nidentityfile /k/one\nidentityfile /k/two\nproxyjump a@h1:23,h2\nuserknownhostsfile /u/1 /u/2\nglobalknownhostsfile /g\nstricthostkeychecking true\nidentityagent none\nidentitiesonly yes\n',
  );
  t.like(config, {
    host: 'web.example.org',
    user: 'deploy',
    port: 2222,
    agent: null,
    identitiesOnly: true,
    strictHostKey: 'yes',
    beyondSsh2: null,
  });
  t.deepEqual(config.identities, ['/k/one', '/k/two']);
  t.deepEqual(config.jumps, ['a@h1:23', 'h2']);
  t.deepEqual(config.knownHosts, ['/u/1', '/u/2', '/g']);
  t.is(fromAnswer({ host: 'x', user: null, port: null }, 'proxycommand nc %h %p\n').beyondSsh2, 'ProxyCommand');
  t.deepEqual(parseJump('me@[::1]:2200'), { host: '::1', user: 'me', port: 2200 });
  t.throws(() => parseJump('-oX=y'), { name: 'LinkError' });
});
