/** Queues of real agents: what waits on disk, what survives, and what happens when there is no more room (SPEC H). */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import * as m from '../../protocol/messages/index.js';
import { AgentProcess } from '../support/agent-process.js';
import { connect } from '../support/introduce.js';
import { type Link, Pair } from '../support/pair.js';

const MIB = 1_048_576;

const config = (queue: string): string => `[source]\nguard_percent = 0\n[queue]\nmemory_mb = 32\n${queue}\n`;

async function open(t: ExecutionContext, queue: string): Promise<{ pair: Pair; link: Link }> {
  t.timeout(180_000);
  const pair = await Pair.open({ config: config(queue) });
  t.teardown(async () => {
    if (!t.passed) t.log(pair.source.log(30), pair.target.log(10));
    await pair.close();
  });
  const source = pair.folder('source');
  fs.writeFileSync(path.join(source, 'first'), 'first');
  const link = await pair.connect(source, pair.folder('target'));
  await pair.mirrored(link);
  return { pair, link };
}

function write(link: Link, name: string, megabytes: number): void {
  for (let i = 0; i * 4 < megabytes; i += 1)
    fs.writeFileSync(path.join(link.source, `${name}${i}`), randomBytes(4 * MIB));
}

/** Messages of the source since it started, by code. */
async function said(pair: Pair, code: string): Promise<string[]> {
  const { lines } = await pair.source.client.request(m.LogRead, {});
  return lines.filter((line) => line.notice.code === code).map((line) => line.notice.text);
}

async function untilSaid(pair: Pair, code: string): Promise<string> {
  const end = Date.now() + 60_000;
  for (;;) {
    const [text] = await said(pair, code);
    if (text !== undefined) return text;
    if (Date.now() > end) throw new Error(`${code} was not said:\n${pair.source.log(20)}`);
    await wait(50);
  }
}

const queuedBytes = ({ statistics: s }: m.ConnectionItem): number => s.queuedReplicationBytes;

test.serial(
  'QUE-01, QUE-04, QUE-11, QUE-16, CLM-13: 220 MiB changed while the target is away wait in memory and on disk, and arrive with no remirror',
  async (t) => {
    const { pair, link } = await open(t, '');
    await pair.target.stop();
    write(link, 'big', 220);
    fs.renameSync(path.join(link.source, 'first'), path.join(link.source, 'renamed'));
    fs.rmSync(path.join(link.source, 'big3'));
    const full = await pair.until(link, 'queued', (it) => queuedBytes(it) >= 200 * MIB);
    t.true(full.statistics.diskQueueBytes > 150 * MIB, `${full.statistics.diskQueueBytes} on disk`);
    t.true(full.statistics.intermediateQueueBytes <= 32 * MIB, `${full.statistics.intermediateQueueBytes} in memory`);
    t.is(full.statistics.replicationStatus, 'Replicating');
    const folder = path.join(pair.source.root, 'state/queue', link.key);
    t.true(fs.readdirSync(folder).length > 8);
    await pair.target.start();
    await pair.barrier(link, 120_000);
    t.deepEqual(pair.differences(link), []);
    const empty = await pair.until(link, 'drained', (it) => it.statistics.diskQueueBytes === 0);
    t.is(empty.statistics.queuedOps, 0);
    t.deepEqual(fs.readdirSync(folder), []);
    t.is((await said(pair, 'MIRROR_STARTED')).length, 1, 'the first one only');
    t.deepEqual(await said(pair, 'STREAM_BROKEN'), []);
  },
);

test.serial(
  'QUE-01, MIR-34: an agent that stops in order with a backlog goes on with it: nothing is read or compared again',
  async (t) => {
    const { pair, link } = await open(t, '');
    await pair.target.stop();
    write(link, 'big', 80);
    await pair.until(link, 'queued', (it) => queuedBytes(it) >= 80 * MIB);
    await pair.source.stop();
    // Whoever read the contents again would see this one: the shadow does not know of it, size and time are as before.
    const sly = path.join(link.source, 'big7');
    const before = fs.statSync(sly);
    t.true(fs.existsSync(path.join(pair.source.root, 'state/queue', link.key)));
    await pair.source.start();
    t.regex(await untilSaid(pair, 'QUEUE_RESUMED'), /[78]\d(\.\d)? MiB wait/);
    const back = await pair.until(link, 'there again', (it) => it.statistics.diskQueueBytes > 70 * MIB);
    t.true(queuedBytes(back) >= 80 * MIB);
    fs.writeFileSync(path.join(link.source, 'after'), 'the restart');
    await pair.target.start();
    await pair.barrier(link, 120_000);
    t.deepEqual(pair.differences(link), []);
    t.is(fs.statSync(sly).mtimeMs, before.mtimeMs);
    t.deepEqual(await said(pair, 'MIRROR_STARTED'), []);
    t.deepEqual(await said(pair, 'STREAM_BROKEN'), []);
    // Sent once: what was queued, and what came after.
    const { sentBytes } = (await pair.item(link)).statistics;
    t.true(sentBytes >= 80 * MIB && sentBytes < 81 * MIB, `${sentBytes} bytes sent`);
    await pair.until(link, 'drained', (it) => it.statistics.diskQueueBytes === 0);
  },
);

test.serial('I3: an agent that is killed with a backlog drops it and compares what it held', async (t) => {
  const { pair, link } = await open(t, '');
  await pair.target.stop();
  write(link, 'big', 60);
  fs.rmSync(path.join(link.source, 'first'));
  await pair.until(link, 'queued', (it) => queuedBytes(it) >= 60 * MIB && it.statistics.diskQueueBytes > 20 * MIB);
  await pair.source.stop('SIGKILL');
  fs.writeFileSync(path.join(link.source, 'big2'), 'meanwhile');
  await pair.source.start();
  await untilSaid(pair, 'QUEUE_DROPPED');
  t.deepEqual(await said(pair, 'QUEUE_RESUMED'), []);
  await pair.target.start();
  await pair.barrier(link, 120_000);
  t.deepEqual(pair.differences(link), []);
});

test.serial(
  'QUE-09, QUE-10: memory is full and there is no disk queue: changes wait as names, an alert says so, nothing is mirrored',
  async (t) => {
    const { pair, link } = await open(t, 'disk_mb = 0\nalert_percent = 60');
    await pair.target.client.request(m.ServerPauseTarget, {});
    await pair.until(link, 'paused', (it) => it.statistics.targetStatus === 'Paused');
    write(link, 'big', 160);
    t.regex(await untilSaid(pair, 'QUEUE_FULL'), /memory for queues is used up.* nothing is lost/);
    t.regex(await untilSaid(pair, 'QUEUE_ALERT'), /is (6|7|8|9|10)\d+ % full|is [6-9]\d % full/);
    const held = await pair.item(link);
    t.is(held.statistics.diskQueueBytes, 0);
    t.true(held.statistics.intermediateQueueBytes <= 33 * MIB, `${held.statistics.intermediateQueueBytes}`);
    fs.rmSync(path.join(link.source, 'big39'));
    await pair.target.client.request(m.ServerResumeTarget, {});
    await pair.barrier(link, 120_000);
    t.deepEqual(pair.differences(link), []);
    await untilSaid(pair, 'QUEUE_ROOM');
    await untilSaid(pair, 'QUEUE_CALM');
    t.is((await said(pair, 'QUEUE_ALERT')).length, 1, 'once for each crossing');
    t.is((await said(pair, 'MIRROR_STARTED')).length, 1, 'the first one only');
  },
);

test.serial(
  'CON-63, MIR-30..32, MIR-35, CLM-14: the queue fills while the target is paused: disconnected, reconnected, difference mirror, equal',
  async (t) => {
    const { pair, link } = await open(t, 'disk_mb = 16\nwhen_full = "disconnect"');
    write(link, 'old', 16);
    await pair.barrier(link);
    await pair.target.client.request(m.ServerPauseTarget, {});
    await pair.until(link, 'paused', (it) => it.statistics.targetStatus === 'Paused');
    write(link, 'big', 140);
    fs.rmSync(path.join(link.source, 'old1'));
    t.regex(await untilSaid(pair, 'QUEUE_EXHAUSTED'), /maximum disk space/);
    await untilSaid(pair, 'STREAM_BROKEN');
    t.is((await pair.item(link)).statistics.targetDataState === 'OK', false);
    await pair.target.client.request(m.ServerResumeTarget, {});
    await pair.mirrored(link, 120_000);
    await pair.barrier(link, 120_000);
    t.deepEqual(pair.differences(link), []);
    await untilSaid(pair, 'QUEUE_RECONNECTED');
    t.regex((await said(pair, 'AUTO_REMIRROR'))[0] ?? '', /differences with checksum/);
    const { sentMirrorBytes } = (await pair.item(link)).statistics;
    t.true(sentMirrorBytes < 150 * MIB, 'differences only');
  },
);

test.serial(
  'QUE-01, MIR-33, REP-09: with auto-remirror off, memory that is used up leaves the connection out of memory until a mirror is started',
  async (t) => {
    const { pair, link } = await open(t, 'disk_mb = 0\nwhen_full = "disconnect"');
    await pair.source.client.request(m.SettingsSet, { changes: [{ key: 'source.remirror', value: 'off' }] });
    await pair.target.client.request(m.ServerPauseTarget, {});
    await pair.until(link, 'paused', (it) => it.statistics.targetStatus === 'Paused');
    write(link, 'big', 120);
    await untilSaid(pair, 'QUEUE_EXHAUSTED');
    await pair.target.client.request(m.ServerResumeTarget, {});
    const broken = await pair.until(link, 'broken', (it) => it.statistics.targetDataState === 'Mirror Required');
    t.is(broken.statistics.replicationStatus, 'Out of Memory');
    const { id } = broken;
    await pair.source.client.request(m.MirrorStart, { id, options: { kind: 'difference', checksum: true } });
    await pair.mirrored(link, 120_000);
    await pair.barrier(link, 120_000);
    t.deepEqual(pair.differences(link), []);
  },
);

test.serial(
  'QUE-04, QUE-11, SET-28: of two targets of a set, a slow one queues on disk and the other is current',
  async (t) => {
    const { pair, link: fast } = await open(t, '');
    const other = new AgentProcess({ root: path.join(pair.root, 'other-agent'), config: '[agent]\nname = "other"\n' });
    await other.start();
    t.teardown(() => other.stop());
    const slow = await connect(pair.source.client, other.client, {
      set: fast.set,
      saved: true,
      source: fast.source,
      target: pair.folder('second'),
      host: other.host,
      port: other.port,
      mirror: { kind: 'full' },
    });
    await pair.mirrored(slow);
    await other.client.request(m.ServerPauseTarget, {});
    await pair.until(slow, 'paused', (it) => it.statistics.targetStatus === 'Paused');
    write(fast, 'big', 100);
    await pair.barrier(fast, 120_000);
    t.deepEqual(pair.differences(fast), []);
    const behind = await pair.until(slow, 'queued on disk', (it) => it.statistics.diskQueueBytes > 40 * MIB);
    t.true(behind.statistics.intermediateQueueBytes <= 32 * MIB);
    t.is((await pair.item(fast)).statistics.targetDataState, 'OK');
    await other.client.request(m.ServerResumeTarget, {});
    await pair.barrier(slow, 120_000);
    t.deepEqual(pair.differences(slow), []);
    t.is((await said(pair, 'MIRROR_STARTED')).length, 2, 'the first ones only');
    t.deepEqual(await said(pair, 'QUEUE_FULL'), []);
  },
);

test.serial(
  'CON-71: disconnecting while much waits is answered at once, stops nobody else, and says what was dropped',
  async (t) => {
    const { pair, link } = await open(t, '');
    const folder = path.join(pair.source.root, 'state/queue', link.key);
    await pair.target.stop();
    write(link, 'big', 240);
    await pair.until(link, 'queued', (it) => queuedBytes(it) >= 240 * MIB && it.statistics.diskQueueBytes > 180 * MIB);
    // Somebody else looks all the time.
    let worst = 0;
    let looking = true;
    const looks = (async () => {
      for (; looking; await wait(5)) {
        const began = performance.now();
        await pair.source.client.request(m.LogRead, { last: 1 });
        worst = Math.max(worst, performance.now() - began);
      }
    })();
    const began = performance.now();
    await pair.source.client.request(m.ConnectionRemove, { id: (await pair.item(link)).id });
    const answered = performance.now() - began;
    await wait(1_000);
    looking = false;
    await looks;
    t.log(`answered after ${answered.toFixed(0)} ms; others waited ${worst.toFixed(0)} ms at most`);
    t.true(answered < 3_000, `${answered} ms`);
    t.true(worst < 3_000, `${worst} ms`);
    t.regex(
      await untilSaid(pair, 'CONNECTION_REMOVED'),
      /disconnected from \S+; 2[34]\d(\.\d)? MiB that waited for it were dropped/,
    );
    t.false(fs.existsSync(folder));
  },
);
