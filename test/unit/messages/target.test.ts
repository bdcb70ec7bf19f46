/** What a target says of those who write to it, and of orphans: when, and in which words. */
import test from 'ava';
import * as m from '../../../protocol/messages/index.js';
import { FakeAgent } from '../../support/fake-agent.js';
import { fakePair, refused, told } from '../../support/fake-pair.js';

const GRANT = { server: 'alpha', set: 'more', origins: [] };

test('I5: permissions that exist, that do not, and that are taken back', async (t) => {
  const { b, cb, ca } = await fakePair(t);
  const { key: peer } = await ca.request(m.PeerShow, {});
  const grant = (connection: string, target: string): Promise<unknown> =>
    cb.request(m.GrantCreate, { ...GRANT, connection, peer, mappings: [{ source: '/m', target }] });
  await grant('k', '/more');
  t.is(
    (await refused(t, 'GRANT_EXISTS', grant('k', '/other')))?.message,
    'The connection k is granted already, with other directories.',
  );
  const change = cb.request(m.GrantChange, { connection: 'none', ignoreDeletes: true });
  t.is((await refused(t, 'GRANT_MISSING', change))?.message, 'beta has no grant none.');
  await refused(t, 'MAPPING_INVALID', grant('r', 'relative'));
  await cb.request(m.GrantRemove, { connection: 'k' });
  t.is(await told(b, 'GRANT_REMOVED'), 'The set "more" of alpha may not write here any more.');
  await cb.request(m.PeerForget, { key: peer });
  t.is(await told(b, 'PEER_FORGOTTEN'), `alpha with the key ${peer} is not trusted any more.`);
});

test('CON-60, CON-61, REP-13: a target that pauses, goes on, and keeps what its source deletes', async (t) => {
  const { b, cb } = await fakePair(t);
  await cb.request(m.ServerPauseTarget, {});
  t.is(await told(b, 'TARGET_PAUSED'), 'This server is paused as a target; 1 incoming connection waits (CON-60).');
  await cb.request(m.ServerResumeTarget, {});
  t.is(await told(b, 'TARGET_RESUMED'), 'This server goes on as a target of 1 incoming connection (CON-61).');
  const { grants } = await cb.request(m.GrantList, {});
  const keep = (ignoreDeletes: boolean): Promise<unknown> =>
    cb.request(m.GrantChange, { connection: grants[0]?.connection ?? '', ignoreDeletes });
  await keep(true);
  t.is(
    await told(b, 'DELETES_IGNORED'),
    'Set "docs" of alpha: files deleted on the source are kept here from now on (REP-13).',
  );
  await keep(false);
  t.is(
    await told(b, 'DELETES_DONE'),
    'Set "docs" of alpha: files deleted on the source are deleted here again; those kept so far stay as orphans.',
  );
});

test('MIR-54, MIR-57, MIR-58, MIR-60: each fate of an orphan has its own words, and none is moved into a replica', async (t) => {
  const { a, b } = await fakePair(t);
  const [link = -1] = b.engine.links.keys();
  const report = (what: string, code = '', call = ''): void =>
    b.engine.tell({ kind: 'receiver_report', link, what, detail: '/replica/o', code, call });
  report('orphan_deleted');
  t.is(await told(b, 'ORPHAN_DELETED'), 'Orphan of the set "docs" of alpha deleted: /replica/o.');
  report('orphan_not_removed', 'EBUSY', 'unlinkat');
  t.is(
    await told(b, 'ORPHAN_NOT_REMOVED'),
    'Orphan of the set "docs" of alpha stays, because it could not be removed: /replica/o.',
  );
  const { lines } = await (await b.client()).request(m.LogRead, {});
  t.deepEqual(lines.at(-1)?.notice.cause, { call: 'unlinkat', errno: 'EBUSY' });
  t.is(a.log().filter((code) => code.startsWith('ORPHAN')).length, 0, 'the log of the target says it');
});

test('MIR-58: a settings file that would move orphans into a replica moves none, and says so', async (t) => {
  const { b } = await fakePair(t);
  const settings = { orphans: { action: 'move', folder: '/replica/gone' } };
  await b.stop();
  const again = new FakeAgent('beta', b.network, settings, b.documents, b.port).start();
  t.teardown(() => again.stop());
  t.is(
    await told(again, 'ORPHANS_FOLDER_INSIDE'),
    'Orphans are neither moved nor deleted: orphans.folder /replica/gone lies inside the replica /replica or around it (MIR-58).',
  );
  t.is([...again.engine.links.values()][0]?.accepted?.orphans.action, 'none');
});
