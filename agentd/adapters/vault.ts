/**
 * Secrets at rest: AES-256-GCM, one nonce per write, the name of the secret authenticated with it. The key lies beside
 * the document in a file of its own, readable by the agent alone. That protects copies of the document (backups,
 * support bundles, a disk image without the key file); it cannot protect from whoever reads as the agent does.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { failure } from '../../protocol/errors.js';
import type { Documents } from '../ports/documents.js';
import type { Vault } from '../ports/vault.js';
import { replaceFileSync } from './files.js';

export const SECRETS_FILE = 'secrets.sts';
const KEY_FILE = 'secrets.key';
const KEY_BYTES = 32;

const Stored = z.object({
  schema: z.literal(1),
  secrets: z.record(z.string(), z.object({ nonce: z.string(), tag: z.string(), data: z.string() })),
});

export class FileVault implements Vault {
  readonly #secrets: z.infer<typeof Stored>['secrets'];
  /** Those that could not be read when they were asked for last. */
  readonly #troubled = new Set<string>();

  /**
   * @param onTrouble a secret cannot be read; told once, until it can be
   * @throws Failure STATE_INVALID when the key is readable by others or the document is not what it should be
   */
  constructor(
    readonly folder: string,
    readonly documents: Documents,
    readonly onTrouble: (key: string, problem: string) => void,
  ) {
    const value = documents.load(SECRETS_FILE);
    const read = Stored.safeParse(value ?? { schema: 1, secrets: {} });
    if (!read.success) throw failure('STATE_INVALID', { file: SECRETS_FILE, problem: 'it is not a list of secrets' });
    this.#secrets = read.data.secrets;
    this.#key(false);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#secrets, key);
  }

  read(key: string): string | null {
    const kept = Object.hasOwn(this.#secrets, key) ? this.#secrets[key] : undefined;
    if (!kept) return null;
    const secret = this.#key(false);
    if (!secret) {
      this.#trouble(key, `${KEY_FILE} is gone`);
      return null;
    }
    try {
      const cipher = createDecipheriv('aes-256-gcm', secret, Buffer.from(kept.nonce, 'base64'), { authTagLength: 16 });
      cipher.setAAD(Buffer.from(key));
      cipher.setAuthTag(Buffer.from(kept.tag, 'base64'));
      const text = Buffer.concat([cipher.update(Buffer.from(kept.data, 'base64')), cipher.final()]).toString('utf8');
      this.#troubled.delete(key);
      return text;
    } catch {
      this.#trouble(key, `it does not fit ${KEY_FILE}`);
      return null;
    }
  }

  #trouble(key: string, problem: string): void {
    if (this.#troubled.has(key)) return;
    this.#troubled.add(key);
    this.onTrouble(key, problem);
  }

  async write(key: string, value: string | null): Promise<void> {
    const before = this.#secrets[key];
    this.#troubled.delete(key);
    if (value === null) delete this.#secrets[key];
    else {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', this.#key(true) as Buffer, nonce, { authTagLength: 16 });
      cipher.setAAD(Buffer.from(key));
      const data = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
      this.#secrets[key] = {
        nonce: nonce.toString('base64'),
        tag: cipher.getAuthTag().toString('base64'),
        data: data.toString('base64'),
      };
    }
    try {
      await this.documents.save(SECRETS_FILE, { schema: 1, secrets: this.#secrets });
    } catch (error) {
      if (before) this.#secrets[key] = before;
      else delete this.#secrets[key];
      throw error;
    }
  }

  /** Read each time: it is needed seldom, and memory is no place for it. */
  #key(create: boolean): Buffer | null {
    const path = join(this.folder, KEY_FILE);
    try {
      const mode = statSync(path).mode & 0o077;
      if (mode !== 0)
        throw failure('STATE_INVALID', {
          file: path,
          problem:
            'other users may read the key of the secrets; chmod 600 it, and set the secrets again if one of them did',
        });
      const key = readFileSync(path);
      if (key.length !== KEY_BYTES)
        throw failure('STATE_INVALID', { file: path, problem: `it does not hold ${KEY_BYTES} bytes` });
      return key;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (!create) return null;
    const made = randomBytes(KEY_BYTES);
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    replaceFileSync(path, made, 0o600);
    return made;
  }
}
