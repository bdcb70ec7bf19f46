/** Keys while something lies on top: dialogs, menus, help, texts, the command palette. */
import type { App, Dialog, Overlay, Step } from '../../model/app.js';
import { editKey, insert, type LineEdit, lineEdit, lineText } from '../../model/line-edit.js';
import { chooserKey } from '../replication/column-choice.js';
import { describe, type Field } from '../replication/dialogs.js';
import { actionsFor } from '../replication/key-list.js';
import { KEYS } from '../replication/keys.js';
import { selectedConnection } from '../replication/tables.js';
import { confirm, copyChoices, perform, press, say, start } from '../replication/update.js';
import { complete, onlyLooks, splitLine, suggestions } from './palette.js';
import { rememberTyped } from './update.js';
import { leftMax, type Reading, topMax } from './windows.js';

const PAGE = 10;

const close = (app: App): App => ({ ...app, overlay: null });

export function keyInOverlay(app: App, name: string, text: string): Step {
  const { overlay } = app;
  if (!overlay) return [app, []];
  switch (overlay.kind) {
    case 'dialog':
      return dialogKey(app, overlay, name, text);
    case 'palette':
      return paletteKey(app, overlay, name, text);
    case 'help':
      return helpKey(app, overlay, name, text);
    case 'menu': {
      const list = actionsFor(app);
      const chosen = list[overlay.selected];
      if (name === 'enter' && chosen) return press(close(app), chosen.key);
      const direct = list.find((one) => one.key.keys.includes(name));
      if (direct && name !== 'escape') return press(close(app), direct.key);
      return pick(app, overlay, name, list.length);
    }
    case 'copy': {
      const choices = copyChoices(app);
      const chosen = choices[overlay.selected];
      if (name === 'enter' && chosen)
        return [
          close(app),
          [{ kind: 'copy', text: chosen.text, what: chosen.label.charAt(0).toLowerCase() + chosen.label.slice(1) }],
        ];
      return pick(app, overlay, name, choices.length);
    }
    case 'columns':
      return chooserKey(app, overlay, name);
    case 'text':
    case 'detail':
      return scroll(app, overlay, name);
  }
}

function pick(app: App, overlay: Extract<Overlay, { kind: 'menu' | 'copy' }>, name: string, count: number): Step {
  if (name === 'escape' || name === 'q' || name === 'backspace' || name === 'left') return [close(app), []];
  const by = { up: -1, k: -1, down: 1, j: 1, home: -count, end: count, pageup: -PAGE, pagedown: PAGE }[name];
  if (by === undefined) return [app, []];
  const selected = Math.max(0, Math.min(count - 1, overlay.selected + by));
  return [{ ...app, overlay: { ...overlay, selected } }, []];
}

function scroll(app: App, overlay: Extract<Overlay, { kind: 'text' | 'detail' }>, name: string): Step {
  switch (name) {
    case 'escape':
    case 'q':
    case 'backspace':
    case 'enter':
      return [close(app), []];
    case 'y': {
      if (overlay.kind !== 'text') return perform(close(app), { do: 'copy_menu' });
      return [app, [{ kind: 'copy', text: overlay.lines.join('\n'), what: 'the text' }]];
    }
    default:
      break;
  }
  const page = Math.max(1, app.size.height - 6);
  const by = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -page,
    pagedown: page,
    space: page,
    'C-b': -page,
    'C-f': page,
    'C-u': -(page >> 1),
    'C-d': page >> 1,
    home: -1e9,
    end: 1e9,
    G: 1e9,
  }[name];
  if (by !== undefined) return [{ ...app, overlay: { ...overlay, top: scrolled(app, overlay, by) } }, []];
  if (overlay.kind === 'text' && overlay.left !== null) {
    const sideways = { left: -8, h: -8, right: 8, l: 8 }[name];
    if (sideways !== undefined) {
      const left = Math.max(0, Math.min(leftMax(app, overlay.lines), overlay.left + sideways));
      return [{ ...app, overlay: { ...overlay, left } }, []];
    }
  }
  // The row behind the detail may be acted on without closing it first.
  if (overlay.kind === 'detail') {
    const key = KEYS.find((one) => one.group === 'Connection' && one.keys.includes(name));
    if (!key) return [app, []];
    // Another row took the place of one that is gone: the key was not meant for it.
    const meant = selectedConnection(app);
    if (meant?.item.key !== overlay.key || meant.server.name !== overlay.server)
      return [say(app, 'error', `${key.label}: the row behind this window is another one; close it first.`), []];
    return press(close(app), key);
  }
  return [app, []];
}

/** Where a window stands after scrolling. No further than it goes: every key pressed there would have to be taken back. */
function scrolled(app: App, overlay: Reading, by: number): number {
  const most = topMax(app, overlay);
  return Math.max(0, Math.min(most, Math.min(most, overlay.top) + by));
}

function helpKey(app: App, overlay: Extract<Overlay, { kind: 'help' }>, name: string, text: string): Step {
  const set = (change: Partial<typeof overlay>): Step => [{ ...app, overlay: { ...overlay, ...change } }, []];
  if (overlay.typing) {
    if (name === 'escape') return set({ typing: false, filter: lineEdit(), top: 0 });
    if (name === 'enter') return set({ typing: false });
    const edited = editKey(overlay.filter, name) ?? (text === '' ? null : insert(overlay.filter, text));
    return edited ? set({ filter: edited, top: 0 }) : [app, []];
  }
  if (name === '/') return set({ typing: true });
  if (name === '?' || name === 'f1') return [close(app), []];
  if (name === 'escape' && overlay.filter.parts.length > 0) return set({ filter: lineEdit(), top: 0 });
  if (name === 'escape' || name === 'q' || name === 'enter' || name === 'backspace') return [close(app), []];
  const page = Math.max(1, app.size.height - 6);
  const by = { up: -1, k: -1, down: 1, j: 1, pageup: -page, pagedown: page, space: page, home: -1e9, end: 1e9, G: 1e9 }[
    name
  ];
  return by === undefined ? [app, []] : set({ top: scrolled(app, overlay, by) });
}

// ---------------------------------------------------------------------------------------------- dialogs

function dialogKey(app: App, dialog: Dialog, name: string, text: string): Step {
  const told = describe(app, dialog);
  if (!told) return [say(close(app), 'error', 'What this was about is gone.'), []];
  const { fields } = told;
  const last = fields.length + 1;
  const field = fields[dialog.focus];
  const set = (change: Partial<Dialog>): Step => [{ ...app, overlay: { ...dialog, ...change } }, []];
  const value = (of: Field, to: Dialog['values'][string]): Step => set({ values: { ...dialog.values, [of.name]: to } });

  if (name === 'escape') return [say(close(app), 'info', 'Nothing was done.'), []];
  if (name === 'tab' || name === 'down') return set({ focus: dialog.focus >= last ? 0 : dialog.focus + 1 });
  if (name === 'S-tab' || name === 'up') return set({ focus: dialog.focus <= 0 ? last : dialog.focus - 1 });
  if (name === 'enter') {
    if (dialog.focus === last) return confirm(app, dialog);
    if (dialog.focus === fields.length) return [say(close(app), 'info', 'Nothing was done.'), []];
    return set({ focus: dialog.focus + 1 });
  }
  if (!field) {
    if (name === 'left') return set({ focus: fields.length });
    if (name === 'right') return set({ focus: last });
    if (name === 'y') return confirm(app, dialog);
    if (name === 'n' || name === 'q') return [say(close(app), 'info', 'Nothing was done.'), []];
    return [app, []];
  }
  switch (field.kind) {
    case 'choice': {
      const at = typeof dialog.values[field.name] === 'number' ? (dialog.values[field.name] as number) : 0;
      const count = field.options.length;
      if (name === 'left' || name === 'h') return value(field, (at - 1 + count) % count);
      if (name === 'right' || name === 'l' || name === 'space') return value(field, (at + 1) % count);
      return [app, []];
    }
    case 'check':
      return name === 'space' || name === 'left' || name === 'right'
        ? value(field, dialog.values[field.name] !== true)
        : [app, []];
    case 'text': {
      const old = dialog.values[field.name];
      const edit: LineEdit = old && typeof old === 'object' ? (old as LineEdit) : lineEdit();
      const edited = editKey(edit, name) ?? (text === '' ? null : insert(edit, text));
      return edited ? value(field, edited) : [app, []];
    }
  }
}

// ---------------------------------------------------------------------------------------------- palette

function paletteKey(app: App, overlay: Extract<Overlay, { kind: 'palette' }>, name: string, text: string): Step {
  const line = lineText(overlay.edit);
  const set = (change: Partial<typeof overlay>): Step => [{ ...app, overlay: { ...overlay, ...change } }, []];
  const list = suggestions(app, line);
  switch (name) {
    case 'escape':
      return [close(app), []];
    case 'backspace':
      // Like a shell's `:` line: deleting the nothing closes it.
      if (overlay.edit.parts.length === 0) return [close(app), []];
      break;
    case 'tab':
    case 'S-tab': {
      if (list.length === 0) return [app, []];
      if (list.length === 1 || overlay.chosen < 0) {
        const completed = complete(line, list);
        if (completed !== line) return set({ edit: lineEdit(completed), chosen: -1 });
      }
      const chosen = (overlay.chosen + (name === 'tab' ? 1 : -1) + list.length) % list.length;
      return set({ chosen });
    }
    case 'up':
    case 'down': {
      const at = Math.max(0, Math.min(app.typed.length, overlay.history + (name === 'up' ? -1 : 1)));
      return set({ history: at, edit: lineEdit(app.typed[at] ?? ''), chosen: -1 });
    }
    case 'enter': {
      const chosen = list[overlay.chosen];
      if (chosen) return set({ edit: lineEdit(`${chosen.insert} `), chosen: -1 });
      return run(app, line.trim());
    }
    default:
      break;
  }
  const edited = editKey(overlay.edit, name) ?? (text === '' ? null : insert(overlay.edit, text));
  return edited ? set({ edit: edited, chosen: -1 }) : [app, []];
}

/** Runs a typed line: a word of the cockpit's own, or the command line. */
function run(app: App, line: string): Step {
  const closed = close(app);
  if (line === '') return [closed, []];
  const typed: App = { ...closed, typed: rememberTyped(app.typed, line) };
  const words = splitLine(line);
  if (words === null) return [say(app, 'error', 'A quote is not closed.'), []];
  const argv = words[0] === 'understudy' ? words.slice(1) : words;
  const [verb = '', first = ''] = argv;
  if (verb === 'quit' || verb === 'q' || verb === 'exit') return [typed, [{ kind: 'quit' }]];
  if (verb === 'theme') {
    if (app.themes.includes(first)) return [typed, [{ kind: 'theme', name: first }]];
    return [say(typed, 'error', `There is no theme "${first}". There are: ${app.themes.join(', ')}.`), []];
  }
  if (verb === 'ascii' || verb === 'unicode')
    return [say({ ...typed, ascii: verb === 'ascii' }, 'info', `Signs: ${verb}.`), []];
  if (verb === '') return [typed, []];
  if (app.readOnly && !onlyLooks(argv))
    return [say(typed, 'error', 'This console was started read-only: only commands that look are run.'), []];
  if (argv.some((word) => word === '-f' || word === '--watch' || word === '--follow')) {
    return [
      say(typed, 'error', 'What follows for ever belongs in a terminal of its own; here the screen follows by itself.'),
      [],
    ];
  }
  return start(typed, argv.join(' '), (command) => ({ kind: 'cli', command, argv, label: argv.join(' ') }));
}

export function pasteInOverlay(app: App, text: string): Step {
  const { overlay } = app;
  if (overlay?.kind === 'palette')
    return [{ ...app, overlay: { ...overlay, edit: insert(overlay.edit, text.split('\n')[0] ?? ''), chosen: -1 } }, []];
  if (overlay?.kind === 'help' && overlay.typing)
    return [{ ...app, overlay: { ...overlay, filter: insert(overlay.filter, text) } }, []];
  if (overlay?.kind === 'dialog') {
    const field = describe(app, overlay)?.fields[overlay.focus];
    const old = field ? overlay.values[field.name] : undefined;
    if (field?.kind === 'text' && old && typeof old === 'object') {
      const pasted = text.trim();
      // A whole address takes the place of the beginning that stands there for those who type.
      const whole = lineText(old as LineEdit) === 'ssh://' && /^(ssh:\/\/|unix:)/.test(pasted);
      const edited = insert(whole ? lineEdit() : (old as LineEdit), pasted);
      return [{ ...app, overlay: { ...overlay, values: { ...overlay.values, [field.name]: edited } } }, []];
    }
  }
  return [app, []];
}
