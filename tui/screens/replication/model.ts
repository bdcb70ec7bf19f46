/** What the Replication Console remembers of its own: where one looks, not what the servers say. */
import type { Pane } from '../../layout/panes.js';
import type { LineEdit } from '../../model/line-edit.js';
import type { Order } from '../../model/table.js';

export interface TreeState {
  /** Node id, see rows.ts. */
  readonly selected: string;
  readonly top: number;
  readonly collapsed: ReadonlySet<string>;
}

export interface TableState {
  readonly selected: string | null;
  /** Where the selected row was, to stay near when it vanishes. */
  readonly index: number;
  readonly top: number;
  /** First column after the frozen one. */
  readonly column: number;
  readonly order: Order | null;
  readonly filter: string;
  /** The filter while it is being typed. */
  readonly typing: LineEdit | null;
}

export interface LogState {
  /** Null: the server selected in the tree. */
  readonly server: string | null;
  /** Null: following. Otherwise lines after this absolute position are held back (RCN-33). */
  readonly heldAt: number | null;
  /** Absolute position of the selected line. */
  readonly selected: number;
  readonly top: number;
  readonly wrap: boolean;
}

export interface Replication {
  readonly focus: Pane;
  readonly zoomed: Pane | null;
  readonly problemsOnly: boolean;
  readonly tree: TreeState;
  readonly table: TableState;
  readonly log: LogState;
  /** First letter of a two-letter key (`g g`). */
  readonly pending: string;
}

export const REPLICATION_START: Replication = {
  focus: 'table',
  zoomed: null,
  problemsOnly: false,
  tree: { selected: 'all', top: 0, collapsed: new Set() },
  table: { selected: null, index: 0, top: 0, column: 0, order: null, filter: '', typing: null },
  log: { server: null, heldAt: null, selected: 0, top: 0, wrap: false },
  pending: '',
};
