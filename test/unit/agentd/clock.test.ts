/** Spans are taken from a clock that nobody sets: what a wall clock does meanwhile changes none of them. */
import test from 'ava';
import { AgentLog } from '../../../agentd/drivers/log.js';
import { Hub } from '../../../agentd/drivers/hub.js';
import { TransmitRun, type TransmitOwner } from '../../../agentd/drivers/transmit-run.js';
import type { Line } from '../../../agentd/drivers/transmit-line.js';
import { Barriers } from '../../../agentd/drivers/waits.js';
import type { Clock } from '../../../agentd/ports/clock.js';
import type { ConnectionStatistics } from '../../../native/index.js';
import { LOG_REPEAT_MS } from '../../../protocol/limits.js';
import type { LogLine } from '../../../protocol/messages/log.js';
import { instant } from '../../../protocol/units.js';
import { MachineTime, SimTime } from '../../simulation/time.js';

const HOURS = 3_600_000;

interface World {
  readonly clock: Clock;
  set(byMs: number): void;
  pass(ms: number): void;
}

function world(): World {
  const time = new SimTime();
  const machine = new MachineTime(time);
  const clock: Clock = {
    wall: () => machine.wall(),
    monotonic: () => instant(machine.now),
    after: (ms, call) => machine.after(ms, call),
    offsetMs: () => 0,
    random: () => 0.5,
    key: () => '0',
  };
  const pass = (ms: number): void => {
    let over = false;
    time.after(ms, () => {
      over = true;
    });
    while (!over) time.step();
  };
  return { clock, set: (byMs) => machine.setWall(byMs), pass };
}

for (const byMs of [-2 * HOURS, 2 * HOURS]) {
  const how = byMs < 0 ? 'back' : 'forward';

  test(`I10: what recurs is summed up for as long as ever when the clock is put ${how}`, (t) => {
    const { clock, set, pass } = world();
    const lines: LogLine[] = [];
    const log = new AgentLog(clock, new Hub(clock), [{ write: (line) => lines.push(line), close: () => undefined }]);
    const say = (): unknown => log.say('QUEUE_FULL', { id: 1, set: 'docs', target: 'beta', why: 'full', folder: '/q' });
    say();
    set(byMs);
    pass(LOG_REPEAT_MS / 2);
    say();
    t.is(lines.length, 1, 'counted, not written');
    pass(LOG_REPEAT_MS);
    say();
    t.deepEqual(
      lines.map((line) => line.notice.code),
      ['QUEUE_FULL', 'REPEATED', 'QUEUE_FULL'],
    );
  });

  test(`I2: a barrier says how long it took when the clock is put ${how}`, async (t) => {
    const { clock, set, pass } = world();
    const barriers = new Barriers(
      clock,
      () => 1,
      () => ({ kind: 'issue', issue: () => undefined }),
    );
    const took = barriers.wait(60_000, undefined);
    set(byMs);
    pass(250);
    barriers.done(1);
    t.is(await took, 250);
  });

  test(`TRN-17: a session ends when its queue is empty though the clock is put ${how}`, (t) => {
    const { clock, set, pass } = world();
    const owner = {
      world: { clock },
      link: { phase: 'linked' },
      linkedAt: clock.monotonic(),
      sourceState: 'watching',
      walking: false,
    } as unknown as TransmitOwner;
    const run = new TransmitRun(owner, 'flowing', {} as Line);
    const counters = { mirror: 'idle', queuedOps: 0 } as ConnectionStatistics;
    set(byMs);
    t.is(run.progress(counters), 'busy', 'it has not settled yet');
    pass(1_000);
    t.is(run.progress(counters), 'done');
  });
}
