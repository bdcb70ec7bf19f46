/** Walks over all settings: default, limits, refusals in words, and when a change is obeyed. */
import test from 'ava';
import type { Field } from '../../../agentd/core/settings/field.js';
import { SETTINGS } from '../../../agentd/core/settings/settings.js';
import type { Client } from '../../../protocol/client.js';
import { Failure } from '../../../protocol/errors.js';
import { SETTING_LENGTH_MAX } from '../../../protocol/limits.js';
import * as m from '../../../protocol/messages/index.js';
import { changedText, settingsTable } from '../../../tui/cli/commands/config.js';
import { FakeAgent } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';

type Value = string | number | boolean;

/**
 * Written down once more, from the specification: default, a value that is allowed as well, and for texts with a meaning
 * one that is refused. What has to be set along with it follows.
 */
const EXPECTED: Readonly<
  Record<string, readonly [Value, Value, (Value | undefined)?, Readonly<Record<string, Value>>?]>
> = {
  'agent.name': ['alpha', 'beta'],
  'agent.listen': ['0.0.0.0:1500', '127.0.0.1:1501', '1500'],
  'agent.socket': ['/run/agent.sock', '/run/other.sock'],
  'agent.state': ['/state/alpha', '/elsewhere'],
  'heartbeat.interval_s': [3, 0],
  'heartbeat.missed_limit': [20, 2],
  'heartbeat.show': [false, true],
  'network.address': ['', '10.0.0.1', 'eth0'],
  'network.window': [0, 375_000],
  'log.folder': ['/log/alpha', '/log/beta'],
  'log.length': [1_048_576, 4_096],
  'log.files': [5, 999],
  'queue.memory_mb': [128, 32],
  'queue.folder': ['/state/alpha/queue', '/queue', 'queue'],
  'queue.disk_mb': [-1, 0],
  'queue.free_mb': [50, 0],
  'queue.alert_percent': [50, 0],
  'queue.when_full': ['wait', 'disconnect'],
  'source.reconnect': [true, false],
  'source.remirror': ['difference_checksum', 'off'],
  'source.checksum_all': [true, false],
  'source.ignore_deletes': [false, true],
  'source.capture': ['auto', 'inotify'],
  'source.sweep_s': [60, 0],
  'source.guard_percent': [50, 0],
  'source.guard_count': [1_000, 1],
  'source.retry_s': [3, 1],
  'source.replication_ratio': [5, 1],
  'source.mirror_pending': [1_000, 10],
  'connection.stall_s': [20, 0],
  'transmit.compression': ['off', 'maximum'],
  'target.retry_s': [3, 1],
  'target.remap_links': [true, false],
  'target.mirror_high_percent': [20, 100],
  'target.mirror_low_percent': [10, 0],
  'orphans.log': [false, true],
  'orphans.action': ['none', 'delete'],
  'orphans.folder': ['', '/orphans', 'orphans'],
  'orphans.age_s': [0, 60],
  'verify.file': ['USVerify.log', 'other.log', 'a/b'],
  'verify.length': [1_048_576, 4_096],
  'verify.append': [true, false],
  'verify.language': ['English', 'English'],
  'task.enabled': [false, true],
  'task.user': ['', 'nobody', 'no body'],
  'task.folder': ['', '/opt/tasks', 'tasks'],
  'task.timeout_s': [60, 1],
  'bookmark.keep': [100, 1],
  'log.journal': ['auto', 'off'],
  'log.syslog': ['auto', 'off'],
  'log.syslog_socket': ['/dev/log', '/run/log'],
  'statistics.enabled': [true, false],
  'statistics.file': ['statistic.sts', 'other.sts', '../x'],
  'statistics.length': [10_485_760, 65_536],
  'statistics.interval_s': [300, 1],
  'mail.enabled': [false, true, undefined, { 'mail.from': 'a@example.org', 'mail.to': 'b@example.org' }],
  'mail.server': ['', 'mail.example.org', 'a b'],
  'mail.tls': ['auto', 'off'],
  'mail.user': ['', 'user'],
  'mail.from': ['', 'a@example.org', 'not an address'],
  'mail.to': ['', 'b@example.org', 'not, an address'],
  'mail.subject_prefix': ['Understudy', ''],
  'mail.subject_description': [true, false],
  'mail.information': [false, true],
  'mail.warning': [true, false],
  'mail.error': [true, false],
  'mail.exclude': ['', '2210,2220-2228', 'all'],
  'mail.per_hour': [60, 1],
  'mail.timeout_s': [20, 1],
  'snmp.enabled': [false, true, undefined, { 'snmp.targets': 'host' }],
  'snmp.targets': ['', 'host', 'a b'],
  'snmp.version': ['2c', '3'],
  'snmp.community': ['public', 'private'],
  'snmp.user': ['', 'user'],
  'snmp.auth': ['sha256', 'none'],
  'snmp.privacy': ['aes', 'none'],
  'snmp.engine_id': ['', '8000000001020304', 'xyz'],
  'metrics.listen': ['', '127.0.0.1:9464', '0.0.0.0:9464'],
};

/** Obeyed only at the next start: the agent uses them before or while it opens things that stay open. */
const AT_START =
  'agent.name agent.listen agent.socket agent.state log.folder log.length log.files log.journal queue.memory_mb queue.folder queue.disk_mb queue.free_mb queue.when_full source.reconnect source.capture source.sweep_s source.guard_percent source.guard_count target.retry_s statistics.file statistics.length'.split(
    ' ',
  );

/** What an agent cannot be told while it runs: its command line says it here, or it must know it before its state. */
const FIXED = ['agent.listen', 'agent.state'];

const change = (values: Readonly<Record<string, Value>>): m.SettingChange[] =>
  Object.entries(values).map(([key, value]) => ({ key, value: String(value) }));

function wrongValues(entry: Field, bad: Value | undefined): readonly [value: string, says: RegExp][] {
  switch (entry.kind) {
    case 'whole': {
      const says = new RegExp(`must be a whole number from ${entry.min} to ${entry.max}`);
      return [String((entry.min ?? 0) - 1), String((entry.max ?? 0) + 1), '1.5', 'many', ''].map((v) => [v, says]);
    }
    case 'flag':
      return [['perhaps', /must be true or false/]];
    case 'choice':
      return [['nothing of it', new RegExp(`must be one of ${entry.choices?.join(', ')}`)]];
    case 'text':
      return [
        [
          'x'.repeat(Math.min((entry.max ?? 4_096) + 1, SETTING_LENGTH_MAX)),
          /must be (a text of one line, )?at most \d+ (characters|addresses)|must be/,
        ],
        ['two\nlines', /must be a text of one line/],
        ...(bad === undefined ? [] : [[String(bad), /must be /] as [string, RegExp]]),
      ];
  }
}

const shown = async (client: Client, key: string): Promise<m.Setting> => {
  const { settings } = await client.request(m.SettingsList, {});
  const found = settings.find((setting) => setting.key === key);
  if (!found) throw new Error(`no setting ${key}`);
  return found;
};

async function started(file: unknown = null): Promise<{ fake: FakeAgent; client: Client }> {
  const fake = new FakeAgent('alpha', new FakeNetwork(), file).start();
  return { fake, client: await fake.client() };
}

test('SRV-02, SRV-04, SRV-21, SRV-24, SRV-32, SRV-40, SRV-55, SRV-58, SRV-62, SRV-70, SRV-73, SRV-78, VER-15: every setting has the default of its row', async (t) => {
  const { fake, client } = await started();
  t.teardown(() => fake.stop());
  t.deepEqual(
    SETTINGS.map((entry) => entry.key as string).sort(),
    Object.keys(EXPECTED).sort(),
    'a setting more or less: say here what its row wants',
  );
  for (const { key, row } of SETTINGS) {
    const setting = await shown(client, key);
    if (key !== 'agent.listen') t.is(setting.value, String(EXPECTED[key]?.[0]), `${key} (${row})`);
    t.is(setting.origin, key === 'agent.listen' ? 'command line' : 'default');
    t.is(
      setting.restart,
      AT_START.includes(key),
      `${key} is obeyed ${setting.restart ? 'at the next start' : 'at once'}`,
    );
    t.not(setting.values, '');
  }
  t.is(SETTINGS.find((entry) => entry.key === 'agent.listen')?.preset, '0.0.0.0:1500');
});

test('SRV-40, SRV-71..76, SRV-78: what is beyond the limits of any setting is refused, with its name, its limits, its row and what to do', async (t) => {
  const { fake, client } = await started();
  t.teardown(() => fake.stop());
  for (const entry of SETTINGS as readonly Field[]) {
    if (FIXED.includes(entry.key)) continue;
    for (const [value, says] of wrongValues(entry, EXPECTED[entry.key]?.[2])) {
      const error = await t.throwsAsync(client.request(m.SettingsSet, { changes: change({ [entry.key]: value }) }), {
        instanceOf: Failure,
      });
      t.is(error?.code, 'SETTING_INVALID', `${entry.key} = ${value.slice(0, 40)}`);
      t.regex(error?.message ?? '', new RegExp(`Nothing was changed: ${entry.key} must be .*\\(${entry.row}\\)`));
      t.regex(error?.message ?? '', says);
      t.regex(error?.notice.remedy ?? '', /config show/, 'where the limits are listed');
    }
    t.is((await shown(client, entry.key)).value, String(EXPECTED[entry.key]?.[0]));
  }
  const listed = settingsTable((await client.request(m.SettingsList, {})).settings);
  t.regex(listed, /queue\.memory_mb +128 +32 to 1048576/, 'the command names them, too');
});

test('SRV-21, SRV-24, SRV-40, SRV-55, SRV-58, SRV-90: a live setting is obeyed at once; any other says that a restart is needed until there was one', async (t) => {
  for (const { key } of SETTINGS) {
    const [preset, other, , along = {}] = EXPECTED[key] ?? ['', ''];
    if (FIXED.includes(key) || other === preset) continue;
    const { fake, client } = await started();
    const changes = change({ ...along, [key]: other });
    const { settings, restart } = await client.request(m.SettingsSet, { changes });
    const waits = AT_START.includes(key);
    t.is(restart, waits, key);
    t.is(fake.agent.world.settings[key] as Value, waits ? preset : other, key);
    const now = await shown(client, key);
    t.like(now, { value: String(waits ? preset : other), next: waits ? String(other) : null, origin: 'set' });
    const answer = changedText(settings.filter((one) => one.key === key));
    t.is(
      answer,
      waits ? `${key} = ${other} after the next start of the agent (now ${preset})\n` : `${key} = ${other}\n`,
    );
    if (waits) t.regex(settingsTable([now]), new RegExp(`restart: ${String(other).replaceAll('/', '\\/')}`), key);
    await fake.stop();
    if (!waits) continue;
    fake.start();
    t.is(fake.agent.world.settings[key] as Value, other, `${key} after the restart`);
    t.like(await shown(await fake.client(), key), { value: String(other), next: null });
    await fake.stop();
  }
});
