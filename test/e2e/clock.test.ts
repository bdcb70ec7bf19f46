/** The wall clocks of two real agents are set forward and back while they replicate. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { TransmitStart, TransmitStop } from '../../protocol/messages/index.js';
import { Story } from '../support/chaos/story.js';
import { Pair } from '../support/pair.js';
import { SteppedClock } from '../support/stepped-clock.js';

const DAY = 86_400_000;
/** More than any step of these tests takes, far less than a clock is set by. */
const SOON_MS = 120_000;

test.serial('the clock that tests set is the wall clock of a process and of its children, and no other one', (t) => {
  const folder = fs.mkdtempSync('/tmp/understudy-clock-');
  t.teardown(() => fs.rmSync(folder, { recursive: true }));
  const clock = new SteppedClock(path.join(folder, 'clock'));
  t.teardown(() => clock.close());
  const script = `
    const child = require('child_process').execFileSync('date', ['+%s'], { encoding: 'utf8' });
    console.log(JSON.stringify([Date.now(), Number(child) * 1000, Number(process.hrtime.bigint() / 1000000n)]));
  `;
  const look = (): number[] => {
    const env = { ...process.env, ...clock.environment };
    const here = [Date.now(), Date.now(), Number(process.hrtime.bigint() / 1_000_000n)];
    const said = spawnSync(process.execPath, ['-e', script], { env, encoding: 'utf8' });
    return (JSON.parse(said.stdout) as number[]).map((ms, at) => ms - (here[at] ?? 0));
  };
  for (const offset of [0, DAY, -3 * DAY]) {
    clock.step(offset - clock.offsetMs);
    const [own = 0, child = 0, steady = 0] = look();
    t.true(Math.abs(own - offset) < SOON_MS, `Date.now() is ${own} ms ahead`);
    t.true(Math.abs(child - offset) < SOON_MS, `date is ${child} ms ahead`);
    t.true(Math.abs(steady) < SOON_MS, `the monotonic clock is ${steady} ms ahead`);
  }
});

test.serial(
  'GLO-29, P26, I10: a clock that is set makes no replica older or younger, and the log tells it',
  async (t) => {
    t.timeout(180_000);
    const root = fs.mkdtempSync('/tmp/understudy-clock-');
    const clocks = { source: new SteppedClock(path.join(root, 's')), target: new SteppedClock(path.join(root, 't')) };
    const pair = await Pair.open({ root, clocks });
    t.teardown(async () => {
      await pair.close();
      for (const clock of Object.values(clocks)) clock.close();
    });
    const link = await pair.connect(pair.folder('source'), pair.folder('target'));
    await pair.mirrored(link);
    const story = new Story(pair);
    const write = (text: string): void => fs.writeFileSync(path.join(link.source, 'file'), text);
    for (const ms of [DAY, -2 * DAY, DAY]) {
      for (const side of ['source', 'target'] as const) clocks[side].step(ms);
      write(`${ms}`);
      await pair.barrier(link);
      // Told on both sides.
      const { id } = await pair.item(link);
      await pair.source.client.request(TransmitStop, { id });
      await pair.until(link, 'held', ({ phase }) => phase === 'held');
      await pair.source.client.request(TransmitStart, { id });
      await pair.mirrored(link);
    }
    t.deepEqual(pair.differences(link), []);

    // What waits is as old as it is, over a stop of the agent as well.
    const { id } = await pair.item(link);
    await pair.source.client.request(TransmitStop, { id });
    write('waits');
    for (const ms of [DAY, -2 * DAY]) {
      const waits = await pair.until(link, 'waiting', ({ latencyMs }) => latencyMs > 0);
      t.true(waits.latencyMs < SOON_MS, `${waits.latencyMs} ms behind`);
      const now = Date.now() + clocks.source.offsetMs;
      t.true(Math.abs((waits.recoveryPoint ?? 0) - now) < SOON_MS, 'its moment is one of the clock that it is read by');
      await pair.source.stop();
      clocks.source.step(ms);
      await pair.source.start();
    }
    await pair.until(link, 'waiting', ({ latencyMs }) => latencyMs > 0 && latencyMs < SOON_MS);
    await pair.source.client.request(TransmitStart, { id: (await pair.item(link)).id });
    await pair.barrier(link);
    await pair.mirrored(link);
    t.deepEqual(pair.differences(link), []);

    t.deepEqual(story.wrong(), []);
    for (const side of ['source', 'target'] as const) {
      const told = story.lines(side).filter((line) => / 2008 /.test(line));
      t.true(told.some((line) => line.includes('put forward')) && told.some((line) => line.includes('put back')), side);
    }
  },
);
