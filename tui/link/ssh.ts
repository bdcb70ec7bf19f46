/**
 * The usual road to a remote agent: one SSH connection (ssh2), one channel to the agent's socket on that server. sshd
 * connects there as the logged-in user, so the agent learns from the kernel who calls.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import ssh2, { type ClientChannel, type Client as SshClient } from 'ssh2';
import {
  hostName,
  judgeHostKey,
  fingerprintOf,
  keyTypeOf,
  knownKeyTypes,
  readKnownHosts,
  rememberHostKey,
} from './known-hosts.js';
import { Carried } from './carried.js';
import { Deadline } from './deadline.js';
import { openOpenssh } from './openssh.js';
import { authentication } from './ssh-auth.js';
import { type HostConfig, parseJump, readHostConfig } from './ssh-config.js';
import { type Address, LinkError, type TransportOptions } from './transport.js';

type SshAddress = Extract<Address, { kind: 'ssh' }>;

const DEADLINE_MS = 20_000;
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_MISSES = 3;
const JUMPS_MAX = 8;
/** Handshake failures of ssh2 that the system's client may not have: newer key exchange, certificates. */
const BEYOND = /no matching|unsupported|not support/i;

export function ownKnownHostsDefault(): string {
  const base =
    process.env['UNDERSTUDY_CONFIG_DIR'] ||
    join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'understudy');
  return join(base, 'known_hosts');
}

/**
 * Opens the agent's socket on a remote server.
 * @throws LinkError
 */
export async function openSsh(address: SshAddress, options: TransportOptions = {}): Promise<Duplex> {
  const road = options.road ?? 'auto';
  const config = await readHostConfig(address, options);
  if (road === 'openssh' || (road === 'auto' && config.beyondSsh2 !== null)) return openOpenssh(address, options);
  const deadline = new Deadline(options.deadlineMs ?? DEADLINE_MS, options.signal);
  const chain: SshClient[] = [];
  try {
    const { jumps, needsClient } = await readJumps(config, options);
    if (needsClient && road === 'auto') return await openOpenssh(address, options);
    let through: Duplex | undefined;
    const stations = [...jumps, config];
    for (const [index, station] of stations.entries()) {
      const client = await connect(station, through, options, deadline);
      chain.push(client);
      const next = stations[index + 1];
      if (next)
        through = await channel(client, deadline, station, (done) =>
          client.forwardOut('127.0.0.1', 0, next.host, next.port, done),
        );
    }
    const last = chain[chain.length - 1];
    if (!last) throw new Error('a chain of connections without a last one');
    const stream = await agentChannel(last, config, address.socket, deadline);
    return tieTogether(stream, chain, config);
  } catch (error) {
    for (const client of chain.reverse()) client.destroy();
    if (
      road === 'auto' &&
      error instanceof LinkError &&
      (error.code === 'HOST_CERTIFICATE' || needsSystemClient(error))
    ) {
      return openOpenssh(address, options);
    }
    throw error;
  } finally {
    deadline.end();
  }
}

function needsSystemClient(error: LinkError): boolean {
  const cause = error.cause as (Error & { level?: string }) | undefined;
  return cause?.level === 'handshake' && BEYOND.test(cause.message);
}

async function readJumps(
  config: HostConfig,
  options: TransportOptions,
): Promise<{ jumps: HostConfig[]; needsClient: boolean }> {
  if (config.jumps.length > JUMPS_MAX) {
    throw new LinkError(
      'ADDRESS_INVALID',
      `${config.alias} is behind more than ${JUMPS_MAX} jump hosts.`,
      'Shorten ProxyJump.',
      'after_fix',
    );
  }
  const jumps: HostConfig[] = [];
  for (const hop of config.jumps) jumps.push(await readHostConfig(parseJump(hop), options));
  // A hop that itself lies behind another one is rare and the system's client knows how to reach it.
  return { jumps, needsClient: jumps.some((hop) => hop.beyondSsh2 !== null || hop.jumps.length > 0) };
}

/** One verified and authenticated connection, directly or through an earlier hop's stream. */
async function connect(
  config: HostConfig,
  through: Duplex | undefined,
  options: TransportOptions,
  deadline: Deadline,
): Promise<SshClient> {
  const own = options.ownKnownHosts ?? ownKnownHostsDefault();
  const known = await readKnownHosts([...config.knownHosts, own]);
  const name = config.hostKeyAlias?.toLowerCase() ?? hostName(config.host, config.port);
  const types = knownKeyTypes(known, name).flatMap((type) =>
    type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'] : [type],
  );
  const client = new ssh2.Client();
  let refusal: LinkError | null = null;
  let accepted: Buffer | null = null;
  const auth = authentication(config, options, deadline);

  const verify = async (key: Buffer): Promise<boolean> => {
    // A key exchange later in the connection shows the same key again; nobody must be asked twice.
    if (accepted) return accepted.equals(key);
    const verdict = judgeHostKey(known, name, key);
    const shown = `${keyTypeOf(key)} ${fingerprintOf(key)}`;
    if (verdict.kind === 'known') return true;
    if (verdict.kind === 'revoked') {
      refusal = new LinkError(
        'HOST_KEY_REVOKED',
        `${name} showed a host key that ${verdict.entry.file}:${verdict.entry.line} marks as revoked (${shown}).`,
        'Do not connect. Ask whoever runs this server for its new key.',
        'after_fix',
      );
      return false;
    }
    if (verdict.kind === 'changed') {
      refusal = new LinkError(
        'HOST_KEY_CHANGED',
        `The host key of ${name} is not the one in ${verdict.entry.file}:${verdict.entry.line}. It may be another machine (now ${shown}).`,
        `If the server was really reinstalled, remove the old key: ssh-keygen -f ${verdict.entry.file} -R '${name}'`,
        'after_fix',
      );
      return false;
    }
    if (verdict.authority) {
      refusal = new LinkError(
        'HOST_CERTIFICATE',
        `${name} is known through a certificate authority (${verdict.authority.file}:${verdict.authority.line}), which the built-in client cannot check.`,
        'Install the OpenSSH client; it is used by itself for such servers.',
        'after_fix',
      );
      return false;
    }
    const refuse = (why: string): false => {
      refusal = new LinkError(
        'HOST_KEY_REFUSED',
        `${name} is not known here and its key was not accepted: ${why} (${shown}).`,
        `Compare the fingerprint with the server's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then accept it or connect once with ssh.`,
        'after_fix',
      );
      return false;
    };
    if (config.strictHostKey === 'yes') return refuse('StrictHostKeyChecking is on');
    if (!options.prompts?.hostKey) return refuse('nobody is here to ask');
    const ask = options.prompts.hostKey;
    const answer = await deadline.person(() =>
      ask({
        host: config.host,
        port: config.port,
        keyType: keyTypeOf(key),
        fingerprint: fingerprintOf(key),
        otherTypes: verdict.otherTypes,
      }),
    );
    if (answer === 'no') return refuse('declined');
    if (answer === 'yes') await rememberHostKey(own, name, key);
    return true;
  };

  return deadline.race(
    `connecting to ${name}`,
    new Promise<SshClient>((resolve, reject) => {
      client.once('ready', () => resolve(client));
      client.on('error', (error: Error & { level?: string; code?: string }) =>
        reject(refusal ?? translate(error, config, auth.tried())),
      );
      client.once('close', () =>
        reject(
          refusal ??
            new LinkError(
              'LINK_LOST',
              `${name} closed the connection.`,
              'See the log of sshd on that server.',
              'backoff',
            ),
        ),
      );
      client.connect({
        host: config.host,
        port: config.port,
        username: config.user,
        readyTimeout: 0,
        keepaliveInterval: options.keepaliveMs ?? KEEPALIVE_MS,
        keepaliveCountMax: KEEPALIVE_MISSES,
        strictVendor: false,
        authHandler: auth.handler,
        ...(through ? { sock: through } : {}),
        // The exact names come out of known_hosts; ones that ssh2 does not know are left out by `supported`.
        ...(types.length > 0
          ? { algorithms: { serverHostKey: { prepend: supported(types), append: [], remove: [] } } }
          : {}),
        hostVerifier: (key: Buffer, done: (ok: boolean) => void) => {
          verify(key).then(
            (ok) => {
              if (ok) accepted = key;
              done(ok);
            },
            (error: unknown) => {
              refusal =
                error instanceof LinkError
                  ? error
                  : new LinkError(
                      'HOST_KEY_REFUSED',
                      `The key of ${name} could not be checked: ${String(error)}.`,
                      'See the cause.',
                      'after_fix',
                      error,
                    );
              done(false);
            },
          );
        },
      });
    }),
    () => client.destroy(),
  );
}

const SUPPORTED = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
  'ssh-rsa',
] as const;
function supported(types: readonly string[]): (typeof SUPPORTED)[number][] {
  return SUPPORTED.filter((name) => types.includes(name));
}

function translate(error: Error & { level?: string; code?: string }, config: HostConfig, tried: string): LinkError {
  const name = hostName(config.host, config.port);
  if (error.level === 'client-authentication') {
    return new LinkError(
      'AUTH_FAILED',
      `${name} did not let ${config.user} in (tried: ${tried || 'nothing; no key, no agent, nobody to ask'}).`,
      `Check with: ssh ${config.alias} true`,
      'after_fix',
      error,
    );
  }
  if (error.level === 'client-socket' || error.level === 'client-dns' || error.code === 'ENOTFOUND') {
    return new LinkError(
      'UNREACHABLE',
      `${name} cannot be reached: ${error.message}.`,
      'Check the name, the network and that sshd runs there.',
      'backoff',
      error,
    );
  }
  if (error.level === 'client-timeout') {
    return new LinkError('LINK_LOST', `${name} stopped answering.`, 'It is tried again by itself.', 'backoff', error);
  }
  return new LinkError(
    'CHANNEL_FAILED',
    `The SSH connection to ${name} failed: ${error.message}.`,
    `Check with: ssh -v ${config.alias} true`,
    'backoff',
    error,
  );
}

type ChannelDone = (error: Error | undefined, channel: ClientChannel) => void;

function channel(
  client: SshClient,
  deadline: Deadline,
  config: HostConfig,
  open: (done: ChannelDone) => void,
): Promise<ClientChannel> {
  return deadline.race(
    `opening a channel on ${config.host}`,
    new Promise<ClientChannel>((resolve, reject) => {
      client.once('close', () =>
        reject(
          new LinkError(
            'LINK_LOST',
            `${config.host} closed the connection.`,
            'It is tried again by itself.',
            'backoff',
          ),
        ),
      );
      open((error, stream) => {
        if (error) {
          reject(
            new LinkError(
              'CHANNEL_FAILED',
              `${config.host} refused the channel: ${error.message}.`,
              'Check AllowTcpForwarding in its sshd_config.',
              'after_fix',
              error,
            ),
          );
        } else resolve(stream);
      });
    }),
    () => {},
  );
}

async function agentChannel(
  client: SshClient,
  config: HostConfig,
  socket: string,
  deadline: Deadline,
): Promise<ClientChannel> {
  try {
    return await channel(client, deadline, config, (done) => client.openssh_forwardOutStreamLocal(socket, done));
  } catch (error) {
    if (!(error instanceof LinkError) || error.code !== 'CHANNEL_FAILED') throw error;
    // sshd answers "open failed" to everything. One look at the socket tells a missing agent from a forbidden tunnel.
    throw explain(await lookAtSocket(client, config, socket, deadline).catch(() => 'unknown'), config, socket, error);
  }
}

/** What a shell on the server says of the socket; `unknown` when it gives none. */
async function lookAtSocket(
  client: SshClient,
  config: HostConfig,
  socket: string,
  deadline: Deadline,
): Promise<string> {
  const path = `'${socket.replaceAll("'", `'\\''`)}'`;
  // /proc/net/unix lists listening sockets; a socket file that no process listens on is a leftover.
  const script = `if [ ! -S ${path} ]; then echo missing; elif [ ! -w ${path} ]; then echo denied; elif [ -r /proc/net/unix ] && ! grep -qF -- ' '${path} /proc/net/unix; then echo dead; else echo present; fi`;
  const stream = await channel(client, deadline, config, (done) =>
    client.exec(`sh -c '${script.replaceAll("'", `'\\''`)}'`, done),
  );
  return deadline.race(
    'asking for the socket',
    new Promise<string>((resolve) => {
      let text = '';
      stream.on('data', (chunk: Buffer) => {
        if (text.length < 4096) text += chunk.toString('latin1');
      });
      stream.once('close', () => resolve(text.trim().split('\n').at(-1) ?? ''));
      stream.resume();
      stream.stderr.resume();
    }),
    () => stream.destroy(),
  );
}

function explain(found: string, config: HostConfig, socket: string, cause: LinkError): LinkError {
  const host = config.alias;
  if (found === 'missing') {
    return new LinkError(
      'SOCKET_MISSING',
      `There is no agent on ${host}: ${socket} does not exist.`,
      'Start understudyd there, or give its socket path in the address (ssh://host/path).',
      'backoff',
      cause,
    );
  }
  if (found === 'denied') {
    return new LinkError(
      'SOCKET_DENIED',
      `${config.user} may not open ${socket} on ${host}.`,
      'The socket should have mode 0666; its directories must be searchable.',
      'after_fix',
      cause,
    );
  }
  if (found === 'dead') {
    return new LinkError(
      'SOCKET_DEAD',
      `Nobody listens on ${socket} on ${host}.`,
      'Start understudyd there.',
      'backoff',
      cause,
    );
  }
  if (found === 'present') {
    return new LinkError(
      'FORWARDING_FORBIDDEN',
      `sshd on ${host} does not allow tunnels to sockets.`,
      'Set "AllowStreamLocalForwarding yes" (and not "DisableForwarding yes") in its sshd_config and reload it.',
      'after_fix',
      cause,
    );
  }
  return new LinkError(
    'CHANNEL_FAILED',
    `sshd on ${host} could not open ${socket}.`,
    'Check that understudyd runs there and that sshd_config says "AllowStreamLocalForwarding yes".',
    'backoff',
    cause,
  );
}

/** The channel and its connections live and die together. */
function tieTogether(channel: ClientChannel, chain: readonly SshClient[], config: HostConfig): Duplex {
  const stream = new Carried(channel, () => {
    for (const client of [...chain].reverse()) client.end();
  });
  const lost = (why: string): void => {
    if (stream.destroyed) return;
    stream.destroy(
      new LinkError(
        'LINK_LOST',
        `The SSH connection to ${config.alias} ended: ${why}.`,
        'It is tried again by itself.',
        'backoff',
      ),
    );
  };
  for (const client of chain) {
    client.removeAllListeners('error');
    client.on('error', (error: Error & { level?: string }) =>
      lost(error.level === 'client-timeout' ? `no answer to ${KEEPALIVE_MISSES} keepalives` : error.message),
    );
    client.once('close', () => lost('closed'));
  }
  return stream;
}
