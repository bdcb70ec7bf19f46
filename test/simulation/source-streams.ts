/** How streams begin, go on and end: attach and detach (native/engine/source.cc), and what a target says at a new link. */
import type { Channel } from './channel.js';
import type { StreamPosition } from './receiver.js';
import type { Source } from './source.js';

const UNKNOWN = 'the target does not know this stream any more';

export class Streams {
  constructor(readonly source: Source) {}

  attach(channel: Channel): void {
    const { source } = this;
    const { host, recovery, ready, file } = source;
    const { machine, universe } = host;
    const { stateDir } = channel.options;
    source.channels.push(channel);
    channel.attached = true;
    const known = machine.attached.has(stateDir);
    // Told everything the shadow says? Not when it was left out while the set went on, now or in an earlier run.
    if (known && ready) machine.missed.add(stateDir);
    const gap = !known
      ? null
      : !file
        ? 'the source was restarted without its shadow'
        : source.powerLost
          ? 'the source lost power, and with it the record of what was told last'
          : machine.missed.has(stateDir)
            ? 'the set went on while this connection was closed'
            : null;
    // Told again at each start, until a mirror begins: who hears of it may end before he has written it down.
    if (gap !== null) machine.missed.add(stateDir);
    // What the first look finds is no change, with nothing to compare it with: a mirror tells it, once.
    channel.toldByMirror = channel.options.mirrorFollows ?? false;
    channel.toldAfterScan = !channel.toldByMirror && !ready && (!known || !file);
    if (!channel.toldAfterScan && !channel.toldByMirror) this.toldAll(channel);
    machine.attached.add(stateDir);
    channel.expectsReplica = known && gap === null;
    this.#resumeQueue(channel, known, gap === null);
    channel.startupRepair = known && !ready && (!channel.resumed || channel.doubts.length > 0);
    recovery.recallPoint(channel, known, channel.resumed && !channel.startupRepair, gap !== null);
    if (!known) recovery.keepPoint(channel);
    if (channel.startupRepair && gap === null) recovery.begin(channel);
    if (universe.mutants.noRepair) channel.startupRepair = false;
    if (gap !== null) host.tell({ kind: 'stream_broken', connection: channel.id, why: gap });
    host.connect(channel);
  }

  /** The queue of an orderly stop goes on where it was; in any other case its files go. */
  #resumeQueue(channel: Channel, known: boolean, sound: boolean): void {
    const { source } = this;
    const { machine, universe } = source.host;
    const { stateDir } = channel.options;
    const kept = machine.kept.get(stateDir) ?? null;
    machine.kept.delete(stateDir);
    const goesOn = known && sound && !source.ready && !source.unclean;
    const snapshot = goesOn ? (source.file?.snapshot ?? 0) : 0;
    const queue = channel.stream.resume(kept, snapshot, source.recovery.fromWall);
    channel.resumed = queue === 'taken';
    if (channel.resumed) channel.doubts = kept?.doubts ?? [];
    if (!known || queue === 'nothing') return;
    universe.seen(channel.resumed ? 'queue resumed' : 'queue dropped');
    const bytes = channel.stream.queuedBytes;
    source.host.tell({ kind: channel.resumed ? 'queue_resumed' : 'queue_dropped', connection: channel.id, bytes });
  }

  detach(channel: Channel, forget: boolean): void {
    const { source } = this;
    const { machine } = source.host;
    const { stateDir } = channel.options;
    // Its turn to be attached may not have come yet: then nothing of it is known here.
    const goesOn = channel.attached && !forget;
    channel.attached = false;
    if (goesOn) source.leftBehind ||= source.unsettled(channel);
    if (goesOn && source.suspended) source.queueing.keep(channel);
    // While what is under way still counts.
    if (goesOn) source.recovery.keepPoint(channel);
    const at = source.channels.indexOf(channel);
    if (at >= 0) source.channels.splice(at, 1);
    channel.walk = null;
    if (forget) {
      for (const files of [machine.points, machine.kept]) files.delete(stateDir);
      machine.attached.delete(stateDir);
    } else if (!source.suspended) machine.missed.add(stateDir);
    source.barriers.end(channel);
    channel.stream.end();
  }

  toldAll(channel: Channel): void {
    for (let path = 0; path < this.source.shadow.length; path++) channel.told.add(path);
  }

  /** What the target says of itself when a link comes up (Source::on_welcome). */
  welcome(channel: Channel, position: StreamPosition, payload: Buffer): void {
    const { source } = this;
    const { host, recovery } = source;
    const { mutants, seen } = host.universe;
    const connection = channel.id;
    const repair = new Set<number>();
    const wiped = channel.expectsReplica && position.fresh;
    if (position.fresh && channel.mustMirror) recovery.mustMirror(channel, Number.NEGATIVE_INFINITY);
    const resume = channel.broken || wiped ? 'broken' : channel.stream.welcome(position, repair);
    if (resume === 'broken' && !mutants.gapResumes) {
      // Nothing says what it holds.
      const unknown = position.fresh || (!channel.broken && !channel.stream.damaged);
      this.broken(channel, UNKNOWN);
      if (unknown) recovery.mustMirror(channel, Number.NEGATIVE_INFINITY);
      host.tell({ kind: 'link_up', connection, welcome: payload, resumed: false });
      source.pump();
      return;
    }
    if (resume !== 'resumed') {
      seen('power repair');
      // More than any one stream needs, and there when the disk of a queue is not.
      if (channel.stream.spilled) for (const path of source.log) repair.add(path);
      recovery.inDoubt(channel);
      this.restart(channel);
      if (!mutants.noRepair) for (const path of repair) channel.repair.add(path);
      channel.expectsReplica = true;
      recovery.begin(channel);
      host.connect(channel);
      source.pump();
      return;
    }
    source.walks.reissue(channel);
    channel.ready = true;
    host.tell({ kind: 'link_up', connection, welcome: payload, resumed: true });
    host.send(channel);
    source.pump();
  }

  /** Sequences begin anew, so whatever waited for one of the old stream asks again. The caller connects. */
  restart(channel: Channel): void {
    const { source } = this;
    source.host.disconnect(channel);
    channel.stream.restart();
    channel.repairUntil = 0;
    if (channel.walk) channel.walk.waiting = false;
    source.refusals.streamRestarts(channel);
    source.barriers.tasksLost(channel, 'the stream began anew');
    source.barriers.askAgain(channel);
  }

  /** It ends here; a mirror begins a new one. */
  broken(channel: Channel, why: string): void {
    if (channel.broken) return;
    const { source } = this;
    source.recovery.mustMirror(channel);
    channel.broken = true;
    channel.stream.breakOff();
    channel.later.clear();
    channel.repair.clear();
    channel.doubts = [];
    channel.behind = false;
    source.barriers.tasksLost(channel, why);
    source.walks.stop(channel, why);
    source.host.tell({ kind: 'stream_broken', connection: channel.id, why });
  }

  setReplicating(channel: Channel, on: boolean): void {
    if (!on) this.source.recovery.mustMirror(channel);
    if (!on && channel.walk) channel.walk.missed = true;
    channel.replicating = on;
    this.source.pump();
  }
}
