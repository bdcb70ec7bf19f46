/** What a person asked for, done on the servers through the open links. */
import type { Client } from '../../protocol/client.js';
import { failure } from '../../protocol/errors.js';
import {
  BookmarkMake,
  ConnectionEstimate,
  ConnectionRemove,
  ConnectionSimulate,
  GrantRemove,
  type MappingWish,
  MirrorPause,
  MirrorResume,
  MirrorStart,
  MirrorStop,
  OrphansStart,
  OrphansStop,
  PeerShow,
  QuarantineList,
  QuarantineRetry,
  ReplicationStart,
  ReplicationStop,
  ServerPauseTarget,
  ServerResumeTarget,
  SetContinue,
  TaskRun,
  TransmitPause,
  TransmitResume,
  TransmitStart,
  TransmitStop,
  Verify,
} from '../../protocol/messages/index.js';
import { formatBytes, formatCount, formatMillis, formatThings } from '../../protocol/units.js';
import { introduce } from '../cli/introduce.js';
import { FREEZE_MS } from '../cli/commands/bookmark.js';
import { estimateLines, formatBandwidth } from '../cli/commands/estimate.js';
import { QUARANTINE_LIMIT, quarantineLines, retriedText } from '../cli/commands/quarantine.js';
import { resultText } from '../cli/commands/task.js';
import type { Action } from '../model/app.js';
import { LinkError } from './transport.js';

/** Time for an answer; actions are begun by the agent, not finished. A verification is. */
const ANSWER_MS = 30_000;
const VERIFY_MS = 24 * 3600_000;

export interface Reachable {
  readonly name: string;
  readonly address: string;
  readonly client: Client | null;
}

export interface Outcome {
  /** One sentence. */
  readonly text: string;
  /** More than a sentence, shown in a window. */
  readonly lines: readonly string[] | null;
}

const SIMPLE = {
  mirror_stop: [MirrorStop, 'Mirror stopped'],
  mirror_pause: [MirrorPause, 'Mirror paused'],
  mirror_resume: [MirrorResume, 'Mirror resumed'],
  replication_start: [ReplicationStart, 'Replication started'],
  replication_stop: [ReplicationStop, 'Replication stopped'],
  transmit_start: [TransmitStart, 'Transmission started'],
  transmit_stop: [TransmitStop, 'Transmission stopped'],
  transmit_pause: [TransmitPause, 'Transmission paused'],
  transmit_resume: [TransmitResume, 'Transmission resumed'],
} as const;

export async function carryOut(
  action: Action,
  serverName: string,
  servers: readonly Reachable[],
  signal: AbortSignal,
): Promise<Outcome> {
  const clientOf = (name: string): Client => {
    const found = servers.find((server) => server.name === name)?.client;
    if (!found)
      throw new LinkError('LINK_LOST', `${name} is not connected.`, 'Log on to it, then try again.', 'after_fix');
    return found;
  };
  const client = clientOf(serverName);
  const options = { signal, timeoutMs: ANSWER_MS };
  const said = (text: string, lines: readonly string[] | null = null): Outcome => ({ text, lines });
  switch (action.kind) {
    case 'mirror_start': {
      const { id, mirror, checksum, newer } = action;
      await client.request(
        MirrorStart,
        { id, options: { kind: mirror, ...(checksum ? { checksum } : {}), ...(newer ? { newer } : {}) } },
        options,
      );
      return said(`Mirror started on connection ${serverName}:${id}.`);
    }
    case 'mirror_stop':
    case 'mirror_pause':
    case 'mirror_resume':
    case 'replication_start':
    case 'replication_stop':
    case 'transmit_start':
    case 'transmit_stop':
    case 'transmit_pause':
    case 'transmit_resume': {
      const [method, done] = SIMPLE[action.kind];
      await client.request(method, { id: action.id }, options);
      return said(`${done} on connection ${serverName}:${action.id}.`);
    }
    case 'verify': {
      const found = await client.request(
        Verify,
        { id: action.id, checksum: action.checksum, remirror: action.remirror },
        { signal, timeoutMs: VERIFY_MS },
      );
      const differing = found.different + found.missing + found.orphans;
      const lines = [
        `Connection ${serverName}:${action.id}`,
        '',
        `Compared   ${formatCount(found.files)} files, ${formatBytes(found.bytes)}, in ${formatMillis(found.ms)}`,
        `Different  ${found.different}${action.remirror ? ' (sent)' : ''}`,
        `Missing    ${found.missing}${action.remirror ? ' (sent)' : ''}`,
        `Orphans    ${found.orphans} (on the target only)`,
        ...(differing > 0 && !action.remirror
          ? ['', 'What was written meanwhile may be among it; what stays when you verify again is real.']
          : []),
        ...(found.paths.length > 0 ? ['', ...found.paths] : []),
        ...(found.omitted > 0 ? [`... and ${formatCount(found.omitted)} more`] : []),
      ];
      return said(
        differing === 0
          ? `Verified: ${formatCount(found.files)} files, no difference.`
          : `Verified: ${found.different} different, ${found.missing} missing, ${found.orphans} orphans.`,
        lines,
      );
    }
    case 'bookmark_make': {
      const { id, name, freeze } = action;
      const options = { freezeMs: freeze ? FREEZE_MS : null, before: null, after: null, command: null };
      const made = await client.request(
        BookmarkMake,
        { id, options, ...(name === '' ? {} : { name }) },
        { signal, timeoutMs: VERIFY_MS },
      );
      const stood = made.stoodMs < 0 ? '' : ` The source stood still for ${formatMillis(made.stoodMs)}.`;
      return said(`Bookmark ${made.name} is on ${made.server}, durable.${stood}`);
    }
    case 'task_run': {
      const { id, command, durable } = action;
      const ended = await client.request(
        TaskRun,
        { id, command: [...command], durable },
        { signal, timeoutMs: VERIFY_MS },
      );
      const result = resultText(ended.outcome);
      const output = (ended.outcome?.output ?? '').replace(/\n$/, '');
      return said(`Task on ${ended.server} ${result}.`, [
        `Connection ${serverName}:${id}`,
        command.join(' '),
        '',
        result,
        ...(output === '' ? [] : ['', ...output.split('\n')]),
      ]);
    }
    case 'disconnect': {
      const removed = await client.request(ConnectionRemove, { id: action.id }, options);
      const revoked =
        /^0+$/.test(removed.targetKey) || (await takeBack(removed.key, removed.targetKey, servers, signal));
      const rest = revoked ? '' : ` ${removed.target} still allows it: it could not be reached.`;
      return said(`Connection ${serverName}:${action.id} ended.${rest}`);
    }
    case 'orphans': {
      const { id, preview } = action;
      const found = await client.request(OrphansStart, { id, preview }, { signal, timeoutMs: VERIFY_MS });
      const many = formatThings(found.orphans, 'orphan');
      return said(
        preview
          ? `${many} found; nothing was touched.`
          : `${many} told to the target; its log says what became of them.`,
        found.orphans === 0
          ? null
          : [
              `Connection ${serverName}:${id}: ${many}, only on the target`,
              ...(found.wildcards
                ? ['The set has wildcards: what its includes do not name is an orphan, what it excludes is kept.']
                : []),
              '',
              ...found.paths,
              ...(found.omitted > 0 ? [`... and ${formatCount(found.omitted)} more`] : []),
            ],
      );
    }
    case 'orphans_stop': {
      const { stopped } = await client.request(OrphansStop, { id: action.id }, options);
      return said(stopped ? 'Removing orphans is stopped.' : 'No orphans were being removed.');
    }
    case 'set_continue': {
      await client.request(SetContinue, { name: action.set, acceptDeletes: action.acceptDeletes }, options);
      return said(
        `Set ${action.set} goes on; ${action.acceptDeletes ? 'what is gone here is deleted on the targets' : 'the targets keep what is gone here'}.`,
      );
    }
    case 'target_pause': {
      const { connections } = await client.request(ServerPauseTarget, {}, options);
      return said(
        `Target ${serverName} paused: ${connections} incoming connection${connections === 1 ? ' waits' : 's wait'}.`,
      );
    }
    case 'target_resume': {
      const { connections } = await client.request(ServerResumeTarget, {}, options);
      return said(
        `Target ${serverName} resumed: ${connections} incoming connection${connections === 1 ? ' goes' : 's go'} on.`,
      );
    }
    case 'quarantine': {
      const { id, again, target } = action;
      if (again) return said(`${retriedText((await client.request(QuarantineRetry, { id }, options)).count, target)}.`);
      const page = await client.request(QuarantineList, { id, limit: QUARANTINE_LIMIT }, options);
      if (page.total === 0) return said('Nothing is in quarantine.');
      return said(
        `${target} refused ${page.total === 1 ? 'one path' : `${page.total} paths`} of connection ${serverName}:${id}.`,
        quarantineLines(page, `${serverName}:${id}`, Date.now()),
      );
    }
    case 'estimate': {
      const told = await client.request(ConnectionEstimate, { id: action.id }, options);
      return said(
        `${formatBandwidth(told.bandwidth)} for a recovery point of ${formatMillis(told.recoveryMs)}.`,
        estimateLines(told).trimEnd().split('\n'),
      );
    }
    case 'simulate': {
      const { id } = await client.request(ConnectionSimulate, { set: action.set }, options);
      return said(`${serverName}:${action.set} is simulated as connection ${id}; nothing is sent.`);
    }
    case 'connect': {
      const source = servers.find((server) => server.name === serverName);
      const target = servers.find((server) => server.name === action.target);
      if (!source || !target)
        throw failure('SERVER_UNKNOWN', {
          name: action.target,
          known: servers.map((server) => server.name).join(', '),
        });
      const mapping: MappingWish =
        action.mapping === 'one_to_one'
          ? { kind: 'one_to_one' }
          : action.mapping === 'all_to_one'
            ? { kind: 'all_to_one', ...(action.path === '/' || action.path === '' ? {} : { base: action.path }) }
            : { kind: 'custom', custom: [{ source: action.sourcePath, target: action.path }] };
      const made = await introduce({
        source: client,
        target: clientOf(action.target),
        sourceAddress: source.address,
        targetAddress: target.address,
        targetName: action.target,
        set: action.set,
        mapping,
        mirror: { kind: action.mirror },
        replication: action.replication,
      });
      return said(
        `Connected ${serverName}:${action.set} to ${action.target} as connection ${made.id}, through ${made.route}.`,
      );
    }
  }
}

/** Takes the permission back on the target, where this console reaches it. */
async function takeBack(
  key: string,
  targetKey: string,
  servers: readonly Reachable[],
  signal: AbortSignal,
): Promise<boolean> {
  for (const { client } of servers) {
    if (client?.hello.access !== 'administrator') continue;
    try {
      const options = { signal, timeoutMs: ANSWER_MS };
      if ((await client.request(PeerShow, {}, options)).key !== targetKey) continue;
      return (await client.request(GrantRemove, { connection: key }, options)).removed;
    } catch {
      // Reported as "still allows it": the connection itself is gone, which is what was asked.
      return false;
    }
  }
  return false;
}
