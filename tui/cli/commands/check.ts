/** `understudy barrier`, `verify` and `doctor`: is it there, is it right, what stands in the way? */
import type { Command } from 'commander';
import { failure } from '../../../protocol/errors.js';
import { Barrier, type Check, ServerDoctor, Verify } from '../../../protocol/messages/index.js';
import { formatBytes, formatCount, formatMillis } from '../../../protocol/units.js';
import { positive, run } from '../command.js';
import { table, visible } from '../print.js';

const BARRIER_SECONDS = 60;
/** Time for the answer to travel after the agent gave up. */
const GRACE_MS = 5_000;

export function addCheckCommands(program: Command): void {
  program
    .command('barrier')
    .description('returns when every change made before is durable on the target')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .option('--timeout <seconds>', 'give up after this', positive, BARRIER_SECONDS)
    .action(
      run(async ({ links, out, signal }, id: string, flags: { timeout: number }) => {
        const { server, client, item } = await links.connection(id);
        const timeoutMs = Math.max(1, Math.min(86_400_000, Math.round(flags.timeout * 1000)));
        const { ms } = await client.request(
          Barrier,
          { id: item.id, timeoutMs },
          { signal, timeoutMs: timeoutMs + GRACE_MS },
        );
        out.show(`${server.name}:${item.id} durable on ${visible(item.target)} after ${formatMillis(ms)}\n`, {
          server: server.name,
          id: item.id,
          ms,
        });
      }),
    );

  program
    .command('verify')
    .description('compares source and target; exit code 1 when they differ')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .option('--checksum', 'compare contents, not only attributes')
    .option('--remirror', 'send what differs (VER-04)')
    .action(
      run(async ({ links, out, signal }, id: string, flags: { checksum?: boolean; remirror?: boolean }) => {
        const { server, client, item } = await links.connection(id);
        const result = await client.request(
          Verify,
          { id: item.id, checksum: flags.checksum === true, remirror: flags.remirror === true },
          { signal },
        );
        const { different, missing, orphans } = result;
        const same = different + missing + orphans === 0;
        out.show(
          () =>
            result.paths.map((path) => `${visible(path)}\n`).join('') +
            (result.omitted > 0 ? `... and ${formatCount(result.omitted)} more\n` : '') +
            `${formatCount(result.files)} files, ${formatBytes(result.bytes)} compared in ${formatMillis(result.ms)}: ` +
            `${same ? 'identical' : `${different} different, ${missing} missing, ${orphans} only on the target`}\n`,
          { server: server.name, id: item.id, identical: same, ...result },
        );
        if (same) return 0;
        if (flags.remirror) {
          out.tell('what differs is sent again');
          return 1;
        }
        const said = failure('TREES_DIFFER', { id: item.id, different, missing, orphans });
        out.tell(said.notice.remedy);
        return 1;
      }),
    );

  program
    .command('doctor')
    .description('looks at everything that commonly stands in the way; exit code 1 when something failed')
    .argument('[server]', 'server; all when left out')
    .option('--path <directory>', 'what can be captured there')
    .action(
      run(async ({ links, out }, server: string | undefined, flags: { path?: string }) => {
        const reached =
          server === undefined
            ? await links.all()
            : [{ server: { name: server, address: '' }, client: await links.client(server), error: null }];
        const all: (Check & { server: string })[] = [];
        for (const {
          server: { name },
          client,
          error,
        } of reached) {
          if (error)
            all.push({
              server: name,
              name: 'link',
              result: 'failed',
              text: error.message,
              remedy: error.notice.remedy,
            });
          if (!client) continue;
          all.push({
            server: name,
            name: 'link',
            result: 'ok',
            text: `answers as ${client.hello.name}, version ${client.hello.version}; you have ${client.hello.access} access`,
            remedy: '',
          });
          if (client.hello.access === 'none') continue;
          const { checks } = await client.request(ServerDoctor, flags.path === undefined ? {} : { path: flags.path });
          for (const check of checks) all.push({ server: name, ...check });
        }
        if (reached.length === 0)
          all.push({
            server: '',
            name: 'servers',
            result: 'warning',
            text: 'no server is listed',
            remedy: 'understudy server add NAME ADDRESS',
          });
        out.show(
          () =>
            table(
              [{ title: 'Server' }, { title: 'What' }, { title: 'Result' }, { title: 'Found' }],
              all.map((one) => [
                one.server,
                one.name,
                one.result,
                one.remedy ? `${one.text} -> ${one.remedy}` : one.text,
              ]),
            ),
          { checks: all },
        );
        return all.some((one) => one.result === 'failed') ? 1 : 0;
      }),
    );
}
