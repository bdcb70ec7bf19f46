#!/usr/bin/env node
/**
 * The one command after `git clone`: brings everything up to date that is not, then does what was asked.
 * No dependencies, because it runs before there are any.
 *
 *   node bootstrap.mjs start [demo options]    the demo: two agents, a live replica, the cockpit
 *   node bootstrap.mjs test [test files]       C++ unit tests, then the TypeScript tests
 *   node bootstrap.mjs check-native [--long]   the C++ unit tests once more under sanitizers, and the decoder's fuzzer
 *   node bootstrap.mjs build | lint | docs | bench | daemon
 *
 * Each step has a stamp in `.bootstrap/`: a digest of what it was made from. Equal digest: nothing to do.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { counted, countNative, countTap, print, Total } from './test/support/counted.mjs';

const ROOT = path.dirname(fileURLToPath(import.meta.url));
const STAMPS = path.join(ROOT, '.bootstrap');
const NODE_NEEDED = [20, 19];
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const LOCK_WAIT_MS = 30 * 60_000;

/** What the build needs: package, and how to see that it is there. */
const FOR_BUILD = [
  { package: 'python3', command: 'python3' },
  { package: 'make', command: 'make' },
  { package: 'g++', command: 'g++' },
  { package: 'libxxhash-dev', file: '/usr/include/xxhash.h' },
  { package: 'libzstd-dev', file: '/usr/include/zstd.h' },
];

/** What only the tests use. Without one of these the tests concerned are skipped and say so. */
const FOR_TEST = [
  { package: 'libssl-dev', file: '/usr/include/openssl/ssl.h' },
  { package: 'openssh-server', command: 'sshd' },
  { package: 'openssh-client', command: 'ssh-keygen' },
  { package: 'iproute2', command: 'ip' },
  { package: 'util-linux', command: 'nsenter' },
  { package: 'mount', command: 'mount' },
  { package: 'e2fsprogs', command: 'mkfs.ext4' },
  { package: 'xfsprogs', command: 'mkfs.xfs' },
  { package: 'btrfs-progs', command: 'mkfs.btrfs' },
  { package: 'acl', command: 'setfacl' },
  { package: 'attr', command: 'setfattr' },
  { package: 'sqlite3', command: 'sqlite3' },
  { package: 'git', command: 'git' },
  { package: 'tmux', command: 'tmux' },
  { package: 'snmptrapd', command: 'snmptrapd' },
  { package: 'snmp', command: 'snmptranslate' },
  { package: 'smitools', command: 'smilint' },
  { package: 'mandoc', command: 'mandoc' },
];

/** The tools that the benchmark measures beside us, and what it measures with. */
const FOR_BENCH = [
  { package: 'iproute2', command: 'ip' },
  { package: 'e2fsprogs', command: 'mkfs.ext4' },
  { package: 'rsync', command: 'rsync' },
  { package: 'lsyncd', command: 'lsyncd' },
  { package: 'socat', command: 'socat' },
  { package: 'openssh-server', command: 'sshd' },
  { package: 'openssh-client', command: 'ssh-keygen' },
];

class Stop extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

const say = (text) => process.stderr.write(`understudy: ${text}\n`);

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor >= NODE_NEEDED[1])) return;
  throw new Stop(
    `Node ${process.versions.node} is too old; ${NODE_NEEDED.join('.')} or newer is needed.`,
    EX_UNAVAILABLE,
  );
}

// ------------------------------------------------------------------------------------------------ small helpers

const sbin = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

function onPath(command) {
  const folders = [...(process.env['PATH'] ?? '').split(':'), ...sbin].filter(Boolean);
  return folders.some((folder) => {
    try {
      fs.accessSync(path.join(folder, command), fs.constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** All files below `folder` (relative to ROOT) whose name passes, sorted, so that digests are stable. */
function filesBelow(folder, passes) {
  const found = [];
  const todo = [folder];
  while (todo.length > 0) {
    const at = todo.pop();
    let entries = [];
    try {
      entries = fs.readdirSync(path.join(ROOT, at), { withFileTypes: true });
    } catch {
      continue;
    }
    for (const entry of entries) {
      const name = path.join(at, entry.name);
      if (entry.isDirectory()) {
        if (!['node_modules', 'build', 'dist', 'tmp', '.git'].includes(entry.name)) todo.push(name);
      } else if (passes(entry.name)) found.push(name);
    }
  }
  return found.sort();
}

function digest(files, ...more) {
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`${file}\0`);
    try {
      hash.update(fs.readFileSync(path.join(ROOT, file)));
    } catch (error) {
      if (error.code !== 'ENOENT') throw error; // A file may vanish while somebody edits; its name counted.
    }
  }
  for (const text of more) hash.update(`\0${text}`);
  return hash.digest('hex');
}

function stamp(name) {
  try {
    return fs.readFileSync(path.join(STAMPS, name), 'utf8');
  } catch {
    return null;
  }
}

function setStamp(name, value) {
  fs.mkdirSync(STAMPS, { recursive: true });
  const temporary = path.join(STAMPS, `${name}.${process.pid}`);
  fs.writeFileSync(temporary, value);
  fs.renameSync(temporary, path.join(STAMPS, name));
}

/**
 * Runs a step quietly; its output is shown only when it fails. Resolves to the seconds it took.
 * @param options.signal ends it, when what runs beside it has failed
 */
async function run(what, command, args, options = {}) {
  const started = Date.now();
  say(what);
  const said = [];
  const how = await new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => said.push(piece));
    child.on('error', (error) => reject(new Stop(`${command}: ${error.message}`, EX_UNAVAILABLE)));
    child.on('close', (code, signal) => resolve(signal ?? (code === 0 ? null : `status ${code}`)));
  });
  if (how !== null) {
    const log = path.join(STAMPS, 'failed.log');
    const text = Buffer.concat(said);
    fs.mkdirSync(STAMPS, { recursive: true });
    fs.writeFileSync(log, text);
    process.stderr.write(`${explanation(text.toString())}\n`);
    throw new Stop(`${what}: ${path.basename(command)} ended with ${how}. All it said: ${log}`, 1);
  }
  return (Date.now() - started) / 1000;
}

/** Steps that go side by side. The first that fails ends the others, and is what is told. */
async function together(steps) {
  const ending = new AbortController();
  let failure = null;
  const ended = (error) => {
    failure ??= error;
    ending.abort();
  };
  await Promise.all(steps.map((step) => step(ending.signal).catch(ended)));
  if (failure) throw failure;
}

/** The lines that name an error, or else the last ones; compilers say a great deal besides. */
function explanation(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const named = lines.filter((line) => /: (fatal )?error:|error TS\d|undefined reference/.test(line));
  const shown = named.length > 0 ? named.slice(0, 30) : lines.slice(-30);
  return shown.map((line) => line.slice(0, 400)).join('\n');
}

/** One bootstrap at a time: two builds in one folder would spoil each other. */
function lock() {
  fs.mkdirSync(STAMPS, { recursive: true });
  const file = path.join(STAMPS, 'lock');
  const until = Date.now() + LOCK_WAIT_MS;
  let told = false;
  for (;;) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => fs.rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    let holder = 0;
    try {
      holder = Number(fs.readFileSync(file, 'utf8'));
    } catch {
      continue; // It was released a moment ago.
    }
    if (holder > 0 && !fs.existsSync(`/proc/${holder}`)) {
      fs.rmSync(file, { force: true });
      continue;
    }
    if (Date.now() > until) throw new Stop(`process ${holder} holds ${file} for too long; end it and try again.`, 75);
    if (!told) say(`waiting for process ${holder}, which builds here`);
    told = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

// -------------------------------------------------------------------------------------------------------- steps

async function systemPackages(wanted, essential) {
  const missing = (list) => list.filter((it) => (it.command ? !onPath(it.command) : !fs.existsSync(it.file)));
  const names = missing(wanted).map((it) => it.package);
  if (names.length === 0) return;
  const install = `apt-get install -y --no-install-recommends ${names.join(' ')}`;
  const apt = onPath('apt-get');
  if (apt && process.getuid() === 0) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    try {
      await run('refreshing the package lists', 'apt-get', ['update', '-q'], { env });
      await run(`installing ${names.join(', ')}`, 'apt-get', install.split(' ').slice(1), { env });
    } catch (error) {
      say(error.message);
    }
  }
  const left = missing(wanted);
  if (left.length === 0) return;
  const line = apt
    ? `sudo ${install}`
    : `(with this system's package manager) ${left.map((it) => it.package).join(' ')}`;
  if (missing(essential).length > 0) {
    throw new Stop(`missing: ${left.map((it) => it.package).join(', ')}. Install with:\n  ${line}`, EX_UNAVAILABLE);
  }
  say(
    `not installed, tests that need it are skipped: ${left.map((it) => it.package).join(', ')}. To have them:\n  ${line}`,
  );
}

async function dependencies(signal) {
  const { allowScripts } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  const want = digest(['package-lock.json'], process.versions.modules, JSON.stringify(allowScripts));
  const hidden = path.join(ROOT, 'node_modules', '.package-lock.json');
  const installed = fs.existsSync(hidden);
  if (installed && stamp('npm') === want) return;
  // Somebody may have run `npm ci` by hand: npm's own record is then newer than the lock file.
  if (
    installed &&
    stamp('npm') === null &&
    fs.statSync(hidden).mtimeMs >= fs.statSync(path.join(ROOT, 'package-lock.json')).mtimeMs
  ) {
    setStamp('npm', want);
    return;
  }
  const args = ['ci', '--no-audit', '--no-fund'];
  // Only CI insists that every install script was reviewed; npm before 11.16 does not know the option and ignores it.
  if (process.env['CI']) args.push('--strict-allow-scripts');
  // Inside `npm --silent test` npm would inherit the silence and fail without a word.
  const env = { ...process.env, npm_config_loglevel: 'warn' };
  const npm = process.env['npm_execpath'];
  const [program, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const seconds = await run('installing npm packages (about a minute, once)', program, [...first, ...args], {
    env,
    signal,
  });
  setStamp('npm', want);
  say(`npm packages installed in ${seconds.toFixed(0)} s`);
}

async function addon(signal) {
  const sources = filesBelow('native', (name) => /\.(cc|h|gyp)$/.test(name)).filter(
    (it) => !it.startsWith('native/test/'),
  );
  const list = digest(
    [],
    sources.join('\n'),
    process.version,
    process.arch,
    ROOT, // The makefile holds the way to Node's headers: a folder that was moved needs a new one.
    fs.readFileSync(path.join(ROOT, 'native/binding.gyp')),
  );
  const want = digest(sources, list);
  const built = path.join(ROOT, 'native/build/Release/understudy.node');
  if (stamp('native') === want && fs.existsSync(built)) return;

  const gyp = path.join(ROOT, 'node_modules/node-gyp/bin/node-gyp.js');
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const headers = fs.existsSync(path.join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
  const cwd = path.join(ROOT, 'native');
  // The source list is read at configuration; a new file needs a new one. Otherwise make knows what to do.
  if (stamp('native-list') !== list || !fs.existsSync(path.join(cwd, 'build/Makefile'))) {
    await run('configuring the native engine', process.execPath, [gyp, 'configure', ...headers], { cwd, signal });
    setStamp('native-list', list);
  }
  const args = [gyp, 'build', '-j', '2', ...headers];
  const seconds = await run('building the native engine', process.execPath, args, { cwd, signal });
  setStamp('native', want);
  say(`native engine built in ${seconds.toFixed(0)} s`);
}

/** The engine's own tests, with the engine that the addon holds. */
const MAKE = ['-s', '-j2', '-C', 'native', 'VARIANT=plain'];
const ENGINE_OF_ADDON = 'ENGINE_BUILT=build/Release/obj.target/understudy';

const TYPESCRIPT = ['protocol', 'agentd', 'tui', 'native', 'test', 'bench'];

async function typescript(signal) {
  const sources = TYPESCRIPT.flatMap((folder) => filesBelow(folder, (name) => name.endsWith('.ts')));
  const want = digest(['tsconfig.json', 'package-lock.json', ...sources]);
  if (stamp('tsc') === want && fs.existsSync(path.join(ROOT, 'dist'))) return;
  // What was compiled from a file that is gone would still be found by the test runner.
  for (const old of TYPESCRIPT.flatMap((folder) => compiledBelow(path.join('dist', folder)))) {
    const source = old.replace(/^dist\//, '').replace(/\.js(\.map)?$/, '.ts');
    if (!fs.existsSync(path.join(ROOT, source))) fs.rmSync(path.join(ROOT, old));
  }
  if (!fs.existsSync(path.join(ROOT, 'dist'))) fs.rmSync(path.join(STAMPS, 'tsc'), { force: true });
  const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  const seconds = await run('compiling TypeScript', process.execPath, [tsc, '-p', 'tsconfig.json'], { signal });
  for (const program of ['dist/tui/main.js', 'dist/agentd/main.js']) {
    if (fs.existsSync(path.join(ROOT, program))) fs.chmodSync(path.join(ROOT, program), 0o755);
  }
  setStamp('tsc', want);
  say(`TypeScript compiled in ${seconds.toFixed(0)} s`);
}

function compiledBelow(folder) {
  return filesBelow(folder, (name) => /\.js(\.map)?$/.test(name));
}

/** The engine's tests without the engine: nothing of it waits for npm. */
async function nativeTests(signal) {
  const seconds = await run('compiling the native tests', 'make', [...MAKE, 'objects'], { signal });
  if (seconds > 1) say(`native tests compiled in ${seconds.toFixed(0)} s`);
}

async function build({ test = false, bench = false, native = true, nativeTest = false } = {}) {
  const unlock = lock();
  try {
    await systemPackages([...FOR_BUILD, ...(test ? FOR_TEST : []), ...(bench ? FOR_BENCH : [])], FOR_BUILD);
    // Installing waits for the network most of the time, and the TypeScript compiler uses one core.
    await together([dependencies, ...(nativeTest ? [nativeTests] : [])]);
    await together([...(native ? [addon] : []), typescript]);
  } finally {
    unlock();
  }
}

// ----------------------------------------------------------------------------------------------------- commands

/** Hands the terminal to `args`; ends when it ends, with its status. */
function become(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' });
    // ^C reaches the child through the terminal; it decides when to end, and we end after it.
    const pass = (signal) => child.kill(signal);
    process.on('SIGINT', () => {});
    process.on('SIGTERM', pass);
    process.on('SIGHUP', pass);
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ? 128 + (os.constants.signals[signal] ?? 1) : code));
  });
}

async function test(asked) {
  await build({ test: true, nativeTest: asked.length === 0 });
  const total = new Total();
  const env = {
    ...process.env,
    NODE_OPTIONS: [process.env['NODE_OPTIONS'], '--enable-source-maps'].filter(Boolean).join(' '),
  };
  const ava = (files, concurrency) => () => {
    const options = concurrency ? ['--concurrency', String(concurrency)] : [];
    const cli = path.join(ROOT, 'node_modules/ava/entrypoints/cli.mjs');
    return counted(process.execPath, [cli, '--tap', ...options, ...files], { cwd: ROOT, env }, countTap);
  };
  if (asked.length > 0) {
    const files = asked.map((it) => (it.endsWith('.ts') ? path.join('dist', it.replace(/\.ts$/, '.js')) : it));
    await total.add('these tests', ava(files));
    return total.closing();
  }
  // Pure tests go beside the engine's, which wait much; the lines of one do not come between those of the other.
  const lines = [];
  const make = [...MAKE, ENGINE_OF_ADDON, 'run'];
  const native = () => counted('make', make, { cwd: ROOT }, countNative, (line) => lines.push(line));
  // Those with real processes and file systems have the machine for themselves.
  const compiled = compiledBelow('dist/test').filter((it) => it.endsWith('.test.js'));
  const alone = compiled.filter((it) => /^dist\/test\/(e2e|screens)\//.test(it));
  const pure = compiled.filter((it) => !alone.includes(it));
  // What measures bytes on a wire by the second, not even one of those beside it.
  const measured = alone.filter((it) => it.startsWith('dist/test/e2e/alone/'));
  const processes = alone.filter((it) => !measured.includes(it));
  await Promise.all([
    total.add('native tests', native).then(() => lines.forEach(print)),
    total.add('pure tests', ava(pure, 1)),
  ]);
  await total.add('tests with processes', ava(processes, 2));
  await total.add('tests that measure', ava(measured, 1));
  return total.closing();
}

async function lint(args) {
  await build({ native: false });
  const biome = await become(path.join(ROOT, 'node_modules/.bin/biome'), ['check', ...args, '.']);
  const imports = await become(process.execPath, [path.join(ROOT, 'dist/test/support/import-rules.js')]);
  const docs = await become(process.execPath, [path.join(ROOT, 'dist/test/support/generated-docs.js'), '--check']);
  return biome || imports || docs;
}

/**
 * The engine alone, with other compiler flags: needs neither packages of npm nor the addon. One variant is compiled while
 * the other runs. `--long`: all of what the Makefile calls LONG.
 */
async function checkNative(args) {
  const unlock = lock();
  const total = new Total();
  const make = (...words) => ['-s', '-j2', '-C', 'native', ...words, ...(args.includes('--long') ? ['LONG=1'] : [])];
  const compile =
    (what, ...words) =>
    (signal) =>
      run(`compiling the engine with ${what}`, 'make', make(...words), { signal });
  const check =
    (name, ...words) =>
    () =>
      total.add(name, () => counted('make', make(...words), { cwd: ROOT }, countNative));
  try {
    await systemPackages([...FOR_BUILD, ...FOR_TEST], FOR_BUILD);
    await compile('AddressSanitizer', 'VARIANT=asan', 'programs', 'build/asan/batch_fuzz')();
    await together([check('asan', 'asan'), compile('ThreadSanitizer', 'VARIANT=tsan', 'programs')]);
    await check('tsan', 'tsan')();
    await check('fuzz', 'fuzz')();
  } finally {
    unlock();
  }
  return total.closing();
}

const USAGE = 'usage: node bootstrap.mjs start|test|check-native|build|lint|docs|bench|daemon [options]';

async function main([command, ...args]) {
  checkNode();
  switch (command) {
    case 'start':
      await build();
      return become(process.execPath, [path.join(ROOT, 'dist/tui/main.js'), 'demo', ...args]);
    case 'daemon':
      await build();
      return become(process.execPath, [path.join(ROOT, 'dist/agentd/main.js'), ...args]);
    case 'build':
      await build();
      return 0;
    case 'test':
      return test(args);
    case 'check-native':
      return checkNative(args);
    case 'lint':
      return lint(args);
    case 'docs':
      await build({ native: false });
      return become(process.execPath, [path.join(ROOT, 'dist/test/support/generated-docs.js')]);
    case 'bench':
      await build({ bench: true });
      return become('python3', [path.join(ROOT, 'bench/run.py'), ...args]);
    default:
      throw new Stop(USAGE, EX_USAGE);
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code ?? 1;
  },
  (error) => {
    say(error instanceof Stop ? error.message : (error.stack ?? String(error)));
    process.exitCode = error instanceof Stop ? error.code : 1;
  },
);
