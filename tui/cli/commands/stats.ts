/** `understudy stats`: the statistics file of a server, or a copy of it (LOG-07, LOG-08). */
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import { failure } from '../../../protocol/errors.js';
import { STATISTICS_RECORDS_MAX } from '../../../protocol/limits.js';
import {
  mirrorStatusText,
  STATISTIC_COLUMNS,
  type StatisticRecord,
  StatisticsRead,
} from '../../../protocol/messages/index.js';
import {
  readStatistics,
  type StatisticsRead as Read,
  type StatisticsQuery,
} from '../../../protocol/statistics-file.js';
import { formatBytes, formatMillis, formatSecond } from '../../../protocol/units.js';
import { run, usage } from '../command.js';
import type { Links } from '../links.js';
import { table } from '../print.js';

const SPAN = /^(\d+(?:\.\d+)?)\s*(s|m|h|d|w)$/;
const SPAN_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3_600e3, d: 86_400e3, w: 604_800e3 };

/** `2h`, `3d` back from now, or a date and time; milliseconds since 1970. */
export function readSince(text: string, now: number): number {
  const span = SPAN.exec(text.trim());
  if (span) return now - Number(span[1]) * (SPAN_MS[span[2] ?? ''] ?? 0);
  const at = Date.parse(text.trim().replace(' ', 'T'));
  if (Number.isNaN(at))
    throw usage(`"${text}" is neither a span such as 2h or 3d nor a date such as 2026-11-20 23:00.`);
  return at;
}

type Ask = (query: StatisticsQuery) => Promise<Read>;

async function byFile(file: string, work: (ask: Ask) => Promise<void>): Promise<void> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    throw failure(
      'STATISTICS_UNREADABLE',
      { file, problem: 'the system refused it' },
      {
        call: 'open',
        errno: (error as NodeJS.ErrnoException).code ?? 'EIO',
      },
    );
  }
  try {
    const { size } = await handle.stat();
    const source = {
      size,
      async read(offset: number, length: number): Promise<Uint8Array> {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
        return buffer.subarray(0, bytesRead);
      },
    };
    await work(async (query) => {
      try {
        return await readStatistics(source, query);
      } catch (error) {
        throw failure('STATISTICS_UNREADABLE', { file, problem: (error as Error).message });
      }
    });
  } finally {
    await handle.close();
  }
}

async function byAgent(links: Links, server: string): Promise<Ask> {
  const client = await links.client(server);
  return ({ after, since, key, id, limit }) =>
    client.request(StatisticsRead, {
      limit,
      ...(after === undefined ? {} : { after }),
      ...(since === undefined ? {} : { since }),
      ...(key === undefined ? {} : { key }),
      ...(id === undefined ? {} : { id }),
    });
}

function overview(records: readonly StatisticRecord[], titles: boolean): string {
  const heads = [
    'Time',
    'ID',
    'Replication Set',
    'Target Name',
    'Target Data State',
    'Mirror Status',
    'Replication Status',
    'Queued',
    'Sent Mirror',
    'Sent Replication',
    'Behind',
  ];
  const text = table(
    heads.map((title) => ({ title, right: ['ID', 'Queued', 'Sent Mirror', 'Sent Replication'].includes(title) })),
    records.map(({ at, latencyMs, statistics: s }) => [
      formatSecond(at),
      String(s.connectionId),
      s.replicationSet,
      s.targetName,
      s.targetDataState,
      mirrorStatusText(s),
      s.replicationStatus,
      formatBytes(s.intermediateQueueBytes + s.diskQueueBytes),
      formatBytes(s.sentMirrorBytes),
      formatBytes(s.sentReplicationBytes),
      latencyMs < 0 ? 'unknown' : formatMillis(latencyMs),
    ]),
  );
  return titles ? text : text.slice(text.indexOf('\n') + 1);
}

/** RFC 4180; a formula in a file name must stay a file name when a spreadsheet opens it. */
const cell = (value: string | number | null): string => {
  const text = String(value ?? '');
  const safe = /^[=+\-@\t\r]/.test(text) && typeof value === 'string' ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
const CSV_HEADS = [
  'Record',
  'Time',
  'Key',
  ...STATISTIC_COLUMNS.map((column) => column.label),
  'Mirror (Percent)',
  'Recovery Point Latency (ms)',
  'On the Wire (Bytes)',
  'Quarantined',
];
const csvLine = (record: StatisticRecord): string =>
  [
    record.sequence,
    new Date(record.at).toISOString(),
    record.key,
    ...STATISTIC_COLUMNS.map((column) => {
      const value = record.statistics[column.field];
      return column.kind === 'time' && typeof value === 'number' ? new Date(value).toISOString() : value;
    }),
    record.statistics.mirrorPercent,
    record.latencyMs,
    record.wireBytes,
    record.quarantined,
  ]
    .map(cell)
    .join(',');

interface Flags {
  readonly file?: string;
  readonly connection?: string;
  readonly since?: string;
  readonly csv?: boolean;
}

export function addStatsCommand(program: Command): void {
  program
    .command('stats')
    .description('statistics of connections over time, from the statistics file of a server or a copy of it')
    .argument('[server]', 'server; not with --file')
    .option('--file <path>', 'read a copied statistics file instead of asking a server')
    .option('--connection <id>', 'only this connection: its ID at the time, or its permanent key')
    .option('--since <when>', 'only from then on: 30m, 2h, 3d, or a date and time')
    .option('--csv', 'comma-separated values with every column')
    .action(
      run(async ({ links, out }, server: string | undefined, flags: Flags) => {
        if ((server === undefined) === (flags.file === undefined)) throw usage('Name a server, or a file with --file.');
        const byId = flags.connection !== undefined && /^\d{1,9}$/.test(flags.connection);
        const wanted = {
          since: flags.since === undefined ? undefined : readSince(flags.since, Date.now()),
          id: byId ? Number(flags.connection) : undefined,
          key: flags.connection !== undefined && !byId ? flags.connection : undefined,
          limit: STATISTICS_RECORDS_MAX,
        };
        const records: StatisticRecord[] = [];
        let titles = true;
        let unreadable = 0;
        const work = async (ask: Ask): Promise<void> => {
          for (let after = 0, more = true; more; ) {
            const read = await ask({ ...wanted, after });
            after = read.records.at(-1)?.sequence ?? after;
            more = read.more && read.records.length > 0;
            unreadable += read.unreadable;
            // A page at a time, so that years of statistics need no memory; JSON is one document.
            if (out.json) records.push(...read.records);
            else if (flags.csv)
              process.stdout.write(
                `${[...(titles ? [CSV_HEADS.map(cell).join(',')] : []), ...read.records.map(csvLine)].join('\r\n')}\r\n`,
              );
            else if (read.records.length > 0 || !titles) process.stdout.write(overview(read.records, titles));
            else process.stdout.write('No statistics yet.\n');
            titles = false;
          }
        };
        if (flags.file === undefined) await work(await byAgent(links, server as string));
        else await byFile(flags.file, work);
        if (unreadable > 0) out.tell(`${unreadable} records are of another release and were left out`);
        if (out.json) out.show('', { server: server ?? null, file: flags.file ?? null, records, unreadable });
      }),
    );
}
