/** A simulated connection with a real agent: read, compressed and counted, and nothing leaves (CON-40..42, EDN-50). */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import * as m from '../../protocol/messages/index.js';
import { Pair } from '../support/pair.js';
import { understudy } from '../support/understudy.js';

/** Remote ends of the established TCP connections of a process. */
function connectionsOf(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? ''];
      } catch {
        return [];
      }
    }),
  );
  return ['tcp', 'tcp6'].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((words) => words[3] === '01' && inodes.has(words[9] ?? '-'))
      .map((words) => words[2] ?? ''),
  );
}

test.serial(
  'CON-40, CON-41, EDN-50, NAM-17: mirror and changes are counted as in a real connection, and nothing crosses the network',
  async (t) => {
    t.timeout(180_000);
    const pair = await Pair.open({ config: '[source]\nguard_percent = 0\n[statistics]\ninterval_s = 1\n' });
    t.teardown(async () => {
      if (!t.passed) t.log(pair.source.log());
      await pair.close();
    });
    await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
    const data = pair.folder('data');
    mkdirSync(join(data, 'd'));
    for (let i = 0; i < 50; i += 1) writeFileSync(join(data, `d/text${i}`), 'the same again and again. '.repeat(4_000));
    writeFileSync(join(data, 'random'), randomBytes(2_000_000));
    await understudy(pair, ['set', 'create', 'alpha:s', data]);
    const wrong = await understudy(pair, ['connect', 'alpha:s', 'diagnostics', '--one-to-one']);
    t.is(wrong.code, 2, wrong.err);
    const made = await understudy(pair, ['connect', 'alpha:s', 'diagnostics']);
    t.is(made.out, '1\n', made.err);
    const { client } = pair.source;
    const item = async (): Promise<m.ConnectionItem> => {
      const [found] = (await client.request(m.ConnectionList, {})).connections;
      if (!found) throw new Error('it is gone');
      return found;
    };
    const until = async (what: string, wanted: (one: m.ConnectionItem) => boolean): Promise<m.ConnectionItem> => {
      for (const end = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
        const now = await item();
        if (wanted(now)) return now;
        if (Date.now() > end) throw new Error(`not ${what}: ${JSON.stringify(now.statistics)}`);
      }
    };
    const total = 50 * 26 * 4_000 + 2_000_000;
    const mirrored = await until('mirrored', (one) => one.statistics.targetDataState === 'Not Loaded');
    t.is(mirrored.statistics.sentMirrorBytes, total);
    t.true(
      mirrored.statistics.sentCompressedMirrorBytes < 2_300_000,
      `${mirrored.statistics.sentCompressedMirrorBytes}`,
    );
    t.true(mirrored.statistics.sentCompressedMirrorBytes > 2_000_000);
    t.is(mirrored.statistics.targetDataState, 'Not Loaded', 'I3');
    t.deepEqual(connectionsOf(pair.source.pid), []);

    writeFileSync(join(data, 'change'), randomBytes(1_000_000));
    await pair.source.client.request(m.Barrier, { id: 1 });
    const estimate = async (): Promise<m.Estimate> =>
      JSON.parse(
        (await understudy(pair, ['--json', 'estimate', '1', '--bandwidth', '8M', '--minutes'])).out,
      ) as m.Estimate;
    let told = await estimate();
    t.true(told.observedMs > 0, 'EDN-50: what was counted took time');
    // Files are counted once a second.
    for (const end = Date.now() + 5_000; told.files !== 52 && Date.now() < end; ) told = await estimate();
    t.like(told, { set: 's', files: 52, bytes: total + 1_000_000 });
    t.is(told.changes.bytes, 1_000_000);
    t.true(told.changes.packed >= 1_000_000 && told.changes.packed < 1_020_000);
    t.is(told.mirror?.bytes, total);
    t.is(
      told.minutes.reduce((sum, one) => sum + one.bytes, 0),
      1_000_000,
    );
    // 2.1 MB and its headers through a megabyte a second.
    const ms = told.bandwidths[0]?.mirrorMs ?? 0;
    t.true(ms > 2_000 && ms < 2_700, `${ms}`);
    const text = (await understudy(pair, ['estimate', '1', '--recovery', '10'])).out;
    t.regex(text, /Needed +\d+ kbit\/s for a recovery point of 10/);
    t.regex(text, /100 Mbit\/s/);

    const records = await client.request(m.StatisticsRead, {});
    t.true(
      records.records.some((one) => one.statistics.sentMirrorBytes === total),
      'CON-41: in the statistics file',
    );
    t.is((await understudy(pair, ['verify', '1'])).code, 4);

    await pair.source.stop('SIGKILL');
    await pair.source.start();
    writeFileSync(join(data, 'change'), randomBytes(1_000_000));
    const { connections } = await pair.source.client.request(m.ConnectionList, {});
    t.is(connections[0]?.target, m.DIAGNOSTICS);
    await pair.source.client.request(m.Barrier, { id: 1 }, { timeoutMs: 70_000 });
    t.deepEqual(connectionsOf(pair.source.pid), []);
    const ended = await understudy(pair, ['disconnect', '1']);
    t.is(ended.code, 0, ended.err);
    t.notRegex(ended.err, /still allows/);
  },
);
