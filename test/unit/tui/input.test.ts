import test from 'ava';
import fc from 'fast-check';
import { Input, type InputEvent, PASTE_LENGTH_MAX } from '../../../tui/paint/input.js';

interface Rig {
  readonly input: Input;
  readonly events: InputEvent[];
  /** Lets the hold run out. */
  late(): void;
}

function rig(): Rig {
  const events: InputEvent[] = [];
  let pending: (() => void) | null = null;
  const input = new Input((event) => events.push(event), {
    holdMs: 25,
    setTimer: (call) => {
      pending = call;
      return call;
    },
    clearTimer: () => {
      pending = null;
    },
  });
  return {
    input,
    events,
    late: () => {
      const call = pending;
      pending = null;
      call?.();
    },
  };
}

const keys = (events: readonly InputEvent[]): string[] =>
  events.map((event) =>
    event.kind === 'key'
      ? event.key
      : event.kind === 'paste'
        ? `paste:${event.text}`
        : `${event.action}@${event.x},${event.y}`,
  );

function typed(...pieces: (string | Uint8Array)[]): string[] {
  const { input, events, late } = rig();
  for (const piece of pieces) input.push(typeof piece === 'string' ? Buffer.from(piece) : piece);
  late();
  return keys(events);
}

test('T9: an escape sequence cut in two by the network is one key', (t) => {
  t.deepEqual(typed('\u001b', '[A'), ['up']);
  t.deepEqual(typed('\u001b[', 'A'), ['up']);
  t.deepEqual(typed('\u001b[5', '~'), ['pageup']);
  t.deepEqual(typed('\u001b[<0;10', ';5M'), ['down@9,4']);
});

test('a lone Escape is Escape once its time is up, and not before', (t) => {
  const { input, events, late } = rig();
  input.push(Buffer.from('\u001b'));
  t.deepEqual(events, []);
  late();
  t.deepEqual(keys(events), ['escape']);
  input.push(Buffer.from('\u001b\u001b'));
  late();
  t.deepEqual(keys(events), ['escape', 'escape', 'escape']);
});

test('names of keys', (t) => {
  t.deepEqual(typed('a\r\t\u007f \u0003\u001bx'), ['a', 'enter', 'tab', 'backspace', 'space', 'C-c', 'M-x']);
  t.deepEqual(typed('\u001b[Z\u001bOA\u001b[1;5C\u001b[3~\u001b[H\u001bOP\u001b[15~'), [
    'S-tab',
    'up',
    'C-right',
    'delete',
    'home',
    'f1',
    'f5',
  ]);
});

test('T10: a paste is one event, however it is cut, and nothing in it is a key', (t) => {
  t.deepEqual(typed('\u001b[200~q! ls\r\nrm\u001b[201~x'), ['paste:q! ls\nrm', 'x']);
  const text = '\u001b[200~a\u001b[Ab\u001b[201~';
  for (let i = 1; i < text.length; i++)
    t.deepEqual(typed(text.slice(0, i), text.slice(i)), ['paste:a\u001b[Ab'], String(i));
  const { input, events } = rig();
  input.push(Buffer.from(`\u001b[200~${'x'.repeat(PASTE_LENGTH_MAX + 10)}\u001b[201~`));
  t.is(events[0]?.kind === 'paste' ? events[0].text.length : 0, PASTE_LENGTH_MAX);
});

test('characters beyond the basic plane arrive whole, also when their bytes are cut', (t) => {
  const bytes = Buffer.from('é文👍');
  for (let i = 1; i < bytes.length; i++)
    t.deepEqual(typed(bytes.subarray(0, i), bytes.subarray(i)), ['é', '文', '👍'], String(i));
});

test('answers of the terminal and unknown sequences are no keys', (t) => {
  t.deepEqual(
    typed('\u001b[?62;4c\u001b[>0;276;0c\u001b]11;rgb:0000/0000/0000\u0007\u001bP1$r0m\u001b\\\u001b[97;5u\u001b[I'),
    [],
  );
  t.deepEqual(typed('\u001b[M !!q'), ['q']);
});

test('the three bytes behind an old mouse report are no keys, however late they come', (t) => {
  for (const cut of [3, 4, 5]) {
    const { input, events } = rig();
    const bytes = Buffer.from('\u001b[M\u001b[Ax');
    input.push(bytes.subarray(0, cut));
    input.push(bytes.subarray(cut));
    t.deepEqual(keys(events), ['x'], `cut after ${cut}`);
  }
});

test('fuzz: any bytes in any pieces give the same events as in one piece, and never throw', (t) => {
  const nasty = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '\u001b',
          '[',
          'O',
          '<',
          ';',
          '0',
          '200~',
          '\u001b[200~',
          '\u001b[201~',
          'M',
          'm',
          'A',
          '~',
          ']',
          '\u0007',
          '\u009b',
          'é',
          '👍',
          '\0',
          ' ',
        ),
        fc.string({ unit: 'binary', maxLength: 4 }),
      ),
      { maxLength: 30 },
    )
    .map((parts) => Buffer.from(parts.join('')));
  fc.assert(
    fc.property(nasty, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 40 }), (bytes, cuts) => {
      const whole = rig();
      whole.input.push(bytes);
      whole.late();
      const pieces = rig();
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = cuts[i % cuts.length] ?? 1;
        pieces.input.push(bytes.subarray(at, at + size));
        at += size;
      }
      pieces.late();
      return JSON.stringify(whole.events) === JSON.stringify(pieces.events);
    }),
    { numRuns: 500 },
  );
  t.pass();
});
