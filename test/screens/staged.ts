/** The cockpit in front of two servers (fleet.ts), all that they tell at the beginning already heard. */
import type { ExecutionContext } from 'ava';
import type { FakeAgent } from './fake-agent.js';
import { twoServers } from './fleet.js';
import { Stage, type StageOptions } from './stage.js';

export async function staged(
  t: ExecutionContext,
  options: StageOptions = {},
): Promise<{ stage: Stage; alpha: FakeAgent; beta: FakeAgent }> {
  const { alpha, beta } = twoServers();
  const stage = new Stage({ agents: [alpha, beta], ...options });
  t.teardown(() => stage.end());
  stage.start();
  await stage.until(
    () => stage.cockpit.app.fleet.servers.every((server) => server.current && server.log.entries.length > 0),
    'both servers',
  );
  await stage.until(
    () =>
      (stage.cockpit.app.fleet.servers[1]?.grants.size ?? 0) > 0 &&
      (stage.cockpit.app.fleet.servers[0]?.connections.size ?? 0) === 3,
    'their connections',
  );
  await stage.settle();
  return { stage, alpha, beta };
}
