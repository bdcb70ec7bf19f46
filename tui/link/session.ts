/**
 * One server as the cockpit sees it: a link that comes back by itself, and what it says, in batches. Never waited for:
 * everything arrives as facts.
 */
import { Client } from '../../protocol/client.js';
import { Failure } from '../../protocol/errors.js';
import {
  ConnectionTopic,
  GrantTopic,
  type LogLine,
  LogTopic,
  ServerHello,
  ServerTopic,
  SetTopic,
} from '../../protocol/messages/index.js';
import type { LinkFact } from '../model/fleet.js';
import { LinkError, openTransport, parseAddress, type Prompts, type TransportOptions } from './transport.js';
import { troubleOf } from './trouble.js';
import type { Duplex } from 'node:stream';

export interface SessionOptions {
  readonly name: string;
  readonly address: string;
  readonly onFacts: (name: string, facts: readonly LinkFact[]) => void;
  readonly prompts?: Prompts;
  /** How the stream is opened; a test gives its own. */
  readonly open?: (options: TransportOptions) => Promise<Duplex>;
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  /** Period of asking whether the agent still answers. */
  readonly pulseMs?: number;
  readonly random?: () => number;
}

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 15_000;
const PULSE_MS = 10_000;
/** Facts that arrive together become one change of the screen. */
const BATCH_MS = 40;
/** A batch is handed over early when it holds this many. */
const BATCH_MAX = 2_000;

/** Does waiting help? A wrong key or password does not become right by trying again. */
function worthRetrying(error: unknown): boolean {
  if (error instanceof LinkError) return error.retry === 'backoff';
  if (error instanceof Failure) return error.retry === 'backoff';
  return false;
}

export class Session {
  readonly #options: SessionOptions;
  #client: Client | null = null;
  #abort: AbortController | null = null;
  #retry: NodeJS.Timeout | null = null;
  #pulse: NodeJS.Timeout | null = null;
  #batch: LinkFact[] = [];
  #batchTimer: NodeJS.Timeout | null = null;
  #attempt = 0;
  #wanted = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get address(): string {
    return this.#options.address;
  }

  /** The open link, or null. */
  get client(): Client | null {
    return this.#client;
  }

  /** Logs on, and again whenever the link is lost. */
  start(): void {
    this.#wanted = true;
    if (this.#client || this.#abort) return;
    this.#clearRetry();
    this.#attempt = 0;
    void this.#connect();
  }

  /** Logs off: no link, no retries. */
  stop(): void {
    this.#wanted = false;
    this.#clearRetry();
    this.#abort?.abort();
    this.#abort = null;
    const client = this.#client;
    this.#client = null;
    client?.close();
    this.#endPulse();
    this.#fact({ kind: 'link', state: { kind: 'off' } });
    this.#flush();
  }

  async #connect(): Promise<void> {
    this.#attempt++;
    const abort = new AbortController();
    this.#abort = abort;
    this.#fact({ kind: 'link', state: { kind: 'connecting', attempt: this.#attempt } });
    this.#flush();
    try {
      const transport: TransportOptions = {
        signal: abort.signal,
        ...(this.#options.prompts ? { prompts: this.#options.prompts } : {}),
      };
      const open = this.#options.open ?? ((given) => openTransport(parseAddress(this.#options.address), given));
      const stream = await open(transport);
      if (abort.signal.aborted) {
        stream.destroy();
        return;
      }
      // The client speaks of a lost link in general; the road knows why.
      let roadError: Error | null = null;
      stream.on('error', (error: Error) => {
        roadError = error;
      });
      const client = await Client.open(stream, { address: this.#options.address });
      if (abort.signal.aborted) {
        client.close();
        return;
      }
      this.#abort = null;
      this.#client = client;
      this.#attempt = 0;
      client.onClose((error) => {
        if (this.#client !== client) return;
        this.#client = null;
        this.#endPulse();
        if (this.#wanted)
          this.#lost(
            roadError ??
              error ??
              new LinkError('LINK_LOST', 'The link ended.', 'It is tried again by itself.', 'backoff'),
          );
      });
      this.#online(client);
    } catch (error) {
      if (this.#abort !== abort && abort.signal.aborted) return;
      this.#abort = null;
      if (this.#wanted) this.#lost(error);
    }
  }

  #online(client: Client): void {
    const { name, version, access, user } = client.hello;
    this.#fact({ kind: 'hello', hello: { name, version, access, user } });
    this.#fact({ kind: 'link', state: { kind: 'online' } });
    if (access !== 'none') this.#subscribe(client);
    this.#beginPulse(client);
    this.#flush();
  }

  #subscribe(client: Client): void {
    client.subscribe(
      ServerTopic,
      {},
      {
        synced: (items) => {
          for (const status of items.values()) this.#fact({ kind: 'status', status });
        },
        put: (status) => this.#fact({ kind: 'status', status }),
      },
    );
    client.subscribe(
      SetTopic,
      {},
      {
        synced: (items) => this.#fact({ kind: 'sets', all: [...items.values()] }),
        put: (item) => this.#fact({ kind: 'set', item }),
        remove: (key) => this.#fact({ kind: 'set_gone', key }),
      },
    );
    client.subscribe(
      ConnectionTopic,
      {},
      {
        synced: (items) => this.#fact({ kind: 'connections', all: [...items.values()] }),
        put: (item) => this.#fact({ kind: 'connection', item }),
        remove: (key) => this.#fact({ kind: 'connection_gone', key }),
      },
    );
    client.subscribe(
      GrantTopic,
      {},
      {
        synced: (items) => this.#fact({ kind: 'grants', all: [...items.values()] }),
        put: (item) => this.#fact({ kind: 'grant', item }),
        remove: (key) => this.#fact({ kind: 'grant_gone', key }),
      },
    );
    client.subscribe(
      LogTopic,
      {},
      {
        synced: (items) => this.#fact({ kind: 'log', lines: [...items.values()], snapshot: true }),
        put: (line) => this.#line(line),
      },
    );
  }

  /** Lines of a storm join the batch's last fact instead of being one each. */
  #line(line: LogLine): void {
    const last = this.#batch.at(-1);
    if (last?.kind === 'log' && !last.snapshot && last.lines.length < BATCH_MAX)
      this.#batch[this.#batch.length - 1] = { ...last, lines: [...last.lines, line] };
    else this.#fact({ kind: 'log', lines: [line], snapshot: false });
  }

  #lost(error: unknown): void {
    const trouble = troubleOf(error);
    if (!worthRetrying(error)) {
      this.#fact({ kind: 'link', state: { kind: 'refused', trouble } });
      this.#flush();
      return;
    }
    const low = this.#options.retryMinMs ?? RETRY_MIN_MS;
    const high = this.#options.retryMaxMs ?? RETRY_MAX_MS;
    const base = Math.min(high, low * 2 ** Math.min(10, this.#attempt));
    // Many cockpits must not return in the same moment.
    const wait = base / 2 + (base / 2) * (this.#options.random ?? Math.random)();
    this.#fact({ kind: 'link', state: { kind: 'lost', trouble, retryAt: Date.now() + wait, attempt: this.#attempt } });
    this.#flush();
    this.#retry = setTimeout(() => {
      this.#retry = null;
      if (this.#wanted && !this.#client) void this.#connect();
    }, wait);
  }

  /** Agents say nothing while nothing changes; one question now and then tells silence from death. */
  #beginPulse(client: Client): void {
    const period = this.#options.pulseMs ?? PULSE_MS;
    const ask = (): void => {
      this.#pulse = setTimeout(() => {
        client.request(ServerHello, {}, { timeoutMs: period }).then(
          () => {
            if (this.#client !== client) return;
            this.#fact({ kind: 'heard' });
            ask();
          },
          () => {
            // It stopped answering: close, so that the way back is the usual one.
            if (this.#client === client) {
              this.#client = null;
              client.close();
              this.#endPulse();
              if (this.#wanted)
                this.#lost(
                  new LinkError(
                    'LINK_LOST',
                    `${this.#options.name} stopped answering.`,
                    'It is tried again by itself.',
                    'backoff',
                  ),
                );
            }
          },
        );
      }, period);
    };
    ask();
  }

  #endPulse(): void {
    if (this.#pulse) clearTimeout(this.#pulse);
    this.#pulse = null;
  }

  #clearRetry(): void {
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
  }

  #fact(fact: LinkFact): void {
    this.#batch.push(fact);
    if (this.#batch.length >= BATCH_MAX) this.#flush();
    else this.#batchTimer ??= setTimeout(() => this.#flush(), BATCH_MS);
  }

  #flush(): void {
    if (this.#batchTimer) clearTimeout(this.#batchTimer);
    this.#batchTimer = null;
    if (this.#batch.length === 0) return;
    const facts = this.#batch;
    this.#batch = [];
    this.#options.onFacts(this.#options.name, facts);
  }
}
