/** Road to an agent on this machine: its control socket. */
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { LinkError, type TransportOptions } from './transport.js';

const DEADLINE_MS = 20_000;

/** @throws LinkError */
export function openUnix(path: string, options: TransportOptions = {}): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    const release = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      socket.removeAllListeners('error');
      socket.removeAllListeners('connect');
    };
    const fail = (error: LinkError): void => {
      release();
      // A late error of the abandoned socket interests nobody.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void =>
      fail(new LinkError('CANCELLED', `Opening ${path} was cancelled.`, 'Try again.', 'backoff'));
    const ms = options.deadlineMs ?? DEADLINE_MS;
    const timer = setTimeout(
      () =>
        fail(
          new LinkError(
            'TIMEOUT',
            `${path} did not answer within ${ms} ms.`,
            'Try again; look at the agent if it stays so.',
            'backoff',
          ),
        ),
      ms,
    );
    if (options.signal?.aborted) return onAbort();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error: NodeJS.ErrnoException) => fail(explain(path, error)));
    socket.once('connect', () => {
      release();
      resolve(socket);
    });
  });
}

function explain(path: string, error: NodeJS.ErrnoException): LinkError {
  switch (error.code) {
    case 'ENOENT':
      return new LinkError(
        'SOCKET_MISSING',
        `There is no socket at ${path}.`,
        'Start the agent (understudyd), or correct the path.',
        'backoff',
        error,
      );
    case 'EACCES':
    case 'EPERM':
      return new LinkError(
        'SOCKET_DENIED',
        `You may not open ${path}.`,
        'Ask an administrator of the server for access to the folder of the socket.',
        'after_fix',
        error,
      );
    case 'ECONNREFUSED':
      return new LinkError(
        'SOCKET_DEAD',
        `Nobody listens at ${path}.`,
        'The agent was stopped or has crashed: start it again.',
        'backoff',
        error,
      );
    default:
      return new LinkError(
        'UNREACHABLE',
        `${path} cannot be opened: ${error.message}.`,
        'Correct what the system says, then try again.',
        'backoff',
        error,
      );
  }
}
