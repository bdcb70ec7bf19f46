/** Bookmarks: named points that a target has reached, durable, and how good each is (DESIGN 6). */
import { BOOKMARK_FREEZE_MS_MAX, BOOKMARK_LIST_MAX, BOOKMARK_NAME_LENGTH_MAX, TASK_MS_MAX } from '../limits.js';
import {
  count,
  flag,
  type Infer,
  list,
  method,
  millis,
  nullable,
  oneOf,
  optional,
  struct,
  text,
  wallTime,
  whole,
} from '../schema.js';
import { TaskCommand, TaskOutcome } from './task.js';

const id = count('connection ID (CON-01)');
export const BOOKMARK_HOW = ['plain', 'hook', 'freeze', 'hook_freeze'] as const;
export type BookmarkHow = (typeof BOOKMARK_HOW)[number];
const name = text(BOOKMARK_NAME_LENGTH_MAX, 'name; the time of the point when left out');

/** How a bookmark is made. */
export const BookmarkOptions = struct({
  freezeMs: nullable(
    whole(100, BOOKMARK_FREEZE_MS_MAX, 'freeze the file systems of the set for at most this; null: do not'),
  ),
  before: nullable(TaskCommand),
  after: nullable(TaskCommand),
  command: nullable(TaskCommand),
  timeoutMs: optional(
    whole(1, TASK_MS_MAX, 'of each of these commands, where the server that runs it allows that long'),
  ),
});
export type BookmarkOptions = Infer<typeof BookmarkOptions>;

export const Bookmark = struct({
  key: text(64, 'permanent key; the same on both servers'),
  role: oneOf(['source', 'target'], 'which side remembers it'),
  name,
  connection: text(64, 'permanent key of the connection'),
  set: text(255, 'replication set'),
  server: text(255, 'the other server'),
  how: oneOf(
    BOOKMARK_HOW,
    'plain: everything that changed before is there, what changed meanwhile may be in part. freeze: the file systems as they were at that moment, as after a loss of power. hook: as good as the commands around it',
  ),
  at: wallTime('the point, on the clock of the source'),
  recorded: nullable(
    wallTime('when the target had everything before it on stable storage; null: it has not, or not yet'),
  ),
  stoodMs: millis('how long the file systems were frozen, or the commands around it took; -1: neither'),
  outcome: nullable(TaskOutcome),
  why: text(1_024, 'what went wrong; empty: nothing'),
});
export type Bookmark = Infer<typeof Bookmark>;

export const BookmarkMake = method(
  'bookmark.make',
  'administrator',
  true,
  struct({
    id,
    name: optional(name),
    options: BookmarkOptions,
    placeMs: optional(whole(1, TASK_MS_MAX, 'give up when the point is not reached within this; 60000')),
  }),
  Bookmark,
  'DESIGN 6: answers when the target has everything before the point on stable storage and its command has ended.',
);
export const BookmarkList = method(
  'bookmark.list',
  'monitor',
  false,
  struct({}),
  struct({ bookmarks: list(Bookmark, BOOKMARK_LIST_MAX, 'newest first; outputs are left out') }),
  'The bookmarks this server remembers, as a source and as a target.',
);
export const BookmarkSchedule = struct({
  start: wallTime('the first time; later ones count from it'),
  everyMs: nullable(whole(10_000, 366 * 86_400_000, 'interval [ms]; null: once')),
  options: BookmarkOptions,
});
export type BookmarkSchedule = Infer<typeof BookmarkSchedule>;
export const BookmarkPlan = struct({
  schedule: nullable(BookmarkSchedule),
  next: nullable(wallTime('when the next one is made')),
  running: flag('one is being made'),
});
export type BookmarkPlan = Infer<typeof BookmarkPlan>;
export const BookmarkScheduleSet = method(
  'bookmark.schedule',
  'administrator',
  true,
  struct({ id, schedule: nullable(BookmarkSchedule) }),
  BookmarkPlan,
  'Saves or clears (null) when bookmarks of a connection are made by themselves. A time that was missed is not made up.',
);
export const BookmarkShow = method(
  'bookmark.show',
  'monitor',
  false,
  struct({ id }),
  BookmarkPlan,
  'The schedule of a connection.',
);
