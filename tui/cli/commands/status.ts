/** `understudy status`. */
import type { Command } from 'commander';
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import {
  type ConnectionItem,
  ConnectionList,
  type Grant,
  GrantList,
  mirrorStatusText,
  STATISTIC_COLUMNS,
  type Statistics,
} from '../../../protocol/messages/index.js';
import { formatBytes, formatCount, formatWallTime } from '../../../protocol/units.js';
import { behind, behindInFull, recoveryPoint } from '../../model/lag.js';
import { type Run, run } from '../command.js';
import type { Reached } from '../links.js';
import { properties, table, visible } from '../print.js';
import { watch } from './watch.js';

export interface Row extends ConnectionItem {
  readonly server: string;
}

export function overview(rows: readonly Row[]): string {
  const cells = rows.map((row) => {
    const s = row.statistics;
    return [
      `${row.server}:${row.id}`,
      row.set,
      row.target,
      s.targetDataState,
      s.targetStatus,
      s.transmitMode,
      mirrorStatusText(s),
      s.replicationStatus,
      formatBytes(s.intermediateQueueBytes + s.diskQueueBytes),
      formatBytes(s.sentBytes),
      behind(row),
    ];
  });
  const heads = [
    'Connection',
    'Replication Set',
    'Target Name',
    'Target Data State',
    'Target Status',
    'Transmit Mode',
    'Mirror Status',
    'Replication Status',
    'Queued',
    'Sent',
    'Behind',
  ];
  return table(
    heads.map((title) => ({ title, right: title === 'Queued' || title === 'Sent' })),
    cells,
  );
}

function incoming(grants: readonly (Grant & { server: string; target: string })[]): string {
  const cells = grants.map((grant) => [
    grant.target,
    `${grant.server}: ${grant.set}`,
    grant.linked ? (grant.paused ? 'Paused' : 'linked') : 'not linked',
    formatBytes(grant.writtenBytes),
    grant.mappings.map((one) => one.target).join(', '),
  ]);
  return table(
    [
      { title: 'Target' },
      { title: 'Receives' },
      { title: 'State' },
      { title: 'Written', right: true },
      { title: 'Into' },
    ],
    cells,
  );
}

export function problems(rows: readonly Row[]): string {
  const lines = rows.flatMap((row) =>
    row.problem
      ? [`${row.server}:${row.id}  ${visible(noticeText(row.problem))}`, `    ${visible(noticeRemedy(row.problem))}`]
      : [],
  );
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => `${line}\n`)
    .join('');
}

function statisticText(statistics: Statistics, column: (typeof STATISTIC_COLUMNS)[number]): string {
  const value = statistics[column.field];
  if (column.field === 'mirrorStatus') return mirrorStatusText(statistics);
  if (value === null) return '';
  if (column.kind === 'time') return formatWallTime(Number(value));
  if (column.kind === 'bytes') return `${formatCount(Number(value))} (${formatBytes(Number(value))})`;
  return String(value);
}

export function details(row: Row): string {
  return (
    properties([
      ['Connection', `${row.server}:${row.id}`],
      ...STATISTIC_COLUMNS.filter((column) => column.field !== 'connectionId').map((column): [string, string] => [
        column.label,
        statisticText(row.statistics, column),
      ]),
      ['Route', row.route],
      ...row.mappings.map((mapping, at): [string, string] => [
        at === 0 ? 'Directories' : '',
        `${mapping.source} -> ${mapping.target}`,
      ]),
      ['Behind', behindInFull(row)],
      ['Recovery point', recoveryPoint(row)],
      ...(row.stall ? [['Stalled', `since ${formatWallTime(row.stall.since)} (${row.stall.cause})`] as const] : []),
      ['Batches', `${row.sequence} made, ${row.applied} applied, ${row.durable} durable`],
      ['On the wire', formatBytes(row.wireBytes)],
      ['In quarantine', formatCount(row.quarantined)],
      ...(row.mirrorFilesTotal > 0
        ? [['Mirror', `${formatCount(row.mirrorFilesDone)} of ${formatCount(row.mirrorFilesTotal)} files`] as const]
        : []),
    ]) + problems([row])
  );
}

async function gather(reached: readonly Reached[]): Promise<{ rows: Row[]; grants: (Grant & { target: string })[] }> {
  const rows: Row[] = [];
  const grants: (Grant & { target: string })[] = [];
  for (const { server, client } of reached) {
    if (!client) continue;
    const [made, granted] = await Promise.all([client.request(ConnectionList, {}), client.request(GrantList, {})]);
    for (const item of made.connections) rows.push({ server: server.name, ...item });
    for (const grant of granted.grants) grants.push({ target: server.name, ...grant });
  }
  return { rows, grants };
}

async function showAll({ links, out }: Run): Promise<number> {
  const reached = await links.all();
  const { rows, grants } = await gather(reached);
  const silent = reached.filter((one) => one.error);
  const text = (): string => {
    if (reached.length === 0) return 'No servers yet: understudy server add NAME ADDRESS\n';
    const parts = [rows.length === 0 ? 'No connections.\n' : overview(rows)];
    if (grants.length > 0) parts.push(incoming(grants));
    const trouble =
      problems(rows) + silent.map((one) => `${one.server.name}  ${visible(one.error?.message ?? '')}\n`).join('');
    if (trouble) parts.push(trouble);
    return parts.join('\n');
  };
  out.show(text, {
    connections: rows,
    incoming: grants,
    servers: reached.map((one) => ({
      name: one.server.name,
      reachable: one.client !== null,
      error: one.error ? { code: one.error.code, message: one.error.message } : null,
    })),
  });
  return silent.length > 0 && silent.length === reached.length ? 3 : 0;
}

export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('all connections, or everything about one')
    .argument('[id]', 'connection ID, or SERVER:ID')
    .option('--watch', 'go on showing it until ^C')
    .action(
      run(async (it, id: string | undefined, flags: { watch?: boolean }) => {
        if (flags.watch) return watch(it, id);
        if (id === undefined) return showAll(it);
        const { server, item } = await it.links.connection(id);
        const row: Row = { server: server.name, ...item };
        it.out.show(() => details(row), { connection: row });
        return 0;
      }),
    );
}
