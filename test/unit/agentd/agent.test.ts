/** The drivers of two agents over a fake engine and a fake network. */
import { networkInterfaces } from 'node:os';
import test from 'ava';
import type { Client } from '../../../protocol/client.js';
import { Failure } from '../../../protocol/errors.js';
import * as m from '../../../protocol/messages/index.js';
import type { LogLine } from '../../../protocol/messages/log.js';
import { SOFTWARE_VERSION } from '../../../protocol/version.js';
import { FakeAgent, until } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';
import { connectAgents, fakePair, handleOf, refused } from '../../support/fake-pair.js';
import { connect } from '../../support/introduce.js';

test('CON-28, CON-29: connecting opens the capture, links, mirrors, and is then OK', async (t) => {
  const { a, b, item } = await fakePair(t);
  t.deepEqual(
    a.log().filter((code) => code !== 'AUDIT'),
    [
      'AGENT_STARTED',
      'SET_SAVED',
      'PEER_TRUSTED',
      'CONNECTION_CREATED',
      'SOURCE_OPENING',
      'SOURCE_READY',
      'LINK_UP',
      'MIRROR_STARTED',
      'MIRROR_DONE',
    ],
  );
  t.deepEqual(
    b.log().filter((code) => code !== 'AUDIT'),
    ['AGENT_STARTED', 'PEER_TRUSTED', 'GRANT_CREATED', 'INCOMING_UP'],
  );
  t.like(await item(), {
    id: 1,
    set: 'docs',
    source: 'alpha',
    target: 'beta',
    phase: 'linked',
    statistics: { targetDataState: 'OK', transmitMode: 'Started', replicationStatus: 'Ready' },
  });
  t.deepEqual(
    a.engine.calls.filter((call) => call.startsWith('mirrorStart')),
    ['mirrorStart none'],
  );
});

test("the agents' own folders are excluded, and the engine is told the rules with their wildcards split off", async (t) => {
  const { a, ca, cb, b } = await fakePair(t, null, { kind: 'full' }, false);
  await connectAgents(
    { b, ca, cb },
    {
      set: 'db',
      target: '/r',
      rules: [
        { path: '/data/*.db', include: true, recursive: true },
        { path: '/data/old', include: false, recursive: true },
      ],
    },
  );
  const [source] = a.engine.sources.values();
  t.deepEqual(source?.options.roots, ['/data']);
  t.deepEqual(source?.options.exclude, ['/state/alpha', '/log/alpha']);
  t.deepEqual(source?.options.rules, [
    { path: '/data', pattern: '*.db', include: true, recursive: true },
    { path: '/data/old', pattern: null, include: false, recursive: true },
  ]);
});

test('MIR-31, CON-01: after a restart connections come back by themselves, numbered from 1', async (t) => {
  const { a, b, ca, cb } = await fakePair(t);
  await connectAgents({ b, ca, cb }, { set: 'more', source: '/more', target: '/replica2' });
  await until('second mirror', () => a.log().filter((code) => code === 'MIRROR_DONE').length === 2);
  await ca.request(m.ConnectionRemove, { id: 1 });
  a.kill();
  const again = new FakeAgent('alpha', a.network, null, a.documents, a.port).start();
  t.teardown(() => again.stop());
  await until('linked again', () => again.log().includes('LINK_UP'));
  const { connections } = await (await again.client()).request(m.ConnectionList, {});
  t.deepEqual(
    connections.map((one) => [one.id, one.set]),
    [[1, 'more']],
  );
  t.false(again.log().includes('AUTO_REMIRROR'), 'the stream went on where it was');
  t.deepEqual(
    [...again.engine.sources.values()].map((source) => [source.options.rootIdentity, source.options.streams]),
    [[['1:2'], 1]],
    'I11: the identity of the root is remembered',
  );
});

test('MIR-34: a mirror under way when the agent dies begins again after the restart', async (t) => {
  const { a, ca } = await fakePair(t);
  a.engine.instant = false;
  await ca.request(m.MirrorStart, { id: 1, options: { kind: 'full' } });
  await until('mirroring', () => a.log().filter((code) => code === 'MIRROR_STARTED').length === 2);
  a.kill();
  const again = new FakeAgent('alpha', a.network, null, a.documents, a.port).start();
  t.teardown(() => again.stop());
  await until('mirrored', () => again.log().includes('MIRROR_DONE'));
  t.deepEqual(
    again.engine.calls.filter((call) => call.startsWith('mirrorStart')),
    ['mirrorStart content'],
    'MIR-32: differences with checksum',
  );
});

test('MIR-30, MIR-32: a broken stream is mirrored again by itself', async (t) => {
  const { a, item } = await fakePair(t);
  a.engine.instant = false;
  a.engine.breakStream(handleOf(a));
  await until('mirroring again', () => a.engine.calls.includes('mirrorStart content'));
  t.is((await item()).statistics.targetDataState, 'Mirroring');
  a.engine.mirrorDone(handleOf(a));
  t.is((await item()).statistics.targetDataState, 'OK');
  t.true(a.log().includes('STREAM_BROKEN') && a.log().includes('AUTO_REMIRROR'));
});

test('SRV-23: with reconnecting off a restart leaves connections alone until somebody asks', async (t) => {
  const { a } = await fakePair(t, { source: { reconnect: false } });
  a.kill();
  const again = new FakeAgent('alpha', a.network, a.file, a.documents, a.port).start();
  t.teardown(() => again.stop());
  t.true(again.log().includes('CONNECTION_LEFT'));
  t.is(again.engine.sources.size, 0);
  const client = await again.client();
  t.like((await client.request(m.ConnectionList, {})).connections[0]?.statistics, { transmitMode: 'Stopped' });
  await client.request(m.ConnectionReconnect, { id: 1 });
  await until('linked', () => again.log().includes('LINK_UP'));
});

test('REP-13, SRV-52: a source that ignores deletes asks its targets for it', async (t) => {
  const { ca } = await fakePair(t, { source: { ignore_deletes: true } });
  t.true((await ca.request(m.ConnectionPrepare, { set: 'docs', mapping: { kind: 'one_to_one' } })).ignoreDeletes);
});

test('MIR-10, MIR-11: choices that leave something out are told', async (t) => {
  const { a, ca } = await fakePair(t);
  await ca.request(m.MirrorStart, { id: 1, options: { kind: 'difference', newer: true } });
  await until('mirrored', () => a.log().filter((code) => code === 'MIRROR_DONE').length === 2);
  await ca.request(m.MirrorStart, { id: 1, options: { kind: 'difference' } });
  t.true(a.log().includes('NEWER_ONLY') && a.log().includes('ATTRIBUTES_ONLY'));
});

test('MIR-33: without auto-remirror the connection stays pending until a person mirrors, and says the command', async (t) => {
  const { a, ca, item } = await fakePair(t, { source: { remirror: 'off' } });
  a.engine.breakStream(handleOf(a));
  const stuck = await item();
  t.like(stuck.statistics, { targetDataState: 'Mirror Required', replicationStatus: 'Pending', mirrorStatus: 'Idle' });
  t.regex(stuck.problem?.remedy ?? '', /understudy mirror start 1/);
  await refused(t, 'BARRIER_FAILED', ca.request(m.Barrier, { id: 1 }));
  await ca.request(m.MirrorStart, { id: 1, options: { kind: 'difference', checksum: true } });
  await until('OK again', () => a.log().filter((code) => code === 'MIRROR_DONE').length === 2);
  t.is((await item()).statistics.targetDataState, 'OK');
});

test('I3: a mirror the engine gives up is begun again after a while', async (t) => {
  const { a } = await fakePair(t);
  a.engine.instant = false;
  a.engine.breakStream(handleOf(a));
  await until('mirroring', () => a.log().filter((code) => code === 'MIRROR_STARTED').length === 2);
  a.engine.tell({ kind: 'mirror_stopped', connection: handleOf(a), why: 'disk on fire' });
  t.true(a.log().includes('MIRROR_STOPPED'));
  await until('once more', () => a.log().filter((code) => code === 'MIRROR_STARTED').length === 3);
});

test('CON-06: a broken link is an error that is retried; the stream goes on afterwards', async (t) => {
  const { a, b, item } = await fakePair(t);
  a.network.cut = true;
  a.engine.breakLink(handleOf(a));
  t.like((await item()).statistics, {
    transmitMode: 'Error',
    targetDataState: 'Unknown',
    targetStatus: 'Unknown',
    connectedSince: null,
  });
  await until('unreachable is told', () => a.log().includes('LINK_UNREACHABLE'));
  a.network.cut = false;
  await until('linked again', () => a.log().filter((code) => code === 'LINK_UP').length === 2);
  t.like(await item(), { phase: 'linked', problem: null, statistics: { targetDataState: 'OK' } });
  t.true(b.log().includes('INCOMING_DOWN'));
});

test('I5: a target that answers with another key gets no data, and the message says so', async (t) => {
  const { a, b, item } = await fakePair(t);
  a.network.listening.set(b.port, a.engine);
  a.engine.breakLink(handleOf(a));
  await until('told', () => a.log().includes('LINK_WRONG_KEY'));
  t.is((await item()).problem?.code, 'LINK_WRONG_KEY');
});

test('I5, I10: a revoked grant refuses the source with a reason it can read, and a new grant is found by itself', async (t) => {
  const { a, b, cb, item } = await fakePair(t);
  const { grants } = await cb.request(m.GrantList, {});
  await cb.request(m.GrantRemove, { connection: grants[0]?.connection ?? '' });
  await until('refused', () => a.log().includes('LINK_REFUSED'));
  const stuck = await item();
  t.regex(stuck.problem?.text ?? '', /Nothing is granted here/);
  t.is(stuck.statistics.transmitMode, 'Error');
  t.true(b.log().includes('INCOMING_REFUSED'));
  const { connections } = await (await a.client()).request(m.ConnectionList, {});
  await cb.request(m.GrantCreate, {
    connection: connections[0]?.key ?? '',
    peer: a.key,
    server: 'alpha',
    set: 'docs',
    mappings: [{ source: '/data', target: '/replica' }],
    origins: [],
  });
  await until('linked again', () => a.log().filter((code) => code === 'LINK_UP').length === 2);
});

test('P6, REP-10: what the target refused is listed in pages with its error, and told again when asked', async (t) => {
  const { a, ca } = await fakePair(t);
  const { engine } = a;
  const found = engine.connections.get(handleOf(a));
  if (!found) throw new Error('no connection');
  const { refused: paths, options } = found;
  t.is(options.retryMs, 3_000, 'SRV-58: the preset');
  t.deepEqual(await ca.request(m.QuarantineList, { id: 1 }), { items: [], omitted: 0, total: 0 });
  await refused(t, 'QUARANTINE_UNKNOWN', ca.request(m.QuarantineRetry, { id: 1, path: '/data/b' }));
  for (const name of ['c', 'a', 'b']) paths.set(`/data/${name}`, 2);
  const first = await ca.request(m.QuarantineList, { id: 1, limit: 2 });
  t.deepEqual(first.items[0], {
    path: '/data/a',
    operation: 'write',
    call: 'openat(file at the target)',
    errno: 'EPERM',
    error: 'operation not permitted',
    attempts: 2,
    since: 1_000,
    next: null,
  });
  t.like(first, { omitted: 1, total: 3 });
  const [item] = (await ca.request(m.ConnectionList, {})).connections;
  t.is(item?.quarantined, 3);
  t.is(item?.problem?.code, 'PATHS_REFUSED', 'not a mirror is wanting, but somebody who looks at the target');
  const rest = await ca.request(m.QuarantineList, { id: 1, after: first.items[1]?.path ?? '' });
  t.deepEqual(
    rest.items.map(({ path }) => path),
    ['/data/c'],
  );
  t.deepEqual(await ca.request(m.QuarantineRetry, { id: 1, path: '/data/b' }), { count: 1 });
  t.deepEqual(await ca.request(m.QuarantineRetry, { id: 1 }), { count: 3 });
  t.deepEqual([...paths.values()], [3, 3, 4]);
  // A question that nobody answers any more ends with the stream.
  engine.mute = true;
  engine.calls.length = 0;
  const asked = refused(t, 'NOT_POSSIBLE_NOW', ca.request(m.QuarantineList, { id: 1 }));
  await until('asked', () => engine.calls.includes('quarantineList'));
  await ca.request(m.ConnectionRemove, { id: 1 });
  await asked;
});

test('I5: a server that is not trusted is refused, and so is a grant for one', async (t) => {
  const { a, cb, b } = await fakePair(t);
  await refused(
    t,
    'PEER_UNKNOWN',
    cb.request(m.GrantCreate, {
      connection: 'x',
      peer: 'f'.repeat(64),
      server: 'eve',
      set: 's',
      mappings: [{ source: '/a', target: '/z' }],
      origins: [],
    }),
  );
  t.like(await cb.request(m.PeerForget, { key: a.key }), { grants: 1 });
  await until('refused', () => a.log().includes('LINK_REFUSED'));
  t.regex(b.agent.world.log.last(undefined).lines.at(-1)?.notice.text ?? '', /not trusted here/);
});

test('TOP-08, TOP-09: loops and shared locations are refused before anything is connected', async (t) => {
  const { ca, cb, b, a } = await fakePair(t);
  const wish = (set: string, source: string, target: string, port: number) => ({
    set,
    source,
    target,
    host: '127.0.0.1',
    port,
    mirror: { kind: 'full' as const },
  });
  await refused(t, 'SAME_LOCATION', connect(ca, cb, wish('s1', '/other', '/replica/below', b.port)));
  await refused(t, 'LOOP', connect(cb, ca, wish('s2', '/replica', '/data/x', a.port)));
  await refused(t, 'LOOP', connect(ca, ca, wish('s3', '/data', '/data/copy', a.port)));
  await refused(t, 'AGENT_DIRECTORY', connect(ca, cb, wish('s4', '/data', '/state/beta/in', b.port)));
  t.is((await ca.request(m.ConnectionList, {})).connections.length, 1);
});

test('TOP-05, TOP-06: a chain and a single server are allowed', async (t) => {
  const { a, b, ca, cb } = await fakePair(t);
  await connect(cb, ca, {
    set: 'onward',
    source: '/replica',
    target: '/third',
    host: '127.0.0.1',
    port: a.port,
    mirror: { kind: 'full' },
  });
  await until('chain', () => b.log().includes('MIRROR_DONE'));
  await connect(ca, ca, {
    set: 'here',
    source: '/local',
    target: '/elsewhere',
    host: '127.0.0.1',
    port: a.port,
    mirror: { kind: 'full' },
  });
  await until('single server', () => a.log().filter((code) => code === 'MIRROR_DONE').length === 2);
  t.deepEqual(
    (await ca.request(m.GrantList, {})).grants.map((grant) => [grant.server, grant.linked]),
    [
      ['beta', true],
      ['alpha', true],
    ],
  );
});

test('TOP-08: a ring is found in whatever order its connections are made', async (t) => {
  const network = new FakeNetwork();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new FakeAgent(name, network).start()) as [
    FakeAgent,
    FakeAgent,
    FakeAgent,
  ];
  t.teardown(() => Promise.all([a, b, c].map((agent) => agent.stop())));
  const clients = new Map<FakeAgent, Client>();
  for (const agent of [a, b, c]) clients.set(agent, await agent.client());
  const link = async (from: FakeAgent, to: FakeAgent): Promise<unknown> => {
    const [source, target] = [clients.get(from), clients.get(to)];
    if (!source || !target) throw new Error('no client');
    await source.request(m.SetSave, {
      name: 'x',
      rules: [{ path: '/d', include: true, recursive: true }],
      generation: null,
    });
    await connect(source, target, {
      set: `to ${to.name}`,
      source: '/d',
      target: '/d',
      host: '127.0.0.1',
      port: to.port,
      mirror: { kind: 'full' },
    });
    return until(`${from.name} linked`, () => from.log().includes('MIRROR_DONE'));
  };
  await link(c, a);
  await link(b, c);
  // What c sends to a now comes from b, and a was told so over the link.
  await until('told', () => a.documents.saved.get('grants.sts')?.includes(b.key) ?? false);
  await refused(t, 'LOOP', link(a, b));
});

test('SET-05, P17: a missing directory is waited for and the replica left alone', async (t) => {
  const { a, item } = await fakePair(t);
  a.kinds.set('/data', 'missing');
  a.kill();
  const again = new FakeAgent('alpha', a.network, null, a.documents, a.port);
  again.kinds.set('/data', 'missing');
  again.start();
  t.teardown(() => again.stop());
  await until('missing', () => again.log().includes('SOURCE_MISSING'));
  const client = await again.client();
  t.like((await client.request(m.SetList, {})).sets[0], { state: 'missing' });
  t.is((await client.request(m.ConnectionList, {})).connections[0]?.statistics.targetDataState, 'Unknown');
  again.kinds.delete('/data');
  await until('watching', () => again.log().includes('LINK_UP'));
  t.is(typeof item, 'function');
});

test('I11: a stopped set says the exact command, and going on is a decision', async (t) => {
  const { a, ca, item } = await fakePair(t);
  const [source] = a.engine.sources.keys();
  a.engine.tell({
    kind: 'source_stopped',
    source: source ?? -1,
    why: 'mass_delete',
    detail: '',
    deleted: 900,
    total: 1000,
  });
  const [set] = (await ca.request(m.SetList, {})).sets;
  t.is(set?.state, 'stopped');
  t.regex(set?.problem?.remedy ?? '', /understudy set continue alpha:docs --accept-deletes/);
  t.like(await item(), { severity: 'error', statistics: { targetDataState: 'Unknown' } });
  await ca.request(m.SetContinue, { name: 'docs', acceptDeletes: false });
  t.is(a.engine.calls.at(-1), 'sourceRescan', 'without consent it only looks again');
  await ca.request(m.SetContinue, { name: 'docs', acceptDeletes: true });
  t.is(a.engine.calls.at(-1), 'sourceContinue once');
  await until('goes on', () => a.log().includes('SOURCE_CONTINUES'));
  t.is((await item()).statistics.targetDataState, 'OK');
  await refused(t, 'SET_NOT_STOPPED', ca.request(m.SetContinue, { name: 'docs', acceptDeletes: true }));
});

test('SET-15: a save from an older generation is refused', async (t) => {
  const { ca } = await fakePair(t, null, { kind: 'full' }, false);
  const rules = [{ path: '/a', include: true, recursive: true }];
  const { set } = await ca.request(m.SetSave, { name: 'x', rules, generation: null });
  await ca.request(m.SetSave, { name: 'x', rules, generation: set.generation });
  await refused(t, 'SET_GENERATION', ca.request(m.SetSave, { name: 'x', rules, generation: set.generation }));
  await refused(t, 'SET_EXISTS', ca.request(m.SetSave, { name: 'x', rules, generation: null }));
  await refused(t, 'SET_NAME_INVALID', ca.request(m.SetSave, { name: 'x.y', rules, generation: null }));
  await refused(t, 'SET_EMPTY', ca.request(m.SetSave, { name: 'z', rules: [], generation: null }));
});

test('SET-16, SET-24: a connected set keeps running with its definition and cannot be deleted', async (t) => {
  const { ca, a } = await fakePair(t);
  const saved = await ca.request(m.SetSave, {
    name: 'docs',
    rules: [{ path: '/new', include: true, recursive: true }],
    generation: 1,
  });
  t.true(saved.connected && saved.set.outdated);
  await refused(t, 'SET_CONNECTED', ca.request(m.SetDelete, { name: 'docs' }));
  await ca.request(m.ConnectionRemove, { id: 1 });
  await ca.request(m.SetDelete, { name: 'docs' });
  t.true(a.removed.some((path) => path.includes('/sets/docs%401-')));
  t.deepEqual(a.engine.calls.slice(-2), ['connectionClose forget', 'sourceClose']);
});

test('SET-17: rename copies or moves; SET-19: the size of a set that is not connected', async (t) => {
  const { ca, a } = await fakePair(t, null, { kind: 'full' }, false);
  await ca.request(m.SetSave, { name: 'x', rules: [{ path: '/a', include: true, recursive: true }], generation: null });
  await ca.request(m.SetRename, { name: 'x', to: 'y', copy: true });
  await ca.request(m.SetRename, { name: 'x', to: 'z' });
  t.deepEqual(
    (await ca.request(m.SetList, {})).sets.map((set) => set.name),
    ['y', 'z'],
  );
  t.like(await ca.request(m.SetSize, { name: 'y' }), { files: 5, directories: 1, bytes: 50 });
  t.is(a.engine.sources.size, 0, 'the source for counting is closed');
  t.is((await ca.request(m.SetList, {})).sets[0]?.bytes, 50);
});

test('a rule for a file keeps its directory and its mapping, even when the file is gone at a restart', async (t) => {
  const { a, b, ca, cb } = await fakePair(t, null, { kind: 'full' }, false);
  a.kinds.set('/etc/app.conf', 'file');
  const rules = [{ path: '/etc/app.conf', include: true, recursive: false }];
  await connectAgents({ b, ca, cb }, { set: 'conf', source: '/etc', rules });
  await until('mirrored', () => a.log().includes('MIRROR_DONE'));
  a.kill();
  const again = new FakeAgent('alpha', a.network, null, a.documents, a.port);
  again.kinds.set('/etc/app.conf', 'missing');
  again.start();
  t.teardown(() => again.stop());
  await until('linked', () => again.log().includes('LINK_UP'));
  t.deepEqual(
    [...again.engine.sources.values()].map((source) => source.options.roots),
    [['/etc']],
  );
});

test('TOP-04: one capture serves every connection of a set, and ends with the last', async (t) => {
  const { a, ca, cb, b } = await fakePair(t);
  const c = new FakeAgent('gamma', a.network).start();
  t.teardown(() => c.stop());
  const cc = await c.client();
  const prepared = await ca.request(m.ConnectionPrepare, { set: 'docs', mapping: { kind: 'one_to_one' } });
  await cc.request(m.PeerTrust, { name: 'alpha', key: a.key });
  await cc.request(m.GrantCreate, {
    connection: prepared.key,
    peer: a.key,
    server: 'alpha',
    set: 'docs',
    mappings: prepared.mappings,
    origins: prepared.origins,
  });
  await ca.request(m.ConnectionCreate, {
    key: prepared.key,
    set: 'docs',
    generation: prepared.generation,
    target: { name: 'gamma', key: c.key, host: '127.0.0.1', port: c.port },
    mappings: prepared.mappings,
    mirror: { kind: 'full' },
    replication: true,
  });
  await until('both', () => a.log().filter((code) => code === 'MIRROR_DONE').length === 2);
  t.is(a.engine.sources.size, 1);
  await ca.request(m.ConnectionRemove, { id: 1 });
  t.is(a.engine.sources.size, 1);
  await ca.request(m.ConnectionRemove, { id: 2 });
  t.is(a.engine.sources.size, 0);
  t.is(b.port > 0 && cb.isOpen, true);
});

test('MIR-06..08: pause keeps the position, stop forgets it, and what is not possible is refused', async (t) => {
  const { a, ca, item } = await fakePair(t);
  await refused(t, 'NOT_POSSIBLE_NOW', ca.request(m.MirrorPause, { id: 1 }));
  a.engine.instant = false;
  await ca.request(m.MirrorStart, { id: 1, options: { kind: 'full' } });
  await until('mirroring', () => a.log().filter((code) => code === 'MIRROR_STARTED').length === 2);
  await refused(t, 'NOT_POSSIBLE_NOW', ca.request(m.MirrorStart, { id: 1, options: { kind: 'full' } }));
  await ca.request(m.MirrorPause, { id: 1 });
  t.is((await item()).statistics.mirrorStatus, 'Paused');
  await ca.request(m.MirrorResume, { id: 1 });
  t.is((await item()).statistics.mirrorStatus, 'Mirroring');
  await ca.request(m.MirrorStop, { id: 1 });
  t.like((await item()).statistics, { mirrorStatus: 'Idle', targetDataState: 'Mirror Required' });
});

test('REP-01, REP-02: stopping replication is told, starting it mirrors', async (t) => {
  const { a, ca, item } = await fakePair(t);
  await ca.request(m.ReplicationStop, { id: 1 });
  t.like((await item()).statistics, { replicationStatus: 'Stopped', targetDataState: 'Unknown' });
  await refused(t, 'BARRIER_FAILED', ca.request(m.Barrier, { id: 1 }));
  await refused(t, 'NOT_POSSIBLE_NOW', ca.request(m.ReplicationStop, { id: 1 }));
  await ca.request(m.ReplicationStart, { id: 1 });
  await until('mirrored', () => a.log().filter((code) => code === 'MIRROR_DONE').length === 2);
  t.is((await item()).statistics.targetDataState, 'OK');
});

test('I2: a barrier waits for the mirror and outlives a broken link; its time limit is kept', async (t) => {
  const { a, ca } = await fakePair(t);
  t.true((await ca.request(m.Barrier, { id: 1 })).ms >= 0);
  a.network.cut = true;
  a.engine.breakLink(handleOf(a));
  await refused(t, 'TIMED_OUT', ca.request(m.Barrier, { id: 1, timeoutMs: 1_000 }));
  const waiting = ca.request(m.Barrier, { id: 1, timeoutMs: 600_000 });
  a.network.cut = false;
  await waiting;
  a.engine.instant = false;
  a.engine.breakStream(handleOf(a));
  let done = false;
  const behind = ca.request(m.Barrier, { id: 1, timeoutMs: 600_000 }).then(() => (done = true));
  await until('mirroring', () => a.engine.calls.filter((call) => call.startsWith('mirrorStart')).length === 2);
  t.false(done);
  a.engine.mirrorDone(handleOf(a));
  await behind;
});

test('verify answers with what differs, one at a time; REP-11', async (t) => {
  const { a, ca } = await fakePair(t);
  t.like(await ca.request(m.Verify, { id: 1, checksum: true }), { files: 5, different: 1, paths: ['different /f'] });
  t.true(a.log().includes('VERIFY_DIFFERENT'));
  a.network.cut = true;
  a.engine.breakLink(handleOf(a));
  await refused(t, 'NOT_LINKED', ca.request(m.Verify, { id: 1 }));
});

test('CON-60, CON-61: a paused target pauses every link, later ones too, and remembers it', async (t) => {
  const { b, cb } = await fakePair(t);
  t.is((await cb.request(m.ServerPauseTarget, {})).connections, 1);
  t.true([...b.engine.links.values()].every((link) => link.paused));
  b.kill();
  const again = new FakeAgent('beta', b.network, null, b.documents, b.port).start();
  t.teardown(() => again.stop());
  await until('linked again', () => again.engine.links.size === 1);
  const link = [...again.engine.links.values()][0];
  t.true(link?.paused);
  t.true(link?.accepted?.paused, 'from its first operation on: none is applied before the pause');
  await (await again.client()).request(m.ServerResumeTarget, {});
  t.false([...again.engine.links.values()][0]?.paused);
});

test('a source that comes back before its old link was noticed waits for the end of the old one', async (t) => {
  const { a, b } = await fakePair(t);
  // Only the source noticed; the target still holds the old link.
  const connection = a.engine.connections.get(handleOf(a));
  if (connection) connection.remote = null;
  a.engine.tell({ kind: 'link_down', connection: handleOf(a), code: 'ETIMEDOUT', call: 'read' });
  await until('linked again', () => a.log().filter((code) => code === 'LINK_UP').length === 2);
  t.is([...b.engine.links.values()].filter((link) => link.accepted).length, 1);
});

test('I4, I10: state that cannot be saved is told to whoever asked, and nothing is half done', async (t) => {
  const { a, ca } = await fakePair(t, null, { kind: 'full' }, false);
  a.documents.broken = Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' });
  const error = await refused(
    t,
    'REFUSED_BY_SYSTEM',
    ca.request(m.SetSave, { name: 'x', rules: [{ path: '/a', include: true, recursive: true }], generation: null }),
  );
  t.deepEqual(error?.notice.cause, { call: 'write', errno: 'ENOSPC' });
  a.documents.broken = null;
  t.deepEqual((await ca.request(m.SetList, {})).sets, []);
  t.true(a.log().includes('STATE_NOT_SAVED'));
});

test('state that cannot be read stops the start and is left as it is', (t) => {
  const network = new FakeNetwork();
  const a = new FakeAgent('alpha', network);
  a.documents.saved.set('connect.sts', '{"schema":1,"connections":[{"key":5}]}');
  const error = t.throws(() => a.start(), { instanceOf: Failure });
  t.is(error.code, 'STATE_INVALID');
  t.is(a.documents.saved.get('connect.sts'), '{"schema":1,"connections":[{"key":5}]}');
});

test('LOG-01: repeats of a message are counted on its line, and once behind it in the file; audit lines never', async (t) => {
  const a = new FakeAgent('alpha', new FakeNetwork());
  const file: LogLine[] = [];
  a.sinks.push({ write: (line) => void file.push(line), close: () => undefined });
  a.start();
  t.teardown(() => a.stop());
  const ca = await a.client();
  for (let i = 0; i < 5; i += 1) a.agent.world.log.say('SOURCE_LOST', { set: 'x', why: 'overflow' }, { set: 'x' });
  const { lines } = await ca.request(m.LogRead, {});
  t.deepEqual(
    lines.filter((line) => line.notice.code === 'SOURCE_LOST').map((line) => line.count),
    [5],
  );
  a.wallAheadMs = 11_000;
  a.steadyAheadMs = 11_000;
  await until('the count', () => file.some((line) => line.notice.code === 'REPEATED'));
  t.is(
    file.find((line) => line.notice.code === 'REPEATED')?.notice.text,
    '4 more times within 10 s: Set "x": change events were lost (overflow); everything is compared again by itself.',
  );
  await ca.request(m.PeerTrust, { name: 'z', key: 'e'.repeat(64) });
  await ca.request(m.PeerTrust, { name: 'z', key: 'e'.repeat(64) });
  t.is((await ca.request(m.LogRead, {})).lines.filter((line) => line.notice.code === 'AUDIT').length, 2);
});

test('CAP-02, CAP-04, CAP-11: a set lives on disks of this server; pseudo, shared and stacked file systems are refused', async (t) => {
  const { a, cb, ca } = await fakePair(t, null, { kind: 'full' }, false);
  const save = (path: string): Promise<unknown> =>
    ca.request(m.SetSave, { name: 'docs', rules: [{ path, include: true, recursive: true }], generation: null });
  for (const [type, name] of [
    [0x9fa0, 'proc'],
    [0x62656572, 'sysfs'],
    [0x6969, 'nfs'],
    [0xff534d42, 'cifs'],
    [0xf15f, 'ecryptfs'],
  ] as const) {
    a.fileSystems.set('/data', type);
    const refusal = await refused(t, 'ROOT_UNSUITABLE', save('/data'));
    t.true(refusal?.message.includes(`it is on ${name},`), refusal?.message);
  }
  for (const fine of [0xef53, 0x58465342, 0x9123683e, 0x01021994]) {
    a.fileSystems.set('/data', fine);
    await save('/data');
    await ca.request(m.SetDelete, { name: 'docs' });
  }
  // It was not there when it was saved.
  a.fileSystems.delete('/data');
  await save('/data');
  a.fileSystems.set('/data', 0x6969);
  await refused(
    t,
    'ROOT_UNSUITABLE',
    connect(ca, cb, {
      set: 'docs',
      source: '/data',
      target: '/replica',
      host: '127.0.0.1',
      port: 1,
      mirror: { kind: 'full' },
      saved: true,
    }),
  );
});

test('SRV-02, SRV-03, SRV-04, SRV-06: who a server is, read only: machine, addresses, control socket, system and version', async (t) => {
  const { ca } = await fakePair(t, { agent: { name: 'nickname' } }, { kind: 'none' }, false);
  const info = await ca.request(m.ServerInfo, {});
  t.is(info.machine, 'alpha', 'the real name, whatever it is called');
  t.is(info.status.name, 'nickname');
  t.is(info.socketPath, '/run/agent.sock');
  t.is(info.operatingSystem, 'test');
  t.is(info.status.version, SOFTWARE_VERSION);
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  for (const address of info.addresses) t.true(own.some((one) => one.address === address && !one.internal));
  const families = info.addresses.map((address) => (address.includes(':') ? 6 : 4));
  t.deepEqual(families, [...families].sort(), 'IPv4 first: the address people know');
});

test('SRV-63, SRV-64, SRV-65, SRV-62: sets, connections and schedules lie in files of their own in the state folder', async (t) => {
  const { a, ca } = await fakePair(t);
  await ca.request(m.TransmitSet, { id: 1, patch: { window: { enabled: true, open: '00:00', close: '24:00' } } });
  const text = (file: string): string => a.documents.saved.get(file) ?? '';
  t.regex(text('understudy.db'), /"docs"/);
  t.regex(text('connect.sts'), /"docs".*\/replica/);
  await until('the schedule', () => text('schedule.sts').includes('window'));
  t.deepEqual((await ca.request(m.ServerInfo, {})).statePath, '/state/alpha', 'SRV-62: the folder of all of them');
});

test('QUE-05: the doctor tells a queue that may take so much memory that applications do not fit beside it', async (t) => {
  const { a, ca } = await fakePair(t, { queue: { memory_mb: 512 } }, { kind: 'none' }, false);
  t.is(a.agent.tuning.memoryBytes, 1024 ** 3);
  const { checks } = await ca.request(m.ServerDoctor, {});
  const check = checks.find((one) => one.text.includes('QUE-05'));
  t.like(check ?? {}, { name: 'queue', result: 'warning' });
  t.regex(check?.text ?? '', /queue.memory_mb may take 50 % of the memory/);
  const other = await fakePair(t, { queue: { memory_mb: 256 } }, { kind: 'none' }, false);
  t.false(
    (await other.ca.request(m.ServerDoctor, {})).checks.some((one) => one.text.includes('QUE-05')),
    'a quarter is what the row gives it',
  );
});
