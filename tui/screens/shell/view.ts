/** The whole screen: title, panes, the line of the last action, keys, and what lies on top. Pure. */
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import { formatMillis, formatWallTime } from '../../../protocol/units.js';
import type { App } from '../../model/app.js';
import { isStale, problemCount, serverSeverity } from '../../model/fleet.js';
import { worst } from '../../model/severity.js';
import { Grid, type Rect, run, type Run, type Scene } from '../../layout/grid.js';
import { glyphsFor } from '../../layout/glyphs.js';
import { arrange, HEIGHT_MIN, WIDTH_MIN } from '../../layout/panes.js';
import { cut, width } from '../../layout/text.js';
import { blockedReason, keyName } from '../replication/key-list.js';
import { KEYS } from '../replication/keys.js';
import { actingServer, selectedConnection } from '../replication/tables.js';
import { selectedNode } from '../replication/tree.js';
import { cutRuns, drawReplication, roleOf, signOf } from '../replication/view.js';
import { askedNow } from './questions.js';
import { drawAsked, drawOverlay } from './view-overlays.js';

export function view(app: App): Scene {
  const { width: wide, height: high } = app.size;
  const grid = new Grid(Math.max(1, wide), Math.max(1, high), app.ascii);
  const layout = arrange(wide, high, app.screen.zoomed);
  if (!layout) return tooSmall(app, grid);
  const asked = askedNow(app);
  const onTop = app.overlay !== null || asked !== null;
  const drawn = drawReplication(app, grid, layout, onTop);
  drawTitle(app, grid, layout.title);
  drawAction(app, grid, layout.action);
  drawFooter(app, grid, layout.footer);
  let cursor = onTop ? null : drawn.cursor;
  if (app.overlay) cursor = drawOverlay(app, grid, app.overlay);
  if (asked) cursor = drawAsked(app, grid, asked);
  return { grid, cursor, charts: onTop ? [] : drawn.charts };
}

/** T2: says what is needed, and never breaks. */
function tooSmall(app: App, grid: Grid): Scene {
  const lines = [
    'Terminal too small:',
    `${app.size.width}x${app.size.height}, need ${WIDTH_MIN}x${HEIGHT_MIN}.`,
    'q leaves.',
  ];
  const top = Math.max(0, Math.floor((grid.height - lines.length) / 2));
  lines.forEach((line, i) => {
    grid.put(Math.max(0, Math.floor((grid.width - width(line)) / 2)), top + i, [
      run(line, i === 0 ? 'status.warn' : 'text'),
    ]);
  });
  return { grid, cursor: null, charts: [] };
}

function drawTitle(app: App, grid: Grid, rect: Rect): void {
  const glyphs = glyphsFor(app.ascii);
  grid.fill(rect, 'header');
  const { servers } = app.fleet;
  const problems = servers.reduce((sum, server) => sum + problemCount(server), 0);
  const severity = worst(servers.map(serverSeverity));
  const unknown = servers.filter((server) => isStale(server) && serverSeverity(server) !== 'alert').length;
  const right: Run[] = [];
  const waiting = askedNow(app) ? null : app.asked[0];
  if (waiting) right.push(run(`${glyphs.warn} ${waiting.question.server} asks  `, 'status.warn'));
  if (app.readOnly) right.push(run('read-only  ', 'status.warn'));
  if (app.running.size > 0) right.push(run(`${glyphs.busy} ${app.running.size} running  `, 'status.notice'));
  if (servers.length > 0) {
    const shown = problems > 0 ? worst([severity, 'warn']) : severity;
    const bad = shown === 'warn' || shown === 'alert';
    // "All OK" is only said of servers that are there to say so (I3).
    if (bad) right.push(run(`${signOf(shown, glyphs)} ${count(Math.max(1, problems), 'problem')}  `, roleOf(shown)));
    if (unknown > 0)
      right.push(
        run(`${glyphs.none} ${unknown === servers.length && unknown > 1 ? 'all' : unknown} unknown  `, 'stale'),
      );
    else if (!bad)
      right.push(run(`${signOf(severity, glyphs)} ${severity === 'notice' ? 'busy' : 'all OK'}  `, roleOf(severity)));
  }
  // Shown to the minute: a clock that ticks each second would be the only thing that never rests.
  right.push(run(formatWallTime(app.now).slice(11, 16), 'header'));
  const rightWidth = right.reduce((sum, one) => sum + width(one.text), 0);
  const left = cut(
    ' Understudy  Replication Console',
    Math.max(0, rect.width - rightWidth - 2),
    'start',
    glyphs.ellipsis,
  );
  grid.put(rect.x, rect.y, [{ text: left, role: 'header', bold: true }]);
  grid.put(rect.x + rect.width - rightWidth - 1, rect.y, right, rightWidth);
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

/** The last action and its command; without one, what the selection needs. */
function drawAction(app: App, grid: Grid, rect: Rect): void {
  const glyphs = glyphsFor(app.ascii);
  const { note } = app;
  if (note) {
    const sign = note.kind === 'error' ? glyphs.alert : note.kind === 'ok' ? glyphs.ok : ' ';
    const role = note.kind === 'error' ? 'status.alert' : note.kind === 'ok' ? 'status.ok' : 'text';
    const runs: Run[] = [run(`${sign} `, role), run(note.text, note.kind === 'error' ? role : 'text')];
    if (note.cli) runs.push(run(`   $ ${note.cli}`, 'dim'));
    putWhole(app, grid, rect, runs, app.done.at(-1) === note ? 'd' : null);
    return;
  }
  const trouble = selectionTrouble(app);
  if (trouble) {
    const runs = [
      run(`${signOf(trouble.severity, glyphs)} `, roleOf(trouble.severity)),
      run(trouble.text, roleOf(trouble.severity)),
      run(trouble.remedy === '' ? '' : `  ${trouble.remedy}`, 'dim'),
    ];
    putWhole(app, grid, rect, runs, trouble.inDetail && app.screen.focus === 'table' ? 'Enter' : null);
  }
}

/** One line; what has no room is marked, and the key that shows all of it is named. */
function putWhole(app: App, grid: Grid, rect: Rect, runs: readonly Run[], key: string | null): void {
  const { ellipsis } = glyphsFor(app.ascii);
  const wide = runs.reduce((sum, one) => sum + width(one.text), 0);
  const more: Run[] =
    wide <= rect.width
      ? []
      : [run(ellipsis, 'dim'), ...(key === null ? [] : [run(` ${key}`, 'key'), run(' shows all', 'dim')])];
  const room = rect.width - more.reduce((sum, one) => sum + width(one.text), 0);
  const used = grid.put(rect.x, rect.y, cutRuns(runs, room), room);
  grid.put(rect.x + used, rect.y, more);
}

interface Told {
  readonly severity: 'warn' | 'alert';
  readonly text: string;
  readonly remedy: string;
  /** The detail of the selected row says the same, whole. */
  readonly inDetail: boolean;
}

function selectionTrouble(app: App): Told | null {
  const row = selectedConnection(app);
  const place = selectedNode(app)?.place;
  const server = row?.server ?? actingServer(app);
  if (server && isStale(server) && (server.link.kind === 'lost' || server.link.kind === 'refused')) {
    const { trouble } = server.link;
    return { severity: 'alert', text: `${server.name}: ${trouble.text}`, remedy: trouble.remedy, inDetail: false };
  }
  const set = server && place?.kind === 'set' ? server.sets.get(place.set) : undefined;
  const problem = row?.item.problem ?? set?.problem ?? server?.status?.problems[0] ?? null;
  // A target that says nothing is no message of the agent; the state must not stand there unexplained (I10).
  if (!problem && row && row.item.statistics.targetDataState === 'Unknown') {
    const { quietMs, id } = row.item;
    const since =
      quietMs >= 0 ? `heard nothing from ${row.target} for ${formatMillis(quietMs)}` : `no link to ${row.target}`;
    return {
      severity: 'warn',
      text: `Connection ${id}: ${since}; its data state is unknown.`,
      remedy: 'It goes on by itself when the target answers.',
      inDetail: false,
    };
  }
  if (!problem) return null;
  return {
    severity: problem.severity === 'error' ? 'alert' : 'warn',
    text: noticeText(problem),
    remedy: noticeRemedy(problem),
    inDetail: problem === row?.item.problem,
  };
}

function drawFooter(app: App, grid: Grid, rect: Rect): void {
  grid.fill(rect, 'header');
  const hints = overlayHints(app);
  let x = rect.x + 1;
  const put = (key: string, label: string, blocked: boolean): boolean => {
    const need = width(key) + 1 + width(label) + 2;
    if (x + need > rect.x + rect.width + 1) return false;
    x += grid.put(x, rect.y, [
      { text: key, role: blocked ? 'key.blocked' : 'key', bold: !blocked },
      run(' ', 'key.label'),
      run(label, blocked ? 'key.blocked' : 'key.label'),
      run('  ', 'key.label'),
    ]);
    return true;
  };
  if (hints) {
    for (const [key, label] of hints) put(key, label, false);
    return;
  }
  const here = KEYS.filter(
    (key) => key.footer !== undefined && (!key.where || key.where.includes(app.screen.focus)),
  ).sort((a, b) => (a.footer ?? 0) - (b.footer ?? 0));
  for (const key of here) put(keyName(key.keys[0] ?? ''), key.label, blockedReason(app, key) !== null);
}

function overlayHints(app: App): [string, string][] | null {
  const asked = askedNow(app);
  if (asked)
    return asked.question.kind === 'host_key'
      ? [
          ['Left/Right', 'Choose'],
          ['Enter', 'Answer'],
          ['Esc', 'Refuse'],
        ]
      : [
          ['Enter', 'Answer'],
          ['Esc', 'Skip'],
        ];
  if (app.screen.table.typing && !app.overlay)
    return [
      ['Enter', 'Keep filter'],
      ['Esc', 'Clear'],
      ['Up/Down', 'Move'],
    ];
  switch (app.overlay?.kind) {
    case 'dialog':
      return [
        ['Enter', 'Choose'],
        ['Esc', 'Cancel'],
        ['Tab', 'Next'],
        ['Left/Right Space', 'Change'],
      ];
    case 'palette':
      return [
        ['Tab', 'Complete'],
        ['Up', 'History'],
        ['Enter', 'Run'],
        ['Esc', 'Close'],
      ];
    case 'help':
      return [
        ['/', 'Search'],
        ['PgUp/PgDn', 'Scroll'],
        ['Esc', 'Close'],
      ];
    case 'columns':
      return [
        ['Space', 'Show'],
        ['- +', 'Move'],
        ['d', 'Default'],
        ['l', 'Last'],
        ['Enter', 'Save'],
        ['Esc', 'Cancel'],
      ];
    case 'menu':
    case 'copy':
      return [
        ['Up/Down', 'Choose'],
        ['Enter', 'Do'],
        ['Esc', 'Close'],
      ];
    case 'text':
      return [
        [app.overlay.left === null ? 'Up/Down PgUp/PgDn' : 'Arrows PgUp/PgDn', 'Scroll'],
        ['y', 'Copy'],
        ['Esc', 'Close'],
      ];
    case 'detail':
      return [
        ['Up/Down', 'Scroll'],
        ['y', 'Copy'],
        ['a', 'Actions'],
        ['Esc', 'Close'],
      ];
    case undefined:
      return null;
  }
}
