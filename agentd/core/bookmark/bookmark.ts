/** What may be frozen, what is kept, and how a bookmark is named. Pure. */
import type { Bookmark, BookmarkHow, BookmarkOptions } from '../../../protocol/messages/bookmark.js';

export const howOf = ({ freezeMs, before, after }: BookmarkOptions): BookmarkHow => {
  const hook = before !== null || after !== null;
  return freezeMs !== null ? (hook ? 'hook_freeze' : 'freeze') : hook ? 'hook' : 'plain';
};

/**
 * The directories to freeze, one for each file system.
 * @param roots  directories of the set, with the file system of each
 * @param kept   directories that have to stay writable for the freeze to end, with the file system of each
 */
export function freezePlan(
  roots: readonly (readonly [directory: string, fileSystem: string])[],
  kept: readonly (readonly [directory: string, fileSystem: string])[],
): readonly string[] | { readonly problem: string } {
  const plan = new Map<string, string>();
  for (const [root, fileSystem] of roots) {
    const own = kept.find((one) => one[1] === fileSystem);
    if (own)
      return {
        problem:
          own[0] === '/'
            ? `${root} is on the root file system, which is never frozen`
            : `${root} is on the file system of ${own[0]}, which the agent itself has to write to`,
      };
    if (!plan.has(fileSystem)) plan.set(fileSystem, root);
  }
  return [...plan.values()];
}

/** The newest `keep` of each connection and side. @param bookmarks newest first */
export function keptBookmarks(bookmarks: readonly Bookmark[], keep: number): Bookmark[] {
  const counts = new Map<string, number>();
  return bookmarks.filter((one) => {
    const of = `${one.role} ${one.connection}`;
    const count = (counts.get(of) ?? 0) + 1;
    counts.set(of, count);
    return count <= keep;
  });
}
