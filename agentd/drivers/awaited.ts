/** Something that somebody waits for: it comes, fails, takes too long, or is not wanted any more. */
import { failure } from '../../protocol/errors.js';
import type { Clock } from '../ports/clock.js';

export interface Awaited<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

export interface Limits {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** As TIMED_OUT names it. */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
}

/** Only the first end counts. `onEnd` comes before it. Rejects with TIMED_OUT and CANCELLED by itself. */
export function awaited<T>({ clock, timeoutMs, what, signal }: Limits, onEnd: () => void): Awaited<T> {
  const { promise, resolve, reject } = deferred<T>();
  const end = (): void => {
    onEnd();
    cancel();
    signal?.removeEventListener('abort', onAbort);
  };
  const failed = (error: Error): void => {
    end();
    reject(error);
  };
  const onAbort = (): void => failed(failure('CANCELLED', {}));
  const cancel = clock.after(timeoutMs, () => failed(failure('TIMED_OUT', { what, ms: timeoutMs })));
  signal?.addEventListener('abort', onAbort, { once: true });
  return {
    promise,
    resolve: (value) => {
      end();
      resolve(value);
    },
    reject: failed,
  };
}

function deferred<T>(): Awaited<T> {
  let resolve: Awaited<T>['resolve'] = () => undefined;
  let reject: Awaited<T>['reject'] = () => undefined;
  const promise = new Promise<T>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  return { promise, resolve, reject };
}
