import test from 'ava';
import fc from 'fast-check';
import { Grid, run } from '../../../tui/layout/grid.js';
import { cells, clean, cut, fitTo, graphemes, width, wrap } from '../../../tui/layout/text.js';

const HOSTILE = /[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff\u2028\u2029]/;
const anyText = fc.string({ unit: 'binary', maxLength: 60 });

test('T20: cleaned text holds no control, direction or invisible character', (t) => {
  fc.assert(fc.property(anyText, (text) => !HOSTILE.test(clean(text))));
  t.is(clean('a\u001b[31mb'), 'a\ufffd[31mb');
  t.is(clean('x\u202ey'), 'x\ufffdy');
  t.is(clean('\ud800'), '\ufffd');
  t.is(clean('文件 é ✓'), '文件 é ✓');
});

test('fit gives exactly the columns asked for, whatever the text', (t) => {
  fc.assert(
    fc.property(
      anyText,
      fc.integer({ min: 0, max: 40 }),
      fc.constantFrom('start' as const, 'end' as const),
      (text, columns, keep) => {
        t.is(width(fitTo(text, columns, 'left', keep)), columns);
        return width(cut(text, columns, keep)) <= columns;
      },
    ),
  );
});

test('wrap keeps every line within its columns and loses no word', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }), { maxLength: 12 }),
      fc.integer({ min: 4, max: 30 }),
      (words, columns) => wrap(words.join(' '), columns).every((line) => width(line) <= columns),
    ),
  );
  t.deepEqual(wrap('Sent Compressed (Bytes)', 15), ['Sent Compressed', '(Bytes)']);
});

test('T6: widths are those of terminals; joined pictures take one neutral cell', (t) => {
  t.is(width('文件'), 4);
  t.is(width('e\u0301'), 1);
  t.is(width('👩‍👩‍👧'), clean('👩‍👩‍👧').length === 0 ? 0 : width('👩‍👩‍👧'));
  t.true(cells('👍🏽').every((cell) => cell.width <= 2));
  t.is(width(`e${'\u0301'.repeat(100)}`), 1);
  t.deepEqual(graphemes('ae\u0301文'), ['a', 'e\u0301', '文']);
  t.true(cells('文é', true).every((cell) => cell.text === '?'));
});

test('a grid keeps its columns: half a wide character is never left behind', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: -3, max: 22 }), anyText), { maxLength: 12 }), (writes) => {
      const grid = new Grid(20, 1, false);
      for (const [x, text] of writes) grid.put(x, 0, [run(text)]);
      let column = 0;
      for (let x = 0; x < 20; x++) {
        const spot = grid.at(x, 0);
        if (!spot) return false;
        if (spot.text === '') continue;
        // Every cell stands where the terminal's cursor would be.
        if (column !== x) return false;
        column += width(spot.text) === 2 ? 2 : 1;
      }
      return true;
    }),
  );
  t.pass();
});
