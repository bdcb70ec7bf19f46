/** The control socket: one session per console, who calls is said by the kernel (DESIGN 3, SEC-01..06). */
import { chmodSync, mkdirSync, statSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { failure } from '../../protocol/errors.js';
import { LINK_COUNT_MAX, LINK_STRANGERS_MAX } from '../../protocol/limits.js';
import { accessOf } from '../core/access.js';
import { ControlSession, type Served } from '../drivers/control-session.js';
import type { Accounts } from '../ports/accounts.js';

export interface ControlSocketOptions {
  readonly path: string;
  readonly served: Served;
  readonly accounts: Accounts;
  /** User of the process at the other end, from the kernel. */
  readonly peerUid: (fd: number) => number;
}

export class ControlSocket {
  readonly #server: Server;
  readonly #sessions = new Set<ControlSession>();

  private constructor(readonly options: ControlSocketOptions) {
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = LINK_COUNT_MAX;
  }

  /** @throws Failure AGENT_RUNNING when somebody answers at the path already */
  static async listen(options: ControlSocketOptions): Promise<ControlSocket> {
    const { path } = options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    if (await answers(path)) throw failure('AGENT_RUNNING', { socket: path });
    try {
      // Left over from an agent that was killed; never anything but a socket.
      if (statSync(path).isSocket()) unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    const control = new ControlSocket(options);
    await new Promise<void>((resolve, reject) => {
      control.#server.once('error', reject);
      control.#server.listen(path, () => {
        control.#server.off('error', reject);
        resolve();
      });
    });
    // Everybody may call; what they may do is decided by who they are.
    chmodSync(path, 0o666);
    return control;
  }

  async close(): Promise<void> {
    for (const session of [...this.#sessions]) session.close();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
    if (fd === undefined || fd < 0) {
      socket.destroy();
      return;
    }
    const { accounts, served } = this.options;
    try {
      const uid = this.options.peerUid(fd);
      const access = accessOf({ uid, groups: accounts.groupNames(uid) }, accounts.ownUid);
      // Whoever may see nothing must not be able to use up the links of those who may.
      const strangers = [...this.#sessions].filter((session) => session.caller.access === 'none').length;
      if (access === 'none' && strangers >= LINK_STRANGERS_MAX) {
        socket.destroy();
        return;
      }
      const session = new ControlSession(socket, { access, user: accounts.userName(uid) }, served, () =>
        this.#sessions.delete(session),
      );
      this.#sessions.add(session);
    } catch {
      // Nobody can be served whose identity is not known.
      socket.destroy();
    }
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
