/**
 * Typed client of the control protocol over any duplex stream; used by the command line and the cockpit.
 *
 *     const client = await Client.open(stream, { address: 'unix:/run/understudy/agent.sock' });
 *     const { sets } = await client.request(SetList, {});
 *     const seen = client.subscribe(ConnectionTopic, {}, { synced: draw, put: draw, remove: draw, ended: gone });
 */
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import { decode, encode } from './codec.js';
import { Downstream, Opening } from './envelope.js';
import { Failure, failure } from './errors.js';
import { encodeFrame, FrameDecoder, FrameError } from './frame.js';
import { LINK_REQUESTS_MAX, OPENING_MS_MAX } from './limits.js';
import { ServerHello } from './messages/hello.js';
import type { Notice } from './messages/log.js';
import { type Method, problemOf, type Topic } from './schema.js';
import { CAPABILITIES, MAGIC, negotiate, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, SOFTWARE_VERSION } from './version.js';

export interface ClientOptions {
  /** How the server is named in errors. */
  readonly address: string;
  /** Time for the opening and the hello, 10 s when left out. */
  readonly openingMs?: number;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** Cancels the request after this time with TIMED_OUT. */
  readonly timeoutMs?: number;
}

/** Told about one live collection; every call comes after the collection itself was changed. */
export interface Observer<I> {
  /** The snapshot is complete; also after a gap, when everything was read anew. */
  synced?(items: ReadonlyMap<string, I>): void;
  put?(item: I, key: string): void;
  remove?(key: string): void;
  /** No more will come: refused, link lost (with the reason), or cancelled (null). */
  ended?(error: Failure | null): void;
}

export interface Subscription<I> {
  readonly items: ReadonlyMap<string, I>;
  /** The snapshot has been read. */
  readonly live: boolean;
  cancel(): void;
}

export type Hello = z.infer<typeof ServerHello.result>;

interface Pending {
  readonly method: Method;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Failure) => void;
  readonly release: () => void;
}

class Subscribed implements Subscription<unknown> {
  readonly items = new Map<string, unknown>();
  live = false;
  id = 0;
  number = 0;
  over = false;
  /** Filled until `synced`, then becomes the collection; the old one stays visible meanwhile. */
  fresh = new Map<string, unknown>();

  constructor(
    readonly topic: Topic,
    readonly params: unknown,
    readonly observer: Observer<unknown>,
    readonly end: (subscribed: Subscribed) => void,
  ) {}

  cancel(): void {
    this.end(this);
  }
}

/** Time before a subscription that was too slow or had a gap begins again. */
const RESUBSCRIBE_MS = 200;

export class Client {
  readonly #stream: Duplex;
  readonly #address: string;
  readonly #decoder = new FrameDecoder();
  readonly #pending = new Map<number, Pending>();
  readonly #subscribed = new Map<number, Subscribed>();
  readonly #closers: ((error: Failure | null) => void)[] = [];
  #opening: { resolve: (opening: Opening) => void; reject: (error: Failure) => void } | null = null;
  #nextId = 1;
  #closed: Failure | null | undefined;
  #hello: Hello | null = null;

  private constructor(stream: Duplex, address: string) {
    this.#stream = stream;
    this.#address = address;
  }

  /** Opens the protocol on a connected stream. Rejects with a Failure that says why; the stream is closed then. */
  static async open(stream: Duplex, options: ClientOptions): Promise<Client> {
    const client = new Client(stream, options.address);
    const openingMs = options.openingMs ?? OPENING_MS_MAX;
    try {
      await client.#start(openingMs);
      client.#hello = await client.request(ServerHello, {}, { timeoutMs: openingMs });
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  /** What the server said about itself and about the caller. */
  get hello(): Hello {
    if (!this.#hello) throw new Error('the link is not open yet');
    return this.#hello;
  }

  get isOpen(): boolean {
    return this.#closed === undefined;
  }

  /** Calls back once when the link is over; with null when it was closed from here. */
  onClose(call: (error: Failure | null) => void): void {
    if (this.#closed === undefined) this.#closers.push(call);
    else call(this.#closed);
  }

  request<P extends z.ZodType, R extends z.ZodType>(
    method: Method<P, R>,
    params: z.input<P>,
    options: RequestOptions = {},
  ): Promise<z.infer<R>> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) return reject(this.#closed ?? failure('LINK_LOST', { address: this.#address }));
      if (this.#pending.size + this.#subscribed.size >= LINK_REQUESTS_MAX)
        return reject(failure('TOO_MANY', { what: 'open requests on this link', limit: LINK_REQUESTS_MAX }));
      if (options.signal?.aborted) return reject(failure('CANCELLED', {}));
      const id = this.#nextId++;
      const abandon = (error: Failure): void => {
        const pending = this.#pending.get(id);
        if (!pending) return;
        this.#pending.delete(id);
        pending.release();
        this.#send({ kind: 'cancel', id });
        reject(error);
      };
      const onAbort = (): void => abandon(failure('CANCELLED', {}));
      const timer =
        options.timeoutMs === undefined
          ? undefined
          : setTimeout(
              () => abandon(failure('TIMED_OUT', { what: method.name, ms: options.timeoutMs ?? 0 })),
              options.timeoutMs,
            );
      options.signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.set(id, {
        method,
        resolve: (value) => resolve(value as z.infer<R>),
        reject,
        release: () => {
          clearTimeout(timer);
          options.signal?.removeEventListener('abort', onAbort);
        },
      });
      this.#send({ kind: 'request', id, method: method.name, params });
    });
  }

  subscribe<P extends z.ZodType, I extends z.ZodType>(
    topic: Topic<P, I>,
    params: z.input<P>,
    observer: Observer<z.infer<I>>,
  ): Subscription<z.infer<I>> {
    const subscribed = new Subscribed(topic as unknown as Topic, params, observer as Observer<unknown>, (which) =>
      this.#unsubscribe(which, null),
    );
    if (this.#closed !== undefined) {
      subscribed.over = true;
      const error = this.#closed ?? failure('LINK_LOST', { address: this.#address });
      queueMicrotask(() => observer.ended?.(error));
    } else {
      this.#begin(subscribed);
    }
    return subscribed as Subscription<z.infer<I>>;
  }

  /** Ends the link; what is open is rejected. */
  close(): void {
    this.#finish(null);
  }

  async #start(openingMs: number): Promise<void> {
    this.#stream.on('data', (bytes: Buffer) => this.#receive(bytes));
    this.#stream.on('error', (error: Error) =>
      this.#finish(failure('UNREACHABLE', { address: this.#address, reason: error.message })),
    );
    const lost = (): void =>
      this.#finish(
        failure(this.#hello ? 'LINK_LOST' : 'UNREACHABLE', { address: this.#address, reason: 'it closed the link' }),
      );
    this.#stream.on('end', lost);
    this.#stream.on('close', lost);
    this.#stream.write(MAGIC);
    const mine = { min: PROTOCOL_VERSION_MIN, max: PROTOCOL_VERSION };
    this.#send({ versions: mine, capabilities: CAPABILITIES, software: SOFTWARE_VERSION });
    const opening = await new Promise<Opening>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(failure('TIMED_OUT', { what: `The opening of ${this.#address}`, ms: openingMs })),
        openingMs,
      );
      this.#opening = {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
    });
    if (negotiate(mine, opening.versions) === null) {
      throw failure('VERSION_MISMATCH', {
        address: this.#address,
        mine: `${mine.min}..${mine.max}`,
        theirs: `${opening.versions.min}..${opening.versions.max}`,
      });
    }
  }

  #send(value: unknown): void {
    if (this.#closed === undefined) this.#stream.write(encodeFrame(encode(value)));
  }

  #receive(bytes: Buffer): void {
    if (this.#closed !== undefined) return;
    try {
      for (const payload of this.#decoder.push(bytes)) {
        // A callback may have closed the link.
        if (this.#closed !== undefined) return;
        this.#take(decode(payload));
      }
    } catch (error) {
      if (error instanceof FrameError && error.reason === 'not_understudy')
        this.#finish(failure('NOT_UNDERSTUDY', { address: this.#address, shown: error.message }));
      else
        this.#finish(
          failure('BAD_ANSWER', {
            method: this.#address,
            problem: error instanceof Error ? error.message : String(error),
          }),
        );
    }
  }

  #take(value: unknown): void {
    if (this.#opening) {
      const opening = Opening.safeParse(value);
      const waiting = this.#opening;
      this.#opening = null;
      if (opening.success) waiting.resolve(opening.data);
      else waiting.reject(failure('BAD_ANSWER', { method: 'the opening', problem: problemOf(opening.error) }));
      return;
    }
    const parsed = Downstream.safeParse(value);
    // A kind of a newer release: it said nothing we asked for.
    if (!parsed.success) return;
    const message = parsed.data;
    if (message.kind === 'response') {
      this.#answer(message.id, message.result, message.error);
      return;
    }
    const subscribed = this.#subscribed.get(message.id);
    if (!subscribed) return;
    switch (message.kind) {
      case 'snapshot': {
        const item = this.#item(subscribed, message.item);
        if (item !== undefined) subscribed.fresh.set(subscribed.topic.key(item), item);
        return;
      }
      case 'synced':
        subscribed.items.clear();
        for (const [key, item] of subscribed.fresh) subscribed.items.set(key, item);
        subscribed.fresh.clear();
        subscribed.live = true;
        subscribed.observer.synced?.(subscribed.items);
        return;
      case 'delta':
        this.#change(subscribed, message.number, message.put, message.remove);
        return;
      case 'ended': {
        const error = message.error ? new Failure(message.error) : null;
        if (error?.code === 'SUBSCRIPTION_SLOW') {
          this.#again(subscribed);
          return;
        }
        this.#subscribed.delete(message.id);
        subscribed.over = true;
        subscribed.observer.ended?.(error);
      }
    }
  }

  #answer(id: number, result: unknown, error: Notice | undefined): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    pending.release();
    if (error) {
      pending.reject(new Failure(error));
      return;
    }
    const checked = pending.method.result.safeParse(result);
    if (checked.success) pending.resolve(checked.data);
    else pending.reject(failure('BAD_ANSWER', { method: pending.method.name, problem: problemOf(checked.error) }));
  }

  #change(subscribed: Subscribed, number: number, put: unknown, remove: string | undefined): void {
    if (number !== subscribed.number + 1) {
      this.#again(subscribed);
      return;
    }
    subscribed.number = number;
    if (remove !== undefined) {
      subscribed.items.delete(remove);
      subscribed.observer.remove?.(remove);
      return;
    }
    const item = this.#item(subscribed, put);
    if (item === undefined) return;
    const key = subscribed.topic.key(item);
    subscribed.items.set(key, item);
    subscribed.observer.put?.(item, key);
  }

  #item(subscribed: Subscribed, value: unknown): unknown {
    const checked = subscribed.topic.item.safeParse(value);
    if (checked.success) return checked.data;
    this.#unsubscribe(
      subscribed,
      failure('BAD_ANSWER', { method: subscribed.topic.name, problem: problemOf(checked.error) }),
    );
    return undefined;
  }

  #begin(subscribed: Subscribed): void {
    subscribed.id = this.#nextId++;
    subscribed.number = 0;
    subscribed.live = false;
    subscribed.fresh.clear();
    this.#subscribed.set(subscribed.id, subscribed);
    this.#send({ kind: 'subscribe', id: subscribed.id, topic: subscribed.topic.name, params: subscribed.params });
  }

  #again(subscribed: Subscribed): void {
    if (this.#subscribed.delete(subscribed.id)) this.#send({ kind: 'cancel', id: subscribed.id });
    subscribed.live = false;
    setTimeout(() => {
      if (!subscribed.over && this.#closed === undefined) this.#begin(subscribed);
    }, RESUBSCRIBE_MS);
  }

  #unsubscribe(subscribed: Subscribed, error: Failure | null): void {
    if (subscribed.over) return;
    subscribed.over = true;
    if (this.#subscribed.delete(subscribed.id)) this.#send({ kind: 'cancel', id: subscribed.id });
    subscribed.observer.ended?.(error);
  }

  #finish(error: Failure | null): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.#stream.destroy();
    // Whatever is still read after this belongs to nobody.
    const reason = error ?? failure('LINK_LOST', { address: this.#address });
    this.#opening?.reject(reason);
    this.#opening = null;
    for (const pending of this.#pending.values()) {
      pending.release();
      pending.reject(reason);
    }
    this.#pending.clear();
    for (const subscribed of this.#subscribed.values()) {
      subscribed.over = true;
      subscribed.observer.ended?.(error);
    }
    this.#subscribed.clear();
    for (const call of this.#closers) call(error);
  }
}
