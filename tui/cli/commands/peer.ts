/** `understudy peer`: whose keys a server trusts. `connect` does this by itself; here it is done by hand. */
import type { Command } from 'commander';
import { PeerForget, PeerShow, PeerTrust } from '../../../protocol/messages/index.js';
import { run, usage } from '../command.js';
import { properties, table } from '../print.js';

export function addPeerCommands(program: Command): void {
  const peer = program.command('peer').description('trust between servers');

  peer
    .command('show')
    .description('the key of a server, and the servers it trusts')
    .argument('<server>', 'server')
    .action(
      run(async ({ links, out }, server: string) => {
        const shown = await (await links.client(server)).request(PeerShow, {});
        out.show(
          () =>
            properties([
              ['Name', shown.name],
              ['Key', shown.key],
              ['Data link', shown.listen.port === 0 ? 'does not listen' : `${shown.listen.host}:${shown.listen.port}`],
            ]) +
            (shown.peers.length === 0
              ? ''
              : `\n${table(
                  [{ title: 'Trusts' }, { title: 'Key' }],
                  shown.peers.map((one) => [one.name, one.key]),
                )}`),
          { server, ...shown },
        );
      }),
    );

  peer
    .command('trust')
    .description('lets a server trust the key of another one')
    .argument('<server>', 'server that shall trust')
    .argument('<name>', 'name of the other server')
    .argument('<key>', 'its key, from `peer show`')
    .action(
      run(async ({ links, out }, server: string, name: string, key: string) => {
        if (!/^[0-9a-fA-F]{64}$/.test(key)) throw usage(`"${key}" is not a key: 64 hex digits are needed.`);
        const { changed } = await (await links.client(server)).request(PeerTrust, { name, key: key.toLowerCase() });
        out.show(`${server} ${changed ? 'now trusts' : 'already trusts'} ${name}\n`, { server, name, changed });
      }),
    );

  peer
    .command('forget')
    .description('ends the trust and every grant of that server')
    .argument('<server>', 'server that shall not trust any more')
    .argument('<key>', 'key of the other server')
    .action(
      run(async ({ links, out }, server: string, key: string) => {
        const { grants } = await (await links.client(server)).request(PeerForget, { key: key.toLowerCase() });
        out.show(`${server} forgot it; ${grants} grants ended\n`, { server, grants });
      }),
    );
}
