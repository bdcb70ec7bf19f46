/** Looks again and again whether files are whole: what a target has acknowledged is there at every moment (I2). */
import fs from 'node:fs';
import path from 'node:path';

export class Presence {
  #looking = true;
  readonly #missing = new Set<string>();
  looks = 0;
  readonly #end: Promise<void>;

  /** @param lacks names of what is not there, or not whole, at this moment */
  constructor(readonly lacks: () => readonly string[]) {
    this.#end = (async () => {
      for (; this.#looking; this.looks++) {
        for (const name of lacks()) this.#missing.add(name);
        await new Promise((then) => setImmediate(then));
      }
    })();
  }

  /** @returns what was missing at any moment */
  async stop(): Promise<string[]> {
    this.#looking = false;
    await this.#end;
    return [...this.#missing];
  }
}

/** A file of every size that has a road of its own, each alone and with a second name: `small`, `small-one`, `small-two` ... */
export const SIZES: Readonly<Record<string, number>> = { small: 200_000, medium: 300_000, large: 9 << 20 };

export function writeSizes(folder: string): void {
  for (const [name, size] of Object.entries(SIZES)) {
    const at = path.join(folder, name);
    fs.writeFileSync(at, Buffer.alloc(size, 7));
    fs.writeFileSync(`${at}-one`, Buffer.alloc(size, 8));
    fs.linkSync(`${at}-one`, `${at}-two`);
  }
}

/** Those of them that are missing, or too short. */
export function lackingSizes(folder: string): string[] {
  return Object.entries(SIZES).flatMap(([name, size]) =>
    [name, `${name}-one`, `${name}-two`].filter(
      (each) => fs.statSync(path.join(folder, each), { throwIfNoEntry: false })?.size !== size,
    ),
  );
}
