/** The walk of a mirror or a verification (native/engine/mirror.cc). */
import type { MirrorOptions } from '../../native/index.js';
import type { Channel } from './channel.js';
import type { Source } from './source.js';

export class Walks {
  #nextRequest = 1;

  constructor(readonly source: Source) {}

  start(channel: Channel, options: MirrorOptions, verify: boolean, remirror: boolean): void {
    const { host, recovery, streams, now } = this.source;
    if (channel.walk) this.stop(channel, 'started again');
    const anew = channel.broken;
    if (!verify) {
      // The mirror tells; and nothing of what was refused is named any more.
      channel.toldAfterScan = channel.toldByMirror = false;
      const refused = [...channel.quarantine.values()].map((entry) => entry.since);
      recovery.mustMirror(channel, Math.min(now, ...refused));
      host.machine.missed.delete(channel.options.stateDir);
      channel.quarantine.clear();
      channel.refusalsTold = false;
      channel.repair.clear();
      channel.told.clear();
    }
    channel.walk = {
      verify,
      remirror,
      options,
      started: now,
      missed: !channel.replicating,
      next: 0,
      paused: false,
      waiting: false,
      lastSequence: 0,
      pending: null,
      stepping: false,
      skipped: 0,
      different: 0,
    };
    if (anew) {
      streams.restart(channel);
      channel.broken = false;
      channel.repairing = false;
      // What is lost there is known now, and told anew.
      channel.expectsReplica = false;
      host.connect(channel);
    }
    if (!verify) host.tell({ kind: 'mirror_started', connection: channel.id });
    this.source.pump();
  }

  pause(channel: Channel, paused: boolean): void {
    if (channel.walk) channel.walk.paused = paused;
    this.source.pump();
  }

  stop(channel: Channel, why: string): void {
    if (!channel.walk) return;
    const { verify } = channel.walk;
    channel.walk = null;
    this.source.host.tell({ kind: verify ? 'verify_stopped' : 'mirror_stopped', connection: channel.id, why });
    this.source.pump();
  }

  /** Answers that were on their way may be lost, so everything open is asked again. */
  reissue(channel: Channel): void {
    if (channel.walk?.pending) this.#ask(channel, channel.walk.pending.path);
  }

  on(channel: Channel): void {
    const { walk, stream } = channel;
    const { source } = this;
    if (!walk || walk.paused || walk.stepping || channel.broken || channel.behind) return;
    if (!channel.ready || !source.ready) return;
    if (walk.waiting) {
      if (stream.applied >= walk.lastSequence) this.#done(channel);
      return;
    }
    if (walk.pending || !stream.walkRoom(true)) return;
    if (walk.next >= source.shadow.length) {
      walk.waiting = true;
      walk.lastSequence = stream.last;
      if (source.host.universe.mutants.mirrorDoneEarly || stream.applied >= walk.lastSequence) this.#done(channel);
      return;
    }
    walk.stepping = true;
    source.later(source.host.universe.timing.walkMs, () => {
      walk.stepping = false;
      if (channel.walk !== walk || source.stopped) return;
      this.#visit(channel);
      source.pump();
    });
  }

  #visit(channel: Channel): void {
    const { walk } = channel;
    if (!walk || walk.paused || channel.broken || channel.behind || !channel.ready) return;
    const path = walk.next++;
    this.source.reconcile(path);
    if (!walk.verify && channel.told.has(path)) return;
    if (!walk.verify && walk.options.compare === 'none') {
      channel.told.add(path);
      this.source.write(channel, path, true);
    } else this.#ask(channel, path);
  }

  #ask(channel: Channel, path: number): void {
    const request = this.#nextRequest++;
    if (channel.walk) channel.walk.pending = { path, request };
    this.source.emit(channel, { kind: 'manifest', path, version: 0, request }, true);
  }

  answered(channel: Channel, request: number, theirs: number): void {
    const { walk } = channel;
    const { source } = this;
    if (!walk?.pending || walk.pending.request !== request) return;
    const { path } = walk.pending;
    walk.pending = null;
    source.reconcile(path);
    const same = theirs === source.shadow[path];
    if (walk.verify) {
      if (!same) walk.different += 1;
      if (!same && walk.remirror && channel.told.has(path)) source.write(channel, path, false);
    } else {
      channel.told.add(path);
      if (same) {
        walk.skipped += 1;
        channel.skippedBytes += source.host.universe.timing.bytesPerChange;
      } else source.write(channel, path, true);
    }
    source.pump();
  }

  #done(channel: Channel): void {
    const { walk } = channel;
    if (!walk) return;
    const { host, recovery, shadow } = this.source;
    channel.walk = null;
    if (!walk.verify) {
      channel.mustMirror = walk.missed;
      recovery.vouch(channel);
    }
    const common = { connection: channel.id, files: shadow.length, orphans: 0, ms: 1 };
    if (walk.verify)
      host.tell({
        kind: 'verify_done',
        ...common,
        bytes: 0,
        different: walk.different,
        missing: 0,
        resent: 0,
        paths: [],
        details: [],
        omitted: 0,
      });
    else host.tell({ kind: 'mirror_done', ...common, sentBytes: 0, skippedBytes: walk.skipped });
  }
}
