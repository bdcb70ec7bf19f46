/** Settings of real agents by the command line, and the socket of a data link: its address and its buffers. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { GrantList } from '../../protocol/messages/index.js';
import { Namespaces } from '../support/namespaces.js';
import { opened } from '../support/opened.js';
import { understudy } from '../support/understudy.js';

const root = process.getuid?.() === 0;
const needs = root ? '' : ' (needs root for its network)';
const rooted = root ? test.serial : test.serial.skip;
const SECOND = '10.231.7.77';
const WINDOW = 262_144;

/** `ss` of the data links in a namespace: one line for each, with its memory. */
const sockets = (namespace: string): string[] =>
  execFileSync('ip', ['netns', 'exec', namespace, 'ss', '-Htnm', 'state', 'established'], { encoding: 'utf8' })
    .replace(/\n\s+/g, ' ')
    .split('\n')
    .filter((line) => line.includes(':1500'));

rooted(
  `SRV-30, TRN-60, SRV-38: links are made from network.address with buffers of network.window, and the peer sees so${needs}`,
  async (t) => {
    const net = Namespaces.open();
    t.teardown(() => net.close());
    execFileSync('ip', ['-n', net.source, 'addr', 'add', `${SECOND}/24`, 'dev', 'wire0']);
    const pair = await opened(t, {
      servers: ['alpha', 'beta'],
      places: {
        source: { namespace: net.source, host: net.sourceAddress, port: 1500 },
        target: { namespace: net.target, host: net.targetAddress, port: 1500 },
      },
    });
    const seen = async (): Promise<string> => {
      const { grants } = await pair.target.client.request(GrantList, {});
      return grants[0]?.address ?? '';
    };
    const reconnected = async (): Promise<void> => {
      const { id } = await pair.item(link);
      for (const action of ['stop', 'start'])
        t.is((await understudy(pair, ['transmit', action, `alpha:${id}`])).code, 0);
      await pair.mirrored(link);
    };
    const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
    await pair.mirrored(link);
    t.regex(await seen(), new RegExp(`^${net.sourceAddress}:`), 'the kernel chooses the first');

    const set = (...changes: string[]) => understudy(pair, ['config', 'set', 'alpha', ...changes]);
    t.is((await set(`network.address=${SECOND}`, `network.window=${WINDOW}`)).code, 0);
    t.is((await understudy(pair, ['config', 'set', 'beta', `network.window=${WINDOW}`])).code, 0);
    await reconnected();
    t.regex(await seen(), new RegExp(`^${SECOND}:`));
    for (const namespace of [net.source, net.target]) {
      const [line = ''] = sockets(namespace);
      // The kernel keeps twice as much, for its own books (socket(7)).
      t.regex(line, new RegExp(`rb${2 * WINDOW}\\b`), line);
      t.regex(line, new RegExp(`tb${2 * WINDOW}\\b`), line);
    }
    writeFileSync(join(link.source, 'file'), Buffer.alloc(3_000_000, 1));
    await pair.barrier(link);
    t.deepEqual(pair.differences(link), []);

    // An address that is not ours, and one that does not fit the target's: told, and put right without a restart.
    for (const [address, errno] of [
      ['10.231.7.99', 'EADDRNOTAVAIL'],
      ['fe80::1', 'EAFNOSUPPORT'],
    ] as const) {
      t.is((await set(`network.address=${address}`)).code, 0);
      const { id } = await pair.item(link);
      for (const action of ['stop', 'start'])
        t.is((await understudy(pair, ['transmit', action, `alpha:${id}`])).code, 0);
      const item = await pair.until(link, 'told', (it) => it.problem?.code === 'LINK_ADDRESS');
      t.is(item.problem?.cause?.errno, errno);
      t.regex(
        item.problem?.text ?? '',
        new RegExp(`no link to target can be made from ${address}, which network.address`),
      );
    }
    t.is((await set('network.address=', 'network.window=0')).code, 0);
    await pair.until(link, 'linked again', (it) => it.phase === 'linked');
    t.regex(await seen(), new RegExp(`^${net.sourceAddress}:`));
    const [line = ''] = sockets(net.source);
    t.notRegex(line, new RegExp(`rb${2 * WINDOW}\\b`), 'the kernel tunes it again');
  },
);

test.serial(
  'SRV-40, SRV-58, SRV-90: config set says which settings need a restart, config show says so until there was one',
  async (t) => {
    const pair = await opened(t, { servers: ['alpha'] });
    const run = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await understudy(pair, ['config', ...args]);
      t.is(code, 0, err);
      return out + err;
    };
    const said = await run('set', 'alpha', 'queue.free_mb=77', 'target.retry_s=9', 'target.remap_links=off');
    t.regex(said, /queue\.free_mb = 77 after the next start of the agent \(now 50\)/);
    t.regex(said, /target\.retry_s = 9 after the next start of the agent \(now 3\)/);
    t.regex(said, /target\.remap_links = false\n/);
    t.regex(said, /alpha: restart understudyd there/);
    t.regex(await run('show', 'alpha', 'queue'), /queue\.free_mb +50 +0 to \d+ +set +restart: 77/);
    t.regex(await run('check', 'alpha'), /queue\.free_mb: 50 -> 77/);
    await pair.source.stop();
    await pair.source.start();
    t.regex(await run('show', 'alpha', 'queue'), /queue\.free_mb +77 +0 to \d+ +set +QUE-07/);
    t.regex(await run('check', 'alpha'), /nothing would change/);
    const refused = await understudy(pair, ['config', 'set', 'alpha', 'target.retry_s=0']);
    t.is(refused.code, 2);
    t.regex(refused.err, /Nothing was changed: target\.retry_s must be a whole number from 1 to 3600 \(SRV-58\)/);
    t.regex(refused.err, /config show SERVER/);
  },
);
