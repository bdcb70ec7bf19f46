/** What the console says when it introduces two servers to each other. */
import test from 'ava';
import * as m from '../../../protocol/messages/index.js';
import { introduce } from '../../../tui/cli/introduce.js';
import { fakeAgents, refused } from '../../support/fake-pair.js';

test('SRV-32: a server that does not listen is no target; nothing is granted or trusted there', async (t) => {
  const { ca: source, cb: target } = await fakeAgents(t, {
    prepare: (_a, b) => {
      b.listening = false;
    },
  });
  const rules = [{ path: '/data', include: true, recursive: true }];
  await source.request(m.SetSave, { name: 'docs', rules, generation: null });
  const asked = introduce({
    source,
    target,
    sourceAddress: 'unix:/a',
    targetAddress: 'unix:/b',
    targetName: 'beta',
    set: 'docs',
    mapping: { kind: 'one_to_one' },
    mirror: { kind: 'full' },
    replication: true,
  });
  const error = await refused(t, 'NOT_LISTENING', asked);
  t.is(error?.message, 'beta does not listen for data.');
  t.regex(error?.notice.remedy ?? '', /agent\.listen/);
  t.deepEqual((await target.request(m.PeerShow, {})).peers, []);
  t.deepEqual((await target.request(m.GrantList, {})).grants, []);
});
