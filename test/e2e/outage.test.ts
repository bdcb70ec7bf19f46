/**
 * The cable is pulled while much changes: what happened meanwhile waits in the queue, in memory and on disk, and follows
 * without a mirror once the line is back (QUE-01, QUE-04, I2).
 *
 *   SECONDS=60  how long (default: 6, at the same rate)
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { LogRead } from '../../protocol/messages/index.js';
import { cpuMs, MIB, residentBytes } from '../support/memory.js';
import { Namespaces } from '../support/namespaces.js';
import { opened } from '../support/opened.js';

const SECONDS = Number(process.env['SECONDS'] ?? 6);
const MIB_PER_SECOND = 50;
const FILES = 40;
/** Of the source agent, with all that waits: the budget of its queue and what it needs besides. */
const MEMORY_MAX = 420 * MIB;
/** Of one processor while the cable is out: what changes is noted, nothing turns in circles. */
const CPU_MAX = 0.6;
const root = process.getuid?.() === 0;

(root ? test.serial : test.serial.skip)(
  `QUE-01, QUE-04, I2: ${MIB_PER_SECOND} MB/s change while the cable is out, and follow without a mirror${root ? '' : ' (needs root for namespaces)'}`,
  async (t) => {
    const wire = Namespaces.open({ exact: false });
    const port = 1500;
    const pair = await opened(t, {
      timeoutMs: 240_000 + SECONDS * 10_000,
      root: fs.mkdtempSync('/var/tmp/understudy-outage-'),
      places: {
        source: { namespace: wire.source, host: wire.sourceAddress, port },
        target: { namespace: wire.target, host: wire.targetAddress, port },
      },
    });
    t.teardown(() => wire.close());
    const source = pair.folder('source');
    const link = await pair.connect(source, pair.folder('target'));
    await pair.mirrored(link);
    const mirrors = async (): Promise<number> =>
      (await pair.source.client.request(LogRead, {})).lines.filter(({ notice }) => notice.code === 'MIRROR_STARTED')
        .length;
    t.is(await mirrors(), 1);

    const cable = (state: 'up' | 'down'): void =>
      void execFileSync('ip', ['-n', wire.target, 'link', 'set', 'dev', 'wire0', state]);
    cable('down');
    const began = Date.now();
    const cpuBefore = cpuMs(pair.source.pid);
    const block = randomBytes(MIB);
    let memory = 0;
    for (let written = 0; written < SECONDS * MIB_PER_SECOND; written += 1) {
      block.writeUInt32LE(written, 0);
      const file = fs.openSync(path.join(source, `file${written % FILES}`), 'a');
      fs.writeSync(file, block);
      fs.closeSync(file);
      memory = Math.max(memory, residentBytes(pair.source.pid));
      await wait(Math.max(0, began + ((written + 1) * 1_000) / MIB_PER_SECOND - Date.now()));
    }
    const cpu = (cpuMs(pair.source.pid) - cpuBefore) / (Date.now() - began);
    const rate = (SECONDS * MIB_PER_SECOND * 1_000) / (Date.now() - began);
    const { statistics } = await pair.until(link, 'not current', (it) => it.statistics.targetDataState !== 'OK');
    cable('up');
    const back = Date.now();
    await pair.barrier(link, 120_000 + SECONDS * 5_000);
    t.log(
      `${rate.toFixed(0)} MiB/s for ${SECONDS} s; ${(statistics.queuedReplicationBytes / MIB).toFixed(0)} MiB waited, ` +
        `source ${(memory / MIB).toFixed(0)} MiB and ${(cpu * 100).toFixed(0)} % of a processor; durable ${((Date.now() - back) / 1_000).toFixed(1)} s after the cable was in`,
    );
    t.deepEqual(pair.differences(link), []);
    t.is(await mirrors(), 1, 'nothing was mirrored again');
    t.true(memory < MEMORY_MAX, `${memory} bytes`);
    t.true(cpu < CPU_MAX, `${cpu.toFixed(2)} of a processor, only to wait`);
  },
);
