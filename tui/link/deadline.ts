import { LinkError } from './transport.js';

/** Time allowed for a machine's part of opening a link; it stands still while a person is asked. */
export class Deadline {
  #left: number;
  #startedAt = 0;
  #timer: NodeJS.Timeout | null = null;
  #asking = 0;
  #failure: LinkError | null = null;
  readonly #waiting = new Set<(error: LinkError) => void>();
  readonly #total: number;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void =>
    this.#fail(new LinkError('CANCELLED', 'Cancelled.', 'Connect again when wanted.', 'after_fix'));

  constructor(ms: number, signal?: AbortSignal) {
    this.#total = ms;
    this.#left = ms;
    this.#signal = signal;
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#run();
  }

  /** Settles with `work`, or rejects when time is up or the caller gave up; then `cancel` frees what `work` holds. */
  race<T>(doing: string, work: Promise<T>, cancel: () => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail = (error: LinkError): void => {
        this.#waiting.delete(fail);
        cancel();
        reject(
          error.code === 'TIMEOUT'
            ? new LinkError(
                'TIMEOUT',
                `${doing} took longer than ${Math.round(this.#total / 1000)} s.`,
                error.remedy,
                'backoff',
              )
            : error,
        );
      };
      work.then(
        (value) => {
          this.#waiting.delete(fail);
          resolve(value);
        },
        (error: unknown) => {
          this.#waiting.delete(fail);
          reject(error);
        },
      );
      if (this.#failure) fail(this.#failure);
      else this.#waiting.add(fail);
    });
  }

  /** Runs a question to a person, whose time does not count. */
  async person<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#asking++ === 0) this.#pause();
    try {
      return await ask();
    } finally {
      if (--this.#asking === 0) this.#run();
    }
  }

  end(): void {
    this.#pause();
    this.#waiting.clear();
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  #run(): void {
    if (this.#failure) return;
    this.#startedAt = performance.now();
    this.#timer = setTimeout(
      () =>
        this.#fail(
          new LinkError('TIMEOUT', 'Time is up.', 'Check the network and the load of that server.', 'backoff'),
        ),
      Math.max(0, this.#left),
    );
  }

  #pause(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#left -= performance.now() - this.#startedAt;
  }

  #fail(error: LinkError): void {
    this.#failure = error;
    this.#pause();
    for (const fail of [...this.#waiting]) fail(error);
  }
}
