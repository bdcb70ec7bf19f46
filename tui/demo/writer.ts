/** Sample data and a gentle writer, so that there is something to watch. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const FOLDERS = ['reports', 'orders', 'mail/inbox', 'mail/archive', 'web/static', 'web/cache', 'logs'];
const FILES_PER_FOLDER = 120;
const LARGE_BYTES = 24 << 20;
const PAUSE_MS = 120;
const FILES_MAX = 2_000;

const WORDS = 'harbour lantern copper window river salt anchor morning gravel thunder paper orchard'.split(' ');

function text(bytes: number): string {
  let out = '';
  while (out.length < bytes) out += `${WORDS[Math.floor(Math.random() * WORDS.length)]} `;
  return `${out.slice(0, bytes)}\n`;
}

/** Some hundred small files, a large one, links: what a small server might hold. @returns number of files */
export async function makeSample(root: string): Promise<number> {
  let files = 0;
  for (const folder of FOLDERS) {
    await fs.mkdir(path.join(root, folder), { recursive: true });
    for (let i = 0; i < FILES_PER_FOLDER; i++) {
      const bytes = 200 + Math.floor(Math.random() * 12_000);
      await fs.writeFile(path.join(root, folder, `${String(i).padStart(3, '0')}.txt`), text(bytes));
      files += 1;
    }
  }
  await fs.writeFile(path.join(root, 'web/static/film.bin'), randomBytes(LARGE_BYTES));
  await fs.symlink('reports', path.join(root, 'latest'));
  await fs.link(path.join(root, 'orders/000.txt'), path.join(root, 'reports/order.txt'));
  await fs.chmod(path.join(root, 'logs'), 0o750);
  return files + 2;
}

export interface Writer {
  /** Changes made so far. */
  readonly changes: () => number;
  /** Ends after the running change. @throws what the writer met */
  readonly stop: () => Promise<void>;
}

/** Creates, appends, overwrites, renames and deletes, a few changes a second, within a bounded number of files. */
export function startWriter(root: string): Writer {
  const ending = new AbortController();
  let changes = 0;
  const mine: string[] = [];
  const pick = (): number => Math.floor(Math.random() * mine.length);

  const once = async (turn: number): Promise<void> => {
    const folder = FOLDERS[turn % FOLDERS.length] ?? 'logs';
    const at = pick();
    const file = mine[at];
    switch (turn % 6) {
      case 0:
      case 1:
        mine.push(path.join(folder, `new-${turn}.txt`));
        return fs.writeFile(path.join(root, folder, `new-${turn}.txt`), text(400 + Math.floor(Math.random() * 20_000)));
      case 2:
        return fs.appendFile(path.join(root, 'logs/service.log'), `${new Date().toISOString()} ${text(80)}`);
      case 3: {
        const film = await fs.open(path.join(root, 'web/static/film.bin'), 'r+');
        await film.write(randomBytes(4096), 0, 4096, 4096 * Math.floor(Math.random() * (LARGE_BYTES / 4096)));
        return film.close();
      }
      case 4:
        if (file === undefined) return;
        mine[at] = path.join(folder, `moved-${turn}.txt`);
        return fs.rename(path.join(root, file), path.join(root, mine[at] ?? file));
      default:
        if (file === undefined || (mine.length < FILES_MAX && Math.random() < 0.5)) return;
        mine.splice(at, 1);
        return fs.unlink(path.join(root, file));
    }
  };

  const life = (async () => {
    for (let turn = 0; !ending.signal.aborted; turn++) {
      await once(turn);
      changes += 1;
      await wait(PAUSE_MS, undefined, { signal: ending.signal }).catch(() => {});
    }
  })();
  // Told at `stop`; until then the rejection is not unhandled.
  life.catch(() => {});
  return {
    changes: () => changes,
    stop: () => {
      ending.abort();
      return life;
    },
  };
}
