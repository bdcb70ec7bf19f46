/** Real agents as processes, driven by the real command line. */
import { spawnSync } from 'node:child_process';
import {
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
  existsSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { native } from '../../native/index.js';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { AgentProcess } from '../support/agent-process.js';
import { until } from '../support/fake-agent.js';
import { REPOSITORY } from '../support/import-rules.js';
import { connect, type Link } from '../support/introduce.js';
import { opened, type Opening } from '../support/opened.js';
import { Pair } from '../support/pair.js';
import { type Ran, understudy } from '../support/understudy.js';

const OPENING: Opening = { timeoutMs: 180_000, servers: ['alpha', 'beta'] };
const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

function identical(t: ExecutionContext, left: string, right: string): void {
  t.deepEqual(native().compareTrees(left, right, 20).differences, []);
}

function fill(folder: string, from: number, to: number): void {
  for (let i = from; i < to; i += 1) {
    mkdirSync(join(folder, `d${i % 7}`), { recursive: true });
    writeFileSync(join(folder, `d${i % 7}`, `f${i}`), `contents ${i}\n`.repeat(i % 50));
  }
}

async function logCodes(agent: AgentProcess): Promise<string[]> {
  return (await agent.client.request(m.LogRead, {})).lines.map((line) => line.notice.code);
}

test.serial(
  'TOP-01, TOP-20, TOP-26: a transcript, from two servers to a verified replica and back, by the command line alone',
  async (t) => {
    const pair = await opened(t, OPENING);
    const source = pair.folder('data');
    const target = join(pair.root, 'replica');
    fill(source, 0, 100);
    const us = async (...args: string[]): Promise<Ran> => {
      const ran = await understudy(pair, args);
      t.is(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
      return ran;
    };
    t.regex((await us('server', 'list')).out, /alpha +unix:\S+ +administrator +answers/);
    await us('set', 'create', 'alpha:docs', source, '--exclude', join(source, '*.tmp'));
    t.regex((await us('set', 'show', 'alpha:docs')).out, /inc, rec[\s\S]*\*\.tmp exc, rec/);
    const { out: id } = await us('connect', 'alpha:docs', 'beta', '--map', `${source}=${target}`);
    t.is(id, '1\n', 'CON-01');
    t.regex((await us('barrier', '1', '--timeout', '30')).out, /durable on target/);
    t.false((await logCodes(pair.target)).includes('RECEIVER_REPORT'), 'nothing is told ahead of the first mirror');
    identical(t, source, target);

    writeFileSync(join(source, 'new'), 'live');
    writeFileSync(join(source, 'left.tmp'), 'out');
    await us('barrier', 'alpha:1');
    t.is(readFileSync(join(target, 'new'), 'utf8'), 'live');
    t.false(existsSync(join(target, 'left.tmp')));
    rmSync(join(source, 'left.tmp'));

    const status = JSON.parse((await us('status', '--json')).out) as {
      schema: number;
      connections: m.ConnectionItem[];
      incoming: m.Grant[];
    };
    t.is(status.schema, 1);
    t.like(status.connections[0]?.statistics, { targetDataState: 'OK', transmitMode: 'Started', mirrorStatus: 'Idle' });
    t.like(status.incoming[0], { server: 'source', set: 'docs', linked: true });
    t.regex((await us('status', '1')).out, /Target Data State +OK/);
    t.regex((await us('verify', '1', '--checksum')).out, /identical/);
    t.regex((await us('set', 'size', 'alpha:docs')).out, /files/);
    t.regex((await us('logs', 'alpha')).out, /Information +2221 Connection 1: mirror finished/);
    t.is((await understudy(pair, ['doctor'])).code, 0);

    const exported = join(pair.root, 'docs.json');
    await us('set', 'export', 'alpha:docs', exported);
    await us('set', 'import', 'alpha', exported, '--name', 'copy');
    await us('set', 'edit', 'alpha:copy', '--exclude', join(source, 'd1'));
    await us('set', 'delete', 'alpha:copy');
    await us('mirror', 'start', '1');
    await us('barrier', '1');
    await us('disconnect', '1');
    t.deepEqual((await pair.target.client.request(m.GrantList, {})).grants, [], 'the permission was taken back');
    await us('set', 'delete', 'alpha:docs');
  },
);

test.serial('verify lists what somebody changed on the target, and a mirror by checksum repairs it', async (t) => {
  const pair = await opened(t, OPENING);
  const source = pair.folder('data');
  const target = join(pair.root, 'replica');
  fill(source, 1, 60);
  const link = await pair.connect(source, target);
  await pair.barrier(link);
  const changed = join(target, 'd3', 'f10');
  const { mtime, atime } = statSync(changed);
  writeFileSync(changed, 'contents X0\n'.repeat(10));
  utimesSync(changed, atime, mtime);
  rmSync(join(target, 'd4', 'f11'));
  writeFileSync(join(target, 'd4', 'orphan'), '');
  const ran = await understudy(pair, ['verify', '1', '--checksum', '--json']);
  t.is(ran.code, 1);
  const result = JSON.parse(ran.out) as m.VerifyResult & { identical: boolean };
  t.false(result.identical);
  t.is(result.missing, 1);
  t.is(result.orphans, 1, 'GLO-11');
  t.true(result.different >= 1);
  for (const name of ['f10', 'f11'])
    t.true(
      result.paths.some((path) => path.includes(name)),
      `${name} is listed`,
    );
  t.is((await understudy(pair, ['mirror', 'start', '1', '--difference', '--checksum'])).code, 0);
  t.is((await understudy(pair, ['barrier', '1'])).code, 0);
  rmSync(join(target, 'd4', 'orphan'));
  const left = native()
    .compareTrees(source, target, 20)
    .differences.filter((line) => !/time/.test(line));
  t.deepEqual(left, []);
});

test.serial(
  'I10: exit codes: 1 failed, 2 usage, 3 not reachable, 4 refused by a guard, 5 conflict, 75 try again',
  async (t) => {
    const pair = await opened(t, OPENING);
    const source = pair.folder('data');
    const code = async (...args: string[]): Promise<number> => (await understudy(pair, args)).code;
    t.is(await code('set', 'create', 'alpha:docs', source), 0);
    t.is(await code('barrier', '9'), 1);
    t.is(await code('nonsense'), 2);
    t.is(await code('set', 'create', 'alpha:a.b', source), 2);
    t.is(await code('connect', 'alpha:docs', 'beta'), 2);
    t.is(await code('set', 'list', 'gamma'), 1);
    t.is(await code('server', 'add', 'gone', `unix:${pair.root}/none.sock`), 0);
    t.is(await code('set', 'list', 'gone'), 3);
    t.is(await code('server', 'remove', 'gone'), 0);
    t.is(await code('connect', 'alpha:docs', 'alpha', '--map', `${source}=${source}/loop`), 4, 'TOP-08');
    t.is(await code('set', 'create', 'alpha:docs', source), 5);
    t.is(await code('connect', 'alpha:docs', 'beta', '--map', `${source}=${pair.root}/replica`), 0);
    t.is(await code('barrier', '1'), 0);
    await pair.target.stop();
    t.is(await code('barrier', '1', '--timeout', '0.5'), 75);
    const failed = await understudy(pair, ['barrier', 'alpha:9', '--json']);
    t.like((JSON.parse(failed.err) as { error: object }).error, { code: 'CONNECTION_UNKNOWN', id: 1200 });
  },
);

test.serial(
  'MIR-31: each agent is stopped and killed with changes in between, and both trees end identical',
  async (t) => {
    const pair = await opened(t, OPENING);
    const source = pair.folder('data');
    const target = join(pair.root, 'replica');
    fill(source, 0, 300);
    const link = await pair.connect(source, target);
    await pair.barrier(link);
    let at = 300;
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const which of ['target', 'source'] as const) {
        await pair[which].stop(signal);
        fill(source, at, at + 50);
        rmSync(join(source, `d${at % 7}`), { recursive: true });
        at += 50;
        await pair[which].start();
        await pair.barrier(link);
        identical(t, source, target);
        t.is((await pair.item(link)).statistics.targetDataState, 'OK', `${which} after ${signal}`);
      }
    }
    await Promise.all([pair.source.stop('SIGKILL'), pair.target.stop('SIGKILL')]);
    fill(source, at, at + 50);
    await Promise.all([pair.source.start(), pair.target.start()]);
    await pair.barrier(link);
    identical(t, source, target);
  },
);

test.serial('killed in the middle of a mirror, source and target end identical', async (t) => {
  const pair = await opened(t, OPENING);
  const source = pair.folder('data');
  const target = join(pair.root, 'replica');
  fill(source, 0, 6_000);
  for (const which of ['source', 'target'] as const) {
    const link = await pair.connect(source, join(target, which));
    await pair.until(
      link,
      'mirroring',
      ({ statistics }) => statistics.mirrorStatus !== 'Idle' || statistics.targetDataState === 'OK',
      20_000,
    );
    await pair[which].stop('SIGKILL');
    await pair[which].start();
    await pair.barrier(link, 120_000);
    identical(t, source, join(target, which));
    await pair.disconnect(link);
  }
});

test.serial('I5: a target that does not hold the pinned key gets not one byte', async (t) => {
  const pair = await opened(t, OPENING);
  const source = pair.folder('data');
  fill(source, 0, 10);
  const target = join(pair.root, 'replica');
  await pair.source.client.request(m.SetSave, {
    name: 'docs',
    rules: [{ path: source, include: true, recursive: true }],
    generation: null,
  });
  const prepared = await pair.source.client.request(m.ConnectionPrepare, {
    set: 'docs',
    mapping: { kind: 'custom', custom: [{ source, target }] },
  });
  await pair.target.client.request(m.PeerTrust, { name: 'source', key: prepared.peer });
  await pair.target.client.request(m.GrantCreate, {
    connection: prepared.key,
    peer: prepared.peer,
    server: 'source',
    set: 'docs',
    mappings: prepared.mappings,
    origins: prepared.origins,
  });
  await pair.source.client.request(m.ConnectionCreate, {
    key: prepared.key,
    set: 'docs',
    generation: prepared.generation,
    mappings: prepared.mappings,
    mirror: { kind: 'full' },
    replication: true,
    target: { name: 'target', key: 'a'.repeat(64), host: pair.target.host, port: pair.target.port },
  });
  const link: Link = { set: 'docs', key: prepared.key, source, target };
  const item = await pair.until(link, 'refused by us', ({ problem }) => problem !== null, 20_000);
  t.is(item.problem?.code, 'LINK_WRONG_KEY', JSON.stringify(item.problem));
  t.is(item.statistics.transmitMode, 'Error');
  t.false(existsSync(target));
});

test.serial('a source that is not trusted any more is refused with a reason, and comes back when it is', async (t) => {
  const pair = await opened(t, OPENING);
  const source = pair.folder('data');
  const link = await pair.connect(source, join(pair.root, 'replica'));
  await pair.barrier(link);
  const { key } = await pair.source.client.request(m.PeerShow, {});
  const before = (await pair.target.client.request(m.GrantList, {})).grants[0];
  await pair.target.client.request(m.PeerForget, { key });
  const item = await pair.until(link, 'refused', ({ phase }) => phase === 'refused', 30_000);
  t.regex(item.problem?.text ?? '', /not trusted/);
  writeFileSync(join(source, 'meanwhile'), 'x');
  t.false(existsSync(join(pair.root, 'replica', 'meanwhile')));
  await pair.target.client.request(m.PeerTrust, { name: 'source', key });
  await pair.target.client.request(m.GrantCreate, {
    connection: link.key,
    peer: key,
    server: 'source',
    set: link.set,
    mappings: before?.mappings ?? [],
    origins: [],
  });
  await pair.barrier(link, 90_000);
  identical(t, source, join(pair.root, 'replica'));
});

(isRoot ? test.serial : test.serial.skip)(
  'SEC-04: a user outside of the groups sees the hello and nothing else',
  async (t) => {
    const pair = await opened(t, OPENING);
    spawnSync('chmod', ['-R', 'a+rX', join(pair.root, 'console')]);
    // The folder of the agent is private; its socket is not.
    spawnSync('chmod', ['a+rx', pair.source.root, pair.target.root]);
    const list = await understudy(pair, ['server', 'list', '--json'], { uid: NOBODY });
    t.is(list.code, 0, list.err);
    t.deepEqual(
      (JSON.parse(list.out) as { servers: { access: string }[] }).servers.map((server) => server.access),
      ['none', 'none'],
    );
    for (const args of [
      ['set', 'list', 'alpha'],
      ['set', 'create', 'alpha:x', '/etc'],
      ['logs', 'alpha'],
      ['peer', 'show', 'alpha'],
      ['target', 'pause', 'beta'],
      ['logs', 'alpha', '-f'],
    ]) {
      const ran = await understudy(pair, args, { uid: NOBODY });
      t.true(ran.code === 4 || ran.code === 3, `${args.join(' ')}: ${ran.code}`);
      t.is(ran.out, '');
    }
  },
);

(isRoot ? test.serial : test.serial.skip)(
  'an agent of an ordinary user belongs to that user and replicates what the user may read',
  async (t) => {
    t.timeout(120_000);
    const pair = await Pair.open({ uid: NOBODY });
    t.teardown(() => pair.close());
    const source = pair.folder('data', NOBODY);
    pair.folder('out', NOBODY);
    fill(source, 0, 50);
    spawnSync('chown', ['-R', String(NOBODY), source]);
    const link = await pair.connect(source, join(pair.root, 'out', 'replica'));
    await pair.barrier(link);
    t.deepEqual(readdirSync(join(pair.root, 'out', 'replica')).sort(), readdirSync(source).sort());
    await understudy(pair, ['server', 'add', 'alpha', `unix:${pair.source.socket}`]);
    spawnSync('chown', ['-R', String(NOBODY), join(pair.root, 'console')]);
    spawnSync('chmod', ['a+x', pair.source.root]);
    const list = await understudy(pair, ['server', 'list'], { uid: NOBODY });
    t.regex(list.out, /administrator/);
  },
);

test.serial(
  'TOP-08, TOP-09: loops and shared locations are refused by both servers, links on the way included',
  async (t) => {
    const pair = await opened(t, OPENING);
    const source = pair.folder('data');
    const target = pair.folder('replica');
    await pair.connect(source, target);
    symlinkSync(target, join(pair.root, 'alias'));
    const refused = async (code: string, call: Promise<unknown>): Promise<void> => {
      const error = await t.throwsAsync(call, { instanceOf: Failure });
      t.is(error?.code, code, error?.message);
    };
    const { source: a, target: b } = pair;
    const wish = (set: string, from: string, to: string, at: AgentProcess) => ({
      set,
      source: from,
      target: to,
      host: at.host,
      port: at.port,
      mirror: { kind: 'full' as const },
    });
    await refused(
      'SAME_LOCATION',
      connect(a.client, b.client, wish('s1', pair.folder('other'), join(pair.root, 'alias', 'in'), b)),
    );
    await refused('LOOP', connect(b.client, a.client, wish('s2', target, join(source, 'back'), a)));
    await refused('LOOP', connect(a.client, a.client, wish('s3', source, join(source, 'copy'), a)));
    await refused('AGENT_DIRECTORY', connect(a.client, b.client, wish('s4', source, join(b.root, 'state', 'x'), b)));
  },
);

test.serial('SET-04, SET-07: wildcards and exclusions decide what travels, live and in mirrors', async (t) => {
  const pair = await opened(t, OPENING);
  const source = pair.folder('data');
  const target = join(pair.root, 'replica');
  const put = (name: string): void => {
    mkdirSync(join(source, name, '..'), { recursive: true });
    writeFileSync(join(source, name), name);
  };
  for (const name of ['a.db', 'a.txt', 'sub/b.db', 'sub/b.txt', 'old/c.db']) put(name);
  const rules = [
    { path: `${source}/*.db`, include: true, recursive: true },
    { path: `${source}/old`, include: false, recursive: true },
  ];
  const link = await pair.connect(source, target, { kind: 'full' }, rules);
  await pair.barrier(link);
  for (const name of ['later.db', 'later.txt', 'sub/later.db', 'old/later.db']) put(name);
  await pair.barrier(link);
  const files = (
    readdirSync(target, { recursive: true, withFileTypes: true }) as {
      name: string;
      parentPath: string;
      isFile(): boolean;
    }[]
  )
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(target.length + 1));
  t.deepEqual(files.sort(), ['a.db', 'later.db', 'sub/b.db', 'sub/later.db']);
});

test.serial(
  'CON-25, SET-01: files and directories from several places into one, links inside the set rewritten',
  async (t) => {
    const pair = await opened(t, OPENING);
    const single = pair.folder('etc');
    const folder = pair.folder('data');
    writeFileSync(join(single, 'app.conf'), 'one');
    writeFileSync(join(single, 'secret'), 'stays here');
    writeFileSync(join(folder, 'x'), 'x');
    symlinkSync(join(folder, 'x'), join(folder, 'inside'));
    symlinkSync('/etc/hostname', join(folder, 'outside'));
    const base = join(pair.root, 'all');
    const ran = async (...args: string[]): Promise<void> => {
      const { code, err } = await understudy(pair, args);
      t.is(code, 0, err);
    };
    await ran('set', 'create', 'alpha:mix', join(single, 'app.conf'), folder);
    await ran('connect', 'alpha:mix', 'beta', '--all-to-one', '--base', base);
    await ran('barrier', '1');
    const home = join(base, 'source', 'mix');
    t.deepEqual(readdirSync(join(home, single)), ['app.conf']);
    t.is(readlinkSync(join(home, folder, 'inside')), join(home, folder, 'x'), 'CAP-31');
    t.is(readlinkSync(join(home, folder, 'outside')), '/etc/hostname', 'CAP-34');
    writeFileSync(join(single, 'app.conf'), 'two');
    writeFileSync(join(single, 'secret2'), 'stays here, too');
    await ran('barrier', '1');
    await pair.source.stop();
    rmSync(join(single, 'app.conf'));
    await pair.source.start();
    await ran('barrier', '1');
    t.deepEqual(readdirSync(join(home, single)), [], 'deleted while the agent was away, and nothing else came');
  },
);

test.serial(
  'TOP-03..07, TOP-22..25: one to many, many to one, a chain and a single server, side by side',
  async (t) => {
    const pair = await opened(t, OPENING);
    const third = new AgentProcess({
      root: join(pair.root, 'third-agent'),
      config: '[agent]\nname = "third"\n[source]\nguard_percent = 0\n',
    });
    await third.start();
    t.teardown(() => third.stop());
    const { source: a, target: b } = pair;
    const one = pair.folder('one');
    const two = pair.folder('two');
    fill(one, 0, 80);
    fill(two, 0, 40);
    const path = (name: string): string => join(pair.root, name);
    const wish = (set: string, from: string, to: string, at: AgentProcess) => ({
      set,
      source: from,
      target: to,
      host: at.host,
      port: at.port,
      mirror: { kind: 'full' as const },
    });
    await connect(a.client, b.client, wish('one', one, path('b/one'), b));
    // The same set to a second target, through one capture.
    const prepared = await a.client.request(m.ConnectionPrepare, {
      set: 'one',
      mapping: { kind: 'all_to_one', base: path('c') },
    });
    const { key } = await third.client.request(m.PeerShow, {});
    await third.client.request(m.PeerTrust, { name: 'source', key: prepared.peer });
    await third.client.request(m.GrantCreate, {
      connection: prepared.key,
      peer: prepared.peer,
      server: 'source',
      set: 'one',
      mappings: prepared.mappings,
      origins: prepared.origins,
    });
    await a.client.request(m.ConnectionCreate, {
      key: prepared.key,
      set: 'one',
      generation: prepared.generation,
      mappings: prepared.mappings,
      mirror: { kind: 'full' },
      replication: true,
      target: { name: 'third', key, host: third.host, port: third.port },
    });
    await connect(third.client, b.client, wish('two', two, path('b/two'), b));
    // The chain starts at a replica: its directory appears with the first mirror.
    await until('the first mirror made its directory', () => existsSync(path('b/one')));
    await connect(b.client, third.client, wish('onward', path('b/one'), path('c-chain'), third));
    await connect(a.client, a.client, wish('here', two, path('here'), a));

    const barriers = async (agent: AgentProcess): Promise<void> => {
      for (const { id } of (await agent.client.request(m.ConnectionList, {})).connections)
        await agent.client.request(m.Barrier, { id, timeoutMs: 60_000 });
    };
    const settle = async (): Promise<void> => {
      for (const agent of [a, third, b]) await barriers(agent);
    };
    await settle();
    fill(one, 80, 120);
    rmSync(join(one, 'd3'), { recursive: true });
    await settle();
    identical(t, one, path('b/one'));
    identical(t, one, `${path('c')}/source/one${one}`);
    identical(t, two, path('b/two'));
    identical(t, one, path('c-chain'));
    identical(t, two, path('here'));
    t.false((await logCodes(a)).includes('AGENT_CRASHED'));
  },
);

test.serial(
  'understudyd: one per state folder, a wrong configuration does not loop, SIGTERM ends in order',
  async (t) => {
    const pair = await opened(t, OPENING);
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [join(REPOSITORY, 'dist/agentd/main.js'), ...args], {
        encoding: 'utf8',
        timeout: 20_000,
      });
    const second = run(
      '--state',
      join(pair.source.root, 'state'),
      '--socket',
      join(pair.root, 'other.sock'),
      '--listen',
      '127.0.0.1:0',
    );
    t.is(second.status, 73);
    t.regex(second.stderr, /Another agent answers/);
    writeFileSync(join(pair.root, 'bad.toml'), '[agent]\nlissten = "x"\n');
    const bad = run('--config', join(pair.root, 'bad.toml'), '--state', join(pair.root, 'new-state'));
    t.is(bad.status, 78);
    t.regex(bad.stderr, /did you mean "agent.listen"/);
    // The terminal it was started from is gone.
    process.kill(pair.source.pid, 'SIGHUP');
    t.deepEqual((await pair.source.client.request(m.SetList, {})).sets, []);
    await pair.source.stop('SIGTERM');
    t.regex(pair.source.log(), /Agent stopped cleanly \(SIGTERM\)/);
    t.false(existsSync(join(pair.source.root, 'state', 'agent.pid')));
    await pair.source.start();
  },
);
