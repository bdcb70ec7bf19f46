import { readFileSync } from 'node:fs';
import test from 'ava';
import {
  FAMILIES,
  METHODS,
  mirrorStatusText,
  STATISTIC_COLUMNS,
  Statistics,
  TOPICS,
} from '../../../protocol/messages/index.js';
import { messagesPage, referencePage } from '../../../protocol/reference.js';
import { formatBytes, formatCount, formatMillis, formatWallTime, parseBytes } from '../../../protocol/units.js';
import { negotiate, SOFTWARE_VERSION } from '../../../protocol/version.js';

const ROOT = new URL('../../../../', import.meta.url);

test('STA-01..26: every statistic is a column, in order, with its exact label', (t) => {
  t.deepEqual(
    STATISTIC_COLUMNS.map((column) => column.id),
    Array.from({ length: 26 }, (_, i) => `STA-${String(i + 1).padStart(2, '0')}`),
  );
  const fields = Object.keys(Statistics.shape).filter((field) => field !== 'mirrorPercent');
  t.deepEqual(
    STATISTIC_COLUMNS.map((column) => column.field),
    fields as never,
  );
  t.deepEqual(
    STATISTIC_COLUMNS.filter((column) => !column.shown).map((column) => column.label),
    [
      'Commit Mode',
      'Queued (Ops)',
      'Intermediate Queue (Bytes)',
      'Sent Compressed Replication (Bytes)',
      'Queued Mirror (Ops)',
      'Sent Compressed Mirror (Bytes)',
      'Queued Replication (Ops)',
    ],
  );
});

test('SET-20: a known percentage takes the place of the word', (t) => {
  t.is(mirrorStatusText({ mirrorStatus: 'Mirroring', mirrorPercent: 42 }), '42%');
  t.is(mirrorStatusText({ mirrorStatus: 'Mirroring', mirrorPercent: null }), 'Mirroring');
  t.is(mirrorStatusText({ mirrorStatus: 'Idle', mirrorPercent: 42 }), 'Idle');
});

test('every method and topic has its own name, and only the hello is open to everybody (SEC-04)', (t) => {
  const methods = FAMILIES.flatMap((family) => family.methods);
  t.is(METHODS.size, methods.length);
  t.is(TOPICS.size, FAMILIES.flatMap((family) => family.topics).length);
  t.deepEqual(
    methods.filter((method) => method.access === 'none').map((method) => method.name),
    ['server.hello'],
  );
  t.deepEqual(
    methods.filter((method) => method.changes && method.access !== 'administrator').map((method) => method.name),
    [],
    'a monitor changes nothing (SEC-03)',
  );
  for (const method of methods) t.regex(method.name, /^[a-z]+\.[a-zA-Z]+$/);
});

test('the reference pages are what the declarations say', (t) => {
  const read = (name: string): string => readFileSync(new URL(`docs/${name}`, ROOT), 'utf8');
  t.true(read('protocol.md') === referencePage(), 'run: node dist/protocol/reference.js > docs/protocol.md');
  t.true(read('messages.md') === messagesPage(), 'run: node dist/protocol/reference.js messages > docs/messages.md');
});

test('the release is the one of the package', (t) => {
  t.is(
    SOFTWARE_VERSION,
    (JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as { version: string }).version,
  );
});

test('neighbouring versions meet at the newest both speak', (t) => {
  t.is(negotiate({ min: 1, max: 2 }, { min: 2, max: 3 }), 2);
  t.is(negotiate({ min: 2, max: 3 }, { min: 1, max: 2 }), 2);
  t.is(negotiate({ min: 1, max: 5 }, { min: 1, max: 5 }), 5);
  t.is(negotiate({ min: 3, max: 4 }, { min: 1, max: 2 }), null);
});

test('units read as people write them', (t) => {
  t.deepEqual([0, 1, 1023, 1024, 1536, 1024 ** 2 - 1, 5 * 1024 ** 3].map(formatBytes), [
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '1.0 MiB',
    '5.0 GiB',
  ]);
  t.deepEqual([0, 999, 1000, 1234567].map(formatCount), ['0', '999', '1,000', '1,234,567']);
  t.deepEqual([0, 12.4, 999, 3400, 66_000, 3_723_000, 90_000_000].map(formatMillis), [
    '0 ms',
    '12 ms',
    '999 ms',
    '3.4 s',
    '1 m 06 s',
    '1 h 02 m',
    '1 d 01 h',
  ]);
  t.regex(formatWallTime(Date.UTC(2026, 10, 20, 12)), /^2026-11-2\d \d\d:\d\d:00\.000$/);
  t.deepEqual(['64', '64k', '1.5 GiB', '2mb', 'x', '-1'].map(parseBytes), [
    64,
    65_536,
    1_610_612_736,
    2_097_152,
    null,
    null,
  ]);
});
