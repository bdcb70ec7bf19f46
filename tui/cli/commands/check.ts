/** `understudy barrier` and `doctor`: is it there, what stands in the way? */
import type { Command } from 'commander';
import { Barrier, type Check, ServerDoctor } from '../../../protocol/messages/index.js';
import { formatMillis } from '../../../protocol/units.js';
import { milliseconds, positive, run } from '../command.js';
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
        const timeoutMs = milliseconds(flags.timeout);
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
    .command('doctor')
    .description('looks at everything that commonly stands in the way; exit code 1 when something failed')
    .argument('[server]', 'server; all when left out')
    .option('--path <directory>', 'what can be captured there')
    .action(
      run(async ({ links, out }, server: string | undefined, flags: { path?: string }) => {
        const reached = await links.some(server);
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
