/**
 * I5, I4: a source that means harm. The wire is spoken by hand against a real target: nothing may appear, change or
 * vanish outside of the granted directory, every lie ends the link or is refused, and the agent lives on.
 */
import { connect as connectTcp } from 'node:net';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { encodeHello } from '../../agentd/drivers/hello.js';
import { type Identity, native } from '../../native/index.js';
import { decode } from '../../protocol/codec.js';
import { GrantCreate, PeerShow, PeerTrust } from '../../protocol/messages/index.js';
import { AgentProcess } from '../support/agent-process.js';
import { batch, FRAME, frame, hello, OP, type Operation, operation, REPLY_NAK, WireClient } from '../support/wire.js';

const BAD = Buffer.from('written by a hostile source\n');

interface Stage {
  readonly agent: AgentProcess;
  readonly granted: string;
  readonly outside: string;
  readonly mallory: Identity;
  /** What lies outside, to be compared at the end. */
  readonly before: string;
}

function picture(folder: string): string {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const stat = fs.lstatSync(path.join(folder, name));
      const content = stat.isFile() ? fs.readFileSync(path.join(folder, name), 'utf8') : '';
      return `${name} ${stat.mode} ${stat.uid} ${stat.mtimeMs} ${stat.nlink} ${content}`;
    })
    .join('\n');
}

async function stage(t: ExecutionContext): Promise<Stage> {
  t.timeout(120_000);
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'understudy-hostile-'));
  const agent = new AgentProcess({ root: path.join(root, 'agent') });
  t.teardown(async () => {
    await agent.stop();
    fs.rmSync(root, { recursive: true, force: true });
  });
  const granted = path.join(root, 'granted');
  const outside = path.join(root, 'outside');
  fs.mkdirSync(granted);
  fs.mkdirSync(path.join(outside, 'folder'), { recursive: true });
  fs.writeFileSync(path.join(outside, 'canary'), 'alive\n');
  fs.writeFileSync(path.join(root, 'canary'), 'alive\n');
  await agent.start();
  const mallory = native().createIdentity('mallory');
  const peer = native().publicKeyDigest(mallory.certificate);
  await agent.client.request(PeerTrust, { name: 'mallory', key: peer });
  await agent.client.request(GrantCreate, {
    connection: 'hostile-1',
    peer,
    server: 'mallory',
    set: 'loot',
    mappings: [{ source: '/srv/data', target: granted }],
    origins: [{ key: peer, path: '/srv/data' }],
  });
  return { agent, granted, outside, mallory, before: picture(outside) };
}

let streams = 100n;

function greeting(connection = 'hostile-1'): Buffer {
  streams += 1n;
  const words = encodeHello({
    version: 1,
    software: '0.0.0',
    server: 'mallory',
    set: 'loot',
    connection,
    mappings: [{ source: '/srv/data', target: '/ignored' }],
    origins: [],
  });
  return hello(streams, words);
}

/** A link that the target has welcomed. */
async function welcomed(t: ExecutionContext, it: Stage): Promise<WireClient> {
  const client = await WireClient.connect(it.agent.port, it.mallory);
  client.send(greeting());
  t.truthy(await client.next(FRAME.welcome), 'an honest hello is welcomed');
  return client;
}

/** Nothing outside changed, and the agent still serves. */
async function unharmed(t: ExecutionContext, it: Stage, what: string): Promise<void> {
  t.is(picture(it.outside), it.before, `outside is untouched: ${what}`);
  t.is(fs.readFileSync(path.join(path.dirname(it.granted), 'canary'), 'utf8'), 'alive\n', what);
  t.truthy((await it.agent.client.request(PeerShow, {})).key, `the agent answers: ${what}`);
}

test.serial('I5: an honest operation arrives, so that the refusals below mean something', async (t) => {
  const it = await stage(t);
  const client = await welcomed(t, it);
  const deep = Buffer.alloc(3_000, 'a large enough payload takes the other road of the checksum ');
  client.send(
    frame(
      FRAME.batch,
      batch(1, [
        operation({ kind: OP.mkdir, path: 'd', mode: 0o40755 }),
        operation({ kind: OP.file, path: 'd/f', data: BAD }),
        operation({ kind: OP.file, path: 'd/g', data: deep }),
      ]),
    ),
  );
  while ((await client.next(FRAME.ack))?.payload.readBigUInt64LE(0) !== 1n) if (client.closed) break;
  t.false(client.closed);
  t.deepEqual(fs.readFileSync(path.join(it.granted, 'd/f')), BAD);
  t.deepEqual(fs.readFileSync(path.join(it.granted, 'd/g')), deep);
  client.end();
  await unharmed(t, it, 'honest');
});

test.serial('I5: paths that lead outside end the link before anything of the batch is done', async (t) => {
  const it = await stage(t);
  const long = 'x'.repeat(256);
  const paths: (string | Buffer)[] = [
    '../canary',
    '/etc/understudy-canary',
    'a/../../canary',
    '..',
    '.',
    './canary',
    'a//b',
    '/',
    'a/',
    `${long}/b`,
    Buffer.from('a\0b'),
  ];
  const kinds: ((bad: string | Buffer) => Operation)[] = [
    (bad) => ({ kind: OP.file, path: bad, data: BAD }),
    (bad) => ({ kind: OP.remove, path: bad }),
    (bad) => ({ kind: OP.rename, path: 'good', path2: bad }),
    (bad) => ({ kind: OP.link, path: 'stolen', path2: bad }),
  ];
  for (const bad of paths) {
    for (const make of kinds) {
      const client = await welcomed(t, it);
      client.send(
        frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', data: BAD }), operation(make(bad))])),
      );
      const said = (await client.next(FRAME.invalid))?.payload.toString('utf8') ?? '';
      t.regex(said, /^batch: bad (second )?path$/, 'the source is told why, so that it does not send it for ever');
      t.true(await client.ends(), `${make(bad).kind} ${JSON.stringify(String(bad))} must end the link`);
      t.deepEqual(fs.readdirSync(it.granted), [], 'the batch is refused whole (I4)');
    }
  }
  await unharmed(t, it, 'paths');
});

test.serial('I5: a symbolic link that was planted first is never walked through', async (t) => {
  const it = await stage(t);
  const absolute = it.outside;
  const relative = path.relative(it.granted, it.outside);
  const through: readonly Operation[] = [
    { kind: OP.file, path: 'door/evil', data: BAD },
    { kind: OP.file, path: 'door/canary', data: BAD },
    { kind: OP.create, path: 'door/evil', arg0: 5n },
    { kind: OP.write, path: 'door/canary', data: BAD },
    { kind: OP.truncate, path: 'door/canary', arg0: 0n },
    { kind: OP.mkdir, path: 'door/evil', mode: 0o40777 },
    { kind: OP.symlink, path: 'door/evil', path2: '/etc' },
    { kind: OP.setattr, path: 'door/canary', mode: 0o104777 },
    { kind: OP.setattr, path: 'door/folder', mode: 0o40000 },
    { kind: OP.xattrs, path: 'door/canary', data: new Uint8Array() },
    { kind: OP.mknod, path: 'door/evil', mode: 0o10666 },
    { kind: OP.remove, path: 'door/canary' },
    { kind: OP.rename, path: 'door/canary', path2: 'stolen' },
    { kind: OP.rename, path: 'mine', path2: 'door/evil' },
    { kind: OP.link, path: 'stolen', path2: 'door/canary' },
    { kind: OP.link, path: 'door/evil', path2: 'mine' },
  ];
  for (const text of [absolute, relative]) {
    const client = await welcomed(t, it);
    client.send(
      frame(
        FRAME.batch,
        batch(1, [
          operation({ kind: OP.file, path: 'mine', data: BAD }),
          operation({ kind: OP.symlink, path: 'door', path2: text, mode: 0o120777 }),
          operation({ kind: OP.symlink, path: 'pane', path2: `${text}/canary`, mode: 0o120777 }),
        ]),
      ),
    );
    let refused = 0;
    for (const [index, op] of through.entries()) {
      client.send(frame(FRAME.batch, batch(2 + index, [operation(op)])));
      const answer = await client.next(FRAME.reply, 1_500);
      if (answer && answer.payload.readUInt8(0) === REPLY_NAK) refused += 1;
      await unharmed(t, it, `${JSON.stringify(op.path)} kind ${op.kind} through ${text}`);
      if (client.closed) break;
    }
    t.true(refused > 0 || client.closed, 'the source is told');
    // As the last component: the link itself may be replaced, what it points to may not.
    const last = 2 + through.length;
    client.send(
      frame(
        FRAME.batch,
        batch(last, [
          operation({ kind: OP.write, path: 'pane', data: BAD }),
          operation({ kind: OP.setattr, path: 'pane', mode: 0o100777 }),
        ]),
      ),
      frame(FRAME.batch, batch(last + 1, [operation({ kind: OP.file, path: 'pane', data: BAD })])),
    );
    await client.next(FRAME.reply, 1_000);
    await unharmed(t, it, 'the link as last component');
    client.end();
    fs.rmSync(it.granted, { recursive: true });
    fs.mkdirSync(it.granted);
  }
});

test.serial('I4: frames and batches that lie about themselves end the link and write nothing', async (t) => {
  const it = await stage(t);
  const good = batch(1, [operation({ kind: OP.file, path: 'good', data: BAD })]);
  const lies: readonly [string, Buffer][] = [
    ['bad checksum', frame(FRAME.batch, good, { checksum: 1 })],
    ['oversize frame', frame(FRAME.batch, good, { length: 0xffff_ffff })],
    ['a frame just above the limit', frame(FRAME.batch, good, { length: (16 << 20) + 1 })],
    ['raw length differs', frame(FRAME.batch, good, { rawLength: 8 })],
    ['compressed, but is not', frame(FRAME.batch, good, { flags: 1, rawLength: 4096 })],
    ['decompressed size beyond every limit', frame(FRAME.batch, good, { flags: 1, rawLength: 0xffff_ff00 })],
    ['version of another time', frame(FRAME.batch, good, { version: 99 })],
    ['batch shorter than its header', frame(FRAME.batch, good.subarray(0, 20))],
    [
      'more operations than there are',
      frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', data: BAD })], 2)),
    ],
    [
      'fewer operations than there are',
      frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', data: BAD })], 0)),
    ],
    ['operation of size zero', frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', size: 0 })]))],
    [
      'operation beyond the batch',
      frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', size: 1 << 20 })])),
    ],
    [
      'data beyond the operation',
      frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', dataLength: 0xffff_fff0 })])),
    ],
    [
      'path beyond the operation',
      frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', pathLength: 4000 })])),
    ],
    ['unknown operation', frame(FRAME.batch, batch(1, [operation({ kind: 200, path: 'good' })]))],
    [
      'mapping that was not granted',
      frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'good', mapping: 7, data: BAD })])),
    ],
    ['a gap in the sequence', frame(FRAME.batch, batch(9, [operation({ kind: OP.file, path: 'good', data: BAD })]))],
    ['noise', Buffer.from('GET / HTTP/1.1\r\nHost: example.org\r\n\r\n'.repeat(40))],
  ];
  for (const [what, bytes] of lies) {
    const client = await welcomed(t, it);
    client.send(bytes);
    t.true(await client.ends(), `${what} must end the link`);
    t.deepEqual(fs.readdirSync(it.granted), [], what);
  }
  await unharmed(t, it, 'lies');
});

test.serial('REP-06: of a batch that has arrived in part when its source dies, nothing is applied', async (t) => {
  const it = await stage(t);
  const file = (name: string): Buffer => operation({ kind: OP.file, path: name, data: Buffer.alloc(40_000, name) });
  const whole = frame(FRAME.batch, batch(1, [file('first'), file('second')]));
  for (const length of [1, 30, 41_000, whole.length - 1]) {
    const client = await welcomed(t, it);
    client.send(whole.subarray(0, length));
    client.end();
    t.true(await client.ends());
    // Whoever is welcomed anew comes after all that the old link brought.
    const next = await welcomed(t, it);
    t.deepEqual(fs.readdirSync(it.granted), [], `${length} of ${whole.length} bytes`);
    next.end();
    await next.ends();
  }
  const client = await welcomed(t, it);
  client.send(whole);
  while ((await client.next(FRAME.ack))?.payload.readBigUInt64LE(0) !== 1n) if (client.closed) break;
  t.deepEqual(fs.readdirSync(it.granted).sort(), ['first', 'second'], 'all of it, when all of it came');
  client.end();
});

test.serial('I5: who is not paired or not granted is refused in words, and writes nothing', async (t) => {
  const it = await stage(t);
  const attack = frame(FRAME.batch, batch(1, [operation({ kind: OP.file, path: 'evil', data: BAD })]));
  const refusal = async (client: WireClient): Promise<string> => {
    const answer = await client.next(FRAME.refuse);
    return JSON.stringify(answer ? decode(answer.payload) : null);
  };
  // A key that nobody trusts here.
  const stranger = await WireClient.connect(it.agent.port, native().createIdentity('stranger'));
  stranger.send(greeting(), attack);
  t.regex(await refusal(stranger), /PEER_UNKNOWN/);
  t.true(await stranger.ends());
  // A trusted peer with a connection that was never granted.
  const other = await WireClient.connect(it.agent.port, it.mallory);
  other.send(greeting('not-granted'), attack);
  t.regex(await refusal(other), /GRANT_UNKNOWN/);
  t.true(await other.ends());
  // A trusted peer that uses another peer's grant.
  const second = native().createIdentity('second');
  await it.agent.client.request(PeerTrust, { name: 'second', key: native().publicKeyDigest(second.certificate) });
  const thief = await WireClient.connect(it.agent.port, second);
  thief.send(greeting(), attack);
  t.regex(await refusal(thief), /GRANT_UNKNOWN|PEER_/);
  t.true(await thief.ends());
  // Batches before any hello.
  const rude = await WireClient.connect(it.agent.port, it.mallory);
  rude.send(attack);
  t.true(await rude.ends(), 'a batch before hello must end the link');
  // A hello that is none.
  const babble = await WireClient.connect(it.agent.port, it.mallory);
  babble.send(hello(5n, Buffer.from([0xff, 0xff, 0xff])));
  t.regex(await refusal(babble), /HELLO_INVALID/);
  t.deepEqual(fs.readdirSync(it.granted), []);
  await unharmed(t, it, 'strangers');
});

test.serial('SEC: without a certificate or without TLS nobody comes in', async (t) => {
  const it = await stage(t);
  await t.throwsAsync(async () => {
    const nameless = await WireClient.connect(it.agent.port, null);
    // TLS 1.3 lets a client finish before the server has judged it; the refusal comes at once afterwards.
    nameless.send(greeting());
    if (await nameless.ends()) throw new Error('closed');
  });
  const plain = connectTcp(it.agent.port, '127.0.0.1');
  const closed = new Promise((resolve) => plain.once('close', resolve));
  plain.on('error', () => {});
  plain.write(greeting());
  await closed;
  t.deepEqual(fs.readdirSync(it.granted), []);
  await unharmed(t, it, 'no TLS');
});
