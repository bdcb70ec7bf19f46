/** The wall clock of one process, which a test can set at any moment (stepped-clock.cc). */
import fs from 'node:fs';
import { compiled } from './compiled.js';

export class SteppedClock {
  readonly #file: number;
  #offsetMs = 0;

  /** @param file made anew; has to be there as long as the process lives */
  constructor(readonly file: string) {
    this.#file = fs.openSync(file, 'w+');
    this.#write();
  }

  /** What a process has to be started with. */
  get environment(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: compiled('stepped-clock', 'library'), CLOCK_OFFSET_FILE: this.file };
  }

  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Forward, or back when negative, from what it says now. */
  step(ms: number): void {
    this.#offsetMs += ms;
    this.#write();
  }

  close(): void {
    fs.closeSync(this.#file);
  }

  #write(): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(this.#offsetMs) * 1_000_000n);
    // In one call: who looks meanwhile sees the old or the new one.
    fs.writeSync(this.#file, bytes, 0, 8, 0);
  }
}
