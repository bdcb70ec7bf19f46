/** `understudy quarantine`: paths that a target refused (P6, REP-10). */
import type { Command } from 'commander';
import { QUARANTINE_PAGE_MAX } from '../../../protocol/limits.js';
import { type QuarantineItem, QuarantineList, QuarantineRetry } from '../../../protocol/messages/index.js';
import { formatCount, formatMillis, formatThings } from '../../../protocol/units.js';
import { run, wholeNumber } from '../command.js';
import { shellWord, table, visible } from '../print.js';

/** Paths shown at once. */
export const QUARANTINE_LIMIT = 100;

interface Page {
  readonly items: readonly QuarantineItem[];
  readonly omitted: number;
  readonly total: number;
}

const errorText = (item: QuarantineItem): string =>
  `${item.call === '' ? '' : `${item.call}: `}${item.errno}, ${item.error}`;
const nextText = (item: QuarantineItem, now: number): string =>
  item.next === null ? 'being tried' : item.next <= now ? 'now' : `in ${formatMillis(item.next - now)}`;
const sinceText = (item: QuarantineItem, now: number): string => `${formatMillis(Math.max(0, now - item.since))} ago`;

/** The command that shows what follows a page; empty when nothing does. */
function moreText(page: Page, place: string): string {
  const last = page.items.at(-1);
  return page.omitted === 0 || !last
    ? ''
    : `${formatCount(page.omitted)} more: understudy quarantine ${place} --after ${shellWord(last.path)}`;
}

function listing(page: Page, place: string, target: string, now: number): string {
  if (page.total === 0) return `Nothing is in quarantine on ${place}.\n`;
  const cells = page.items.map((item) => [
    item.path,
    item.operation,
    errorText(item),
    formatCount(item.attempts),
    sinceText(item, now),
    nextText(item, now),
  ]);
  const heads = ['Path', 'Operation', `Error on ${visible(target)}`, 'Tries', 'Since', 'Next try'];
  const more = moreText(page, place);
  return `${table(
    heads.map((title) => ({ title, right: title === 'Tries' })),
    cells,
  )}${more === '' ? '' : `${more}\n`}`;
}

/** The same where there is no room for a table. */
export function quarantineLines(page: Page, place: string, now: number): string[] {
  const more = moreText(page, place);
  return [
    ...page.items.flatMap((item) => [
      visible(item.path),
      `    ${item.operation}: ${visible(errorText(item))}`,
      `    refused ${item.attempts === 1 ? 'once' : `${formatCount(item.attempts)} times`}, first ${sinceText(item, now)}; ${
        item.next === null ? 'being tried' : `tried again ${nextText(item, now)}`
      }`,
    ]),
    ...(more === '' ? [] : ['', more]),
  ];
}

export const retriedText = (count: number, target: string): string =>
  count === 0
    ? 'Nothing is in quarantine'
    : `${formatThings(count, 'path')} told again to ${target}; what is refused once more stays in quarantine`;

export function addQuarantineCommands(program: Command): void {
  const quarantine = program.command('quarantine').description('paths that the target of a connection refused');
  quarantine
    .command('list', { isDefault: true })
    .description('what failed there, and when each is told again')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .option(
      '--limit <count>',
      `paths at once (${QUARANTINE_LIMIT})`,
      wholeNumber(1, QUARANTINE_PAGE_MAX),
      QUARANTINE_LIMIT,
    )
    .option('--after <path>', 'go on behind this one')
    .action(
      run(async ({ links, out, signal }, id: string, flags: { limit: number; after?: string }) => {
        const { server, client, item } = await links.connection(id);
        const page = await client.request(
          QuarantineList,
          { id: item.id, limit: flags.limit, ...(flags.after === undefined ? {} : { after: flags.after }) },
          { signal },
        );
        out.show(() => listing(page, `${server.name}:${item.id}`, item.target, Date.now()), {
          server: server.name,
          id: item.id,
          ...page,
        });
      }),
    );
  quarantine
    .command('retry')
    .description('tells them again now; what is refused once more stays')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .argument('[path]', 'as it is listed; all when left out')
    .action(
      run(async ({ links, out, signal }, id: string, path: string | undefined) => {
        const { server, client, item } = await links.connection(id);
        const { count } = await client.request(
          QuarantineRetry,
          { id: item.id, ...(path === undefined ? {} : { path }) },
          { signal },
        );
        out.show(`${retriedText(count, visible(item.target))}.\n`, { server: server.name, id: item.id, count });
      }),
    );
}
