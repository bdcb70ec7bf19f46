/** Two agents in this process, one connected to the other, over a fake engine and a fake network. */
import type { ExecutionContext } from 'ava';
import type { Client } from '../../protocol/client.js';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { FakeAgent, until } from './fake-agent.js';
import { FakeNetwork } from './fake-engine.js';
import { connect, type Introduction, type Link } from './introduce.js';

export interface FakeAgents {
  readonly a: FakeAgent;
  readonly b: FakeAgent;
  readonly ca: Client;
  readonly cb: Client;
}

export interface FakePair extends FakeAgents {
  item(): Promise<m.ConnectionItem>;
}

export interface FakeOptions {
  readonly names?: readonly [source: string, target: string];
  /** Configuration of each. */
  readonly files?: readonly [source: unknown, target: unknown];
  /** What is to be done to them before they start. */
  readonly prepare?: (a: FakeAgent, b: FakeAgent) => void;
}

/** Both run, and know nothing of each other. */
export async function fakeAgents(t: ExecutionContext, options: FakeOptions = {}): Promise<FakeAgents> {
  const { names = ['alpha', 'beta'], files = [null, null], prepare } = options;
  const network = new FakeNetwork();
  const a = new FakeAgent(names[0], network, files[0]);
  const b = new FakeAgent(names[1], network, files[1]);
  prepare?.(a, b);
  a.start();
  b.start();
  t.teardown(async () => {
    await a.stop();
    await b.stop();
  });
  return { a, b, ca: await a.client(), cb: await b.client() };
}

/** One set of the source, by default `docs` with all of /data, goes to /replica of the target. */
export const connectAgents = (
  { b, ca, cb }: Pick<FakeAgents, 'b' | 'ca' | 'cb'>,
  more: Partial<Introduction> = {},
): Promise<Link> =>
  connect(ca, cb, {
    set: 'docs',
    source: '/data',
    target: '/replica',
    host: '127.0.0.1',
    port: b.port,
    mirror: { kind: 'full' },
    ...more,
  });

export async function fakePair(
  t: ExecutionContext,
  file: unknown = null,
  mirror: m.MirrorOptions = { kind: 'full' },
  connected = true,
): Promise<FakePair> {
  const agents = await fakeAgents(t, { files: [file, null] });
  const { a } = agents;
  const item = async (): Promise<m.ConnectionItem> => {
    const { connections } = await (await a.client()).request(m.ConnectionList, {});
    const [first] = connections;
    if (!first) throw new Error('no connection');
    return first;
  };
  if (connected) {
    await connectAgents(agents, { mirror });
    if (mirror.kind !== 'none') await until('mirrored', () => a.log().includes('MIRROR_DONE'));
  }
  return { ...agents, item };
}

/** Waits until the source's first connection is OK. */
export const untilOk = ({ a }: Pick<FakeAgents, 'a'>): Promise<void> =>
  until('mirrored', () => a.agent.connections.items()[0]?.statistics.targetDataState === 'OK');

/** The call fails with this code of the catalogue. */
export async function refused(t: ExecutionContext, code: string, call: Promise<unknown>): Promise<Failure | undefined> {
  const error = await t.throwsAsync(call, { instanceOf: Failure });
  t.is(error.code, code, error.message);
  return error;
}

/** The engine's handle of an agent's first connection. */
export const handleOf = (agent: FakeAgent): number => [...agent.engine.connections.keys()][0] ?? -1;

/** What its log says with this code, oldest first. */
export const said = (agent: FakeAgent, code: string): m.Notice[] =>
  agent.agent.world.log.last(undefined).lines.flatMap(({ notice }) => (notice.code === code ? [notice] : []));

/** The words of the newest message with this code; waits for the first. */
export async function told(agent: FakeAgent, code: string): Promise<string> {
  await until(code, () => agent.log().includes(code));
  return said(agent, code).at(-1)?.text ?? '';
}
