/** Key and certificate of this server, made at first start; the private key is readable by the agent alone. */
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Identity } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import { replaceFileSync } from './files.js';

export interface LoadedIdentity extends Identity {
  readonly created: boolean;
}

/** @throws Failure STATE_INVALID when the key is readable by others or half of the pair is missing */
export function loadIdentity(state: string, create: () => Identity): LoadedIdentity {
  const keyPath = join(state, 'identity.key');
  const certificatePath = join(state, 'identity.crt');
  const key = readIfThere(keyPath);
  const certificate = readIfThere(certificatePath);
  if (key !== null && certificate !== null) {
    if ((statSync(keyPath).mode & 0o077) !== 0)
      throw failure('STATE_INVALID', {
        file: keyPath,
        problem: 'other users may read the private key; chmod 600 it, and pair again if one of them did',
      });
    return { key, certificate, created: false };
  }
  // The certificate is written last: a key without one was never shown to anybody and is made anew.
  if (certificate !== null)
    throw failure('STATE_INVALID', { file: keyPath, problem: 'the certificate is there and its private key is not' });
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const made = create();
  replaceFileSync(keyPath, made.key, 0o600);
  replaceFileSync(certificatePath, made.certificate, 0o644);
  return { ...made, created: true };
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw failure(
      'STATE_INVALID',
      { file: path, problem: 'it cannot be read' },
      { call: 'open', errno: (error as NodeJS.ErrnoException).code ?? 'EIO' },
    );
  }
}
