/** Two agents in this process, one connected to the other, over a fake engine and a fake network. */
import type { ExecutionContext } from 'ava';
import type { Client } from '../../protocol/client.js';
import { Failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import { FakeAgent, until } from './fake-agent.js';
import { FakeNetwork } from './fake-engine.js';
import { connect } from './introduce.js';

export interface FakePair {
  readonly a: FakeAgent;
  readonly b: FakeAgent;
  readonly ca: Client;
  readonly cb: Client;
  item(): Promise<m.ConnectionItem>;
}

export async function fakePair(
  t: ExecutionContext,
  file: unknown = null,
  mirror: m.MirrorOptions = { kind: 'full' },
  connected = true,
): Promise<FakePair> {
  const network = new FakeNetwork();
  const a = new FakeAgent('alpha', network, file).start();
  const b = new FakeAgent('beta', network).start();
  const ca = await a.client();
  const cb = await b.client();
  t.teardown(async () => {
    await a.stop();
    await b.stop();
  });
  const item = async (): Promise<m.ConnectionItem> => {
    const { connections } = await (await a.client()).request(m.ConnectionList, {});
    const [first] = connections;
    if (!first) throw new Error('no connection');
    return first;
  };
  if (connected) {
    await connect(ca, cb, {
      set: 'docs',
      source: '/data',
      target: '/replica',
      host: '127.0.0.1',
      port: b.port,
      mirror,
    });
    if (mirror.kind !== 'none') await until('mirrored', () => a.log().includes('MIRROR_DONE'));
  }
  return { a, b, ca, cb, item };
}

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
