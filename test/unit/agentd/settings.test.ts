import test from 'ava';
import fc from 'fast-check';
import { accessOf, groupFor, permits } from '../../../agentd/core/access.js';
import { distance, nearest } from '../../../agentd/core/settings/nearest.js';
import { type Configured, parseListen, readSettings, remirrorOptions } from '../../../agentd/core/settings/settings.js';

const places = { hostName: 'alpha', socket: '/run/s', state: '/var/s', log: '/var/log/s' };
const read = (file: unknown, line = {}): Configured => {
  const result = readSettings(places, file, line);
  if ('problem' in result) throw new Error(result.problem);
  return result;
};
const problem = (file: unknown, line = {}): string => {
  const result = readSettings(places, file, line);
  return 'problem' in result ? result.problem : '';
};

test('SRV rows: defaults are the ones of the specification', (t) => {
  const { settings, origins } = read(null);
  t.like(settings, {
    'agent.name': 'alpha',
    'agent.listen': '0.0.0.0:1500',
    'log.length': 1_048_576,
    'log.files': 5,
    'queue.memory_mb': 128,
    'source.remirror': 'difference_checksum',
    'source.reconnect': true,
    'source.checksum_all': true,
    'source.ignore_deletes': false,
    'source.retry_s': 3,
    'target.retry_s': 3,
    'target.remap_links': true,
    'transmit.compression': 'off',
  });
  t.true([...origins.values()].every((origin) => origin === 'default'));
});

test('the command line beats the file, the file beats the default; a given state folder takes the log along', (t) => {
  const { settings, origins } = read({ agent: { name: 'file', state: '/f' } }, { 'agent.state': '/c' });
  t.is(settings['agent.name'], 'file');
  t.is(settings['agent.state'], '/c');
  t.is(settings['log.folder'], '/c/log');
  t.is(origins.get('agent.state'), 'command line');
  t.is(origins.get('agent.name'), 'file');
});

test('unknown settings are errors that name the nearest one', (t) => {
  t.regex(problem({ agent: { nmae: 'x' } }), /unknown setting "agent.nmae"; did you mean "agent.name"/);
  t.regex(problem({ queue: { memory: 1 } }), /did you mean "queue.memory_mb"/);
  t.regex(problem({ quux: { zzzzzzzz: 1 } }), /unknown setting "quux.zzzzzzzz"$/);
  t.regex(problem({ agent: 'x' }), /not a table/);
});

test('QUE-04: less than 32 MB of queue memory is refused', (t) => t.regex(problem({ queue: { memory_mb: 31 } }), /32/));

test('listen addresses', (t) => {
  t.deepEqual(parseListen('127.0.0.1:1500'), { host: '127.0.0.1', port: 1500 });
  t.deepEqual(parseListen('[::1]:0'), { host: '::1', port: 0 });
  t.deepEqual(parseListen(':1500'), { host: '0.0.0.0', port: 1500 });
  for (const text of ['1500', 'a:b', 'a:65536', '::1:1500', 'a:1500x']) t.is(parseListen(text), null, text);
  t.is(read({ agent: { listen: '' } }).settings['agent.listen'], '', 'never a target');
});

test('MIR-32: the three kinds of auto-remirror, and off (MIR-33)', (t) => {
  t.deepEqual(remirrorOptions('difference_checksum'), { kind: 'difference', checksum: true });
  t.deepEqual(remirrorOptions('difference'), { kind: 'difference' });
  t.deepEqual(remirrorOptions('full'), { kind: 'full' });
  t.is(remirrorOptions('off'), null);
});

test('distance is a metric and the nearest word is never farther than another', (t) => {
  const word = fc.string({ maxLength: 8 });
  fc.assert(
    fc.property(word, word, word, (a, b, c) =>
      t.true(
        distance(a, b) === distance(b, a) && distance(a, a) === 0 && distance(a, c) <= distance(a, b) + distance(b, c),
      ),
    ),
  );
  t.is(nearest('listne', ['listen', 'name']), 'listen');
  t.is(nearest('zzzzzz', ['listen', 'name']), null);
});

test('SEC-02..04: levels by group; root and the owner of the agent are administrators', (t) => {
  t.is(accessOf({ uid: 0, groups: [] }, 7), 'administrator');
  t.is(accessOf({ uid: 7, groups: [] }, 7), 'administrator');
  t.is(accessOf({ uid: 8, groups: ['users', 'usadmin'] }, 7), 'administrator');
  t.is(accessOf({ uid: 8, groups: ['usmon', 'usadmin'] }, 7), 'administrator');
  t.is(accessOf({ uid: 8, groups: ['usmon'] }, 7), 'monitor');
  t.is(accessOf({ uid: 8, groups: ['users', 'root', 'sudo'] }, 7), 'none');
  t.true(
    permits('administrator', 'monitor') &&
      permits('none', 'none') &&
      !permits('none', 'monitor') &&
      !permits('monitor', 'administrator'),
  );
  t.deepEqual([groupFor('administrator'), groupFor('monitor')], ['usadmin', 'usmon']);
});

test('SRV rows: what an administrator set beats the file, the command line beats both', (t) => {
  const both = (overrides: Record<string, unknown>, line = {}): Configured => {
    const result = readSettings(places, { agent: { name: 'file' }, target: { retry_s: 9 } }, line, overrides);
    if ('problem' in result) throw new Error(result.problem);
    return result;
  };
  const set = both({ 'target.retry_s': 5 });
  t.is(set.settings['target.retry_s'], 5);
  t.is(set.origins.get('target.retry_s'), 'set');
  t.is(both({}).settings['target.retry_s'], 9);
  t.is(both({ 'agent.name': 'set' }, { 'agent.name': 'line' }).settings['agent.name'], 'line');
  const odd = both({ 'of.tomorrow': 1, 'target.retry_s': 0, 'agent.state': '/elsewhere' });
  t.deepEqual(
    odd.ignored.map((one) => one.key),
    ['of.tomorrow', 'target.retry_s', 'agent.state'],
    'what cannot be used never keeps an agent from starting',
  );
  t.is(odd.settings['target.retry_s'], 9);
  t.deepEqual(odd.sources.overrides, {});
});

test('LOG-20, LOG-06: what needs other settings says which, and stays valid while it is off', (t) => {
  t.regex(problem({ mail: { enabled: true } }), /mail.from \(LOG-23\)/);
  t.regex(problem({ mail: { enabled: true, from: 'a@b' } }), /mail.to \(LOG-24\)/);
  t.is(problem({ mail: { enabled: true, from: 'a@b', to: 'c@d' } }), '');
  t.is(problem({ mail: { enabled: false, to: 'c@d' } }), '');
  t.regex(problem({ snmp: { enabled: true } }), /snmp.targets/);
  t.regex(problem({ snmp: { enabled: true, targets: 'h', version: '3' } }), /snmp.user/);
  t.regex(problem({ snmp: { version: '3', auth: 'none' } }), /snmp.privacy needs snmp.auth/);
});

test('LOG-21..24, SRV-74: texts that mean something are looked at', (t) => {
  const bad: [string, string, string][] = [
    ['mail', 'server', 'a b'],
    ['mail', 'server', 'host:70000'],
    ['mail', 'from', 'Ops <ops@x>'],
    ['mail', 'from', '-oQ/tmp'],
    ['mail', 'from', `${'a'.repeat(256)}@b`],
    ['mail', 'to', 'a@b, c d@e'],
    ['mail', 'to', Array.from({ length: 257 }, (_, i) => `u${i}@x`).join(',')],
    ['mail', 'exclude', '10-5'],
    ['mail', 'exclude', 'all'],
    ['mail', 'subject_prefix', 'a\nBcc: everybody@x'],
    ['snmp', 'targets', Array.from({ length: 9 }, (_, i) => `h${i}`).join(',')],
    ['statistics', 'file', '../../etc/passwd'],
    ['metrics', 'listen', '0.0.0.0:9464'],
    ['metrics', 'listen', '192.0.2.1:9464'],
    ['metrics', 'listen', 'unix:relative'],
  ];
  for (const [table, key, value] of bad) t.not(problem({ [table]: { [key]: value } }), '', `${table}.${key}=${value}`);
  const good: [string, string, string][] = [
    ['mail', 'server', '[::1]:2525'],
    ['mail', 'server', 'mail.example.org'],
    ['mail', 'to', Array.from({ length: 256 }, (_, i) => `${'u'.repeat(240)}${i}@x`).join('; ')],
    ['mail', 'exclude', '2210;2220-2228, 1'],
    ['snmp', 'targets', 'a:1162, [::1]'],
    ['metrics', 'listen', '127.0.0.1:9464'],
    ['metrics', 'listen', '[::1]:0'],
    ['metrics', 'listen', 'unix:/run/understudy/metrics.sock'],
  ];
  for (const [table, key, value] of good) t.is(problem({ [table]: { [key]: value } }), '', `${table}.${key}`);
});
