/** A server as a target: pause and resume, deletes that are kept. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import * as m from '../../protocol/messages/index.js';
import { opened } from '../support/opened.js';
import { understudy } from '../support/understudy.js';

const status = (wanted: string) => (item: m.ConnectionItem) => item.statistics.targetStatus === wanted;

test.serial(
  'CON-60..62, TOP-11: every connection to a paused target waits, is told so, and goes on when it is resumed',
  async (t) => {
    const pair = await opened(t, { servers: ['alpha', 'beta'] });
    const links = [];
    for (const name of ['one', 'two'])
      links.push(await pair.connect(pair.folder(name), join(pair.root, `${name}-copy`)));
    for (const link of links) await pair.mirrored(link);
    t.regex((await understudy(pair, ['target', 'pause', 'beta'])).out, /2 incoming connections/);
    for (const link of links) {
      await pair.until(link, 'paused', status('Paused'));
      writeFileSync(join(link.source, 'new'), 'waits');
    }
    for (const link of links) {
      await pair.until(link, 'received and waiting', (item) => item.targetQueuedBytes > 0);
      t.false(existsSync(join(link.target, 'new')));
      t.is((await pair.item(link)).statistics.targetStatus, 'Paused');
    }
    t.is((await understudy(pair, ['target', 'resume', 'beta'])).code, 0);
    for (const link of links) {
      await pair.barrier(link);
      t.true(existsSync(join(link.target, 'new')));
      await pair.until(link, 'OK', status('OK'));
    }
  },
);

test.serial('CON-60: a paused target stays paused over a kill of its agent; meanwhile it is Not Loaded', async (t) => {
  const pair = await opened(t, { servers: ['alpha', 'beta'] });
  const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
  await pair.mirrored(link);
  await pair.target.client.request(m.ServerPauseTarget, {});
  await pair.target.stop('SIGKILL');
  await pair.until(link, 'Not Loaded', status('Not Loaded'));
  writeFileSync(join(link.source, 'new'), 'waits');
  await pair.target.start();
  await pair.until(link, 'paused again', status('Paused'));
  await pair.until(link, 'received and waiting', (item) => item.targetQueuedBytes > 0);
  t.false(existsSync(join(link.target, 'new')));
  t.like((await pair.target.client.request(m.GrantList, {})).grants[0], { paused: true, status: 'Paused' });
  await pair.target.client.request(m.ServerResumeTarget, {});
  await pair.barrier(link);
  t.true(existsSync(join(link.target, 'new')));
});

test.serial('CON-60, REP-10: while an operation is being tried again a pause is pending', async (t) => {
  const pair = await opened(t, { servers: ['alpha', 'beta'] });
  const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
  await pair.mirrored(link);
  await rename(link.target, `${link.target}.away`);
  writeFileSync(join(link.source, 'new'), 'waits');
  await pair.until(link, 'retrying', status('Retrying'));
  await pair.target.client.request(m.ServerPauseTarget, {});
  await pair.until(link, 'pause pending', status('Pause Pending'));
  await rename(`${link.target}.away`, link.target);
  await pair.until(link, 'paused', status('Paused'));
  await pair.target.client.request(m.ServerResumeTarget, {});
  await pair.barrier(link);
  t.deepEqual(pair.differences(link), []);
});

test.serial('REP-13, SRV-52: ignoring deletes is changed on a running connection and survives a restart', async (t) => {
  const pair = await opened(t, { servers: ['alpha', 'beta'] });
  const link = await pair.connect(pair.folder('data'), join(pair.root, 'copy'));
  for (const name of ['kept', 'gone', 'edited', 'later']) writeFileSync(join(link.source, name), 'x');
  await pair.mirrored(link);
  await pair.barrier(link);
  const set = (choice: string) => understudy(pair, ['grant', 'set', 'beta', link.key, '--ignore-deletes', choice]);
  t.regex((await set('on')).out, /keeps what the source deletes/);
  rmSync(join(link.source, 'kept'));
  writeFileSync(join(link.source, 'edited'), 'edits still replicate');
  await pair.barrier(link);
  t.true(existsSync(join(link.target, 'kept')));
  await pair.target.stop('SIGKILL');
  await pair.target.start();
  rmSync(join(link.source, 'later'));
  await pair.barrier(link);
  t.true(existsSync(join(link.target, 'later')), 'after a restart of the target, too');
  t.regex((await set('on')).out, /as before/);
  t.is((await set('off')).code, 0);
  rmSync(join(link.source, 'gone'));
  await pair.barrier(link);
  t.false(existsSync(join(link.target, 'gone')));
  t.true(existsSync(join(link.target, 'kept')), 'what was kept stays, as an orphan');
});
