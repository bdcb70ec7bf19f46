/** What tasks and bookmarks are kept as: newest first, one of each key and role. Pure. */
import type { TaskOutcome } from '../../../protocol/messages/task.js';

interface Kept {
  readonly key: string;
  readonly role: string;
}

/** With `item` at the place of its former self, or as the newest. */
export function replaced<T extends Kept>(items: readonly T[], item: T): T[] {
  const at = items.findIndex((known) => known.key === item.key && known.role === item.role);
  return at < 0 ? [item, ...items] : items.with(at, item);
}

/** As lists show it. */
export const withoutOutput = <T extends { readonly outcome: TaskOutcome | null }>(item: T): T => ({
  ...item,
  outcome: item.outcome && { ...item.outcome, output: '' },
});
