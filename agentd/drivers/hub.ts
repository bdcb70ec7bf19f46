/**
 * Live collections: who looks at a topic is told what changed. A topic nobody looks at costs nothing.
 */
import { STATISTICS_MS } from '../../protocol/limits.js';
import { TOPICS } from '../../protocol/messages/index.js';
import type { Clock } from '../ports/clock.js';

export interface Watcher {
  put(item: unknown): void;
  remove(key: string): void;
}

interface Watched {
  readonly items: () => readonly unknown[];
  readonly key: (item: unknown) => string;
  /** Items as last told, by key; empty while nobody looks. */
  readonly told: Map<string, string>;
  readonly watchers: Set<Watcher>;
  /** Compared as a whole at every touch; otherwise single items are put by their owner. */
  readonly compared: boolean;
  /** Has counters that change without an event. */
  readonly ticks: boolean;
  touched: boolean;
}

/** Changes that come together are told together. */
const GATHER_MS = 20;

export class Hub {
  readonly #watched = new Map<string, Watched>();
  #stopTicking: (() => void) | null = null;

  constructor(readonly clock: Clock) {}

  /** @param ticks asked again once a second while somebody looks */
  register(
    topic: string,
    items: () => readonly unknown[],
    options: { readonly ticks?: boolean; readonly compared?: boolean } = {},
  ): void {
    const declared = TOPICS.get(topic);
    if (!declared) throw new Error(`no such topic: ${topic}`);
    this.#watched.set(topic, {
      items,
      key: declared.key as (item: unknown) => string,
      told: new Map(),
      watchers: new Set(),
      compared: options.compared ?? true,
      ticks: options.ticks ?? false,
      touched: false,
    });
  }

  items(topic: string): readonly unknown[] {
    return this.#watched.get(topic)?.items() ?? [];
  }

  watch(topic: string, watcher: Watcher): () => void {
    const watched = this.#watched.get(topic);
    if (!watched) throw new Error(`no such topic: ${topic}`);
    // Whoever looks already is told the same state the newcomer starts from.
    if (watched.compared) this.#tell(watched);
    watched.watchers.add(watcher);
    this.#tick();
    return () => {
      watched.watchers.delete(watcher);
      if (watched.watchers.size === 0) watched.told.clear();
      this.#tick();
    };
  }

  /** Something in the topic may have changed. */
  touch(...topics: readonly string[]): void {
    for (const topic of topics) {
      const watched = this.#watched.get(topic);
      if (!watched || watched.watchers.size === 0 || watched.touched) continue;
      watched.touched = true;
      this.clock.after(GATHER_MS, () => {
        watched.touched = false;
        this.#tell(watched);
      });
    }
  }

  /** One item of a topic that is not compared. */
  put(topic: string, item: unknown): void {
    for (const watcher of this.#watched.get(topic)?.watchers ?? []) watcher.put(item);
  }

  #tell(watched: Watched): void {
    const gone = new Set(watched.told.keys());
    for (const item of watched.items()) {
      const key = watched.key(item);
      gone.delete(key);
      const text = JSON.stringify(item);
      if (watched.told.get(key) === text) continue;
      watched.told.set(key, text);
      for (const watcher of watched.watchers) watcher.put(item);
    }
    for (const key of gone) {
      watched.told.delete(key);
      for (const watcher of watched.watchers) watcher.remove(key);
    }
  }

  #tick(): void {
    const looked = [...this.#watched]
      .filter(([, watched]) => watched.ticks && watched.watchers.size > 0)
      .map(([topic]) => topic);
    if (looked.length === 0) {
      this.#stopTicking?.();
      this.#stopTicking = null;
    } else if (!this.#stopTicking) {
      this.#stopTicking = this.clock.after(STATISTICS_MS, () => {
        this.#stopTicking = null;
        this.touch(...looked);
        this.#tick();
      });
    }
  }
}
