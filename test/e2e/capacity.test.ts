/**
 * What an agent holds in memory does not run away: many files, many connections (I8, DESIGN 13).
 *
 *   FILES=1000000  files of the set (default: a fiftieth). `npm run soak:capacity`
 *
 * The backlog of a long outage has its own test: outage.test.ts.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { ConnectionList } from '../../protocol/messages/index.js';
import { MIB, peakBytes, readCalls, residentBytes } from '../support/memory.js';
import { opened } from '../support/opened.js';
import type { Link, Pair } from '../support/pair.js';

const FILES = Number(process.env['FILES'] ?? 20_000);
const FILES_PER_DIRECTORY = 100;
const DIRECTORIES_PER_AREA = 100;
/** A million files and all else of the agent that has them: no more than 200 MB. */
const AGENT_BYTES = 95_000_000;
const BYTES_PER_FILE = 105;
/** After a restart: who the two are and where they stand, not what every file is. */
const QUESTIONS_BYTES = 100_000;

const CONNECTIONS = 32;
const QUEUE_MIB = 32;
const CHANGED_MIB = 3;
/**
 * What one connection may cost beside the queue that it shares with all others: a megabyte at rest; and when all are busy
 * at once, one that is read, one that is filled, one that is encrypted and one on its way, each.
 */
const CONNECTION_MIB = 10;

function fill(root: string, files: number): void {
  for (let first = 0; first < files; first += FILES_PER_DIRECTORY) {
    const number = first / FILES_PER_DIRECTORY;
    const area = Math.floor(number / DIRECTORIES_PER_AREA);
    const folder = path.join(root, `area${area}`, `directory${number % DIRECTORIES_PER_AREA}`);
    fs.mkdirSync(folder, { recursive: true });
    for (let file = first; file < Math.min(files, first + FILES_PER_DIRECTORY); file++)
      fs.writeFileSync(
        path.join(folder, `document-${String(file).padStart(7, '0')}.txt`),
        `contents of file ${file}\n`,
      );
  }
}

const inOrder = (pair: Pair, link: Link): Promise<unknown> =>
  pair.until(link, 'OK', ({ statistics }) => statistics.targetDataState === 'OK', 60_000 + FILES);

test.serial(
  `I8, DESIGN 8, DESIGN 13: ${FILES} files take their share of 200 MB a million, and a restart reads none of them`,
  async (t) => {
    const pair = await opened(t, { timeoutMs: 180_000 + FILES, root: fs.mkdtempSync('/var/tmp/understudy-capacity-') });
    const source = pair.folder('source');
    fill(source, FILES);
    const link = await pair.connect(source, pair.folder('target'));
    await pair.mirrored(link, 120_000 + FILES);
    await pair.barrier(link);
    const most = AGENT_BYTES + FILES * BYTES_PER_FILE;
    const mirrored = peakBytes(pair.source.pid);
    t.true(mirrored < most, `mirror: ${mirrored} bytes, not below ${most}`);
    await pair.source.stop();
    const began = Date.now();
    await pair.source.start();
    const started = readCalls(pair.source.pid);
    await inOrder(pair, link);
    const took = Date.now() - began;
    const again = peakBytes(pair.source.pid);
    const reads = readCalls(pair.source.pid) - started;
    t.true(again < most, `restart: ${again} bytes, not below ${most}`);
    t.true(reads < 1_000 + FILES / 10, `${reads} calls that read`);
    const { wireBytes } = await pair.item(link);
    t.true(wireBytes > 0 && wireBytes < QUESTIONS_BYTES, `${wireBytes} bytes on the wire`);
    t.log(
      `mirror at most ${(mirrored / MIB).toFixed(0)} MiB; restart ${(took / 1_000).toFixed(1)} s, ` +
        `${(again / MIB).toFixed(0)} MiB, ${reads} calls that read, ${wireBytes} bytes on the wire`,
    );
    t.deepEqual(pair.differences(link), []);
  },
);

test.serial(`I8, QUE-04: ${CONNECTIONS} connections share one queue, and cost little besides`, async (t) => {
  const root = fs.mkdtempSync('/var/tmp/understudy-capacity-');
  const config = `[source]\nguard_percent = 0\n[queue]\nmemory_mb = ${QUEUE_MIB}\n`;
  const pair = await opened(t, { timeoutMs: 240_000, root, config });
  const alone = residentBytes(pair.source.pid);
  const links: Link[] = [];
  for (let number = 0; number < CONNECTIONS; number++) {
    const source = pair.folder(`source${number}`);
    fill(source, FILES_PER_DIRECTORY);
    links.push(await pair.connect(source, pair.folder(`target${number}`)));
  }
  for (const link of links) await pair.mirrored(link);
  // The target takes nothing: everything waits, first in memory, and on disk what does not fit there.
  process.kill(pair.target.pid, 'SIGSTOP');
  try {
    for (let round = 0; round < CHANGED_MIB; round++)
      for (const { source } of links) fs.appendFileSync(path.join(source, 'changes'), randomBytes(MIB));
    const waits = CONNECTIONS * (CHANGED_MIB - 1) * MIB;
    for (const end = Date.now() + 60_000; ; await wait(100)) {
      const { connections } = await pair.source.client.request(ConnectionList, {});
      const held = connections.reduce((sum, it) => sum + it.statistics.queuedReplicationBytes, 0);
      if (held > waits) break;
      if (Date.now() > end) return t.fail(`${held} bytes wait, not ${waits}`);
    }
  } finally {
    process.kill(pair.target.pid, 'SIGCONT');
  }
  for (const link of links) await pair.barrier(link);
  const most = alone + (QUEUE_MIB + CONNECTIONS * CONNECTION_MIB) * MIB;
  const peak = peakBytes(pair.source.pid);
  t.log(
    `alone ${(alone / MIB).toFixed(0)} MiB, with ${CONNECTIONS} connections at most ${(peak / MIB).toFixed(0)} MiB`,
  );
  t.true(peak < most, `${peak} bytes, not below ${most}`);
  for (const link of links) t.deepEqual(pair.differences(link), []);
});
