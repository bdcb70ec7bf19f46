/** The statistics file on disk: a bounded ring, written block by block (SRV-74..76). Its format is in protocol/statistics-file.ts. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { StatisticRecord } from '../../protocol/messages/statistics.js';
import {
  type BlockSource,
  blocksOf,
  encodeRecord,
  headerProblem,
  readStatistics,
  STATISTICS_BLOCK_BYTES,
  StatisticsBlock,
  type StatisticsQuery,
  type StatisticsRead,
  statisticsHeader,
} from '../../protocol/statistics-file.js';
import type { StatisticsStore } from '../ports/statistics-store.js';

interface Open {
  readonly handle: FileHandle;
  block: StatisticsBlock | null;
  /** Where the block lies. */
  index: number;
  last: number;
}

export class StatisticsFile implements StatisticsStore {
  readonly #blocksMax: number;
  #open: Open | null = null;
  /** One write after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  /** @param onForeign something else lies at the path; it was moved to `kept` */
  constructor(
    readonly file: string,
    lengthMax: number,
    readonly onForeign: (kept: string) => void,
  ) {
    this.#blocksMax = Math.max(3, Math.floor(lengthMax / STATISTICS_BLOCK_BYTES));
  }

  append(records: readonly Omit<StatisticRecord, 'sequence'>[]): Promise<void> {
    return this.#inTurn(async () => {
      if (records.length === 0) return;
      try {
        this.#open ??= await this.#prepare();
        await this.#write(this.#open, records);
      } catch (error) {
        // What reached the disk is not known: the next write looks at the file again.
        await this.#release();
        throw error;
      }
    });
  }

  async read(query: StatisticsQuery): Promise<StatisticsRead> {
    let handle: FileHandle;
    try {
      handle = await open(this.file, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { records: [], more: false, unreadable: 0 };
      throw error;
    }
    try {
      return await readStatistics(await sourceOf(handle), query);
    } finally {
      await handle.close();
    }
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#release());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  async #release(): Promise<void> {
    const { handle } = this.#open ?? {};
    this.#open = null;
    await handle?.close().catch(() => undefined);
  }

  async #write(at: Open, records: readonly Omit<StatisticRecord, 'sequence'>[]): Promise<void> {
    let from = at.block?.end ?? 0;
    for (const record of records) {
      const sequence = at.last + 1;
      const payload = encodeRecord({ ...record, sequence });
      if (!at.block?.add(payload)) {
        if (at.block) await this.#put(at, from);
        const next = at.index + 1 < this.#blocksMax ? at.index + 1 : 1;
        at.block = new StatisticsBlock((at.block?.generation ?? 0) + 1, sequence);
        at.index = next;
        from = 0;
        if (!at.block.add(payload)) throw new Error('a record does not fit into an empty block');
      }
      at.last = sequence;
    }
    await this.#put(at, from);
    await at.handle.datasync();
  }

  /** A new block is written whole, so that nothing of its former use is left; later only what was added. */
  async #put(at: Open, from: number): Promise<void> {
    if (!at.block) return;
    const end = from === 0 ? STATISTICS_BLOCK_BYTES : at.block.end;
    const start = at.index * STATISTICS_BLOCK_BYTES;
    for (let done = from; done < end; ) {
      const { bytesWritten } = await at.handle.write(at.block.bytes, done, end - done, start + done);
      done += bytesWritten;
    }
  }

  async #prepare(): Promise<Open> {
    await mkdir(dirname(this.file), { recursive: true, mode: 0o750 });
    let handle = await this.#openOrMake();
    try {
      const source = await sourceOf(handle);
      let blocks = await blocksOf(source);
      if (source.size > this.#blocksMax * STATISTICS_BLOCK_BYTES) {
        handle = await this.#shrink(handle, source, blocks);
        blocks = await blocksOf(await sourceOf(handle));
      }
      const newest = blocks.at(-1);
      if (!newest) return { handle, block: null, index: 0, last: 0 };
      const bytes = await (await sourceOf(handle)).read(newest.index * STATISTICS_BLOCK_BYTES, STATISTICS_BLOCK_BYTES);
      return { handle, index: newest.index, ...StatisticsBlock.resume(bytes, newest) };
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
  }

  async #openOrMake(): Promise<FileHandle> {
    try {
      const handle = await open(this.file, 'r+');
      const source = await sourceOf(handle);
      const begin = await source.read(0, STATISTICS_BLOCK_BYTES);
      if (!headerProblem(begin)) return handle;
      await handle.close();
      // Empty or cut within its header: killed while it was made, and nothing is lost.
      const cut = statisticsHeader().subarray(0, begin.length).equals(begin);
      if (!cut) {
        const kept = `${this.file}.${randomBytes(4).toString('hex')}.kept`;
        await rename(this.file, kept);
        this.onForeign(kept);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    return this.#replace(async () => undefined);
  }

  /** The length was lowered: the newest blocks that fit go into a new file. */
  async #shrink(
    old: FileHandle,
    source: BlockSource,
    blocks: readonly { readonly index: number }[],
  ): Promise<FileHandle> {
    const handle = await this.#replace(async (shorter) => {
      let index = 1;
      for (const block of blocks.slice(-(this.#blocksMax - 1))) {
        const bytes = await source.read(block.index * STATISTICS_BLOCK_BYTES, STATISTICS_BLOCK_BYTES);
        await shorter.write(bytes, 0, STATISTICS_BLOCK_BYTES, index++ * STATISTICS_BLOCK_BYTES);
      }
    });
    await old.close();
    return handle;
  }

  /** A new file takes the place whole: whoever reads meanwhile never sees one without its header. */
  async #replace(fill: (handle: FileHandle) => Promise<void>): Promise<FileHandle> {
    const temporary = `${this.file}.${randomBytes(4).toString('hex')}.tmp`;
    const handle = await open(temporary, 'wx+', 0o640);
    try {
      await handle.write(statisticsHeader(), 0, STATISTICS_BLOCK_BYTES, 0);
      await fill(handle);
      await handle.datasync();
      await rename(temporary, this.file);
      return handle;
    } catch (error) {
      await handle.close().catch(() => undefined);
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }
}

async function sourceOf(handle: FileHandle): Promise<BlockSource> {
  const { size } = await handle.stat();
  return {
    size,
    async read(offset, length) {
      const buffer = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
      let done = 0;
      while (done < buffer.length) {
        const { bytesRead } = await handle.read(buffer, done, buffer.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return buffer.subarray(0, done);
    },
  };
}
