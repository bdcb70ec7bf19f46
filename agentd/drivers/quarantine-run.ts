/** What a target refused, as people ask for it (P6, REP-10). The engine keeps the list; this passes questions on. */
import { getSystemErrorMap } from 'node:util';
import type { EngineEvent } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import { QUARANTINE_PAGE_MAX, QUARANTINE_WAITING_MAX } from '../../protocol/limits.js';
import { QUARANTINE_OPERATION, type QuarantineItem } from '../../protocol/messages/quarantine.js';
import { type Awaited, awaited } from './awaited.js';
import type { World } from './world.js';

export type QuarantineEvent = Extract<EngineEvent, { kind: 'quarantine_listed' | 'quarantine_retried' }>;

export interface QuarantineOwner {
  readonly world: World;
  readonly id: number;
  readonly handle: number | null;
  readonly at: { id: number; set: string; target: string };
  readonly link: { readonly phase: string };
}

export interface QuarantinePage {
  readonly items: QuarantineItem[];
  readonly omitted: number;
  readonly total: number;
}

/** The engine answers between two turns of its worker. */
const ANSWER_MS = 30_000;

export class QuarantineRun {
  readonly #waiting = new Map<number, Awaited<QuarantineEvent>>();
  #nextToken = 1;

  constructor(readonly owner: QuarantineOwner) {}

  /** @throws Failure NOT_POSSIBLE_NOW, TOO_MANY, TIMED_OUT, CANCELLED */
  async list(after: string | undefined, limit: number | undefined, signal: AbortSignal): Promise<QuarantinePage> {
    const { engine } = this.owner.world;
    const event = await this.#ask(signal, (handle, token) =>
      engine.quarantineList(handle, token, after ?? '', limit ?? QUARANTINE_PAGE_MAX),
    );
    if (event.kind !== 'quarantine_listed') throw failure('INTERNAL', { detail: 'an answer to another question' });
    const { paths, details, omitted, total } = event;
    return { items: paths.map((path, at) => itemOf(path, details[at] ?? '')), omitted, total };
  }

  /** @returns how many. @throws Failure NOT_LINKED, QUARANTINE_UNKNOWN, and as `list` */
  async retry(path: string | undefined, signal: AbortSignal): Promise<number> {
    const { owner } = this;
    if (owner.link.phase !== 'linked') throw failure('NOT_LINKED', { id: owner.id, target: owner.at.target });
    const event = await this.#ask(signal, (handle, token) =>
      owner.world.engine.quarantineRetry(handle, token, path ?? ''),
    );
    if (event.kind !== 'quarantine_retried') throw failure('INTERNAL', { detail: 'an answer to another question' });
    if (path !== undefined && event.count === 0) throw failure('QUARANTINE_UNKNOWN', { id: owner.id, path });
    return event.count;
  }

  event(event: QuarantineEvent): void {
    this.#waiting.get(event.token)?.resolve(event);
  }

  /** The stream is closed: nobody is left to answer. */
  closed(): void {
    for (const { reject } of [...this.#waiting.values()]) reject(this.#notOpen());
  }

  #notOpen(): Error {
    return failure('NOT_POSSIBLE_NOW', { action: 'Quarantine', id: this.owner.id, state: 'not open' });
  }

  #ask(signal: AbortSignal, put: (handle: number, token: number) => void): Promise<QuarantineEvent> {
    const { handle, world, id } = this.owner;
    if (handle === null) return Promise.reject(this.#notOpen());
    if (this.#waiting.size >= QUARANTINE_WAITING_MAX)
      return Promise.reject(failure('TOO_MANY', { what: 'waiting questions', limit: QUARANTINE_WAITING_MAX }));
    const token = this.#nextToken++;
    const what = `The quarantine of connection ${id}`;
    const limits = { clock: world.clock, timeoutMs: ANSWER_MS, what, signal };
    const asked = awaited<QuarantineEvent>(limits, () => this.#waiting.delete(token));
    this.#waiting.set(token, asked);
    try {
      put(handle, token);
    } catch (error) {
      asked.reject(error as Error);
    }
    return asked.promise;
  }
}

/** @param detail as the engine writes it; see `quarantine_listed` */
function itemOf(path: string, detail: string): QuarantineItem {
  const [operation = '', errno = '0', attempts = '0', since = '0', next = '0', ...call] = detail.split(' ');
  const [name, words] = getSystemErrorMap().get(-Number(errno)) ?? [`E${errno}`, 'unknown error'];
  return {
    path,
    operation: QUARANTINE_OPERATION.find((one) => one === operation) ?? 'unknown',
    call: call.join(' '),
    errno: name,
    error: words,
    attempts: Number(attempts),
    since: Number(since),
    next: next === '0' ? null : Number(next),
  };
}
