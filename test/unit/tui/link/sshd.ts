/** A real OpenSSH server as an ordinary process on a high loopback port, for tests of the link. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TestSshd {
  readonly port: number;
  readonly folder: string;
  readonly user: string;
  /** Private key file that is let in. */
  readonly identity: string;
  /** `type base64` of the server's key. */
  readonly hostKey: string;
  readonly process: ChildProcess;
  log(): string;
  stop(): Promise<void>;
}

/** Why a real sshd cannot run here, or null. */
export function sshdMissing(): string | null {
  return existsSync('/usr/sbin/sshd') ? null : 'needs openssh-server';
}

export function makeKey(file: string, passphrase = '', type = 'ed25519'): string {
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'test', '-f', file]);
  return readFileSync(`${file}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function startSshd(extra: readonly string[] = [], old?: { port: number }): Promise<TestSshd> {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-sshd-'));
  const hostKey = makeKey(join(folder, 'host'));
  const identity = join(folder, 'id');
  const client = makeKey(identity);
  writeFileSync(join(folder, 'authorized'), `${client}\n`);
  chmodSync(join(folder, 'authorized'), 0o600);
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const port = old?.port ?? (await freePort());
  const log = join(folder, 'log');
  writeFileSync(
    join(folder, 'config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${join(folder, 'host')}`,
      `AuthorizedKeysFile ${join(folder, 'authorized')}`,
      `PidFile ${join(folder, 'pid')}`,
      'UsePAM no',
      'StrictModes no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      // Tests connect all at once; sshd would drop some of them at random.
      'MaxStartups 100',
      'LogLevel DEBUG1',
      ...extra,
      '',
    ].join('\n'),
  );
  const child = spawn('/usr/sbin/sshd', ['-D', '-f', join(folder, 'config'), '-E', log], { stdio: 'ignore' });
  for (let tries = 0; ; tries++) {
    if (await answers(port)) break;
    if (tries > 200 || child.exitCode !== null)
      throw new Error(`sshd did not start: ${existsSync(log) ? readFileSync(log, 'utf8') : ''}`);
    await sleep(25);
  }
  return {
    port,
    folder,
    user: userInfo().username,
    identity,
    hostKey,
    process: child,
    log: () => readFileSync(log, 'utf8'),
    stop: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await gone;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** A unix socket that sends back what it gets. */
export async function startEcho(path: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}
