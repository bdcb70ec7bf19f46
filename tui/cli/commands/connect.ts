/** `understudy connect` and `understudy disconnect`. */
import { type Command, Option } from 'commander';
import {
  type Mapping,
  type MappingWish,
  MIRROR_KIND,
  type MirrorOptions,
  ConnectionReconnect,
  ConnectionRemove,
  ConnectionSimulate,
  GrantRemove,
  PeerShow,
  TDU,
} from '../../../protocol/messages/index.js';
import { collect, run, usage, wholeNumber } from '../command.js';
import { introduce } from '../introduce.js';
import { asCliFailure } from '../links.js';
import { visible } from '../print.js';
import { findServer, splitName } from '../servers.js';

interface Flags {
  map?: string[];
  oneToOne?: boolean;
  allToOne?: boolean;
  base?: string;
  mirror: (typeof MIRROR_KIND)[number];
  checksum?: boolean;
  newer?: boolean;
  replication: boolean;
  route?: string;
  compression?: number;
  size: boolean;
}

function mappingOf(flags: Flags): MappingWish {
  const chosen = [flags.map !== undefined, flags.oneToOne === true, flags.allToOne === true].filter(Boolean).length;
  if (chosen !== 1) throw usage('Give one of --map SOURCE=TARGET, --one-to-one or --all-to-one.');
  if (flags.oneToOne) return { kind: 'one_to_one' };
  if (flags.allToOne) return { kind: 'all_to_one', ...(flags.base === undefined ? {} : { base: flags.base }) };
  return { kind: 'custom', custom: (flags.map ?? []).map(readMap) };
}

export function readMap(text: string): Mapping {
  // Both sides are absolute, so the first `=/` separates them even when a name holds an equals sign.
  const cut = text.indexOf('=/');
  if (!text.startsWith('/') || cut < 1) throw usage(`"${text}" is not SOURCE=TARGET with two absolute directories.`);
  return { source: text.slice(0, cut), target: text.slice(cut + 1) };
}

export function addConnectCommands(program: Command): void {
  program
    .command('connect')
    .description('connects a set to a target; prints the connection ID')
    .argument('<server:set>', 'source and set')
    .argument(
      '<target>',
      'target server; `diagnostics` when no server has that name: simulated, for `estimate` (CON-40)',
    )
    .option('--map <source=target>', 'custom directory on the target (CON-27); may be repeated', collect)
    .option('--one-to-one', 'same directories on the target (CON-26)')
    .option('--all-to-one', 'all below /source_name/replication_set_name (CON-25)')
    .option('--base <directory>', 'with --all-to-one: below this directory of the target')
    .addOption(new Option('--mirror <kind>', 'mirror to start with').choices(MIRROR_KIND).default('full'))
    .option('--checksum', 'difference mirror: send only the blocks that differ')
    .option('--newer', 'difference mirror: only files newer on the source; risky with databases')
    .option('--no-replication', 'do not replicate changes yet (CON-29)')
    .option('--route <address[:port]>', 'address of the target as the source reaches it (CON-24)')
    .option('--compression <level>', '0 off, 1 minimum, 2 medium, 3 maximum', wholeNumber(0, 3))
    .option('--no-size', 'do not calculate the size of the set first (SET-21)')
    .action(
      run(async ({ links, out }, text: string, targetName: string, flags: Flags) => {
        const { server, rest: set } = splitName(text, links.servers);
        if (/^diagnostics$/i.test(targetName) && !links.servers.some((one) => one.name === targetName)) {
          if (flags.map ?? flags.oneToOne ?? flags.allToOne ?? flags.base ?? flags.route)
            throw usage('A simulated connection has neither directories nor a route.');
          const client = await links.client(server);
          const { id } = await client.request(ConnectionSimulate, {
            set,
            calculateSize: flags.size,
            ...(flags.compression === undefined ? {} : { compression: flags.compression }),
          });
          out.tell(
            visible(`simulating ${server}:${set}; \`understudy estimate ${server}:${id}\` says what was counted`),
          );
          out.show(`${id}\n`, { server, id, route: TDU });
          return;
        }
        const mapping = mappingOf(flags);
        if (flags.mirror !== 'difference' && (flags.checksum || flags.newer))
          throw usage('--checksum and --newer belong to --mirror difference.');
        const mirror: MirrorOptions = {
          kind: flags.mirror,
          ...(flags.checksum ? { checksum: true } : {}),
          ...(flags.newer ? { newer: true } : {}),
        };
        const [source, target] = await Promise.all([links.client(server), links.client(targetName)]);
        const made = await introduce({
          source,
          target,
          sourceAddress: findServer(links.servers, server).address,
          targetAddress: findServer(links.servers, targetName).address,
          targetName,
          set,
          mapping,
          mirror,
          replication: flags.replication,
          calculateSize: flags.size,
          ...(flags.compression === undefined ? {} : { compression: flags.compression }),
          ...(flags.route === undefined ? {} : { route: flags.route }),
        });
        out.tell(
          visible(
            `connected ${server}:${set} to ${targetName} at ${made.route}: ${made.mappings.map((one) => `${one.source} -> ${one.target}`).join(', ')}`,
          ),
        );
        out.show(`${made.id}\n`, { server, id: made.id, key: made.key, route: made.route, mappings: made.mappings });
      }),
    );

  program
    .command('reconnect')
    .description('tries the link now instead of after its wait')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .action(
      run(async ({ links, out }, text: string) => {
        const { server, client, item } = await links.connection(text);
        await client.request(ConnectionReconnect, { id: item.id });
        out.show(`${server.name}:${item.id} is tried now\n`, { server: server.name, id: item.id });
      }),
    );

  program
    .command('disconnect')
    .description('ends a connection; what the target holds stays there (CON-70)')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .action(
      run(async ({ links, out }, text: string) => {
        const { server, client, item } = await links.connection(text);
        const removed = await client.request(ConnectionRemove, { id: item.id });
        // The permission on the target is taken back where this console reaches it.
        let revoked = item.route === TDU;
        for (const reached of revoked ? [] : await links.all()) {
          if (reached.client?.hello.access !== 'administrator') continue;
          try {
            if ((await reached.client.request(PeerShow, {})).key !== removed.targetKey) continue;
            revoked = (await reached.client.request(GrantRemove, { connection: removed.key })).removed;
          } catch (error) {
            out.tell(visible(`${reached.server.name}: ${asCliFailure(error).message}`));
          }
          break;
        }
        if (!revoked)
          out.tell(visible(`the target ${removed.target} still allows this connection; it was not reached`));
        out.show(`${server.name}: connection ${item.id} ended\n`, { server: server.name, id: item.id, revoked });
      }),
    );
}
