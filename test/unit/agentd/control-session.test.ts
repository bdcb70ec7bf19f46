/** The control link: client and session over a pair of streams. */
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../../agentd/adapters/clock.js';
import { handlers } from '../../../agentd/drivers/methods.js';
import { Client } from '../../../protocol/client.js';
import { decode, encode } from '../../../protocol/codec.js';
import { Failure } from '../../../protocol/errors.js';
import { encodeFrame, FrameDecoder } from '../../../protocol/frame.js';
import { LINK_BACKLOG_BYTES_MAX, LINK_REQUESTS_MAX, LOG_LINES_MAX } from '../../../protocol/limits.js';
import * as m from '../../../protocol/messages/index.js';
import { MAGIC } from '../../../protocol/version.js';
import { ControlSession } from '../../../agentd/drivers/control-session.js';
import { duplexPair, FakeAgent, until } from '../../support/fake-agent.js';
import { FakeNetwork } from '../../support/fake-engine.js';

function agent(t: ExecutionContext): FakeAgent {
  const it = new FakeAgent('alpha', new FakeNetwork()).start();
  t.teardown(() => it.stop());
  return it;
}

async function code(t: ExecutionContext, call: Promise<unknown>): Promise<string> {
  return (await t.throwsAsync(call, { instanceOf: Failure })).code;
}

const rules = [{ path: '/a', include: true, recursive: true }];

test('every method of the protocol has a handler, and nothing else has', (t) => {
  t.deepEqual([...handlers(agent(t).agent).keys()].sort(), [...m.METHODS.keys()].sort());
});

test('SEC-04: without access there is the hello and nothing else', async (t) => {
  const client = await agent(t).client('none', 'nobody');
  t.like(client.hello, { name: 'alpha', access: 'none', user: 'nobody' });
  for (const method of m.METHODS.values())
    if (method.access !== 'none') t.is(await code(t, client.request(method, {})), 'ACCESS_DENIED', method.name);
  for (const topic of m.TOPICS.values()) {
    const ended = await new Promise<Failure | null>((resolve) => client.subscribe(topic, {}, { ended: resolve }));
    t.is(ended?.code, 'ACCESS_DENIED', topic.name);
  }
});

test('SEC-03: a monitor sees everything and changes nothing', async (t) => {
  const client = await agent(t).client('monitor');
  t.deepEqual((await client.request(m.SetList, {})).sets, []);
  for (const method of m.METHODS.values())
    if (method.changes) t.is(await code(t, client.request(method, {})), 'ACCESS_DENIED', method.name);
});

test('I10: calls are checked at the edge; unknown fields are ignored, unknown methods answered', async (t) => {
  const client = await agent(t).client();
  t.is(await code(t, client.request(m.SetSave, { name: 5 } as never)), 'BAD_REQUEST');
  t.deepEqual(await client.request(m.SetList, { ofTheFuture: true } as never), { sets: [] });
  t.is(await code(t, client.request({ ...m.SetList, name: 'set.future' }, {})), 'UNKNOWN_METHOD');
  t.is(await code(t, client.request(m.Barrier, { id: 7 })), 'CONNECTION_UNKNOWN');
});

test('I10: a fault of the agent itself is answered as one, and the link lives on', async (t) => {
  const it = agent(t);
  const client = await it.client();
  it.agent.sets.size = () => {
    throw new Error('an invariant broke');
  };
  const error = await t.throwsAsync(client.request(m.SetSize, { name: 'x' }), { instanceOf: Failure });
  t.is(error.code, 'INTERNAL');
  t.is(error.message, 'The agent failed in a way nobody foresaw: an invariant broke.');
  t.deepEqual((await client.request(m.SetList, {})).sets, []);
});

test('I8: a reader that is too slow loses its subscription, is told so, and begins again with what is true then', async (t) => {
  const it = agent(t);
  const [near, far] = duplexPair();
  const { agent: served } = it;
  new ControlSession(
    far,
    { access: 'monitor', user: 'x' },
    { hub: served.hub, clock: systemClock, call: (method, params, context) => served.call(method, params, context) },
    () => undefined,
  );
  const client = await Client.open(near, { address: 'alpha' });
  t.teardown(() => client.close());
  let begun = 0;
  const seen = client.subscribe(
    m.LogTopic,
    { last: 3 },
    {
      synced: () => {
        begun += 1;
      },
    },
  );
  await until('synced', () => seen.live);
  // The line stands still: what is written waits, as it would in a socket whose peer does not read.
  const write = far._write.bind(far);
  const held: (() => void)[] = [];
  far._write = (bytes, encoding, done) => void held.push(() => write(bytes, encoding, done));
  const wide = 'x'.repeat(200);
  for (let i = 0; far.writableLength <= LINK_BACKLOG_BYTES_MAX; i += 1)
    it.agent.world.log.say('SET_DELETED', { set: `${wide}${i}` }, { set: `${i}` });
  it.agent.world.log.say('SET_DELETED', { set: 'the last' }, { set: 'the last' });
  let wire = '';
  far._write = (bytes: Buffer, encoding, done) => {
    wire = (wire + bytes.toString('latin1')).slice(-100_000);
    write(bytes, encoding, done);
  };
  for (const go of held) go();
  await until('begun again', () => begun === 2);
  t.true(wire.includes('SUBSCRIPTION_SLOW'));
  t.is([...seen.items.values()].at(-1)?.set, 'the last');
});

test('I8: a request can be cancelled and has a time limit', async (t) => {
  const it = agent(t);
  const client = await it.client();
  it.agent.sets.size = () => new Promise(() => undefined);
  const controller = new AbortController();
  const waiting = client.request(m.SetSize, { name: 'x' }, { signal: controller.signal });
  controller.abort();
  t.is(await code(t, waiting), 'CANCELLED');
  t.is(await code(t, client.request(m.SetSize, { name: 'x' }, { signal: controller.signal })), 'CANCELLED');
  t.is(await code(t, client.request(m.SetSize, { name: 'x' }, { timeoutMs: 5 })), 'TIMED_OUT');
  t.true(client.isOpen);
});

test('I8: more open requests than the limit are refused on both sides', async (t) => {
  const it = agent(t);
  const client = await it.client();
  it.agent.sets.size = () => new Promise(() => undefined);
  const open = Array.from({ length: LINK_REQUESTS_MAX }, () => client.request(m.SetSize, { name: 'x' }));
  for (const one of open) one.catch(() => undefined);
  t.is(await code(t, client.request(m.SetList, {})), 'TOO_MANY');
});

test('a subscription is snapshot, synced, then deltas', async (t) => {
  const it = agent(t);
  const client = await it.client();
  await client.request(m.SetSave, { name: 'one', rules, generation: null });
  const events: string[] = [];
  const seen = client.subscribe(
    m.SetTopic,
    {},
    {
      synced: (items) => void events.push(`synced ${[...items.keys()].join()}`),
      put: (set) => void events.push(`put ${set.name} ${set.generation}`),
      remove: (key) => void events.push(`remove ${key}`),
    },
  );
  await until('synced', () => seen.live);
  await client.request(m.SetSave, { name: 'two', rules, generation: null });
  await until('put', () => seen.items.has('two'));
  await client.request(m.SetSave, { name: 'one', rules, generation: 1 });
  await until('changed', () => seen.items.get('one')?.generation === 2);
  await client.request(m.SetDelete, { name: 'two' });
  await until('removed', () => !seen.items.has('two'));
  t.deepEqual(events, ['synced one', 'put two 1', 'put one 2', 'remove two']);
  seen.cancel();
  await client.request(m.SetDelete, { name: 'one' });
  t.is(events.length, 4, 'nothing after the end');
});

test('RCN-31: the log begins with the newest lines that were asked for', async (t) => {
  const it = agent(t);
  for (let i = 0; i < LOG_LINES_MAX + 50; i += 1)
    it.agent.world.log.say('SET_DELETED', { set: `s${i}` }, { set: `s${i}` });
  const client = await it.client('monitor');
  const seen = client.subscribe(m.LogTopic, { last: 2 }, {});
  await until('synced', () => seen.live);
  t.deepEqual(
    [...seen.items.values()].map((line) => line.set),
    [`s${LOG_LINES_MAX + 48}`, `s${LOG_LINES_MAX + 49}`],
  );
  const read = await client.request(m.LogRead, {});
  t.is(read.lines.length, LOG_LINES_MAX);
  t.is(read.omitted, 51, 'older ones are only in the file');
});

test('a gap in the deltas makes the client subscribe again', async (t) => {
  const [near, far] = duplexPair();
  const asked: number[] = [];
  const decoder = new FrameDecoder();
  let first = true;
  const send = (value: unknown): void => void far.write(encodeFrame(encode(value)));
  far.on('data', (bytes: Buffer) => {
    for (const payload of decoder.push(bytes)) {
      const message = decode(payload) as { kind?: string; id: number; method?: string };
      if (message.kind === 'request')
        send({
          kind: 'response',
          id: message.id,
          result: { name: 'x', version: '1', protocol: 1, access: 'monitor', user: 'u', capabilities: [] },
        });
      if (message.kind !== 'subscribe') continue;
      asked.push(message.id);
      send({ kind: 'synced', id: message.id });
      if (first) send({ kind: 'delta', id: message.id, number: 2, remove: 'x' });
      first = false;
    }
  });
  far.write(MAGIC);
  send({ versions: { min: 1, max: 1 }, capabilities: [], software: 'test' });
  const client = await Client.open(near, { address: 'test' });
  let synced = 0;
  client.subscribe(
    m.SetTopic,
    {},
    {
      synced: () => {
        synced += 1;
      },
    },
  );
  await until('again', () => asked.length === 2 && synced === 2);
  t.not(asked[0], asked[1]);
  client.close();
});

test('P23: a stranger on the socket is recognised: banner, other version, silence', async (t) => {
  const opening = async (first: Uint8Array[]): Promise<string> => {
    const [near, far] = duplexPair();
    far.on('data', () => undefined);
    for (const bytes of first) far.write(bytes);
    return code(t, Client.open(near, { address: 'x', openingMs: 100 }));
  };
  t.is(await opening([Buffer.from('SSH-2.0-OpenSSH_9\r\n')]), 'NOT_UNDERSTUDY');
  t.is(
    await opening([MAGIC, encodeFrame(encode({ versions: { min: 9, max: 12 }, capabilities: [], software: '9' }))]),
    'VERSION_MISMATCH',
  );
  t.is(await opening([MAGIC, encodeFrame(encode({ versions: 'x' }))]), 'BAD_ANSWER');
  t.is(await opening([]), 'TIMED_OUT');
});

test('N/N-1: a newer agent that still speaks our version is understood', async (t) => {
  const it = agent(t);
  const [near, far] = duplexPair();
  new ControlSession(far, { access: 'monitor', user: 'u' }, it.agent, () => undefined);
  const decoder = new FrameDecoder();
  const answers: unknown[] = [];
  near.on('data', (bytes: Buffer) => answers.push(...decoder.push(bytes).map(decode)));
  near.write(
    Buffer.concat([
      MAGIC,
      encodeFrame(encode({ versions: { min: 1, max: 7 }, capabilities: ['x'], software: '7', more: 1 })),
      encodeFrame(encode({ kind: 'request', id: 1, method: 'server.hello', params: {} })),
    ]),
  );
  await until('answered', () => answers.length === 2);
  t.like(answers[1] as object, { kind: 'response', id: 1, result: { protocol: 1, access: 'monitor' } });
  near.destroy();
});

test('garbage after the opening closes the link and harms nobody else', async (t) => {
  const it = agent(t);
  const other = await it.client();
  const [near, far] = duplexPair();
  let closed = false;
  new ControlSession(far, { access: 'administrator', user: 'u' }, it.agent, () => {
    closed = true;
  });
  near.on('data', () => undefined);
  near.on('error', () => undefined);
  near.write(Buffer.concat([MAGIC, Buffer.from([3, 0, 0, 0, 0xc1, 0xc1, 0xc1])]));
  await until('closed', () => closed);
  t.deepEqual(await other.request(m.SetList, {}), { sets: [] });
});

test('I10: the end of the link ends what is open, with a reason', async (t) => {
  const it = agent(t);
  const client = await it.client();
  it.agent.sets.size = () => new Promise(() => undefined);
  const ended = new Promise<Failure | null>((resolve) => client.subscribe(m.SetTopic, {}, { ended: resolve }));
  const waiting = client.request(m.SetSize, { name: 'x' });
  client.close();
  t.is(await code(t, waiting), 'LINK_LOST');
  t.is(await ended, null, 'closed from here');
  t.is(await code(t, client.request(m.SetList, {})), 'LINK_LOST');
});
