/** Metrics for Prometheus and OpenMetrics. Labels are bounded: sets, connections and targets, never paths. */
import { Counter, Gauge, Registry, type RegistryContentType } from 'prom-client';
import { type ConnectionItem, TARGET_DATA_STATE } from '../../protocol/messages/index.js';
import type { Severity } from '../../protocol/messages/log.js';
import { SEVERITY } from '../../protocol/messages/log.js';
import type { ServerStatus } from '../../protocol/messages/server.js';
import { PROTOCOL_VERSION, SOFTWARE_VERSION } from '../../protocol/version.js';

export interface Measured {
  readonly status: () => ServerStatus;
  readonly connections: () => readonly ConnectionItem[];
  readonly sets: () => readonly { readonly name: string; readonly state: string }[];
  readonly mail: () => { readonly failing: boolean; readonly waiting: number; readonly suppressed: number };
}

export interface Counted {
  readonly counts: Readonly<Record<Severity, number>>;
}

export interface Page {
  readonly type: string;
  readonly text: string;
}

const AT = ['set', 'connection', 'target'] as const;
type At = Record<(typeof AT)[number], string>;

/** One registry for each text format: the library keeps the format there. */
function build(from: Measured, messages: Counted): Registry<RegistryContentType> {
  const registry = new Registry<RegistryContentType>();
  const registers = [registry];
  // One look at the connections serves the whole page.
  let items: readonly ConnectionItem[] = [];
  const gauge = (name: string, help: string, read: (item: ConnectionItem) => number | null): void => {
    new Gauge({
      name,
      help,
      labelNames: AT,
      registers,
      collect() {
        this.reset();
        for (const item of items) {
          const value = read(item);
          if (value !== null) this.set(at(item), value);
        }
      },
    });
  };
  const counter = (
    name: string,
    help: string,
    kinds: Readonly<Record<string, (item: ConnectionItem) => number>>,
  ): void => {
    const plain = Object.keys(kinds).length === 1 && '' in kinds;
    new Counter({
      name,
      help,
      labelNames: plain ? AT : [...AT, 'kind'],
      registers,
      collect() {
        this.reset();
        for (const item of items)
          for (const [kind, read] of Object.entries(kinds)) {
            const labels: At & { kind?: string } = plain ? at(item) : { ...at(item), kind };
            this.inc(labels, read(item));
          }
      },
    });
  };
  const single = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };

  new Gauge({
    name: 'understudy_build_info',
    help: 'Release of the agent and protocol it speaks; always 1.',
    labelNames: ['version', 'protocol'],
    registers,
    collect() {
      // The first metric of the page, so the look is taken here.
      items = from.connections();
      this.set({ version: SOFTWARE_VERSION, protocol: String(PROTOCOL_VERSION) }, 1);
    },
  });
  single(
    'understudy_start_time_seconds',
    'When the agent started, in seconds since 1970.',
    () => from.status().started / 1000,
  );
  new Gauge({
    name: 'understudy_set_configured',
    help: 'Replication sets saved on this server; always 1.',
    labelNames: ['set'],
    registers,
    collect() {
      this.reset();
      for (const { name } of from.sets()) this.set({ set: name }, 1);
    },
  });
  gauge(
    'understudy_set_lag_seconds',
    'Age of the recovery point, with a link or without; absent while there is none.',
    (item) => (item.latencyMs < 0 ? null : item.latencyMs / 1000),
  );
  gauge(
    'understudy_set_lag_bytes',
    'Bytes of changes that the target has not applied; at least, while understudy_set_lag_more is 1.',
    (item) => item.lagBytes ?? 0,
  );
  gauge('understudy_set_lag_more', 'Whether more waits that is known by name only, or is in doubt.', (item) =>
    item.lagAtLeast ? 1 : 0,
  );
  gauge(
    'understudy_set_recovery_point',
    'Whether there is a recovery point: 0 until a first mirror is done.',
    (item) => (item.latencyMs < 0 ? 0 : 1),
  );
  gauge(
    'understudy_set_applied_age_seconds',
    'Since the target had applied everything in its stream; absent before it ever had.',
    (item) => ((item.heartbeatMs ?? -1) < 0 ? null : (item.heartbeatMs ?? 0) / 1000),
  );
  new Gauge({
    name: 'understudy_set_queue_bytes',
    help: 'Bytes that wait on the source, in memory and on disk.',
    labelNames: [...AT, 'kind'],
    registers,
    collect() {
      this.reset();
      for (const item of items) {
        this.set({ ...at(item), kind: 'memory' }, item.statistics.intermediateQueueBytes);
        this.set({ ...at(item), kind: 'disk' }, item.statistics.diskQueueBytes);
      }
    },
  });
  new Gauge({
    name: 'understudy_set_state',
    help: 'Target data state (STA-05): 1 for the state that holds, 0 for the others.',
    labelNames: [...AT, 'state'],
    registers,
    collect() {
      this.reset();
      for (const item of items)
        for (const state of TARGET_DATA_STATE)
          this.set({ ...at(item), state }, item.statistics.targetDataState === state ? 1 : 0);
    },
  });
  gauge('understudy_set_heartbeat_age_seconds', 'Since the target was heard last; absent without a link.', (item) =>
    item.quietMs < 0 ? null : item.quietMs / 1000,
  );
  gauge('understudy_set_linked', 'Whether the data link is up.', (item) => (item.phase === 'linked' ? 1 : 0));
  gauge('understudy_set_stalled', 'The link is up and something waits, but nothing moves.', (item) =>
    item.stall ? 1 : 0,
  );
  gauge(
    'understudy_set_quarantined_paths',
    'Paths the target could not write; they are retried.',
    (item) => item.quarantined,
  );
  gauge(
    'understudy_set_mirror_remaining_bytes',
    'Mirror bytes still to send.',
    (item) => item.statistics.remainingMirrorBytes,
  );
  gauge(
    'understudy_set_target_queue_bytes',
    'Received by the target and not yet applied.',
    (item) => item.targetQueuedBytes,
  );
  counter('understudy_set_sent_bytes_total', 'Bytes sent, before compression.', {
    mirror: (item) => item.statistics.sentMirrorBytes,
    replication: (item) => item.statistics.sentReplicationBytes,
  });
  counter('understudy_set_skipped_bytes_total', 'Mirror bytes not sent because they were equal.', {
    '': (item) => item.statistics.skippedMirrorBytes,
  });
  counter('understudy_set_wire_bytes_total', 'Bytes on the wire, both directions.', { '': (item) => item.wireBytes });
  single(
    'understudy_incoming_connections',
    'Connections granted on this server as a target.',
    () => from.status().incoming,
  );
  single('understudy_links', 'Data links that are up, both directions.', () => from.status().linked);
  single('understudy_target_paused', 'Whether this server is paused as a target (CON-60).', () =>
    from.status().targetPaused ? 1 : 0,
  );
  new Gauge({
    name: 'understudy_problems',
    help: 'Problems that need a person, by severity.',
    labelNames: ['severity'],
    registers,
    collect() {
      const { problems } = from.status();
      for (const severity of SEVERITY)
        this.set({ severity }, problems.filter((problem) => problem.severity === severity).length);
    },
  });
  new Counter({
    name: 'understudy_messages_total',
    help: 'Messages written to the log, by severity.',
    labelNames: ['severity'],
    registers,
    collect() {
      this.reset();
      for (const severity of SEVERITY) this.inc({ severity }, messages.counts[severity]);
    },
  });
  single('understudy_mail_failing', 'Whether the last mail could not be sent.', () => (from.mail().failing ? 1 : 0));
  single('understudy_mail_waiting', 'Messages that wait to be mailed.', () => from.mail().waiting);
  single('process_resident_memory_bytes', 'Memory of the agent.', () => process.memoryUsage.rss());
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time of the agent.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  return registry;
}

const at = (item: ConnectionItem): At => ({ set: item.set, connection: item.key, target: item.target });

/** The page, as OpenMetrics or in the older text format. */
export function metricsPages(from: Measured, messages: Counted): (openMetrics: boolean) => Promise<Page> {
  const plain = build(from, messages);
  const open = build(from, messages);
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return async (openMetrics) => {
    const registry = openMetrics ? open : plain;
    return { type: registry.contentType, text: await registry.metrics() };
  };
}
