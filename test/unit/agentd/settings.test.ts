import test from 'ava';
import fc from 'fast-check';
import { accessOf, groupFor, permits } from '../../../agentd/core/access.js';
import { distance, nearest } from '../../../agentd/core/settings/nearest.js';
import {
  type Configured,
  parseListen,
  readSettings,
  remirrorOptions,
  SETTINGS,
} from '../../../agentd/core/settings/settings.js';

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

test('every setting refuses what is not its kind or beyond its limits, naming its row', (t) => {
  for (const entry of SETTINGS) {
    const [table, key] = entry.key.split('.') as [string, string];
    t.regex(problem({ [table]: { [key]: [] } }), new RegExp(`${entry.key} must be .*\\(${entry.row}\\)`));
    if (entry.kind !== 'whole') continue;
    t.not(problem({ [table]: { [key]: entry.min - 1 } }), '');
    t.not(problem({ [table]: { [key]: entry.max + 1 } }), '');
    t.is(problem({ [table]: { [key]: entry.min } }), '');
    t.is(problem({ [table]: { [key]: entry.max } }), '');
  }
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
