/** The page of what is proven must be true: it counts tests that run, and nothing else. */
import test from 'ava';
import { citedRows, coverage, coveragePage, messageProofs, specRows, testsIn } from '../../support/spec-coverage.js';

const known = new Set(specRows().map((row) => row.id));

test('every row has one line, a section and a title', (t) => {
  const rows = specRows();
  t.is(known.size, rows.length);
  t.true(rows.length > 900);
  for (const { id, section, title } of rows) {
    t.regex(id, /^[A-Z]{3}-\d{2,3}$/);
    t.regex(section, /\S/, id);
    t.regex(title, /\S/, id);
  }
});

test('no title cites a row that does not exist', (t) => {
  t.deepEqual(coverage().unknown, []);
  const typo = coverage([{ file: 'x.test.ts', text: 'CON-99: what nobody asked for' }]);
  t.deepEqual(typo.unknown, ['x.test.ts: CON-99 in "CON-99: what nobody asked for"']);
});

test('ranges and lists of suffixes are taken apart; other numbers are none', (t) => {
  const of = (text: string): string[] => citedRows(text, known);
  t.deepEqual(of('QUE-01..03: x'), ['QUE-01', 'QUE-02', 'QUE-03']);
  t.deepEqual(of('MIR-05..MIR-07: x'), ['MIR-05', 'MIR-06', 'MIR-07']);
  t.deepEqual(of('MIR-05, 07, CON-02/03: x'), ['MIR-05', 'MIR-07', 'CON-02', 'CON-03']);
  t.deepEqual(of('SET-17: one; SET-18: two (CON-06)'), ['SET-17', 'SET-18', 'CON-06']);
  t.deepEqual(of('I3, P28: within 20 s, 10 of 12; UTF-8'), []);
  t.deepEqual(of('CON-02: 80 of them, then 03'), ['CON-02']);
  const areas = new Set([...known].map((id) => id.slice(0, 3)));
  t.false(areas.has('UTF'));
});

test('a test counts only when it runs', (t) => {
  const source = `
    test('CON-01: runs', (t) => t.pass());
    test.serial(\`CON-02: runs \${here}\`, async (t) => t.pass());
    (root ? test : test.skip)('CON-03: runs where it can', (t) => t.pass());
    test.skip('CON-04: does not', (t) => t.pass());
    test.todo('CON-05: not written');
    log('CON-06: no test');`;
  t.deepEqual(
    testsIn('x.test.ts', source).flatMap(({ text }) => citedRows(text, known)),
    ['CON-01', 'CON-02', 'CON-03'],
  );
});

test('LOG-03, I10: every message has a test that speaks of it, and says what for', (t) => {
  t.deepEqual(
    [...messageProofs()].filter(([, proofs]) => proofs.length === 0).map(([code]) => code),
    [],
  );
  const none = messageProofs(testsIn('x.test.ts', "test('no row', (t) => t.is(code, 'LOOP'))"));
  t.deepEqual(none.get('LOOP'), [], 'a title that names nothing proves nothing');
});

test('the page says done only with a test, and N/A only with a reason', (t) => {
  const found = coverage([{ file: 'test/x.test.ts', text: 'CON-01: connects' }]);
  const page = coveragePage(found);
  t.regex(page, /\| CON-01 \| [^|]+ \| done \| `test\/x\.test\.ts` \|/);
  t.is(page.match(/\| done \| `/g)?.length, 1);
  t.regex(page, /\| LIC-01 \| [^|]+ \| N\/A \| there are no licence keys \|/);
  for (const reason of found.notApplicable.values()) t.regex(reason, /\S/);
});
