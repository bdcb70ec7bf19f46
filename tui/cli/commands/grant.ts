/** `understudy grant`: what sources may write on a server. `connect` and `disconnect` do this by themselves. */
import { type Command, Option } from 'commander';
import { failure } from '../../../protocol/errors.js';
import { type Grant, GrantChange, GrantList, GrantRemove } from '../../../protocol/messages/index.js';
import { formatBytes } from '../../../protocol/units.js';
import { run } from '../command.js';
import { table } from '../print.js';

export function addGrantCommands(program: Command): void {
  const grant = program.command('grant').description('permissions of sources on their targets');

  grant
    .command('list')
    .description('lists what sources may write')
    .argument('[server]', 'target server; all when left out')
    .action(
      run(async ({ links, out }, server: string | undefined) => {
        const reached = await links.some(server);
        const grants: (Grant & { target: string })[] = [];
        for (const {
          server: { name },
          client,
          error,
        } of reached) {
          if (error) out.tell(`${name}: ${error.message}`);
          if (!client) continue;
          for (const item of (await client.request(GrantList, {})).grants) grants.push({ target: name, ...item });
        }
        const rows = grants.map((item) => [
          item.target,
          item.connection,
          `${item.server}: ${item.set}`,
          item.linked ? item.status : 'not linked',
          formatBytes(item.writtenBytes),
          item.mappings.map((mapping) => mapping.target).join(', '),
        ]);
        const heads = ['Target', 'Grant', 'Source', 'State', 'Written', 'Into'];
        out.show(
          table(
            heads.map((title) => ({ title, right: title === 'Written' })),
            rows,
          ),
          { grants },
        );
      }),
    );

  grant
    .command('set')
    .description('changes how the target treats what a source sends')
    .argument('<server>', 'target server')
    .argument('<grant>', 'from `grant list`')
    .addOption(
      new Option('--ignore-deletes <choice>', 'keep files that the source deletes (REP-13)')
        .choices(['on', 'off'])
        .makeOptionMandatory(),
    )
    .action(
      run(async ({ links, out }, server: string, connection: string, flags: { ignoreDeletes: 'on' | 'off' }) => {
        const ignoreDeletes = flags.ignoreDeletes === 'on';
        const { changed } = await (await links.client(server)).request(GrantChange, { connection, ignoreDeletes });
        const text = `${server}: ${connection} ${ignoreDeletes ? 'keeps' : 'deletes'} what the source deletes`;
        out.show(`${text}${changed ? '' : ', as before'}\n`, { server, connection, ignoreDeletes, changed });
      }),
    );

  grant
    .command('remove')
    .description('takes a permission back, such as one of a source that is gone for good')
    .argument('<server>', 'target server')
    .argument('<grant>', 'from `grant list`')
    .action(
      run(async ({ links, out }, server: string, connection: string) => {
        const { removed } = await (await links.client(server)).request(GrantRemove, { connection });
        if (!removed) throw failure('GRANT_MISSING', { connection, server });
        out.show(`${server}: ${connection} may not write any more\n`, { server, connection });
      }),
    );
}
