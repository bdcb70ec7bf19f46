/** Settings of bookmarks; they count for every connection of this server, as source and as target. */
import type { Field } from './field.js';

export const BOOKMARK_FIELDS = [
  {
    key: 'bookmark.keep',
    row: 'DESIGN 6',
    kind: 'whole',
    preset: 100,
    min: 1,
    max: 1_000,
    live: true,
    why: 'bookmarks remembered for each connection; older ones are forgotten',
  },
] as const satisfies readonly Field[];
