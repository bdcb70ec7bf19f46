/**
 * Changes whose state on a replica can be judged without looking at the source: everything carries a number that only
 * grows. What was there when a barrier was asked, or something newer of the same name, is on the target ever after the
 * barrier was acknowledged (I2).
 */
import fs from 'node:fs';
import path from 'node:path';

const LINE = 64;
const BLOCK = 4_096;
const BLOCKS = 1_024;
const BLOCKS_EACH = 2;
/** Steps a small file stays. */
const KEPT = 150;
const LINK_EVERY = 10;
const LINK_KEPT = 100;
const MOVE_EVERY = 25;
const MOVED_FILES = 10;
const TOLD_MAX = 8;

/** What had happened at one moment. */
export interface Seen {
  readonly steps: number;
  /** Number of the step that wrote each block of the large file. */
  readonly blocks: Uint32Array;
}

/** Length and first byte differ from step to step. */
const content = (step: number): string => `small file ${step}\n`.repeat(1 + ((step * 37) % 120));
const line = (step: number): string => `${String(step).padStart(10)} ${'.'.repeat(LINE - 12)}\n`;

export class Witness {
  #steps = 0;
  readonly #blocks = new Uint32Array(BLOCKS);
  #log = '';

  /** @param folder empty, on the source @param random whole numbers below its argument */
  constructor(
    readonly folder: string,
    readonly random: (below: number) => number,
  ) {
    for (const name of ['small', 'moved-0']) fs.mkdirSync(path.join(folder, name), { recursive: true });
    for (let i = 0; i < MOVED_FILES; i++) fs.writeFileSync(path.join(folder, 'moved-0', `${i}`), content(i));
    fs.writeFileSync(path.join(folder, 'large'), Buffer.alloc(BLOCK * BLOCKS));
    fs.writeFileSync(path.join(folder, 'log'), '');
    this.step();
  }

  seen(): Seen {
    return { steps: this.#steps, blocks: this.#blocks.slice() };
  }

  /** A little of everything: a small file made and an old one removed, a log that grows, blocks of a large file, names. */
  step(): void {
    const step = this.#steps + 1;
    const at = (name: string): string => path.join(this.folder, name);
    fs.writeFileSync(at(`small/${step}`), content(step));
    if (step > KEPT) fs.rmSync(at(`small/${step - KEPT}`));
    this.#log += line(step);
    fs.appendFileSync(at('log'), line(step));
    const large = fs.openSync(at('large'), 'r+');
    const block = Buffer.alloc(BLOCK, step % 251);
    block.writeUInt32LE(step);
    for (let i = 0; i < BLOCKS_EACH; i++) {
      const which = this.random(BLOCKS);
      fs.writeSync(large, block, 0, BLOCK, which * BLOCK);
      this.#blocks[which] = step;
    }
    fs.closeSync(large);
    fs.writeFileSync(at('latest.new'), `${step}`);
    fs.renameSync(at('latest.new'), at('latest'));
    if (step % LINK_EVERY === 0) {
      fs.linkSync(at(`small/${step}`), at(`link-${step}`));
      if (step > LINK_KEPT) fs.rmSync(at(`link-${step - LINK_KEPT}`));
    }
    if (step % MOVE_EVERY === 0) fs.renameSync(at(`moved-${step / MOVE_EVERY - 1}`), at(`moved-${step / MOVE_EVERY}`));
    this.#steps = step;
  }

  /** What a replica lacks of a moment that was acknowledged. Runs without a pause, so the source stands still. */
  missing(replica: string, acknowledged: Seen): string[] {
    const found: string[] = [];
    const wrong = (text: string): void => void (found.length < TOLD_MAX && found.push(text));
    const at = (name: string): string => path.join(replica, name);
    const then = acknowledged.steps;
    const now = this.#steps;

    for (let step = Math.max(1, then - KEPT + 1, now - KEPT + 1); step <= then; step++) {
      const text = read(at(`small/${step}`));
      if (text !== content(step))
        wrong(`small/${step} ${text === null ? 'is missing' : `has ${text.length} of ${content(step).length} bytes`}`);
    }
    for (const name of list(at('small')) ?? [])
      if (Number(name) <= then - KEPT)
        wrong(`small/${name} was removed, and is there: ${JSON.stringify(read(at(`small/${name}`))?.slice(0, 20))}`);

    const log = read(at('log')) ?? '';
    if (!log.startsWith(this.#log.slice(0, then * LINE)))
      wrong(`log has ${log.length} bytes, or others, of ${then * LINE}`);

    const large = fs.existsSync(at('large')) ? fs.readFileSync(at('large')) : Buffer.alloc(0);
    for (let which = 0; which < BLOCKS; which++) {
      const least = acknowledged.blocks[which] ?? 0;
      const version = large.length >= (which + 1) * BLOCK ? large.readUInt32LE(which * BLOCK) : -1;
      if (version < least) wrong(`block ${which} of large is of step ${version}, not ${least} or later`);
    }

    const latest = Number(read(at('latest')) ?? -1);
    if (!(latest >= then && latest <= now)) wrong(`latest is ${latest}, not ${then} to ${now}`);

    for (let step = LINK_EVERY; step <= then; step += LINK_EVERY)
      if (step > now - LINK_KEPT && step > now - KEPT && read(at(`link-${step}`)) !== content(step))
        wrong(`link-${step} is missing or another`);
    const moves = Math.floor(then / MOVE_EVERY);
    for (const name of list(replica) ?? []) {
      const [, kind, number] = /^(link|moved)-(\d+)$/.exec(name) ?? [];
      if (kind === 'link' && Number(number) <= then - LINK_KEPT) wrong(`${name} was removed, and is there`);
      if (kind === 'moved' && Number(number) < moves) wrong(`${name} was moved, and is there`);
    }
    if (moves === Math.floor(now / MOVE_EVERY)) {
      const names = list(at(`moved-${moves}`));
      if (names?.length !== MOVED_FILES) wrong(`moved-${moves} holds ${names?.length ?? 'nothing, it is missing'}`);
    }
    return found;
  }
}

function read(file: string): string | null {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return null;
  }
}

function list(folder: string): string[] | null {
  try {
    return fs.readdirSync(folder);
  } catch {
    return null;
  }
}
