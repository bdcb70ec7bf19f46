/** What each key of the Replication Console does. */
import type { Grant } from '../../../protocol/messages/index.js';
import { formatBytes, formatCount, formatSecond } from '../../../protocol/units.js';
import { type App, type Command, type Dialog, DONE_MAX, type Note, type Step } from '../../model/app.js';
import { clear } from '../../model/log-ring.js';
import { withServer } from '../../model/fleet.js';
import { lineEdit } from '../../model/line-edit.js';
import { placeColumns } from './columns.js';
import { describe, openDialog } from './dialogs.js';
import { commandLine } from './equivalents.js';
import { columnChooser } from './column-choice.js';
import { blockedReason } from './key-list.js';
import type { Intent, Key } from './keys.js';
import { entryDetail, entryLine, logServer, logView } from './logs.js';
import type { Replication } from './model.js';
import { focusPane, move, paneRows, selectNode, tableWidth, toggleNode } from './move.js';
import { actingServer, selectedConnection, selectedRow, shown } from './tables.js';
import { nodes, selectedNode } from './tree.js';

const withScreen = (app: App, change: Partial<Replication>): App => ({ ...app, screen: { ...app.screen, ...change } });

export function say(app: App, kind: Note['kind'], text: string, cli: string | null = null): App {
  return { ...app, note: { kind, text, cli, at: app.now } };
}

/** Keeps what was done, for the list of actions. */
export function record(app: App, note: Note): App {
  return { ...app, note, done: [...app.done, note].slice(-DONE_MAX) };
}

/** A key of the table: refused with its reason, or carried out. */
export function press(app: App, key: Key): Step {
  const reason = blockedReason(app, key);
  if (reason !== null) return [say(app, 'error', `${key.label}: ${reason}.`), []];
  return perform(app, key.intent);
}

export function perform(app: App, intent: Intent): Step {
  const { screen } = app;
  switch (intent.do) {
    case 'move':
      return [move(app, intent.by), []];
    case 'focus':
      return [focusPane(app, intent.pane), []];
    case 'dialog': {
      const dialog = openDialog(app, intent.dialog);
      return dialog
        ? [{ ...app, overlay: dialog }, []]
        : [say(app, 'error', 'There is nothing selected that this could be about.'), []];
    }
    case 'open':
      return open(app);
    case 'back':
      return [back(app), []];
    case 'leave': {
      const before = back(app);
      if (before !== app) return [before, []];
      if (app.running.size > 0) return [{ ...app, overlay: openDialog(app, 'quit') }, []];
      return [app, [{ kind: 'quit' }]];
    }
    case 'filter':
      return [
        withScreen(app, {
          focus: 'table',
          zoomed: screen.zoomed ? 'table' : null,
          table: { ...screen.table, typing: lineEdit(screen.table.filter) },
        }),
        [],
      ];
    case 'palette':
      return [{ ...app, overlay: { kind: 'palette', edit: lineEdit(), history: app.typed.length, chosen: -1 } }, []];
    case 'help':
      return [{ ...app, overlay: { kind: 'help', top: 0, filter: lineEdit(), typing: false } }, []];
    case 'menu':
      return [{ ...app, overlay: { kind: 'menu', selected: 0 } }, []];
    case 'detail':
      return openDetail(app);
    case 'problems': {
      const on = !screen.problemsOnly;
      const next = withScreen(app, {
        problemsOnly: on,
        table: { ...screen.table, top: 0 },
        tree: { ...screen.tree, top: 0 },
      });
      return [say(next, 'info', on ? 'Showing problems only (p shows everything again).' : 'Showing everything.'), []];
    }
    case 'zoom':
      return [withScreen(app, { zoomed: screen.zoomed ? null : screen.focus }), []];
    case 'sort_next':
    case 'sort_previous':
      return [sort(app, intent.do === 'sort_next' ? 1 : -1), []];
    case 'sort_reverse': {
      const order = screen.table.order ?? { column: shown(app).def.columns[0]?.id ?? '', descending: false };
      return [withScreen(app, { table: { ...screen.table, order: { ...order, descending: !order.descending } } }), []];
    }
    case 'copy_menu':
      return [{ ...app, overlay: { kind: 'copy', selected: 0 } }, []];
    case 'copy_json': {
      const row = selectedRow(app);
      if (!row) return [say(app, 'error', 'There is no row to copy.'), []];
      return [
        app,
        [
          {
            kind: 'copy',
            text: JSON.stringify(
              row.kind === 'server'
                ? { name: row.server.name, address: row.server.address, status: row.server.status }
                : row.item,
              null,
              2,
            ),
            what: 'the row as JSON',
          },
        ],
      ];
    }
    case 'mouse': {
      const on = !app.mouse;
      return [
        say(
          { ...app, mouse: on },
          'info',
          on ? 'Mouse on. Shift-drag selects text in most terminals.' : 'Mouse off: the terminal selects text.',
        ),
        [{ kind: 'mouse', on }],
      ];
    }
    case 'theme': {
      const next = app.themes[(app.themes.indexOf(app.theme) + 1) % app.themes.length];
      return next === undefined ? [app, []] : [app, [{ kind: 'theme', name: next }]];
    }
    case 'redraw':
      return [app, [{ kind: 'redraw' }]];
    case 'suspend':
      return [app, [{ kind: 'suspend' }]];
    case 'interrupt':
      return interrupt(app);
    case 'log_hold': {
      const view = logView(app);
      if (!view.following) return [withScreen(app, { log: { ...screen.log, heldAt: null } }), []];
      const end = view.first + view.entries.length;
      return [
        withScreen(app, {
          log: {
            ...screen.log,
            heldAt: end,
            selected: view.selected,
            top: Math.max(view.first, end - paneRows(app, 'log')),
          },
        }),
        [],
      ];
    }
    case 'log_clear': {
      const server = logServer(app);
      if (!server) return [app, []];
      const cleared = { ...app, fleet: withServer(app.fleet, server.name, (one) => ({ ...one, log: clear(one.log) })) };
      return [
        withScreen(say(cleared, 'info', `Window cleared; the log of ${server.name} is complete.`), {
          log: { ...screen.log, heldAt: null },
        }),
        [],
      ];
    }
    case 'log_wrap':
      return [withScreen(app, { log: { ...screen.log, wrap: !screen.log.wrap } }), []];
    case 'log_write': {
      const view = logView(app);
      if (!view.server) return [say(app, 'error', 'There is no server whose messages could be written.'), []];
      if (view.entries.length === 0)
        return [say(app, 'error', `The window has no messages to write; :logs ${view.server.name} shows the log.`), []];
      const text = view.entries.map(entryLine).join('\n');
      return start(app, `write the messages of ${view.server.name}`, (command) => ({
        kind: 'write',
        command,
        name: `understudy-${view.server?.name ?? ''}-messages.txt`,
        text: `${text}\n`,
      }));
    }
    case 'log_server': {
      const names = app.fleet.servers.map((server) => server.name);
      const at = screen.log.server === null ? -1 : names.indexOf(screen.log.server);
      const next = names[at + 1] ?? null;
      const changed = withScreen(app, { log: { ...screen.log, server: next, heldAt: null } });
      return [say(changed, 'info', next === null ? 'Messages of the selected server.' : `Messages of ${next}.`), []];
    }
    case 'columns':
      return [{ ...app, overlay: columnChooser(app.columns) }, []];
    case 'log_on_off': {
      const server = actingServer(app);
      if (!server) return [app, []];
      const off = server.link.kind === 'online' || server.link.kind === 'connecting';
      return [
        say(app, 'info', off ? `Logged off ${server.name}.` : `Logging on to ${server.name} ...`),
        [{ kind: off ? 'log_off' : 'log_on', server: server.name }],
      ];
    }
    case 'done': {
      const lines =
        app.done.length === 0
          ? ['Nothing was done from here yet.']
          : app.done.flatMap((note) => [note.text, ...(note.cli ? [`    $ ${note.cli}`] : [])]);
      return [
        {
          ...app,
          overlay: {
            kind: 'text',
            title: 'Done from here',
            lines,
            top: Math.max(0, lines.length - (app.size.height - 6)),
            left: null,
          },
        },
        [],
      ];
    }
  }
}

/** Gives a command its number and remembers that it runs. */
export function start(app: App, label: string, make: (command: number) => Command): Step {
  const command = app.nextCommand;
  const running = new Map(app.running).set(command, label);
  return [{ ...say(app, 'info', `${label} ...`), nextCommand: command + 1, running }, [make(command)]];
}

/** Carries out what a dialog describes. */
export function confirm(app: App, dialog: Dialog): Step {
  const told = describe(app, dialog);
  const closed: App = { ...app, overlay: null };
  if (!told) return [say(closed, 'error', 'What this was about is gone.'), []];
  if (told.missing !== null) return [say(app, 'error', `${told.missing}.`), []];
  if (dialog.dialog === 'quit') return [closed, [{ kind: 'quit' }]];
  const line = commandLine(told.argv);
  const { action } = told;
  if (action) {
    return start(closed, `${told.title} (${dialog.server})`, (command) => ({
      kind: 'act',
      command,
      server: dialog.server,
      action,
      label: told.title,
      cli: line,
    }));
  }
  return start(closed, told.title, (command) => ({ kind: 'cli', command, argv: told.argv, label: told.title }));
}

function open(app: App): Step {
  const { focus } = app.screen;
  if (focus === 'tree') {
    const node = selectedNode(app);
    if (!node) return [app, []];
    if (node.place.kind === 'server') {
      const server = app.fleet.servers.find((one) => one.name === (node.place as { server: string }).server);
      if (server && (server.link.kind === 'off' || server.link.kind === 'refused' || server.link.kind === 'lost')) {
        return [say(app, 'info', `Logging on to ${server.name} ...`), [{ kind: 'log_on', server: server.name }]];
      }
    }
    if (node.open !== null) return [toggleNode(app, node.id), []];
    return [focusPane(app, 'table'), []];
  }
  if (focus === 'log') {
    const view = logView(app);
    const entry = view.entries[view.selected - view.first];
    if (!entry) return [app, []];
    return [{ ...app, overlay: { kind: 'text', title: 'Message', lines: entryDetail(entry), top: 0, left: null } }, []];
  }
  return openDetail(app);
}

function openDetail(app: App): Step {
  const row = selectedRow(app);
  if (!row) return [say(app, 'info', 'There is nothing to open here.'), []];
  if (row.kind === 'connection')
    return [{ ...app, overlay: { kind: 'detail', server: row.server.name, key: row.item.key, top: 0 } }, []];
  if (row.kind === 'server') {
    const index = nodes(app).findIndex((node) => node.id === `server:${row.server.name}`);
    return [index >= 0 ? selectNode(app, index) : app, []];
  }
  const lines = grantLines(row.item);
  return [
    {
      ...app,
      overlay: {
        kind: 'text',
        title: `Incoming: ${row.item.set} from ${row.item.server}`,
        lines,
        top: 0,
        left: null,
      },
    },
    [],
  ];
}

/** What a target knows of one source and set, in words. */
function grantLines(grant: Grant): string[] {
  const pairs: (readonly [string, string])[] = [
    ['Replication set', grant.set],
    ['Source', grant.server],
    [
      'Link',
      grant.paused ? 'paused here' : grant.linked ? `linked from ${grant.address ?? 'an unknown address'}` : 'no link',
    ],
    ['Target data', grant.status],
    ['Written', `${formatBytes(grant.writtenBytes)} in ${formatCount(grant.operations)} operations`],
    ['Queued', formatBytes(grant.queuedBytes)],
    ['Failed', `${formatCount(grant.failed)} operations${grant.failed > 0 ? '; the messages say which' : ''}`],
    ['Last file touched', grant.lastFileTouched],
    ...grant.mappings.flatMap(({ source, target }) => [
      ['Directory', source] as const,
      ['written to', target] as const,
    ]),
    ['Deletions', grant.ignoreDeletes ? 'ignored' : 'carried out'],
    ['Allowed', `${formatSecond(grant.created)} by ${grant.createdBy}`],
    ['Key of the source', grant.peer],
  ];
  return pairs.map(([label, value]) => `${label.padEnd(19)}${value}`);
}

/** One step back; the same model when there is none. */
function back(app: App): App {
  const { screen } = app;
  if (screen.table.filter !== '') return withScreen(app, { table: { ...screen.table, filter: '', top: 0 } });
  if (screen.zoomed) return withScreen(app, { zoomed: null });
  if (screen.problemsOnly) return withScreen(app, { problemsOnly: false });
  return app;
}

function sort(app: App, step: 1 | -1): App {
  const { def, rows } = shown(app);
  const { table } = app.screen;
  const at = table.order ? def.columns.findIndex((column) => column.id === table.order?.column) : step > 0 ? -1 : 0;
  const index = (at + step + def.columns.length) % def.columns.length;
  const column = def.columns[index];
  if (!column) return app;
  // The column that decides the order comes into sight.
  let offset = table.column;
  const visible = rows.slice(table.top, table.top + paneRows(app, 'table'));
  if (index > 0) {
    if (index - 1 < offset) offset = index - 1;
    while (
      offset < index - 1 &&
      !placeColumns(def, visible, offset, tableWidth(app)).placed.some((one) => one.column.id === column.id)
    )
      offset++;
  }
  return withScreen(app, {
    table: { ...table, column: offset, order: { column: column.id, descending: table.order?.descending ?? false } },
  });
}

const TWICE_MS = 2_000;

function interrupt(app: App): Step {
  if (app.now - app.interruptedAt < TWICE_MS) return [app, [{ kind: 'quit' }]];
  const last = [...app.running.entries()].at(-1);
  const next = { ...app, interruptedAt: app.now };
  if (!last) return [say(next, 'info', 'Nothing is running. ^C again leaves.'), []];
  return [say(next, 'info', `Cancelling: ${last[1]}. ^C again leaves.`), [{ kind: 'cancel', command: last[0] }]];
}

export interface CopyChoice {
  readonly label: string;
  readonly text: string;
}

/** What `y` offers for the focused pane. */
export function copyChoices(app: App): CopyChoice[] {
  const out: CopyChoice[] = [];
  const row = selectedRow(app);
  const { def } = shown(app);
  if (app.screen.focus === 'log') {
    const view = logView(app);
    const entry = view.entries[view.selected - view.first];
    if (entry) out.push({ label: 'This message', text: entryLine(entry) });
    if (view.entries.length > 0)
      out.push({
        label: `All ${view.entries.length} messages of the window`,
        text: view.entries.map(entryLine).join('\n'),
      });
  }
  const connection = selectedConnection(app);
  if (connection) out.push({ label: 'The connection ID', text: `${connection.server.name}:${connection.item.id}` });
  if (row) {
    out.push({ label: 'The row, tab separated', text: def.columns.map((column) => column.show(row)).join('\t') });
    if (row.kind !== 'server') out.push({ label: 'The row as JSON', text: JSON.stringify(row.item, null, 2) });
    if (connection) out.push({ label: 'The last file touched', text: connection.item.statistics.lastFileTouched });
  }
  if (app.note?.cli) out.push({ label: 'The last command', text: app.note.cli });
  return out;
}
