#!/usr/bin/env node
/**
 * The one command after `git clone`: brings everything up to date that is not, then does what was asked.
 * No dependencies, because it runs before there are any.
 *
 *   node bootstrap.mjs start [demo options]    the demo: two agents, a live replica, the cockpit
 *   node bootstrap.mjs test [test files]       C++ unit tests, then the TypeScript tests
 *   node bootstrap.mjs check-native            the C++ unit tests once more under sanitizers, and the decoder's fuzzer
 *   node bootstrap.mjs build | lint | docs | bench | daemon
 *
 * Each step has a stamp in `.bootstrap/`: a digest of what it was made from. Equal digest: nothing to do.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

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

/** Runs a step quietly; its output is shown only when it fails. Returns the seconds it took. */
function run(what, command, args, options = {}) {
  const started = Date.now();
  say(what);
  const result = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 256 << 20,
    ...options,
  });
  if (result.error) throw new Stop(`${command}: ${result.error.message}`, EX_UNAVAILABLE);
  if (result.status !== 0) {
    const log = path.join(STAMPS, 'failed.log');
    fs.mkdirSync(STAMPS, { recursive: true });
    fs.writeFileSync(log, Buffer.concat([result.stdout, result.stderr]));
    process.stderr.write(`${explanation(`${result.stdout}\n${result.stderr}`)}\n`);
    const how = result.signal ?? `status ${result.status}`;
    throw new Stop(`${what}: ${path.basename(command)} ended with ${how}. All it said: ${log}`, 1);
  }
  return (Date.now() - started) / 1000;
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

function systemPackages(wanted, essential) {
  const missing = (list) => list.filter((it) => (it.command ? !onPath(it.command) : !fs.existsSync(it.file)));
  const names = missing(wanted).map((it) => it.package);
  if (names.length === 0) return;
  const install = `apt-get install -y --no-install-recommends ${names.join(' ')}`;
  const apt = onPath('apt-get');
  if (apt && process.getuid() === 0) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    try {
      run('refreshing the package lists', 'apt-get', ['update', '-q'], { env });
      run(`installing ${names.join(', ')}`, 'apt-get', install.split(' ').slice(1), { env });
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

function dependencies() {
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
  const seconds = run('installing npm packages (about a minute, once)', program, [...first, ...args], { env });
  setStamp('npm', want);
  say(`npm packages installed in ${seconds.toFixed(0)} s`);
}

function addon() {
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
    run('configuring the native engine', process.execPath, [gyp, 'configure', ...headers], { cwd });
    setStamp('native-list', list);
  }
  const seconds = run('building the native engine', process.execPath, [gyp, 'build', '-j', '2', ...headers], { cwd });
  setStamp('native', want);
  say(`native engine built in ${seconds.toFixed(0)} s`);
}

const TYPESCRIPT = ['protocol', 'agentd', 'tui', 'native', 'test', 'bench'];

function typescript() {
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
  const seconds = run('compiling TypeScript', process.execPath, [tsc, '-p', 'tsconfig.json']);
  for (const program of ['dist/tui/main.js', 'dist/agentd/main.js']) {
    if (fs.existsSync(path.join(ROOT, program))) fs.chmodSync(path.join(ROOT, program), 0o755);
  }
  setStamp('tsc', want);
  say(`TypeScript compiled in ${seconds.toFixed(0)} s`);
}

function compiledBelow(folder) {
  return filesBelow(folder, (name) => /\.js(\.map)?$/.test(name));
}

function build({ test = false, bench = false, native = true } = {}) {
  const unlock = lock();
  try {
    systemPackages([...FOR_BUILD, ...(test ? FOR_TEST : []), ...(bench ? FOR_BENCH : [])], FOR_BUILD);
    dependencies();
    if (native) addon();
    typescript();
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

/** Runs a test program, passes on its lines and returns [lines' sums, exit status]. */
function counted(command, args, options, count) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], ...options });
    readline.createInterface({ input: child.stdout }).on('line', (line) => count(line, sum));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if ((code !== 0 || signal) && sum.failed === 0) {
        process.stdout.write(`${path.basename(command)} ${args.join(' ')}: ended with ${signal ?? `status ${code}`}\n`);
        sum.failed = 1;
      }
      resolve(sum);
    });
  });
}

/** The engine's tests print `ok NAME`, `skipped NAME: why`, and `FAILED: PROGRAMS` at the end. */
function countNative(line, sum) {
  const [, word, rest = ''] = /^(ok|skipped|FAILED:) ?(.*)/.exec(line) ?? [];
  if (word === 'ok') sum.passed += 1;
  else if (word === 'skipped') sum.skipped += 1;
  else if (word) sum.failed += rest.split(' ').filter(Boolean).length;
  else if (/^(==|all passed)/.test(line)) return;
  process.stdout.write(`  ${(word ?? '').replace(':', '').padEnd(7)} ${word ? rest : line}\n`);
}

function countTap(line, sum) {
  const found = /^(not )?ok \d+ - (.*?)( # (SKIP|TODO).*)?$/.exec(line);
  if (!found) {
    // The plan and the totals are ours to say; everything else explains a failure.
    if (!/^(TAP version|\d+\.\.\d+|# (tests|pass|fail|skip)|\s*$)/.test(line)) process.stdout.write(`${line}\n`);
    return;
  }
  if (found[3]) sum.skipped += 1;
  else if (found[1]) sum.failed += 1;
  else sum.passed += 1;
  const word = found[3] ? 'skipped' : found[1] ? 'FAILED ' : 'ok     ';
  process.stdout.write(`  ${word} ${found[2]}\n`);
}

async function test(asked) {
  build({ test: true });
  const total = { passed: 0, failed: 0, skipped: 0 };
  const add = (sum) => {
    for (const key of Object.keys(total)) total[key] += sum[key];
  };
  const ava = [path.join(ROOT, 'node_modules/ava/entrypoints/cli.mjs'), '--tap'];
  const env = {
    ...process.env,
    NODE_OPTIONS: [process.env['NODE_OPTIONS'], '--enable-source-maps'].filter(Boolean).join(' '),
  };
  if (asked.length > 0) {
    const files = asked.map((it) => (it.endsWith('.ts') ? path.join('dist', it.replace(/\.ts$/, '.js')) : it));
    add(await counted(process.execPath, [...ava, ...files], { env }, countTap));
  } else {
    add(await counted('make', ['-s', '-j2', '-C', 'native', 'test'], {}, countNative));
    // Pure tests share the cores. Those with real processes and file systems have the machine for themselves.
    const compiled = compiledBelow('dist/test').filter((it) => it.endsWith('.test.js'));
    const alone = compiled.filter((it) => /^dist\/test\/(e2e|screens)\//.test(it));
    const together = compiled.filter((it) => !alone.includes(it));
    if (together.length > 0) add(await counted(process.execPath, [...ava, ...together], { env }, countTap));
    if (alone.length > 0)
      add(await counted(process.execPath, [...ava, '--concurrency', '1', ...alone], { env }, countTap));
  }
  return closing(total);
}

function closing(total) {
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
  process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

async function lint(args) {
  build({ native: false });
  const biome = await become(path.join(ROOT, 'node_modules/.bin/biome'), ['check', ...args, '.']);
  const imports = await become(process.execPath, [path.join(ROOT, 'dist/test/support/import-rules.js')]);
  const docs = await become(process.execPath, [path.join(ROOT, 'dist/test/support/generated-docs.js'), '--check']);
  return biome || imports || docs;
}

/** The engine alone, with other compiler flags: needs neither packages of npm nor the addon. */
async function checkNative() {
  const unlock = lock();
  const total = { passed: 0, failed: 0, skipped: 0 };
  try {
    systemPackages([...FOR_BUILD, ...FOR_TEST], FOR_BUILD);
    for (const variant of ['asan', 'tsan', 'fuzz']) {
      process.stdout.write(`${variant}\n`);
      const sum = await counted('make', ['-s', '-j2', '-C', 'native', variant], {}, countNative);
      for (const key of Object.keys(total)) total[key] += sum[key];
    }
  } finally {
    unlock();
  }
  return closing(total);
}

const USAGE = 'usage: node bootstrap.mjs start|test|check-native|build|lint|docs|bench|daemon [options]';

async function main([command, ...args]) {
  checkNode();
  switch (command) {
    case 'start':
      build();
      return become(process.execPath, [path.join(ROOT, 'dist/tui/main.js'), 'demo', ...args]);
    case 'daemon':
      build();
      return become(process.execPath, [path.join(ROOT, 'dist/agentd/main.js'), ...args]);
    case 'build':
      build();
      return 0;
    case 'test':
      return test(args);
    case 'check-native':
      return checkNative();
    case 'lint':
      return lint(args);
    case 'docs':
      build({ native: false });
      return become(process.execPath, [path.join(ROOT, 'dist/test/support/generated-docs.js')]);
    case 'bench':
      build({ bench: true });
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
