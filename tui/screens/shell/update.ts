/** The cockpit's one update: what can happen, who it concerns, what becomes of the model. Pure. */
import { type App, type Msg, type Note, RESULTS_MAX, type Step, TYPED_MAX } from '../../model/app.js';
import { arrange } from '../../layout/panes.js';
import { applyFacts, newServer } from '../../model/fleet.js';
import { editKey, insert, lineEdit, lineText } from '../../model/line-edit.js';
import { KEYS } from '../replication/keys.js';
import { selectRow } from '../replication/move.js';
import type { Replication } from '../replication/model.js';
import { selectedIndex } from '../replication/tables.js';
import { perform, press, record, say } from '../replication/update.js';
import { keyInOverlay, pasteInOverlay } from './overlays.js';
import { answerKey, answerPaste, askedNow } from './questions.js';
import { mouse } from './mouse.js';

/** A message stays this long; then the line tells of the selection again. */
export const NOTE_MS = 15_000;

const withScreen = (app: App, change: Partial<Replication>): App => ({ ...app, screen: { ...app.screen, ...change } });

export function update(app: App, msg: Msg): Step {
  switch (msg.kind) {
    case 'key':
      return showWaiting(key(app, msg.key, msg.text));
    case 'paste':
      return paste(app, msg.text);
    case 'mouse':
      return mouse(app, msg, key);
    case 'resize':
      return [keepInSight({ ...app, size: msg.size }), []];
    case 'tick': {
      const note = app.note && msg.now - app.note.at > NOTE_MS ? null : app.note;
      return [{ ...app, now: msg.now, note }, []];
    }
    case 'facts': {
      const at = selectedIndex(app);
      const next = { ...app, now: msg.now, fleet: applyFacts(app.fleet, msg.server, msg.facts, msg.now) };
      return [at >= 0 ? keepInSight(next) : next, []];
    }
    case 'servers': {
      const known = new Map(app.fleet.servers.map((server) => [server.name, server]));
      const servers = msg.servers.map(({ name, address }) => {
        const old = known.get(name);
        return old && old.address === address ? old : newServer(name, address);
      });
      return [keepInSight({ ...app, fleet: { servers } }), []];
    }
    case 'question':
      return [
        { ...app, asked: [...app.asked, { id: msg.id, question: msg.question, answer: lineEdit(), focus: 0 }] },
        [],
      ];
    case 'question_withdrawn':
      return [{ ...app, asked: app.asked.filter((one) => one.id !== msg.id) }, []];
    case 'finished':
      return [finished(app, msg), []];
    case 'copied':
      if (msg.text !== null)
        return [
          { ...app, overlay: { kind: 'text', title: msg.how, lines: msg.text.split('\n'), top: 0, left: null } },
          [],
        ];
      return [say(app, 'ok', msg.how), []];
    case 'verbs':
      return [{ ...app, verbs: msg.verbs }, []];
    case 'themed':
      return [
        msg.error === null
          ? say({ ...app, theme: msg.theme }, 'info', `Theme: ${msg.theme}.`)
          : say(app, 'error', msg.error),
        [],
      ];
  }
}

function finished(app: App, msg: Extract<Msg, { kind: 'finished' }>): App {
  const label = app.running.get(msg.command) ?? '';
  const running = new Map(app.running);
  running.delete(msg.command);
  const [text = '', cli = null] = msg.text.split('\u0000');
  const note: Note = msg.trouble
    ? {
        kind: 'error',
        text: `${label}: ${msg.trouble.text}${msg.trouble.remedy ? ` ${msg.trouble.remedy}` : ''}`,
        cli,
        at: app.now,
      }
    : { kind: 'ok', text: text || `${label}: done.`, cli, at: app.now };
  const next = record({ ...app, running }, note);
  if (!msg.lines) return next;
  // A window that jumps up would take the keys that were meant for what lies open: it waits until that is closed.
  return waitingShown({ ...next, results: [...next.results, { title: label, lines: msg.lines }].slice(-RESULTS_MAX) });
}

function waitingShown(app: App): App {
  const [first, ...rest] = app.results;
  if (!first || app.overlay !== null || askedNow(app) || app.screen.table.typing) return app;
  return { ...app, results: rest, overlay: { kind: 'text', ...first, top: 0, left: 0 } };
}

const showWaiting = ([app, commands]: Step): Step => [waitingShown(app), commands];

/** After rows came, went or the window changed: the selection stays on its row and on the screen. */
function keepInSight(app: App): App {
  const index = selectedIndex(app);
  return index < 0 ? app : selectRow(app, index);
}

/** T2: with nothing of the screen in sight, only what the small one names is done; a key meant for it must not fall into a hidden form. */
function smallKey(app: App, name: string): Step {
  if (name === 'q' || name === 'f10' || name === 'C-c') return [app, [{ kind: 'quit' }]];
  return name === 'C-z' ? perform(app, { do: 'suspend' }) : name === 'C-l' ? perform(app, { do: 'redraw' }) : [app, []];
}

function key(app: App, name: string, text: string): Step {
  if (!arrange(app.size.width, app.size.height, null)) return smallKey(app, name);
  if (askedNow(app)) return answerKey(app, name, text);
  if (name === 'C-c') return perform(app, { do: 'interrupt' });
  if (app.overlay) return keyInOverlay(app, name, text);
  if (app.screen.table.typing) return typeFilter(app, name, text);
  const pending = app.screen.pending;
  const full = pending === '' ? name : `${pending} ${name}`;
  const here = KEYS.filter((one) => !one.where || one.where.includes(app.screen.focus));
  const base = pending === '' ? app : withScreen(app, { pending: '' });
  const found = here.find((one) => one.where && one.keys.includes(full)) ?? here.find((one) => one.keys.includes(full));
  if (found) return press(base, found);
  if (pending === '' && here.some((one) => one.keys.some((each) => each.startsWith(`${name} `))))
    return [withScreen(app, { pending: name }), []];
  return pending === '' ? [base, []] : key(base, name, text);
}

function paste(app: App, text: string): Step {
  if (!arrange(app.size.width, app.size.height, null)) return [app, []];
  if (askedNow(app)) return answerPaste(app, text);
  if (app.overlay) return pasteInOverlay(app, text);
  const { table } = app.screen;
  if (table.typing) return [withScreen(app, { table: { ...table, typing: insert(table.typing, text), top: 0 } }), []];
  // T10: a paste is text, never keys.
  return [say(app, 'info', 'Pasted text was ignored: nothing is being typed.'), []];
}

function typeFilter(app: App, name: string, text: string): Step {
  const { table } = app.screen;
  const edit = table.typing ?? lineEdit();
  if (name === 'escape') return [withScreen(app, { table: { ...table, typing: null, filter: '', top: 0 } }), []];
  if (name === 'enter')
    return [keepInSight(withScreen(app, { table: { ...table, typing: null, filter: lineText(edit).trim() } })), []];
  if (name === 'up' || name === 'down') return perform(app, { do: 'move', by: name });
  const edited = editKey(edit, name) ?? (text === '' ? null : insert(edit, text));
  return edited ? [keepInSight(withScreen(app, { table: { ...table, typing: edited, top: 0 } })), []] : [app, []];
}

/** Remembers a typed command, without repeats in a row. */
export function rememberTyped(typed: readonly string[], line: string): readonly string[] {
  return typed.at(-1) === line ? typed : [...typed, line].slice(-TYPED_MAX);
}
