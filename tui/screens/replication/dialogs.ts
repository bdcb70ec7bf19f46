/** Every dialog: what it asks, what follows, and the command that does the same (T15, T16). */
import type { Action, App, Dialog, DialogKind, DialogValue } from '../../model/app.js';
import { findServer, targetName } from '../../model/fleet.js';
import { lineEdit, lineText, type LineEdit } from '../../model/line-edit.js';
import type { ConnectionItem } from '../../../protocol/messages/index.js';
import { actingServer, selectedConnection } from './tables.js';
import { selectedNode } from './tree.js';
import { words } from '../../model/words.js';
import { connectForm } from './connect-form.js';
import * as cli from './equivalents.js';
import { mayChange } from './keys.js';

export type Field =
  | { readonly kind: 'choice'; readonly name: string; readonly label: string; readonly options: readonly string[] }
  | { readonly kind: 'check'; readonly name: string; readonly label: string }
  | { readonly kind: 'text'; readonly name: string; readonly label: string; readonly hint: string };

export interface Description {
  readonly title: string;
  /** What it is about, then what happens. */
  readonly lines: readonly string[];
  readonly fields: readonly Field[];
  readonly confirm: string;
  readonly danger: boolean;
  /** Without the program's name. */
  readonly argv: readonly string[];
  /** What goes to the server; null: the command line does it. */
  readonly action: Action | null;
  /** Why it cannot be confirmed yet. */
  readonly missing: string | null;
}

export const num = (values: Dialog['values'], name: string): number =>
  typeof values[name] === 'number' ? (values[name] as number) : 0;
export const flag = (values: Dialog['values'], name: string): boolean => values[name] === true;
export const txt = (values: Dialog['values'], name: string): string => {
  const value = values[name];
  return value && typeof value === 'object' ? lineText(value as LineEdit).trim() : '';
};

const MIRRORS = ['Difference', 'Full'] as const;
const ORPHANS = ['List only', 'Move or delete'] as const;

/** The set that the tree or, with the focus there, the table is at. */
function selectedSetName(app: App): string | null {
  const place = selectedNode(app)?.place;
  const row = selectedConnection(app);
  if (row && (app.screen.focus === 'table' || place?.kind !== 'set')) return row.item.set;
  return place?.kind === 'set' ? place.set : null;
}

/** Opens a dialog for what is selected; null when there is nothing it could be about. */
export function openDialog(app: App, dialog: DialogKind): Dialog | null {
  const base = (server: string, subject: string, values: Record<string, DialogValue>, focus: number): Dialog => ({
    kind: 'dialog',
    dialog,
    server,
    subject,
    values,
    focus,
  });
  const ready = (opened: Dialog): Dialog => {
    // Dangerous ones begin at Cancel, harmless ones at the action; forms at their first field (T15).
    const told = describe(app, opened);
    if (!told) return opened;
    if (told.fields.some((field) => field.kind === 'text' || field.kind === 'choice')) return { ...opened, focus: 0 };
    return { ...opened, focus: told.fields.length + (told.danger ? 0 : 1) };
  };
  switch (dialog) {
    case 'server_add':
      return base('', '', { name: lineEdit(), address: lineEdit('ssh://') }, 0);
    case 'quit':
      return base('', '', {}, 0);
    case 'server_remove':
    case 'target_pause':
    case 'target_resume': {
      const server = actingServer(app);
      return server ? ready(base(server.name, '', {}, 0)) : null;
    }
    case 'set_continue': {
      const server = actingServer(app);
      // The one that is selected, where it is one of several.
      const chosen = selectedSetName(app);
      const stopped = server ? [...server.sets.values()].filter((one) => one.state === 'stopped') : [];
      const set = stopped.find((one) => one.name === chosen) ?? stopped[0];
      return server && set ? ready(base(server.name, set.name, { deletes: 0 }, 0)) : null;
    }
    case 'connect': {
      const server = actingServer(app);
      if (!server || server.sets.size === 0) return null;
      const names = [...server.sets.keys()].sort();
      const place = selectedNode(app)?.place;
      const set = place?.kind === 'set' ? Math.max(0, names.indexOf(place.set)) : 0;
      return ready(
        base(server.name, '', { set, target: 0, mapping: 0, path: lineEdit('/'), mirror: 0, replication: true }, 0),
      );
    }
    default: {
      const row = selectedConnection(app);
      return row
        ? ready(
            base(
              row.server.name,
              row.item.key,
              {
                mirror: 0,
                checksum: dialog === 'verify',
                newer: false,
                remirror: false,
                command: lineEdit(),
                durable: true,
                name: lineEdit(),
                freeze: false,
                orphans: 0,
                set: lineEdit(),
                again: false,
              },
              0,
            ),
          )
        : null;
    }
  }
}

/** What a dialog says at this moment; null when its subject is gone. */
export function describe(app: App, dialog: Dialog): Description | null {
  const { values, server: serverName } = dialog;
  const server = findServer(app.fleet, serverName);
  const plain = (more: Partial<Description> & Pick<Description, 'title' | 'lines' | 'confirm'>): Description => ({
    fields: [],
    danger: false,
    argv: [],
    action: null,
    missing: null,
    ...more,
  });
  switch (dialog.dialog) {
    case 'quit':
      return plain({
        title: 'Leave the cockpit',
        lines: [
          'Something asked for from here is still under way.',
          'The servers go on with it; its outcome will be in their log.',
        ],
        confirm: 'Leave',
      });
    case 'server_add': {
      const name = txt(values, 'name');
      const address = txt(values, 'address');
      const wrong = !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)
        ? 'a name of letters, digits, dot, dash'
        : !/^(ssh:\/\/[^/]+|unix:\/)/.test(address)
          ? 'an address such as ssh://user@host or unix:/path'
          : null;
      return plain({
        title: 'Add a server',
        lines: ['It is added to this console only. The log-on is that of SSH or of the local socket.'],
        fields: [
          { kind: 'text', name: 'name', label: 'Name', hint: 'as shown in the tree' },
          { kind: 'text', name: 'address', label: 'Address', hint: 'ssh://[user@]host[:port][/socket] or unix:/path' },
        ],
        confirm: 'Add',
        argv: ['server', 'add', name || 'NAME', address || 'ADDRESS'],
        missing: wrong === null ? null : `still needed: ${wrong}`,
      });
    }
    default:
      break;
  }
  if (!server) return null;
  switch (dialog.dialog) {
    case 'server_remove':
      return plain({
        title: `Remove ${server.name}`,
        lines: [
          `${server.name} (${server.address}) is taken out of this console.`,
          'Nothing changes on the server; its connections go on.',
        ],
        confirm: 'Remove',
        danger: true,
        argv: ['server', 'remove', server.name],
      });
    case 'target_pause':
      return plain({
        title: `Pause target ${server.name}`,
        lines: [
          `${server.name} stops writing what ${server.grants.size} incoming connection${server.grants.size === 1 ? '' : 's'} bring${server.grants.size === 1 ? 's' : ''}.`,
          'The sources queue meanwhile; the replicas fall behind.',
        ],
        confirm: 'Pause',
        danger: true,
        argv: cli.target(server.name, 'pause'),
        action: { kind: 'target_pause' },
      });
    case 'target_resume':
      return plain({
        title: `Resume target ${server.name}`,
        lines: [`${server.name} writes again what it receives.`],
        confirm: 'Resume',
        argv: cli.target(server.name, 'resume'),
        action: { kind: 'target_resume' },
      });
    case 'set_continue': {
      const deletes = num(values, 'deletes') === 1;
      const set = server.sets.get(dialog.subject);
      return plain({
        title: `Set ${dialog.subject} is stopped`,
        lines: [
          set?.problem?.text ?? `A guard stopped ${dialog.subject} on ${server.name}.`,
          deletes ? 'What is gone here is deleted on the targets, once.' : 'What is gone here stays on the targets.',
        ],
        fields: [{ kind: 'choice', name: 'deletes', label: 'On the targets', options: ['Keep', 'Delete'] }],
        confirm: deletes ? 'Delete there' : 'Continue',
        danger: deletes,
        argv: cli.setContinue(server.name, dialog.subject, deletes),
        action: { kind: 'set_continue', set: dialog.subject, acceptDeletes: deletes },
      });
    }
    case 'connect':
      return connectForm(app, dialog, plain);
    default: {
      const item = server.connections.get(dialog.subject);
      return item ? aboutConnection(app, dialog, item, plain) : null;
    }
  }
}

export type Plain = (more: Partial<Description> & Pick<Description, 'title' | 'lines' | 'confirm'>) => Description;

function aboutConnection(app: App, dialog: Dialog, item: ConnectionItem, plain: Plain): Description | null {
  const { values, server } = dialog;
  const { id } = item;
  const target = targetName(app.fleet, item);
  const who = `Connection ${id}: ${item.set} on ${server} to ${target} (${item.statistics.targetIp})`;
  const simple = (
    kind:
      | 'mirror_stop'
      | 'mirror_pause'
      | 'mirror_resume'
      | 'replication_start'
      | 'replication_stop'
      | 'transmit_start'
      | 'transmit_pause'
      | 'transmit_resume'
      | 'transmit_stop',
    title: string,
    confirm: string,
    danger: boolean,
    ...lines: string[]
  ): Description =>
    plain({
      title,
      lines: [who, ...lines],
      confirm,
      danger,
      argv: cli.connection(kind, server, id),
      action: { kind, id },
    });
  switch (dialog.dialog) {
    case 'mirror_start': {
      const full = num(values, 'mirror') === 1;
      const checksum = !full && flag(values, 'checksum');
      const newer = !full && flag(values, 'newer');
      return plain({
        title: 'Start mirror',
        lines: [
          who,
          full
            ? 'Every file is sent whole, whatever the target holds.'
            : checksum
              ? 'Blocks that differ are sent.'
              : 'Files whose date, size or attributes differ are sent.',
          ...(newer ? ['Only files newer on the source: risky for databases.'] : []),
        ],
        fields: [
          { kind: 'choice', name: 'mirror', label: 'Kind', options: MIRRORS },
          ...(full
            ? []
            : [
                { kind: 'check' as const, name: 'checksum', label: 'Compare by checksum' },
                { kind: 'check' as const, name: 'newer', label: 'Only if the source is newer' },
              ]),
        ],
        confirm: 'Start',
        argv: cli.mirrorStart(server, id, full ? 'full' : 'difference', checksum, newer),
        action: { kind: 'mirror_start', id, mirror: full ? 'full' : 'difference', checksum, newer },
      });
    }
    case 'mirror_stop':
      return simple(
        'mirror_stop',
        'Stop mirror',
        'Stop mirror',
        true,
        'Its position is forgotten and the replica stays incomplete:',
        'the target data state becomes Mirror Required.',
      );
    case 'mirror_pause':
      return simple(
        'mirror_pause',
        'Pause mirror',
        'Pause',
        false,
        'The mirror stands still and keeps its position; replication goes on.',
      );
    case 'mirror_resume':
      return simple('mirror_resume', 'Resume mirror', 'Resume', false, 'The mirror goes on where it stood.');
    case 'replication_start':
      return simple(
        'replication_start',
        'Start replication',
        'Start',
        false,
        'Changes are queued from now on; a mirror follows,',
        'because changes made meanwhile were not.',
      );
    case 'replication_stop':
      return simple(
        'replication_stop',
        'Stop replication',
        'Stop',
        true,
        'Changes are no longer queued: the replica grows old,',
        'and starting again needs a mirror.',
      );
    case 'transmit_start':
      return simple(
        'transmit_start',
        'Start transmission',
        'Start',
        false,
        item.statistics.transmitMode === 'Scheduled'
          ? 'A session begins now for every connection to this address.'
          : 'Queued data is sent; a schedule decides when, if there is one.',
      );
    case 'transmit_stop':
      return simple(
        'transmit_stop',
        'Stop transmission',
        'Stop',
        false,
        'The link is closed and data is held in the queue of the source',
        'until transmission is started again.',
      );
    case 'transmit_pause':
      return simple(
        'transmit_pause',
        'Pause transmission',
        'Pause',
        false,
        'Data is held in the queue of the source; the link stays.',
      );
    case 'transmit_resume':
      return simple('transmit_resume', 'Resume transmission', 'Resume', false, 'Queued data is sent.');
    case 'verify': {
      const checksum = flag(values, 'checksum');
      const remirror = flag(values, 'remirror');
      return plain({
        title: 'Verify',
        lines: [
          who,
          remirror ? 'What differs is sent to the target.' : 'Nothing is changed; the answer lists what differs.',
        ],
        fields: [
          { kind: 'check', name: 'checksum', label: 'Compare contents by checksum' },
          { kind: 'check', name: 'remirror', label: 'Send what differs' },
        ],
        confirm: 'Verify',
        argv: cli.verify(server, id, checksum, remirror),
        action: { kind: 'verify', id, checksum, remirror },
      });
    }
    case 'quarantine': {
      const again = flag(values, 'again');
      const { quarantined: count } = item;
      return plain({
        title: 'Quarantine',
        lines: [
          who,
          count === 0
            ? 'Nothing is in quarantine any more.'
            : `The target could not write ${count === 1 ? 'one path' : `${count} paths`}; everything else goes on.`,
          again
            ? 'They are told again now; what is refused once more stays.'
            : 'Each is tried again with growing pauses.',
        ],
        fields: [{ kind: 'check', name: 'again', label: 'Tell them again now' }],
        confirm: again ? 'Tell again' : 'Show',
        argv: cli.quarantine(server, id, again),
        action: { kind: 'quarantine', id, target: item.target, again },
        missing: again ? mayChange(app, findServer(app.fleet, server) ?? null) : null,
      });
    }
    case 'estimate':
      return plain({
        title: 'Estimate',
        lines: [who, 'Bandwidth, recovery point and time of a first mirror, from what was counted until now.'],
        confirm: 'Show',
        argv: cli.estimate(server, id),
        action: { kind: 'estimate', id },
      });
    case 'bookmark_make': {
      const name = txt(values, 'name');
      const freeze = flag(values, 'freeze');
      return plain({
        title: 'Make bookmark',
        lines: [
          who,
          freeze
            ? 'The file systems of the set stand still until all that changed is read, ten seconds at most; the replica is then as after a loss of power.'
            : 'Everything that changed until now reaches the target; what changes meanwhile may be there in part.',
        ],
        fields: [
          { kind: 'text', name: 'name', label: 'Name', hint: 'the time when left out' },
          { kind: 'check', name: 'freeze', label: 'Freeze the file systems meanwhile' },
        ],
        confirm: 'Make',
        danger: freeze,
        argv: cli.bookmark(server, id, name, freeze),
        action: { kind: 'bookmark_make', id, name, freeze },
      });
    }
    case 'task_run': {
      const command = words(txt(values, 'command'));
      const durable = flag(values, 'durable');
      return plain({
        title: 'Run task',
        lines: [
          who,
          'The command runs on the target with everything that changed until now, if its settings allow it (task.enabled).',
          'Until it has ended nothing more is applied there.',
        ],
        fields: [
          { kind: 'text', name: 'command', label: 'Command', hint: 'program and arguments; no shell reads them' },
          { kind: 'check', name: 'durable', label: 'Make everything before it durable first' },
        ],
        confirm: 'Run',
        danger: true,
        argv: cli.taskRun(server, id, command ?? [], durable),
        action: { kind: 'task_run', id, command: command ?? [], durable },
        missing:
          command === null
            ? 'still needed: the end of a quotation'
            : command.length === 0
              ? 'still needed: a command'
              : null,
      });
    }
    case 'orphans': {
      if (item.statistics.mirrorStatus === 'Removing Orphans')
        return plain({
          title: 'Stop removing orphans',
          lines: [who, 'What the target was told already is worked off.'],
          confirm: 'Stop',
          argv: ['orphans', 'stop', `${server}:${id}`],
          action: { kind: 'orphans_stop', id },
        });
      const remove = num(values, 'orphans') === 1;
      return plain({
        title: 'Orphans',
        lines: [
          who,
          remove
            ? `What is on ${target} below the directories of this connection and not in the set is moved away or deleted, as the settings orphans.* of ${target} say.`
            : `Lists what is on ${target} and not in the set, here and in its log; nothing is touched.`,
        ],
        fields: [
          { kind: 'choice', name: 'orphans', label: 'What to do', options: ORPHANS },
          ...(remove
            ? [{ kind: 'text' as const, name: 'set', label: 'Set', hint: `${item.set}, typed as a check` }]
            : []),
        ],
        confirm: remove ? 'Remove' : 'List',
        danger: remove,
        argv: ['orphans', remove ? 'start' : 'preview', `${server}:${id}`],
        action: { kind: 'orphans', id, preview: !remove },
        missing: remove && txt(values, 'set') !== item.set ? `still needed: the name of the set, ${item.set}` : null,
      });
    }
    case 'disconnect':
      return plain({
        title: 'Disconnect',
        lines: [
          who,
          `${item.set} is no longer protected on ${target}. The replica stays as it is.`,
          'What is queued and not yet sent is dropped.',
        ],
        confirm: 'Disconnect',
        danger: true,
        argv: cli.disconnect(server, id),
        action: { kind: 'disconnect', id },
      });
    default:
      return null;
  }
}
