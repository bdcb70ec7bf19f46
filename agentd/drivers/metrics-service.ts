/** Where and when metrics are served; what they are is in metrics.ts. */
import type { LogLine, Severity } from '../../protocol/messages/log.js';
import type { LogSink } from '../ports/log-sink.js';
import type { MetricsServer, ServeMetrics } from '../ports/metrics-server.js';
import type { Measured, Page } from './metrics.js';
import type { SettingsStore } from './settings.js';
import { causeOf, type World } from './world.js';

/** Counts what is said, for a rate of errors that outlives the message window. */
export class MessageCounts implements LogSink {
  readonly counts: Record<Severity, number> = { information: 0, warning: 0, error: 0 };

  write(line: LogLine): void {
    this.counts[line.notice.severity] += 1;
  }

  close(): void {
    // Numbers only.
  }
}

export class Metrics {
  readonly #from: Measured;
  readonly #messages: MessageCounts;
  #pages: Promise<(openMetrics: boolean) => Promise<Page>> | null = null;
  #server: MetricsServer | null = null;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    readonly world: World,
    from: Measured,
    messages: MessageCounts,
    readonly serve: ServeMetrics | null,
    settings: SettingsStore,
  ) {
    this.#from = from;
    this.#messages = messages;
    settings.onChange((changed) => {
      if (changed.has('metrics.listen')) void this.listen();
    });
  }

  /** Where metrics are served; empty when nowhere. */
  get address(): string {
    return this.#server?.address ?? '';
  }

  /** Obeys `metrics.listen`; resolves when it does. Never rejects: without metrics everything else goes on. */
  listen(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#listen());
    return this.#turn;
  }

  async page(openMetrics = false): Promise<Page> {
    // Loaded when somebody asks: the modules of its library are many.
    this.#pages ??= import('./metrics.js').then(({ metricsPages }) => metricsPages(this.#from, this.#messages));
    return (await this.#pages)(openMetrics);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
    await this.#server?.close();
    this.#server = null;
  }

  async #listen(): Promise<void> {
    const { log, settings } = this.world;
    await this.#server?.close();
    this.#server = null;
    const address = settings['metrics.listen'];
    if (address === '' || !this.serve || this.#closed) return;
    try {
      this.#server = await this.serve(address, (openMetrics) => this.page(openMetrics));
      log.say('METRICS_LISTENING', { address: this.#server.address });
    } catch (error) {
      log.say('METRICS_REFUSED', { address }, {}, causeOf(error));
    }
  }
}
