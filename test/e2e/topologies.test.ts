/** Servers that are source and target at once, and what an agent knows again after it was killed. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { native } from '../../native/index.js';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { connect, type Link } from '../support/introduce.js';
import { opened } from '../support/opened.js';

test.serial(
  'TOP-02, TOP-07, TOP-10, TOP-21: each of two servers is source and target of the other, on different data only',
  async (t) => {
    const pair = await opened(t);
    const { source: a, target: b } = pair;
    const [mine, theirs] = [pair.folder('mine'), pair.folder('theirs')];
    for (const folder of [mine, theirs]) writeFileSync(join(folder, 'first'), folder);
    const there = await pair.connect(mine, join(pair.root, 'b/mine'));
    const back: Link = await connect(b.client, a.client, {
      set: 'back',
      source: theirs,
      target: join(pair.root, 'a/theirs'),
      host: a.host,
      port: a.port,
      mirror: { kind: 'full' },
    });
    const settle = async (): Promise<void> => {
      await pair.barrier(there);
      await b.client.request(m.Barrier, { id: 1, timeoutMs: 60_000 });
    };
    await settle();
    for (const folder of [mine, theirs]) {
      mkdirSync(join(folder, 'd'));
      writeFileSync(join(folder, 'd', 'live'), 'both ways at once');
      rmSync(join(folder, 'first'));
    }
    await settle();
    for (const link of [there, back])
      t.deepEqual(native().compareTrees(link.source, link.target, 20).differences, [], link.target);
    // TOP-10: what comes from there cannot be sent back there.
    const wish = (set: string, from: string, to: string) =>
      connect(b.client, a.client, {
        set,
        source: from,
        target: to,
        host: a.host,
        port: a.port,
        mirror: { kind: 'full' as const },
      });
    for (const [set, to] of [
      ['same', mine],
      ['inside', join(mine, 'copy')],
    ] as const)
      t.is((await t.throwsAsync(wish(set, there.target, to), { instanceOf: Failure })).code, 'LOOP');
    await settle();
    t.deepEqual(pair.differences(there), []);
  },
);

test.serial(
  'CON-73, NAM-05, NAM-06: sets, connections, schedules and what was chosen for them survive a kill of the daemon',
  async (t) => {
    const pair = await opened(t);
    const data = pair.folder('data');
    writeFileSync(join(data, 'f'), 'x');
    const link = await pair.connect(data, join(pair.root, 'replica'));
    await pair.barrier(link);
    const { client } = pair.source;
    await client.request(m.SetSave, {
      name: 'not connected',
      rules: [
        { path: '/srv/later', include: true, recursive: true },
        { path: '/srv/later/*.tmp', include: false, recursive: true },
      ],
      generation: null,
    });
    const start = Date.now() + 86_400_000;
    await client.request(m.VerifyScheduleSet, {
      id: 1,
      schedule: { start, everyMs: 43_200_000, options: { checksum: true, remirror: false, newer: false } },
    });
    await client.request(m.TransmitSet, {
      id: 1,
      patch: { limiting: true, window: { enabled: true, open: '22:00', close: '05:00' }, compression: 2 },
    });
    const known = async (): Promise<unknown> => {
      const of = pair.source.client;
      const { sets } = await of.request(m.SetList, {});
      const { connections } = await of.request(m.ConnectionList, {});
      const { schedule } = await of.request(m.VerifyShow, { id: 1 });
      const { settings } = await of.request(m.TransmitShow, { id: 1 });
      return {
        sets: sets.map(({ name, generation, rules }) => ({ name, generation, rules })),
        connections: connections.map(({ key, set, mappings, target, route }) => ({
          key,
          set,
          mappings,
          target,
          route,
        })),
        schedule,
        settings,
      };
    };
    const before = await known();
    const granted = (await pair.target.client.request(m.GrantList, {})).grants.map((grant) => grant.mappings);
    await Promise.all([pair.source.stop('SIGKILL'), pair.target.stop('SIGKILL')]);
    for (const name of ['understudy.db', 'connect.sts', 'schedule.sts'])
      t.true(existsSync(join(pair.source.root, 'state', name)), name);
    await Promise.all([pair.source.start(), pair.target.start()]);
    t.deepEqual(await known(), before);
    t.deepEqual(
      (await pair.target.client.request(m.GrantList, {})).grants.map((grant) => grant.mappings),
      granted,
    );
    t.is(readFileSync(join(link.target, 'f'), 'utf8'), 'x');
  },
);
