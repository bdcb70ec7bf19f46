/** Paths that a target refuses, with real agents: named with their error, told again by a person or by themselves. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import type { Link, Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

/** Files that nobody may change, not even root; the file system must know the attribute (ext4, xfs, btrfs). */
const hold = (on: boolean, ...paths: string[]): void => {
  execFileSync('chattr', [on ? '+i' : '-i', ...paths]);
};

async function open(t: ExecutionContext, file: string): Promise<{ pair: Pair; link: Link; held: string[] }> {
  const pair = await opened(t, { timeoutMs: 180_000 });
  const held: string[] = [];
  t.teardown(() => {
    if (held.length > 0) hold(false, ...held);
  });
  await pair.source.client.request(m.SettingsSet, { changes: [{ key: 'source.retry_s', value: file }] });
  const source = pair.folder('data');
  mkdirSync(join(source, 'd'));
  for (const name of ['a', 'd/b', 'd/c', 'free']) writeFileSync(join(source, name), `first ${name}`);
  const link = await pair.connect(source, join(pair.root, 'replica'));
  await pair.mirrored(link);
  await pair.barrier(link);
  return { pair, link, held };
}

async function healed(t: ExecutionContext, pair: Pair, link: Link): Promise<void> {
  await pair.until(
    link,
    'healed',
    ({ quarantined, statistics }) => quarantined === 0 && statistics.targetDataState === 'OK',
  );
  await pair.barrier(link);
  t.deepEqual(pair.differences(link), []);
}

const list = (pair: Pair, more: { after?: string; limit?: number } = {}) =>
  pair.source.client.request(m.QuarantineList, { id: 1, ...more });

test.serial('P6, REP-10: refused paths are listed with their error, and healed when a person asks', async (t) => {
  const { pair, link, held } = await open(t, '3600');
  await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
  const names = ['a', 'd/b', 'd/c'];
  const replica = names.map((name) => join(link.target, name));
  hold(true, ...replica);
  held.push(...replica);
  for (const name of [...names, 'free']) writeFileSync(join(link.source, name), `second ${name}`);
  await pair.until(link, 'three paths refused', ({ quarantined }) => quarantined === 3);
  // Twice: the first refusal is answered at once, the next pause is the setting's hour.
  const twice = async (): Promise<m.QuarantineItem[]> => {
    for (;;) {
      const { items } = await list(pair);
      if (items.length === 3 && items.every(({ attempts, next }) => attempts >= 2 && next !== null)) return items;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const items = await twice();
  t.deepEqual(
    items.map(({ path }) => path),
    names.map((name) => join(link.source, name)),
  );
  for (const { errno, error, call, since, next, attempts } of items) {
    t.is(errno, 'EPERM');
    t.is(error, 'operation not permitted');
    t.regex(call, /\w/, 'the target says which call failed');
    t.true(Math.abs(Date.now() - since) < 170_000);
    t.is(attempts, 2);
    t.true((next ?? 0) - Date.now() > 3_000_000, 'the back-off follows the setting');
  }
  t.is(readFileSync(join(link.target, 'free'), 'utf8'), 'second free', 'everything else goes on');

  const page = await list(pair, { limit: 2 });
  t.like(page, { omitted: 1, total: 3 });
  const last = page.items[1]?.path ?? '';
  t.deepEqual(
    (await list(pair, { after: last })).items.map(({ path }) => path),
    [join(link.source, 'd/c')],
  );
  const shown = await understudy(pair, ['quarantine', '1', '--limit', '2']);
  t.regex(shown.out, /Path +Operation +Error on target +Tries +Since +Next try/, shown.err);
  t.regex(shown.out, /data\/a .*EPERM, operation not permitted/);
  t.regex(shown.out, /1 more: understudy quarantine alpha:1 --after \/.*d\/b\n/);

  // What is wrong is said as it is: a mirror would be refused the same paths.
  const [item] = (await pair.source.client.request(m.ConnectionList, {})).connections;
  t.like(item?.problem, { code: 'PATHS_REFUSED', params: { count: 3 } });
  t.is(item?.statistics.targetDataState, 'Mirror Required', 'I3');

  // Still refused: it stays, with one more try. The others are not touched.
  const again = await understudy(pair, ['--json', 'quarantine', 'retry', '1', join(link.source, 'a')]);
  t.like(JSON.parse(again.out), { server: 'alpha', id: 1, count: 1 }, again.err);
  for (;;) {
    const { items: now } = await list(pair);
    if (now[0]?.attempts === 3 && now[0].next !== null) {
      t.deepEqual(
        now.map(({ attempts }) => attempts),
        [3, 2, 2],
      );
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await t.throwsAsync(pair.source.client.request(m.QuarantineRetry, { id: 1, path: join(link.source, 'free') }), {
    instanceOf: Failure,
    message: /free is not in quarantine/,
  });

  hold(false, ...replica);
  held.length = 0;
  t.is((await pair.source.client.request(m.QuarantineRetry, { id: 1 })).count, 3);
  await healed(t, pair, link);
  t.regex((await understudy(pair, ['quarantine', '1'])).out, /Nothing is in quarantine on alpha:1/);
  const all = (await pair.source.client.request(m.LogRead, {})).lines;
  t.is(all.filter(({ notice }) => notice.code === 'QUARANTINE_EMPTY').length, 1);
  const lines = all.filter(({ notice }) => notice.code === 'QUARANTINED');
  t.is(
    lines.reduce((sum, { count }) => sum + count, 0),
    4,
    'one for each try that failed, however many operations did',
  );
  t.is(lines[0]?.notice.cause?.errno, 'EPERM');
  t.regex(lines[0]?.notice.cause?.call ?? '', /^(?!apply$)\w/, 'the log names the call, too');
});

test.serial('REP-10: what the target can write again heals by itself after the delay', async (t) => {
  const { pair, link, held } = await open(t, '1');
  const at = join(link.target, 'a');
  hold(true, at);
  held.push(at);
  writeFileSync(join(link.source, 'a'), 'second a');
  await pair.until(link, 'refused', ({ quarantined }) => quarantined === 1);
  hold(false, at);
  held.length = 0;
  await healed(t, pair, link);
});

test.serial('P6: paths of any bytes are listed, paged, and told again by what is shown of them', async (t) => {
  const { pair, link } = await open(t, '3600');
  await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
  const names = [Buffer.from("it's\nnew"), Buffer.from([0x6e, 0xff]), Buffer.from([0x6e, 0xff, 0xfe])];
  const at = (folder: string, name: Buffer): Buffer => Buffer.concat([Buffer.from(`${folder}/`), name]);
  for (const name of names) writeFileSync(at(link.source, name), 'first');
  await pair.barrier(link);
  // Arguments of a process are text here, these names are not.
  const holdAll = (on: boolean): void => {
    const others = ['!', '-name', 'a', '!', '-name', 'free'];
    const mark = ['-exec', 'chattr', on ? '+i' : '-i', '{}', '+'];
    execFileSync('find', [link.target, '-maxdepth', '1', '-type', 'f', ...others, ...mark]);
  };
  holdAll(true);
  t.teardown(() => holdAll(false));
  for (const name of names) writeFileSync(at(link.source, name), 'second');
  for (;;) {
    const { items } = await list(pair);
    if (items.length === 3 && items.every(({ attempts, next }) => attempts >= 2 && next !== null)) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const seen: string[] = [];
  for (let page = await list(pair, { limit: 1 }); ; page = await list(pair, { limit: 1, after: seen.at(-1) ?? '' })) {
    seen.push(...page.items.map(({ path }) => path));
    if (page.omitted === 0) break;
  }
  t.deepEqual(
    seen.map((path) => path.slice(link.source.length + 1)),
    ["it's\nnew", 'n\ufffd', 'n\ufffd\ufffd'],
  );
  const shown = await understudy(pair, ['quarantine', '1', '--limit', '1']);
  t.regex(shown.out, /it's\\x0anew/);
  const word = /--after (.*)\n/.exec(shown.out)?.[1] ?? '';
  t.is(
    execFileSync('bash', ['-c', `printf %s ${word}`], { encoding: 'utf8' }),
    seen[0] ?? '',
    'as a shell reads it back',
  );
  for (const path of seen) t.is((await pair.source.client.request(m.QuarantineRetry, { id: 1, path })).count, 1);
  holdAll(false);
  await pair.source.client.request(m.QuarantineRetry, { id: 1 });
  await pair.until(link, 'healed', ({ quarantined }) => quarantined === 0);
  await pair.barrier(link);
  t.deepEqual(pair.differences(link), []);
});
