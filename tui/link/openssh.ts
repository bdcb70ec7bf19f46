/**
 * The second road: the system's `ssh` carries the tunnel, for what ssh2 cannot do (certificates, FIDO keys, GSSAPI,
 * newer key exchange, ProxyCommand). It never asks: the terminal belongs to the cockpit, so an agent or usable keys
 * are needed, and the server must be in known_hosts already.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Deadline } from './deadline.js';
import { type Address, LinkError, type TransportOptions } from './transport.js';

const DEADLINE_MS = 20_000;
const STDERR_BYTES_MAX = 16 * 1024;
const LAST_WORDS_MS = 1_000;
const POLL_MS = 25;
/** What a shell says of a program that it does not find. */
const NOT_FOUND = 127;
/** ssh ends with descriptor 3, whatever happens to us: a tunnel that outlives the cockpit would belong to nobody. */
const WITH_LIFELINE =
  'ssh "$@" 3>&- </dev/null & ssh=$!; { cat >/dev/null; kill "$ssh" 2>/dev/null; } <&3 2>/dev/null & exec 3>&-; wait "$ssh"';

/** @throws LinkError */
export async function openOpenssh(
  address: Extract<Address, { kind: 'ssh' }>,
  options: TransportOptions = {},
): Promise<Duplex> {
  const deadline = new Deadline(options.deadlineMs ?? DEADLINE_MS, options.signal);
  // Owner only: whoever can open the local end would speak to the agent as us.
  const folder = await mkdtemp(join(process.env['XDG_RUNTIME_DIR'] || tmpdir(), 'understudy-ssh-'));
  const local = join(folder, 's');
  const child = spawn('/bin/sh', ['-c', WITH_LIFELINE, 'sh', ...sshArguments(address, local, options)], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const lifeline = child.stdio[3];
  lifeline?.on('error', () => {});
  const state = watch(child);
  const clean = (): void => {
    lifeline?.destroy();
    // Best effort: a leftover empty directory in the runtime directory harms nobody.
    void rm(folder, { recursive: true, force: true }).catch(() => {});
  };
  try {
    const socket = await deadline.race(`ssh ${address.host}`, openLocal(local, state, address), clean);
    socket.once('close', clean);
    const close = (): void => {
      if (!socket.destroyed) socket.destroy(reason(state, address));
    };
    child.once('exit', close);
    // sshd refused the socket: ssh closes the local end and says why on stderr a moment earlier.
    socket.once('end', () => {
      if (socket.bytesRead === 0) socket.destroy(reason(state, address));
    });
    return socket;
  } catch (error) {
    clean();
    throw error;
  } finally {
    deadline.end();
  }
}

export function sshArguments(
  address: Extract<Address, { kind: 'ssh' }>,
  local: string,
  options: TransportOptions,
): string[] {
  const seconds = Math.max(1, Math.round((options.keepaliveMs ?? 10_000) / 1000));
  const args = ['-T', '-N', '-L', `${local}:${address.socket}`];
  const set = (name: string, value: string): void => {
    args.push('-o', `${name}=${value}`);
  };
  set('ExitOnForwardFailure', 'yes');
  set('BatchMode', 'yes');
  set('ControlMaster', 'no');
  set('ControlPath', 'none');
  set('ForwardAgent', 'no');
  set('ForwardX11', 'no');
  set('PermitLocalCommand', 'no');
  set('StreamLocalBindMask', '0177');
  set('ServerAliveInterval', String(seconds));
  set('ServerAliveCountMax', '3');
  if (options.config) args.push('-F', options.config);
  if (options.knownHosts) set('UserKnownHostsFile', options.knownHosts.join(' '));
  for (const identity of options.identities ?? []) args.push('-i', identity);
  if (options.identities) set('IdentitiesOnly', 'yes');
  if (options.agent !== undefined) set('IdentityAgent', options.agent ?? 'none');
  if (address.user !== null) args.push('-l', address.user);
  if (address.port !== null) args.push('-p', String(address.port));
  args.push('--', address.host);
  return args;
}

interface ChildState {
  stderr: string;
  ended: boolean;
  missing: boolean;
}

function watch(child: ChildProcess): ChildState {
  const state: ChildState = { stderr: '', ended: false, missing: false };
  child.stderr?.on('data', (chunk: Buffer) => {
    state.stderr = (state.stderr + chunk.toString('latin1')).slice(-STDERR_BYTES_MAX);
  });
  child.once('exit', (code) => {
    state.missing ||= code === NOT_FOUND;
    // Its last words may still be in the pipe; somebody else may hold that open for longer than we wait.
    setTimeout(() => {
      state.ended = true;
    }, LAST_WORDS_MS).unref();
  });
  child.once('close', () => {
    state.ended = true;
  });
  child.once('error', (error: NodeJS.ErrnoException) => {
    state.ended = true;
    state.missing = error.code === 'ENOENT';
    state.stderr += error.message;
  });
  return state;
}

/** ssh listens at the local end once it is logged in. */
async function openLocal(
  local: string,
  state: ChildState,
  address: Extract<Address, { kind: 'ssh' }>,
): Promise<Socket> {
  for (;;) {
    if (state.ended) throw reason(state, address);
    const ready = await stat(local).then(
      (found) => found.isSocket(),
      () => false,
    );
    if (ready) break;
    await sleep(POLL_MS);
  }
  return new Promise<Socket>((resolve, reject) => {
    const socket = connect(local);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', () => reject(reason(state, address)));
  });
}

function reason(state: ChildState, address: Extract<Address, { kind: 'ssh' }>): LinkError {
  const host = address.host;
  if (state.missing) {
    return new LinkError(
      'NO_SSH_PROGRAM',
      'There is no ssh program on this machine.',
      'Install the OpenSSH client.',
      'after_fix',
    );
  }
  const said = state.stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('@'));
  const text = said.join(' ');
  const quote = said.at(-1) ?? 'no reason given';
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed/i.test(text)) {
    return new LinkError(
      'HOST_KEY_CHANGED',
      `The host key of ${host} has changed; ssh refused it.`,
      `Check with: ssh ${host}`,
      'after_fix',
    );
  }
  if (/Host key verification failed|No .* host key is known/i.test(text)) {
    return new LinkError(
      'HOST_KEY_REFUSED',
      `ssh does not know the host key of ${host}.`,
      `Connect once by hand and compare the fingerprint: ssh ${host}`,
      'after_fix',
    );
  }
  if (/Permission denied/i.test(text))
    return new LinkError(
      'AUTH_FAILED',
      `${host} did not let us in: ${quote}.`,
      `Check with: ssh ${host} true`,
      'after_fix',
    );
  if (/open failed/i.test(text)) {
    return new LinkError(
      'CHANNEL_FAILED',
      `sshd on ${host} could not open ${address.socket}: ${quote}.`,
      'Check that understudyd runs there and that sshd_config says "AllowStreamLocalForwarding yes".',
      'backoff',
    );
  }
  return new LinkError('UNREACHABLE', `ssh to ${host} ended: ${quote}.`, `Check with: ssh ${host} true`, 'backoff');
}
