/** Task commands: the table, who may be run, what is kept, and both drivers over a fake engine. */
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Excerpt, keptTasks, outcomeText, programPaths } from '../../../agentd/core/task/step.js';
import { TASK_TABLE } from '../../../agentd/core/task/table.js';
import { encodeWelcome, LINK_HELLO_VERSION } from '../../../agentd/drivers/hello.js';
import type { TaskEnd, TaskSpec } from '../../../agentd/ports/task-runner.js';
import { Failure } from '../../../protocol/errors.js';
import * as m from '../../../protocol/messages/index.js';
import { words } from '../../../tui/model/words.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import {
  type FakeAgents,
  fakeAgents,
  handleOf,
  connectAgents,
  refused,
  told,
  untilOk,
} from '../../support/fake-pair.js';

test('REP-20, I7: the table of tasks has one answer per phase and fact, and every phase is reached', (t) => {
  const pairs = TASK_TABLE.flatMap((row) => row.from.map((from) => `${from} ${row.on}`));
  t.is(new Set(pairs).size, pairs.length);
  const reached = new Set(['waiting', ...TASK_TABLE.map((row) => row.to)]);
  // `running` is a word of the target, which has no table: it begins and it ends.
  t.deepEqual([...reached, 'running'].sort(), [...m.TASK_PHASE].sort());
  // Nothing that was in a stream is ever put into one again.
  for (const row of TASK_TABLE)
    if (row.act.includes('place_again')) t.deepEqual([row.from, row.to], [['waiting'], 'waiting']);
});

test('REP-20: a program is named by an absolute path, or found in the usual folders, or lies in the folder for tasks', (t) => {
  t.deepEqual(programPaths('/usr/bin/true', ''), ['/usr/bin/true']);
  t.true((programPaths('true', '') as string[]).includes('/usr/bin/true'));
  t.deepEqual(programPaths('snap', '/etc/tasks'), ['/etc/tasks/snap']);
  t.deepEqual(programPaths('/etc/tasks/deep/snap', '/etc/tasks'), ['/etc/tasks/deep/snap']);
  for (const [program, folder] of [
    ['', ''],
    ['bin/true', ''],
    ['../x', '/etc/tasks'],
    ['/etc/tasks/../shadow', '/etc/tasks'],
    ['/etc/tasksx', '/etc/tasks'],
    ['/bin/true', '/etc/tasks'],
    ['a/b', '/etc/tasks'],
    ['x\0', ''],
  ] as const)
    t.true('problem' in programPaths(program, folder), `${program} in ${folder}`);
});

test('I8: of a long output begin and end are kept, and every byte is counted', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 90 }), { maxLength: 40 }),
      fc.constantFrom(8, 20, 64),
      (sizes, limit) => {
        const excerpt = new Excerpt(limit);
        let all = '';
        for (const [at, size] of sizes.entries()) {
          const text = String.fromCharCode(97 + (at % 26)).repeat(size);
          all += text;
          excerpt.add(Buffer.from(text));
        }
        const { omitted } = excerpt;
        if (all.length <= limit) return omitted === 0 && excerpt.text() === all;
        const half = limit / 2;
        return (
          omitted === all.length - limit &&
          excerpt.text() === `${all.slice(0, half)}\n... ${omitted} bytes left out ...\n${all.slice(-half)}`
        );
      },
    ),
  );
  t.pass();
});

test('I8, REP-20: the journal is bounded and keeps what is open and the last of each connection', (t) => {
  const item = (key: number, phase: m.TaskItem['phase'], connection: string): m.TaskItem =>
    ({ key: String(key), phase, connection, role: 'target' }) as m.TaskItem;
  const items = [
    ...Array.from({ length: 50 }, (_, at) => item(at, 'ended', 'busy')),
    item(100, 'ended', 'quiet'),
    item(101, 'running', 'other'),
    item(102, 'ended', 'quiet'),
  ];
  t.deepEqual(
    keptTasks(items, 5).map((one) => one.key),
    ['0', '1', '2', '3', '4', '5', '100', '101'],
  );
});

test('RCN-04: a command typed in the cockpit is split into words as a shell would', (t) => {
  t.deepEqual(words(`/bin/snap  -n "a b" 'c "d"' e\\ f "q\\"r" ''`), [
    '/bin/snap',
    '-n',
    'a b',
    'c "d"',
    'e f',
    'q"r',
    '',
  ]);
  t.deepEqual(words('  '), []);
  t.is(words('"open'), null);
});

class Runner {
  readonly specs: TaskSpec[] = [];
  readonly leftovers: string[] = [];
  finish: (end?: Partial<TaskEnd>) => void = () => undefined;
  run = (spec: TaskSpec, signal: AbortSignal): Promise<TaskEnd> => {
    this.specs.push(spec);
    return new Promise((resolve) => {
      this.finish = (end = {}) =>
        resolve({ how: 'exited', exit: 0, signal: null, output: 'out', omitted: 0, why: '', ...end });
      signal.addEventListener('abort', () => this.finish({ how: 'cancelled' }));
    });
  };
  endLeftovers = async (key: string): Promise<number> => {
    this.leftovers.push(key);
    return 2;
  };
}

interface Stage extends FakeAgents {
  readonly runner: Runner;
}

/** @param started what is done to the target before it is connected */
async function pair(t: ExecutionContext, started: (b: FakeAgent) => void = () => undefined): Promise<Stage> {
  const file = { task: { enabled: true }, source: { guard_percent: 0 } };
  const runner = new Runner();
  const agents = await fakeAgents(t, {
    names: ['a', 'b'],
    files: [file, file],
    prepare: (_a, b) => {
      b.outside = { tasks: runner };
    },
  });
  started(agents.b);
  await connectAgents(agents, { set: 's' });
  await untilOk(agents);
  return { ...agents, runner };
}

const ask = async (a: FakeAgent, more = {}): Promise<m.TaskItem> =>
  (await a.client()).request(m.TaskRun, { id: 1, command: ['/task', 'x'], ...more }, { timeoutMs: 20_000 });

test('REP-20: the outcome comes back, and the stream goes on only then', async (t) => {
  const { a, b, runner } = await pair(t);
  const asked = ask(a, { durable: true, timeoutMs: 5_000 });
  await until('begun', () => runner.specs.length === 1);
  t.false(b.engine.calls.includes('receiverTaskDone'));
  t.like(runner.specs[0], { command: ['/task', 'x'], timeoutMs: 5_000, user: '' });
  t.like(runner.specs[0]?.environment, {
    UNDERSTUDY_SOURCE: 'a',
    UNDERSTUDY_TARGET: 'b',
    UNDERSTUDY_DIRECTORIES: '/replica',
  });
  runner.finish({ exit: 3 });
  const item = await asked;
  t.like(item.outcome, { result: 'failed', exit: 3, output: 'out' });
  await until('done', () => b.engine.calls.includes('receiverTaskDone'));
  t.is(await told(a, 'TASK_PLACED'), 'Connection 1: the task `/task x` is in the stream to b.');
  t.regex(await told(b, 'TASK_BEGAN'), /^Task `\/task x` \(.*\) begins as .+\.$/);
  for (const side of [a, b]) t.regex(await told(side, 'TASK_NOT_DONE'), /^Task `\/task x` \(.*\) .*exit code 3/);
  t.true(a.engine.calls.includes('task durable'));
});

test('REP-20: a task whose stream broke before it was reached is forbidden, and told as not run', async (t) => {
  const { a, b, runner } = await pair(t);
  await (await b.client()).request(m.ServerPauseTarget, {});
  const asked = ask(a);
  await until('placed', () => a.agent.taskJournal.list()[0]?.phase === 'placed');
  a.engine.breakStream(handleOf(a));
  const item = await asked;
  t.is(item.outcome?.result, 'not_run', outcomeText(item.outcome as m.TaskOutcome));
  t.is(runner.specs.length, 0);
  t.is(b.agent.taskJournal.find(item.key, 'target')?.outcome?.result, 'not_run', 'it will not run any more');
});

test('REP-20: a target that was killed while it ran ends what was left and never begins it again', async (t) => {
  const { a, b, runner } = await pair(t);
  const asked = ask(a);
  await until('begun', () => runner.specs.length === 1);
  b.kill();
  const again = new FakeAgent('b', b.network, b.file, b.documents, b.port);
  again.outside = { tasks: runner };
  again.start();
  t.teardown(() => again.stop());
  const item = await asked;
  t.is(item.outcome?.result, 'unknown');
  t.regex(item.outcome?.why ?? '', /ended while it ran; 2 of its processes/);
  t.deepEqual(runner.leftovers, [item.key]);
  t.is(runner.specs.length, 1);
});

test('REP-20: what cannot be written down beforehand is not begun', async (t) => {
  const { a, b, runner } = await pair(t);
  b.documents.broken = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' });
  const item = await ask(a);
  t.like(item.outcome, { result: 'refused' });
  t.regex(item.outcome?.why ?? '', /journal cannot be written/);
  t.is(runner.specs.length, 0);
  b.documents.broken = null;
});

test('REP-20: one that cannot be placed is given up in time, and one of a removed connection is doubtful', async (t) => {
  const { a, runner } = await pair(t);
  a.engine.holdTasks = true;
  const late = await t.throwsAsync(ask(a, { placeMs: 500 }), { instanceOf: Failure });
  t.is((late as Failure).code, 'TASK_NOT_PLACED');
  t.is(a.agent.taskJournal.list()[0]?.outcome?.result, 'not_run');
  a.engine.holdTasks = false;
  const asked = ask(a);
  await until('begun', () => runner.specs.length === 1);
  await (await a.client()).request(m.ConnectionRemove, { id: 1 });
  t.is((await asked).outcome?.result, 'unknown');
});

test('REP-20: a target of an older release, which cannot hold its stream, gets no task; a task nobody knows is said so', async (t) => {
  const { a, ca } = await pair(t, (b) => {
    const accept = b.engine.accept.bind(b.engine);
    b.engine.accept = (link, options) =>
      accept(link, {
        ...options,
        welcome: encodeWelcome({ version: LINK_HELLO_VERSION, software: '0.0.1', server: 'b', can: [] }),
      });
  });
  t.is((await refused(t, 'TASK_OUTDATED', ask(a)))?.message, 'The agent of b is too old to hold its stream at a task.');
  const unknown = await refused(t, 'TASK_UNKNOWN', ca.request(m.TaskShow, { key: 'none' }));
  t.is(unknown?.message, 'No task none is remembered here.');
});
