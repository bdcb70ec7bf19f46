/** Bookmarks this server remembers, and what has to be put right after a crash. */
import { z } from 'zod';
import { BOOKMARK_LIST_MAX } from '../../protocol/limits.js';
import { Bookmark, BookmarkSchedule } from '../../protocol/messages/bookmark.js';
import { TaskCommand } from '../../protocol/messages/task.js';
import { keptBookmarks } from '../core/bookmark/bookmark.js';
import { replaced, withoutOutput } from '../core/task/records.js';
import { loadDocument } from './stored.js';
import { saveDocument, saveSoon, saveStubbornly, type World } from './world.js';

export const BOOKMARKS_FILE = 'bookmarks.sts';
/** Separate and small, because it is written while somebody waits. */
export const POINTS_FILE = 'points.sts';

const Stored = z.object({
  schema: z.literal(1),
  bookmarks: z.array(Bookmark),
  schedules: z.record(z.string(), BookmarkSchedule),
});
/** Begun and not yet undone. */
const StoredPoints = z.object({
  schema: z.literal(1),
  points: z.array(
    z.object({ key: z.string(), set: z.string(), frozen: z.array(z.string()), after: TaskCommand.nullable() }),
  ),
});
export type Point = z.infer<typeof StoredPoints>['points'][number];

export class BookmarkBook {
  /** Newest first. */
  #bookmarks: Bookmark[];
  readonly schedules: Map<string, z.infer<typeof BookmarkSchedule>>;
  #points: Point[];

  constructor(readonly world: World) {
    const stored = loadDocument(world.documents, BOOKMARKS_FILE, Stored);
    this.#bookmarks = stored?.bookmarks ?? [];
    this.schedules = new Map(Object.entries(stored?.schedules ?? {}));
    this.#points = loadDocument(world.documents, POINTS_FILE, StoredPoints)?.points ?? [];
  }

  list(): Bookmark[] {
    return this.#bookmarks.slice(0, BOOKMARK_LIST_MAX).map(withoutOutput);
  }

  find(key: string, role: Bookmark['role']): Bookmark | null {
    return this.#bookmarks.find((one) => one.key === key && one.role === role) ?? null;
  }

  put(bookmark: Bookmark): void {
    this.#bookmarks = keptBookmarks(replaced(this.#bookmarks, bookmark), this.world.settings['bookmark.keep']);
  }

  /** @throws Failure when it is not on disk */
  save(): Promise<void> {
    return saveDocument(this.world, BOOKMARKS_FILE, this.#stored());
  }

  saveStubbornly(): Promise<void> {
    return saveStubbornly(this.world, BOOKMARKS_FILE, this.#stored());
  }

  saveSoon(): void {
    saveSoon(this.world, BOOKMARKS_FILE, this.#stored());
  }

  get points(): readonly Point[] {
    return this.#points;
  }

  /** On disk before anything is frozen or quiesced. @throws Failure */
  begin(point: Point): Promise<void> {
    this.#points = [...this.#points, point];
    return saveDocument(this.world, POINTS_FILE, { schema: 1, points: this.#points });
  }

  end(key: string): void {
    this.#points = this.#points.filter((point) => point.key !== key);
    saveSoon(this.world, POINTS_FILE, { schema: 1, points: this.#points });
  }

  #stored(): unknown {
    return { schema: 1, bookmarks: this.#bookmarks, schedules: Object.fromEntries(this.schedules) };
  }
}
