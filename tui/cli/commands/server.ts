/** `understudy server`: the console's list of servers, and their properties. */
import type { Command } from 'commander';
import { ServerInfo, ServerPauseTarget, ServerResumeTarget } from '../../../protocol/messages/index.js';
import { formatWallTime } from '../../../protocol/units.js';
import { run } from '../command.js';
import { properties, table } from '../print.js';
import { addServer, removeServer } from '../servers.js';

export function addServerCommands(program: Command): void {
  const server = program.command('server').description('the list of servers this console knows');

  server
    .command('add')
    .description('adds a server')
    .argument('<name>', 'short name of your choice')
    .argument('<address>', 'ssh://[user@]host[:port][/socket] or unix:PATH')
    .action(
      run(async ({ out }, name: string, address: string) => {
        const entry = addServer(name, address);
        out.show(`${entry.name} added: ${entry.address}\n`, { server: entry });
      }),
    );

  server
    .command('list')
    .description('lists the servers and whether they answer')
    .action(
      run(async ({ links, out }) => {
        const reached = await links.all();
        const rows = reached.map(({ server: { name, address }, client, error }) => ({
          name,
          address,
          reachable: client !== null,
          access: client?.hello.access ?? null,
          version: client?.hello.version ?? null,
          error: error?.message ?? null,
        }));
        const text = table(
          [{ title: 'Name' }, { title: 'Address' }, { title: 'Access' }, { title: 'State' }],
          rows.map((row) => [row.name, row.address, row.access ?? '', row.error ?? `answers, version ${row.version}`]),
        );
        out.show(rows.length === 0 ? 'No servers yet: understudy server add NAME ADDRESS\n' : text, { servers: rows });
      }),
    );

  server
    .command('remove')
    .description('takes a server out of the list; nothing changes on the server')
    .argument('<name>', 'server')
    .action(
      run(async ({ out }, name: string) => {
        removeServer(name);
        out.show(`${name} removed\n`, { removed: name });
      }),
    );

  server
    .command('show')
    .description('properties of a server')
    .argument('<name>', 'server')
    .action(
      run(async ({ links, out }, name: string) => {
        const info = await (await links.client(name)).request(ServerInfo, {});
        const { status } = info;
        out.show(
          () =>
            properties([
              ['Name', status.name],
              ['Machine', info.machine],
              ['Addresses', info.addresses.join(', ')],
              ['Operating System', info.operatingSystem],
              ['Version', status.version],
              ['Running since', formatWallTime(status.started)],
              [
                'Data link',
                status.listen.port === 0 ? 'does not listen' : `${status.listen.host}:${status.listen.port}`,
              ],
              ['Key', status.key],
              ['State', info.statePath],
              ['Log', info.logPath],
              ['Sets', String(status.sets)],
              ['Connections', `${status.connections} as source, ${status.incoming} as target`],
            ]),
          { server: name, ...info },
        );
      }),
    );

  const target = program.command('target').description('a server as a target');
  for (const [verb, method, word] of [
    ['pause', ServerPauseTarget, 'paused'],
    ['resume', ServerResumeTarget, 'resumed'],
  ] as const) {
    target
      .command(verb)
      .description(verb === 'pause' ? 'everything received waits; sources queue (CON-60)' : 'goes on (CON-61)')
      .argument('<server>', 'server')
      .action(
        run(async ({ links, out }, name: string) => {
          const { connections } = await (await links.client(name)).request(method, {});
          out.show(`${name} ${word} as a target, ${connections} incoming connection${connections === 1 ? '' : 's'}\n`, {
            server: name,
            connections,
          });
        }),
      );
  }
}
