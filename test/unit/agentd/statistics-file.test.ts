/** The statistics ring on a real file system (LOG-07, SRV-74..76). */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { StatisticsFile } from '../../../agentd/adapters/statistics-file.js';
import { composeStatistics } from '../../../agentd/core/statistics/compose.js';
import { STATISTIC_COLUMNS, type StatisticRecord } from '../../../protocol/messages/statistics.js';
import {
  decodeRecord,
  encodeRecord,
  readStatistics,
  STATISTICS_BLOCK_BYTES,
  statisticsHeader,
} from '../../../protocol/statistics-file.js';

const statistics = composeStatistics({
  id: 3,
  set: 'docs',
  target: 'beta',
  targetAddress: '10.0.0.2',
  phase: 'linked',
  failures: 0,
  source: 'watching',
  mirror: 'idle',
  complete: true,
  replication: true,
  calculateSize: true,
  manual: 'flowing',
  session: 'realtime',
  mirrorBase: 0,
  connectedSince: 42,
  counters: null,
  notLoaded: false,
  outOfMemory: false,
  simulated: false,
  stalled: false,
  freshMs: 10_000,
});
const draft = (at: number, change: Partial<StatisticRecord> = {}): Omit<StatisticRecord, 'sequence'> => ({
  at,
  key: '00112233445566778899aabbccddeeff',
  latencyMs: 5,
  wireBytes: 7,
  quarantined: 0,
  statistics: { ...statistics, sentBytes: at },
  ...change,
});

function place(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-unit-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, 'statistic.sts');
}
function opened(t: ExecutionContext, file: string, length = 65_536): StatisticsFile {
  const store = new StatisticsFile(file, length, (kept) => t.log(`kept ${kept}`));
  t.teardown(() => store.close());
  return store;
}
const all = { limit: 1_000_000 };

test('STA-01..26: every column comes back as it was written', async (t) => {
  const file = place(t);
  const store = opened(t, file);
  await store.append([draft(1), draft(2, { latencyMs: -1 })]);
  await store.close();
  const { records, more, unreadable } = await opened(t, file).read(all);
  t.deepEqual(records, [
    { ...draft(1), sequence: 1 },
    { ...draft(2, { latencyMs: -1 }), sequence: 2 },
  ]);
  t.false(more);
  t.is(unreadable, 0);
  t.is(STATISTIC_COLUMNS.length, 26);
});

test('property: any record survives the file, long names only shortened', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 255 }),
      fc.string({ unit: 'grapheme', maxLength: 4_094 }),
      fc.maxSafeNat(),
      (set, path, number) => {
        const record: StatisticRecord = {
          ...draft(1),
          sequence: number,
          statistics: {
            ...statistics,
            replicationSet: set,
            targetName: set,
            targetIp: set,
            lastFileTouched: path,
            sentBytes: number,
          },
        };
        const back = decodeRecord(encodeRecord(record));
        t.is(back?.statistics.sentBytes, number);
        t.is(back?.sequence, number);
      },
    ),
  );
});

test('SRV-75: the file never grows beyond its length and the oldest data goes first', async (t) => {
  const file = place(t);
  const store = opened(t, file);
  for (let round = 0; round < 60; round += 1)
    await store.append(Array.from({ length: 20 }, (_, i) => draft(round * 20 + i + 1)));
  t.true(statSync(file).size <= 65_536);
  const { records } = await store.read(all);
  t.is(records.at(-1)?.sequence, 1_200);
  t.true(records.length > 100 && records.length < 1_200, `${records.length}`);
  for (const [i, record] of records.entries()) t.is(record.sequence, 1_200 - records.length + 1 + i);
  await store.close();
  const again = opened(t, file);
  await again.append([draft(5)]);
  t.is((await again.read({ after: 1_200, limit: 10 })).records[0]?.sequence, 1_201, 'a new start goes on where it was');
});

test('a crash at any byte loses at most what was being written, and the file goes on', async (t) => {
  const file = place(t);
  const store = opened(t, file);
  await store.append(Array.from({ length: 40 }, (_, i) => draft(i + 1)));
  await store.close();
  const whole = readFileSync(file);
  const before = (await opened(t, file).read(all)).records;
  for (let cut = STATISTICS_BLOCK_BYTES; cut < whole.length; cut += 397) {
    writeFileSync(file, whole);
    truncateSync(file, cut);
    const torn = opened(t, file);
    const { records } = await torn.read(all);
    t.deepEqual(records, before.slice(0, records.length), `cut at ${cut}: a beginning of what was there`);
    await torn.append([draft(99)]);
    const after = await torn.read(all);
    t.is(after.records.at(-1)?.at, 99);
    t.is(after.records.length, records.length + 1);
    await torn.close();
  }
});

test('a damaged byte costs the records behind it in its block and nothing else', async (t) => {
  const file = place(t);
  const store = opened(t, file);
  await store.append(Array.from({ length: 60 }, (_, i) => draft(i + 1)));
  await store.close();
  const whole = readFileSync(file);
  const good = new Set((await opened(t, file).read(all)).records.map((record) => JSON.stringify(record)));
  for (let at = STATISTICS_BLOCK_BYTES; at < whole.length; at += 511) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] ?? 0) ^ 0x40;
    writeFileSync(file, bytes);
    const { records } = await opened(t, file).read(all);
    t.true(
      records.every((record) => good.has(JSON.stringify(record))),
      'nothing is made up',
    );
    t.true(records.length >= good.size - 30);
  }
});

test('LOG-08: reading by connection, time and pages', async (t) => {
  const store = opened(t, place(t));
  await store.append(
    Array.from({ length: 30 }, (_, i) =>
      draft(i + 1, i % 3 === 0 ? { key: 'other', statistics: { ...statistics, connectionId: 9 } } : {}),
    ),
  );
  t.is((await store.read({ ...all, key: 'other' })).records.length, 10);
  t.is((await store.read({ ...all, id: 9 })).records.length, 10);
  t.is((await store.read({ ...all, since: 21 })).records.length, 10);
  const pages: number[] = [];
  for (let after = 0; ; ) {
    const { records, more } = await store.read({ after, limit: 7 });
    pages.push(...records.map((record) => record.sequence));
    if (!more) break;
    after = records.at(-1)?.sequence ?? 0;
  }
  t.deepEqual(
    pages,
    Array.from({ length: 30 }, (_, i) => i + 1),
  );
});

test('SRV-75: a shorter length keeps the newest, a longer one keeps all', async (t) => {
  const file = place(t);
  const large = opened(t, file, 262_144);
  await large.append(Array.from({ length: 700 }, (_, i) => draft(i + 1)));
  await large.close();
  const small = opened(t, file, 65_536);
  await small.append([draft(701)]);
  const { records } = await small.read(all);
  t.true(statSync(file).size <= 65_536);
  t.is(records.at(-1)?.sequence, 701);
  t.is((records[0]?.sequence ?? 0) + records.length - 1, 701);
  await small.close();
  const again = opened(t, file, 262_144);
  for (let i = 0; i < 40; i += 1) await again.append(Array.from({ length: 10 }, () => draft(9)));
  const grown = (await again.read(all)).records;
  t.is(grown.at(-1)?.sequence, 1_101);
  t.true(grown.length > records.length);
  t.deepEqual(
    grown.map((record) => record.sequence),
    [...grown.keys()].map((i) => 1_101 - grown.length + 1 + i),
  );
  await again.close();
});

test('what is not a statistics file is put aside, never overwritten; a header cut by a crash is made anew', async (t) => {
  const file = place(t);
  const precious = 'x'.repeat(10_000);
  writeFileSync(file, precious);
  let kept = '';
  const store = new StatisticsFile(file, 65_536, (path) => {
    kept = path;
  });
  await t.throwsAsync(store.read(all), { message: /does not begin as one/ });
  await store.append([draft(1)]);
  t.is(readFileSync(kept, 'utf8'), precious);
  t.is((await store.read(all)).records.length, 1);
  await store.close();
  writeFileSync(file, 'a note');
  const short = new StatisticsFile(file, 65_536, (path) => {
    kept = path;
  });
  await short.append([draft(1)]);
  t.is(readFileSync(kept, 'utf8'), 'a note', 'however short it is');
  await short.close();
  writeFileSync(file, statisticsHeader().subarray(0, 10));
  const young = opened(t, file);
  await young.append([draft(1)]);
  t.is((await young.read(all)).records.length, 1);
  t.is(readdirSync(join(file, '..')).length, 3);
  await young.close();
});

test('a reader beside a writer sees whole records in order', async (t) => {
  const file = place(t);
  const store = opened(t, file);
  let writing = true;
  const writer = (async () => {
    for (let i = 0; i < 100; i += 1) await store.append(Array.from({ length: 15 }, (_, j) => draft(i * 15 + j + 1)));
    writing = false;
  })();
  let reads = 0;
  while (writing) {
    const { records } = await store.read(all);
    for (let i = 1; i < records.length; i += 1) t.true((records[i]?.sequence ?? 0) > (records[i - 1]?.sequence ?? 0));
    reads += 1;
  }
  await writer;
  t.true(reads > 0);
  await store.close();
});

test('the reader of a copied file refuses a format of tomorrow', async (t) => {
  const bytes = Buffer.alloc(STATISTICS_BLOCK_BYTES);
  bytes.write('USSTAT\r\n', 'latin1');
  await t.throwsAsync(readStatistics({ size: bytes.length, read: async () => bytes }, all), { message: /damaged/ });
});
