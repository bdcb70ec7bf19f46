/** Tasks that one connection puts into its stream, until their outcome is known (REP-20). */
import type { EngineEvent } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import { TASK_WAITING_MAX } from '../../protocol/limits.js';
import type { TaskItem, TaskOutcome } from '../../protocol/messages/task.js';
import { notRun, taskStep, unknown } from '../core/task/step.js';
import type { TaskAct, TaskFact } from '../core/task/table.js';
import { decodeTaskAnswer, encodeTask, encodeTaskQuestion, type LinkTask } from './hello.js';
import { commandText, type TaskJournal } from './task-journal.js';
import type { BarrierRoad } from './waits.js';
import type { World } from './world.js';

/** Time until a task that the engine gave back is tried again. */
const AGAIN_MS = 250;
/** Until a target that has not told an outcome is asked again. */
const ASK_AGAIN_MS = 30_000;

export interface TaskOwner {
  readonly id: number;
  readonly key: string;
  readonly world: World;
  readonly handle: number | null;
  readonly targetName: string;
  readonly at: { readonly id: number; readonly set: string; readonly target: string };
  readonly scope: { readonly set: string; readonly connection: number; readonly server: string };
  /** What its target said it can do; null while no target was heard yet. */
  readonly targetCan: readonly string[] | null;
  readonly linked: boolean;
  readonly simulated: boolean;
  barrierRoad(): BarrierRoad;
}

export interface TaskWish {
  readonly purpose: TaskItem['purpose'];
  readonly command: readonly string[];
  readonly durable: boolean;
  readonly timeoutMs: number | undefined;
  readonly placeMs: number;
  /** Answer when it is in the stream. */
  readonly placedOnly: boolean;
  readonly by: string;
  readonly bookmark?: NonNullable<LinkTask['bookmark']>;
  /** Only while this freeze lasts; it is not tried again. */
  readonly freeze?: number;
  /** It is in the stream: everything before it was read. */
  readonly onPlaced?: () => void;
}

interface Pending {
  item: TaskItem;
  readonly payload: Uint8Array;
  readonly placedOnly: boolean;
  /** Name of the bookmark that it is. */
  readonly bookmark: string | null;
  readonly freeze: number | null;
  readonly onPlaced: () => void;
  token: number | null;
  /** It was in a stream once. */
  wasPlaced: boolean;
  /** The engine was asked to give it back for good. */
  givenUp: boolean;
  why: string;
  readonly resolve: (item: TaskItem) => void;
  readonly reject: (error: Error) => void;
  stopWaiting: () => void;
}

export class SourceTasks {
  readonly #pending = new Map<string, Pending>();
  #nextToken = 1;
  #cancelAsk: (() => void) | null = null;

  constructor(
    readonly owner: TaskOwner,
    readonly journal: TaskJournal,
  ) {
    for (const item of journal.items('source')) {
      if (item.connection !== owner.key || item.phase === 'ended') continue;
      const nobody = (): void => undefined;
      const pending: Pending = {
        item,
        payload: new Uint8Array(),
        placedOnly: false,
        bookmark: null,
        freeze: null,
        onPlaced: nobody,
        token: null,
        wasPlaced: true,
        givenUp: false,
        why: '',
        resolve: nobody,
        reject: nobody,
        stopWaiting: nobody,
      };
      this.#pending.set(item.key, pending);
      this.#fact(pending, 'restarted');
    }
  }

  /** @throws Failure TASK_DISABLED, TASK_OUTDATED, TASK_NOT_PLACED, TOO_MANY */
  async ask(wish: TaskWish, signal: AbortSignal): Promise<TaskItem> {
    const { owner, journal } = this;
    const { world } = owner;
    if (owner.simulated) throw failure('SIMULATED_ONLY', { id: owner.id, action: `a ${wish.purpose}` });
    if (this.#pending.size >= TASK_WAITING_MAX)
      throw failure('TOO_MANY', { what: 'tasks that wait for an outcome', limit: TASK_WAITING_MAX });
    if (wish.purpose === 'task' && !world.settings['task.enabled'])
      throw failure('TASK_DISABLED', { server: world.settings['agent.name'] });
    const item: TaskItem = {
      key: world.clock.key(),
      role: 'source',
      phase: 'waiting',
      purpose: wish.purpose,
      connection: owner.key,
      set: owner.scope.set,
      server: owner.targetName,
      command: [...wish.command],
      durable: wish.durable,
      by: wish.by,
      asked: world.clock.wall(),
      outcome: null,
    };
    const payload = encodeTask({
      key: item.key,
      purpose: item.purpose,
      command: item.command,
      timeoutMs: wish.timeoutMs,
      by: item.by,
      asked: item.asked,
      ...(wish.bookmark ? { bookmark: wish.bookmark } : {}),
    });
    journal.put(item);
    try {
      // Known before it can run: after a crash the target is asked what became of it.
      await journal.save();
    } catch (error) {
      journal.forget(item);
      throw error;
    }
    return await new Promise<TaskItem>((resolve, reject) => {
      const pending: Pending = {
        item,
        payload,
        placedOnly: wish.placedOnly,
        bookmark: wish.bookmark?.name ?? null,
        freeze: wish.freeze ?? null,
        onPlaced: wish.onPlaced ?? (() => undefined),
        token: null,
        wasPlaced: false,
        givenUp: false,
        why: 'it was not reached in time',
        resolve,
        reject,
        stopWaiting: () => undefined,
      };
      const giveUp = (why: string): void => {
        if (pending.item.phase !== 'waiting') return;
        // The engine may have placed it a moment ago; it says which.
        pending.why = why;
        if (pending.token !== null && owner.handle !== null) {
          pending.givenUp = true;
          world.engine.taskCancel(owner.handle, pending.token);
        } else this.#fact(pending, 'given_up');
      };
      const onAbort = (): void => giveUp('it was cancelled');
      const cancel = world.clock.after(wish.placeMs, () => giveUp(this.#obstacle()));
      signal.addEventListener('abort', onAbort, { once: true });
      pending.stopWaiting = () => {
        cancel();
        signal.removeEventListener('abort', onAbort);
      };
      this.#pending.set(item.key, pending);
      if (signal.aborted) onAbort();
      this.pump();
    });
  }

  #obstacle(): string {
    return this.owner.linked
      ? 'everything that changed before it was not read in time'
      : 'there is no link to the target';
  }

  /** The connection's state changed: places what can be placed now. */
  pump(): void {
    const { owner } = this;
    for (const pending of [...this.#pending.values()]) {
      if (pending.item.phase !== 'waiting' || pending.token !== null) continue;
      const road = owner.barrierRoad();
      if (road.kind === 'never') this.#refuse(pending, failure('TASK_NOT_PLACED', { id: owner.id, why: road.why }));
      else if (road.kind === 'issue' && owner.handle !== null && owner.targetCan !== null) {
        if (!owner.targetCan.includes('task')) {
          this.#refuse(pending, failure('TASK_OUTDATED', { target: owner.targetName }));
          continue;
        }
        pending.token = this.#nextToken++;
        owner.world.engine.task(owner.handle, pending.token, pending.payload, pending.item.durable, pending.freeze);
      }
    }
  }

  event(event: Extract<EngineEvent, { kind: 'task_placed' | 'task_failed' }>): void {
    const pending = [...this.#pending.values()].find((one) => one.token === event.token);
    if (!pending) return;
    if (event.kind === 'task_placed') {
      this.#fact(pending, 'placed');
      return;
    }
    if (event.placed) this.#fact(pending, 'stream_ended');
    else if (pending.freeze !== null) {
      pending.why = event.why;
      this.#fact(pending, 'given_up');
    } else if (pending.givenUp) this.#fact(pending, 'given_up');
    else this.#fact(pending, 'given_back');
  }

  /** The engine gives back what it has not placed yet, and it is looked at anew whether it can be. */
  recall(): void {
    const { handle, world } = this.owner;
    for (const { item, token } of this.#pending.values())
      if (item.phase === 'waiting' && token !== null && handle !== null) world.engine.taskCancel(handle, token);
  }

  /** The stream was closed without a word for each. */
  streamClosed(): void {
    for (const pending of this.#pending.values()) {
      if (pending.item.phase === 'placed') this.#fact(pending, 'stream_ended');
      else if (pending.item.phase === 'waiting' && pending.token !== null) this.#fact(pending, 'given_back');
    }
  }

  linkUp(): void {
    this.#askAll();
    this.pump();
  }

  /** @returns whether the message was for here */
  message(payload: Uint8Array): boolean {
    const answer = decodeTaskAnswer(payload);
    if (!answer) return false;
    const pending = this.#pending.get(answer.task.key);
    if (pending) this.#fact(pending, 'outcome', answer.task.outcome);
    return true;
  }

  removed(): void {
    for (const pending of [...this.#pending.values()]) {
      pending.why = 'the connection was removed';
      this.#fact(pending, 'connection_removed');
    }
    this.#cancelAsk?.();
  }

  #fact(pending: Pending, fact: TaskFact, outcome: TaskOutcome | null = null): void {
    const { journal } = this;
    const [phase, acts] = taskStep(pending.item.phase, fact);
    if (phase === pending.item.phase && acts.length === 0) return;
    pending.item = { ...pending.item, phase };
    journal.put(pending.item);
    if (fact === 'placed') {
      pending.wasPlaced = true;
      pending.onPlaced();
      this.#sayPlaced(pending);
      pending.stopWaiting();
      if (pending.placedOnly) pending.resolve(pending.item);
      this.#askLater();
    }
    for (const act of acts) this.#perform(act, pending, outcome);
    journal.saveSoon();
  }

  #sayPlaced({ item, bookmark }: Pending): void {
    const { at, scope, world } = this.owner;
    if (bookmark !== null) world.log.say('BOOKMARK_PLACED', { ...at, name: bookmark }, scope);
    // A bookmark may have a command, and a command is a task.
    if (item.command.length > 0) world.log.say('TASK_PLACED', { ...at, command: commandText(item.command) }, scope);
  }

  #perform(act: TaskAct, pending: Pending, outcome: TaskOutcome | null): void {
    switch (act) {
      case 'place_again':
        pending.token = null;
        this.owner.world.clock.after(AGAIN_MS, () => this.pump());
        return;
      case 'ask_and_forbid':
        this.#askAll();
        return;
      case 'settle_not_run':
        this.#settle(pending, notRun(pending.why));
        return;
      case 'settle_unknown':
        this.#settle(pending, unknown(pending.why));
        return;
      case 'settle':
        if (outcome) this.#settle(pending, outcome);
        return;
    }
  }

  #settle(pending: Pending, outcome: TaskOutcome): void {
    const { owner, journal } = this;
    this.#pending.delete(pending.item.key);
    pending.stopWaiting();
    pending.item = { ...pending.item, phase: 'ended', outcome };
    journal.put(pending.item);
    journal.tell(pending.item, outcome, `connection ${owner.id} to ${owner.targetName}`, owner.scope);
    if (outcome.result === 'not_run' && !pending.wasPlaced)
      pending.reject(failure('TASK_NOT_PLACED', { id: owner.id, why: outcome.why }));
    else pending.resolve(pending.item);
  }

  /** It never got as far as the stream, and nobody needs to be told but who asked. */
  #refuse(pending: Pending, error: Error): void {
    this.#pending.delete(pending.item.key);
    pending.stopWaiting();
    this.journal.forget(pending.item);
    this.journal.saveSoon();
    pending.reject(error);
  }

  /** Outcomes travel beside the stream and may be lost with a link. */
  #askAll(): void {
    const { owner } = this;
    if (owner.handle === null || !owner.linked) return;
    const keys = (phase: TaskItem['phase']): string[] =>
      [...this.#pending.values()].filter((one) => one.item.phase === phase).map((one) => one.item.key);
    const question = { ask: keys('placed'), forbid: keys('lost') };
    if (question.ask.length + question.forbid.length === 0) return;
    try {
      owner.world.engine.connectionSend(owner.handle, encodeTaskQuestion(question));
    } catch {
      // The link went; the next one asks again.
    }
    this.#askLater();
  }

  #askLater(): void {
    this.#cancelAsk?.();
    this.#cancelAsk = this.owner.world.clock.after(ASK_AGAIN_MS, () => {
      this.#cancelAsk = null;
      this.#askAll();
    });
  }
}
