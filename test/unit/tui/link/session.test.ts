import anyTest, { type TestFn } from 'ava';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { failure } from '../../../../protocol/errors.js';
import { Session } from '../../../../tui/link/session.js';
import { LinkError, openTransport } from '../../../../tui/link/transport.js';
import { applyFacts, type Fleet, type LinkFact, newServer, type Server as Known } from '../../../../tui/model/fleet.js';
import { FakeAgent, makeConnection, makeSet, pair } from '../../../screens/fake-agent.js';
import { sshdMissing, startSshd } from './sshd.js';

interface Context {
  folder: string;
}
const test = anyTest as TestFn<Context>;
const real = sshdMissing() === null ? test : test.skip;

test.before((t) => {
  t.context.folder = mkdtempSync(join(tmpdir(), 'understudy-session-'));
});
test.after.always((t) => rmSync(t.context.folder, { recursive: true, force: true }));

class Watched {
  fleet: Fleet;
  readonly kinds: string[] = [];
  readonly session: Session;

  constructor(open: (signal: AbortSignal | undefined) => Promise<Duplex>, more: { pulseMs?: number } = {}) {
    this.fleet = { servers: [newServer('a', 'unix:/a')] };
    this.session = new Session({
      name: 'a',
      address: 'unix:/a',
      onFacts: (name, facts) => this.#take(name, facts),
      open: (options) => open(options.signal),
      retryMinMs: 10,
      retryMaxMs: 40,
      random: () => 0,
      ...more,
    });
  }

  #take(name: string, facts: readonly LinkFact[]): void {
    for (const fact of facts) if (fact.kind === 'link') this.kinds.push(fact.state.kind);
    this.fleet = applyFacts(this.fleet, name, facts, Date.now());
  }

  get server(): Known {
    const [server] = this.fleet.servers;
    if (!server) throw new Error('gone');
    return server;
  }

  async until(holds: (server: Known) => boolean, what: string): Promise<void> {
    const end = Date.now() + 20_000;
    while (!holds(this.server)) {
      if (Date.now() > end) throw new Error(`waited in vain for ${what}: ${this.kinds.join(' ')}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

function filled(): FakeAgent {
  const agent = new FakeAgent('a');
  agent.sets.set('docs', makeSet('docs'));
  const item = makeConnection(1, 'docs', 'b');
  agent.connections.set(item.key, item);
  agent.write('SET_DELETED', { set: 'old' });
  return agent;
}

test('everything the agent has arrives, then every change, in order', async (t) => {
  const agent = filled();
  const watched = new Watched(() => agent.open());
  t.teardown(() => watched.session.stop());
  watched.session.start();
  await watched.until(
    (server) => server.connections.size === 1 && server.sets.size === 1 && server.log.entries.length === 1,
    'the snapshot',
  );
  agent.put('connections', makeConnection(1, 'docs', 'b', { latencyMs: 77 }));
  await watched.until((server) => [...server.connections.values()][0]?.latencyMs === 77, 'the change');
  agent.remove('connections', 'key-1-docs');
  await watched.until((server) => server.connections.size === 0, 'the removal');
  t.deepEqual(watched.kinds, ['connecting', 'online']);
});

test('a lost link comes back by itself; what vanished meanwhile is gone, what is new is there', async (t) => {
  const agent = filled();
  let up = true;
  const watched = new Watched(() =>
    up ? agent.open() : Promise.reject(new LinkError('SOCKET_DEAD', 'Nobody listens.', 'Start it.', 'backoff')),
  );
  t.teardown(() => watched.session.stop());
  watched.session.start();
  await watched.until((server) => server.connections.size === 1, 'the snapshot');
  up = false;
  agent.cut();
  await watched.until(
    (server) => server.link.kind === 'lost' && server.link.trouble.code === 'SOCKET_DEAD',
    'the loss',
  );
  // Figures stay, marked as old.
  t.is(watched.server.connections.size, 1);
  agent.connections.clear();
  agent.sets.set('new', makeSet('new'));
  up = true;
  // Sets and connections come one after the other.
  await watched.until((server) => server.link.kind === 'online' && server.sets.size === 2, 'the return');
  await watched.until((server) => server.connections.size === 0, 'the end of what vanished');
  t.is(watched.server.connections.size, 0);
});

test('what only a person can put right is not tried again and again', async (t) => {
  let tries = 0;
  const watched = new Watched(() => {
    tries++;
    return Promise.reject(new LinkError('AUTH_FAILED', 'Not let in.', 'Check the key.', 'after_fix'));
  });
  t.teardown(() => watched.session.stop());
  watched.session.start();
  await watched.until((server) => server.link.kind === 'refused', 'the refusal');
  await new Promise((resolve) => setTimeout(resolve, 150));
  t.is(tries, 1);
  watched.session.start();
  await watched.until(() => tries === 2, 'the second try, asked for');
});

test('an agent that stops answering is noticed although its link stays open', async (t) => {
  const agent = filled();
  let deaf = false;
  const watched = new Watched(
    async () => {
      if (deaf) throw failure('UNREACHABLE', { address: 'a', reason: 'it does not answer' });
      const stream = await agent.open();
      const [near, far] = pair();
      // A stopped process keeps its sockets: what is sent to it arrives nowhere.
      far.on('data', (bytes) => !deaf && stream.write(bytes));
      stream.on('data', (bytes) => !deaf && far.write(bytes));
      return near;
    },
    { pulseMs: 50 },
  );
  t.teardown(() => watched.session.stop());
  watched.session.start();
  await watched.until((server) => server.link.kind === 'online', 'the link');
  deaf = true;
  await watched.until((server) => server.link.kind === 'lost', 'the loss');
  t.pass();
});

test('stopping while it connects leaves nothing behind', async (t) => {
  const watched = new Watched(
    (signal) =>
      new Promise((_, reject) =>
        signal?.addEventListener('abort', () => reject(new LinkError('CANCELLED', 'x', '', 'after_fix'))),
      ),
  );
  watched.session.start();
  await watched.until((server) => server.link.kind === 'connecting', 'the try');
  watched.session.stop();
  await watched.until((server) => server.link.kind === 'off', 'the end');
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.deepEqual(watched.kinds, ['connecting', 'off']);
});

real('through a real sshd to an agent on its socket, and back again after the SSH connection is cut', async (t) => {
  const sshd = await startSshd();
  t.teardown(() => sshd.stop());
  const agent = filled();
  const socket = join(t.context.folder, 'agent.sock');
  const open = new Set<Socket>();
  const server: Server = createServer((end) => {
    open.add(end);
    void agent.open().then((stream) => {
      stream.pipe(end);
      end.pipe(stream);
      end.on('error', () => stream.destroy());
      stream.on('error', () => end.destroy());
    });
  }).listen(socket);
  t.teardown(() => server.close());
  const known = join(t.context.folder, 'known');
  writeFileSync(known, `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`);
  const watched = new Watched((signal) =>
    openTransport(
      { kind: 'ssh', host: '127.0.0.1', user: sshd.user, port: sshd.port, socket },
      {
        config: null,
        agent: null,
        identities: [sshd.identity],
        knownHosts: [known],
        road: 'ssh2',
        ...(signal ? { signal } : {}),
      },
    ),
  );
  t.teardown(() => watched.session.stop());
  watched.session.start();
  await watched.until((one) => one.connections.size === 1, 'the snapshot');
  for (const end of open) end.destroy();
  await watched.until(() => watched.kinds.filter((kind) => kind === 'online').length === 2, 'the return');
  t.true(watched.kinds.includes('lost'));
});
