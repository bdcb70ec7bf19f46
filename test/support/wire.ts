/**
 * The data link spoken by hand (native/engine/wire.h), so that tests can say what no real source would say. Written
 * from the layout alone: it shares no code with the engine, which makes it a second opinion on the format.
 */
import { once } from 'node:events';
import tls from 'node:tls';
import type { Identity } from '../../native/index.js';

export const FRAME = {
  hello: 1,
  welcome: 2,
  refuse: 3,
  batch: 4,
  ack: 5,
  reply: 6,
  message: 7,
  ping: 8,
  pong: 9,
  invalid: 11,
} as const;
export const OP = {
  mkdir: 1,
  file: 2,
  create: 3,
  write: 4,
  truncate: 5,
  setattr: 7,
  xattrs: 8,
  symlink: 9,
  link: 10,
  mknod: 11,
  remove: 12,
  rename: 13,
  manifest: 14,
  digest: 16,
} as const;
export const REPLY_NAK = 4;
const FRAME_HEADER = 16;
const OP_HEADER = 64;
const LANES_FROM = 1_024;

const TABLE = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

function crc32c(crc: number, bytes: Uint8Array): number {
  let c = ~crc >>> 0;
  for (const byte of bytes) c = ((c >>> 8) ^ (TABLE[(c ^ byte) & 0xff] ?? 0)) >>> 0;
  return ~c >>> 0;
}

/** Three lanes and a tail, see crc.h. */
export function checksum(bytes: Uint8Array): number {
  if (bytes.length < LANES_FROM) return crc32c(0, bytes);
  const lane = Math.floor(bytes.length / 24) * 8;
  const lanes = Buffer.alloc(12);
  for (let i = 0; i < 3; i++) lanes.writeUInt32LE(crc32c(0, bytes.subarray(i * lane, (i + 1) * lane)), i * 4);
  return crc32c(crc32c(0, lanes), bytes.subarray(3 * lane));
}

export interface FrameLies {
  readonly length?: number;
  readonly checksum?: number;
  readonly rawLength?: number;
  readonly flags?: number;
  readonly version?: number;
}

export function frame(type: number, payload: Uint8Array, lies: FrameLies = {}): Buffer {
  const header = Buffer.alloc(FRAME_HEADER);
  header.writeUInt32LE(lies.length ?? payload.length, 0);
  header.writeUInt32LE(lies.checksum ?? checksum(payload), 4);
  header.writeUInt32LE(lies.rawLength ?? payload.length, 8);
  header.writeUInt8(type, 12);
  header.writeUInt8(lies.flags ?? 0, 13);
  header.writeUInt16LE(lies.version ?? 1, 14);
  return Buffer.concat([header, payload]);
}

/** StreamPosition, then the control plane's words. */
export function hello(stream: bigint, words: Uint8Array): Buffer {
  const position = Buffer.alloc(40);
  position.writeBigUInt64LE(stream, 0);
  return frame(FRAME.hello, Buffer.concat([position, words]));
}

export interface Operation {
  readonly kind: number;
  readonly path: string | Buffer;
  readonly path2?: string | Buffer;
  readonly data?: Uint8Array;
  readonly flags?: number;
  readonly mapping?: number;
  readonly mode?: number;
  readonly arg0?: bigint;
  /** Lies about lengths. */
  readonly size?: number;
  readonly dataLength?: number;
  readonly pathLength?: number;
}

export function operation(op: Operation): Buffer {
  const path = Buffer.from(op.path as string);
  const path2 = Buffer.from((op.path2 ?? '') as string);
  const data = Buffer.from(op.data ?? []);
  const bytes = OP_HEADER + path.length + path2.length + data.length;
  const size = Math.ceil(bytes / 8) * 8;
  const out = Buffer.alloc(size);
  out.writeUInt32LE(op.size ?? size, 0);
  out.writeUInt8(op.kind, 4);
  out.writeUInt8(op.flags ?? 0, 5);
  out.writeUInt16LE(op.mapping ?? 0, 6);
  out.writeUInt16LE(op.pathLength ?? path.length, 8);
  out.writeUInt16LE(path2.length, 10);
  out.writeUInt32LE(op.dataLength ?? data.length, 12);
  out.writeUInt32LE(op.mode ?? 0o100644, 16);
  // uid and gid 0; aux: mapping of path2.
  out.writeBigInt64LE(1_700_000_000_000_000_000n, 32);
  out.writeBigUInt64LE(op.arg0 ?? 0n, 40);
  path.copy(out, OP_HEADER);
  path2.copy(out, OP_HEADER + path.length);
  data.copy(out, OP_HEADER + path.length + path2.length);
  return out;
}

export function batch(sequence: number, operations: readonly Buffer[], count = operations.length): Buffer {
  const header = Buffer.alloc(40);
  header.writeBigUInt64LE(BigInt(sequence), 0);
  header.writeBigInt64LE(BigInt(Date.now()) * 1_000_000n, 8);
  header.writeBigInt64LE(BigInt(Date.now()) * 1_000_000n, 16);
  header.writeUInt32LE(count, 24);
  return Buffer.concat([header, ...operations]);
}

export interface Received {
  readonly type: number;
  readonly payload: Buffer;
}

/** A TLS connection that speaks frames. */
export class WireClient {
  readonly received: Received[] = [];
  closed = false;
  readonly #socket: tls.TLSSocket;
  #pending = Buffer.alloc(0);
  readonly #waiting: (() => void)[] = [];

  private constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('error', () => this.#end());
    socket.on('close', () => this.#end());
  }

  /** @throws when TLS does not come up */
  static async connect(port: number, identity: Identity | null): Promise<WireClient> {
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      ...(identity ? { key: identity.key, cert: identity.certificate } : {}),
      // The target's key is pinned by real sources; this test does not care whom it attacks.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['understudy/1'],
    });
    await once(socket, 'secureConnect');
    return new WireClient(socket);
  }

  send(...frames: Buffer[]): void {
    if (!this.closed) this.#socket.write(Buffer.concat(frames));
  }

  end(): void {
    this.#socket.destroy();
  }

  /** Waits for a frame of this type or the end of the link; null when the link ended or nothing came in time. */
  async next(type: number, ms = 5_000): Promise<Received | null> {
    const until = Date.now() + ms;
    for (;;) {
      const at = this.received.findIndex((it) => it.type === type);
      if (at >= 0) return this.received.splice(at, 1)[0] ?? null;
      const left = until - Date.now();
      if (this.closed || left <= 0) return null;
      await this.#change(left);
    }
  }

  /** True when the other side closed the link within this time. */
  async ends(ms = 5_000): Promise<boolean> {
    const until = Date.now() + ms;
    while (!this.closed && Date.now() < until) await this.#change(until - Date.now());
    return this.closed;
  }

  #change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #wake(): void {
    for (const call of this.#waiting.splice(0)) call();
  }

  #take(bytes: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    while (this.#pending.length >= FRAME_HEADER) {
      const length = this.#pending.readUInt32LE(0);
      if (this.#pending.length < FRAME_HEADER + length) break;
      this.received.push({
        type: this.#pending.readUInt8(12),
        payload: this.#pending.subarray(FRAME_HEADER, FRAME_HEADER + length),
      });
      this.#pending = this.#pending.subarray(FRAME_HEADER + length);
    }
    this.#wake();
  }

  #end(): void {
    this.closed = true;
    this.#wake();
  }
}
