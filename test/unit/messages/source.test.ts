/** What is said of sets, of their capture, and of what a person asks of a connection: when, and in which words. */
import test from 'ava';
import * as m from '../../../protocol/messages/index.js';
import { until } from '../../support/fake-agent.js';
import { fakePair, handleOf, connectAgents, refused, said, told } from '../../support/fake-pair.js';

const rules = (path: string): m.Rule[] => [{ path, include: true, recursive: true }];
const HOUR = 3_600_000;
const full: m.MirrorOptions = { kind: 'full' };

test('SET-02, SET-05, SET-16: rules that are not possible, directories that are not there, a connected set that was changed', async (t) => {
  const { a, ca } = await fakePair(t);
  const save = (name: string, path: string, generation: number | null = null): Promise<unknown> =>
    ca.request(m.SetSave, { name, rules: rules(path), generation });
  t.regex((await refused(t, 'RULE_INVALID', save('x', 'data')))?.message ?? '', /^The rule "data" is not possible: /);
  a.kinds.set('/later', 'missing');
  await save('later', '/later');
  const missing = await refused(t, 'ROOT_MISSING', ca.request(m.SetSize, { name: 'later' }));
  t.is(missing?.message, '/later of the set "later" is not there.');
  const prepare = ca.request(m.ConnectionPrepare, { set: 'later', mapping: { kind: 'one_to_one' } });
  await refused(t, 'ROOT_MISSING', prepare);
  await save('docs', '/other', 1);
  t.is(
    await told(a, 'SET_SAVED_CONNECTED'),
    'Set "docs" saved as generation 2, but connection 1 still runs with the older one.',
  );
});

test('I10, CON-40: a second connection of a set to the same directories, or a second simulated one, is refused', async (t) => {
  const { ca, cb, b } = await fakePair(t);
  const peer = await cb.request(m.PeerShow, {});
  const mapping = { kind: 'custom' as const, custom: [{ source: '/data', target: '/replica' }] };
  const prepared = await ca.request(m.ConnectionPrepare, { set: 'docs', mapping });
  const create = (mappings: m.Mapping[]): Promise<unknown> =>
    ca.request(m.ConnectionCreate, {
      key: prepared.key,
      set: 'docs',
      generation: prepared.generation,
      target: { name: peer.name, key: peer.key, host: '127.0.0.1', port: b.port },
      mappings,
      mirror: full,
      replication: true,
    });
  t.is(
    (await refused(t, 'CONNECTION_EXISTS', create(prepared.mappings)))?.message,
    '"docs" is already connected to beta with these directories (connection 1).',
  );
  t.regex(
    (await refused(t, 'MAPPING_INVALID', create([{ source: '/elsewhere', target: '/r' }])))?.message ?? '',
    /^\/data cannot be mapped: the directories of the set changed/,
  );
  await ca.request(m.ConnectionSimulate, { set: 'docs' });
  await refused(t, 'CONNECTION_EXISTS', ca.request(m.ConnectionSimulate, { set: 'docs' }));
});

test('CAP-01: a capture that is weaker than wanted, or that cannot begin, says why', async (t) => {
  const { a, ca, item } = await fakePair(t);
  const [source = -1] = a.engine.sources.keys();
  a.engine.tell({ kind: 'source_degraded', source, why: 'inotify in place of fanotify', detail: 'no CAP_SYS_ADMIN' });
  t.is(
    await told(a, 'SOURCE_DEGRADED'),
    'Set "docs": capture is weaker than wanted: inotify in place of fanotify (no CAP_SYS_ADMIN).',
  );
  await ca.request(m.ConnectionRemove, { id: 1 });
  const broken = Object.assign(new Error('too many watches'), { code: 'ENOSPC', call: 'inotify_add_watch' });
  a.engine.refuseSource = broken;
  await ca.request(m.ConnectionSimulate, { set: 'docs' });
  await until('told', () => a.agent.connections.items()[0]?.problem?.code === 'SOURCE_FAILED');
  const { problem } = await item();
  t.regex(problem?.text ?? '', /^Set "docs" cannot be captured: /);
  t.deepEqual(problem?.cause, { call: 'inotify_add_watch', errno: 'ENOSPC' });
  a.engine.refuseSource = null;
  await until('tried again by itself', () => a.agent.connections.items()[0]?.problem?.code !== 'SOURCE_FAILED');
});

test('I11, P17: a directory that is another one stops the set, and nothing is deleted', async (t) => {
  const { a, item } = await fakePair(t);
  const [source = -1] = a.engine.sources.keys();
  const detail = '/data is another directory than before';
  a.engine.tell({ kind: 'source_stopped', source, why: 'root_changed', detail, deleted: 0, total: 0 });
  t.is(
    await told(a, 'SOURCE_ROOT_CHANGED'),
    `Set "docs" is stopped: its directory is not the one it was (${detail}). Nothing is deleted on any target.`,
  );
  const { problem } = await item();
  t.is(problem?.code, 'SOURCE_ROOT_CHANGED');
  t.regex(problem?.remedy ?? '', /set continue alpha:docs --accept-deletes/);
});

test('MIR-06, MIR-07, REP-01, REP-02: pauses and stops of a mirror and of replication are told', async (t) => {
  const { a, ca } = await fakePair(t);
  a.engine.instant = false;
  await ca.request(m.MirrorStart, { id: 1, options: full });
  await until('mirroring', () => said(a, 'MIRROR_STARTED').length === 2);
  await ca.request(m.MirrorPause, { id: 1 });
  t.is(await told(a, 'MIRROR_PAUSED'), 'Connection 1: mirror paused; the position is kept.');
  await ca.request(m.MirrorResume, { id: 1 });
  t.is(await told(a, 'MIRROR_RESUMED'), 'Connection 1: mirror resumed.');
  a.engine.mirrorDone(handleOf(a));
  await ca.request(m.ReplicationStop, { id: 1 });
  t.is(await told(a, 'REPLICATION_STOPPED'), 'Connection 1: replication stopped; changes are not queued (REP-01).');
  await ca.request(m.ReplicationStart, { id: 1 });
  t.is(await told(a, 'REPLICATION_STARTED'), 'Connection 1: replication started.');
});

test('QUE-02, QUE-03, QUE-07: a queue folder in a bad place, without room, or that cannot be made, is told at the start', async (t) => {
  const { a, ca } = await fakePair(t, { queue: { folder: '/q', free_mb: 600, disk_mb: 500 } }, full, false);
  a.volumes.set('/q', { device: 1, totalBytes: 1_000 * 1_048_576 });
  a.volumes.set('/data', { device: 1, totalBytes: 1_000 * 1_048_576 });
  a.unmakable.add('/q');
  await ca.request(m.SetSave, { name: 'docs', rules: rules('/data'), generation: null });
  await ca.request(m.ConnectionSimulate, { set: 'docs' });
  t.is(
    await told(a, 'QUEUE_PLACE'),
    'The queue folder /q had better be elsewhere: it is on the same volume as the replicated /data (QUE-03).',
  );
  t.regex(await told(a, 'QUEUE_LIMITS'), /^The limits of the queue leave it no space on disk: .* \(QUE-07\)\.$/);
  t.is(
    await told(a, 'QUEUE_FOLDER_FAILED'),
    'The queue folder /q cannot be made; changes wait in memory only, and as names.',
  );
  t.deepEqual(said(a, 'QUEUE_FOLDER_FAILED')[0]?.cause, { call: 'mkdir', errno: 'EROFS' });
});

test('VER-02, VER-05, VER-07, VER-12: schedules are told, what makes no sense or does not finish is answered, and so is a log that cannot be written', async (t) => {
  const { a, ca } = await fakePair(t);
  const options = { checksum: false, remirror: false, newer: false };
  const schedule = (start: number, everyMs: number | null, newer = false): Promise<unknown> =>
    ca.request(m.VerifyScheduleSet, { id: 1, schedule: { start, everyMs, options: { ...options, newer } } });
  await schedule(Date.now() + HOUR, null);
  t.regex(
    await told(a, 'VERIFY_SCHEDULED'),
    /^Connection 1: verifications are scheduled; the next is at \d{4}-.*\(VER-07\)\.$/,
  );
  await ca.request(m.VerifyScheduleSet, { id: 1, schedule: null });
  t.is(await told(a, 'VERIFY_UNSCHEDULED'), 'Connection 1: no verification is scheduled any more.');
  t.regex((await refused(t, 'USAGE', schedule(1, null)))?.message ?? '', /it would never run/);
  await refused(t, 'USAGE', schedule(Date.now() + HOUR, null, true));
  await refused(t, 'USAGE', ca.request(m.Verify, { id: 1, newer: true }));

  a.verifyLogs.append = () => {
    throw Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'write' });
  };
  await ca.request(m.Verify, { id: 1 });
  t.is(
    await told(a, 'VERIFY_LOG_NOT_WRITTEN'),
    'The verification log /log/docs USVerify.log cannot be written; results are kept by the agent only.',
  );
  a.engine.instant = false;
  const asked = ca.request(m.Verify, { id: 1 });
  asked.catch(() => undefined);
  await until('it runs', () => a.engine.calls.filter((call) => call.startsWith('verify')).length === 2);
  a.engine.tell({ kind: 'verify_stopped', connection: handleOf(a), why: 'the link broke' });
  t.is(
    (await refused(t, 'VERIFY_FAILED', asked))?.message,
    'The verification of connection 1 did not finish: the link broke.',
  );
});

test('MIR-56, MIR-57, MIR-59: a preview of orphans, their removal and one that breaks off are told apart', async (t) => {
  const pair = await fakePair(t, null, full, false);
  const { a, ca } = pair;
  await connectAgents(pair, { set: 'db', rules: [{ path: '/data/*.db', include: true, recursive: true }] });
  await until('mirrored', () => a.log().includes('MIRROR_DONE'));
  await ca.request(m.OrphansStart, { id: 1, preview: true });
  t.is(
    await told(a, 'ORPHANS_PREVIEWED'),
    'Connection 1: 1 orphan found on beta; its log lists them. Nothing was touched.',
  );
  t.regex(await told(a, 'ORPHANS_WILDCARDS'), /names on the target that no include takes in are orphans/);
  await ca.request(m.OrphansStart, { id: 1, preview: false });
  t.is(await told(a, 'ORPHANS_TOLD'), 'Connection 1: 1 orphan told to beta; its log says what became of them.');
  let begun = false;
  a.engine.orphansStart = () => {
    begun = true;
  };
  const asked = ca.request(m.OrphansStart, { id: 1, preview: false });
  asked.catch(() => undefined);
  await until('it runs', () => begun);
  const { stopped } = await ca.request(m.OrphansStop, { id: 1 });
  t.true(stopped);
  t.is(
    (await refused(t, 'ORPHANS_FAILED', asked))?.message,
    'Removing the orphans of connection 1 did not finish: it was stopped.',
  );
});
