/**
 * What the user's ssh configuration says about a host, asked from the installed client (`ssh -G`), which alone knows
 * `Match` and `Include`. Without a client: the plain defaults.
 */
import { execFile } from 'node:child_process';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { LinkError, type TransportOptions } from './transport.js';

export interface HostConfig {
  readonly alias: string;
  readonly host: string;
  readonly user: string;
  readonly port: number;
  /** Name to look up in known_hosts instead of host and port; null = none. */
  readonly hostKeyAlias: string | null;
  readonly identities: readonly string[];
  readonly identitiesOnly: boolean;
  /** Path of the agent's socket, null = none. */
  readonly agent: string | null;
  readonly knownHosts: readonly string[];
  /** Hops, nearest first; each is `[user@]host[:port]`. */
  readonly jumps: readonly string[];
  /** What ssh2 cannot do for this host, in words; null = nothing. */
  readonly beyondSsh2: string | null;
  readonly strictHostKey: 'ask' | 'yes' | 'no';
}

const ASK_MS = 5_000;

export interface HostWanted {
  readonly host: string;
  readonly user: string | null;
  readonly port: number | null;
}

/** @throws LinkError when the client refuses the configuration. */
export async function readHostConfig(wanted: HostWanted, options: TransportOptions): Promise<HostConfig> {
  const answer = options.config === null ? null : await askClient(wanted, options.config);
  const config = answer === null ? plainConfig(wanted) : fromAnswer(wanted, answer);
  return {
    ...config,
    ...(options.identities ? { identities: options.identities, identitiesOnly: true } : {}),
    ...(options.agent !== undefined ? { agent: options.agent } : {}),
    ...(options.knownHosts ? { knownHosts: options.knownHosts } : {}),
  };
}

function askClient(wanted: HostWanted, file: string | undefined): Promise<string | null> {
  const args = ['-G'];
  if (file !== undefined) args.push('-F', file);
  if (wanted.user !== null) args.push('-l', wanted.user);
  if (wanted.port !== null) args.push('-p', String(wanted.port));
  args.push('--', wanted.host);
  return new Promise((resolve, reject) => {
    execFile('ssh', args, { timeout: ASK_MS, maxBuffer: 1 << 20 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return resolve(null);
      reject(
        new LinkError(
          'ADDRESS_INVALID',
          `The ssh client does not accept its configuration for ${wanted.host}: ${lastLine(stderr) || error.message}.`,
          `Run: ssh -G ${wanted.host}`,
          'after_fix',
          error,
        ),
      );
    });
  });
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}

function plainConfig(wanted: HostWanted): HostConfig {
  const home = homedir();
  return {
    alias: wanted.host,
    host: wanted.host,
    user: wanted.user ?? userInfo().username,
    port: wanted.port ?? 22,
    hostKeyAlias: null,
    identities: ['id_ed25519', 'id_ecdsa', 'id_rsa'].map((name) => join(home, '.ssh', name)),
    identitiesOnly: false,
    agent: process.env['SSH_AUTH_SOCK'] ?? null,
    knownHosts: [
      join(home, '.ssh', 'known_hosts'),
      join(home, '.ssh', 'known_hosts2'),
      '/etc/ssh/ssh_known_hosts',
      '/etc/ssh/ssh_known_hosts2',
    ],
    jumps: [],
    beyondSsh2: null,
    strictHostKey: 'ask',
  };
}

/** Turns the lines of `ssh -G` into a configuration. Pure but for the home directory and `$SSH_AUTH_SOCK`. */
export function fromAnswer(wanted: HostWanted, answer: string): HostConfig {
  const values = new Map<string, string[]>();
  for (const line of answer.split('\n')) {
    const space = line.indexOf(' ');
    if (space < 0) continue;
    const key = line.slice(0, space);
    const list = values.get(key) ?? [];
    list.push(line.slice(space + 1).trim());
    values.set(key, list);
  }
  const one = (key: string): string | null => {
    const value = values.get(key)?.[0];
    return value === undefined || value === 'none' ? null : value;
  };
  const paths = (key: string): string[] =>
    (values.get(key) ?? [])
      .flatMap((value) => splitWords(value))
      .filter((path) => path !== 'none')
      .map(expandHome);
  const plain = plainConfig(wanted);
  const agent = one('identityagent');
  const strict = one('stricthostkeychecking');
  const jump = one('proxyjump');
  const beyond: string[] = [];
  if (one('proxycommand')) beyond.push('ProxyCommand');
  if (one('certificatefile')) beyond.push('CertificateFile');
  if (one('pkcs11provider')) beyond.push('PKCS11Provider');
  return {
    alias: wanted.host,
    host: one('hostname') ?? plain.host,
    user: one('user') ?? plain.user,
    port: Number(one('port') ?? plain.port),
    hostKeyAlias: one('hostkeyalias'),
    identities: values.has('identityfile')
      ? (values.get('identityfile') ?? []).filter((p) => p !== 'none').map(expandHome)
      : plain.identities,
    identitiesOnly: one('identitiesonly') === 'yes',
    agent:
      values.get('identityagent')?.[0] === 'none'
        ? null
        : agent === null || agent === 'SSH_AUTH_SOCK'
          ? plain.agent
          : expandHome(agent),
    knownHosts: [...paths('userknownhostsfile'), ...paths('globalknownhostsfile')],
    jumps:
      jump === null
        ? []
        : jump
            .split(',')
            .map((hop) => hop.trim())
            .filter((hop) => hop !== ''),
    beyondSsh2: beyond.length === 0 ? null : beyond.join(', '),
    strictHostKey:
      strict === 'true' || strict === 'yes'
        ? 'yes'
        : strict === 'false' || strict === 'off' || strict === 'no'
          ? 'no'
          : 'ask',
  };
}

function splitWords(value: string): string[] {
  return (value.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"|"$/g, ''));
}

function expandHome(path: string): string {
  const bare = path.replace(/^"|"$/g, '');
  return bare === '~' || bare.startsWith('~/') ? join(homedir(), bare.slice(1)) : bare;
}

/** Splits `[user@]host[:port]` or `ssh://...` of a ProxyJump. @throws LinkError */
export function parseJump(hop: string): HostWanted {
  const match = /^(?:ssh:\/\/)?(?:([^@]+)@)?(\[[^\]]+\]|[^:@/]+)(?::(\d+))?\/?$/.exec(hop);
  const host = match?.[2]?.replace(/^\[|\]$/g, '');
  if (!match || !host || host.startsWith('-')) {
    throw new LinkError(
      'ADDRESS_INVALID',
      `ProxyJump "${hop}" is not understood.`,
      'Write it as [user@]host[:port].',
      'after_fix',
    );
  }
  return { host, user: match[1] ?? null, port: match[3] === undefined ? null : Number(match[3]) };
}
