/** Verification logs: one text file for each set, in the log folder (VER-12..14). */

export interface VerifyLogs {
  /** Bytes of the log; 0 when there is none. */
  length(name: string): number;
  endsWith(name: string, text: string): boolean;
  /** @throws when the file cannot be written */
  append(name: string, text: string): void;
  /** The next line begins a new log. */
  clear(name: string): void;
  /** The end of the log in whole lines, at most `limit` bytes. */
  tail(name: string, limit: number): { readonly text: string; readonly omitted: number; readonly length: number };
  path(name: string): string;
}
