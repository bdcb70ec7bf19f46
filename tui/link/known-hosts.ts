/**
 * Host keys people already trust: reading of OpenSSH's known_hosts files, and adding to our own file. The user's files
 * are read only; `ssh` itself keeps them.
 *
 * @see sshd(8), SSH_KNOWN_HOSTS FILE FORMAT
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** One line of a known_hosts file that concerns keys. */
export interface KnownHost {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly marker: 'none' | 'revoked' | 'cert_authority';
  readonly patterns: string;
  readonly keyType: string;
  /** The key as base64, exactly as in an SSH packet. */
  readonly key: string;
}

export type Verdict =
  | { readonly kind: 'known'; readonly entry: KnownHost }
  | { readonly kind: 'changed'; readonly entry: KnownHost }
  | { readonly kind: 'revoked'; readonly entry: KnownHost }
  /** `otherTypes`: this host is known by keys of other types. `authority`: a certificate authority answers for it. */
  | { readonly kind: 'unknown'; readonly otherTypes: readonly string[]; readonly authority: KnownHost | null };

const FILE_BYTES_MAX = 8 * 1024 * 1024;

/** Reads one file's text; lines that are not understood are skipped, as ssh does. */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  const entries: KnownHost[] = [];
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const words = line.split(/[ \t]+/);
    let marker: KnownHost['marker'] = 'none';
    if (words[0]?.startsWith('@')) {
      const name = words.shift();
      if (name === '@revoked') marker = 'revoked';
      else if (name === '@cert-authority') marker = 'cert_authority';
      else return;
    }
    const [patterns, keyType, key] = words;
    if (!patterns || !keyType || !key || !/^[A-Za-z0-9+/]+=*$/.test(key)) return;
    entries.push({ file, line: index + 1, marker, patterns, keyType, key });
  });
  return entries;
}

/** How known_hosts names a server: bare on port 22, `[host]:port` elsewhere, always in lower case. */
export function hostName(host: string, port: number): string {
  const lower = host.toLowerCase();
  return port === 22 ? lower : `[${lower}]:${port}`;
}

/** Does a comma-separated pattern list, or a hashed name, cover this name? */
export function patternsCover(patterns: string, name: string): boolean {
  if (patterns.startsWith('|1|')) {
    const [salt, digest] = patterns.slice(3).split('|');
    if (!salt || !digest) return false;
    const expected = Buffer.from(digest, 'base64');
    const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
    return expected.length === actual.length && timingSafeEqual(expected, actual);
  }
  let covered = false;
  for (const word of patterns.split(',')) {
    const negated = word.startsWith('!');
    if (!globCovers((negated ? word.slice(1) : word).toLowerCase(), name)) continue;
    // A negation anywhere in the list excludes the host, whatever else the list says.
    if (negated) return false;
    covered = true;
  }
  return covered;
}

/** `*` and `?` only, iterative, so that a hostile file cannot make it exponential. */
function globCovers(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < name.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resume;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** The key's type as written inside the key itself. */
export function keyTypeOf(key: Buffer): string {
  if (key.length < 4) return '';
  const size = key.readUInt32BE(0);
  return size > 64 || key.length < 4 + size ? '' : key.toString('latin1', 4, 4 + size);
}

/** `SHA256:` and base64 without padding, as ssh-keygen prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** Judges a key that a server showed. Revocation wins over everything, an equal key over a different one. */
export function judgeHostKey(entries: readonly KnownHost[], name: string, key: Buffer): Verdict {
  const shown = key.toString('base64');
  const type = keyTypeOf(key);
  const mine = entries.filter((entry) => patternsCover(entry.patterns, name));
  const revoked = mine.find((entry) => entry.marker === 'revoked' && entry.key === shown);
  if (revoked) return { kind: 'revoked', entry: revoked };
  const plain = mine.filter((entry) => entry.marker === 'none');
  const equal = plain.find((entry) => entry.key === shown);
  if (equal) return { kind: 'known', entry: equal };
  const different = plain.find((entry) => entry.keyType === type);
  if (different) return { kind: 'changed', entry: different };
  const otherTypes = [...new Set(plain.map((entry) => entry.keyType))];
  const authority = mine.find((entry) => entry.marker === 'cert_authority') ?? null;
  return { kind: 'unknown', otherTypes, authority };
}

/** Key types known for a host, to ask the server for these first: else it might show one we have never seen. */
export function knownKeyTypes(entries: readonly KnownHost[], name: string): string[] {
  const mine = entries.filter((entry) => entry.marker === 'none' && patternsCover(entry.patterns, name));
  return [...new Set(mine.map((entry) => entry.keyType))];
}

/** Reads all files that exist. An unreadable one is an error: skipping it would turn "changed" into "unknown". */
export async function readKnownHosts(files: readonly string[]): Promise<KnownHost[]> {
  const entries: KnownHost[] = [];
  for (const file of new Set(files)) {
    let text: string;
    try {
      const bytes = await readFile(file);
      text = bytes.subarray(0, FILE_BYTES_MAX).toString('latin1');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    entries.push(...parseKnownHosts(text, file));
  }
  return entries;
}

/** Adds one key to our own file. One write with O_APPEND, so two cockpits cannot mix their lines. */
export async function rememberHostKey(file: string, name: string, key: Buffer): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, 'a', 0o600);
  try {
    await handle.write(`${name} ${keyTypeOf(key)} ${key.toString('base64')}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
