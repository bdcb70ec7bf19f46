/**
 * Values and their bytes: plain CBOR (RFC 8949) without tags or record extensions, so that any CBOR tool reads a
 * capture and no decoder extension can be reached from the network.
 */
import { Decoder, Encoder } from 'cbor-x';
import { CBOR_DEPTH_MAX } from './limits.js';

const OPTIONS = { useRecords: false, mapsAsObjects: true, tagUint8Array: false, variableMapSize: true } as const;
const encoder = new Encoder(OPTIONS);
const decoder = new Decoder(OPTIONS);

/** Bytes that are not one well-formed value of the kinds we speak. */
export class CodecError extends Error {
  constructor(reason: string) {
    super(`not a valid message: ${reason}`);
    this.name = 'CodecError';
  }
}

/** A value of objects, arrays, texts, numbers, booleans, null and byte strings. */
export function encode(value: unknown): Buffer {
  return encoder.encode(value);
}

/** @throws CodecError for anything but exactly one well-formed, untagged value of bounded depth. */
export function decode(bytes: Uint8Array): unknown {
  const end = scan(bytes, 0, 0);
  if (end !== bytes.length) throw new CodecError(`${bytes.length - end} bytes follow the value`);
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new CodecError(error instanceof Error ? error.message : String(error));
  }
}

/**
 * Walks one data item without building it. Looked at before the decoder sees it, because nesting costs stack, a tag
 * may name an extension, and a length may promise more items than there are bytes.
 */
function scan(bytes: Uint8Array, start: number, depth: number): number {
  if (depth > CBOR_DEPTH_MAX) throw new CodecError(`nested deeper than ${CBOR_DEPTH_MAX}`);
  const initial = bytes[start];
  if (initial === undefined) throw new CodecError('it ends early');
  const major = initial >> 5;
  const info = initial & 31;
  let at = start + 1;
  let argument = info;
  if (info >= 24) {
    if (info > 27) throw new CodecError(info === 31 ? 'lengths must be definite' : 'reserved length');
    const width = 1 << (info - 24);
    if (at + width > bytes.length) throw new CodecError('it ends early');
    argument = 0;
    for (let i = 0; i < width; i += 1) argument = argument * 256 + (bytes[at + i] ?? 0);
    at += width;
  }
  switch (major) {
    case 0:
    case 1:
      return at;
    case 2:
    case 3:
      if (argument > bytes.length - at) throw new CodecError('it ends early');
      return at + argument;
    case 4:
    case 5: {
      const items = major === 5 ? argument * 2 : argument;
      if (items > bytes.length - at) throw new CodecError('it promises more items than it has bytes');
      for (let i = 0; i < items; i += 1) {
        // Keys are texts: a byte string or number as key would become another object than the sender meant.
        if (major === 5 && i % 2 === 0 && (bytes[at] ?? 0) >> 5 !== 3) throw new CodecError('a key is not a text');
        at = scan(bytes, at, depth + 1);
      }
      return at;
    }
    case 6:
      throw new CodecError('tags are not used');
    default:
      // Simple values: false, true, null, undefined and floats.
      if (info < 20 || info === 24) throw new CodecError('unknown simple value');
      return at;
  }
}
