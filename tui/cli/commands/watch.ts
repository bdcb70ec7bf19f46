/**
 * `understudy status --watch`: connections as they change, for terminals and for programs. Links come back by
 * themselves; what is not heard of any more is never shown as if it were (I3).
 */
import { mirrorStatusText } from '../../../protocol/messages/statistic-columns.js';
import { formatBytes } from '../../../protocol/units.js';
import { Session } from '../../link/session.js';
import type { Prompts } from '../../link/transport.js';
import { applyFacts, type Fleet, isStale, type LinkFact, newServer, type Server } from '../../model/fleet.js';
import { age } from '../../screens/replication/tree.js';
import { type Run, untilAborted } from '../command.js';
import { clip, columns, visible } from '../print.js';
import { terminalPrompts } from '../prompts.js';
import { behind } from '../../model/lag.js';
import { details, overview, problems, type Row } from './status.js';

/** Redraws at most this often. */
const REDRAW_MS = 250;
/** Ages of what is not heard of any more are shown in seconds. */
const AGE_MS = 1_000;

interface Shown extends Row {
  readonly stale: boolean;
}

interface Column {
  readonly head: readonly [string, string];
  readonly right?: boolean;
  readonly cell: (row: Shown) => string;
}

/** In the order of the lines; `keep` below says in which order they are left out. */
const COLUMNS = {
  id: { head: ['', 'Connection'], cell: (row) => `${row.stale ? '? ' : ''}${row.server}:${row.id}` },
  set: { head: ['Replication', 'Set'], cell: (row) => row.set },
  target: { head: ['Target', 'Name'], cell: (row) => row.target },
  data: { head: ['Target', 'Data State'], cell: (row) => row.statistics.targetDataState },
  status: { head: ['Target', 'Status'], cell: (row) => row.statistics.targetStatus },
  transmit: { head: ['Transmit', 'Mode'], cell: (row) => row.statistics.transmitMode },
  mirror: { head: ['Mirror', 'Status'], cell: (row) => mirrorStatusText(row.statistics) },
  replication: { head: ['Replication', 'Status'], cell: (row) => row.statistics.replicationStatus },
  queued: {
    head: ['', 'Queued'],
    right: true,
    cell: ({ statistics: s }) => formatBytes(s.intermediateQueueBytes + s.diskQueueBytes),
  },
  sent: { head: ['', 'Sent'], right: true, cell: (row) => formatBytes(row.statistics.sentBytes) },
  behind: { head: ['', 'Behind'], cell: (row) => (row.stale ? 'unknown' : behind(row)) },
} as const satisfies Readonly<Record<string, Column>>;
type Name = keyof typeof COLUMNS;

/** Left out in this order where a terminal is narrow. */
const SPARE: readonly Name[] = ['sent', 'status', 'queued', 'target', 'transmit', 'replication', 'mirror', 'behind'];

/** The table in at most `width` columns: columns that have no room are left out whole, never cut. */
export function watchTable(rows: readonly Shown[], width: number): string[] {
  const cells = new Map<Name, { readonly lines: readonly string[]; readonly wide: number; readonly right: boolean }>();
  for (const [name, column] of Object.entries(COLUMNS) as [Name, Column][]) {
    const lines = [...column.head, ...rows.map((row) => visible(column.cell(row)))];
    cells.set(name, { lines, wide: Math.max(...lines.map(columns)), right: column.right === true });
  }
  const total = (): number => [...cells.values()].reduce((sum, one) => sum + one.wide + 1, -1);
  for (const name of SPARE) if (total() > width) cells.delete(name);
  return Array.from({ length: rows.length + 2 }, (_, at) =>
    [...cells.values()]
      .map(({ lines, wide, right }) => {
        const text = lines[at] ?? '';
        const gap = ' '.repeat(Math.max(0, wide - columns(text)));
        return right ? gap + text : text + gap;
      })
      .join(' ')
      .trimEnd(),
  );
}

function rowsOf(server: Server, key: string | null): Shown[] {
  const stale = isStale(server);
  return [...server.connections.values()]
    .filter((item) => key === null || item.key === key)
    .sort((a, b) => a.id - b.id)
    .map((item) => ({ server: server.name, stale, ...item }));
}

/** What is wrong with the roads to the servers, a line or two for each. */
function roads(fleet: Fleet, now: number): string[] {
  return fleet.servers.flatMap((server) => {
    const { link, heardAt } = server;
    const old = heardAt > 0 ? `; its figures are ${age(now - heardAt)} old` : '';
    if (link.kind === 'connecting') return [`${server.name}  connecting${old}`];
    if (link.kind !== 'lost' && link.kind !== 'refused')
      return server.hello?.access === 'none' ? [`${server.name}  you have no access there`] : [];
    const { text, remedy } = link.trouble;
    const again = link.kind === 'lost' ? 'it is tried again by itself' : 'it is not tried again';
    const told = `${server.name}  ${visible(text).replace(/\.$/, '')}; ${again}${old}`;
    return remedy === '' ? [told] : [told, `    ${visible(remedy)}`];
  });
}

/** The picture for a terminal: as much as has room, and what was left out. */
export function watchLines(
  fleet: Fleet,
  key: string | null,
  now: number,
  size: { readonly width: number; readonly height: number },
): string[] {
  const rows = fleet.servers.flatMap((server) => rowsOf(server, key));
  const [first] = rows;
  const trouble = [
    ...problems(rows.filter((row) => !row.stale))
      .split('\n')
      .slice(0, -1),
    ...roads(fleet, now),
  ];
  const body =
    key !== null && first
      ? details(first).split('\n').slice(0, -1)
      : rows.length === 0
        ? ['No connections.']
        : watchTable(rows, size.width);
  const known = new Set(body);
  const lines = [...body, ...(trouble.length > 0 ? [''] : []), ...trouble.filter((line) => !known.has(line))];
  const fits = lines.map((line) => clip(line, size.width));
  if (fits.length <= size.height) return fits;
  // Problems are what somebody looks for: the table gives way first, down to half of the screen.
  const below = fits.slice(
    body.length,
    body.length + Math.max(0, size.height - 1 - Math.min(body.length, size.height >> 1)),
  );
  const above = fits.slice(0, size.height - 1 - below.length);
  return [...above, `... and ${body.length - above.length} more lines; understudy status shows all`, ...below];
}

export async function watch(it: Run, only: string | undefined): Promise<number> {
  const { links, out, signal } = it;
  const wanted = only === undefined ? null : await links.connection(only);
  const entries = wanted ? [wanted.server] : links.servers;
  if (entries.length === 0) {
    out.tell('No servers yet: understudy server add NAME ADDRESS');
    return 0;
  }
  const key = wanted?.item.key ?? null;
  let fleet: Fleet = { servers: entries.map(({ name, address }) => newServer(name, address)) };
  const over = new AbortController();
  const terminal = process.stdout.isTTY && !out.json;
  let drawn: NodeJS.Timeout | null = null;
  let asking = 0;
  const draw = (): void => {
    drawn = null;
    if (asking > 0) return;
    const { columns: width = 80, rows: height = 24 } = process.stdout;
    const lines = watchLines(fleet, key, Date.now(), { width, height: height - 1 });
    // Home, then the new text over the old one line by line: no flicker of an emptied screen.
    process.stdout.write(`\x1b[H${lines.join('\x1b[K\n')}\x1b[K\n\x1b[J`);
    if (fleet.servers.some(isStale)) drawSoon(AGE_MS);
  };
  const drawSoon = (ms: number): void => {
    drawn ??= setTimeout(draw, ms);
  };
  const told = new Map<string, string>();
  const tellRoad = (server: Server): void => {
    const { link } = server;
    const trouble = link.kind === 'lost' || link.kind === 'refused' ? link.trouble : null;
    if (!trouble && link.kind !== 'online') return;
    const state = trouble?.text ?? 'online';
    if ((told.get(server.name) ?? 'online') === state) return;
    told.set(server.name, state);
    out.tell(`${server.name}: ${trouble ? visible(`${trouble.text} ${trouble.remedy}`.trim()) : 'answers again'}`);
    if (out.json)
      out.stream('', {
        server: server.name,
        link: link.kind,
        error: trouble && { code: trouble.code, message: trouble.text },
      });
  };
  const onFacts = (name: string, facts: readonly LinkFact[]): void => {
    fleet = applyFacts(fleet, name, facts, Date.now());
    const server = fleet.servers.find((one) => one.name === name);
    if (!server || over.signal.aborted) return;
    // Where nothing can come any more, waiting would only look like silence.
    if (fleet.servers.every((one) => one.link.kind === 'refused')) over.abort();
    if (terminal) {
      if (drawn && facts.some((fact) => fact.kind === 'link')) {
        clearTimeout(drawn);
        drawn = null;
      }
      drawSoon(REDRAW_MS);
      return;
    }
    tellRoad(server);
    for (const fact of facts) {
      const items = fact.kind === 'connections' ? fact.all : fact.kind === 'connection' ? [fact.item] : [];
      for (const item of items) {
        if (key !== null && item.key !== key) continue;
        const row = { server: name, ...item };
        out.stream(() => overview([row]).split('\n').slice(1).join('\n'), { connection: row });
      }
      if (fact.kind === 'connection_gone' && out.json) out.stream('', { server: name, gone: fact.key });
    }
  };
  const prompts = quiet(terminalPrompts(), (more) => {
    asking += more;
    if (terminal && asking === 0) drawSoon(0);
  });
  const sessions = entries.map(
    ({ name, address }) => new Session({ name, address, onFacts, ...(prompts ? { prompts } : {}) }),
  );
  if (terminal) {
    process.stdout.write('\x1b[2J');
    process.stdout.on('resize', draw);
  }
  for (const session of sessions) session.start();
  await untilAborted(AbortSignal.any([signal, over.signal]));
  const refused = over.signal.aborted;
  over.abort();
  if (drawn) clearTimeout(drawn);
  process.stdout.off('resize', draw);
  if (refused && terminal) draw();
  // The prompt of the shell gets a line of its own.
  else if (terminal) process.stdout.write('\n');
  for (const session of sessions) session.stop();
  if (drawn) clearTimeout(drawn);
  return refused ? 3 : 0;
}

/** Questions on the terminal, with a word before and after each: nothing may be drawn over them. */
function quiet(prompts: Prompts | undefined, asking: (more: 1 | -1) => void): Prompts | undefined {
  const { hostKey, secret } = prompts ?? {};
  if (!hostKey || !secret) return undefined;
  const around = async <T>(ask: () => Promise<T>): Promise<T> => {
    asking(1);
    try {
      return await ask();
    } finally {
      asking(-1);
    }
  };
  return {
    hostKey: (question) => around(() => hostKey(question)),
    secret: (question) => around(() => secret(question)),
  };
}
