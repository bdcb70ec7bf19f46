/** Tables on the right for each place of the tree (RCN-01): their columns, rows, and what is selected. */
import type { ConnectionItem, Grant } from '../../../protocol/messages/index.js';
import {
  mirrorStatusText,
  STATISTIC_COLUMNS,
  type StatisticColumn,
} from '../../../protocol/messages/statistic-columns.js';
import { formatBytes, formatCount, formatSecond } from '../../../protocol/units.js';
import type { App } from '../../model/app.js';
import { findServer, isStale, type Server, serverSeverity } from '../../model/fleet.js';
import { ofConnection, SEVERITY_WORD } from '../../model/severity.js';
import { type Column, choose, type TableDef } from '../../model/table.js';
import type { Role } from '../../layout/roles.js';
import { age, type Place, selectedNode, serverWord } from './tree.js';

export interface ConnectionRow {
  readonly kind: 'connection';
  readonly server: Server;
  readonly item: ConnectionItem;
  /** STA-03, as named in the tree. */
  readonly target: string;
}
export interface ServerRow {
  readonly kind: 'server';
  readonly server: Server;
  readonly now: number;
}
export interface GrantRow {
  readonly kind: 'grant';
  readonly server: Server;
  readonly item: Grant;
}
export type Row = ConnectionRow | ServerRow | GrantRow;

const connectionRow = (row: Row): ConnectionItem | null => (row.kind === 'connection' ? row.item : null);

/** Shows one statistic with its unit in a steady width. */
export function statisticText(item: ConnectionItem, column: StatisticColumn): string {
  if (column.id === 'STA-09') return mirrorStatusText(item.statistics);
  const value = item.statistics[column.field];
  if (value === null) return '';
  switch (column.kind) {
    case 'bytes':
      return formatBytes(Number(value));
    case 'count':
      return formatCount(Number(value));
    case 'time':
      return formatSecond(Number(value));
    case 'text':
      return String(value);
  }
}

const GOOD = new Set(['OK', 'Started', 'Idle', 'Replicating', 'Ready']);
const BAD = new Set([
  'Error',
  'Mirror Required',
  'Restore required',
  'Out of Memory',
  'Failed',
  'Not Loaded',
  'Unknown',
]);
const WAITING = new Set(['Paused', 'Pause Pending', 'Stopped', 'Retrying', 'Pending', 'Not Ready', 'Busy']);

/** Colour of a state word; the word itself says the same. */
export function stateRole(word: string): Role | null {
  if (GOOD.has(word)) return 'status.ok';
  if (BAD.has(word)) return 'status.alert';
  if (WAITING.has(word)) return 'status.warn';
  return 'status.notice';
}

const STATES = new Set(['STA-05', 'STA-06', 'STA-08', 'STA-09', 'STA-10']);
const WIDTHS: Readonly<Record<string, readonly [number, number]>> = {
  'STA-01': [15, 28],
  'STA-03': [8, 24],
  'STA-04': [9, 21],
  'STA-25': [20, 48],
  'STA-26': [19, 19],
};

function statisticColumn(column: StatisticColumn): Column<Row> {
  const [widthMin, widthMax] = WIDTHS[column.id] ?? (column.kind === 'bytes' ? [10, 18] : [6, 18]);
  return {
    id: column.id,
    label: column.label,
    align: column.kind === 'bytes' || column.kind === 'count' ? 'right' : 'left',
    widthMin,
    widthMax,
    ...(column.id === 'STA-25' ? { keep: 'end' as const } : {}),
    value: (row) => {
      if (column.id === 'STA-03' && row.kind === 'connection') return row.target;
      const value = connectionRow(row)?.statistics[column.field] ?? null;
      if (column.id === 'STA-09' && row.kind === 'connection') return mirrorStatusText(row.item.statistics);
      return value === null ? '' : typeof value === 'boolean' ? Number(value) : value;
    },
    show: (row) => {
      if (row.kind !== 'connection') return '';
      return column.id === 'STA-03' ? row.target : statisticText(row.item, column);
    },
    ...(STATES.has(column.id)
      ? { role: (row: Row) => (row.kind === 'connection' ? stateRole(statisticText(row.item, column)) : null) }
      : {}),
  };
}

const text = (
  id: string,
  label: string,
  show: (row: Row) => string,
  widthMin: number,
  widthMax: number,
  more: Partial<Column<Row>> = {},
): Column<Row> => ({
  id,
  label,
  align: 'left',
  widthMin,
  widthMax,
  value: show,
  show,
  ...more,
});

const SERVER_COLUMN = text('server', 'Source', (row) => row.server.name, 8, 20);
const EVERY = new Map(STATISTIC_COLUMNS.map((column) => [column.id, statisticColumn(column)]));
const DEFAULTS = STATISTIC_COLUMNS.filter((column) => column.shown).map(statisticColumn);

/** Where not all columns fitTo, those that tell the state come first; the others follow in the specification's order. */
const NARROW_FIRST = ['STA-01', 'STA-05', 'STA-09', 'STA-10', 'STA-08', 'STA-03', 'STA-16'];
export const NARROW_WIDTH = 110;

const narrowFirst = (columns: readonly Column<Row>[]): Column<Row>[] => [
  ...NARROW_FIRST.flatMap((id) => columns.filter((column) => column.id === id)),
  ...columns.filter((column) => !NARROW_FIRST.includes(column.id)),
];

function connections(withServer: boolean, narrow: boolean, chosen: readonly Column<Row>[] = DEFAULTS): TableDef<Row> {
  // The set stays in sight while the rest scrolls; beside it goes the server when rows of several are mixed.
  const columns = withServer ? [...chosen.slice(0, 1), SERVER_COLUMN, ...chosen.slice(1)] : chosen;
  return {
    title: 'Connections',
    columns: narrow ? narrowFirst(columns) : columns,
    key: (row) => (row.kind === 'connection' ? `${row.server.name}\0${row.item.key}` : ''),
    severity: (row) => (row.kind === 'connection' ? ofConnection(row.item) : 'ok'),
    stale: (row) => isStale(row.server),
    empty: 'No connections here. Press c to connect a replication set to a target.',
  };
}

const number = (id: string, label: string, pick: (row: Row) => number, show: (value: number) => string): Column<Row> =>
  text(id, label, (row) => show(pick(row)), 7, 14, { align: 'right', value: pick });

const SERVERS: TableDef<Row> = {
  title: 'Servers',
  columns: [
    text('name', 'Server', (row) => row.server.name, 10, 24),
    text('state', 'Status', (row) => serverState(row.server, row.kind === 'server' ? row.now : 0), 9, 20, {
      role: (row) => (isStale(row.server) ? 'stale' : null),
    }),
    text('access', 'Access', (row) => accessWord(row.server), 7, 13),
    text('address', 'Address', (row) => row.server.address, 12, 40, { keep: 'end' }),
    number('sets', 'Sets', (row) => row.server.sets.size, String),
    number('connections', 'Connections', (row) => row.server.connections.size, String),
    number('incoming', 'Incoming', (row) => row.server.grants.size, String),
    text('version', 'Version', (row) => row.server.hello?.version ?? '', 7, 12),
    text(
      'heard',
      'Heard',
      (row) =>
        row.server.heardAt === 0 ? 'never' : `${age((row.kind === 'server' ? row.now : 0) - row.server.heardAt)} ago`,
      9,
      10,
    ),
  ],
  key: (row) => row.server.name,
  severity: (row) => serverSeverity(row.server),
  stale: (row) => isStale(row.server),
  empty: 'No servers yet. Press N to add one, or leave and run: understudy demo',
};

/** RCN-08: what the person may do there. */
export function accessWord(server: Server): string {
  switch (server.hello?.access) {
    case 'administrator':
      return 'Administrator';
    case 'monitor':
      return 'Monitor';
    case 'none':
      return 'None';
    case undefined:
      return '';
  }
}

function serverState(server: Server, now: number): string {
  return server.link.kind === 'online' && serverWord(server, now) === ''
    ? SEVERITY_WORD[serverSeverity(server)]
    : serverWord(server, now);
}

const grantOf = (row: Row): Grant | null => (row.kind === 'grant' ? row.item : null);

const INCOMING: TableDef<Row> = {
  title: 'Incoming',
  columns: [
    text('set', 'Replication Set', (row) => grantOf(row)?.set ?? '', 15, 28),
    text('source', 'Source', (row) => grantOf(row)?.server ?? '', 8, 20),
    text(
      'link',
      'Link',
      (row) => (grantOf(row)?.paused ? 'Paused' : grantOf(row)?.linked ? 'Linked' : 'No link'),
      7,
      8,
      {
        role: (row) => (grantOf(row)?.paused ? 'status.warn' : grantOf(row)?.linked ? 'status.ok' : 'stale'),
      },
    ),
    number('written', 'Written', (row) => grantOf(row)?.writtenBytes ?? 0, formatBytes),
    number('queued', 'Queued', (row) => grantOf(row)?.queuedBytes ?? 0, formatBytes),
    number('operations', 'Operations', (row) => grantOf(row)?.operations ?? 0, formatCount),
    number('failed', 'Failed', (row) => grantOf(row)?.failed ?? 0, formatCount),
    text(
      'target',
      'Target directory',
      (row) =>
        grantOf(row)
          ?.mappings.map((one) => one.target)
          .join(', ') ?? '',
      16,
      40,
      { keep: 'end' },
    ),
    text('last', 'Last File Touched', (row) => grantOf(row)?.lastFileTouched ?? '', 20, 48, { keep: 'end' }),
  ],
  key: (row) => grantOf(row)?.connection ?? '',
  severity: (row) => ((grantOf(row)?.failed ?? 0) > 0 ? 'warn' : 'ok'),
  stale: (row) => isStale(row.server),
  empty: 'Nothing is replicated to this server.',
};

/** By "rows of several servers" and "narrow"; made once, because a table is looked at several times per key. */
const CONNECTION_TABLES = [
  [connections(false, false), connections(false, true)],
  [connections(true, false), connections(true, true)],
] as const;

const chosenTables = new WeakMap<readonly string[], readonly [TableDef<Row>, TableDef<Row>]>();

/** The table of connections: the person's own columns, else the default ones, arranged for the width. */
function connectionTable(app: App, several: 0 | 1): TableDef<Row> {
  if (app.columns === null) return CONNECTION_TABLES[several][app.size.width < NARROW_WIDTH ? 1 : 0];
  let made = chosenTables.get(app.columns);
  if (!made) {
    const columns = app.columns.flatMap((id) => EVERY.get(id) ?? []);
    made = [connections(false, false, columns), connections(true, false, columns)];
    chosenTables.set(app.columns, made);
  }
  return made[several];
}

export interface Shown {
  readonly def: TableDef<Row>;
  /** After filter and order. */
  readonly rows: readonly Row[];
  /** Before the filter. */
  readonly total: number;
}

function place(app: App): Place {
  return selectedNode(app)?.place ?? { kind: 'all' };
}

function rowsAt(app: App, at: Place): { def: TableDef<Row>; rows: Row[] } {
  const { servers } = app.fleet;
  const several = servers.filter((server) => server.connections.size > 0).length > 1 ? 1 : 0;
  const names = new Map(servers.map((server) => [server.status?.key ?? '', server.name]));
  const ofServer = (server: Server, set: string | null): Row[] => {
    const out: Row[] = [];
    for (const item of server.connections.values())
      if (set === null || item.set === set)
        out.push({ kind: 'connection', server, item, target: names.get(item.targetKey) ?? item.statistics.targetName });
    return out.sort((a, b) => (a.kind === 'connection' && b.kind === 'connection' ? a.item.id - b.item.id : 0));
  };
  switch (at.kind) {
    case 'all':
      if (servers.length === 0) return { def: { ...connectionTable(app, 0), empty: SERVERS.empty }, rows: [] };
      return { def: connectionTable(app, several), rows: servers.flatMap((server) => ofServer(server, null)) };
    case 'servers':
      return { def: SERVERS, rows: servers.map((server) => ({ kind: 'server', server, now: app.now })) };
    case 'incoming': {
      const server = findServer(app.fleet, at.server);
      return {
        def: INCOMING,
        rows: server ? [...server.grants.values()].map((item) => ({ kind: 'grant', server, item })) : [],
      };
    }
    case 'server':
    case 'set': {
      const server = findServer(app.fleet, at.server);
      return {
        def: connectionTable(app, 0),
        rows: server ? ofServer(server, at.kind === 'set' ? at.set : null) : [],
      };
    }
  }
}

let memoKey: readonly unknown[] = [];
let memoValue: Shown | null = null;

/** The table of the moment. The last answer is kept, because update and view ask several times per key. */
export function shown(app: App): Shown {
  const { table, problemsOnly, tree } = app.screen;
  const filter = table.typing ? table.typing.parts.join('') : table.filter;
  const at = place(app);
  // Ages change each second; only the table of servers shows them.
  const key = [
    app.fleet,
    tree.selected,
    tree.collapsed,
    filter,
    problemsOnly,
    table.order,
    at.kind === 'servers' ? app.now : 0,
    app.size.width < NARROW_WIDTH,
    app.columns,
  ];
  if (memoValue && key.every((value, index) => value === memoKey[index])) return memoValue;
  const { def, rows } = rowsAt(app, at);
  memoValue = { def, rows: choose(def, rows, filter, problemsOnly, table.order), total: rows.length };
  memoKey = key;
  return memoValue;
}

/** Index of the selected row: by key, else near where it was. */
export function selectedIndex(app: App): number {
  const { def, rows } = shown(app);
  if (rows.length === 0) return -1;
  const { selected, index } = app.screen.table;
  if (selected !== null) {
    if (rows[index] && def.key(rows[index]) === selected) return index;
    const found = rows.findIndex((row) => def.key(row) === selected);
    if (found >= 0) return found;
  }
  return Math.min(index, rows.length - 1);
}

export function selectedRow(app: App): Row | null {
  return shown(app).rows[selectedIndex(app)] ?? null;
}

/** The connection that keys act on: the selected row. */
export function selectedConnection(app: App): ConnectionRow | null {
  const row = selectedRow(app);
  return row?.kind === 'connection' ? row : null;
}

/** The server that server keys act on: the row's when the table has the focus, else the tree's. */
export function actingServer(app: App): Server | null {
  const at = place(app);
  const row = selectedRow(app);
  if (app.screen.focus === 'table' && row) return row.server;
  if ('server' in at) return findServer(app.fleet, at.server) ?? null;
  return row?.server ?? app.fleet.servers[0] ?? null;
}
