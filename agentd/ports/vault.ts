/** Secrets that the agent itself has to know, such as the password of a mail server (LOG-33). */

export interface Vault {
  /** Null when there is none, or when it cannot be read; `onTrouble` was told then. */
  read(key: string): string | null;
  has(key: string): boolean;
  /** Resolves when it is on stable storage; null forgets it. */
  write(key: string, value: string | null): Promise<void>;
}
