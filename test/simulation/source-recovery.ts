/** What each target holds for certain, and since when it is in doubt (native/engine/recovery.cc). */
import type { Channel } from './channel.js';
import type { Source } from './source.js';

export class Recovery {
  constructor(readonly source: Source) {}

  /** What the target holds is not known from the oldest change on that waits now. */
  inDoubt(channel: Channel, since = this.source.now): void {
    channel.doubt = Math.min(channel.doubt, since, this.waitsSince(channel), channel.stream.oldestChange(true));
  }

  /** Until a mirror has come to its end. */
  mustMirror(channel: Channel, since?: number): void {
    this.inDoubt(channel, since);
    channel.mustMirror = true;
    this.keepPoint(channel);
  }

  vouch(channel: Channel): void {
    if (!channel.repairing && !channel.mustMirror && !channel.broken) {
      channel.stream.vouched(channel.doubt);
      channel.doubt = Number.POSITIVE_INFINITY;
    }
    this.keepPoint(channel);
  }

  /** Something is in doubt until all of it is told again and applied (I3). */
  begin(channel: Channel, since?: number): void {
    if (this.source.host.universe.mutants.hiddenRepair) {
      if (!channel.mustMirror) channel.doubt = Number.POSITIVE_INFINITY;
      return;
    }
    this.inDoubt(channel, since);
    channel.repairing = true;
    channel.repairUntil = 0;
    channel.repairSince = this.source.now;
  }

  /** What was told in the last run and may not have arrived, or may have moved on since. */
  afterRestart(channel: Channel): void {
    if (!channel.startupRepair) return;
    channel.startupRepair = false;
    for (const path of channel.resumed ? channel.doubts : this.source.startupRepair) channel.repair.add(path);
    channel.doubts = [];
  }

  /** Over when everything is told that was found meanwhile, and applied. */
  settle(channel: Channel): void {
    const { ready, doubt, dirty } = this.source;
    if (!channel.repairing || !ready || doubt || channel.startupRepair || channel.behind) return;
    if (channel.repairUntil === 0) {
      if (channel.repair.size > 0) return;
      for (const since of dirty.values()) if (since <= channel.repairSince) return;
      channel.repairUntil = channel.stream.last + 1;
    }
    if (channel.stream.applied < channel.repairUntil - 1) return;
    channel.repairing = false;
    this.vouch(channel);
  }

  /** Tells what is to be told again, as room allows. */
  retell(channel: Channel): void {
    for (const path of channel.repair) {
      if (channel.broken || channel.behind || channel.walk?.paused || !channel.ready || !this.source.ready) return;
      if (!channel.stream.walkRoom(false)) return;
      // Not told yet: the walk will come by.
      if (channel.told.has(path)) this.source.write(channel, path, false);
      channel.repair.delete(path);
    }
  }

  /** Since when a change waits that this connection was not told yet. */
  waitsSince(channel: Channel): number {
    if (!channel.replicating) return Number.POSITIVE_INFINITY;
    let since = this.source.lookedAt ?? Number.POSITIVE_INFINITY;
    for (const at of this.source.dirty.values()) since = Math.min(since, at);
    return since;
  }

  // From run to run; by the wall clock, which is all that outlives a machine.

  toWall = (since: number): number => this.source.host.machine.time.wall() - (this.source.now - since);

  /** None is in the future, whatever that clock says. */
  fromWall = (wall: number): number => {
    const { time } = this.source.host.machine;
    return this.source.now - Math.max(0, time.wall() - wall);
  };

  keepPoint(channel: Channel): void {
    const { machine } = this.source.host;
    const refused = [...channel.quarantine.values()].map((entry) => entry.since);
    const waits = this.waitsSince(channel);
    const unapplied = Math.min(waits, channel.stream.oldestChange(true));
    const since = Math.min(channel.doubt, unapplied, ...refused);
    if (since === Number.POSITIVE_INFINITY) channel.understated = false;
    const looked = this.source.lookedAt ?? this.source.now;
    machine.points.set(channel.options.stateDir, {
      since: this.toWall(Number.isFinite(since) || since < 0 ? since : looked),
      // What was noticed and not told is found anew, and as old as it was.
      looked: this.toWall(Math.min(looked, waits)),
      mustMirror: channel.mustMirror,
      repairing: channel.repairing,
      wallOffset: machine.time.drift,
      understated: channel.understated,
    });
  }

  recallPoint(channel: Channel, known: boolean, resumed: boolean, gap: boolean): void {
    const { machine } = this.source.host;
    const point = known ? machine.points.get(channel.options.stateDir) : undefined;
    // Of one that waits for its mirror nothing is told before that.
    const follows = channel.toldByMirror;
    channel.mustMirror = !known || gap || follows || !channel.replicating || point?.mustMirror === true;
    channel.doubt = point ? this.fromWall(point.since) : Number.NEGATIVE_INFINITY;
    // Its queue knows since when what is in it waits; what a repair told again is older than that.
    if (point && resumed && !channel.mustMirror && !point.repairing) channel.doubt = this.fromWall(point.looked);
    const back = point !== undefined && machine.time.drift < point.wallOffset - 2;
    channel.understated = back || (point?.understated ?? false);
    channel.repairing = !channel.mustMirror;
    channel.repairUntil = 0;
    channel.repairSince = this.source.now;
    this.source.host.universe.trace(
      () =>
        `${machine.name}: stream ${channel.id} begins in doubt since ${Math.round(channel.doubt)}${channel.mustMirror ? ', until mirrored' : ''}${channel.toldByMirror ? ', a mirror follows' : ''}`,
    );
  }
}
