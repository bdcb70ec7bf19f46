/** A file system of its own, in a file, that can be filled, made read-only, and taken away. Needs root and loop devices. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { compiled } from '../compiled.js';

const FILLER = 'filler';
/** Steps in which the last free space is taken. */
const CRUMB = 4_096;

export class Disk {
  readonly #image: string;
  #fillers = 0;

  constructor(
    readonly folder: string,
    megabytes: number,
  ) {
    this.#image = `${folder}.image`;
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(this.#image, '');
    fs.truncateSync(this.#image, megabytes << 20);
    // No blocks kept for root, who would otherwise never see it full.
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', this.#image]);
    this.mount();
    fs.rmdirSync(path.join(folder, 'lost+found'));
  }

  get mounted(): boolean {
    return fs.readFileSync('/proc/self/mounts', 'utf8').includes(` ${this.folder} `);
  }

  mount(): void {
    execFileSync('mount', ['-o', 'loop', this.#image, this.folder]);
  }

  /** Returns whether nobody held it; one that is held leaves as soon as nobody does. */
  unmount(): boolean {
    if (spawnSync('umount', [this.folder]).status === 0) return true;
    execFileSync('umount', ['-l', this.folder]);
    return false;
  }

  /** Takes all free space, whatever is freed meanwhile stays free. */
  fill(): void {
    for (let share = 1; ; share /= 2) {
      const { bavail, bsize } = fs.statfsSync(this.folder);
      const bytes = Math.floor(bavail * share) * bsize;
      if (bytes < CRUMB) return;
      this.#fillers += 1;
      spawnSync('fallocate', ['-l', String(bytes), path.join(this.folder, `${FILLER}${this.#fillers}`)]);
      if (share < 1 / 1024) return;
    }
  }

  free(): void {
    for (const name of fs.readdirSync(this.folder))
      if (name.startsWith(FILLER)) fs.rmSync(path.join(this.folder, name));
  }

  /** Returns false when somebody wrote at every try: the kernel refuses it as long as a file is open for writing. */
  async readOnly(patienceMs: number): Promise<boolean> {
    for (const end = Date.now() + patienceMs; Date.now() < end; await wait(5))
      if (spawnSync('mount', ['-o', 'remount,ro', this.folder]).status === 0) return true;
    return false;
  }

  readWrite(): void {
    execFileSync('mount', ['-o', 'remount,rw', this.folder]);
  }

  /** Nothing that is still in memory reaches it any more; it has to be unmounted and mounted. */
  cutPower(): void {
    execFileSync(compiled('power-cut'), [this.folder]);
  }

  /** A copy of all that was written by now, in a file beside it. */
  copy(): string {
    const copy = `${this.#image}.copy`;
    execFileSync('fsfreeze', ['--freeze', this.folder]);
    try {
      execFileSync('cp', ['--sparse=always', this.#image, copy]);
    } finally {
      execFileSync('fsfreeze', ['--unfreeze', this.folder]);
    }
    return copy;
  }

  /** While it is not mounted: it holds what it held at the copy, and the copy is gone. */
  rollBack(copy: string): void {
    fs.renameSync(copy, this.#image);
  }

  close(): void {
    while (this.mounted) this.unmount();
    fs.rmSync(this.#image, { force: true });
  }
}
