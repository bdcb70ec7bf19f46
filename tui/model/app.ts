/** The whole cockpit as a value, what can happen to it, and what it may ask the world to do. */
import type { Replication } from '../screens/replication/model.js';
import type { Fleet, LinkFact, Trouble } from './fleet.js';
import type { LineEdit } from './line-edit.js';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The one line above the footer: what was done last, and the command that does the same. */
export interface Note {
  readonly kind: 'info' | 'ok' | 'error';
  readonly text: string;
  readonly cli: string | null;
  readonly at: number;
}

/** Everything a person can have done to a server; `tui/link/actions.ts` does it. */
export type Action =
  | {
      readonly kind: 'mirror_start';
      readonly id: number;
      readonly mirror: 'full' | 'difference';
      readonly checksum: boolean;
      readonly newer: boolean;
    }
  | { readonly kind: 'mirror_stop' | 'mirror_pause' | 'mirror_resume'; readonly id: number }
  | { readonly kind: 'replication_start' | 'replication_stop'; readonly id: number }
  | { readonly kind: 'transmit_start' | 'transmit_pause' | 'transmit_resume' | 'transmit_stop'; readonly id: number }
  | { readonly kind: 'verify'; readonly id: number; readonly checksum: boolean; readonly remirror: boolean }
  | {
      readonly kind: 'task_run';
      readonly id: number;
      readonly command: readonly string[];
      readonly durable: boolean;
    }
  | { readonly kind: 'bookmark_make'; readonly id: number; readonly name: string; readonly freeze: boolean }
  | { readonly kind: 'orphans'; readonly id: number; readonly preview: boolean }
  | { readonly kind: 'estimate' | 'disconnect' | 'orphans_stop'; readonly id: number }
  | { readonly kind: 'quarantine'; readonly id: number; readonly target: string; readonly again: boolean }
  | { readonly kind: 'simulate'; readonly set: string }
  | { readonly kind: 'set_continue'; readonly set: string; readonly acceptDeletes: boolean }
  | { readonly kind: 'target_pause' | 'target_resume' }
  | {
      readonly kind: 'connect';
      readonly set: string;
      readonly target: string;
      readonly mapping: 'all_to_one' | 'one_to_one' | 'custom';
      /** all_to_one: base directory; custom: the directory that takes the set's. */
      readonly path: string;
      readonly sourcePath: string;
      readonly mirror: 'full' | 'difference' | 'none';
      readonly replication: boolean;
    };

export type DialogKind =
  | 'mirror_start'
  | 'mirror_stop'
  | 'mirror_pause'
  | 'mirror_resume'
  | 'replication_start'
  | 'replication_stop'
  | 'transmit_start'
  | 'transmit_pause'
  | 'transmit_resume'
  | 'transmit_stop'
  | 'verify'
  | 'task_run'
  | 'bookmark_make'
  | 'estimate'
  | 'orphans'
  | 'quarantine'
  | 'disconnect'
  | 'connect'
  | 'set_continue'
  | 'target_pause'
  | 'target_resume'
  | 'server_add'
  | 'server_remove'
  | 'quit';

/** What was typed or chosen in a dialog, by field. */
export type DialogValue = LineEdit | boolean | number;

export interface Dialog {
  readonly kind: 'dialog';
  readonly dialog: DialogKind;
  readonly server: string;
  /** Key of the connection or name of the set it is about; empty when it is about the server. */
  readonly subject: string;
  readonly values: Readonly<Record<string, DialogValue>>;
  /** Index of the focused field; fields, then Cancel, then the action. */
  readonly focus: number;
}

export type Overlay =
  | Dialog
  | { readonly kind: 'help'; readonly top: number; readonly filter: LineEdit; readonly typing: boolean }
  | { readonly kind: 'detail'; readonly server: string; readonly key: string; readonly top: number }
  | {
      readonly kind: 'text';
      readonly title: string;
      readonly lines: readonly string[];
      readonly top: number;
      /** Columns scrolled to the right; null: long lines are wrapped instead. */
      readonly left: number | null;
    }
  | { readonly kind: 'menu'; readonly selected: number }
  /** RCN-60: every column in its order, and which are shown. */
  | {
      readonly kind: 'columns';
      readonly selected: number;
      readonly order: readonly string[];
      readonly shown: ReadonlySet<string>;
    }
  | { readonly kind: 'copy'; readonly selected: number }
  | { readonly kind: 'palette'; readonly edit: LineEdit; readonly history: number; readonly chosen: number };

export type Question =
  | {
      readonly kind: 'host_key';
      readonly server: string;
      readonly host: string;
      readonly port: number;
      readonly keyType: string;
      readonly fingerprint: string;
      readonly otherTypes: readonly string[];
    }
  | {
      readonly kind: 'secret';
      readonly server: string;
      readonly prompt: string;
      readonly echo: boolean;
      readonly attempt: number;
    };

/** A question of a link to the person; the oldest is shown, on top of everything. */
export interface Asked {
  readonly id: number;
  readonly question: Question;
  readonly answer: LineEdit;
  readonly focus: number;
}

export interface App {
  readonly size: Size;
  readonly ascii: boolean;
  readonly readOnly: boolean;
  readonly mouse: boolean;
  readonly theme: string;
  readonly themes: readonly string[];
  /** Wall clock, for ages and the clock in the corner. */
  readonly now: number;
  readonly fleet: Fleet;
  readonly screen: Replication;
  readonly overlay: Overlay | null;
  readonly asked: readonly Asked[];
  readonly note: Note | null;
  /** What was done, newest last, bounded. */
  readonly done: readonly Note[];
  /** Output of commands that ended while something else lay open, oldest first, bounded. */
  readonly results: readonly { readonly title: string; readonly lines: readonly string[] }[];
  /** Commands on their way, by number. */
  readonly running: ReadonlyMap<number, string>;
  readonly nextCommand: number;
  readonly typed: readonly string[];
  /** Statistics shown and their order, as saved; null: the default ones (RCN-60). */
  readonly columns: readonly string[] | null;
  /** When ^C was pressed last; a second one soon after leaves. */
  readonly interruptedAt: number;
  /** Verbs and arguments of the command line, for completion. */
  readonly verbs: readonly Verb[];
}

export interface Verb {
  /** `mirror start` */
  readonly name: string;
  readonly args: string;
  readonly why: string;
}

export const DONE_MAX = 200;
export const TYPED_MAX = 100;
export const RESULTS_MAX = 8;

export interface MouseMsg {
  readonly kind: 'mouse';
  readonly action: 'down' | 'up' | 'drag' | 'wheel_up' | 'wheel_down';
  readonly button: number;
  readonly x: number;
  readonly y: number;
  readonly double: boolean;
}

export type Msg =
  | { readonly kind: 'key'; readonly key: string; readonly text: string }
  | { readonly kind: 'paste'; readonly text: string }
  | MouseMsg
  | { readonly kind: 'resize'; readonly size: Size }
  | { readonly kind: 'tick'; readonly now: number }
  | { readonly kind: 'facts'; readonly server: string; readonly facts: readonly LinkFact[]; readonly now: number }
  | { readonly kind: 'servers'; readonly servers: readonly { readonly name: string; readonly address: string }[] }
  | { readonly kind: 'question'; readonly id: number; readonly question: Question }
  | { readonly kind: 'question_withdrawn'; readonly id: number }
  | {
      readonly kind: 'finished';
      readonly command: number;
      readonly text: string;
      readonly trouble: Trouble | null;
      readonly lines: readonly string[] | null;
    }
  | { readonly kind: 'copied'; readonly how: string; readonly text: string | null }
  | { readonly kind: 'verbs'; readonly verbs: readonly Verb[] }
  | { readonly kind: 'themed'; readonly theme: string; readonly error: string | null };

export type Command =
  | {
      readonly kind: 'act';
      readonly command: number;
      readonly server: string;
      readonly action: Action;
      readonly label: string;
      readonly cli: string;
    }
  | { readonly kind: 'cli'; readonly command: number; readonly argv: readonly string[]; readonly label: string }
  | { readonly kind: 'log_on'; readonly server: string }
  | { readonly kind: 'log_off'; readonly server: string }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: string | null }
  | { readonly kind: 'copy'; readonly text: string; readonly what: string }
  | { readonly kind: 'write'; readonly command: number; readonly name: string; readonly text: string }
  | { readonly kind: 'save_columns'; readonly columns: readonly string[] | null }
  | { readonly kind: 'theme'; readonly name: string }
  | { readonly kind: 'mouse'; readonly on: boolean }
  | { readonly kind: 'cancel'; readonly command: number }
  | { readonly kind: 'redraw' }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'quit' };

export type Step = readonly [App, readonly Command[]];
