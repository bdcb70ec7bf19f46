/** What becomes of changes that the queues of a set cannot take (native/engine/queueing.cc; QUE-09, MIR-30). */
import type { Channel } from './channel.js';
import { type FullWhy, MIB } from './queue.js';
import type { Operation } from './receiver.js';
import type { Source } from './source.js';

/** Beyond it somebody may want to look how full the queue is. */
const USEFUL = 2 * MIB;

function reason(why: FullWhy | null): string {
  switch (why) {
    case null:
      return 'the memory for queues is used up';
    case 'EDQUOT':
      return 'the maximum disk space for the queue is used up';
    case 'ENOSPC':
      return "no more than the minimum free space is left on the queue's volume";
  }
}

export class Queueing {
  constructor(readonly source: Source) {}

  /** May changes be read now? At the pace of the fastest target that takes anything; of none, until a queue is full. */
  room(): boolean {
    let any = false;
    let behind = false;
    let flowing = false;
    let flowingRoom = false;
    let allRoom = true;
    for (const channel of this.source.channels) {
      // Nothing is queued for a broken one, so it holds nobody up.
      if (!channel.replicating || channel.broken) continue;
      any = true;
      if (channel.behind) {
        behind = true;
        continue;
      }
      const flows = channel.flowing;
      const room = channel.stream.hasRoom(flows);
      flowing ||= flows;
      flowingRoom ||= flows && room;
      allRoom &&= room;
    }
    if (!any) return true;
    return flowing ? flowingRoom : allRoom && !behind;
  }

  noteLater(channel: Channel, path: number): void {
    if (this.source.host.universe.mutants.fullForgets) return;
    channel.later.add(path);
    this.source.log.add(path);
  }

  /** A batch found no place: its paths are told later, and so is everything that comes until then. */
  fallBehind(channel: Channel, operation: Operation, since: number): void {
    const { recovery, host } = this.source;
    const { mutants } = host.universe;
    if (!mutants.fullIsCurrent) recovery.inDoubt(channel, since);
    if (channel.options.disconnectWhenFull) {
      this.giveUp(channel);
      return;
    }
    host.universe.seen('behind');
    channel.behind = true;
    if (operation.kind === 'write') this.noteLater(channel, operation.path);
    if (!mutants.fullIsCurrent) recovery.begin(channel);
  }

  /** MIR-30. */
  giveUp(channel: Channel): void {
    const { host, streams } = this.source;
    const why = reason(channel.stream.fullWhy);
    host.universe.seen('exhausted');
    host.tell({ kind: 'queue_exhausted', connection: channel.id, why });
    streams.broken(channel, `its queue is full: ${why}`);
  }

  watch(room: boolean): void {
    const { source } = this;
    const { host } = source;
    const waits = !room && source.dirty.size > 0;
    for (const channel of source.channels) {
      const { id: connection, stream } = channel;
      if (channel.broken) continue;
      if (stream.damaged) {
        host.universe.seen('queue damaged');
        source.streams.broken(channel, 'the disk queue cannot be read: queue: a record is damaged');
        continue;
      }
      // What is told in steps, and has lost one of them, is not gone on with: it would count wrong.
      if (channel.behind && channel.walk?.verify) source.walks.stop(channel, 'the queue is full');
      const flows = channel.flowing;
      const full = channel.behind || (waits && !flows && channel.replicating && !stream.hasRoom(false));
      if (full && !channel.behind && channel.options.disconnectWhenFull) {
        this.giveUp(channel);
        continue;
      }
      this.#catchUp(channel);
      channel.full.set(full);
      if (stream.queuedBytes === 0) channel.useTold = false;
      else if (stream.queuedBytes > USEFUL && !channel.useTold) {
        channel.useTold = true;
        if (!host.universe.mutants.queueUnseen) host.tell({ kind: 'queue_used', connection });
      }
      if (stream.spilled) host.universe.seen('spilled');
      if (full && !channel.fullTold) {
        channel.fullTold = true;
        host.tell({ kind: 'queue_full', connection, why: reason(stream.fullWhy) });
      } else if (channel.fullTold && !channel.behind) {
        if (flows ? !stream.walkRoom(false) : waits || !stream.hasRoom(false)) continue;
        channel.fullTold = false;
        host.tell({ kind: 'queue_room', connection });
      }
    }
  }

  /** The queue is drained: each path is told by what it is now. */
  #catchUp(channel: Channel): void {
    if (!channel.behind || !channel.flowing || !channel.stream.walkRoom(false)) return;
    channel.behind = false;
    for (const path of channel.later) channel.repair.add(path);
    channel.later.clear();
    // Questions of that time were not asked.
    this.source.walks.reissue(channel);
  }

  /** A clean stop: the stream goes on after the next start if nothing but its queue stands between it and its target. */
  keep(channel: Channel): void {
    const { source } = this;
    const { stream, quarantine } = channel;
    const busy = channel.startupRepair || channel.repair.size > 0 || channel.walk !== null || channel.tasks.length > 0;
    const untold = channel.toldAfterScan || channel.toldByMirror;
    if (channel.broken || channel.behind || busy || untold || !source.ready || source.stopped) return;
    if (!stream.undurable && quarantine.size === 0) return;
    source.host.disconnect(channel);
    const kept = stream.keep(source.stopSnapshot, [...quarantine.keys()], source.recovery.toWall);
    if (kept) source.host.machine.kept.set(channel.options.stateDir, kept);
  }
}
