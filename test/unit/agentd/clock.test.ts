/** A wall clock that somebody sets: what depends on it follows, and no duration does. */
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { LinkState } from '../../../agentd/core/connection/step.js';
import type { Line } from '../../../agentd/drivers/transmit-line.js';
import { type TransmitOwner, TransmitRun } from '../../../agentd/drivers/transmit-run.js';
import type { World } from '../../../agentd/drivers/world.js';
import type { ConnectionStatistics } from '../../../native/index.js';
import { LOG_REPEAT_MS } from '../../../protocol/limits.js';
import * as m from '../../../protocol/messages/index.js';
import { instant } from '../../../protocol/units.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';
import { fakePair } from '../../support/fake-pair.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

function agent(t: ExecutionContext, file: unknown = null, more: Partial<FakeAgent['outside']> = {}): FakeAgent {
  const made = new FakeAgent('alpha', new FakeNetwork(), file);
  made.outside = more;
  t.teardown(() => made.stop());
  return made.start();
}

const connected = async (t: ExecutionContext): Promise<FakeAgent> => (await fakePair(t)).a;

const count = (a: FakeAgent, code: string): number => a.log().filter((each) => each === code).length;

test('I10: where time stamps jump the log says so first, once, and how far', (t) => {
  const a = agent(t);
  const { log } = a.agent.world;
  const say = (set: string): unknown => log.say('SET_DELETED', { set });
  say('before');
  for (const ms of [DAY, -2 * DAY, 400]) {
    a.wallAheadMs += ms;
    say('after');
    say('once more');
  }
  const lines = log.last(undefined).lines.slice(-9);
  t.deepEqual(
    lines.map(({ notice }) => notice.code),
    [
      'SET_DELETED',
      ...['CLOCK_SET', 'SET_DELETED', 'SET_DELETED'],
      ...['CLOCK_SET', 'SET_DELETED', 'SET_DELETED'],
      ...['SET_DELETED', 'SET_DELETED'],
    ],
  );
  t.like(lines[1]?.notice.params, { back: false });
  t.like(lines[4]?.notice.params, { back: true });
  t.true(Math.abs((lines[4]?.notice.params['ms'] as number) - 2 * DAY) < 100);
  t.true((lines[1]?.at ?? 0) - (lines[0]?.at ?? 0) >= DAY, 'it has the new time itself');
  const numbers = lines.map(({ sequence }) => sequence);
  t.deepEqual(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
});

test('I10: a clock that is put back does not have repeats counted in silence until it has caught up', (t) => {
  const a = agent(t);
  const { log } = a.agent.world;
  const say = (): unknown => log.say('SOURCE_LOST', { set: 'x', why: 'overflow' }, { set: 'x' });
  say();
  a.wallAheadMs -= DAY;
  say();
  t.is(count(a, 'SOURCE_LOST'), 1, 'counted');
  a.steadyAheadMs += LOG_REPEAT_MS;
  say();
  t.is(count(a, 'SOURCE_LOST'), 2, 'its time is over');
});

test('I10: a trouble that lasts is told again after ten minutes, whatever the clock says', async (t) => {
  const a = await connected(t);
  a.network.cut = true;
  a.engine.breakLink([...a.engine.connections.keys()][0] ?? -1);
  await until('told', () => count(a, 'LINK_UNREACHABLE') === 1);
  a.wallAheadMs -= DAY;
  a.steadyAheadMs += 11 * 60_000;
  await t.notThrowsAsync(until('told again', () => count(a, 'LINK_UNREACHABLE') === 2));
});

test('I2: a barrier says how long it took, not how far the clock was put', async (t) => {
  const a = await connected(t);
  a.network.cut = true;
  a.engine.breakLink([...a.engine.connections.keys()][0] ?? -1);
  const asked = (await a.client()).request(m.Barrier, { id: 1, timeoutMs: 600_000 });
  await until('asked', () => a.engine.calls.includes('barrier'));
  a.wallAheadMs += DAY;
  a.network.cut = false;
  t.true((await asked).ms < 60_000);
});

test('TRN-17: an empty queue ends a session although the clock was put back since the link came up', (t) => {
  let steady = instant(0);
  const counters = { mirror: 'idle', queuedOps: 0 } as ConnectionStatistics;
  const owner = {
    world: { clock: { wall: () => -DAY, steady: () => steady } } as World,
    link: { phase: 'linked' } as LinkState,
    linkedAt: steady,
    sourceState: 'watching',
    walking: false,
  } as TransmitOwner;
  const run = new TransmitRun(owner, 'flowing', {} as Line);
  t.is(run.progress(counters), 'busy', 'it has only just come up');
  steady = instant(1_000);
  t.is(run.progress(counters), 'done');
});

test('LOG-06: the time of the SNMP engine neither stands still nor jumps when the clock is set', async (t) => {
  const times: number[] = [];
  const a = agent(
    t,
    { snmp: { enabled: true, targets: '127.0.0.1:16200', version: '2c' } },
    { sendTrap: async ({ engineTime }) => void times.push(engineTime) },
  );
  const tell = async (): Promise<void> => {
    const before = times.length;
    a.agent.world.log.say('AGENT_CRASHED', { detail: `${before}` });
    await until('a trap', () => times.length > before);
  };
  const trapped = async (step: number): Promise<number> => {
    a.wallAheadMs += step;
    a.steadyAheadMs += 100_000;
    await tell();
    return times.at(-1) ?? -1;
  };
  await tell();
  const first = times.at(-1) ?? -1;
  for (const [at, step] of [DAY, -2 * DAY, HOUR].entries()) {
    const passed = (await trapped(step)) - first;
    t.true(passed >= 100 * (at + 1) && passed < 100 * (at + 1) + 50, `${passed} s`);
  }
});

test('REP-20: a task took as long as it took', async (t) => {
  let a: FakeAgent | null = null;
  const run = async () => {
    if (a) a.wallAheadMs += DAY;
    return { how: 'exited', exit: 0, signal: null, output: '', omitted: 0, why: '' } as const;
  };
  a = agent(t, { task: { enabled: true } }, { tasks: { run, endLeftovers: async () => 0 } });
  const { outcome } = await (await a.client()).request(m.TaskSubmit, { command: ['/bin/true'] });
  t.is(outcome?.result, 'done');
  t.true((outcome?.ms ?? DAY) < 60_000);
});

test('VER-07, DESIGN 6: a schedule notices within a minute that the clock was put forward, and follows', async (t) => {
  const a = await connected(t);
  const start = Date.now() + 10 * HOUR;
  const options: m.BookmarkOptions = { freezeMs: null, before: null, after: null, command: null };
  const client = await a.client();
  await client.request(m.BookmarkScheduleSet, { id: 1, schedule: { start, everyMs: HOUR, options } });
  a.wallAheadMs += 10 * HOUR;
  // Waits are fifty times shorter here.
  await until('begun', () => a.log().some((code) => code.startsWith('BOOKMARK_')));
  a.wallAheadMs -= 10 * HOUR;
  for (const end = Date.now() + 10_000; ; await wait(20)) {
    const { next } = await client.request(m.BookmarkShow, { id: 1 });
    if (next === start || Date.now() > end) return t.is(next, start, 'and so it does when it is put back');
  }
});
