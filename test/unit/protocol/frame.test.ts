import test from 'ava';
import fc from 'fast-check';
import { encodeFrame, FrameDecoder, FrameError } from '../../../protocol/frame.js';
import { FRAME_BYTES_MAX, OPENING_BYTES_MAX } from '../../../protocol/limits.js';
import { MAGIC } from '../../../protocol/version.js';

test('frames come out whole and in order, however the stream is cut', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 97 }), { minLength: 1, maxLength: 50 }),
      (payloads, cuts) => {
        const stream = Buffer.concat([MAGIC, ...payloads.map(encodeFrame)]);
        const decoder = new FrameDecoder();
        const seen: Buffer[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const size = cuts[turn % cuts.length] ?? 1;
          seen.push(...decoder.push(stream.subarray(at, at + size)));
          at += size;
        }
        t.deepEqual(
          seen.map((one) => one.toString('hex')),
          payloads.map((one) => Buffer.from(one).toString('hex')),
        );
        t.is(decoder.pending, 0);
      },
    ),
  );
});

test('I4: a frame that arrived partly is held back', (t) => {
  const decoder = new FrameDecoder();
  const frame = encodeFrame(Buffer.from('whole'));
  t.deepEqual(decoder.push(Buffer.concat([MAGIC, frame.subarray(0, frame.length - 1)])), []);
  t.is(decoder.pending, frame.length - 1);
  t.deepEqual(decoder.push(frame.subarray(frame.length - 1)).map(String), ['whole']);
});

test('a login banner is refused at its first wrong byte and shown without control bytes', (t) => {
  const error = t.throws(() => new FrameDecoder().push(Buffer.from('\x1b[31mWelcome to host')), {
    instanceOf: FrameError,
  });
  t.is(error.reason, 'not_understudy');
  t.regex(error.message, /Welcome to host/);
  t.notRegex(error.message, /\x1b/);
});

test('I8: frames above the limit are refused by their length alone', (t) => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(OPENING_BYTES_MAX + 1);
  t.throws(() => new FrameDecoder().push(Buffer.concat([MAGIC, length])), { instanceOf: FrameError });
  const later = new FrameDecoder();
  later.push(Buffer.concat([MAGIC, encodeFrame(Buffer.from('opening'))]));
  length.writeUInt32LE(FRAME_BYTES_MAX + 1);
  t.throws(() => later.push(length), { instanceOf: FrameError });
  t.throws(() => encodeFrame(new Uint8Array(FRAME_BYTES_MAX + 1)), { instanceOf: RangeError });
});
