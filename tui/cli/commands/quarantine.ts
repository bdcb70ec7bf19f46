/** `understudy quarantine`: paths that a target refused (P6, REP-10). */
import type { Command } from 'commander';
import { QUARANTINE_PAGE_MAX } from '../../../protocol/limits.js';
import { type QuarantineItem, QuarantineList, QuarantineRetry } from '../../../protocol/messages/index.js';
import { formatCount, formatMillis } from '../../../protocol/units.js';
import { run, wholeNumber } from '../command.js';
import { table, visible } from '../print.js';

const LIMIT = 100;

function listing(items: readonly QuarantineItem[], now: number): string {
  const cells = items.map((item) => [
    visible(item.path),
    item.operation,
    `${item.call === '' ? '' : `${visible(item.call)}: `}${item.errno}, ${item.error}`,
    formatCount(item.attempts),
    `${formatMillis(Math.max(0, now - item.since))} ago`,
    item.next === null ? 'being tried' : item.next <= now ? 'now' : `in ${formatMillis(item.next - now)}`,
  ]);
  return table(
    ['Path', 'Operation', 'Error', 'Tries', 'Since', 'Next try'].map((title) => ({ title, right: title === 'Tries' })),
    cells,
  );
}

export function addQuarantineCommands(program: Command): void {
  const quarantine = program.command('quarantine').description('paths that the target of a connection refused');
  quarantine
    .command('list', { isDefault: true })
    .description('what failed there, and when each is told again')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .option('--limit <count>', `paths at once (${LIMIT})`, wholeNumber(1, QUARANTINE_PAGE_MAX), LIMIT)
    .option('--after <path>', 'go on behind this one')
    .action(
      run(async ({ links, out, signal }, id: string, flags: { limit: number; after?: string }) => {
        const { server, client, item } = await links.connection(id);
        const page = await client.request(
          QuarantineList,
          { id: item.id, limit: flags.limit, ...(flags.after === undefined ? {} : { after: flags.after }) },
          { signal },
        );
        const last = page.items.at(-1);
        out.show(
          () =>
            page.total === 0
              ? `Nothing is in quarantine on ${server.name}:${item.id}.\n`
              : listing(page.items, Date.now()) +
                (page.omitted > 0 && last
                  ? `... and ${formatCount(page.omitted)} more: --after ${JSON.stringify(visible(last.path))}\n`
                  : ''),
          { server: server.name, id: item.id, ...page },
        );
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
        out.show(
          `${formatCount(count)} ${count === 1 ? 'path' : 'paths'} told again to ${visible(item.target)}; \`understudy quarantine ${server.name}:${item.id}\` shows what stays\n`,
          { server: server.name, id: item.id, count },
        );
      }),
    );
}
