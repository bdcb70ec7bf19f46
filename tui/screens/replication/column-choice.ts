/** Which statistics the table shows, and in which order (RCN-60). */
import { STATISTIC_COLUMNS } from '../../../protocol/messages/statistic-columns.js';
import type { App, Overlay, Step } from '../../model/app.js';

type Chooser = Extract<Overlay, { kind: 'columns' }>;

const DEFAULT = STATISTIC_COLUMNS.filter((column) => column.shown).map((column) => column.id);
const ALL = STATISTIC_COLUMNS.map((column) => column.id);

/** @param columns as saved, null = default */
export function columnChooser(columns: readonly string[] | null): Chooser {
  const shown = columns ?? DEFAULT;
  // Default columns keep their place among the others; a person's own order comes first.
  const order = columns === null ? ALL : [...shown, ...ALL.filter((id) => !shown.includes(id))];
  return { kind: 'columns', selected: 0, order, shown: new Set(shown) };
}

/** Names of columns in a saved file that exist; null when nothing usable is left. */
export function usableColumns(value: unknown): string[] | null {
  if (!Array.isArray(value)) return null;
  const known = [...new Set(value.filter((id): id is string => typeof id === 'string' && ALL.includes(id)))];
  return known.length === 0 ? null : known;
}

export function chooserKey(app: App, chooser: Chooser, name: string): Step {
  const set = (change: Partial<Chooser>): Step => [{ ...app, overlay: { ...chooser, ...change } }, []];
  const { selected, order, shown } = chooser;
  const last = order.length - 1;
  const id = order[selected] ?? '';
  switch (name) {
    case 'escape':
    case 'q':
      return [{ ...app, overlay: null }, []];
    case 'up':
    case 'k':
      return set({ selected: Math.max(0, selected - 1) });
    case 'down':
    case 'j':
      return set({ selected: Math.min(last, selected + 1) });
    case 'home':
      return set({ selected: 0 });
    case 'end':
      return set({ selected: last });
    case 'space': {
      const next = new Set(shown);
      if (!next.delete(id)) next.add(id);
      return set({ shown: next });
    }
    case '-':
    case '+': {
      const to = name === '-' ? selected - 1 : selected + 1;
      if (to < 0 || to > last) return [app, []];
      const next = [...order];
      next.splice(selected, 1);
      next.splice(to, 0, id);
      return set({ order: next, selected: to });
    }
    case 'd':
      return set(columnChooser(null));
    case 'l':
      return set(columnChooser(app.columns));
    case 'enter': {
      const chosen = order.filter((one) => shown.has(one));
      if (chosen.length === 0)
        return [
          { ...app, note: { kind: 'error', text: 'At least one column must be shown.', cli: null, at: app.now } },
          [],
        ];
      const columns = chosen.join() === DEFAULT.join() ? null : chosen;
      const screen = { ...app.screen, table: { ...app.screen.table, column: 0 } };
      return [{ ...app, columns, screen, overlay: null }, [{ kind: 'save_columns', columns }]];
    }
    default:
      return [app, []];
  }
}
