/** `understudy verify`: is the replica what it should be? By hand, by schedule, and its log (SPEC I). */
import type { Command } from 'commander';
import { failure } from '../../../protocol/errors.js';
import {
  Verify,
  VerifyLogRead,
  type VerifyPlan,
  type VerifyResult,
  type VerifySchedule,
  VerifyScheduleSet,
  VerifyShow,
} from '../../../protocol/messages/index.js';
import { formatBytes, formatCount, formatMillis, formatWallTime } from '../../../protocol/units.js';
import { run, usage } from '../command.js';
import { properties, visible } from '../print.js';
import { parseSpan, parseTime } from '../times.js';

interface Options {
  checksum?: boolean;
  remirror?: boolean;
  newer?: boolean;
}
interface ScheduleFlags extends Options {
  start?: string;
  every?: string;
  clear?: boolean;
  show?: boolean;
}

const optionsOf = (flags: Options): VerifySchedule['options'] => {
  if (flags.newer && !flags.remirror) throw usage('--newer says what is sent: it needs --remirror (VER-05).');
  return {
    checksum: flags.checksum === true,
    remirror: flags.remirror === true,
    newer: flags.newer === true,
  };
};

function withOptions(command: Command): Command {
  return command
    .option('--checksum', 'compare contents block by block, not only attributes (VER-06)')
    .option('--remirror', 'send what differs (VER-04)')
    .option('--newer', 'with --remirror: only what is newer on the source (VER-05); risky with databases');
}

function resultText(result: VerifyResult): string {
  const { different, missing, orphans } = result;
  const found =
    different + missing + orphans === 0
      ? 'identical'
      : `${different} different, ${missing} missing, ${orphans} only on the target` +
        (result.resent > 0 ? `; ${formatCount(result.resent)} sent again` : '');
  return `${formatCount(result.files)} files, ${formatBytes(result.bytes)} compared in ${formatMillis(result.ms)}: ${found}`;
}

function optionsText({ checksum, remirror, newer }: VerifySchedule['options']): string {
  const sent = remirror ? (newer ? 'send what is newer here' : 'send what differs') : 'verify only';
  return `${checksum ? 'contents' : 'attributes'}, ${sent}`;
}

function planText(plan: VerifyPlan): string {
  const { schedule, next, last } = plan;
  return properties([
    ['Schedule', schedule ? optionsText(schedule.options) : 'none'],
    ...(schedule
      ? ([
          ['Start', formatWallTime(schedule.start)],
          ['Interval', schedule.everyMs === null ? 'once' : formatMillis(schedule.everyMs)],
          ['State', plan.phase],
          ['Next', next === null ? '' : formatWallTime(next)],
        ] as const)
      : []),
    ['Last', last ? `${formatWallTime(last.began)} by ${last.asked}: ${resultText(last.result)}` : 'never'],
    ['Log', plan.log],
  ]);
}

export function addVerifyCommands(program: Command): void {
  const verify = withOptions(
    program.command('verify').description('compares source and target; exit code 1 when they differ'),
  )
    .argument('<id>', 'connection ID, or SERVER:ID')
    .action(
      run(async ({ links, out, signal }, id: string, flags: Options) => {
        const options = optionsOf(flags);
        const { server, client, item } = await links.connection(id);
        const result = await client.request(Verify, { id: item.id, ...options }, { signal });
        const { different, missing, orphans } = result;
        const same = different + missing + orphans === 0;
        out.show(
          () =>
            result.paths.map((path) => `${visible(path)}\n`).join('') +
            (result.omitted > 0 ? `... and ${formatCount(result.omitted)} more\n` : '') +
            `${resultText(result)}\n`,
          { server: server.name, id: item.id, identical: same, ...result },
        );
        if (same) return 0;
        if (options.remirror) out.tell('what differed is sent again');
        else out.tell(failure('TREES_DIFFER', { id: item.id, different, missing, orphans }).notice.remedy);
        return 1;
      }),
    );

  withOptions(verify.command('schedule').description('verifies by itself at times; saving runs nothing (VER-07..10)'))
    .argument('<id>', 'connection ID, or SERVER:ID')
    .option('--start <time>', '"2026-12-31 22:00", "22:00" (the next one), or now (VER-07)')
    .option('--every <interval>', 'such as 30m, 12h or 7d (VER-08); once when left out')
    .option('--clear', 'no schedule any more')
    .option('--show', 'shows schedule and last result; so does leaving everything out')
    .action(
      run(async ({ links, out, command }, id: string) => {
        // `verify` itself has the same options; whichever of the two saw them counts.
        const flags = command.optsWithGlobals<ScheduleFlags>();
        const { server, client, item } = await links.connection(id);
        const changes = flags.start !== undefined || flags.every !== undefined;
        if (flags.clear && (changes || flags.show)) throw usage('--clear stands alone.');
        if (!flags.clear && !changes) {
          const plan = await client.request(VerifyShow, { id: item.id });
          out.show(() => planText(plan), { server: server.name, id: item.id, ...plan });
          return;
        }
        const now = Date.now();
        const schedule: VerifySchedule | null = flags.clear
          ? null
          : {
              start: parseTime(flags.start ?? 'now', now),
              everyMs: flags.every === undefined ? null : parseSpan(flags.every),
              options: optionsOf(flags),
            };
        if (schedule && schedule.everyMs === null && schedule.start <= now)
          throw usage('Saving a schedule runs nothing: give --every, a --start that lies ahead, or use `verify ID`.');
        const plan = await client.request(VerifyScheduleSet, { id: item.id, schedule });
        out.show(() => planText(plan), { server: server.name, id: item.id, ...plan });
      }),
    );

  verify
    .command('log')
    .description('the verification log of the set (VER-01); with --json the last result, too')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .action(
      run(async ({ links, out }, id: string) => {
        const { server, client, item } = await links.connection(id);
        const log = await client.request(VerifyLogRead, { id: item.id });
        const { last } = await client.request(VerifyShow, { id: item.id });
        if (log.omitted > 0) out.tell(`${formatBytes(log.omitted)} before this are in ${log.file}`);
        if (log.length === 0) out.tell(`nothing was verified yet; ${log.file} will have it`);
        out.show(log.text, { server: server.name, id: item.id, ...log, last });
      }),
    );
}
