/** What lies on top: dialogs, questions, menus, help, texts, the row's detail, the palette. Pure. */
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import { STATISTIC_COLUMNS } from '../../../protocol/messages/statistic-columns.js';
import { formatBytes, formatCount, formatMillis } from '../../../protocol/units.js';
import type { App, Asked, Dialog, Overlay } from '../../model/app.js';
import { findServer, isStale, targetName } from '../../model/fleet.js';
import { type LineEdit, lineText } from '../../model/line-edit.js';
import { ofConnection, SEVERITY_WORD } from '../../model/severity.js';
import { type Grid, type Rect, run, type Run } from '../../layout/grid.js';
import { glyphsFor } from '../../layout/glyphs.js';
import { centred } from '../../layout/panes.js';
import { cells, cut, fitTo, width, wrap } from '../../layout/text.js';
import { describe } from '../replication/dialogs.js';
import { commandLine } from '../replication/equivalents.js';
import { actionsFor, keyName } from '../replication/key-list.js';
import { KEYS } from '../replication/keys.js';
import { stateRole, statisticText } from '../replication/tables.js';
import { age } from '../replication/tree.js';
import { copyChoices } from '../replication/update.js';
import { roleOf, signOf } from '../replication/view.js';
import { suggestions } from './palette.js';
import { HOST_KEY_BUTTONS } from './questions.js';

type Cursor = { x: number; y: number } | null;

/** A frame with a title; returns the room inside. */
function box(app: App, grid: Grid, rect: Rect, title: string, danger = false): Rect {
  const g = glyphsFor(app.ascii);
  const edge = danger ? 'danger' : 'border.focus';
  grid.fill(rect, 'dialog');
  const line = g.horizontal.repeat(rect.width - 2);
  grid.put(rect.x, rect.y, [run(g.cornerTopLeft + line + g.cornerTopRight, edge)], rect.width);
  grid.put(rect.x, rect.y + rect.height - 1, [run(g.cornerBottomLeft + line + g.cornerBottomRight, edge)], rect.width);
  for (let y = rect.y + 1; y < rect.y + rect.height - 1; y++) {
    grid.put(rect.x, y, [run(g.vertical, edge)], 1);
    grid.put(rect.x + rect.width - 1, y, [run(g.vertical, edge)], 1);
  }
  grid.put(
    rect.x + 2,
    rect.y,
    [
      {
        text: cut(` ${title} `, rect.width - 4, 'start', g.ellipsis),
        role: danger ? 'danger' : 'dialog.title',
        bold: true,
      },
    ],
    rect.width - 4,
  );
  return { x: rect.x + 2, y: rect.y + 1, width: rect.width - 4, height: rect.height - 2 };
}

export function drawOverlay(app: App, grid: Grid, overlay: Overlay): Cursor {
  switch (overlay.kind) {
    case 'dialog':
      return drawDialog(app, grid, overlay);
    case 'palette':
      return drawPalette(app, grid, overlay);
    case 'help':
      return drawHelp(app, grid, overlay);
    case 'menu': {
      const list = actionsFor(app).map(({ key, reason }) => ({
        left: `${keyName(key.keys[0] ?? '').padEnd(5)} ${key.label}`,
        right: reason ?? key.help,
        off: reason !== null,
      }));
      return drawList(app, grid, 'Actions', list, overlay.selected);
    }
    case 'copy': {
      const list = copyChoices(app).map((choice) => ({
        left: choice.label,
        right: cut(choice.text.replace(/[\n\t]+/g, ' '), 60),
        off: false,
      }));
      return drawList(
        app,
        grid,
        'Copy',
        list.length > 0 ? list : [{ left: 'There is nothing to copy here', right: '', off: true }],
        overlay.selected,
      );
    }
    case 'columns': {
      const list = overlay.order.map((id) => ({
        left: `${overlay.shown.has(id) ? '[x]' : '[ ]'} ${STATISTIC_COLUMNS.find((column) => column.id === id)?.label ?? id}`,
        right: id,
        off: !overlay.shown.has(id),
      }));
      return drawList(app, grid, 'Statistics', list, overlay.selected);
    }
    case 'text':
      return drawText(app, grid, overlay.title, overlay.lines, overlay.top, overlay.left);
    case 'detail':
      return drawDetail(app, grid, overlay);
  }
}

function drawList(
  app: App,
  grid: Grid,
  title: string,
  list: readonly { left: string; right: string; off: boolean }[],
  selected: number,
): Cursor {
  const leftWidth = Math.min(40, Math.max(...list.map((one) => width(one.left))));
  const rightWidth = Math.max(...list.map((one) => width(one.right)));
  const rect = centred(grid.width, grid.height - 1, leftWidth + 2 + rightWidth + 4, list.length + 2);
  const inside = box(app, grid, rect, title);
  const top = Math.max(0, Math.min(selected - Math.floor(inside.height / 2), list.length - inside.height));
  for (let i = 0; i < inside.height; i++) {
    const one = list[top + i];
    if (!one) break;
    const y = inside.y + i;
    const role = one.off ? 'key.blocked' : 'dialog';
    grid.put(
      inside.x,
      y,
      [
        run(fitTo(one.left, leftWidth), role),
        run('  ', 'dialog'),
        run(
          fitTo(one.right, Math.max(0, inside.width - leftWidth - 2), 'left', 'start', glyphsFor(app.ascii).ellipsis),
          one.off ? 'key.blocked' : 'dim',
        ),
      ],
      inside.width,
    );
    if (top + i === selected) grid.tint({ x: inside.x, y, width: inside.width, height: 1 }, 'select');
  }
  return null;
}

function drawText(
  app: App,
  grid: Grid,
  title: string,
  lines: readonly string[],
  wantedTop: number,
  left: number | null = null,
): Cursor {
  const longest = Math.max(title.length + 4, ...lines.map((line) => width(line)));
  const wide = Math.min(grid.width - 2, Math.max(40, longest + 4));
  const room = Math.max(10, wide - 4);
  const from = left === null ? 0 : Math.max(0, Math.min(left, longest - room));
  // Output of commands keeps its columns and is scrolled sideways; everything else is wrapped.
  const shown =
    left === null ? lines.flatMap((line) => wrap(line, room)) : lines.map((line) => dropColumns(line, from));
  const rect = centred(grid.width, grid.height - 1, wide, shown.length + 2);
  const inside = box(app, grid, rect, title);
  const top = Math.max(0, Math.min(wantedTop, shown.length - inside.height));
  for (let i = 0; i < inside.height; i++)
    grid.put(inside.x, inside.y + i, [run(shown[top + i] ?? '', 'dialog')], inside.width);
  position(grid, rect, top, inside.height, shown.length);
  const g = glyphsFor(app.ascii);
  if (left !== null && longest > room) {
    const more = ` ${from > 0 ? g.left : ' '} ${from + room < longest ? g.right : ' '} `;
    grid.put(rect.x + 2, rect.y + rect.height - 1, [run(more, 'border.focus')]);
  }
  return null;
}

/** The line without its first columns; half a wide character becomes a space. */
function dropColumns(line: string, columns: number): string {
  if (columns === 0) return line;
  let at = 0;
  let out = '';
  for (const cell of cells(line)) {
    if (at >= columns) out += cell.text;
    else if (at + cell.width > columns) out += ' ';
    at += cell.width;
  }
  return out;
}

function position(grid: Grid, rect: Rect, top: number, rows: number, total: number): void {
  if (total <= rows) return;
  const text = ` ${Math.min(100, Math.round(((top + rows) / total) * 100))}% `;
  grid.put(rect.x + rect.width - 2 - text.length, rect.y + rect.height - 1, [run(text, 'border.focus')]);
}

// ------------------------------------------------------------------------------------------------- dialogs

function drawDialog(app: App, grid: Grid, dialog: Dialog): Cursor {
  const told = describe(app, dialog);
  if (!told) return drawText(app, grid, 'Gone', ['What this was about is gone. Esc closes.'], 0);
  const g = glyphsFor(app.ascii);
  const command = told.argv.length === 0 ? [] : wrap(`$ ${commandLine(told.argv)}`, Math.min(grid.width - 8, 70));
  const wide = Math.min(grid.width - 2, 76);
  const lines = told.lines.flatMap((line) => wrap(line, wide - 4));
  const high =
    lines.length + (told.fields.length > 0 ? told.fields.length + 1 : 0) + command.length + 5 + (told.missing ? 1 : 0);
  const rect = centred(grid.width, grid.height - 1, wide, high);
  const inside = box(app, grid, rect, told.title, told.danger);
  let y = inside.y;
  let cursor: Cursor = null;
  for (const line of lines) grid.put(inside.x, y++, [run(line, 'dialog')], inside.width);
  if (told.fields.length > 0) y++;
  const labelWidth = Math.min(
    26,
    Math.max(0, ...told.fields.map((field) => (field.kind === 'check' ? 0 : width(field.label)))),
  );
  told.fields.forEach((field, index) => {
    const on = dialog.focus === index;
    const value = dialog.values[field.name];
    if (field.kind === 'check') {
      grid.put(inside.x, y, [run(`${value === true ? '[x]' : '[ ]'} ${field.label}`, 'dialog')], inside.width);
      if (on) grid.tint({ x: inside.x, y, width: 4 + width(field.label), height: 1 }, 'select');
    } else if (field.kind === 'choice') {
      const at = typeof value === 'number' ? value : 0;
      const label = fitTo(field.label, labelWidth);
      grid.put(inside.x, y, [run(`${label}  `, 'dialog')], inside.width);
      const text = `${g.left} ${field.options[at] ?? ''} ${g.right}`;
      const x = inside.x + labelWidth + 2;
      grid.put(
        x,
        y,
        [run(cut(text, inside.width - labelWidth - 2), on ? 'select' : 'input')],
        inside.width - labelWidth - 2,
      );
      const all = field.options.length > 1 ? `  (${at + 1} of ${field.options.length})` : '';
      grid.put(x + width(text), y, [run(all, 'dim')], Math.max(0, inside.width - labelWidth - 2 - width(text)));
    } else {
      const edit = value && typeof value === 'object' ? (value as LineEdit) : null;
      grid.put(inside.x, y, [run(`${fitTo(field.label, labelWidth)}  `, 'dialog')], inside.width);
      const room = inside.width - labelWidth - 2;
      const found = drawEdit(grid, { x: inside.x + labelWidth + 2, y, width: room, height: 1 }, edit, field.hint);
      if (on) cursor = found;
    }
    y++;
  });
  y++;
  for (const line of command) grid.put(inside.x, y++, [run(line, 'dim')], inside.width);
  if (told.missing) grid.put(inside.x, y++, [run(cut(told.missing, inside.width), 'status.warn')], inside.width);
  y = rect.y + rect.height - 2;
  drawButtons(grid, inside, y, ['Cancel', told.confirm], dialog.focus - told.fields.length, told.danger ? 1 : -1);
  return cursor;
}

function drawButtons(
  grid: Grid,
  inside: Rect,
  y: number,
  labels: readonly string[],
  focus: number,
  danger: number,
): void {
  const texts = labels.map((label) => `[ ${label} ]`);
  let x = inside.x + Math.max(0, inside.width - texts.reduce((sum, text) => sum + width(text) + 2, -2));
  texts.forEach((text, index) => {
    grid.put(
      x,
      y,
      [{ text, role: focus === index ? 'select' : index === danger ? 'danger' : 'dialog', bold: focus === index }],
      inside.x + inside.width - x,
    );
    x += width(text) + 2;
  });
}

/** A line being edited, scrolled so that the cursor is in sight. */
function drawEdit(grid: Grid, rect: Rect, edit: LineEdit | null, hint: string, hidden = false): Cursor {
  grid.fill(rect, 'input');
  const parts = edit?.parts ?? [];
  if (parts.length === 0) grid.put(rect.x, rect.y, [run(cut(hint, rect.width), 'dim')], rect.width);
  const shown = hidden ? parts.map(() => '*') : parts;
  const at = edit?.at ?? 0;
  let from = 0;
  while (width(shown.slice(from, at).join('')) > rect.width - 1) from++;
  if (parts.length > 0) grid.put(rect.x, rect.y, [run(shown.slice(from).join(''), 'input')], rect.width);
  return { x: rect.x + width(shown.slice(from, at).join('')), y: rect.y };
}

export function drawAsked(app: App, grid: Grid, asked: Asked): Cursor {
  const { question } = asked;
  const wide = Math.min(grid.width - 2, 76);
  if (question.kind === 'host_key') {
    const name = question.port === 22 ? question.host : `${question.host}, port ${question.port}`;
    const lines = [
      `${question.server}: the server ${name} is not known here.`,
      `Its ${question.keyType} key has the fingerprint`,
      `  ${question.fingerprint}`,
      ...(question.otherTypes.length > 0
        ? [`Careful: it is known by another kind of key (${question.otherTypes.join(', ')}).`]
        : []),
      'Compare it with the one on the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub',
    ].flatMap((line) => wrap(line, wide - 4));
    const rect = centred(grid.width, grid.height - 1, wide, lines.length + 4);
    const inside = box(app, grid, rect, 'Unknown host key', true);
    lines.forEach((line, i) => {
      grid.put(inside.x, inside.y + i, [run(line, 'dialog')], inside.width);
    });
    drawButtons(grid, inside, rect.y + rect.height - 2, HOST_KEY_BUTTONS, asked.focus, -1);
    return null;
  }
  const lines = wrap(question.prompt, wide - 4);
  const rect = centred(grid.width, grid.height - 1, wide, lines.length + 4 + (question.attempt > 1 ? 1 : 0));
  const inside = box(app, grid, rect, `Log on to ${question.server}`);
  let y = inside.y;
  for (const line of lines) grid.put(inside.x, y++, [run(line, 'dialog')], inside.width);
  if (question.attempt > 1)
    grid.put(inside.x, y++, [run('That was not accepted; once more.', 'status.warn')], inside.width);
  return drawEdit(grid, { x: inside.x, y: y + 1, width: inside.width, height: 1 }, asked.answer, '', !question.echo);
}

// ------------------------------------------------------------------------------------------------- help, palette

function drawHelp(app: App, grid: Grid, overlay: Extract<Overlay, { kind: 'help' }>): Cursor {
  const filter = lineText(overlay.filter).toLowerCase();
  const wide = Math.min(grid.width - 2, 100);
  const lines: { runs: Run[] }[] = [];
  for (const group of ['Move', 'Look', 'Connection', 'Server', 'Messages', 'Program'] as const) {
    const keys = KEYS.filter(
      (key) =>
        key.group === group &&
        `${key.label} ${key.help} ${key.keys.map(keyName).join(' ')}`.toLowerCase().includes(filter),
    );
    if (keys.length === 0) continue;
    if (lines.length > 0) lines.push({ runs: [] });
    lines.push({ runs: [{ text: group, role: 'dialog.title', bold: true }] });
    for (const key of keys) {
      const names = key.keys.map(keyName).join(' ');
      const where = key.where
        ? ` (in ${key.where.map((pane) => ({ tree: '1', table: '2', charts: '3', log: '4' })[pane]).join(', ')})`
        : '';
      wrap(key.help + where, Math.max(10, wide - 4 - 30)).forEach((part, i) => {
        lines.push({
          runs: [
            run(fitTo(i === 0 ? names : '', 10), 'key'),
            run(' ', 'dialog'),
            run(fitTo(i === 0 ? key.label : '', 19), key.danger ? 'danger' : 'dialog'),
            run(part, 'dialog'),
          ],
        });
      });
    }
  }
  if (filter === '') {
    lines.push({ runs: [] }, { runs: [{ text: 'Signs', role: 'dialog.title', bold: true }] });
    const g = glyphsFor(app.ascii);
    for (const severity of ['ok', 'notice', 'warn', 'alert'] as const) {
      lines.push({
        runs: [run(fitTo(`  ${signOf(severity, g)}`, 11), roleOf(severity)), run(SEVERITY_WORD[severity], 'dialog')],
      });
    }
    lines.push({
      runs: [
        run(fitTo('  grey', 11), 'stale'),
        run('with ? : not connected; what is shown is as old as its age says', 'dialog'),
      ],
    });
  }
  const rect = centred(grid.width, grid.height - 1, wide, lines.length + 2);
  const title = overlay.typing || filter !== '' ? `Help /${lineText(overlay.filter)}` : 'Help';
  const inside = box(app, grid, rect, title);
  const top = Math.max(0, Math.min(overlay.top, lines.length - inside.height));
  for (let i = 0; i < inside.height; i++) grid.put(inside.x, inside.y + i, lines[top + i]?.runs ?? [], inside.width);
  position(grid, rect, top, inside.height, lines.length);
  return overlay.typing
    ? { x: Math.min(rect.x + rect.width - 2, rect.x + 9 + width(lineText(overlay.filter))), y: rect.y }
    : null;
}

function drawPalette(app: App, grid: Grid, overlay: Extract<Overlay, { kind: 'palette' }>): Cursor {
  const line = lineText(overlay.edit);
  const list = suggestions(app, line);
  const y = grid.height - 2;
  const high = list.length;
  if (high > 0) {
    const left = Math.min(Math.floor(grid.width * 0.6), Math.max(...list.map((one) => width(one.shown))));
    list.forEach((one, i) => {
      const at = y - high + i;
      grid.fill({ x: 0, y: at, width: grid.width, height: 1 }, 'dialog');
      grid.put(
        1,
        at,
        [run(fitTo(one.shown, left), 'dialog'), run('  ', 'dialog'), run(one.why, 'dim')],
        grid.width - 1,
      );
      if (i === overlay.chosen) grid.tint({ x: 0, y: at, width: grid.width, height: 1 }, 'select');
    });
  }
  grid.fill({ x: 0, y, width: grid.width, height: 1 }, 'input');
  grid.put(0, y, [{ text: ':', role: 'key', bold: true }], 1);
  return drawEdit(
    grid,
    { x: 1, y, width: grid.width - 1, height: 1 },
    overlay.edit,
    'a command as on the command line, without "understudy"',
  );
}

// ------------------------------------------------------------------------------------------------- detail

function drawDetail(app: App, grid: Grid, overlay: Extract<Overlay, { kind: 'detail' }>): Cursor {
  const server = findServer(app.fleet, overlay.server);
  const item = server?.connections.get(overlay.key);
  if (!server || !item) return drawText(app, grid, 'Gone', ['This connection is gone. Esc closes.'], 0);
  const g = glyphsFor(app.ascii);
  const stale = isStale(server);
  const severity = ofConnection(item);
  const wide = Math.min(grid.width - 2, 110);
  const labelWidth = 36;
  const rows: Run[][] = [];
  const pair = (label: string, value: string, role: Run['role'] = 'dialog'): void => {
    const parts = wrap(value, Math.max(8, wide - 4 - labelWidth));
    parts.forEach((part, i) => {
      rows.push([run(fitTo(i === 0 ? label : '', labelWidth), 'dim'), run(part, stale ? 'stale' : role)]);
    });
  };
  pair(
    'State',
    stale
      ? `${g.none} Unknown; ${SEVERITY_WORD[severity]} as of ${age(app.now - server.heardAt)} ago`
      : `${signOf(severity, g)} ${SEVERITY_WORD[severity]}`,
    roleOf(severity),
  );
  if (item.problem) {
    pair('Problem', noticeText(item.problem), roleOf(severity));
    if (noticeRemedy(item.problem)) pair('What to do', noticeRemedy(item.problem));
  }
  for (const column of STATISTIC_COLUMNS) {
    const text = column.id === 'STA-03' ? targetName(app.fleet, item) : statisticText(item, column);
    const state = column.id === 'STA-05' || column.id === 'STA-06' || (column.id >= 'STA-08' && column.id <= 'STA-10');
    pair(column.label, text, state ? (stateRole(text) ?? 'dialog') : 'dialog');
  }
  rows.push([]);
  pair('Recovery point latency', item.latencyMs < 0 ? 'unknown' : formatMillis(item.latencyMs));
  if (item.stall)
    pair(
      'Stalled',
      `for ${formatMillis(Math.max(0, app.now - item.stall.since))} (${item.stall.cause})`,
      'status.warn',
    );
  pair('Target last heard', item.quietMs < 0 ? 'no link' : `${formatMillis(item.quietMs)} ago`);
  pair('Made / applied / durable', [item.sequence, item.applied, item.durable].map(formatCount).join(' / '));
  pair('Received, not applied', formatBytes(item.targetQueuedBytes));
  pair('On the wire', formatBytes(item.wireBytes));
  pair('Paths in quarantine', formatCount(item.quarantined), item.quarantined > 0 ? 'status.warn' : 'dialog');
  if (item.mirrorFilesTotal > 0)
    pair('Mirror files', `${formatCount(item.mirrorFilesDone)} of ${formatCount(item.mirrorFilesTotal)}`);
  pair('Route', item.route);
  for (const mapping of item.mappings) pair('Directory', `${mapping.source} ${g.arrow} ${mapping.target}`);
  const rect = centred(grid.width, grid.height - 1, wide, rows.length + 2);
  const inside = box(
    app,
    grid,
    rect,
    `Connection ${server.name}:${item.id}  ${item.set} ${g.arrow} ${targetName(app.fleet, item)}`,
  );
  const top = Math.max(0, Math.min(overlay.top, rows.length - inside.height));
  for (let i = 0; i < inside.height; i++) grid.put(inside.x, inside.y + i, rows[top + i] ?? [], inside.width);
  position(grid, rect, top, inside.height, rows.length);
  return null;
}
