import anyTest, { type TestFn } from 'ava';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import {
  openTransport,
  type Address,
  type HostKeyQuestion,
  LinkError,
  type SecretQuestion,
  type TransportOptions,
} from '../../../../tui/link/transport.js';
import { makeKey, sshdMissing, startEcho, startSshd, type TestSshd } from './sshd.js';

interface Context {
  sshd: TestSshd;
  forbidding: TestSshd;
  folder: string;
  echo: Server;
  socket: string;
}

const test = anyTest as TestFn<Context>;
const missing = sshdMissing();
const real = missing === null ? test : test.skip;

test.before(async (t) => {
  t.context.folder = mkdtempSync(join(tmpdir(), 'understudy-link-'));
  t.context.socket = join(t.context.folder, 'agent.sock');
  t.context.echo = await startEcho(t.context.socket);
  if (missing !== null) {
    t.log(`skipped: ${missing}`);
    return;
  }
  t.context.sshd = await startSshd();
  t.context.forbidding = await startSshd(['AllowStreamLocalForwarding no']);
});

test.after.always(async (t) => {
  t.context.echo?.close();
  await t.context.sshd?.stop();
  await t.context.forbidding?.stop();
  rmSync(t.context.folder, { recursive: true, force: true });
});

function address(sshd: { port: number; user: string }, socket: string): Address {
  return { kind: 'ssh', host: '127.0.0.1', user: sshd.user, port: sshd.port, socket };
}

/** Options that see nothing of the machine's own configuration. */
function options(context: Context, sshd: TestSshd, more: Partial<TransportOptions> = {}): TransportOptions {
  const known = join(context.folder, `known-${Math.random().toString(36).slice(2)}`);
  writeFileSync(known, `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`);
  return {
    config: null,
    agent: null,
    identities: [sshd.identity],
    knownHosts: [known],
    ownKnownHosts: join(context.folder, 'own-unused'),
    deadlineMs: 10_000,
    road: 'ssh2',
    ...more,
  };
}

async function echoes(stream: Duplex, bytes: Buffer): Promise<boolean> {
  const parts: Buffer[] = [];
  let got = 0;
  const done = new Promise<void>((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      parts.push(chunk);
      got += chunk.length;
      if (got >= bytes.length) resolve();
    });
    stream.once('error', reject);
    stream.once('close', () => reject(new Error(`closed after ${got} bytes`)));
  });
  stream.write(bytes);
  await done;
  return Buffer.concat(parts).equals(bytes);
}

async function refused(t: { fail(): void }, opening: Promise<Duplex>): Promise<LinkError> {
  try {
    (await opening).destroy();
  } catch (error) {
    if (error instanceof LinkError) return error;
    throw error;
  }
  t.fail();
  throw new Error('it was let in');
}

real('RCN-07: the tunnel through OpenSSH carries bytes both ways, unchanged', async (t) => {
  const stream = await openTransport(address(t.context.sshd, t.context.socket), options(t.context, t.context.sshd));
  const bytes = Buffer.alloc(3_000_000, 'understudy\0\n\xff', 'latin1');
  t.true(await echoes(stream, bytes));
  stream.destroy();
});

real('RCN-07: the system ssh carries the same tunnel', async (t) => {
  const stream = await openTransport(
    address(t.context.sshd, t.context.socket),
    options(t.context, t.context.sshd, { road: 'openssh' }),
  );
  t.true(await echoes(stream, Buffer.alloc(300_000, 7)));
  stream.destroy();
});

real('the system ssh ends with the program that started it, even when that is killed', async (t) => {
  const known = join(t.context.folder, 'known-lifeline');
  writeFileSync(known, `[127.0.0.1]:${t.context.sshd.port} ${t.context.sshd.hostKey}\n`);
  const module = new URL('../../../../tui/link/openssh.js', import.meta.url).href;
  const script = `import { openOpenssh } from ${JSON.stringify(module)};
    const stream = await openOpenssh(${JSON.stringify(address(t.context.sshd, t.context.socket))}, ${JSON.stringify({ agent: null, identities: [t.context.sshd.identity], knownHosts: [known] })});
    process.stdout.write('open');
    stream.resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const tunnels = (): string =>
    spawnSync('pgrep', ['-f', `UserKnownHostsFile=${known}`], { encoding: 'utf8' }).stdout.trim();
  t.not(tunnels(), '');
  child.kill('SIGKILL');
  for (let i = 0; i < 200 && tunnels() !== ''; i++) await sleep(25);
  t.is(tunnels(), '');
});

real('an unknown host key is asked for, remembered in our file only, and not asked again', async (t) => {
  const own = join(t.context.folder, 'own', 'known_hosts');
  const nothing = join(t.context.folder, 'nothing');
  const asked: HostKeyQuestion[] = [];
  const open = (): Promise<Duplex> =>
    openTransport(
      address(t.context.sshd, t.context.socket),
      options(t.context, t.context.sshd, {
        knownHosts: [nothing],
        ownKnownHosts: own,
        prompts: {
          hostKey: async (question) => {
            asked.push(question);
            return 'yes';
          },
        },
      }),
    );
  (await open()).destroy();
  (await open()).destroy();
  t.is(asked.length, 1);
  t.is(asked[0]?.keyType, 'ssh-ed25519');
  t.regex(asked[0]?.fingerprint ?? '', /^SHA256:[A-Za-z0-9+/]{43}$/);
  t.is(readFileSync(own, 'utf8'), `[127.0.0.1]:${t.context.sshd.port} ${t.context.sshd.hostKey}\n`);
  t.false(existsSync(nothing));
});

real('an unknown host key is refused when it is declined and when nobody can be asked', async (t) => {
  const none = { knownHosts: [join(t.context.folder, 'nothing')] };
  const where = address(t.context.sshd, t.context.socket);
  t.is((await refused(t, openTransport(where, options(t.context, t.context.sshd, none)))).code, 'HOST_KEY_REFUSED');
  const no = { ...none, prompts: { hostKey: async () => 'no' as const } };
  t.is((await refused(t, openTransport(where, options(t.context, t.context.sshd, no)))).code, 'HOST_KEY_REFUSED');
});

for (const road of ['ssh2', 'openssh'] as const) {
  real(`a changed host key is refused before any secret is sent (${road})`, async (t) => {
    const other = makeKey(join(t.context.folder, `other-${road}`));
    const known = join(t.context.folder, `changed-${road}`);
    writeFileSync(known, `[127.0.0.1]:${t.context.sshd.port} ${other}\n`);
    const error = await refused(
      t,
      openTransport(
        address(t.context.sshd, t.context.socket),
        options(t.context, t.context.sshd, {
          road,
          knownHosts: [known],
          prompts: { hostKey: async () => t.fail() as never, secret: async () => t.fail() as never },
        }),
      ),
    );
    t.is(error.code, 'HOST_KEY_CHANGED');
    t.is(error.retry, 'after_fix');
    if (road === 'ssh2') t.regex(error.remedy, /ssh-keygen -f .* -R/);
  });
}

real('a revoked host key is refused although it is also listed as good', async (t) => {
  const known = join(t.context.folder, 'revoked');
  const name = `[127.0.0.1]:${t.context.sshd.port}`;
  writeFileSync(known, `${name} ${t.context.sshd.hostKey}\n@revoked * ${t.context.sshd.hostKey}\n`);
  const error = await refused(
    t,
    openTransport(
      address(t.context.sshd, t.context.socket),
      options(t.context, t.context.sshd, { knownHosts: [known] }),
    ),
  );
  t.is(error.code, 'HOST_KEY_REVOKED');
});

real('a missing socket, a leftover socket and a forbidding sshd are told apart', async (t) => {
  const gone = await refused(
    t,
    openTransport(address(t.context.sshd, '/nowhere/agent.sock'), options(t.context, t.context.sshd)),
  );
  t.is(gone.code, 'SOCKET_MISSING');
  const forbidden = await refused(
    t,
    openTransport(address(t.context.forbidding, t.context.socket), options(t.context, t.context.forbidding)),
  );
  t.is(forbidden.code, 'FORWARDING_FORBIDDEN');
  t.regex(forbidden.remedy, /AllowStreamLocalForwarding yes/);
  const dead = join(t.context.folder, "it's dead.sock");
  const child = spawnSync(process.execPath, [
    '-e',
    'require("net").createServer().listen(process.argv[1],()=>process.kill(process.pid,"SIGKILL"))',
    dead,
  ]);
  t.is(child.signal, 'SIGKILL');
  t.is(
    (await refused(t, openTransport(address(t.context.sshd, dead), options(t.context, t.context.sshd)))).code,
    'SOCKET_DEAD',
  );
});

real('a wrong key is told as such, with the command to check', async (t) => {
  const stranger = join(t.context.folder, 'stranger');
  makeKey(stranger);
  const error = await refused(
    t,
    openTransport(
      address(t.context.sshd, t.context.socket),
      options(t.context, t.context.sshd, { identities: [stranger] }),
    ),
  );
  t.is(error.code, 'AUTH_FAILED');
  t.regex(error.message, /tried: key/);
  const viaClient = await refused(
    t,
    openTransport(
      address(t.context.sshd, t.context.socket),
      options(t.context, t.context.sshd, { identities: [stranger], road: 'openssh' }),
    ),
  );
  t.is(viaClient.code, 'AUTH_FAILED');
});

real('a key with a passphrase is opened by asking, again after a wrong answer', async (t) => {
  const key = join(t.context.folder, 'locked');
  const line = makeKey(key, 'open sesame');
  writeFileSync(join(t.context.sshd.folder, 'authorized'), `${line}\n`, { flag: 'a' });
  const asked: SecretQuestion[] = [];
  const stream = await openTransport(
    address(t.context.sshd, t.context.socket),
    options(t.context, t.context.sshd, {
      identities: [key],
      prompts: {
        secret: async (question) => {
          asked.push(question);
          return asked.length === 1 ? 'wrong' : 'open sesame';
        },
      },
    }),
  );
  t.true(await echoes(stream, Buffer.from('hello')));
  stream.destroy();
  t.deepEqual(
    asked.map((question) => [question.kind, question.attempt, question.echo]),
    [
      ['passphrase', 1, false],
      ['passphrase', 2, false],
    ],
  );
});

real('ProxyJump: every hop is verified and the last one carries the tunnel', async (t) => {
  const hop = await startSshd();
  t.teardown(() => hop.stop());
  const config = join(t.context.folder, 'jump-config');
  writeFileSync(
    config,
    `Host inner\n  HostName 127.0.0.1\n  Port ${t.context.sshd.port}\n  User ${hop.user}\n  ProxyJump ${hop.user}@127.0.0.1:${hop.port}\n`,
  );
  const known = join(t.context.folder, 'jump-known');
  const both = `[127.0.0.1]:${t.context.sshd.port} ${t.context.sshd.hostKey}\n[127.0.0.1]:${hop.port} ${hop.hostKey}\n`;
  const inner: Address = { kind: 'ssh', host: 'inner', user: null, port: null, socket: t.context.socket };
  const more = { config, knownHosts: [known], identities: [t.context.sshd.identity, hop.identity] };
  writeFileSync(known, both);
  const stream = await openTransport(inner, options(t.context, t.context.sshd, more));
  t.true(await echoes(stream, Buffer.from('through two servers')));
  t.regex(hop.log(), /direct-tcpip/);
  stream.destroy();
  writeFileSync(known, both.split('\n')[0] ?? '');
  t.is((await refused(t, openTransport(inner, options(t.context, t.context.sshd, more)))).code, 'HOST_KEY_REFUSED');
});

real('a server that falls silent is noticed by keepalives', async (t) => {
  // A relay that stops relaying is a network that swallows packets; killing sshd would close the socket instead.
  const sockets: Socket[] = [];
  const relay = createServer((near) => {
    const far = connect(t.context.sshd.port, '127.0.0.1');
    sockets.push(near, far);
    near.pipe(far);
    far.pipe(near);
    near.on('error', () => {});
    far.on('error', () => {});
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => relay.once('listening', resolve));
  const port = (relay.address() as AddressInfo).port;
  const known = join(t.context.folder, 'relay-known');
  writeFileSync(known, `[127.0.0.1]:${port} ${t.context.sshd.hostKey}\n`);
  const stream = await openTransport(
    address({ port, user: t.context.sshd.user }, t.context.socket),
    options(t.context, t.context.sshd, { knownHosts: [known], keepaliveMs: 100 }),
  );
  t.true(await echoes(stream, Buffer.from('alive')));
  const failed = new Promise<Error>((resolve) => stream.once('error', resolve));
  for (const socket of sockets) {
    socket.unpipe();
    socket.pause();
  }
  const error = await failed;
  t.true(error instanceof LinkError && error.code === 'LINK_LOST' && error.retry === 'backoff', String(error));
  for (const socket of sockets) socket.destroy();
  relay.close();
});

real('a killed server ends the stream with a reason', async (t) => {
  const doomed = await startSshd();
  const stream = await openTransport(address(doomed, t.context.socket), options(t.context, doomed));
  const failed = new Promise<Error>((resolve) => stream.once('error', resolve));
  stream.resume();
  // sshd serves each connection by a child of its own.
  const children = readFileSync(`/proc/${doomed.process.pid}/task/${doomed.process.pid}/children`, 'latin1')
    .trim()
    .split(' ')
    .map(Number);
  for (const pid of children) process.kill(pid, 'SIGKILL');
  t.is(((await failed) as LinkError).code, 'LINK_LOST');
  await doomed.stop();
});

test("a server that never speaks is given up at the deadline; a person's thinking time does not count", async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  const port = (silent.address() as AddressInfo).port;
  const started = performance.now();
  const error = await refused(
    t,
    openTransport(
      { kind: 'ssh', host: '127.0.0.1', user: 'x', port, socket: '/s' },
      { config: null, agent: null, road: 'ssh2', deadlineMs: 300 },
    ),
  );
  t.is(error.code, 'TIMEOUT');
  t.true(performance.now() - started < 3_000);
  silent.close();
});

real('slow answers of a person do not run into the deadline, and cancelling does end it', async (t) => {
  const none = { knownHosts: [join(t.context.folder, 'nothing')] };
  const where = address(t.context.sshd, t.context.socket);
  const stream = await openTransport(
    where,
    options(t.context, t.context.sshd, {
      ...none,
      // Enough for a server on a busy machine.
      deadlineMs: 5_000,
      prompts: {
        hostKey: async () => {
          await sleep(6_000);
          return 'once';
        },
      },
    }),
  );
  stream.destroy();
  const cancel = new AbortController();
  const error = await refused(
    t,
    openTransport(
      where,
      options(t.context, t.context.sshd, {
        ...none,
        signal: cancel.signal,
        prompts: {
          hostKey: () => {
            cancel.abort();
            return new Promise(() => {});
          },
        },
      }),
    ),
  );
  t.is(error.code, 'CANCELLED');
});

test('password and keyboard-interactive answers come from the person, three attempts at most', async (t) => {
  const hostKey = join(t.context.folder, 'own-server');
  const line = makeKey(hostKey);
  const seen: string[] = [];
  const server = new ssh2.Server({ hostKeys: [readFileSync(hostKey)] }, (client) => {
    client.on('authentication', (context) => {
      if (context.method === 'password') {
        seen.push(`password ${context.password}`);
        return context.password === 'right' ? context.accept() : context.reject(['password', 'keyboard-interactive']);
      }
      if (context.method === 'keyboard-interactive') {
        return context.prompt([{ prompt: 'Token: ', echo: true }], 'Second factor', (answers) => {
          seen.push(`token ${answers[0]}`);
          context.reject(['password', 'keyboard-interactive']);
        });
      }
      context.reject(['password', 'keyboard-interactive']);
    });
    client.on('error', () => {});
    client.on('ready', () =>
      client.on(
        'openssh.streamlocal' as never,
        ((accept: () => Duplex) => {
          const stream = accept();
          stream.pipe(stream);
        }) as never,
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const known = join(t.context.folder, 'own-server-known');
  writeFileSync(known, `[127.0.0.1]:${port} ${line}\n`);
  const asked: string[] = [];
  const stream = await openTransport(
    { kind: 'ssh', host: '127.0.0.1', user: 'someone', port, socket: '/agent.sock' },
    {
      config: null,
      agent: null,
      identities: [],
      knownHosts: [known],
      road: 'ssh2',
      prompts: {
        secret: async (question) => {
          asked.push(`${question.kind} ${question.attempt} ${question.echo}`);
          if (question.kind === 'challenge') return '123456';
          return question.attempt === 1 ? 'wrong' : 'right';
        },
      },
    },
  );
  t.true(await echoes(stream, Buffer.from('let in')));
  stream.destroy();
  server.close();
  t.deepEqual(asked, [
    'challenge 1 true',
    'challenge 2 true',
    'challenge 3 true',
    'password 1 false',
    'password 2 false',
  ]);
  t.deepEqual(seen, ['token 123456', 'token 123456', 'token 123456', 'password wrong', 'password right']);
});
