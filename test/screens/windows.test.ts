/** What lies on top of the console, at every size and at bad moments: windows, forms, questions, results. */
import test from 'ava';
import { onlyLooks } from '../../tui/screens/shell/palette.js';
import { readVerbs } from '../../tui/verbs.js';
import { makeConnection, makeSet } from './fake-agent.js';
import { twoServers } from './fleet.js';
import { Stage } from './stage.js';
import { staged } from './staged.js';

process.env['TZ'] = 'UTC';

test('T2: on a terminal that is too small no key falls into the hidden form, and q leaves', async (t) => {
  const { stage, alpha } = await staged(t);
  await stage.press('D', '\t');
  stage.resize(30, 6);
  await stage.settle();
  t.regex(stage.text(), /q leaves/);
  await stage.press('y', '\r', '\u001b[200~secret\u001b[201~');
  t.deepEqual(alpha.asked, []);
  stage.resize(80, 24);
  await stage.settle();
  t.regex(stage.text(), /─ Disconnect ─/);
  stage.resize(30, 6);
  await stage.press('q');
  t.is(stage.quits, 1);
});

for (const [width, height] of [
  [80, 24],
  [60, 16],
  [40, 10],
] as const)
  test(`T2: at ${width}x${height} each field of the largest form is in sight when it has the focus, and so are the buttons`, async (t) => {
    const { stage } = await staged(t, { width, height });
    await stage.press('c');
    for (const label of ['Replication set', 'Target', 'Directories', 'Below', 'Mirror', 'Start replication']) {
      t.true(stage.text().includes(label), `${label}\n${stage.text()}`);
      t.regex(stage.text(), /\[ Cancel \] {2}\[ Connect \]/);
      await stage.press('\t');
    }
    t.regex(stage.text(), /difference/);
  });

test('T3: a result that arrives while a form is open waits for it, and is not lost', async (t) => {
  const { stage } = await staged(t);
  await stage.press('N', 'g', 'a');
  stage.cockpit.send({ kind: 'finished', command: 99, text: '', trouble: null, lines: ['what it', 'printed'] });
  await stage.press('m');
  t.regex(stage.text(), /Name +gam/);
  t.notRegex(stage.text(), /printed/);
  await stage.press('\u001b');
  t.regex(stage.text(), /printed/);
});

test('T3: a question of a link that comes while something is typed waits; the title says who asks', async (t) => {
  const { stage } = await staged(t);
  await stage.press(':', 'm', 'a');
  stage.cockpit.send({
    kind: 'question',
    id: 7,
    question: { kind: 'secret', server: 'beta', prompt: 'Password:', echo: false, attempt: 1 },
  });
  await stage.press('i');
  t.regex(stage.text(), /:mai/);
  t.regex(stage.text(), /beta asks/);
  t.notRegex(stage.text(), /Log on to beta/);
  await stage.press('\u001b');
  t.regex(stage.text(), /Log on to beta/);
});

test('T3: scrolling stops at the end of a window, so that one key up is one line up', async (t) => {
  const { stage } = await staged(t);
  const body = (): string => stage.text();
  for (const open of ['\r', '?']) {
    await stage.press(open);
    for (const end of ['\u001b[F', '\u001b[6~', '\u001b[6~']) await stage.press(end);
    t.regex(body(), /100%/);
    await stage.press('k');
    t.notRegex(body(), /100%/);
    await stage.press('\u001b');
  }
  // Long lines are wrapped: the end is further down than the number of lines says.
  stage.cockpit.send({ kind: 'copied', how: 'A text', text: `${'word '.repeat(900)}end` });
  await stage.press('\u001b[F');
  t.regex(body(), /\bend\b/);
});

test('RCN-30: messages of another day show their date, those of today do not', async (t) => {
  const { stage } = await staged(t);
  t.regex(stage.text(), /· 22:00:00 2000/);
  stage.clock += 3 * 3_600_000;
  stage.cockpit.send({ kind: 'tick', now: stage.clock });
  await stage.settle();
  t.regex(stage.text(), /· 11-20 22:00:00 2000/);
});

test('T10: a whole address that is pasted takes the place of the beginning that stands there', async (t) => {
  const { stage } = await staged(t);
  await stage.press('N', 'gamma', '\t', '\u001b[200~ssh://root@gamma\n\u001b[201~');
  t.regex(
    stage.text(),
    /\$ understudy server add gamma ssh:\/\/root@gamma$|\$ understudy server add gamma ssh:\/\/root@gamma /m,
  );
});

test('CON-60: a paused target is marked and named in the tree, and no title says that all is well', async (t) => {
  const { alpha, beta } = twoServers();
  for (const key of [...alpha.connections.keys()].slice(1)) alpha.connections.delete(key);
  const stage = new Stage({ agents: [alpha, beta] });
  t.teardown(() => stage.end());
  stage.start();
  await stage.shows('all OK');
  beta.put('server', { ...beta.status, targetPaused: true });
  await stage.shows(/▲ beta +paused/);
  t.notRegex(stage.text(), /all OK/);
});

test('RCN-32: an empty window is not written to a file', async (t) => {
  const { stage } = await staged(t);
  await stage.press('4', 'x', 'W');
  t.regex(stage.text(), /no messages to write/);
  t.true(stage.cockpit.idle);
});

test('T18: the palette completes commands that have commands below them, what begins so first', async (t) => {
  const { stage } = await staged(t);
  stage.cockpit.setVerbs(readVerbs());
  await stage.press(':', 'ver');
  const lines = stage.text().split('\n');
  const at = (what: RegExp): number => lines.findIndex((line) => what.test(line));
  t.true(at(/^ verify <id> /) > 0, stage.text());
  t.true(at(/^ verify <id> /) < at(/^ server add /), stage.text());
});

test('T14: a read-only console runs commands that look, and none that change', async (t) => {
  const { stage } = await staged(t, { readOnly: true });
  const changing = ['set delete alpha:mail', 'server remove alpha', 'peer forget alpha x', 'orphans start 1'];
  for (const command of [...changing, 'quarantine retry 1']) {
    await stage.press(':', command, '\r');
    t.regex(stage.text(), /started read-only/, command);
    t.true(stage.cockpit.idle, command);
  }
  for (const command of ['quarantine 1', 'quarantine list 1', 'status', 'set list', 'quarantine retry --help'])
    t.true(onlyLooks(command.split(' ')), command);
});

test('MIR-56: O lists orphans at once, and removes them only after the name of the set was typed', async (t) => {
  const { stage, alpha } = await staged(t);
  alpha.answers.set('orphans.start', () => ({
    orphans: 1,
    paths: ['/srv/documents/only there'],
    omitted: 0,
    wildcards: false,
    ms: 3,
  }));
  await stage.press('O');
  t.regex(stage.text(), /\$ understudy orphans preview alpha:1/);
  await stage.press('\t', '\t', '\r');
  await stage.shows('/srv/documents/only there');
  await stage.press('\u001b');
  await stage.press('O', ' ');
  t.regex(stage.text(), /\$ understudy orphans start alpha:1/);
  t.regex(stage.text(), /still needed: the name of the set/);
  await stage.press('\t', '\t', '\t', '\r');
  t.is(alpha.asked.length, 1);
  await stage.press('\u001b[Z', '\u001b[Z', 'documents', '\t', '\t', '\r');
  await stage.until(() => alpha.asked.length === 2, 'the removal');
  t.deepEqual(
    alpha.asked.map((one) => one.params),
    [
      { id: 1, preview: true },
      { id: 1, preview: false },
    ],
  );
});

test('P6, REP-10: Q names the paths a target refused, and has them told again', async (t) => {
  const { stage, alpha } = await staged(t);
  await stage.press('Q');
  t.regex(stage.text(), /Quarantine: nothing is in quarantine/);
  alpha.put('connections', makeConnection(1, 'documents', 'beta', { quarantined: 2 }));
  await stage.until(
    () => stage.cockpit.app.fleet.servers[0]?.connections.get('key-1-documents')?.quarantined === 2,
    'two of them',
  );
  const refused = { operation: 'setattr', call: 'fchmod', errno: 'EPERM', error: 'operation not permitted' };
  alpha.answers.set('quarantine.list', () => ({
    items: [{ path: '/srv/documents/a\nb', ...refused, attempts: 3, since: stage.clock - 60_000, next: null }],
    omitted: 1,
    total: 2,
  }));
  await stage.press('Q');
  t.regex(stage.text(), /could not write 2 paths/);
  t.regex(stage.text(), /\$ understudy quarantine alpha:1/);
  await stage.press('\r');
  await stage.shows('setattr: fchmod: EPERM, operation not permitted');
  t.regex(stage.text(), /documents\/a\\x0ab/);
  t.regex(stage.text(), /refused 3 times, first .*; being tried/);
  t.regex(stage.text(), /1 more: understudy quarantine alpha:1 --after/);
  await stage.press('\u001b');
  alpha.answers.set('quarantine.retry', () => ({ count: 2 }));
  await stage.press('Q', '\u001b[Z', '\u001b[Z', ' ');
  t.regex(stage.text(), /\$ understudy quarantine retry alpha:1/);
  await stage.press('\t', '\t', '\r');
  await stage.shows('2 paths told again to beta');
});

test('MIR-56: while orphans are removed, O stops it and other checks say what they wait for', async (t) => {
  const { stage, alpha } = await staged(t);
  alpha.put('connections', makeConnection(1, 'documents', 'beta', {}, { mirrorStatus: 'Removing Orphans' }));
  await stage.shows('Removing');
  alpha.answers.set('orphans.stop', () => ({ stopped: true }));
  await stage.press('v');
  t.regex(stage.text(), /Verify: wait until the orphans are removed/);
  await stage.press('O', 'y');
  await stage.shows('Removing orphans is stopped.');
});

test('I11: the answer to a guard is about the set that is selected, not the first that is stopped', async (t) => {
  const { stage, alpha } = await staged(t);
  for (const name of ['documents', 'postgres']) alpha.put('sets', makeSet(name, { state: 'stopped' }));
  await stage.until(() => stage.cockpit.app.fleet.servers[0]?.sets.get('postgres')?.state === 'stopped', 'stopped');
  await stage.settle();
  await stage.press('j', 'j', 'A');
  t.regex(stage.text(), /Set postgres is stopped/);
});

test('the action line marks what has no room and names the key that shows it', async (t) => {
  const { stage } = await staged(t);
  await stage.press('j', 'j');
  t.regex(stage.text(), /… Enter shows all/);
  stage.cockpit.send({
    kind: 'finished',
    command: 99,
    text: '',
    trouble: { code: 'X', text: 'It could not be done. '.repeat(6), remedy: 'Do this.' },
    lines: null,
  });
  await stage.shows('… d shows all');
  await stage.press('d');
  t.regex(stage.text(), /Do this\./);
});

test('a place without connections shows no throughput of its own making', async (t) => {
  const { stage } = await staged(t);
  await stage.press('1', '\u001b[F');
  t.regex(stage.text(), /2 Incoming/);
  t.regex(stage.text(), /no connection here/);
  t.notRegex(stage.text(), /0 B\/s/);
  await stage.press('2', '\r');
  t.regex(stage.text(), /Written +70\.0 MiB in 4,211 operations/);
});
