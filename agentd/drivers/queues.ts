/** Looks after the queues of all connections: how full they are, and whether their place is a good one. */
import { limitsProblem, placeProblem } from '../core/queue/alert.js';
import type { ConnectionRun } from './connection-run.js';
import type { World } from './world.js';

const LOOK_MS = 1_000;

export class Queues {
  #cancel: (() => void) | null = null;
  #placeTold = false;

  constructor(
    readonly world: World,
    readonly runs: () => Iterable<ConnectionRun>,
  ) {}

  opened(): void {
    if (!this.#placeTold) this.#tellPlace();
  }

  /** A queue fills: it is looked at until all are empty. An idle agent looks at none. */
  used(): void {
    this.#arm();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #arm(): void {
    if (this.#cancel) return;
    this.#cancel = this.world.clock.after(LOOK_MS, () => {
      this.#cancel = null;
      let held = false;
      for (const run of this.runs()) held = run.queue.look() || held;
      if (held) this.#arm();
    });
  }

  /** QUE-03, QUE-07: what is wrong with the place and the limits; null when nothing is. */
  problems(): { place: string | null; limits: string | null } {
    const { places, settings } = this.world;
    const queue = places.volume(settings['queue.folder']);
    if (!queue || settings['queue.disk_mb'] === 0) return { place: null, limits: null };
    const roots = [...this.runs()].flatMap((run) =>
      run.stored.mappings.flatMap(({ source }) => {
        const volume = places.volume(source);
        return volume ? [{ path: source, volume }] : [];
      }),
    );
    return {
      place: placeProblem(queue, places.volume('/'), roots),
      limits: limitsProblem(queue, settings['queue.disk_mb'], settings['queue.free_mb']),
    };
  }

  #tellPlace(): void {
    this.#placeTold = true;
    const { log, settings } = this.world;
    const { place, limits } = this.problems();
    if (place) log.say('QUEUE_PLACE', { folder: settings['queue.folder'], problem: place });
    if (limits) log.say('QUEUE_LIMITS', { problem: limits });
  }
}
