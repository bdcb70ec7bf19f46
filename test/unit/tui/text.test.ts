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
      fc.constantFrom('left' as const, 'right' as const),
      fc.constantFrom('start' as const, 'end' as const),
      (text, columns, align, keep) => {
        t.is(width(fitTo(text, columns, align, keep)), columns);
        return width(cut(text, columns, keep)) <= columns;
      },
    ),
  );
});

test('fit is exact beside signs that take the next character into their cluster', (t) => {
  // Found by the property above: U+11A84 and U+0600 swallowed the space that was to fill the column.
  for (const sign of ['\u{11a84}', '\u0600', '\u0600\u0601', 'a\u{11a84}', '\u0d4e文']) {
    for (const align of ['left', 'right'] as const) t.is(width(fitTo(sign, 6, align)), 6, JSON.stringify(sign));
  }
  // Two marks without a base are one cluster, and took the space before them.
  t.is(width(fitTo('\u0301\u0302', 6, 'right')), 6);
  t.is(width(fitTo('\u{1f3fb}', 3, 'right')), 3);
  t.is(width('ｶﾞ'), 2);
  t.is(width('น้ำ'), 2);
  t.is(width(fitTo('\u{11a84}', 2, 'left', 'start')), 2);
});

test('T6: no character of Unicode joins the cell before or after it once it is cleaned', (t) => {
  const joined: string[] = [];
  /** Whether the characters, each shown between two bars, take the columns of all of them and the bars. */
  const apart = (from: number, to: number) => {
    let text = '|';
    let sum = 1;
    for (let code = from; code < to; code++) {
      const shown = cut(String.fromCodePoint(code), 9);
      text += `${shown}|`;
      sum += width(shown) + 1;
    }
    return width(text) === sum;
  };
  const search = (from: number, to: number) => {
    if (apart(from, to)) return;
    if (to - from === 1) joined.push(from.toString(16));
    else {
      search(from, (from + to) >> 1);
      search((from + to) >> 1, to);
    }
  };
  // Planes 4 to 13 hold no characters, 15 and 16 only private ones.
  for (let code = 0; code < 0x40000; code += 0x400) search(code, code + 0x400);
  for (let code = 0xe0000; code < 0xe1000; code += 0x400) search(code, code + 0x400);
  t.deepEqual(joined, []);
});

test('T6: what is measured the quick way has the width that the slow way finds', (t) => {
  // The ideograph at the end makes the text take the slow way.
  for (let code = 0x20; code < 0x3000; code++) {
    const char = String.fromCodePoint(code);
    t.is(width(`${char}|`) + 2, width(`${char}|文`), code.toString(16));
    t.is(clean(char), clean(`${char}|文`).slice(0, -2), code.toString(16));
  }
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
