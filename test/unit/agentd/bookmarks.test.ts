/** Bookmarks: what is frozen, what is kept, and the driver where nothing can be frozen or placed. */
import test from 'ava';
import { freezePlan, howOf, keptBookmarks } from '../../../agentd/core/bookmark/bookmark.js';
import { BOOKMARKS_FILE, POINTS_FILE } from '../../../agentd/drivers/bookmark-book.js';
import type { TaskEnd, TaskSpec } from '../../../agentd/ports/task-runner.js';
import * as m from '../../../protocol/messages/index.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';
import { fakeAgents, connectAgents, refused, told, untilOk } from '../../support/fake-pair.js';

const PLAIN: m.BookmarkOptions = { freezeMs: null, before: null, after: null, command: null };

test('DESIGN 6: each file system is frozen once, and none that the agent needs', (t) => {
  const kept = [
    ['/', 'root'],
    ['/var/lib/understudy', 'state'],
  ] as const;
  t.deepEqual(
    freezePlan(
      [
        ['/srv/a', 'one'],
        ['/srv/b', 'one'],
        ['/srv/c', 'two'],
      ],
      kept,
    ),
    ['/srv/a', '/srv/c'],
  );
  t.like(freezePlan([['/srv/a', 'root']], kept), {
    problem: '/srv/a is on the root file system, which is never frozen',
  });
  t.regex(
    (
      freezePlan(
        [
          ['/srv/a', 'one'],
          ['/x', 'state'],
        ],
        kept,
      ) as { problem: string }
    ).problem,
    /agent itself/,
  );
  t.is(howOf(PLAIN), 'plain');
  t.is(howOf({ ...PLAIN, freezeMs: 1_000 }), 'freeze');
  t.is(howOf({ ...PLAIN, freezeMs: 1_000, after: ['/x'] }), 'hook_freeze');
});

test('I8: the history is bounded for each connection and side', (t) => {
  const bookmark = (name: string, connection: string, role: m.Bookmark['role']): m.Bookmark =>
    ({ name, connection, role }) as m.Bookmark;
  const all = ['a1', 'a2', 'a3'].map((name) => bookmark(name, 'a', 'source'));
  all.push(bookmark('b1', 'b', 'source'), bookmark('t1', 'a', 'target'));
  t.deepEqual(
    keptBookmarks(all, 2).map((one) => one.name),
    ['a1', 'a2', 'b1', 't1'],
  );
});

test('DESIGN 6: what a killed agent left frozen or quiesced is undone before anything else, once', async (t) => {
  const agent = new FakeAgent('a', new FakeNetwork());
  const thawed: string[] = [];
  const ran: TaskSpec[] = [];
  agent.documents.saved.set(
    POINTS_FILE,
    JSON.stringify({
      schema: 1,
      points: [{ key: 'k', set: 's', frozen: ['/srv/frozen', '/srv/thawed', '/srv/gone'], after: ['/resume', 'db'] }],
    }),
  );
  agent.outside = {
    fileSystems: {
      of: () => 'x',
      thaw: (path) => {
        thawed.push(path);
        if (path === '/srv/gone') throw Object.assign(new Error('ENOENT'), { code: 'ENOENT', call: 'open' });
        return path === '/srv/frozen';
      },
    },
    tasks: {
      endLeftovers: async () => 0,
      run: async (spec) => {
        ran.push(spec);
        return { how: 'exited', exit: 4, signal: null, output: '', omitted: 0, why: '' };
      },
    },
  };
  agent.start();
  t.teardown(() => agent.stop());
  await until('undone', () => agent.documents.saved.get(POINTS_FILE)?.includes('"points":[]') ?? false);
  t.deepEqual(thawed, ['/srv/frozen', '/srv/thawed', '/srv/gone']);
  t.deepEqual(
    ran.map((spec) => [spec.command, spec.key]),
    [[['/resume', 'db'], 'k']],
  );
  for (const code of ['FREEZE_UNDONE', 'FREEZE_NOT_UNDONE', 'BOOKMARK_COMMAND_FAILED'])
    t.is(agent.log().filter((one) => one === code).length, 1, code);
});

test('DESIGN 6: commands around a point run only where tasks are enabled, and a point that cannot be placed releases them', async (t) => {
  const ran: string[] = [];
  const tasks = {
    endLeftovers: async () => 0,
    run: async ({ command }: TaskSpec): Promise<TaskEnd> => {
      ran.push(command.join(' '));
      const exit = command[0] === '/fails' ? 3 : 0;
      return { how: 'exited', exit, signal: null, output: '', omitted: 0, why: '' };
    },
  };
  const agents = await fakeAgents(t, {
    names: ['a', 'b'],
    prepare: (source) => {
      source.outside = { tasks };
    },
  });
  const { a, b, ca: client } = agents;
  await connectAgents(agents, { set: 's' });
  await untilOk(agents);
  // The agent's time is short: only what must end without being placed gets little of it.
  const make = (options: Partial<m.BookmarkOptions>, placeMs = 60_000): Promise<m.Bookmark> =>
    client.request(m.BookmarkMake, { id: 1, options: { ...PLAIN, ...options }, placeMs }, { timeoutMs: 20_000 });
  await t.throwsAsync(make({ before: ['/q'] }), { message: /REP-21/ });
  await client.request(m.SettingsSet, { changes: [{ key: 'task.enabled', value: 'true' }] });
  const name = 'nightly';
  const asked = client.request(m.BookmarkMake, { id: 1, name, options: { ...PLAIN, before: ['/fails'] } });
  t.regex(
    (await refused(t, 'BOOKMARK_NOT_MADE', asked))?.message ?? '',
    /^Bookmark "nightly" of connection 1 was not made: the command before it .*exit code 3/,
  );
  t.deepEqual(ran.splice(0), ['/fails']);
  a.engine.holdTasks = true;
  await t.throwsAsync(make({ before: ['/q'], after: ['/r'] }, 10_000), { message: /was not put into the stream/ });
  t.regex(await told(a, 'BOOKMARK_FAILED'), /^Connection 1: bookmark ".*" was not made: /);
  t.deepEqual(ran, ['/q', '/r']);
  a.engine.holdTasks = false;
  const made = await make({});
  t.like(made, { how: 'plain', stoodMs: -1, why: '' });
  t.true(a.documents.saved.get(BOOKMARKS_FILE)?.includes(made.key));
  const { lines } = await client.request(m.LogRead, {});
  t.is(await told(a, 'BOOKMARK_PLACED'), `Connection 1: bookmark "${made.name}" is in the stream to b.`);
  t.is(await told(a, 'BOOKMARK_MADE'), `Connection 1: b has bookmark "${made.name}" (plain), durable.`);
  t.is(
    await told(b, 'BOOKMARK_RECORDED'),
    `Set "s" of a: everything up to bookmark "${made.name}" (plain) is on stable storage here.`,
  );
  t.deepEqual(
    lines.flatMap(({ notice }) => (/_PLACED$/.test(notice.code) ? [notice.text] : [])),
    [`Connection 1: bookmark "${made.name}" is in the stream to b.`],
    'no message names a command that is not there',
  );
  t.is(
    (await (await b.client()).request(m.BookmarkList, {})).bookmarks[0]?.key,
    made.key,
    'the target needs no tasks enabled for it',
  );
  await (await a.client()).request(m.BookmarkScheduleSet, {
    id: 1,
    schedule: { start: Date.now() + 3_600_000, everyMs: 3_600_000, options: PLAIN },
  });
  await client.request(m.ConnectionRemove, { id: 1 });
  await until('forgotten', () => a.documents.saved.get(BOOKMARKS_FILE)?.includes('"schedules":{}') ?? false);
});
