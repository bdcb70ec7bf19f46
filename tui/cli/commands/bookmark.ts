/** `understudy bookmark`: named points that the target has, durable (DESIGN 6). */
import type { Command } from 'commander';
import {
  type Bookmark,
  BookmarkList,
  BookmarkMake,
  type BookmarkOptions,
  type BookmarkPlan,
  BookmarkScheduleSet,
  BookmarkShow,
} from '../../../protocol/messages/index.js';
import { formatMillis, formatSecond } from '../../../protocol/units.js';
import { words } from '../../model/words.js';
import { milliseconds, positive, run, usage } from '../command.js';
import { properties, table, visible } from '../print.js';
import { parseSpan, parseTime } from '../times.js';

/** How long file systems may stand still when nobody says. */
export const FREEZE_MS = 10_000;
const PLACE_SECONDS = 60;
const ANSWER_MS = 2 * 86_400_000;

interface HowFlags {
  readonly freeze?: boolean | number;
  readonly before?: string;
  readonly after?: string;
  readonly timeout?: number;
}

const commandOf = (text: string | undefined, flag: string): string[] | null => {
  if (text === undefined) return null;
  const found = words(text);
  if (!found || found.length === 0) throw usage(`--${flag} needs a command; quote it as one word.`);
  return found;
};

function optionsOf(flags: HowFlags, command: readonly string[]): BookmarkOptions {
  const { freeze } = flags;
  return {
    freezeMs: freeze === undefined || freeze === false ? null : freeze === true ? FREEZE_MS : Math.round(freeze * 1000),
    before: commandOf(flags.before, 'before'),
    after: commandOf(flags.after, 'after'),
    command: command.length === 0 ? null : [...command],
    ...(flags.timeout === undefined ? {} : { timeoutMs: Math.max(1, Math.round(flags.timeout * 1000)) }),
  };
}

const how = (command: Command): Command =>
  command
    .option('--freeze [seconds]', 'freeze the file systems of the set meanwhile, at most for this (10 s)', positive)
    .option('--before <command>', 'run on the source first, to quiesce the application; quoted as one word')
    .option('--after <command>', 'run on the source as soon as everything is read, in any case; quoted as one word')
    .option('--timeout <seconds>', 'of each command', positive);

export function addBookmarkCommands(program: Command): void {
  const bookmark = program.command('bookmark').description('named points that the target has on stable storage');
  how(
    bookmark
      .command('make')
      .description('marks a point; returns when the target has everything before it, durable')
      .argument('<id>', 'connection ID, or SERVER:ID')
      .argument('[command...]', 'what the target runs at that point, behind `--`; see `task run`')
      .option('--name <name>', 'the time of the point when left out'),
  )
    .option('--give-up <seconds>', 'when the point is not reached by then', positive, PLACE_SECONDS)
    .action(
      run(
        async (
          { links, out, signal },
          id: string,
          command: string[],
          flags: HowFlags & { name?: string; giveUp: number },
        ) => {
          const options = optionsOf(flags, command);
          const { server, client, item } = await links.connection(id);
          const made = await client.request(
            BookmarkMake,
            {
              id: item.id,
              options,
              ...(flags.name === undefined ? {} : { name: flags.name }),
              placeMs: milliseconds(flags.giveUp),
            },
            { signal, timeoutMs: ANSWER_MS },
          );
          const stood = made.stoodMs < 0 ? '' : `, the source stood still for ${formatMillis(made.stoodMs)}`;
          out.show(`${visible(made.name)}: ${made.how}, durable on ${visible(made.server)}${stood}\n`, {
            on: server.name,
            ...made,
          });
          if (made.why !== '') out.tell(`its command ${made.why}`);
          return made.why === '' ? 0 : 1;
        },
      ),
    );
  bookmark
    .command('list')
    .description('the bookmarks that servers remember, as sources and as targets')
    .argument('[server]', 'server; all when left out')
    .action(
      run(async ({ links, out }, name: string | undefined) => {
        const reached = await links.some(name);
        const rows: (Bookmark & { on: string })[] = [];
        for (const { server, client, error } of reached) {
          if (error) out.tell(`${server.name}: ${error.message}`);
          if (!client || client.hello.access === 'none') continue;
          const { bookmarks } = await client.request(BookmarkList, {});
          rows.push(...bookmarks.map((one) => ({ ...one, on: server.name })));
        }
        out.show(
          () =>
            table(
              ['Server', 'Role', 'Set', 'Name', 'How', 'Point', 'Stood', 'Command'].map((title) => ({ title })),
              rows.map((one) => [
                one.on,
                one.role,
                one.set,
                one.name,
                one.how,
                formatSecond(one.at),
                one.stoodMs < 0 ? '' : formatMillis(one.stoodMs),
                one.why !== '' ? one.why : (one.outcome?.result ?? ''),
              ]),
            ),
          { bookmarks: rows },
        );
      }),
    );
  how(
    bookmark
      .command('schedule')
      .description('makes bookmarks of a connection by itself; a time that was missed is not made up')
      .argument('<id>', 'connection ID, or SERVER:ID')
      .argument('[command...]', 'what the target runs at each, behind `--`')
      .option('--every <interval>', 'such as 15m, 1h or 1d; once when left out')
      .option('--start <time>', 'the first time; now when left out')
      .option('--clear', 'no more'),
  ).action(
    run(
      async (
        { links, out },
        id: string,
        command: string[],
        flags: HowFlags & { every?: string; start?: string; clear?: boolean },
      ) => {
        if (!flags.clear && flags.every === undefined && flags.start === undefined)
          throw usage('Say --every, --start or --clear.');
        const start = parseTime(flags.start ?? 'now', Date.now());
        const schedule = flags.clear
          ? null
          : {
              start,
              everyMs: flags.every === undefined ? null : parseSpan(flags.every),
              options: optionsOf(flags, command),
            };
        const { server, client, item } = await links.connection(id);
        const plan = await client.request(BookmarkScheduleSet, { id: item.id, schedule });
        out.show(planText(plan), { on: server.name, id: item.id, ...plan });
      },
    ),
  );
  bookmark
    .command('show')
    .description('the schedule of a connection')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .action(
      run(async ({ links, out }, id: string) => {
        const { server, client, item } = await links.connection(id);
        const plan = await client.request(BookmarkShow, { id: item.id });
        out.show(planText(plan), { on: server.name, id: item.id, ...plan });
      }),
    );
}

function planText({ schedule, next, running }: BookmarkPlan): string {
  if (!schedule) return 'no schedule\n';
  const { freezeMs, before, after, command } = schedule.options;
  return properties([
    ['Next', next === null ? 'none any more' : formatSecond(next)],
    ['Every', schedule.everyMs === null ? 'once' : formatMillis(schedule.everyMs)],
    ['Freeze', freezeMs === null ? 'no' : `at most ${formatMillis(freezeMs)}`],
    ['Before', before?.join(' ') ?? ''],
    ['After', after?.join(' ') ?? ''],
    ['On the target', command?.join(' ') ?? ''],
    ['Now', running ? 'one is being made' : ''],
  ]);
}
