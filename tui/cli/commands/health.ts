/** `understudy metrics` and `understudy health`: for monitoring systems. */
import type { Command } from 'commander';
import { noticeText } from '../../../protocol/errors.js';
import {
  type ConnectionItem,
  ConnectionList,
  MetricsRead,
  ServerInfo,
  type ServerStatus,
} from '../../../protocol/messages/index.js';
import { positive, run } from '../command.js';
import { asCliFailure } from '../links.js';
import { visible } from '../print.js';

const WORDS = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const;
export type HealthCode = 0 | 1 | 2 | 3;

export interface Thresholds {
  /** Seconds behind. */
  readonly lagWarning: number;
  readonly lagCritical: number;
}

export interface Health {
  readonly code: HealthCode;
  readonly word: (typeof WORDS)[number];
  readonly summary: string;
  /** One line for each thing that is not as it should be. */
  readonly details: readonly string[];
  /** Performance data as monitoring plugins write it. */
  readonly performance: string;
}

/** OK < WARNING < UNKNOWN < CRITICAL: what is known to be bad is said before what is not known. */
const GRAVITY: Readonly<Record<HealthCode, number>> = { 0: 0, 1: 1, 3: 2, 2: 3 };
const worst = (a: HealthCode, b: HealthCode): HealthCode => (GRAVITY[a] >= GRAVITY[b] ? a : b);

/** A label of performance data ends at the quote. */
const label = (text: string): string => `'${visible(text).replace(/['=|]/g, '_')}'`;
/** One line: a bar begins performance data. */
const plain = (text: string): string => visible(text).replaceAll('|', '/');

export function healthOfConnection(item: ConnectionItem, limits: Thresholds): readonly [HealthCode, string] {
  const { statistics } = item;
  const lag = item.latencyMs / 1000;
  const name = `${item.set} to ${item.target}`;
  if (item.problem?.severity === 'error') return [2, `${name}: ${noticeText(item.problem)}`];
  switch (statistics.targetDataState) {
    case 'OK':
    case 'Busy':
      if (item.latencyMs < 0) return [3, `${name}: how far it is behind is not known`];
      if (lag >= limits.lagCritical) return [2, `${name}: ${lag.toFixed(1)} s behind`];
      if (lag >= limits.lagWarning) return [1, `${name}: ${lag.toFixed(1)} s behind`];
      if (item.problem) return [1, `${name}: ${noticeText(item.problem)}`];
      return item.quarantined > 0 ? [1, `${name}: ${item.quarantined} paths could not be written`] : [0, `${name}: OK`];
    case 'Mirroring':
      return [1, `${name}: mirroring, the replica is not good until it is done`];
    case 'Not Ready':
      return [1, `${name}: capture is still loading`];
    case 'Unknown':
      // Whatever is not known of it, so much is not on the target.
      if (item.latencyMs >= 0 && lag >= limits.lagCritical)
        return [2, `${name}: ${lag.toFixed(1)} s behind${item.problem ? `; ${noticeText(item.problem)}` : ''}`];
      return [item.problem ? 1 : 3, `${name}: ${item.problem ? noticeText(item.problem) : 'its state is not known'}`];
    default:
      return [2, `${name}: ${item.problem ? noticeText(item.problem) : statistics.targetDataState}`];
  }
}

export function healthOf(status: ServerStatus, items: readonly ConnectionItem[], limits: Thresholds): Health {
  let code: HealthCode = 0;
  const details: string[] = [];
  const told = new Set(items.flatMap((item) => (item.problem ? [item.problem.text] : [])));
  for (const item of items) {
    const [one, text] = healthOfConnection(item, limits);
    code = worst(code, one);
    if (one !== 0) details.push(`${WORDS[one]}: ${plain(text)}`);
  }
  // Problems of sets that no connection shows.
  for (const problem of status.problems) {
    if (told.has(problem.text) || problem.severity === 'information') continue;
    const one: HealthCode = problem.severity === 'error' ? 2 : 1;
    code = worst(code, one);
    details.push(`${WORDS[one]}: ${plain(noticeText(problem))}`);
  }
  if (status.targetPaused) {
    code = worst(code, 1);
    details.push('WARNING: this server is paused as a target (CON-60)');
  }
  const lags = items.map((item) =>
    item.latencyMs < 0
      ? `${label(`${item.set} ${item.target} lag`)}=U;${limits.lagWarning};${limits.lagCritical};0`
      : `${label(`${item.set} ${item.target} lag`)}=${(item.latencyMs / 1000).toFixed(3)}s;${limits.lagWarning};${limits.lagCritical};0`,
  );
  const queues = items.map(
    ({ set, target, statistics: s }) =>
      `${label(`${set} ${target} queue`)}=${s.intermediateQueueBytes + s.diskQueueBytes}B;;;0`,
  );
  const good = items.length - items.filter((item) => healthOfConnection(item, limits)[0] !== 0).length;
  return {
    code,
    word: WORDS[code],
    summary: `${good} of ${items.length} connections OK, ${status.incoming} incoming${details[0] ? `; ${details[0]}` : ''}`,
    details,
    performance: [...lags, ...queues, `connections=${items.length};;;0`, `incoming=${status.incoming};;;0`].join(' '),
  };
}

const EMPTY: Omit<Health, 'summary'> = { code: 3, word: 'UNKNOWN', details: [], performance: '' };

export function addHealthCommands(program: Command): void {
  program
    .command('metrics')
    .description('metrics of a server in the text format of Prometheus')
    .argument('<server>', 'server')
    .action(
      run(async ({ links, out }, server: string) => {
        const page = await (await links.client(server)).request(MetricsRead, {});
        out.show(page.text, { server, ...page });
      }),
    );

  program
    .command('health')
    .description('one line for a monitoring system; exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN')
    .argument('<server>', 'server')
    .option('--lag-warning <seconds>', 'WARNING when a replica is this far behind', positive, 60)
    .option('--lag-critical <seconds>', 'CRITICAL when a replica is this far behind', positive, 600)
    .action(
      run(async ({ links, out }, server: string, limits: Thresholds) => {
        let health: Health;
        try {
          const client = await links.client(server);
          const [{ status }, { connections }] = await Promise.all([
            client.request(ServerInfo, {}),
            client.request(ConnectionList, {}),
          ]);
          health = healthOf(status, connections, limits);
        } catch (error) {
          // An agent that does not answer may be dead or may be out of reach of us alone.
          health = { ...EMPTY, summary: plain(asCliFailure(error).message) };
        }
        const more = health.details.slice(1).map((line) => `${line}\n`);
        out.show(
          `UNDERSTUDY ${health.word} - ${health.summary}${health.performance ? ` | ${health.performance}` : ''}\n${more.join('')}`,
          { server, ...health },
        );
        return health.code;
      }),
    );
}
