/** What an agent tells the outside: statistics, mail, traps, metrics. Nothing here may hold replication up. */
import type { StatisticsRead } from '../../protocol/statistics-file.js';
import type { LogSink } from '../ports/log-sink.js';
import type { Outside } from '../ports/outside.js';
import type { Agent } from './agent.js';
import { Mailer } from './mailer.js';
import { MessageCounts, Metrics } from './metrics-service.js';
import { type StatisticsAsked, StatisticsLog } from './statistics-log.js';
import { Trapper } from './trapper.js';

export class Services {
  readonly mailer: Mailer;
  readonly trapper: Trapper;
  #statistics: StatisticsLog | null = null;
  #metrics: Metrics | null = null;
  readonly #messages = new MessageCounts();

  constructor(
    readonly agent: Agent,
    readonly outside: Outside,
  ) {
    const world = () => agent.world;
    this.mailer = new Mailer(world, outside.vault, outside.sendMail, agent.settings);
    this.trapper = new Trapper(world, outside.vault, outside.sendTrap, agent.clock.steady());
  }

  get sinks(): readonly LogSink[] {
    return [this.#messages, this.mailer, this.trapper];
  }

  get metrics(): Metrics {
    if (!this.#metrics) throw new Error('metrics before the agent');
    return this.#metrics;
  }

  /** The agent's parts are there. */
  attach(): void {
    const { agent, outside } = this;
    const { connections, sets, settings, world } = agent;
    if (outside.statistics)
      this.#statistics = new StatisticsLog(world, outside.statistics, () => connections.items(), settings);
    this.#metrics = new Metrics(
      world,
      {
        status: () => agent.status(),
        connections: () => connections.items(),
        sets: () => sets.items(),
        mail: () => this.mailer.state,
      },
      this.#messages,
      outside.serveMetrics,
      settings,
    );
  }

  start(): void {
    this.#statistics?.start();
    void this.metrics.listen();
  }

  /** Before the connections close: the last statistics are the ones of the end. */
  async stop(): Promise<void> {
    await Promise.all([this.#statistics?.stop(), this.metrics.close()]);
  }

  async readStatistics(query: StatisticsAsked): Promise<StatisticsRead> {
    return this.#statistics ? this.#statistics.read(query) : { records: [], more: false, unreadable: 0 };
  }
}
