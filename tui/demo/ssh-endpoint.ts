/**
 * A small SSH server inside of the demo: it lets one user in by one key and forwards to one Unix socket, as sshd does
 * on a real server. So the demo's consoles reach their agents by the same road as over a network.
 */
import { timingSafeEqual } from 'node:crypto';
import { createConnection } from 'node:net';
import ssh2, { type Connection, type ParsedKey } from 'ssh2';

const CONNECTIONS_MAX = 32;

export interface KeyPair {
  /** OpenSSH private key file. */
  readonly private: string;
  /** `ssh-ed25519 AAAA...`, without a comment. */
  readonly public: string;
}

export interface SshEndpoint {
  readonly port: number;
  readonly close: () => Promise<void>;
}

export function makeKeyPair(): KeyPair {
  const pair = ssh2.utils.generateKeyPairSync('ed25519');
  return { private: pair.private, public: pair.public.trim().split(' ').slice(0, 2).join(' ') };
}

export interface EndpointOptions {
  readonly hostKey: KeyPair;
  readonly user: string;
  readonly userKey: KeyPair;
  /** The only socket that may be reached. */
  readonly socket: string;
}

/** Listens on a free loopback port. */
export async function openSshEndpoint(options: EndpointOptions): Promise<SshEndpoint> {
  const allowed = ssh2.utils.parseKey(options.userKey.public);
  if (allowed instanceof Error) throw allowed;
  const open = new Set<Connection>();
  const server = new ssh2.Server({ hostKeys: [options.hostKey.private] }, (client) => {
    if (open.size >= CONNECTIONS_MAX) return void client.end();
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => open.delete(client));
    authenticate(client, options.user, allowed);
    client.on('ready', () => forward(client, options.socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the demo could not listen on a loopback port');
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        for (const client of open) client.end();
        server.close(() => resolve());
      }),
  };
}

function authenticate(client: Connection, user: string, allowed: ParsedKey): void {
  client.on('authentication', (attempt) => {
    if (attempt.method !== 'publickey' || attempt.username !== user) return attempt.reject(['publickey']);
    const wanted = allowed.getPublicSSH();
    const shown = attempt.key.data;
    if (shown.length !== wanted.length || !timingSafeEqual(shown, wanted)) return attempt.reject(['publickey']);
    // Without a signature the client only asks whether this key would do.
    if (!attempt.signature || !attempt.blob) return attempt.accept();
    if (allowed.verify(attempt.blob, attempt.signature, attempt.hashAlgo) === true) return attempt.accept();
    attempt.reject(['publickey']);
  });
}

function forward(client: Connection, socket: string): void {
  client.on('openssh.streamlocal', (accept, reject, info) => {
    if (info.socketPath !== socket) return void reject();
    const agent = createConnection(socket);
    agent.once('error', () => reject());
    agent.once('connect', () => {
      agent.removeAllListeners('error');
      const channel = accept();
      // Either side's end is the other's; an error on one is the end of both.
      agent.on('error', () => channel.destroy());
      channel.on('error', () => agent.destroy());
      channel.on('close', () => agent.destroy());
      agent.on('close', () => channel.end());
      channel.pipe(agent).pipe(channel);
    });
  });
}
