/** Every key, once: footer, help overlay, actions menu and docs/keys.md are made from this table. */
import type { App, DialogKind } from '../../model/app.js';
import { isStale, type Server } from '../../model/fleet.js';
import type { Pane } from '../../layout/panes.js';
import { SIMULATED } from './equivalents.js';
import { actingServer, type ConnectionRow, selectedConnection } from './tables.js';

export type Move =
  | 'up'
  | 'down'
  | 'page_up'
  | 'page_down'
  | 'half_up'
  | 'half_down'
  | 'first'
  | 'last'
  | 'left'
  | 'right';

export type Intent =
  | { readonly do: 'move'; readonly by: Move }
  | { readonly do: 'focus'; readonly pane: Pane | 'next' | 'previous' }
  | { readonly do: 'dialog'; readonly dialog: DialogKind }
  | {
      readonly do:
        | 'open'
        | 'back'
        | 'leave'
        | 'filter'
        | 'palette'
        | 'help'
        | 'menu'
        | 'detail'
        | 'problems'
        | 'zoom'
        | 'sort_next'
        | 'sort_previous'
        | 'sort_reverse'
        | 'copy_menu'
        | 'copy_json'
        | 'mouse'
        | 'theme'
        | 'redraw'
        | 'suspend'
        | 'interrupt'
        | 'log_hold'
        | 'log_clear'
        | 'log_wrap'
        | 'log_write'
        | 'log_server'
        | 'columns'
        | 'log_on_off'
        | 'done';
    };

export type Group = 'Move' | 'Look' | 'Connection' | 'Server' | 'Messages' | 'Program';

export interface Key {
  /** Names as the terminal layer gives them; the first is shown. */
  readonly keys: readonly string[];
  /** One or two words for footer and menu. */
  readonly label: string;
  /** A sentence for help and docs. */
  readonly help: string;
  readonly group: Group;
  /** Only with the focus in one of these. */
  readonly where?: readonly Pane[];
  readonly intent: Intent;
  /** Changes something on a server. */
  readonly changes?: boolean;
  readonly danger?: boolean;
  /** Why it cannot be used now; the key stays visible. */
  readonly blocked?: (app: App) => string | null;
  /** Place in the footer, smaller first; absent: not there. */
  readonly footer?: number;
}

const needsConnection =
  (more?: (row: ConnectionRow) => string | null) =>
  (app: App): string | null => {
    const row = selectedConnection(app);
    if (!row) return 'select a connection first';
    return mayChange(app, row.server) ?? more?.(row) ?? null;
  };

/** Read-only console, no link, or not enough rights. */
export function mayChange(app: App, server: Server | null): string | null {
  if (app.readOnly) return 'this console was started read-only';
  if (!server) return 'select a server first';
  if (isStale(server)) return `${server.name} is not connected`;
  if (server.hello?.access !== 'administrator') return `you are not an administrator on ${server.name} (group usadmin)`;
  return null;
}

const needsServer =
  (more?: (server: Server) => string | null) =>
  (app: App): string | null => {
    const server = actingServer(app);
    return mayChange(app, server) ?? (server && more ? more(server) : null);
  };

/** Why it has to wait for what the connection does now. */
function busy({ item }: ConnectionRow, what: string): string | null {
  if (item.target === SIMULATED) return 'a simulated connection has no target';
  const { mirrorStatus } = item.statistics;
  switch (mirrorStatus) {
    case 'Idle':
      return null;
    case 'Paused':
      return 'the mirror is paused; resume (U) or stop it (S) first';
    case 'Verifying':
      return what === 'Verify' ? 'a verification is running' : 'wait until the verification is done';
    case 'Removing Orphans':
      return 'wait until the orphans are removed';
    default:
      return 'wait until the mirror is done';
  }
}

const mirrorRuns = (row: ConnectionRow): boolean =>
  ['Mirroring', 'Waiting', 'Paused', 'Restoring'].includes(row.item.statistics.mirrorStatus);

export const KEYS: readonly Key[] = [
  { keys: ['up', 'k'], label: 'Up', help: 'One line up', group: 'Move', intent: { do: 'move', by: 'up' } },
  { keys: ['down', 'j'], label: 'Down', help: 'One line down', group: 'Move', intent: { do: 'move', by: 'down' } },
  {
    keys: ['left', 'h'],
    label: 'Left',
    help: 'Columns to the left; in the tree: close or go to the parent',
    group: 'Move',
    intent: { do: 'move', by: 'left' },
  },
  {
    keys: ['right', 'l'],
    label: 'Right',
    help: 'Columns to the right; in the tree: open',
    group: 'Move',
    intent: { do: 'move', by: 'right' },
  },
  {
    keys: ['pageup', 'C-b'],
    label: 'Page up',
    help: 'One page up',
    group: 'Move',
    intent: { do: 'move', by: 'page_up' },
  },
  {
    keys: ['pagedown', 'C-f'],
    label: 'Page down',
    help: 'One page down',
    group: 'Move',
    intent: { do: 'move', by: 'page_down' },
  },
  { keys: ['C-u'], label: 'Half up', help: 'Half a page up', group: 'Move', intent: { do: 'move', by: 'half_up' } },
  {
    keys: ['C-d'],
    label: 'Half down',
    help: 'Half a page down',
    group: 'Move',
    intent: { do: 'move', by: 'half_down' },
  },
  {
    keys: ['home', 'g g'],
    label: 'First',
    help: 'To the first line',
    group: 'Move',
    intent: { do: 'move', by: 'first' },
  },
  {
    keys: ['end', 'G'],
    label: 'Last',
    help: 'To the last line; messages follow again',
    group: 'Move',
    intent: { do: 'move', by: 'last' },
  },
  {
    keys: ['tab'],
    label: 'Next pane',
    help: 'To the next pane',
    group: 'Move',
    intent: { do: 'focus', pane: 'next' },
    footer: 7,
  },
  {
    keys: ['S-tab'],
    label: 'Previous pane',
    help: 'To the previous pane',
    group: 'Move',
    intent: { do: 'focus', pane: 'previous' },
  },
  { keys: ['1'], label: 'Servers', help: 'To servers and sets', group: 'Move', intent: { do: 'focus', pane: 'tree' } },
  { keys: ['2'], label: 'Connections', help: 'To the table', group: 'Move', intent: { do: 'focus', pane: 'table' } },
  { keys: ['3'], label: 'Charts', help: 'To the charts', group: 'Move', intent: { do: 'focus', pane: 'charts' } },
  { keys: ['4'], label: 'Messages', help: 'To the messages', group: 'Move', intent: { do: 'focus', pane: 'log' } },

  {
    keys: ['enter'],
    label: 'Open',
    help: 'Tree: open or close. Table: all 26 statistics. Messages: the whole message and its remedy',
    group: 'Look',
    intent: { do: 'open' },
    footer: 2,
  },
  {
    keys: ['escape', 'backspace'],
    label: 'Back',
    help: 'Close, clear the filter, or leave the zoom',
    group: 'Look',
    intent: { do: 'back' },
  },
  {
    keys: ['/'],
    label: 'Filter',
    help: 'Filter the table while typing: word, !word, column:text, column>5m; Esc clears',
    group: 'Look',
    intent: { do: 'filter' },
    footer: 5,
  },
  {
    keys: ['p', '!'],
    label: 'Problems',
    help: 'Show only what needs a person',
    group: 'Look',
    intent: { do: 'problems' },
    footer: 8,
  },
  {
    keys: ['<'],
    label: 'Sort left',
    help: 'Sort by the column to the left',
    group: 'Look',
    intent: { do: 'sort_previous' },
    where: ['table'],
  },
  {
    keys: ['>'],
    label: 'Sort right',
    help: 'Sort by the column to the right',
    group: 'Look',
    intent: { do: 'sort_next' },
    where: ['table'],
  },
  {
    keys: ['r', 'R'],
    label: 'Reverse',
    help: 'Reverse the order',
    group: 'Look',
    intent: { do: 'sort_reverse' },
    where: ['table'],
  },
  {
    keys: ['o'],
    label: 'Columns',
    help: 'Choose the statistics shown, and their order',
    group: 'Look',
    where: ['table'],
    intent: { do: 'columns' },
  },
  {
    keys: ['z'],
    label: 'Zoom',
    help: 'The pane alone on the screen, and back',
    group: 'Look',
    intent: { do: 'zoom' },
    footer: 9,
  },
  {
    keys: ['y'],
    label: 'Copy',
    help: 'Copy the ID, the row, the message or the command',
    group: 'Look',
    intent: { do: 'copy_menu' },
  },
  {
    keys: ['Y'],
    label: 'Copy JSON',
    help: 'Copy the selected row as JSON',
    group: 'Look',
    intent: { do: 'copy_json' },
  },

  {
    keys: ['a'],
    label: 'Actions',
    help: 'Everything that can be done with the selection, with the reason where it cannot',
    group: 'Connection',
    intent: { do: 'menu' },
    footer: 3,
  },
  {
    keys: ['s'],
    label: 'Mirror',
    help: 'Start a mirror',
    group: 'Connection',
    changes: true,
    footer: 4,
    intent: { do: 'dialog', dialog: 'mirror_start' },
    blocked: needsConnection((row) => (mirrorRuns(row) ? 'a mirror is running; stop it first (S)' : null)),
  },
  {
    keys: ['S'],
    label: 'Stop mirror',
    help: 'Stop the mirror and forget its position',
    group: 'Connection',
    changes: true,
    danger: true,
    intent: { do: 'dialog', dialog: 'mirror_stop' },
    blocked: needsConnection((row) => (mirrorRuns(row) ? null : 'no mirror is running')),
  },
  {
    keys: ['u'],
    label: 'Pause mirror',
    help: 'Pause the mirror, keeping its position',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'mirror_pause' },
    blocked: needsConnection((row) =>
      mirrorRuns(row) && row.item.statistics.mirrorStatus !== 'Paused' ? null : 'no mirror is under way',
    ),
  },
  {
    keys: ['U'],
    label: 'Resume mirror',
    help: 'Resume the paused mirror',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'mirror_resume' },
    blocked: needsConnection((row) =>
      row.item.statistics.mirrorStatus === 'Paused' ? null : 'the mirror is not paused',
    ),
  },
  {
    keys: ['i'],
    label: 'Start replication',
    help: 'Start replication; a mirror follows',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'replication_start' },
    blocked: needsConnection((row) =>
      row.item.statistics.replicationStatus === 'Replicating' ? 'replication is running' : null,
    ),
  },
  {
    keys: ['I'],
    label: 'Stop replication',
    help: 'Stop replication; changes are no longer queued',
    group: 'Connection',
    changes: true,
    danger: true,
    intent: { do: 'dialog', dialog: 'replication_stop' },
    blocked: needsConnection((row) =>
      row.item.statistics.replicationStatus === 'Stopped' ? 'replication is stopped' : null,
    ),
  },
  {
    keys: ['t'],
    label: 'Pause transmission',
    help: 'Pause transmission; data is held in the queue',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'transmit_pause' },
    blocked: needsConnection((row) =>
      row.item.statistics.transmitMode === 'Paused'
        ? 'transmission is paused'
        : row.item.statistics.transmitMode === 'Stopped'
          ? 'transmission is stopped'
          : null,
    ),
  },
  {
    keys: ['T'],
    label: 'Resume transmission',
    help: 'Resume transmission',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'transmit_resume' },
    blocked: needsConnection((row) =>
      row.item.statistics.transmitMode === 'Paused' ? null : 'transmission is not paused',
    ),
  },
  {
    keys: ['e'],
    label: 'Start transmission',
    help: 'Start transmission; while scheduled, begin a session now',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'transmit_start' },
    blocked: needsConnection((row) =>
      ['Stopped', 'Scheduled'].includes(row.item.statistics.transmitMode)
        ? null
        : 'transmission is neither stopped nor scheduled',
    ),
  },
  {
    keys: ['E'],
    label: 'Stop transmission',
    help: 'Stop transmission: the link is closed, data is held in the queue',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'transmit_stop' },
    blocked: needsConnection((row) =>
      row.item.statistics.transmitMode === 'Stopped' ? 'transmission is stopped' : null,
    ),
  },
  {
    keys: ['v'],
    label: 'Verify',
    help: 'Compare source and target, and send what differs if wanted',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'verify' },
    blocked: needsConnection((row) => busy(row, 'Verify')),
  },
  {
    keys: ['O'],
    label: 'Orphans',
    help: 'List what only the target has, remove it, or stop removing it',
    group: 'Connection',
    changes: true,
    danger: true,
    intent: { do: 'dialog', dialog: 'orphans' },
    blocked: needsConnection((row) =>
      row.item.statistics.mirrorStatus === 'Removing Orphans' ? null : busy(row, 'Orphans'),
    ),
  },
  {
    keys: ['Q'],
    label: 'Quarantine',
    help: 'Paths that the target refused, with call and error; tells them again at once if wanted',
    group: 'Connection',
    intent: { do: 'dialog', dialog: 'quarantine' },
    blocked: (app) => {
      const row = selectedConnection(app);
      if (!row) return 'select a connection first';
      return row.item.quarantined === 0 ? 'nothing is in quarantine' : null;
    },
  },
  {
    keys: ['b'],
    label: 'Estimate',
    help: 'What a simulated connection says about bandwidth, recovery point and time of a first mirror',
    group: 'Connection',
    intent: { do: 'dialog', dialog: 'estimate' },
    // It only looks: a monitor may, and so may a read-only console.
    blocked: (app) => {
      const row = selectedConnection(app);
      if (!row) return 'select a connection first';
      if (isStale(row.server)) return `${row.server.name} is not connected`;
      return row.item.target === SIMULATED ? null : `only for a simulated connection; connect the set to ${SIMULATED}`;
    },
  },
  {
    keys: ['B'],
    label: 'Bookmark',
    help: 'Mark a point that the target reaches and makes durable',
    group: 'Connection',
    changes: true,
    intent: { do: 'dialog', dialog: 'bookmark_make' },
    blocked: needsConnection((row) => busy(row, 'Bookmark')),
  },
  {
    keys: ['X'],
    label: 'Run task',
    help: 'Run a command on the target behind everything that changed until now',
    group: 'Connection',
    changes: true,
    danger: true,
    intent: { do: 'dialog', dialog: 'task_run' },
    blocked: needsConnection(),
  },
  {
    keys: ['c'],
    label: 'Connect',
    help: 'Connect a replication set to a target',
    group: 'Connection',
    changes: true,
    footer: 6,
    intent: { do: 'dialog', dialog: 'connect' },
    blocked: needsServer((server) =>
      server.sets.size === 0 ? `${server.name} has no replication set; make one with :set create` : null,
    ),
  },
  {
    keys: ['D'],
    label: 'Disconnect',
    help: 'End the connection; the replica stays as it is',
    group: 'Connection',
    changes: true,
    danger: true,
    intent: { do: 'dialog', dialog: 'disconnect' },
    blocked: needsConnection(),
  },

  {
    keys: ['L'],
    label: 'Log on/off',
    help: 'Log on to the server, or log off',
    group: 'Server',
    intent: { do: 'log_on_off' },
    blocked: (app) => (actingServer(app) ? null : 'there is no server yet'),
  },
  {
    keys: ['N'],
    label: 'Add server',
    help: 'Add a server to this console',
    group: 'Server',
    intent: { do: 'dialog', dialog: 'server_add' },
  },
  {
    keys: ['delete'],
    label: 'Remove server',
    help: 'Take the server out of this console; nothing changes on it',
    group: 'Server',
    danger: true,
    intent: { do: 'dialog', dialog: 'server_remove' },
    blocked: (app) => (actingServer(app) ? null : 'there is no server yet'),
  },
  {
    keys: ['H'],
    label: 'Pause target',
    help: 'Hold everything this server receives; sources queue',
    group: 'Server',
    changes: true,
    danger: true,
    intent: { do: 'dialog', dialog: 'target_pause' },
    blocked: needsServer((server) =>
      server.status?.targetPaused
        ? `${server.name} is paused`
        : server.grants.size === 0
          ? `nothing is replicated to ${server.name}`
          : null,
    ),
  },
  {
    keys: ['J'],
    label: 'Resume target',
    help: 'Let this server write again what it receives',
    group: 'Server',
    changes: true,
    intent: { do: 'dialog', dialog: 'target_resume' },
    blocked: needsServer((server) => (server.status?.targetPaused ? null : `${server.name} is not paused`)),
  },
  {
    keys: ['A'],
    label: 'Answer guard',
    help: 'Answer the guard that stopped a set: keep or delete on the targets',
    group: 'Server',
    changes: true,
    danger: true,
    intent: { do: 'dialog', dialog: 'set_continue' },
    blocked: needsServer((server) =>
      [...server.sets.values()].some((set) => set.state === 'stopped') ? null : `no set of ${server.name} is stopped`,
    ),
  },

  {
    keys: ['space', 'f'],
    label: 'Pause/follow',
    help: 'Hold new messages, or follow again',
    group: 'Messages',
    where: ['log'],
    intent: { do: 'log_hold' },
    footer: 1,
  },
  {
    keys: ['x'],
    label: 'Clear',
    help: 'Clear the window; the log file stays complete',
    group: 'Messages',
    where: ['log'],
    intent: { do: 'log_clear' },
    footer: 1,
  },
  {
    keys: ['w'],
    label: 'Wrap',
    help: 'Long messages on several lines, or cut',
    group: 'Messages',
    where: ['log'],
    intent: { do: 'log_wrap' },
  },
  {
    keys: ['W'],
    label: 'Write file',
    help: 'Write the messages of this window to a file',
    group: 'Messages',
    where: ['log'],
    intent: { do: 'log_write' },
  },
  {
    keys: ['o'],
    label: 'Server',
    help: 'Choose whose messages are shown',
    group: 'Messages',
    where: ['log'],
    intent: { do: 'log_server' },
    footer: 1,
  },

  { keys: ['?', 'f1'], label: 'Help', help: 'This help', group: 'Program', intent: { do: 'help' }, footer: 0 },
  {
    keys: [':', 'C-p'],
    label: 'Command',
    help: 'Any command of the command line, with completion (Tab) and history (Up)',
    group: 'Program',
    intent: { do: 'palette' },
    footer: 10,
  },
  {
    keys: ['d'],
    label: 'Done',
    help: 'What was done from here, with the equivalent commands',
    group: 'Program',
    intent: { do: 'done' },
  },
  { keys: ['C'], label: 'Theme', help: 'Next theme', group: 'Program', intent: { do: 'theme' } },
  {
    keys: ['m'],
    label: 'Mouse',
    help: 'Mouse on or off; off lets the terminal select text',
    group: 'Program',
    intent: { do: 'mouse' },
  },
  { keys: ['C-l', 'f5'], label: 'Redraw', help: 'Draw everything anew', group: 'Program', intent: { do: 'redraw' } },
  {
    keys: ['C-z'],
    label: 'Suspend',
    help: 'Back to the shell for a while; fg returns',
    group: 'Program',
    intent: { do: 'suspend' },
  },
  {
    keys: ['C-c'],
    label: 'Cancel',
    help: 'Cancel what runs; twice within two seconds leaves',
    group: 'Program',
    intent: { do: 'interrupt' },
  },
  {
    keys: ['q', 'f10'],
    label: 'Quit',
    help: 'Back; at the top: leave the cockpit',
    group: 'Program',
    intent: { do: 'leave' },
    footer: 11,
  },
];
