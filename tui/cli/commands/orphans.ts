/** `understudy orphans`: what a target holds and the set does not (MIR-56). */
import type { Command } from 'commander';
import { OrphansStart, OrphansStop } from '../../../protocol/messages/index.js';
import { formatCount } from '../../../protocol/units.js';
import { run } from '../command.js';
import { visible } from '../print.js';

export function addOrphanCommands(program: Command): void {
  const orphans = program.command('orphans').description('names that only the target of a connection has');
  for (const [verb, preview, why] of [
    ['preview', true, 'lists them, here and in the log of the target; nothing is touched'],
    ['start', false, 'the target moves or deletes them, as its settings orphans.* say'],
  ] as const)
    orphans
      .command(verb)
      .description(why)
      .argument('<id>', 'connection ID, or SERVER:ID')
      .action(
        run(async ({ links, out, signal }, id: string) => {
          const { server, client, item } = await links.connection(id);
          const result = await client.request(OrphansStart, { id: item.id, preview }, { signal });
          if (result.wildcards)
            out.tell(
              'the set has wildcards: names outside of its includes are orphans, excluded ones are kept (MIR-59)',
            );
          out.show(
            () =>
              result.paths.map((path) => `${visible(path)}\n`).join('') +
              (result.omitted > 0 ? `... and ${formatCount(result.omitted)} more\n` : '') +
              `${formatCount(result.orphans)} orphans${preview ? '' : ` told to ${visible(item.target)}; its log says what became of them`}\n`,
            { server: server.name, id: item.id, preview, ...result },
          );
        }),
      );
  orphans
    .command('stop')
    .description('stops it; what the target was told already is worked off')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .action(
      run(async ({ links, out }, id: string) => {
        const { server, client, item } = await links.connection(id);
        const { stopped } = await client.request(OrphansStop, { id: item.id });
        out.show(`${server.name}:${item.id} ${stopped ? 'stopped' : 'was not removing orphans'}\n`, {
          server: server.name,
          id: item.id,
          stopped,
        });
      }),
    );
}
