/** What the cockpit costs: time, bytes, memory. One after another, so that they do not measure each other. */
import test from 'ava';
import { FakeAgent, makeConnection } from './fake-agent.js';
import { twoServers } from './fleet.js';
import { Stage } from './stage.js';

test.serial('the first screen stands before any server answers, and says so', (t) => {
  const silent = new FakeAgent('slow');
  silent.open = () => new Promise(() => {});
  const stage = new Stage({ agents: [silent] });
  t.teardown(() => stage.end());
  const started = performance.now();
  stage.start();
  t.true(performance.now() - started < 300);
  t.true(stage.output.bytes > 500);
  t.is(stage.cockpit.app.fleet.servers[0]?.link.kind, 'connecting');
});

test.serial('T7: nothing changed is nothing written; 20 changing rows stay below 2 kB per second', async (t) => {
  const agent = new FakeAgent('alpha');
  for (let i = 1; i <= 20; i++) {
    const item = makeConnection(i, `set${i}`, 'beta');
    agent.connections.set(item.key, item);
  }
  const stage = new Stage({ agents: [agent], width: 80, height: 60 });
  t.teardown(() => stage.end());
  stage.start();
  await stage.shows('set20');
  await stage.settle();
  let before = stage.output.bytes;
  for (let i = 0; i < 5; i++) {
    stage.clock += 1_000;
    stage.cockpit.send({ kind: 'tick', now: stage.clock });
    await stage.settle();
  }
  t.is(stage.output.bytes - before, 0);
  before = stage.output.bytes;
  for (let second = 1; second <= 5; second++) {
    stage.clock += 1_000;
    for (let i = 1; i <= 20; i++)
      agent.put(
        'connections',
        makeConnection(
          i,
          `set${i}`,
          'beta',
          {},
          { sentBytes: 73_400_320 + second * 1_000_000 * i, queuedReplicationBytes: second * 1000 * i },
        ),
      );
    stage.cockpit.send({ kind: 'tick', now: stage.clock });
    await stage.settle();
  }
  const perSecond = (stage.output.bytes - before) / 5;
  t.log(`${perSecond} bytes per second`);
  t.true(perSecond < 2_000);
  t.true(perSecond > 0);
});

test.serial('10,000 connections: scrolling and a full update stay quick', async (t) => {
  const agent = new FakeAgent('alpha');
  for (let i = 1; i <= 10_000; i++) {
    const item = makeConnection(i, `set${i}`, 'beta');
    agent.connections.set(item.key, item);
  }
  const stage = new Stage({ agents: [agent], width: 200, height: 50 });
  t.teardown(() => stage.end());
  stage.start();
  await stage.shows('/10000');
  const started = performance.now();
  for (let i = 0; i < 200; i++) stage.input.push(Buffer.from(i % 2 === 0 ? '\u001b[6~' : 'j'));
  const perKey = (performance.now() - started) / 200;
  t.log(`${perKey.toFixed(2)} ms per key`);
  t.true(perKey < 20);
  await stage.press('G');
  await stage.shows('10000/10000');
});

test.serial('elements of blessed do not pile up, whatever is opened and closed', async (t) => {
  const { alpha, beta } = twoServers();
  const stage = new Stage({ agents: [alpha, beta], width: 200, height: 50 });
  t.teardown(() => stage.end());
  stage.start();
  await stage.shows('postgres');
  await stage.settle();
  const before = stage.screen.held;
  for (let i = 0; i < 30; i++) {
    for (const key of ['?', '\u001b', 'a', '\u001b', 'z', 'z', '\r', '\u001b', 's', '\u001b']) {
      stage.input.push(Buffer.from(key));
      stage.input.flush();
    }
    if (i % 10 === 0) await stage.settle();
  }
  await stage.settle();
  t.is(stage.screen.held, before);
});
