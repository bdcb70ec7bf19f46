/** One console on the control link: opening, requests, subscriptions. Knows streams, not sockets. */
import type { Duplex } from 'node:stream';
import { decode, encode } from '../../protocol/codec.js';
import { Opening, Upstream } from '../../protocol/envelope.js';
import { type Failure, failure } from '../../protocol/errors.js';
import { encodeFrame, FrameDecoder } from '../../protocol/frame.js';
import { LINK_BACKLOG_BYTES_MAX, LINK_REQUESTS_MAX, OPENING_MS_MAX } from '../../protocol/limits.js';
import { METHODS, TOPICS } from '../../protocol/messages/index.js';
import { type Access, problemOf } from '../../protocol/schema.js';
import {
  CAPABILITIES,
  MAGIC,
  negotiate,
  PROTOCOL_VERSION,
  PROTOCOL_VERSION_MIN,
  SOFTWARE_VERSION,
} from '../../protocol/version.js';
import { groupFor, permits } from '../core/access.js';
import type { Clock } from '../ports/clock.js';
import type { Hub } from './hub.js';
import { asFailure } from './world.js';

export interface CallContext {
  readonly access: Access;
  readonly user: string;
  /** Version of the protocol in use. */
  readonly version: number;
  /** Aborted when the console cancels or goes. */
  readonly signal: AbortSignal;
}

export interface Served {
  readonly hub: Hub;
  readonly clock: Clock;
  /** Carries a checked call out; throws a Failure for an expected error. */
  call(method: string, params: unknown, context: CallContext): Promise<unknown>;
}

interface Open {
  readonly topic: string;
  number: number;
  readonly stop: () => void;
}

export class ControlSession {
  readonly #decoder = new FrameDecoder();
  readonly #calls = new Map<number, AbortController>();
  readonly #topics = new Map<number, Open>();
  #version = 0;
  #closed = false;
  #cancelOpening: () => void;

  /** @param onClose called once when the console is gone */
  constructor(
    readonly stream: Duplex,
    readonly caller: { readonly access: Access; readonly user: string },
    readonly served: Served,
    readonly onClose: () => void,
  ) {
    stream.on('data', (bytes: Buffer) => this.#receive(bytes));
    stream.on('error', () => this.close());
    stream.on('end', () => this.close());
    stream.on('close', () => this.close());
    this.#cancelOpening = served.clock.after(OPENING_MS_MAX, () => this.close());
    stream.write(MAGIC);
    this.#send({
      versions: { min: PROTOCOL_VERSION_MIN, max: PROTOCOL_VERSION },
      capabilities: CAPABILITIES,
      software: SOFTWARE_VERSION,
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelOpening();
    for (const call of this.#calls.values()) call.abort();
    for (const open of this.#topics.values()) open.stop();
    this.#calls.clear();
    this.#topics.clear();
    this.stream.destroy();
    this.onClose();
  }

  #send(value: unknown): void {
    if (this.#closed) return;
    const payload = encode(value);
    try {
      this.stream.write(encodeFrame(payload));
    } catch (error) {
      // An answer above the frame limit: said as an error, so that the console does not wait for ever.
      const id = (value as { id?: number }).id;
      if (id === undefined) throw error;
      this.stream.write(
        encodeFrame(
          encode({ kind: 'response', id, error: failure('INTERNAL', { detail: (error as Error).message }).notice }),
        ),
      );
    }
  }

  #receive(bytes: Buffer): void {
    if (this.#closed) return;
    try {
      for (const payload of this.#decoder.push(bytes)) {
        if (this.#closed) return;
        this.#take(decode(payload));
      }
    } catch {
      // A console that breaks the framing has nothing to say that could be answered.
      this.close();
    }
  }

  #take(value: unknown): void {
    if (this.#version === 0) {
      const opening = Opening.safeParse(value);
      const version = opening.success
        ? negotiate({ min: PROTOCOL_VERSION_MIN, max: PROTOCOL_VERSION }, opening.data.versions)
        : null;
      // Our own opening was sent already: the console knows our range and can name the mismatch.
      if (version === null) {
        this.close();
        return;
      }
      this.#version = version;
      this.#cancelOpening();
      return;
    }
    const parsed = Upstream.safeParse(value);
    if (!parsed.success) {
      const id = (value as { id?: unknown } | null)?.id;
      if (typeof id === 'number')
        this.#answer(id, failure('BAD_REQUEST', { method: 'the message', problem: problemOf(parsed.error) }));
      return;
    }
    const message = parsed.data;
    if (message.kind === 'cancel') {
      this.#calls.get(message.id)?.abort();
      this.#topics.get(message.id)?.stop();
      this.#topics.delete(message.id);
      return;
    }
    if (this.#calls.has(message.id) || this.#topics.has(message.id)) {
      this.#answer(message.id, failure('BAD_REQUEST', { method: 'the message', problem: 'its number is in use' }));
      return;
    }
    if (this.#calls.size + this.#topics.size >= LINK_REQUESTS_MAX) {
      this.#refuse(
        message.kind,
        message.id,
        failure('TOO_MANY', { what: 'open requests on this link', limit: LINK_REQUESTS_MAX }),
      );
      return;
    }
    if (message.kind === 'request') void this.#call(message.id, message.method, message.params);
    else this.#subscribe(message.id, message.topic, message.params);
  }

  async #call(id: number, name: string, given: unknown): Promise<void> {
    const method = METHODS.get(name);
    if (!method) return this.#answer(id, failure('UNKNOWN_METHOD', { method: name.slice(0, 64) }));
    const denied = this.#denied(name, method.access);
    if (denied) return this.#answer(id, denied);
    const params = method.params.safeParse(given);
    if (!params.success)
      return this.#answer(id, failure('BAD_REQUEST', { method: name, problem: problemOf(params.error) }));
    const controller = new AbortController();
    this.#calls.set(id, controller);
    try {
      const result = await this.served.call(name, params.data, {
        access: this.caller.access,
        user: this.caller.user,
        version: this.#version,
        signal: controller.signal,
      });
      this.#calls.delete(id);
      this.#send({ kind: 'response', id, result });
    } catch (error) {
      this.#calls.delete(id);
      this.#answer(id, asFailure(error, name));
    }
  }

  #subscribe(id: number, name: string, given: unknown): void {
    const topic = TOPICS.get(name);
    if (!topic) {
      this.#refuse('subscribe', id, failure('UNKNOWN_METHOD', { method: name.slice(0, 64) }));
      return;
    }
    const denied = this.#denied(`watch ${name}`, topic.access);
    if (denied) {
      this.#refuse('subscribe', id, denied);
      return;
    }
    const params = topic.params.safeParse(given);
    if (!params.success) {
      this.#refuse('subscribe', id, failure('BAD_REQUEST', { method: name, problem: problemOf(params.error) }));
      return;
    }
    const { hub } = this.served;
    const open: Open = {
      topic: name,
      number: 0,
      stop: hub.watch(name, {
        put: (item) => this.#delta(id, open, { put: item }),
        remove: (key) => this.#delta(id, open, { remove: key }),
      }),
    };
    // Watching began first and the snapshot is taken in the same breath: nothing is missed in between.
    const last = (params.data as { last?: number }).last;
    const items = hub.items(name);
    for (const item of last === undefined ? items : last === 0 ? [] : items.slice(-last))
      this.#send({ kind: 'snapshot', id, item });
    this.#send({ kind: 'synced', id });
    if (!this.#closed) this.#topics.set(id, open);
    else open.stop();
  }

  #delta(id: number, open: Open, change: { put?: unknown; remove?: string }): void {
    if (this.stream.writableLength > LINK_BACKLOG_BYTES_MAX) {
      // A reader this slow gets the current state when it has caught up, not everything in between (I8).
      open.stop();
      this.#topics.delete(id);
      this.stream.once('drain', () =>
        this.#refuse('subscribe', id, failure('SUBSCRIPTION_SLOW', { topic: open.topic })),
      );
      return;
    }
    open.number += 1;
    this.#send({ kind: 'delta', id, number: open.number, ...change });
  }

  #denied(action: string, need: Access): Failure | null {
    if (permits(this.caller.access, need)) return null;
    return failure('ACCESS_DENIED', { user: this.caller.user, action, need, group: groupFor(need) });
  }

  #refuse(kind: 'request' | 'subscribe', id: number, error: Failure): void {
    if (kind === 'request') this.#answer(id, error);
    else this.#send({ kind: 'ended', id, error: error.notice });
  }

  #answer(id: number, error: Failure): void {
    this.#send({ kind: 'response', id, error: error.notice });
  }
}
