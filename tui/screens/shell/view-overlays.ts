/** What lies on top: dialogs, questions, menus, windows to read, the palette. Pure. */
import { STATISTIC_COLUMNS } from '../../../protocol/messages/statistic-columns.js';
import type { App, Asked, Dialog, Overlay } from '../../model/app.js';
import { type LineEdit, lineText } from '../../model/line-edit.js';
import { type Grid, type Rect, run, type Run } from '../../layout/grid.js';
import { glyphsFor } from '../../layout/glyphs.js';
import { centred } from '../../layout/panes.js';
import { cut, fitTo, width, wrap } from '../../layout/text.js';
import { describe, type Field } from '../replication/dialogs.js';
import { commandLine } from '../replication/equivalents.js';
import { actionsFor, keyName } from '../replication/key-list.js';
import { copyChoices } from '../replication/update.js';
import { suggestions } from './palette.js';
import { HOST_KEY_BUTTONS } from './questions.js';
import { textWindow, type Window, windowOf, windowRect } from './windows.js';

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
    case 'detail':
    case 'help': {
      const rect = drawWindow(app, grid, windowOf(app, overlay), overlay.top);
      if (overlay.kind !== 'help' || !overlay.typing) return null;
      return { x: Math.min(rect.x + rect.width - 2, rect.x + 9 + width(lineText(overlay.filter))), y: rect.y };
    }
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
  position(grid, rect, top, inside.height, list.length);
  return null;
}

/** A text, the detail, or help, from where it was scrolled to. */
function drawWindow(app: App, grid: Grid, window: Window, wantedTop: number): Rect {
  const rect = windowRect(app, window);
  const inside = box(app, grid, rect, window.title);
  const top = Math.max(0, Math.min(wantedTop, window.lines.length - inside.height));
  for (let i = 0; i < inside.height; i++) grid.put(inside.x, inside.y + i, window.lines[top + i] ?? [], inside.width);
  position(grid, rect, top, inside.height, window.lines.length);
  if (window.sides) {
    const g = glyphsFor(app.ascii);
    const more = ` ${window.sides.left ? g.left : ' '} ${window.sides.right ? g.right : ' '} `;
    grid.put(rect.x + 2, rect.y + rect.height - 1, [run(more, 'border.focus')]);
  }
  return rect;
}

function position(grid: Grid, rect: Rect, top: number, rows: number, total: number): void {
  if (total <= rows) return;
  const text = ` ${Math.min(100, Math.round(((top + rows) / total) * 100))}% `;
  grid.put(rect.x + rect.width - 2 - text.length, rect.y + rect.height - 1, [run(text, 'border.focus')]);
}

// ------------------------------------------------------------------------------------------------- dialogs

function drawDialog(app: App, grid: Grid, dialog: Dialog): Cursor {
  const told = describe(app, dialog);
  if (!told) {
    drawWindow(app, grid, textWindow(app, 'Gone', ['What this was about is gone. Esc closes.'], null), 0);
    return null;
  }
  const wide = Math.min(grid.width - 2, 76);
  const room = wide - 4;
  const rows: DialogRow[] = told.lines.flatMap((line) => wrap(line, room)).map((line) => [run(line, 'dialog')]);
  if (told.fields.length > 0) rows.push([], ...told.fields);
  rows.push([]);
  if (told.argv.length > 0)
    rows.push(...wrap(`$ ${commandLine(told.argv)}`, Math.min(room, 70)).map((line) => [run(line, 'dim')]));
  if (told.missing) rows.push(...wrap(told.missing, room).map((line) => [run(line, 'status.warn')]));
  const rect = centred(grid.width, grid.height - 1, wide, rows.length + 4);
  const inside = box(app, grid, rect, told.title, told.danger);
  // On a small screen the part with the focus is in sight, and the buttons always are.
  const body = Math.max(1, inside.height - 2);
  const field = told.fields[dialog.focus];
  const focused = field ? rows.indexOf(field) : rows.length - 1;
  const top = rows.length <= body ? 0 : Math.min(rows.length - body, Math.max(0, focused - (body >> 1)));
  const labelWidth = Math.min(
    26,
    Math.max(0, ...told.fields.map((one) => (one.kind === 'check' ? 0 : width(one.label)))),
  );
  let cursor: Cursor = null;
  rows.slice(top, top + body).forEach((row, i) => {
    const y = inside.y + i;
    if (!('kind' in row)) grid.put(inside.x, y, row, inside.width);
    else cursor = drawField(app, grid, { ...inside, y }, dialog, row, labelWidth, row === field) ?? cursor;
  });
  const y = rect.y + rect.height - 2;
  drawButtons(grid, inside, y, ['Cancel', told.confirm], dialog.focus - told.fields.length, told.danger ? 1 : -1);
  return cursor;
}

type DialogRow = readonly Run[] | Field;

/** One field on one line; where the cursor is when it is typed into. */
function drawField(
  app: App,
  grid: Grid,
  at: Rect,
  dialog: Dialog,
  field: Field,
  labelWidth: number,
  on: boolean,
): Cursor {
  const { x, y } = at;
  const value = dialog.values[field.name];
  if (field.kind === 'check') {
    grid.put(x, y, [run(`${value === true ? '[x]' : '[ ]'} ${field.label}`, 'dialog')], at.width);
    if (on) grid.tint({ x, y, width: Math.min(at.width, 4 + width(field.label)), height: 1 }, 'select');
    return null;
  }
  grid.put(x, y, [run(`${fitTo(field.label, labelWidth)}  `, 'dialog')], at.width);
  const inner = { x: x + labelWidth + 2, y, width: at.width - labelWidth - 2, height: 1 };
  if (field.kind === 'choice') {
    const g = glyphsFor(app.ascii);
    const index = typeof value === 'number' ? value : 0;
    const text = cut(`${g.left} ${field.options[index] ?? ''} ${g.right}`, inner.width, 'start', g.ellipsis);
    grid.put(inner.x, y, [run(text, on ? 'select' : 'input')], inner.width);
    const all = field.options.length > 1 ? `  (${index + 1} of ${field.options.length})` : '';
    grid.put(inner.x + width(text), y, [run(all, 'dim')], Math.max(0, inner.width - width(text)));
    return null;
  }
  const edit = value && typeof value === 'object' ? (value as LineEdit) : null;
  const cursor = drawEdit(grid, inner, edit, field.hint);
  return on ? cursor : null;
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
  let from = at;
  for (let used = 1; from > 0; from--) {
    used += width(shown[from - 1] ?? '');
    if (used > rect.width) break;
  }
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
