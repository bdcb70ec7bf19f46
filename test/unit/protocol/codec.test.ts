import test from 'ava';
import fc from 'fast-check';
import { CodecError, decode, encode } from '../../../protocol/codec.js';
import { CBOR_DEPTH_MAX } from '../../../protocol/limits.js';

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.integer({ min: -(2 ** 52), max: 2 ** 52 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
    fc.array(tie('any'), { maxLength: 5 }),
    fc.dictionary(
      fc.string({ maxLength: 10 }).filter((key) => key !== '__proto__'),
      tie('any'),
      { maxKeys: 5, noNullPrototype: true },
    ),
  ),
})).any;

test('values survive encoding', (t) => {
  fc.assert(fc.property(value, (given) => void t.deepEqual(decode(encode(given)), given)));
});

test('bytes survive encoding and are plain CBOR byte strings', (t) => {
  const bytes = encode({ data: new Uint8Array([1, 2, 3]) });
  t.deepEqual(bytes, Buffer.from('a16464617461430102 03'.replaceAll(' ', ''), 'hex'));
  t.deepEqual(Buffer.from((decode(bytes) as { data: Uint8Array }).data), Buffer.from([1, 2, 3]));
});

test('any bytes either decode or fail with CodecError, and quickly', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        t.true(error instanceof CodecError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('damaged messages never become something else than a value or an error', (t) => {
  const whole = encode({ kind: 'request', id: 7, method: 'set.list', params: { a: [1, 2, { b: 'text' }] } });
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
      const damaged = Buffer.from(whole);
      damaged[at] = byte;
      try {
        decode(damaged);
      } catch (error) {
        t.true(error instanceof CodecError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});

for (const [name, hex] of [
  ['tags, which could name decoder extensions', 'c11a514b67b0'],
  ['record definitions', 'd8694a00'],
  ['lengths without end', '9f01ff'],
  ['keys that are not texts', 'a10102'],
  ['more items than bytes', '9affffffff'],
  ['text beyond the end', '7affffffff'],
  ['a second value', '0101'],
  ['nothing', ''],
  ['reserved lengths', '1c'],
  ['unknown simple values', 'f3'],
] as const) {
  test(`refuses ${name}`, (t) => {
    t.throws(() => decode(Buffer.from(hex, 'hex')), { instanceOf: CodecError });
  });
}

test('refuses nesting beyond the limit without using the stack for it', (t) => {
  t.throws(() => decode(Buffer.alloc(1_000_000, 0x81)), { instanceOf: CodecError });
  t.notThrows(() => decode(Buffer.concat([Buffer.alloc(CBOR_DEPTH_MAX, 0x81), Buffer.from([0])])));
});

test('no key reaches the prototype of the value', (t) => {
  const bytes = Buffer.concat([
    Buffer.from('a169', 'hex'),
    Buffer.from('__proto__'),
    Buffer.from('a1', 'hex'),
    Buffer.from('61', 'hex'),
    Buffer.from('x'),
    Buffer.from('01', 'hex'),
  ]);
  const read = decode(bytes) as { x?: number };
  t.is(read.x, undefined);
  t.is(({} as { x?: number }).x, undefined);
});
