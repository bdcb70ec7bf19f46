/**
 * A target loses its power: replica and state of its agent lie on a file system of their own that loses what was not
 * written back, and the agent comes up with another boot ID. What crossed the wire is counted at the interface.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { native } from '../../native/index.js';
import { OrphansStart, SettingsSet } from '../../protocol/messages/index.js';
import { Disk } from '../support/chaos/disk.js';
import { Story } from '../support/chaos/story.js';
import { Namespaces } from '../support/namespaces.js';
import { type Link, Pair } from '../support/pair.js';

const root = process.getuid?.() === 0;
const why = root ? '' : ' (needs root for namespaces and a file system)';
const run = root ? test.serial : test.serial.skip;

const FOLDERS = 20;
const SMALL_EACH = 100;
const LARGE = 20;
const LARGE_BYTES = 5 << 20;
const DISK_MB = 768;
const MB = 1 << 20;
/** Until a repair has to be over, on a busy machine, too. */
const PATIENCE_MS = 120_000;

class Place {
  readonly story: Story;
  #boots = 0;

  private constructor(
    readonly net: Namespaces,
    readonly disk: Disk,
    readonly bootId: string,
    readonly pair: Pair,
    readonly link: Link,
    /** Bytes of all files. */
    readonly bytes: number,
  ) {
    this.story = new Story(pair);
  }

  static async open(t: ExecutionContext): Promise<Place> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'understudy-power-'));
    const net = Namespaces.open();
    // All of the target's agent: its state, and the replica in it.
    const disk = new Disk(path.join(folder, 'target-agent'), DISK_MB);
    const bootId = path.join(folder, 'boot-id');
    let pair: Pair | null = null;
    t.teardown(async () => {
      await Promise.all([pair?.source.stop('SIGKILL'), pair?.target.stop('SIGKILL')]);
      disk.close();
      fs.rmSync(folder, { recursive: true, force: true });
      await net.close();
    });
    fs.writeFileSync(bootId, 'first\n');
    const places = {
      source: { namespace: net.source, host: net.sourceAddress, port: 1500 },
      target: { namespace: net.target, host: net.targetAddress, port: 1500 },
    };
    pair = await Pair.open({ root: folder, places, targetBootId: bootId });
    const source = pair.folder('source');
    const bytes = fill(source);
    const replica = path.join(disk.folder, 'replica');
    fs.mkdirSync(replica);
    const link = await pair.connect(source, replica);
    await pair.mirrored(link);
    const place = new Place(net, disk, bootId, pair, link, bytes);
    await place.durable();
    return place;
  }

  /** Everything is on stable storage there, and nothing waits. */
  async durable(): Promise<void> {
    await this.pair.barrier(this.link);
    await this.pair.until(this.link, 'durable', (it) => it.durable === it.sequence && it.latencyMs === 0);
  }

  /** The machine of the target is dead at once; `then` happens to its disk before it comes back. */
  async loseDisk(then: () => void = () => undefined): Promise<void> {
    await this.pair.target.stop('SIGKILL');
    this.disk.cutPower();
    if (!this.disk.unmount()) throw new Error('somebody holds the disk of the target');
    then();
    this.disk.mount();
  }

  /** @param booted the machine was started anew */
  async comeBack(booted = true): Promise<void> {
    if (booted) fs.writeFileSync(this.bootId, `boot ${++this.#boots}\n`);
    await this.pair.target.start();
  }

  /** Waits until `OK` is said; in that moment the trees are equal but for `orphans` (I3). Returns the bytes on the wire. */
  async repaired(t: ExecutionContext, before: Traffic, orphans: readonly string[] = []): Promise<number> {
    for (const end = Date.now() + PATIENCE_MS; ; await wait(5)) {
      const item = await this.pair.item(this.link);
      if (item.statistics.targetDataState === 'OK' && item.latencyMs === 0) break;
      if (Date.now() > end) throw new Error(`not repaired: ${JSON.stringify(item)}`);
    }
    const only = orphans.map((name) => `${name}: only on the right`).sort();
    t.deepEqual(this.pair.differences(this.link).sort(), only, 'OK was said');
    await this.pair.barrier(this.link);
    t.deepEqual(this.pair.differences(this.link).sort(), only, 'and is true');
    const now = this.net.bytes();
    return now.sent + now.received - before.sent - before.received;
  }
}

type Traffic = ReturnType<Namespaces['bytes']>;

function fill(folder: string): number {
  let bytes = 0;
  const write = (name: string, size: number): void => {
    fs.writeFileSync(path.join(folder, name), randomBytes(size));
    bytes += size;
  };
  for (let i = 0; i < FOLDERS; i++) {
    fs.mkdirSync(path.join(folder, `d${i}`));
    for (let j = 0; j < SMALL_EACH; j++) write(`d${i}/f${j}`, 1_000 + ((i * 7919 + j * 104_729) % 60_000));
  }
  for (let i = 0; i < LARGE; i++) write(`large-${i}`, LARGE_BYTES);
  return bytes;
}

/**
 * A little of everything. Returns the bytes that a repair may have to send: of large files the blocks, and of what has
 * another name all of it, because a target that lost the move holds it under the old one, which nobody trusts.
 */
function touch(folder: string, turn: number): number {
  let bytes = 0;
  const at = (name: string): string => path.join(folder, name);
  const write = (name: string, size: number): void => {
    fs.writeFileSync(at(name), randomBytes(size));
    bytes += size;
  };
  for (let i = 0; i < 5; i++) write(`d${turn}/f${i}`, 30_000);
  for (let i = 0; i < 5; i++) write(`d${turn}/new-${turn}-${i}`, 50_000);
  fs.mkdirSync(at(`made-${turn}`));
  write(`made-${turn}/inside`, 20_000);
  const large = fs.openSync(at(`large-${turn}`), 'r+');
  for (let i = 0; i < 10; i++) {
    fs.writeSync(large, randomBytes(4_096), 0, 4_096, (i * 100 + turn) * 4_096);
    bytes += 4_096;
  }
  fs.closeSync(large);
  fs.appendFileSync(at(`large-${turn + 1}`), randomBytes(10_000));
  bytes += 10_000;
  for (let i = 10; i < 13; i++) fs.rmSync(at(`d${turn}/f${i}`));
  for (let i = 13; i < 16; i++) {
    fs.renameSync(at(`d${turn}/f${i}`), at(`d${turn}/moved-${i}`));
    bytes += fs.statSync(at(`d${turn}/moved-${i}`)).size;
  }
  fs.renameSync(at(`d${turn + 1}`), at(`away-${turn}`));
  for (const name of fs.readdirSync(at(`away-${turn}`))) bytes += fs.statSync(at(`away-${turn}/${name}`)).size;
  fs.chmodSync(at(`d${turn}/f20`), 0o600);
  fs.utimesSync(at(`d${turn}/f21`), 1_000_000, 1_000_000);
  return bytes;
}

/** What a turn has touched, and nobody since, is there as it is on the source: no agent has run yet (I2). */
function kept(t: ExecutionContext, { link }: Place, turn: number): void {
  for (const name of [`d${turn}`, `made-${turn}`, `away-${turn}`]) {
    const [here, there] = [link.source, link.target].map((folder) => path.join(folder, name)) as [string, string];
    t.deepEqual(native().compareTrees(here, there, 20).differences, [], name);
  }
  for (const name of [`large-${turn}`, `large-${turn + 1}`]) {
    const [here, there] = [link.source, link.target].map((folder) => fs.readFileSync(path.join(folder, name)));
    t.true(here?.equals(there as Buffer), name);
  }
  t.false(fs.existsSync(path.join(link.target, `d${turn + 1}`)));
}

run(
  `I1, I2, I3, DESIGN 8: a target that loses its power keeps what was acknowledged, and of 2,000 files those touched since are sent${why}`,
  async (t) => {
    t.timeout(300_000);
    const place = await Place.open(t);
    t.true(place.bytes > 150 * MB, `${place.bytes} bytes`);
    touch(place.link.source, 0);
    await place.durable();
    const touched = touch(place.link.source, 4);
    // Applied there, in the memory of its kernel; whether any of it is on the disk, nobody knows.
    await place.pair.until(place.link, 'applied', (it) => it.applied === it.sequence && it.statistics.queuedOps === 0);
    await place.loseDisk();
    kept(t, place, 0);
    const before = place.net.bytes();
    const mark = place.story.mark();
    await place.comeBack();
    const bytes = await place.repaired(t, before);
    t.log(`${place.bytes} bytes in all, ${touched} touched, ${bytes} on the wire`);
    t.true(bytes < touched * 1.25 + MB / 2, `${bytes} bytes for ${touched}`);
    t.is(place.story.toldSince(mark, { on: 'source', codes: ['MIRROR_STARTED', 'STREAM_BROKEN'] }), null, 'no mirror');
    // A second loss, in the middle of nothing, costs next to nothing.
    await place.durable();
    await place.loseDisk();
    t.deepEqual(place.pair.differences(place.link), [], 'what was repaired is durable as well');
    const again = place.net.bytes();
    await place.comeBack();
    const idle = await place.repaired(t, again);
    t.log(`${idle} bytes on the wire when nothing was touched`);
    t.true(idle < MB / 4, `${idle} bytes`);
  },
);

for (const [what, booted] of [
  ['a disk that lied, or a virtual machine that was rolled back', true],
  ['a volume that was rolled back under a machine that lives on', false],
] as const)
  run(
    `I2, I3, MIR-31, MIR-32: a target that lacks what it had made durable is found out, and made equal but for orphans: ${what}${why}`,
    async (t) => {
      t.timeout(300_000);
      const place = await Place.open(t);
      const copy = place.disk.copy();
      let touched = touch(place.link.source, 0);
      await place.durable();
      touched += touch(place.link.source, 4);
      await place.durable();
      await place.loseDisk(() => place.disk.rollBack(copy));
      const before = place.net.bytes();
      const mark = place.story.mark();
      await place.comeBack(booted);
      // Names that were removed came back with the disk. They look like anybody's, and no mirror removes those.
      const orphans = [0, 4].flatMap((turn) => [
        `d${turn + 1}`,
        ...[10, 11, 12, 13, 14, 15].map((file) => `d${turn}/f${file}`),
      ]);
      const bytes = await place.repaired(t, before, orphans);
      t.log(`${place.bytes} bytes in all, ${touched} touched, ${bytes} on the wire`);
      t.true(bytes < touched * 1.25 + MB, `${bytes} bytes for ${touched}`);
      const since = place.story.lines('source').slice(mark.source).join('\n');
      t.regex(since, /the target lacks what it had made durable: its disk was rolled back/);
      const [, sent = 'nothing'] = /mirror finished: .* in .*, ([\d.]+) MiB sent, .*, 14 orphans/.exec(since) ?? [];
      t.true(Number(sent) * MB <= bytes, `the log says ${sent} MiB, of this mirror alone`);
      await place.pair.target.client.request(SettingsSet, { changes: [{ key: 'orphans.action', value: 'delete' }] });
      await place.pair.source.client.request(OrphansStart, { id: 1, preview: false });
      t.deepEqual(place.pair.differences(place.link), []);
    },
  );
