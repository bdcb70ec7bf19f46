/** `understudy estimate`: what a simulated connection says about bandwidth and time (EDN-50). */
import type { Command } from 'commander';
import { ConnectionEstimate, type Estimate } from '../../../protocol/messages/index.js';
import { formatBytes, formatCount, formatMillis, formatSecond, formatWallTime } from '../../../protocol/units.js';
import { collect, positive, run, usage } from '../command.js';
import { properties, table } from '../print.js';

const UNITS: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9 };

/** `10M`, `2.5G`, `64k`, with or without `bit/s` behind it, in bits per second. */
export function readBandwidth(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg])(?:bit(?:\/s)?|bps)?$/i.exec(text.trim());
  const value = Math.round(Number(match?.[1] ?? 0) * (UNITS[(match?.[2] ?? '').toLowerCase()] ?? 0));
  if (value < 1_000 || value > 1e12)
    throw usage(`"${text}" is not a bandwidth: a number with k, M or G, such as 100M (bit/s).`);
  return value;
}

export function formatBandwidth(bitsPerSecond: number): string {
  for (const [unit, size] of [
    ['Gbit/s', 1e9],
    ['Mbit/s', 1e6],
    ['kbit/s', 1e3],
  ] as const)
    if (bitsPerSecond >= size) return `${(bitsPerSecond / size).toFixed(bitsPerSecond / size < 10 ? 1 : 0)} ${unit}`;
  return `${bitsPerSecond} bit/s`;
}

const share = (packed: number, bytes: number): string =>
  bytes === 0 ? 'not known yet' : `${Math.round((packed / bytes) * 100)}% of its size`;

/** The whole answer as text. */
export function estimateLines(e: Estimate): string {
  const { mirror, changes } = e;
  const rate = (bytesPerSecond: number): string => formatBandwidth(bytesPerSecond * 8);
  return (
    properties([
      ['Set', `${e.set}: ${formatCount(e.files)} files, ${formatBytes(e.bytes)}`],
      [
        'First mirror',
        mirror
          ? `${formatBytes(mirror.bytes)} in ${formatCount(mirror.files)} files, compressed ${formatBytes(mirror.packed)} (${share(mirror.packed, mirror.bytes)}); read in ${formatMillis(mirror.ms)}`
          : 'not done yet',
      ],
      ['Observed', `${formatMillis(e.observedMs)} since ${formatSecond(e.since)}`],
      [
        'Changes',
        `${formatBytes(changes.bytes)}, compressed ${formatBytes(changes.packed)} (${share(changes.packed, changes.bytes)})`,
      ],
      ['Mean', rate(changes.mean)],
      ['Busy', `${rate(changes.busy)} (more in one minute of twenty)`],
      [
        'Peak',
        `${rate(changes.peak)}${changes.peakAt === null ? '' : ` in the minute of ${formatSecond(changes.peakAt)}`}`,
      ],
      ['Needed', `${formatBandwidth(e.bandwidth)} for a recovery point of ${formatMillis(e.recoveryMs)}`],
    ]) +
    '\n' +
    table(
      [
        { title: 'Bandwidth', right: true },
        { title: 'First mirror', right: true },
        { title: 'Worst recovery point', right: true },
      ],
      e.bandwidths.map((one) => [
        formatBandwidth(one.bitsPerSecond),
        one.mirrorMs === null ? (mirror ? 'never' : '?') : formatMillis(one.mirrorMs),
        one.worstMs === null ? 'grows for ever' : formatMillis(one.worstMs),
      ]),
    ) +
    (e.minutes.length === 0
      ? ''
      : `\n${table(
          [{ title: 'Minute' }, { title: 'Changed', right: true }, { title: 'Compressed', right: true }],
          e.minutes.map((one) => [
            formatWallTime(one.at).slice(0, 16),
            formatBytes(one.bytes),
            formatBytes(one.packed),
          ]),
        )}`)
  );
}

export function addEstimateCommand(program: Command): void {
  program
    .command('estimate')
    .description('bandwidth, recovery point and time of a first mirror, from a simulated connection (EDN-50)')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .option('--bandwidth <speed>', 'what this line would do, such as 100M (bit/s); may be repeated', collect)
    .option('--recovery <seconds>', 'the recovery point that is wanted', positive)
    .option('--minutes', 'the changes by minute, too')
    .action(
      run(async ({ links, out }, id: string, flags: { bandwidth?: string[]; recovery?: number; minutes?: boolean }) => {
        const bandwidths = flags.bandwidth?.map(readBandwidth);
        const { server, client, item } = await links.connection(id);
        const told = await client.request(ConnectionEstimate, {
          id: item.id,
          ...(bandwidths ? { bandwidths } : {}),
          ...(flags.recovery === undefined ? {} : { recoveryMs: Math.round(flags.recovery * 1000) }),
          ...(flags.minutes ? { minutes: true } : {}),
        });
        out.show(() => estimateLines(told), { on: server.name, id: item.id, ...told });
      }),
    );
}
