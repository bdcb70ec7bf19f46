/**
 * The control stream's bytes: magic, then frames of `u32 length, little-endian | payload`.
 * Incremental and pure: bytes in, payloads out, whatever the pieces they arrive in.
 */
import { FRAME_BYTES_MAX, OPENING_BYTES_MAX } from './limits.js';
import { MAGIC } from './version.js';

export const FRAME_HEADER_BYTES = 4;

/** The other side broke the framing; the stream cannot be trusted any more and must be closed. */
export class FrameError extends Error {
  constructor(
    readonly reason: 'not_understudy' | 'frame_too_large',
    detail: string,
  ) {
    super(detail);
    this.name = 'FrameError';
  }
}

/** One payload as a frame. Throws RangeError above the limit: that is a mistake of the caller. */
export function encodeFrame(payload: Uint8Array): Buffer {
  if (payload.length > FRAME_BYTES_MAX)
    throw new RangeError(`a frame of ${payload.length} bytes is above the limit of ${FRAME_BYTES_MAX}`);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/**
 * Takes bytes apart. The first frame, the opening, has its own smaller limit, so that a stranger cannot make us
 * reserve much before it said who it is.
 */
export class FrameDecoder {
  #pieces: Buffer[] = [];
  #size = 0;
  #magicSeen = false;
  #frames = 0;

  /** Bytes held back until their frame is complete. */
  get pending(): number {
    return this.#size;
  }

  /**
   * @param bytes any piece of the stream, kept by reference until its frame is complete
   * @returns payloads completed by this piece, in order
   * @throws FrameError when the stream is not ours or a frame is too large
   */
  push(bytes: Uint8Array): Buffer[] {
    if (bytes.length > 0) {
      this.#pieces.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      this.#size += bytes.length;
    }
    const frames: Buffer[] = [];
    if (!this.#magicSeen && !this.#takeMagic()) return frames;
    for (;;) {
      if (this.#size < FRAME_HEADER_BYTES) return frames;
      const length = this.#peek(FRAME_HEADER_BYTES).readUInt32LE(0);
      const limit = this.#frames === 0 ? OPENING_BYTES_MAX : FRAME_BYTES_MAX;
      if (length > limit)
        throw new FrameError('frame_too_large', `a frame announces ${length} bytes, the limit is ${limit}`);
      if (this.#size < FRAME_HEADER_BYTES + length) return frames;
      frames.push(this.#take(FRAME_HEADER_BYTES + length).subarray(FRAME_HEADER_BYTES));
      this.#frames += 1;
    }
  }

  #takeMagic(): boolean {
    const have = Math.min(this.#size, MAGIC.length);
    const start = this.#peek(have);
    for (let i = 0; i < have; i += 1) {
      // Decided at the first wrong byte: a login banner may be short and wait for an answer.
      if (start[i] !== MAGIC[i]) {
        const shown = this.#peek(Math.min(this.#size, 80))
          .toString('latin1')
          .replace(/[^\x20-\x7e]/g, '.');
        throw new FrameError('not_understudy', `the other side answered "${shown}"`);
      }
    }
    if (have < MAGIC.length) return false;
    this.#take(MAGIC.length);
    this.#magicSeen = true;
    return true;
  }

  /** The first `size` bytes in one piece, not consumed. */
  #peek(size: number): Buffer {
    const first = this.#pieces[0];
    if (first && first.length >= size) return first.subarray(0, size);
    // Joined once, so that many tiny pieces do not cost a copy of everything each time.
    if (this.#pieces.length > 1) {
      let joined = 0;
      let pieces = 0;
      while (joined < size && pieces < this.#pieces.length) joined += this.#pieces[pieces++]?.length ?? 0;
      const head = Buffer.concat(this.#pieces.splice(0, pieces));
      this.#pieces.unshift(head);
      return head.subarray(0, size);
    }
    return first ?? Buffer.alloc(0);
  }

  #take(size: number): Buffer {
    const taken = this.#peek(size);
    const first = this.#pieces[0];
    if (first) {
      if (first.length === size) this.#pieces.shift();
      else this.#pieces[0] = first.subarray(size);
    }
    this.#size -= size;
    return taken;
  }
}
