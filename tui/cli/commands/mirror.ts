/** `understudy mirror` and `replication`: the lives of one connection. */
import type { Command } from 'commander';
import {
  MirrorPause,
  MirrorResume,
  MirrorStart,
  MirrorStop,
  type MirrorOptions,
  ReplicationStart,
  ReplicationStop,
} from '../../../protocol/messages/index.js';
import { run, usage } from '../command.js';

interface Flags {
  full?: boolean;
  difference?: boolean;
  checksum?: boolean;
  newer?: boolean;
}

/** Without a choice: what differs, found by checksum (MIR-26). */
export function mirrorOptionsOf(flags: Flags): MirrorOptions {
  if (flags.full && (flags.difference || flags.checksum || flags.newer))
    throw usage('--full sends everything; it does not go with --difference, --checksum or --newer.');
  if (flags.full) return { kind: 'full' };
  const checksum = flags.checksum || !(flags.difference || flags.newer);
  return { kind: 'difference', ...(checksum ? { checksum: true } : {}), ...(flags.newer ? { newer: true } : {}) };
}

export function addMirrorCommands(program: Command): void {
  const mirror = program.command('mirror').description('the mirror of a connection');
  mirror
    .command('start')
    .description('mirrors the set (default: differences with checksum)')
    .argument('<id>', 'connection ID, or SERVER:ID')
    .option('--full', 'everything, whole (MIR-20)')
    .option('--difference', 'files that differ in date, time or size, whole (MIR-21)')
    .option('--checksum', 'only the blocks that differ (MIR-23, MIR-24)')
    .option('--newer', 'only files newer on the source (MIR-22); risky with databases')
    .action(
      run(async ({ links, out }, id: string, flags: Flags) => {
        const options = mirrorOptionsOf(flags);
        const { server, client, item } = await links.connection(id);
        await client.request(MirrorStart, { id: item.id, options });
        out.show(`${server.name}:${item.id} mirror asked for\n`, { server: server.name, id: item.id, options });
      }),
    );

  const families = [
    [mirror, 'stop', 'stops and forgets the position (MIR-08)', MirrorStop, 'mirror stopped'],
    [mirror, 'pause', 'pauses and keeps the position (MIR-06)', MirrorPause, 'mirror paused'],
    [mirror, 'resume', 'goes on where it paused (MIR-07)', MirrorResume, 'mirror resumed'],
  ] as const;
  const replication = program.command('replication').description('the replication of a connection');
  for (const [parent, verb, why, method, done] of [
    ...families,
    [
      replication,
      'start',
      'captures and sends changes; a mirror follows (REP-02)',
      ReplicationStart,
      'replication started',
    ] as const,
    [replication, 'stop', 'changes are not queued any more (REP-01)', ReplicationStop, 'replication stopped'] as const,
  ]) {
    parent
      .command(verb)
      .description(why)
      .argument('<id>', 'connection ID, or SERVER:ID')
      .action(
        run(async ({ links, out }, id: string) => {
          const { server, client, item } = await links.connection(id);
          await client.request(method, { id: item.id });
          out.show(`${server.name}:${item.id} ${done}\n`, { server: server.name, id: item.id, done });
        }),
      );
  }
}
