/** State that survives restarts: small documents which appear whole or not at all (I4). */

export interface Documents {
  /** The document, or null when there is none yet. Throws STATE_INVALID when it is there and cannot be read. */
  load(name: string): unknown;
  /** Resolves when the newest value is on stable storage. Concurrent saves of one name collapse to the last. */
  save(name: string, value: unknown): Promise<void>;
  /** Resolves when nothing is being written any more. */
  settled(): Promise<void>;
}
