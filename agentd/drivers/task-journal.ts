/** Tasks this server sent or ran. What is written here before a task begins is why it is never run twice. */
import { failure } from '../../protocol/errors.js';
import { TASK_KEPT_MAX, TASK_LIST_MAX } from '../../protocol/limits.js';
import type { TaskItem, TaskOutcome } from '../../protocol/messages/task.js';
import { replaced, withoutOutput } from '../core/task/records.js';
import { keptTasks, outcomeText, unknown } from '../core/task/step.js';
import type { LogScope } from './log.js';
import { loadDocument, StoredTasks, TASKS_FILE } from './stored.js';
import { saveDocument, saveSoon, saveStubbornly, type World } from './world.js';

const COMMAND_SHOWN = 200;

/** A command as messages name it. */
export function commandText(command: readonly string[]): string {
  const text = command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ');
  return text.length > COMMAND_SHOWN ? `${text.slice(0, COMMAND_SHOWN)}...` : text;
}

export class TaskJournal {
  /** Newest first. */
  #items: TaskItem[];

  constructor(readonly world: World) {
    this.#items = loadDocument(world.documents, TASKS_FILE, StoredTasks)?.tasks ?? [];
  }

  /** A key may be known twice: as sent and as received, where a server is its own target. */
  find(key: string, role?: TaskItem['role']): TaskItem | null {
    return this.#items.find((item) => item.key === key && (role === undefined || item.role === role)) ?? null;
  }

  items(role: TaskItem['role']): readonly TaskItem[] {
    return this.#items.filter((item) => item.role === role);
  }

  list(): TaskItem[] {
    return this.#items.slice(0, TASK_LIST_MAX).map(withoutOutput);
  }

  show(key: string): TaskItem {
    const item = this.find(key);
    if (!item) throw failure('TASK_UNKNOWN', { key });
    return item;
  }

  put(item: TaskItem): void {
    this.#items = keptTasks(replaced(this.#items, item), TASK_KEPT_MAX);
  }

  forget(item: TaskItem): void {
    this.#items = this.#items.filter((known) => known.key !== item.key || known.role !== item.role);
  }

  /** Sent tasks of connections that are gone: nobody is left to ask what became of them. */
  abandon(isKnown: (connection: string) => boolean): void {
    for (const item of this.items('source'))
      if (item.phase !== 'ended' && !isKnown(item.connection))
        this.put({ ...item, phase: 'ended', outcome: unknown('its connection was removed') });
  }

  /** @throws Failure when it is not on disk */
  save(): Promise<void> {
    return saveDocument(this.world, TASKS_FILE, this.#stored());
  }

  saveStubbornly(): Promise<void> {
    return saveStubbornly(this.world, TASKS_FILE, this.#stored());
  }

  saveSoon(): void {
    saveSoon(this.world, TASKS_FILE, this.#stored());
  }

  /** Says how it ended, in the log. */
  tell(item: TaskItem, outcome: TaskOutcome, where: string, scope: LogScope): void {
    // A bookmark without a command: told by who keeps bookmarks.
    if (item.purpose === 'bookmark' && item.command.length === 0) return;
    const { log } = this.world;
    const about = { where, command: commandText(item.command) };
    const text = outcomeText(outcome);
    if (outcome.result === 'done') log.say('TASK_DONE', { ...about, ms: Math.round(outcome.ms) }, scope);
    else if (outcome.result === 'unknown') log.say('TASK_DOUBTFUL', { ...about, text }, scope);
    else log.say('TASK_NOT_DONE', { ...about, text }, scope);
  }

  #stored(): unknown {
    return { schema: 1, tasks: this.#items };
  }
}
