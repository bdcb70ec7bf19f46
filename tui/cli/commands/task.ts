/** `understudy task`: commands on a target, at a point of the stream or at once (REP-20..22). */
import { type Command, Option } from 'commander';
import {
  type TaskItem,
  TaskList,
  type TaskOutcome,
  TaskRun,
  TaskShow,
  TaskSubmit,
} from '../../../protocol/messages/index.js';
import { formatMillis, formatSecond } from '../../../protocol/units.js';
import { milliseconds, positive, run, usage } from '../command.js';
import { type Column, type Output, properties, table, visible } from '../print.js';

const PLACE_SECONDS = 60;
/** A task may take as long as its target lets it. */
const ANSWER_MS = 2 * 86_400_000;

export function resultText(outcome: TaskOutcome | null): string {
  if (!outcome) return 'not known yet';
  switch (outcome.result) {
    case 'done':
      return `done, exit code 0, after ${formatMillis(outcome.ms)}`;
    case 'failed':
      return outcome.exit === null ? `failed: ${outcome.why}` : `failed with exit code ${outcome.exit}`;
    case 'timed_out':
      return `ended because its time was over: ${outcome.why}`;
    case 'refused':
      return `refused: ${outcome.why}`;
    case 'not_run':
      return `did not run: ${outcome.why}`;
    case 'unknown':
      return `may or may not have run: ${outcome.why}`;
  }
}

/** 0 done, 4 refused, 1 anything else. */
const exitOf = (item: TaskItem): number =>
  item.outcome === null || item.outcome.result === 'done' ? 0 : item.outcome.result === 'refused' ? 4 : 1;

/** Output as lines, control bytes shown. */
const outputText = (text: string): string =>
  text === '' ? '' : `${text.replace(/\n$/, '').split('\n').map(visible).join('\n')}\n`;

function show(out: Output, server: string, item: TaskItem): number {
  out.show(() => outputText(item.outcome?.output ?? ''), { on: server, ...item });
  out.tell(`task ${item.key}: ${item.outcome ? resultText(item.outcome) : `in the stream to ${visible(item.server)}`}`);
  return exitOf(item);
}

const limit = (seconds: number | undefined): { timeoutMs?: number } =>
  seconds === undefined ? {} : { timeoutMs: milliseconds(seconds) };

export function addTaskCommands(program: Command): void {
  const task = program.command('task').description('commands on a target, at a known point of the stream');
  task
    .command('run')
    .description(
      'puts a command behind everything that changed before; the target runs it there and applies nothing behind it until it has ended',
    )
    .argument('<id>', 'connection ID, or SERVER:ID')
    .argument('<command...>', 'program and arguments, behind `--`; no shell reads them')
    .option('--durable', 'first everything before it is made durable on the target')
    .option('--timeout <seconds>', 'the target ends it after this, if its own limit is not shorter', positive)
    .addOption(
      new Option('--give-up <seconds>', 'when it is not in the stream by then')
        .argParser(positive)
        .default(PLACE_SECONDS),
    )
    .option('--no-wait', 'return when it is in the stream')
    .action(
      run(
        async (
          { links, out, signal },
          id: string,
          command: string[],
          flags: { durable?: boolean; timeout?: number; giveUp: number; wait: boolean },
        ) => {
          const { server, client, item } = await links.connection(id);
          const ended = await client.request(
            TaskRun,
            {
              id: item.id,
              command,
              ...(flags.durable ? { durable: true } : {}),
              ...limit(flags.timeout),
              placeMs: milliseconds(flags.giveUp),
              ...(flags.wait ? {} : { wait: false }),
            },
            { signal, timeoutMs: ANSWER_MS },
          );
          return show(out, server.name, ended);
        },
      ),
    );
  task
    .command('submit')
    .description('runs a command on a server at once, beside the streams (REP-22)')
    .argument('<server>', 'server')
    .argument('<command...>', 'program and arguments, behind `--`; no shell reads them')
    .option('--timeout <seconds>', 'end it after this, if its own limit is not shorter', positive)
    .action(
      run(async ({ links, out, signal }, name: string, command: string[], flags: { timeout?: number }) => {
        const client = await links.client(name);
        const ended = await client.request(
          TaskSubmit,
          { command, ...limit(flags.timeout) },
          { signal, timeoutMs: ANSWER_MS },
        );
        return show(out, name, ended);
      }),
    );
  task
    .command('list')
    .description('the last tasks a server sent or ran')
    .argument('[server]', 'server; all when left out')
    .action(
      run(async ({ links, out }, name: string | undefined) => {
        const reached = await links.some(name);
        const rows: (TaskItem & { on: string })[] = [];
        for (const { server, client, error } of reached) {
          if (error) out.tell(`${server.name}: ${error.message}`);
          if (!client || client.hello.access === 'none') continue;
          const { tasks } = await client.request(TaskList, {});
          rows.push(...tasks.map((one) => ({ ...one, on: server.name })));
        }
        const heads: Column[] = ['Server', 'Key', 'Asked', 'Role', 'Set', 'Phase', 'Result', 'Command'].map(
          (title) => ({
            title,
          }),
        );
        out.show(
          () =>
            table(
              heads,
              rows.map((one) => [
                one.on,
                one.key,
                formatSecond(one.asked),
                one.role,
                one.set,
                one.phase,
                one.outcome?.result ?? '',
                one.command.join(' '),
              ]),
            ),
          { tasks: rows },
        );
      }),
    );
  task
    .command('show')
    .description('one of them with its output')
    .argument('<server>', 'server')
    .argument('<key>', 'key of the task, as listed')
    .action(
      run(async ({ links, out }, name: string, key: string) => {
        if (key === '') throw usage('A key is needed; `understudy task list` shows them.');
        const item = await (await links.client(name)).request(TaskShow, { key });
        out.show(
          () =>
            properties([
              ['Key', item.key],
              ['Command', item.command.join(' ')],
              ['Role', item.role],
              ['Set', item.set],
              ['Other server', item.server],
              ['Asked', `${formatSecond(item.asked)} by ${item.by}`],
              ['Phase', item.phase],
              ['Result', resultText(item.outcome)],
            ]) + outputText(item.outcome?.output ?? ''),
          { on: name, ...item },
        );
      }),
    );
}
