import test, { type ExecutionContext } from 'ava';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { failure, notice } from '../../protocol/errors.js';
import { FakeAgent, makeConnection } from './fake-agent.js';
import { Stage } from './stage.js';
import { staged } from './staged.js';

// Times on the screen are local ones; golden screens are those of UTC.
process.env['TZ'] = 'UTC';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Compares with test/golden; `UPDATE_GOLDEN=1` writes what is seen instead. */
function golden(t: ExecutionContext, name: string, text: string): void {
  const file = join(ROOT, 'test/golden', `${name}.txt`);
  const seen = `${text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`;
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, seen);
  }
  t.true(existsSync(file), `${file} is missing; write it with UPDATE_GOLDEN=1`);
  t.is(seen, readFileSync(file, 'utf8'));
}

for (const [name, options] of [
  ['console-80x24', {}],
  ['console-200x50', { width: 200, height: 50 }],
  ['console-80x24-ascii', { ascii: true }],
  ['console-80x24-mono', { theme: 'mono' }],
  ['console-40x10', { width: 40, height: 10 }],
  ['too-small-39x9', { width: 39, height: 9 }],
] as const) {
  test(`RCN-01 RCN-02 RCN-24: ${name} looks as it should`, async (t) => {
    const { stage } = await staged(t, options);
    golden(t, name, stage.text());
  });
}

test('T4: the ASCII console holds nothing but ASCII, hostile names included', async (t) => {
  const { stage, alpha } = await staged(t, { ascii: true });
  alpha.put('connections', makeConnection(4, 'naïve 文件 ✓', 'bêta'));
  await stage.shows('na?ve');
  t.regex(stage.text(), /^[\x20-\x7e\n]*$/);
});

test('STA-01..26: the row detail shows every statistic by its exact label', async (t) => {
  const { stage } = await staged(t, { width: 120, height: 60 });
  await stage.press('\r');
  golden(t, 'detail-120x60', stage.text());
});

test('RCN-23 RCN-34: a lost server turns grey with its age, keeps its figures, and comes back by itself', async (t) => {
  const { stage, alpha } = await staged(t);
  const open = alpha.open.bind(alpha);
  let refuse = true;
  alpha.open = () =>
    refuse ? Promise.reject(failure('UNREACHABLE', { address: 'alpha', reason: 'nobody answers' })) : open();
  alpha.cut();
  await stage.until(() => stage.cockpit.app.fleet.servers[0]?.link.kind !== 'online', 'the loss');
  stage.clock += 12_000;
  stage.cockpit.send({ kind: 'tick', now: stage.clock });
  await stage.settle();
  t.regex(stage.text(), /alpha +(lost|retry) 12 s/);
  t.regex(stage.text(), /documents +OK/);
  t.regex(stage.text(), /as of 12 s ago/);
  // I3: nothing that is not heard from is called good.
  t.regex(stage.text(), /\? documents +OK/);
  t.notRegex(stage.text(), /✓ documents/);
  await stage.press('\r');
  t.regex(stage.text(), /Unknown; OK as of 12 s ago/);
  await stage.press('\u001b');
  refuse = false;
  await stage.until(() => stage.cockpit.app.fleet.servers[0]?.current === true, 'the return');
  await stage.settle();
  t.notRegex(stage.text(), /alpha +(lost|retry)|as of/);
});

test('a server where the caller is nobody shows no access and its keys say why', async (t) => {
  const agent = new FakeAgent('closed');
  agent.access = 'none';
  const stage = new Stage({ agents: [agent] });
  t.teardown(() => stage.end());
  stage.start();
  await stage.shows('no access');
  await stage.press('c');
  t.regex(stage.text(), /Connect: you are not an administrator on closed/);
});

test('MIR-05: s asks, names connection and consequence, shows the command, and starts what was chosen', async (t) => {
  const { stage, alpha } = await staged(t);
  await stage.press('s');
  t.regex(stage.text(), /Connection 1: documents on alpha to beta/);
  t.regex(stage.text(), /\$ understudy mirror start alpha:1 --difference/);
  // A second press of the opening key confirms nothing.
  await stage.press('s');
  t.is(alpha.asked.length, 0);
  await stage.press('\t', ' ', '\t', '\t', '\t');
  t.regex(stage.text(), /\$ understudy mirror start alpha:1 --checksum/);
  await stage.press('\r');
  await stage.until(() => stage.cockpit.idle, 'the answer');
  t.deepEqual(alpha.asked, [
    { method: 'mirror.start', params: { id: 1, options: { kind: 'difference', checksum: true } } },
  ]);
  await stage.shows('Mirror started on connection alpha:1.');
  await stage.shows('$ understudy mirror start');
});

for (const [key, method, ready] of [
  ['S', 'mirror.stop', { mirrorStatus: 'Mirroring', targetDataState: 'Mirroring' }],
  ['u', 'mirror.pause', { mirrorStatus: 'Mirroring', targetDataState: 'Mirroring' }],
  ['U', 'mirror.resume', { mirrorStatus: 'Paused' }],
  ['i', 'replication.start', { replicationStatus: 'Stopped' }],
  ['I', 'replication.stop', { replicationStatus: 'Replicating' }],
  ['t', 'transmit.pause', { transmitMode: 'Started' }],
  ['T', 'transmit.resume', { transmitMode: 'Paused' }],
  ['e', 'transmit.start', { transmitMode: 'Scheduled' }],
  ['E', 'transmit.stop', { transmitMode: 'Started' }],
] as const) {
  test(`${method}: ${key} asks first; Escape does nothing, y does it`, async (t) => {
    const { stage, alpha } = await staged(t);
    const item = makeConnection(1, 'documents', 'beta', {}, ready);
    alpha.put('connections', item);
    await stage.until(
      () => stage.cockpit.app.fleet.servers[0]?.connections.get(item.key)?.statistics.lastFileTouched !== '',
      'the state',
    );
    await stage.settle();
    await stage.press(key, '\u001b');
    t.deepEqual(alpha.asked, []);
    await stage.press(key, 'y');
    await stage.until(() => stage.cockpit.idle && alpha.asked.length > 0, 'the answer');
    t.deepEqual(alpha.asked, [{ method, params: { id: 1 } }]);
  });
}

test('a blocked key stays in sight and says why', async (t) => {
  const { stage, alpha } = await staged(t);
  await stage.press('S');
  t.regex(stage.text(), /Stop mirror: no mirror is running/);
  await stage.press('a');
  t.regex(stage.text(), /S +Stop mirror +no mirror is running/);
  t.deepEqual(alpha.asked, []);
});

test('--read-only: every changing key is refused', async (t) => {
  const { stage, alpha } = await staged(t, { readOnly: true });
  t.regex(stage.text(), /read-only/);
  for (const key of ['s', 'D', 'c', 'I', 'v', 't']) {
    await stage.press(key);
    t.regex(stage.text(), /this console was started read-only/, key);
  }
  await stage.press(':');
  await stage.press('mirror start alpha:1', '\r');
  t.regex(stage.text(), /started read-only/);
  t.deepEqual(alpha.asked, []);
});

test('CON-70: disconnecting begins at Cancel, ends the connection and takes the permission back', async (t) => {
  const { stage, alpha, beta } = await staged(t);
  alpha.answers.set('connection.remove', () => ({
    key: 'key-1-documents',
    targetKey: 'cd'.repeat(32),
    target: 'beta',
  }));
  const show = (agent: FakeAgent, key: string): void => {
    agent.answers.set('peer.show', () => ({
      name: agent.name,
      key,
      listen: { host: '0.0.0.0', port: 1500 },
      addresses: ['10.0.0.2'],
      peers: [],
    }));
  };
  show(alpha, 'ab'.repeat(32));
  show(beta, 'cd'.repeat(32));
  beta.answers.set('grant.remove', () => ({ removed: true }));
  await stage.press('D', '\r');
  t.deepEqual(alpha.asked, []);
  await stage.press('D', '\t', '\r');
  await stage.shows('Connection alpha:1 ended.');
  t.deepEqual(
    alpha.asked.map((one) => one.method),
    ['connection.remove', 'peer.show'],
  );
  t.deepEqual(beta.asked, [
    { method: 'peer.show', params: {} },
    { method: 'grant.remove', params: { connection: 'key-1-documents' } },
  ]);
});

test('a failed action says what and what to do', async (t) => {
  const { stage, alpha } = await staged(t);
  alpha.answers.set('replication.stop', () => {
    throw failure('CONNECTION_UNKNOWN', { id: '1' });
  });
  await stage.press('I', 'y');
  await stage.shows(/✗ Stop replication \(alpha\):/);
  t.regex(stage.text(), /There is no connection/);
});

test('RCN-33: scrolling up pauses the messages, reaching the bottom resumes them', async (t) => {
  const { stage, alpha } = await staged(t);
  for (let i = 0; i < 30; i++) alpha.write('SET_DELETED', { set: `s${i}` });
  await stage.shows('"s29"');
  await stage.press('4', '\u001b[A', '\u001b[A');
  t.regex(stage.text(), /paused/);
  alpha.write('SET_DELETED', { set: 'later' });
  await stage.shows('1 new');
  t.notRegex(stage.text(), /"later"/);
  await stage.press('G');
  t.regex(stage.text(), /following/);
  t.regex(stage.text(), /"later"/);
});

test('RCN-32: clear empties the window only, Space pauses and resumes, o chooses the server', async (t) => {
  const { stage } = await staged(t);
  await stage.press('4', 'x');
  t.regex(stage.text(), /No messages yet/);
  t.regex(stage.text(), /the log of alpha is complete/);
  await stage.press(' ');
  await stage.press('o');
  await stage.press('o');
  t.regex(stage.text(), /Messages of beta/);
  await stage.press(' ');
  t.regex(stage.text(), /paused/);
  await stage.press(' ');
  t.regex(stage.text(), /following/);
});

test('RCN-31: lines that never came are a red entry', async (t) => {
  const { stage, alpha } = await staged(t);
  const last = alpha.log.at(-1)?.sequence ?? 0;
  alpha.log.push({
    sequence: last + 7,
    at: 0,
    set: null,
    connection: null,
    server: null,
    notice: notice('SET_DELETED', { set: 'x' }),
    count: 1,
    audit: null,
  });
  alpha.cut();
  await stage.shows('6 lines are missing here');
  t.regex(stage.text(), /✗ +6 lines are missing here/);
});

test('filter while typing, q among it; Escape clears', async (t) => {
  const { stage } = await staged(t);
  await stage.press('/', 'p', 'o', 's', 'q');
  t.is(stage.quits, 0);
  await stage.press('\u007f');
  t.regex(stage.text(), /1\/1 of 3/);
  t.notRegex(stage.text(), /documents +OK/);
  await stage.press('\r');
  t.regex(stage.text(), /\/pos/);
  await stage.press('\u001b');
  t.regex(stage.text(), /documents +OK/);
});

test('p shows problems only, in table and tree', async (t) => {
  const { stage } = await staged(t);
  await stage.press('p');
  t.notRegex(stage.text(), /documents +OK/);
  t.regex(stage.text(), /postgres +Mirror Required/);
  await stage.press('p');
  t.regex(stage.text(), /documents +OK/);
});

test('T3: a resize keeps selection and filter; too small and back is no loss', async (t) => {
  const { stage } = await staged(t);
  await stage.press('j', 'j');
  stage.resize(30, 5);
  await stage.settle();
  t.regex(stage.text(), /too small/);
  stage.resize(120, 40);
  await stage.settle();
  t.regex(stage.text(), /3\/3/);
});

test('T10: pasted text is never keys', async (t) => {
  const { stage, alpha } = await staged(t);
  await stage.press('\u001b[200~Dyq! ls\n\u001b[201~');
  t.is(stage.quits, 0);
  t.deepEqual(alpha.asked, []);
  t.regex(stage.text(), /Pasted text was ignored/);
});

test('q leaves at the top only; ^C twice leaves', async (t) => {
  const { stage } = await staged(t);
  await stage.press('?');
  await stage.press('q');
  t.is(stage.quits, 0);
  await stage.press('q');
  t.is(stage.quits, 1);
  await stage.press('\u0003');
  t.regex(stage.text(), /\^C again leaves/);
  await stage.press('\u0003');
  t.is(stage.quits, 2);
});

test('the help overlay is made of the key table and can be searched', async (t) => {
  const { stage } = await staged(t, { width: 110, height: 80 });
  await stage.press('?');
  golden(t, 'help-110x80', stage.text());
  await stage.press('/');
  await stage.press('d', 'i', 's', 'c', 'o', 'n');
  t.regex(stage.text(), /D +Disconnect/);
  t.notRegex(stage.text(), /Start a mirror/);
});

test('T11: a click selects, on a heading it sorts, the wheel scrolls, a double click opens', async (t) => {
  const { stage } = await staged(t);
  const click = (x: number, y: number): string => `\u001b[<0;${x};${y}M\u001b[<0;${x};${y}m`;
  await stage.press(click(30, 7));
  t.regex(stage.text(), /3\/3/);
  await stage.press('\u001b[<64;30;7M');
  t.regex(stage.text(), /1\/3/);
  await stage.press(click(30, 3));
  t.regex(stage.text(), /▴/);
  await stage.press(click(30, 5) + click(30, 5));
  t.regex(stage.text(), /Connection alpha:/);
});

test('T20: names full of escapes, directions, marks and markup reach no terminal', async (t) => {
  const { stage, alpha } = await staged(t);
  const evil = [
    '\u001b[2J\u001b]0;owned\u0007',
    '{red-fg}{/}',
    '\u009b31m',
    'a\u202egnp.exe',
    '👩‍👩‍👧',
    `e${'\u0301'.repeat(200)}`,
    'line\nbreak\rback',
    '\ud800',
    '文件夹',
    '\u0000',
  ];
  evil.forEach((name, i) => {
    const item = makeConnection(10 + i, `x${i}`, 'beta', {}, { replicationSet: name, lastFileTouched: name });
    alpha.put('connections', item);
  });
  await stage.shows('{red-fg}{/}');
  stage.output.frames.length = 0;
  await stage.press('\u000c');
  const sent = stage.output.frames.join('');
  t.false(sent.includes('owned\u0007'));
  t.false(/\u009b|\u202e|\u200d/.test(sent));
  // Each row keeps its columns: the table's edge is straight.
  const edge = stage
    .text()
    .split('\n')
    .slice(2, 11)
    .map((line) => [...line].indexOf('│'));
  t.deepEqual(new Set(edge), new Set([22]));
});

test('RCN-60: columns are chosen, moved and saved; default and last come back', async (t) => {
  const { stage } = await staged(t);
  await stage.press('o');
  t.regex(stage.text(), /\[x\] Replication Set +STA-01/);
  // Connection ID off, Replication Set one down.
  await stage.press('j', ' ', '\r');
  t.deepEqual(stage.saved?.slice(0, 3), ['STA-01', 'STA-03', 'STA-04']);
  t.regex(stage.text(), /documents +beta +10\.0\.0\.2/);
  await stage.press('o', 'j', '-', '\r');
  t.deepEqual(stage.saved?.slice(0, 3), ['STA-03', 'STA-01', 'STA-04']);
  await stage.press('o', 'd', '\r');
  t.is(stage.saved, null);
  await stage.press('o', ' ', 'l', '\u001b');
  t.is(stage.cockpit.app.columns, null);
});

test('I10: a target that fell silent is explained in the action line', async (t) => {
  const { stage, alpha } = await staged(t, { width: 120, height: 30 });
  alpha.put(
    'connections',
    makeConnection(1, 'documents', 'beta', { severity: 'warning', quietMs: 12_400 }, { targetDataState: 'Unknown' }),
  );
  await stage.shows('Connection 1: heard nothing from beta for 12.4 s; its data state is unknown.');
  t.regex(stage.text(), /▲ documents +1? *.*Unknown/);
});
