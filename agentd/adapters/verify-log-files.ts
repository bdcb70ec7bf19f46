/** Verification logs as files in the log folder. */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { VerifyLogs } from '../ports/verify-logs.js';

export class VerifyLogFiles implements VerifyLogs {
  constructor(readonly folder: string) {}

  path(name: string): string {
    return join(this.folder, name);
  }

  length(name: string): number {
    return this.#read(name, 0).length;
  }

  endsWith(name: string, text: string): boolean {
    const wanted = Buffer.from(text);
    return this.#read(name, wanted.length).end.equals(wanted);
  }

  append(name: string, text: string): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o750 });
    const file = openSync(this.path(name), 'a', 0o640);
    try {
      const all = Buffer.from(text);
      for (let at = 0; at < all.length; ) at += writeSync(file, all, at);
    } finally {
      closeSync(file);
    }
  }

  clear(name: string): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o750 });
    const file = openSync(this.path(name), 'a', 0o640);
    try {
      ftruncateSync(file);
    } finally {
      closeSync(file);
    }
  }

  tail(name: string, limit: number): { text: string; omitted: number; length: number } {
    const { end, length } = this.#read(name, limit);
    // A line that is not there whole is left out.
    const from = end.length < length ? end.indexOf(0x0a) + 1 : 0;
    const kept = end.subarray(from);
    return { text: kept.toString('utf8'), omitted: length - kept.length, length };
  }

  #read(name: string, limit: number): { end: Buffer; length: number } {
    let file: number;
    try {
      file = openSync(this.path(name), 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { end: Buffer.alloc(0), length: 0 };
      throw error;
    }
    try {
      const length = fstatSync(file).size;
      const end = Buffer.alloc(Math.min(limit, length));
      const got = end.length === 0 ? 0 : readSync(file, end, 0, end.length, length - end.length);
      return { end: end.subarray(0, got), length };
    } finally {
      closeSync(file);
    }
  }
}
