/**
 * The statistics file (LOG-07, SRV-74..76): a ring of blocks whose oldest is overwritten. The agent writes it, `understudy
 * stats --file` reads a copy of it anywhere.
 *
 * Block 0 is the header. Every other block has a generation, one higher than the block before it, and records that follow
 * each other. A record's check sum covers the generation, so what an older use of the block left behind is never read, and
 * a torn record ends its block. All numbers are little-endian.
 */
import { crc32 } from 'node:zlib';
import { decode, encode } from './codec.js';
import { STATISTIC_COLUMNS, StatisticRecord, type Statistics } from './messages/statistics.js';

export const STATISTICS_BLOCK_BYTES = 4_096;
const MAGIC = Buffer.from('USSTAT\r\n', 'latin1');
const FORMAT = 1;
/** check sum, generation, first record's number. */
const BLOCK_HEAD_BYTES = 4 + 8 + 8;
/** length, check sum. */
const RECORD_HEAD_BYTES = 2 + 4;
const PAYLOAD_BYTES_MAX = STATISTICS_BLOCK_BYTES - BLOCK_HEAD_BYTES - RECORD_HEAD_BYTES;
const PAYLOAD_VERSION = 1;
/** UTF-16 units kept of each text, so that any record fits into a block. */
const TEXT_LENGTH_MAX = 200;
const PATH_LENGTH_KEPT = 400;

export function statisticsHeader(): Buffer {
  const block = Buffer.alloc(STATISTICS_BLOCK_BYTES);
  MAGIC.copy(block);
  block.writeUInt16LE(FORMAT, 8);
  block.writeUInt16LE(STATISTICS_BLOCK_BYTES, 10);
  block.writeUInt32LE(crc32(block.subarray(0, 12)), 12);
  return block;
}

/** What is wrong with the first bytes of a file; null when it is a statistics file. */
export function headerProblem(bytes: Uint8Array): string | null {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.length < 16 || !head.subarray(0, 8).equals(MAGIC)) return 'it does not begin as one';
  if (head.readUInt32LE(12) !== crc32(head.subarray(0, 12))) return 'its header is damaged';
  if (head.readUInt16LE(8) !== FORMAT) return `its format ${head.readUInt16LE(8)} is newer than this release`;
  return head.readUInt16LE(10) === STATISTICS_BLOCK_BYTES ? null : 'its blocks have another size';
}

export interface BlockHead {
  readonly generation: number;
  /** Number of its first record. */
  readonly first: number;
}

export function readBlockHead(block: Uint8Array): BlockHead | null {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  if (bytes.length < BLOCK_HEAD_BYTES) return null;
  if (bytes.readUInt32LE(0) !== crc32(bytes.subarray(4, BLOCK_HEAD_BYTES))) return null;
  const generation = Number(bytes.readBigUInt64LE(4));
  return generation === 0 ? null : { generation, first: Number(bytes.readBigUInt64LE(12)) };
}

const checkSum = (generation: number, payload: Uint8Array): number => {
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(generation));
  return crc32(payload, crc32(head));
};

/** A block under construction: what is in memory is what the file shall hold. */
export class StatisticsBlock {
  readonly bytes = Buffer.alloc(STATISTICS_BLOCK_BYTES);
  end = BLOCK_HEAD_BYTES;

  constructor(
    readonly generation: number,
    first: number,
  ) {
    this.bytes.writeBigUInt64LE(BigInt(generation), 4);
    this.bytes.writeBigUInt64LE(BigInt(first), 12);
    this.bytes.writeUInt32LE(crc32(this.bytes.subarray(4, BLOCK_HEAD_BYTES)), 0);
  }

  /** Goes on with a block from a file, after its last whole record. */
  static resume(block: Uint8Array, head: BlockHead): { readonly block: StatisticsBlock; readonly last: number } {
    const resumed = new StatisticsBlock(head.generation, head.first);
    const { records, end } = readBlock(block, head);
    Buffer.from(block.buffer, block.byteOffset, end).copy(resumed.bytes);
    resumed.end = end;
    return { block: resumed, last: records.at(-1)?.sequence ?? head.first - 1 };
  }

  /** False when it does not fit any more. */
  add(payload: Uint8Array): boolean {
    if (this.end + RECORD_HEAD_BYTES + payload.length > STATISTICS_BLOCK_BYTES) return false;
    this.bytes.writeUInt16LE(payload.length, this.end);
    this.bytes.writeUInt32LE(checkSum(this.generation, payload), this.end + 2);
    this.bytes.set(payload, this.end + RECORD_HEAD_BYTES);
    this.end += RECORD_HEAD_BYTES + payload.length;
    return true;
  }
}

export interface BlockContents {
  readonly records: StatisticRecord[];
  /** Where the last whole record ends. */
  readonly end: number;
  /** Whole records that this release cannot read. */
  readonly unreadable: number;
}

export function readBlock(block: Uint8Array, head: BlockHead): BlockContents {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const records: StatisticRecord[] = [];
  let unreadable = 0;
  let at = BLOCK_HEAD_BYTES;
  while (at + RECORD_HEAD_BYTES <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    const payload = bytes.subarray(at + RECORD_HEAD_BYTES, at + RECORD_HEAD_BYTES + length);
    if (length === 0 || payload.length !== length) break;
    if (bytes.readUInt32LE(at + 2) !== checkSum(head.generation, payload)) break;
    const record = decodeRecord(payload);
    if (record) records.push(record);
    else unreadable += 1;
    at += RECORD_HEAD_BYTES + length;
  }
  return { records, end: at, unreadable };
}

const head = (text: string): string => text.slice(0, TEXT_LENGTH_MAX);

/** A record as it lies in the file: an array, so that 26 names are not written each time. New values are appended. */
export function encodeRecord(record: StatisticRecord): Buffer {
  const { statistics } = record;
  const values = STATISTIC_COLUMNS.map((column) => {
    const value = statistics[column.field];
    // The end of a path says more than its beginning.
    if (column.field === 'lastFileTouched') return String(value).slice(-PATH_LENGTH_KEPT);
    return typeof value === 'string' ? head(value) : value;
  });
  const payload = encode([
    PAYLOAD_VERSION,
    record.sequence,
    record.at,
    head(record.key),
    record.latencyMs,
    record.wireBytes,
    record.quarantined,
    statistics.mirrorPercent,
    values,
  ]);
  if (payload.length > PAYLOAD_BYTES_MAX) throw new Error(`a statistics record has ${payload.length} bytes`);
  return payload;
}

/** Null for a record this release cannot read. */
export function decodeRecord(payload: Uint8Array): StatisticRecord | null {
  let value: unknown;
  try {
    value = decode(payload);
  } catch {
    return null;
  }
  if (!Array.isArray(value) || value[0] !== PAYLOAD_VERSION || !Array.isArray(value[8])) return null;
  const [, sequence, at, key, latencyMs, wireBytes, quarantined, mirrorPercent, values] = value as unknown[];
  const statistics: Partial<Record<keyof Statistics, unknown>> = { mirrorPercent };
  STATISTIC_COLUMNS.forEach((column, index) => {
    const given = (values as unknown[])[index];
    // A column that the writer did not know yet.
    statistics[column.field] =
      given === undefined ? (column.kind === 'text' ? '' : column.kind === 'time' ? null : 0) : given;
  });
  const read = StatisticRecord.safeParse({ sequence, at, key, latencyMs, wireBytes, quarantined, statistics });
  return read.success ? read.data : null;
}

/** A file as far as reading needs it. */
export interface BlockSource {
  readonly size: number;
  /** Bytes from an offset; fewer at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export interface StatisticsQuery {
  /** Only records with a higher number. */
  readonly after?: number | undefined;
  /** Only records of this time and later. */
  readonly since?: number | undefined;
  /** Only this connection, by its permanent key. */
  readonly key?: string | undefined;
  /** Only this connection ID, as it was then (CON-01). */
  readonly id?: number | undefined;
  readonly limit: number;
}

export interface StatisticsRead {
  readonly records: StatisticRecord[];
  /** There are more after the last one. */
  readonly more: boolean;
  readonly unreadable: number;
}

const CHUNK_BLOCKS = 64;

/** Generation and place of every block that holds records, oldest first. */
export async function blocksOf(source: BlockSource): Promise<(BlockHead & { readonly index: number })[]> {
  const found: (BlockHead & { index: number })[] = [];
  const count = Math.floor(source.size / STATISTICS_BLOCK_BYTES);
  for (let from = 1; from < count; from += CHUNK_BLOCKS) {
    const bytes = await source.read(from * STATISTICS_BLOCK_BYTES, CHUNK_BLOCKS * STATISTICS_BLOCK_BYTES);
    for (let at = 0; at + STATISTICS_BLOCK_BYTES <= bytes.length; at += STATISTICS_BLOCK_BYTES) {
      const read = readBlockHead(bytes.subarray(at, at + STATISTICS_BLOCK_BYTES));
      if (read) found.push({ ...read, index: from + at / STATISTICS_BLOCK_BYTES });
    }
  }
  return found.sort((a, b) => a.generation - b.generation);
}

/**
 * Records in the order they were written. Gives way to others after each block, so that an agent can read its own file
 * while it works.
 * @throws Error with the problem when it is no statistics file
 */
export async function readStatistics(source: BlockSource, query: StatisticsQuery): Promise<StatisticsRead> {
  const problem = headerProblem(await source.read(0, STATISTICS_BLOCK_BYTES));
  if (problem) throw new Error(problem);
  const blocks = await blocksOf(source);
  const { after = 0, since, key, id, limit } = query;
  // Numbers only grow: the last block that begins at or before the wanted one is the first to be looked at.
  let start = 0;
  blocks.forEach((block, index) => {
    if (block.first <= after + 1) start = index;
  });
  const records: StatisticRecord[] = [];
  let unreadable = 0;
  for (const block of blocks.slice(start)) {
    const bytes = await source.read(block.index * STATISTICS_BLOCK_BYTES, STATISTICS_BLOCK_BYTES);
    // Overwritten since it was found: newer records are there now, and they are not next.
    if (readBlockHead(bytes)?.generation !== block.generation) continue;
    const contents = readBlock(bytes, block);
    unreadable += contents.unreadable;
    for (const record of contents.records) {
      if (record.sequence <= after || (since !== undefined && record.at < since)) continue;
      if (key !== undefined && record.key !== key) continue;
      if (id !== undefined && record.statistics.connectionId !== id) continue;
      if (records.length >= limit) return { records, more: true, unreadable };
      records.push(record);
    }
  }
  return { records, more: false, unreadable };
}
