/** What people really do to a file system, on a live pair: all of it ends identical. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { REPOSITORY } from '../support/import-rules.js';
import { type Link, Pair } from '../support/pair.js';

const run = promisify(execFile);

function has(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  return folders.some((folder) => fs.existsSync(path.join(folder, program)));
}

async function connected(t: ExecutionContext): Promise<{ pair: Pair; link: Link }> {
  t.timeout(300_000);
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const link = await pair.connect(pair.folder('source'), pair.folder('target'));
  await pair.mirrored(link);
  return { pair, link };
}

async function identical(t: ExecutionContext, pair: Pair, link: Link): Promise<void> {
  await pair.barrier(link, 120_000);
  t.deepEqual(pair.differences(link), []);
}

/** A tree with the shape of a kernel's sources: many directories, mostly small files, some large ones, links. */
function sourceTree(root: string, directories: number, filesEach: number): void {
  const line = 'static int probe(struct device *dev) { return dev ? 0 : -ENODEV; }\n';
  for (let d = 0; d < directories; d++) {
    const folder = path.join(root, `drivers${d % 12}`, `part${d}`);
    fs.mkdirSync(folder, { recursive: true });
    for (let f = 0; f < filesEach; f++) {
      const lines = 1 + ((d * 31 + f * 17) % 90) * (f % 29 === 0 ? 20 : 1);
      fs.writeFileSync(
        path.join(folder, `${f % 3 === 0 ? 'core' : 'unit'}${f}.${f % 4 === 0 ? 'h' : 'c'}`),
        line.repeat(lines),
      );
    }
    fs.symlinkSync(`../part${d}/core0.h`, path.join(folder, 'current.h'));
  }
}

test.serial('load: an archive with the shape of kernel sources is extracted, patched and deleted', async (t) => {
  const { pair, link } = await connected(t);
  const made = path.join(pair.root, 'made');
  sourceTree(made, 240, 30);
  const archive = path.join(pair.root, 'sources.tar');
  execFileSync('tar', ['-C', made, '-cf', archive, '.']);
  fs.mkdirSync(path.join(link.source, 'linux'));
  await run('tar', ['-C', path.join(link.source, 'linux'), '-xf', archive]);
  await identical(t, pair, link);
  await run('bash', ['-c', `grep -rl 'ENODEV' '${link.source}/linux/drivers3' | xargs sed -i 's/ENODEV/ENXIO/'`]);
  await identical(t, pair, link);
  // Deleting while the other half is extracted again.
  const again = run('tar', ['-C', link.source, '-xf', archive]);
  await run('rm', ['-rf', path.join(link.source, 'linux')]);
  await again;
  await identical(t, pair, link);
});

(has('git') ? test.serial : test.serial.skip)(
  'load: git clone, checkouts and garbage collection of a large repository (needs git)',
  async (t) => {
    const { pair, link } = await connected(t);
    const origin = path.join(pair.root, 'origin');
    fs.mkdirSync(origin);
    const git = (cwd: string, ...args: string[]) =>
      run(
        'git',
        [
          '-c',
          'user.name=t',
          '-c',
          'user.email=t@example.org',
          '-c',
          'init.defaultBranch=main',
          '-c',
          'gc.auto=0',
          ...args,
        ],
        { cwd },
      );
    await git(origin, 'init', '-q');
    sourceTree(origin, 120, 25);
    await git(origin, 'add', '-A');
    await git(origin, 'commit', '-qm', 'one');
    await git(origin, 'checkout', '-qb', 'other');
    await git(origin, 'mv', 'drivers1', 'renamed');
    fs.rmSync(path.join(origin, 'drivers2'), { recursive: true });
    sourceTree(path.join(origin, 'more'), 60, 20);
    await git(origin, 'add', '-A');
    await git(origin, 'commit', '-qm', 'two');

    const clone = path.join(link.source, 'clone');
    await git(link.source, 'clone', '-q', origin, clone);
    await git(clone, 'checkout', '-q', 'main').catch(() => git(clone, 'checkout', '-qb', 'main', 'origin/main'));
    await identical(t, pair, link);
    for (const branch of ['other', 'main', 'other']) await git(clone, 'checkout', '-q', branch);
    await identical(t, pair, link);
    await git(clone, 'gc', '-q', '--prune=now');
    await identical(t, pair, link);
  },
);

(has('sqlite3') ? test.serial : test.serial.skip)(
  'load: an SQLite database under write load, both journal modes (needs sqlite3)',
  async (t) => {
    const { pair, link } = await connected(t);
    for (const mode of ['delete', 'wal']) {
      const file = path.join(link.source, `${mode}.db`);
      const writer = spawn('sqlite3', [file], { stdio: ['pipe', 'ignore', 'inherit'] });
      writer.stdin.write(`pragma journal_mode=${mode}; create table t(id integer primary key, v int, pad text);\n`);
      writer.stdin.write(
        "with recursive n(i) as (select 1 union all select i+1 from n where i<4000) insert into t(v,pad) select i, printf('%0200d', i) from n;\n",
      );
      for (let i = 0; i < 800; i++) {
        writer.stdin.write(
          `begin; update t set v=v-7 where id=${1 + ((i * 37) % 4000)}; update t set v=v+7 where id=${1 + ((i * 53) % 4000)}; commit;\n`,
        );
        if (i % 100 === 0) await wait(20);
      }
      writer.stdin.end('.quit\n');
      await new Promise((resolve) => writer.once('close', resolve));
      await identical(t, pair, link);
      const copy = path.join(link.target, `${mode}.db`);
      t.is(
        execFileSync('sqlite3', ['-readonly', copy, 'pragma integrity_check; select sum(v) from t;'], {
          encoding: 'utf8',
        }),
        'ok\n8002000\n',
      );
      // Opening the replica leaves nothing of its own behind that would be taken for a difference.
      for (const extra of [`${copy}-wal`, `${copy}-shm`])
        if (!fs.existsSync(`${file}${extra.slice(copy.length)}`)) fs.rmSync(extra, { force: true });
    }
  },
);

test.serial('load: a tree of installed packages appears, is moved and goes', async (t) => {
  const { pair, link } = await connected(t);
  const modules = path.join(link.source, 'node_modules');
  // What `npm ci` does to a disk: remove the old tree, write thousands of small files, link the programs.
  await run('cp', [
    '-r',
    path.join(REPOSITORY, 'node_modules', 'typescript'),
    path.join(REPOSITORY, 'node_modules', 'zod'),
    `${link.source}/`,
  ]);
  fs.mkdirSync(modules);
  for (const name of fs
    .readdirSync(path.join(REPOSITORY, 'node_modules'))
    .filter((it) => !/^(\.|@|typescript$)/.test(it))
    .slice(0, 80)) {
    await run('cp', ['-r', path.join(REPOSITORY, 'node_modules', name), modules]);
  }
  fs.mkdirSync(path.join(modules, '.bin'));
  fs.symlinkSync('../../typescript/bin/tsc', path.join(modules, '.bin/tsc'));
  await identical(t, pair, link);
  fs.renameSync(modules, path.join(link.source, '.node_modules-old'));
  await run('cp', ['-r', path.join(REPOSITORY, 'node_modules', 'zod'), modules]);
  await run('rm', ['-rf', path.join(link.source, '.node_modules-old')]);
  await identical(t, pair, link);
});

const initdb = ['15', '16', '17', '14', '18']
  .map((it) => `/usr/lib/postgresql/${it}/bin/initdb`)
  .find((it) => fs.existsSync(it));
(initdb ? test.serial : test.serial.skip)(
  "load: PostgreSQL's data directory while idle (needs postgresql)",
  async (t) => {
    const { pair, link } = await connected(t);
    const data = path.join(link.source, 'data');
    fs.mkdirSync(data, { mode: 0o700 });
    const asUser: { uid?: number; gid?: number } = {};
    if (process.getuid?.() === 0) {
      // initdb refuses to run as root.
      fs.chownSync(data, 65_534, 65_534);
      Object.assign(asUser, { uid: 65_534, gid: 65_534 });
    }
    await run(initdb ?? '', ['-D', data, '-A', 'trust', '-U', 'postgres', '--no-sync'], { ...asUser, cwd: '/' });
    await identical(t, pair, link);
  },
);
