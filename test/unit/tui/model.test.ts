import test from 'ava';
import fc from 'fast-check';
import type { LogLine } from '../../../protocol/messages/index.js';
import { applyFacts, newServer, problemCount, serverSeverity } from '../../../tui/model/fleet.js';
import { currentRate, NO_HISTORY, note, SAMPLES_MAX, series } from '../../../tui/model/history.js';
import { editKey, insert, lineEdit, lineText } from '../../../tui/model/line-edit.js';
import { addLines, clear, EMPTY_RING, RING_LINES_MAX, startAgain } from '../../../tui/model/log-ring.js';
import { choose, parseFilter, type TableDef } from '../../../tui/model/table.js';
import { arrange, scrollTo } from '../../../tui/layout/panes.js';
import { complete, splitLine } from '../../../tui/screens/shell/palette.js';
import { commandLine } from '../../../tui/screens/replication/equivalents.js';
import { makeConnection, makeSet } from '../../screens/fake-agent.js';

const line = (sequence: number, count = 1): LogLine => ({
  sequence,
  at: sequence,
  set: null,
  connection: null,
  server: null,
  notice: { code: 'X', id: 1, severity: 'information', params: {}, cause: null, text: `line ${sequence}`, remedy: '' },
  count,
  audit: null,
});

test('RCN-31: the ring holds the latest 1000 lines and marks what never came', (t) => {
  let ring = addLines(
    EMPTY_RING,
    Array.from({ length: 1_500 }, (_, i) => line(i + 1)),
  );
  t.is(ring.entries.length, RING_LINES_MAX);
  t.is(ring.dropped, 500);
  ring = addLines(ring, [line(1_504)]);
  t.deepEqual(ring.entries.at(-2), { kind: 'missing', count: 3, before: 1_504 });
  // A snapshot of a running agent begins anywhere; nothing is missing before it.
  t.is(addLines(EMPTY_RING, [line(700)]).entries.length, 1);
});

test('RCN-32: a cleared window stays clear when the same lines come again, and shows new ones', (t) => {
  let ring = addLines(EMPTY_RING, [line(1), line(2)]);
  ring = clear(ring);
  ring = addLines(ring, [line(1), line(2), line(3)]);
  t.deepEqual(
    ring.entries.map((entry) => (entry.kind === 'line' ? entry.line.sequence : 'missing')),
    [3],
  );
});

test('a repeated line replaces itself; an agent started anew counts from 1', (t) => {
  let ring = addLines(EMPTY_RING, [line(1), line(2)]);
  ring = addLines(ring, [line(1, 7)]);
  t.is(ring.entries[0]?.kind === 'line' ? ring.entries[0].line.count : 0, 7);
  ring = addLines(startAgain(ring), [line(1), line(2)]);
  t.is(ring.entries.length, 4);
});

test('a filter has words, negations, columns and sizes; all must hold', (t) => {
  interface R {
    name: string;
    size: number;
  }
  const def: TableDef<R> = {
    title: '',
    columns: [
      {
        id: 'n',
        label: 'Replication Set',
        align: 'left',
        value: (r) => r.name,
        show: (r) => r.name,
        widthMin: 1,
        widthMax: 9,
      },
      {
        id: 's',
        label: 'Queued (Bytes)',
        align: 'right',
        value: (r) => r.size,
        show: (r) => `${r.size} B`,
        widthMin: 1,
        widthMax: 9,
      },
    ],
    key: (r) => r.name,
    severity: (r) => (r.size > 1_000_000 ? 'alert' : 'ok'),
    stale: () => false,
    empty: '',
  };
  const rows = [
    { name: 'mail', size: 10 },
    { name: 'web', size: 6 * 1024 * 1024 },
    { name: 'webmail', size: 5_000 },
  ];
  const names = (filter: string, problems = false): string[] =>
    choose(def, rows, filter, problems, null).map((r) => r.name);
  t.deepEqual(names(''), ['mail', 'web', 'webmail']);
  t.deepEqual(names('web'), ['web', 'webmail']);
  t.deepEqual(names('web !mail'), ['web']);
  t.deepEqual(names('queued>5m'), ['web']);
  t.deepEqual(names('queued<5k'), ['mail', 'webmail']);
  t.deepEqual(names('set:mail'), ['mail', 'webmail']);
  t.deepEqual(names('', true), ['web']);
  t.deepEqual(
    choose(def, rows, '', false, { column: 's', descending: true }).map((r) => r.name),
    ['web', 'webmail', 'mail'],
  );
  t.deepEqual(parseFilter('  '), []);
});

test('RCN-23: one cause at the bottom shows at the top, and heals again', (t) => {
  const fleet = { servers: [newServer('a', 'unix:/a')] };
  const bad = makeConnection(1, 'docs', 'b', { severity: 'error' });
  let next = applyFacts(
    fleet,
    'a',
    [
      { kind: 'link', state: { kind: 'online' } },
      { kind: 'sets', all: [makeSet('docs')] },
      { kind: 'connections', all: [bad] },
    ],
    1_000,
  );
  const server = next.servers[0];
  t.is(server && serverSeverity(server), 'alert');
  t.is(server && problemCount(server), 1);
  next = applyFacts(next, 'a', [{ kind: 'connection', item: makeConnection(1, 'docs', 'b') }], 2_000);
  t.is(next.servers[0] && serverSeverity(next.servers[0]), 'ok');
});

test('throughput is what was sent between samples; a restarted counter makes no spike', (t) => {
  const at = (sent: number): ReturnType<typeof makeConnection> => makeConnection(1, 'd', 'b', {}, { sentBytes: sent });
  let history = note(NO_HISTORY, at(1_000), 1_000);
  history = note(history, at(3_000), 2_000);
  t.is(currentRate(history, 2_100), 2_000);
  history = note(history, at(0), 3_000);
  t.is(currentRate(history, 3_100), 0);
  t.is(currentRate(history, 60_000), 0);
  for (let i = 0; i < 500; i++) history = note(history, at(i * 10), 4_000 + i * 1_000);
  t.is(history.samples.length, SAMPLES_MAX);
  t.is(series(history, 10, 504_000, 'rate').length, 10);
});

test('the line editor moves by what people see', (t) => {
  let edit = lineEdit('cafe\u0301 文件');
  t.is(edit.parts.length, 7);
  edit = editKey(edit, 'C-left') ?? edit;
  edit = editKey(edit, 'backspace') ?? edit;
  t.is(lineText(edit), 'cafe\u0301文件');
  edit = editKey(edit, 'C-w') ?? edit;
  t.is(lineText(edit), '文件');
  t.is(lineText(insert(edit, 'a\nb\u001b')), 'a b 文件');
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.constantFrom(
            'left',
            'right',
            'home',
            'end',
            'backspace',
            'delete',
            'C-w',
            'C-k',
            'C-u',
            'C-left',
            'C-right',
          ),
          fc.string({ unit: 'grapheme', maxLength: 3 }),
        ),
        { maxLength: 40 },
      ),
      (keys) => {
        let one = lineEdit();
        for (const key of keys) one = editKey(one, key) ?? insert(one, key);
        return one.at >= 0 && one.at <= one.parts.length;
      },
    ),
  );
});

test('T2: every size from 40x10 gives panes that neither overlap nor leave the screen', (t) => {
  t.is(arrange(39, 24, null), null);
  t.is(arrange(80, 9, null), null);
  for (let w = 40; w < 260; w += 3) {
    for (let h = 10; h < 90; h += 2) {
      const layout = arrange(w, h, null);
      if (!layout) throw new Error(`${w}x${h}`);
      const cells = new Uint8Array(w * h);
      for (const rect of [layout.title, layout.action, layout.footer, ...Object.values(layout.panes)]) {
        if (!rect) continue;
        for (let y = rect.y; y < rect.y + rect.height; y++)
          for (let x = rect.x; x < rect.x + rect.width; x++) {
            if (x < 0 || x >= w || y < 0 || y >= h || cells[y * w + x]) throw new Error(`${w}x${h} at ${x},${y}`);
            cells[y * w + x] = 1;
          }
      }
      if ((layout.panes.table?.height ?? 0) < 4) throw new Error(`${w}x${h}: no room for a row`);
    }
  }
  t.is(scrollTo(0, 9, 5, 10), 5);
  t.is(scrollTo(7, 3, 5, 10), 3);
  t.is(scrollTo(50, 0, 5, 3), 0);
});

test('T16: commands are split and quoted as a shell would', (t) => {
  t.deepEqual(splitLine(`set create a:b '/srv/my files' "x \\" y" z\\ w`), [
    'set',
    'create',
    'a:b',
    '/srv/my files',
    'x " y',
    'z w',
  ]);
  t.is(splitLine(`'open`), null);
  t.is(commandLine(['set', 'continue', "a:it's"]), `understudy set continue 'a:it'\\''s'`);
  t.is(
    complete('mir', [
      { insert: 'mirror start', shown: '', why: '' },
      { insert: 'mirror stop', shown: '', why: '' },
    ]),
    'mirror st',
  );
});
