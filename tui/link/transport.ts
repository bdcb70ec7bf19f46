/**
 * Roads to an agent's control socket. A transport gives a byte stream and says why it could not; it knows nothing of
 * what travels on it.
 */
import type { Duplex } from 'node:stream';

/** Where an agent listens when nobody said otherwise. */
export const SOCKET_DEFAULT = '/run/understudy/agent.sock';

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'ssh';
      /** A host name, an address or an alias of the user's ssh configuration. */
      readonly host: string;
      /** Null: what the ssh configuration says, else the local user. */
      readonly user: string | null;
      /** Null: what the ssh configuration says, else 22. */
      readonly port: number | null;
      readonly socket: string;
    };

export type LinkCode =
  | 'ADDRESS_INVALID'
  | 'UNREACHABLE'
  | 'TIMEOUT'
  | 'CANCELLED'
  | 'HOST_KEY_CHANGED'
  | 'HOST_KEY_REVOKED'
  | 'HOST_KEY_REFUSED'
  | 'HOST_CERTIFICATE'
  | 'AUTH_FAILED'
  | 'SOCKET_MISSING'
  | 'SOCKET_DENIED'
  | 'SOCKET_DEAD'
  | 'FORWARDING_FORBIDDEN'
  | 'CHANNEL_FAILED'
  | 'NO_SSH_PROGRAM'
  | 'LINK_LOST';

/** A road that could not be taken, as data: the reader formats. `retry` tells whether trying again by itself helps. */
export class LinkError extends Error {
  readonly code: LinkCode;
  /** Something to do. */
  readonly remedy: string;
  readonly retry: 'backoff' | 'after_fix';

  constructor(code: LinkCode, message: string, remedy: string, retry: 'backoff' | 'after_fix', cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LinkError';
    this.code = code;
    this.remedy = remedy;
    this.retry = retry;
  }
}

export interface HostKeyQuestion {
  readonly host: string;
  readonly port: number;
  readonly keyType: string;
  /** `SHA256:...` as ssh-keygen prints it. */
  readonly fingerprint: string;
  /** Key types already known for this host; not empty means "this server used to show another kind of key". */
  readonly otherTypes: readonly string[];
}

export interface SecretQuestion {
  readonly kind: 'password' | 'passphrase' | 'challenge';
  readonly host: string;
  readonly user: string;
  /** What to show; for a challenge these are the server's own words. */
  readonly prompt: string;
  readonly echo: boolean;
  /** 1 at first, 2 after a wrong answer, ... */
  readonly attempt: number;
}

/** Questions to the person in front of the terminal. Absent callbacks refuse. */
export interface Prompts {
  /** `yes` also remembers the key in our own file. */
  hostKey?(question: HostKeyQuestion): Promise<'yes' | 'once' | 'no'>;
  /** Null: skip this way of proving who we are. */
  secret?(question: SecretQuestion): Promise<string | null>;
}

export interface TransportOptions {
  readonly signal?: AbortSignal;
  readonly prompts?: Prompts;
  /** Time for connecting and opening the channel, without the time a person takes to answer. Default 20 s. */
  readonly deadlineMs?: number;
  /** Keepalive period; three unanswered ones end the link. Default 10 s. */
  readonly keepaliveMs?: number;
  /** `auto`: ssh2, and the system's ssh for what ssh2 cannot do. */
  readonly road?: 'auto' | 'ssh2' | 'openssh';
  /** Files to read host keys from; default: what `ssh -G` says, else the usual ones. */
  readonly knownHosts?: readonly string[];
  /** The only file we write host keys to. Default `~/.config/understudy/known_hosts`. */
  readonly ownKnownHosts?: string;
  /** Private key files instead of the configured ones. */
  readonly identities?: readonly string[];
  /** Agent socket; null = none. Default `$SSH_AUTH_SOCK`. */
  readonly agent?: string | null;
  /** Argument for `ssh -F`; null: do not ask the ssh program about its configuration. */
  readonly config?: string | null;
}

/**
 * Reads `unix:PATH` or `ssh://[user@]host[:port][/socket]`.
 * @throws LinkError ADDRESS_INVALID
 */
export function parseAddress(text: string): Address {
  const bad = (why: string): LinkError =>
    new LinkError(
      'ADDRESS_INVALID',
      `"${text}" is not an address: ${why}.`,
      'Write unix:/path/to/agent.sock or ssh://[user@]host[:port][/path/to/agent.sock].',
      'after_fix',
    );
  if (text.startsWith('unix:')) {
    const path = text.slice(5).replace(/^\/\/(?=\/)/, '');
    if (!path.startsWith('/')) throw bad('the socket path must be absolute');
    return { kind: 'unix', path };
  }
  const match = /^ssh:\/\/(?:([^@/]*)@)?(\[[0-9A-Fa-f:.%A-Za-z]+\]|[^:/@[\]]+)(?::(\d{1,5}))?(\/.*)?$/.exec(text);
  if (!match) throw bad('it is neither unix: nor ssh://');
  const [, user, hostText, portText, socket] = match;
  const host = (hostText ?? '').replace(/^\[|\]$/g, '');
  // A leading dash would become an option of the ssh program.
  if (!/^[A-Za-z0-9_:.%][A-Za-z0-9_:.%-]*$/.test(host)) throw bad('the host name has characters that no host has');
  if (user !== undefined && !/^[A-Za-z0-9_.][A-Za-z0-9_.@$\\-]*$/.test(user)) throw bad('the user name is not one');
  const port = portText === undefined ? null : Number(portText);
  if (port !== null && (port < 1 || port > 65_535)) throw bad('the port is not between 1 and 65535');
  return { kind: 'ssh', host, user: user ?? null, port, socket: socket && socket !== '/' ? socket : SOCKET_DEFAULT };
}

/** The inverse of {@link parseAddress}, as short as possible. */
export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const user = address.user === null ? '' : `${address.user}@`;
  const port = address.port === null ? '' : `:${address.port}`;
  return `ssh://${user}${host}${port}${address.socket === SOCKET_DEFAULT ? '' : address.socket}`;
}

/**
 * Opens a byte stream to an agent's control socket. Destroying it ends everything that carries it; a road that breaks
 * later destroys it with a {@link LinkError}.
 * @throws LinkError
 */
export async function openTransport(address: Address, options: TransportOptions = {}): Promise<Duplex> {
  if (address.kind === 'unix') return (await import('./unix.js')).openUnix(address.path, options);
  return (await import('./ssh.js')).openSsh(address, options);
}
