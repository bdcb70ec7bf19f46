/**
 * Soft links and hard links, row by row: what happens to a link on the source, and what lies on the target afterwards.
 * All cases share one pair of agents and one tree; each has a folder of its own in it. docs/links.md says the same in
 * words.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { native } from '../../native/index.js';
import * as m from '../../protocol/messages/index.js';
import { type Link, Pair } from '../support/pair.js';

const isRoot = process.getuid?.() === 0;

let pair: Pair;
let link: Link;
/** On the source, and no part of any set. */
let outside: string;

interface Place {
  /** In the set. */
  readonly here: string;
  /** The same folder on the target. */
  readonly there: string;
  /** Beside the set, on the same file system. */
  readonly out: string;
}

/** A folder of the set for one case, and one outside of it. */
function place(name: string): Place {
  const found = { here: join(link.source, name), there: join(link.target, name), out: join(outside, name) };
  for (const folder of [found.here, found.out]) mkdirSync(folder, { recursive: true });
  return found;
}

const settle = (): Promise<void> => pair.barrier(link);

/** Identical in content, kind, attributes, link texts and which names belong together. */
function same(t: ExecutionContext, { here, there }: Place, what?: string): void {
  t.deepEqual(native().compareTrees(here, there, 20).differences, [], what);
}

const inode = (path: string): number => lstatSync(path).ino;
const names = (path: string): number => lstatSync(path).nlink;

test.before(async (t) => {
  t.timeout(60_000);
  pair = await Pair.open();
  outside = pair.folder('outside');
  const source = pair.folder('data');
  // There before the first mirror, for the rows that say what a mirror does.
  for (const folder of ['cap50/sub', 'cap51']) mkdirSync(join(source, folder), { recursive: true });
  writeFileSync(join(source, 'cap50/a'), 'three names');
  linkSync(join(source, 'cap50/a'), join(source, 'cap50/sub/b'));
  linkSync(join(source, 'cap50/a'), join(source, 'cap50/sub/c'));
  mkdirSync(join(outside, 'cap51'));
  writeFileSync(join(outside, 'cap51/x'), 'one name is elsewhere');
  for (const name of ['y', 'z']) linkSync(join(outside, 'cap51/x'), join(source, 'cap51', name));
  link = await pair.connect(source, join(pair.root, 'replica'));
  await settle();
});

test.after.always(async () => {
  await pair?.close();
});

test.serial(
  'CAP-30: a link to a directory on the way to the data is an ordinary directory on the target',
  async (t) => {
    const real = pair.folder('cap30/real/data');
    writeFileSync(join(real, 'f'), 'behind a link');
    const way = join(pair.root, 'cap30/way');
    symlinkSync(join(pair.root, 'cap30/real'), way);
    const base = join(pair.root, 'built');
    const behind = await pair.connect(join(way, 'data'), join(base, way, 'data'));
    await pair.barrier(behind);
    for (let at = behind.target; at !== base; at = dirname(at)) t.true(lstatSync(at).isDirectory(), at);
    writeFileSync(join(real, 'live'), 'told by its real path');
    await pair.barrier(behind);
    t.deepEqual(pair.differences(behind), []);
    await pair.disconnect(behind);
  },
);

test.serial(
  'CAP-31, CAP-33: by default a link into the set points into the replica, made there or moved in',
  async (t) => {
    const at = place('cap31');
    writeFileSync(join(at.here, 'f'), 'x');
    mkdirSync(join(at.here, 'd'));
    symlinkSync(join(at.here, 'f'), join(at.here, 'made'));
    symlinkSync(join(at.here, 'd'), join(at.out, 'moved'));
    renameSync(join(at.out, 'moved'), join(at.here, 'moved'));
    symlinkSync('d/../f', join(at.here, 'relative'));
    await settle();
    t.is(readlinkSync(join(at.there, 'made')), join(at.there, 'f'));
    t.is(readlinkSync(join(at.there, 'moved')), join(at.there, 'd'));
    t.is(readlinkSync(join(at.there, 'relative')), 'd/../f', 'leads into the replica as it is');
    t.is(readFileSync(join(at.there, 'made'), 'utf8'), 'x');
  },
);

test.serial(
  'CAP-32, CAP-34: with target.remap_links off a link into the set stays as it is; one that points elsewhere always does',
  async (t) => {
    const at = place('cap34');
    symlinkSync('/etc/hostname', join(at.here, 'made'));
    symlinkSync(join(at.out, 'x'), join(at.out, 'moved'));
    renameSync(join(at.out, 'moved'), join(at.here, 'moved'));
    await settle();
    t.is(readlinkSync(join(at.there, 'made')), '/etc/hostname');
    t.is(readlinkSync(join(at.there, 'moved')), join(at.out, 'x'));

    const remap = (value: string): Promise<unknown> =>
      pair.target.client.request(m.SettingsSet, { changes: [{ key: 'target.remap_links', value }] });
    await remap('false');
    const folder = pair.folder('cap32');
    symlinkSync(join(folder, 'f'), join(folder, 'mirrored'));
    const plain = await pair.connect(folder, join(pair.root, 'cap32-replica'));
    await pair.barrier(plain);
    writeFileSync(join(folder, 'f'), 'x');
    symlinkSync(join(folder, 'f'), join(folder, 'made'));
    symlinkSync(join(folder, 'f'), join(outside, 'moved'));
    renameSync(join(outside, 'moved'), join(folder, 'moved'));
    symlinkSync('/etc/hostname', join(folder, 'elsewhere'));
    await pair.barrier(plain);
    for (const name of ['mirrored', 'made', 'moved']) t.is(readlinkSync(join(plain.target, name)), join(folder, 'f'));
    t.deepEqual(pair.differences(plain), []);
    await pair.disconnect(plain);
    await remap('true');
  },
);

test.serial(
  'CAP-35: a link that is deleted or moved out of the set is deleted on the target, and not what it names',
  async (t) => {
    const at = place('cap35');
    writeFileSync(join(at.here, 'f'), 'stays');
    writeFileSync(join(at.out, 'f'), 'stays');
    for (const name of ['deleted', 'moved']) symlinkSync('f', join(at.here, name));
    await settle();
    t.true(
      lstatSync(join(at.there, 'deleted')).isSymbolicLink() && lstatSync(join(at.there, 'moved')).isSymbolicLink(),
    );
    unlinkSync(join(at.here, 'deleted'));
    renameSync(join(at.here, 'moved'), join(at.out, 'moved'));
    await settle();
    t.deepEqual(readdirSync(at.there), ['f']);
    same(t, at);
  },
);

test.serial(
  'CAP-36..39: what a copy makes of a link is what arrives: the object itself, or the link alone',
  async (t) => {
    const at = place('cap36');
    mkdirSync(join(at.out, 'd/deep'), { recursive: true });
    writeFileSync(join(at.out, 'd/deep/f'), 'deep');
    writeFileSync(join(at.out, 'f'), 'contents');
    symlinkSync(join(at.out, 'f'), join(at.out, 'to-file'));
    symlinkSync(join(at.out, 'd'), join(at.out, 'to-directory'));
    const copy = (how: string, name: string, as: string): unknown =>
      execFileSync('cp', [how, join(at.out, name), join(at.here, as)]);
    copy('-L', 'to-file', 'file');
    copy('-P', 'to-file', 'file-link');
    copy('-rL', 'to-directory', 'directory');
    copy('-rP', 'to-directory', 'directory-link');
    await settle();
    t.true(lstatSync(join(at.there, 'file')).isFile(), 'CAP-36');
    t.is(readFileSync(join(at.there, 'file'), 'utf8'), 'contents');
    t.is(readlinkSync(join(at.there, 'file-link')), join(at.out, 'f'), 'CAP-37');
    t.true(lstatSync(join(at.there, 'directory')).isDirectory(), 'CAP-38');
    t.is(readFileSync(join(at.there, 'directory/deep/f'), 'utf8'), 'deep');
    t.is(readlinkSync(join(at.there, 'directory-link')), join(at.out, 'd'), 'CAP-39');
    same(t, at);
  },
);

test.serial(
  'CAP-40, CAP-41: changes and writes through a link arrive at the object that it names, if that is in the set',
  async (t) => {
    const at = place('cap40');
    writeFileSync(join(at.here, 'f'), 'one');
    writeFileSync(join(at.out, 'f'), 'one');
    symlinkSync('f', join(at.here, 'inside'));
    symlinkSync(join(at.here, 'f'), join(at.out, 'from-outside'));
    symlinkSync(join(at.out, 'f'), join(at.here, 'to-outside'));
    await settle();
    const before = inode(join(at.there, 'f'));
    chmodSync(join(at.here, 'inside'), 0o600);
    if (isRoot) chownSync(join(at.here, 'inside'), 65_534, 65_534);
    appendFileSync(join(at.here, 'inside'), ' two');
    chmodSync(join(at.here, 'to-outside'), 0o600);
    appendFileSync(join(at.here, 'to-outside'), ' two');
    await settle();
    same(t, at);
    const { mode, uid } = lstatSync(join(at.there, 'f'));
    t.is(mode & 0o7777, 0o600);
    if (isRoot) t.is(uid, 65_534);
    t.is(readFileSync(join(at.there, 'f'), 'utf8'), 'one two');
    t.true(
      lstatSync(join(at.there, 'inside')).isSymbolicLink() && lstatSync(join(at.there, 'to-outside')).isSymbolicLink(),
    );
    chmodSync(join(at.out, 'from-outside'), 0o640);
    appendFileSync(join(at.out, 'from-outside'), ' three');
    utimesSync(join(at.out, 'from-outside'), 1e9, 1e9);
    await settle();
    same(t, at);
    t.is(readFileSync(join(at.there, 'f'), 'utf8'), 'one two three');
    t.is(inode(join(at.there, 'f')), before, 'written in place');
  },
);

test.serial(
  'CAP-50: a file whose names are all in the set has them all on the target, mirrored or made later',
  async (t) => {
    const at = place('cap50');
    const mirrored = ['a', 'sub/b', 'sub/c'];
    t.deepEqual(new Set(mirrored.map((name) => inode(join(at.there, name)))).size, 1);
    t.is(names(join(at.there, 'a')), 3);
    linkSync(join(at.here, 'sub/c'), join(at.here, 'later'));
    writeFileSync(join(at.here, 'new'), 'two names at once');
    linkSync(join(at.here, 'new'), join(at.here, 'sub/new'));
    await settle();
    t.is(names(join(at.there, 'a')), 4);
    t.is(inode(join(at.there, 'later')), inode(join(at.there, 'a')));
    t.is(names(join(at.there, 'new')), 2);
    same(t, at);
  },
);

test.serial(
  'CAP-51, CAP-52: names outside of the set do not travel; those inside are one file, also one made from outside',
  async (t) => {
    const at = place('cap51');
    t.deepEqual(readdirSync(at.there), ['y', 'z']);
    t.is(inode(join(at.there, 'y')), inode(join(at.there, 'z')));
    t.is(names(join(at.there, 'y')), 2);
    linkSync(join(at.out, 'x'), join(at.here, 'new'));
    writeFileSync(join(at.out, 'alone'), 'no other name is inside');
    linkSync(join(at.out, 'alone'), join(at.here, 'alone'));
    await settle();
    t.is(inode(join(at.there, 'new')), inode(join(at.there, 'y')), 'CAP-52');
    t.is(names(join(at.there, 'y')), 3);
    t.is(names(join(at.there, 'alone')), 1);
    t.is(readFileSync(join(at.there, 'alone'), 'utf8'), 'no other name is inside');
    same(t, at);
  },
);

test.serial(
  'CAP-53: a name moved into the set is linked to its other names there, as on the source (the row would copy it)',
  async (t) => {
    const at = place('cap53');
    writeFileSync(join(at.here, 'inside'), 'shared');
    linkSync(join(at.here, 'inside'), join(at.out, 'outside'));
    writeFileSync(join(at.out, 'alone'), 'its only name');
    await settle();
    t.is(names(join(at.there, 'inside')), 1);
    renameSync(join(at.out, 'outside'), join(at.here, 'moved'));
    renameSync(join(at.out, 'alone'), join(at.here, 'alone'));
    await settle();
    t.is(inode(join(at.there, 'moved')), inode(join(at.there, 'inside')));
    t.is(names(join(at.there, 'alone')), 1);
    same(t, at);
  },
);

test.serial(
  'CAP-54, CAP-55: a name moved within the set moves and stays linked; one moved out goes, and the others stay',
  async (t) => {
    const at = place('cap54');
    mkdirSync(join(at.here, 'sub'));
    writeFileSync(join(at.here, 'a'), 'shared');
    for (const name of ['b', 'c']) linkSync(join(at.here, 'a'), join(at.here, name));
    await settle();
    const file = inode(join(at.there, 'a'));
    renameSync(join(at.here, 'a'), join(at.here, 'sub/moved'));
    await settle();
    t.is(inode(join(at.there, 'sub/moved')), file, 'moved, not made anew');
    t.deepEqual(readdirSync(at.there), ['b', 'c', 'sub']);
    t.is(names(join(at.there, 'b')), 3);
    renameSync(join(at.here, 'b'), join(at.out, 'b'));
    await settle();
    t.false(existsSync(join(at.there, 'b')), 'CAP-55');
    t.is(inode(join(at.there, 'c')), file);
    t.is(names(join(at.there, 'c')), 2);
    same(t, at);
    for (const name of ['c', 'sub/moved'])
      renameSync(join(at.here, name), join(at.out, `last-${name.replace('/', '-')}`));
    await settle();
    t.deepEqual(readdirSync(join(at.there, 'sub')), []);
    same(t, at);
  },
);

test.serial('CAP-56: a copy of a file with several names, from inside or outside, is a file of its own', async (t) => {
  const at = place('cap56');
  writeFileSync(join(at.here, 'a'), 'inside');
  linkSync(join(at.here, 'a'), join(at.here, 'b'));
  writeFileSync(join(at.out, 'x'), 'outside');
  linkSync(join(at.out, 'x'), join(at.out, 'y'));
  execFileSync('cp', [join(at.here, 'b'), join(at.here, 'of-inside')]);
  execFileSync('cp', [join(at.out, 'y'), join(at.here, 'of-outside')]);
  await settle();
  t.is(names(join(at.there, 'a')), 2);
  for (const name of ['of-inside', 'of-outside']) t.is(names(join(at.there, name)), 1);
  t.is(readFileSync(join(at.there, 'of-outside'), 'utf8'), 'outside');
  same(t, at);
});

test.serial(
  'CAP-57, CAP-59: attributes and bytes changed through one name inside are those of every name',
  async (t) => {
    const at = place('cap57');
    writeFileSync(join(at.here, 'a'), 'x'.repeat(300_000));
    linkSync(join(at.here, 'a'), join(at.here, 'b'));
    linkSync(join(at.here, 'a'), join(at.out, 'c'));
    await settle();
    const file = inode(join(at.there, 'a'));
    chmodSync(join(at.here, 'b'), 0o640);
    if (isRoot) chownSync(join(at.here, 'b'), 65_534, 65_534);
    await settle();
    t.is(lstatSync(join(at.there, 'a')).mode & 0o7777, 0o640);
    if (isRoot) t.is(lstatSync(join(at.there, 'a')).uid, 65_534);
    same(t, at);
    appendFileSync(join(at.here, 'b'), 'by the other name');
    await settle();
    t.regex(readFileSync(join(at.there, 'a'), 'utf8'), /xby the other name$/, 'CAP-59');
    t.is(inode(join(at.there, 'a')), file);
    t.is(inode(join(at.there, 'b')), file);
    same(t, at);
  },
);

test.serial(
  'CAP-13, CAP-58, CAP-60: what changes through a name outside of the set arrives with the next look (the rows would leave it)',
  async (t) => {
    const at = place('cap58');
    for (const name of ['attributes', 'bytes']) {
      writeFileSync(join(at.here, name), 'x'.repeat(9_000));
      linkSync(join(at.here, name), join(at.out, name));
    }
    await settle();
    chmodSync(join(at.out, 'attributes'), 0o640);
    appendFileSync(join(at.out, 'bytes'), 'from outside');
    await settle();
    t.is(lstatSync(join(at.there, 'attributes')).mode & 0o7777, 0o640);
    t.regex(readFileSync(join(at.there, 'bytes'), 'utf8'), /xfrom outside$/);
    same(t, at);
  },
);

test.serial(
  'CAP-61: a name deleted inside the set is deleted on the target; the file lives by its other names',
  async (t) => {
    const at = place('cap61');
    for (const name of ['pair', 'lone']) writeFileSync(join(at.here, name), 'x');
    linkSync(join(at.here, 'pair'), join(at.here, 'other'));
    linkSync(join(at.here, 'lone'), join(at.out, 'lone'));
    await settle();
    for (const name of ['pair', 'lone']) unlinkSync(join(at.here, name));
    await settle();
    t.deepEqual(readdirSync(at.there), ['other']);
    t.is(names(join(at.there, 'other')), 1);
    t.is(readFileSync(join(at.there, 'other'), 'utf8'), 'x');
    same(t, at);
  },
);

test.serial(
  'CAP-63, VER-19: a verification compares each name by itself and does not show which belong together',
  async (t) => {
    const at = place('cap63');
    writeFileSync(join(at.here, 'a'), 'shared');
    linkSync(join(at.here, 'a'), join(at.here, 'b'));
    await settle();
    const verify = async (): Promise<m.VerifyResult> => {
      const { id } = await pair.item(link);
      return pair.source.client.request(m.Verify, { id, checksum: true, remirror: false, newer: false });
    };
    t.like(await verify(), { different: 0, missing: 0 });
    // The same bytes, attributes and times, and not one file any more.
    rmSync(join(at.there, 'b'));
    execFileSync('cp', ['-p', join(at.there, 'a'), join(at.there, 'b')]);
    t.is(names(join(at.there, 'a')), 1);
    t.deepEqual(
      (await verify()).differences.filter((one) => /cap63\/[ab]$/.test(one.path)),
      [],
    );
    await pair.source.client.request(m.MirrorStart, {
      id: (await pair.item(link)).id,
      options: { kind: 'difference', checksum: true },
    });
    await pair.mirrored(link);
    await settle();
    t.is(names(join(at.there, 'a')), 2, 'a mirror links them again');
  },
);

test.serial(
  'CAP-62, CAP-50, CAP-54: names whose targets lie on different file systems are full copies; each gets every change',
  async (t) => {
    const memory = mkdtempSync('/dev/shm/understudy-test-');
    t.teardown(() => rmSync(memory, { recursive: true, force: true }));
    t.not(lstatSync(memory).dev, lstatSync(pair.root).dev, 'the two are on different file systems');
    const [one, two, three] = ['one', 'two', 'three'].map((name) => pair.folder(`cap62/${name}`)) as [
      string,
      string,
      string,
    ];
    for (const size of [20, 400_000]) {
      writeFileSync(join(one, `${size}`), 'x'.repeat(size));
      for (const folder of [two, three]) linkSync(join(one, `${size}`), join(folder, `${size}`));
    }
    const set = 'three places';
    const to = { one: join(pair.root, 'cap62-one'), two: join(memory, 'two'), three: join(pair.root, 'cap62-three') };
    const split = await pair.connectAll(set, { [one]: to.one, [two]: to.two, [three]: to.three });
    await pair.barrier(split);
    const each = (name: string): void => {
      for (const [folder, copy] of [
        [one, to.one],
        [two, to.two],
        [three, to.three],
      ] as const) {
        t.is(readFileSync(join(copy, name), 'utf8'), readFileSync(join(folder, name), 'utf8'), `${copy}/${name}`);
        t.is(lstatSync(join(copy, name)).mode, lstatSync(join(folder, name)).mode);
      }
      t.is(inode(join(to.one, name)), inode(join(to.three, name)), 'CAP-50: on one file system they are one file');
    };
    for (const size of [20, 400_000]) each(`${size}`);
    for (const size of [20, 400_000]) {
      appendFileSync(join(two, `${size}`), 'written through one name');
      chmodSync(join(three, `${size}`), 0o640);
    }
    await pair.barrier(split);
    for (const size of [20, 400_000]) each(`${size}`);
    // The wanted state outlives the agent.
    await pair.source.stop();
    appendFileSync(join(one, '20'), 'while nobody looked');
    await pair.source.start();
    await pair.barrier(split);
    each('20');
    appendFileSync(join(two, '400000'), 'and again');
    await pair.barrier(split);
    each('400000');
    renameSync(join(one, '20'), join(two, 'moved'));
    await pair.barrier(split);
    t.deepEqual(readdirSync(to.two).sort(), ['20', '400000', 'moved']);
    t.is(inode(join(to.two, 'moved')), inode(join(to.two, '20')), 'CAP-54');
    t.is(readFileSync(join(to.two, 'moved'), 'utf8'), readFileSync(join(two, '20'), 'utf8'));
    t.deepEqual(readdirSync(to.one), ['400000']);
    t.is((await pair.item(split)).quarantined, 0);
  },
);
