import test from 'ava';
import fc from 'fast-check';
import { notice } from '../../../protocol/errors.js';
import type { App, Msg } from '../../../tui/model/app.js';
import type { LinkFact } from '../../../tui/model/fleet.js';
import { KEYS } from '../../../tui/screens/replication/keys.js';
import { REPLICATION_START } from '../../../tui/screens/replication/model.js';
import { update } from '../../../tui/screens/shell/update.js';
import { view } from '../../../tui/screens/shell/view.js';
import { makeConnection, makeSet } from '../../screens/fake-agent.js';

const START: App = {
  size: { width: 80, height: 24 },
  ascii: false,
  readOnly: false,
  mouse: true,
  theme: 'dark',
  themes: ['dark', 'mono'],
  now: 1_000_000,
  fleet: { servers: [] },
  screen: REPLICATION_START,
  overlay: null,
  asked: [],
  note: null,
  done: [],
  results: [],
  running: new Map(),
  nextCommand: 1,
  typed: [],
  columns: null,
  interruptedAt: 0,
  verbs: [{ name: 'mirror start', args: '<id>', why: 'x' }],
};

const name = fc.constantFrom('alpha', 'beta');
const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom('docs', '文件', '\u001b[2J', '{bold}', '👩‍👩‍👧', ''),
);
const statistics = fc.record({
  mirrorStatus: fc.constantFrom('Idle' as const, 'Mirroring' as const, 'Paused' as const),
  replicationStatus: fc.constantFrom('Replicating' as const, 'Stopped' as const),
  lastFileTouched: hostile,
  replicationSet: hostile,
  sentBytes: fc.nat(),
});
const connection = fc
  .tuple(fc.integer({ min: 1, max: 40 }), hostile, statistics)
  .map(([id, set, s]) => makeConnection(id, set, 'beta', { severity: id % 3 === 0 ? 'warning' : 'information' }, s));
const fact: fc.Arbitrary<LinkFact> = fc.oneof(
  fc.constantFrom<LinkFact>(
    { kind: 'link', state: { kind: 'online' } },
    { kind: 'link', state: { kind: 'off' } },
    {
      kind: 'link',
      state: { kind: 'lost', trouble: { code: 'X', text: 'gone', remedy: 'wait' }, retryAt: 0, attempt: 2 },
    },
    { kind: 'hello', hello: { name: 'a', version: '1', access: 'administrator', user: 'u' } },
    { kind: 'hello', hello: { name: 'a', version: '1', access: 'monitor', user: 'u' } },
    { kind: 'sets', all: [] },
  ),
  hostile.map((set) => ({ kind: 'set' as const, item: makeSet(set, { state: 'stopped' }) })),
  connection.map((item) => ({ kind: 'connection' as const, item })),
  connection.map((item) => ({ kind: 'connection_gone' as const, key: item.key })),
  fc.tuple(fc.integer({ min: 1, max: 3_000 }), hostile).map(([sequence, set]) => ({
    kind: 'log' as const,
    snapshot: false,
    lines: [
      {
        sequence,
        at: 0,
        set,
        connection: null,
        server: null,
        notice: notice('SET_DELETED', { set }),
        count: 1,
        audit: null,
      },
    ],
  })),
);

const keyNames = [...new Set(KEYS.flatMap((key) => key.keys.flatMap((one) => one.split(' '))))];
const msg: fc.Arbitrary<Msg> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .constantFrom(...keyNames, 'y', 'n', 'C-w', 'M-b')
      .map((key): Msg => ({ kind: 'key', key, text: key.length === 1 ? key : '' })),
  },
  {
    weight: 2,
    arbitrary: hostile.map((text): Msg => ({ kind: 'key', key: text.slice(0, 1), text: text.slice(0, 1) })),
  },
  { weight: 1, arbitrary: hostile.map((text): Msg => ({ kind: 'paste', text })) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom('down' as const, 'wheel_up' as const, 'wheel_down' as const),
        fc.nat(120),
        fc.nat(60),
        fc.boolean(),
      )
      .map(([action, x, y, double]): Msg => ({ kind: 'mouse', action, button: 0, x, y, double })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 220 }), fc.integer({ min: 1, max: 60 }))
      .map(([width, height]): Msg => ({ kind: 'resize', size: { width, height } })),
  },
  { weight: 1, arbitrary: fc.nat(100_000).map((more): Msg => ({ kind: 'tick', now: 1_000_000 + more })) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(name, fc.array(fact, { maxLength: 5 }), fc.nat(100_000))
      .map(([server, facts, more]): Msg => ({ kind: 'facts', server, facts, now: 1_000_000 + more })),
  },
  {
    weight: 1,
    arbitrary: fc
      .subarray(['alpha', 'beta'])
      .map(
        (names): Msg => ({ kind: 'servers', servers: names.map((one) => ({ name: one, address: `unix:/${one}` })) }),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(5), hostile).map(
      ([id, prompt]): Msg => ({
        kind: 'question',
        id,
        question: { kind: 'secret', server: 'alpha', prompt, echo: false, attempt: 2 },
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(9), hostile).map(
      ([command, text]): Msg => ({
        kind: 'finished',
        command,
        text,
        trouble: null,
        lines: command % 2 === 0 ? [text] : null,
      }),
    ),
  },
);

test('T2 T3: whatever is pressed, clicked, resized and told, there is a whole screen and no exception', (t) => {
  fc.assert(
    fc.property(fc.array(msg, { minLength: 1, maxLength: 60 }), (messages) => {
      let app = update(START, {
        kind: 'servers',
        servers: [
          { name: 'alpha', address: 'unix:/a' },
          { name: 'beta', address: 'unix:/b' },
        ],
      })[0];
      for (const one of messages) {
        const [next, commands] = update(app, one);
        app = next;
        // Nothing reaches a server but through a dialog.
        for (const command of commands) if (command.kind === 'act' && one.kind !== 'key') return false;
      }
      const scene = view(app);
      const { width, height } = app.size;
      if (scene.grid.width !== width || scene.grid.height !== height) return false;
      return !/[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]/.test(scene.grid.text());
    }),
    { numRuns: 800 },
  );
  t.pass();
});
