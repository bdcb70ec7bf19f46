/** What a clock that is set must not change, and what has to go on by the new one (TRN-06..20, VER-07, VER-08). */
import { STALL_LOOK_MS } from '../../protocol/limits.js';
import type { ConnectionItem } from '../../protocol/messages/index.js';
import type { Server } from './fleet.js';

/** Schedules are looked at each second; a change of state and the end of a link take a moment more. */
const GATE_MS_MAX = 3_000;
/** A clock that is put back by so little makes nothing begin twice, so that it begins so much later. */
const CORRECTION_MS_MAX = 60_000;
/** Whether the clock was set is looked at once a minute where nothing else is due. */
const VERIFY_LOOK_MS_MAX = 63_000;
/** A session whose queue has been empty for so long has ended. */
const DRAINED_MS_MAX = 8_000;
const UNSEEN_MS_MAX = 2_000;
const GATE = ['closed', 'waiting', 'session', 'drained'];
const UNIT_MS = { minutes: 60_000, hours: 3_600_000, days: 86_400_000 };

/** What is known of one connection in one life of its source. */
interface View {
  /** Since when each of these holds without a break, by the server's own monotonic clock. */
  readonly since: Map<string, number>;
  lookedAt: number;
  sessionSince: number;
  applied: number;
  movedAt: number;
  stalled: boolean;
}

export class TimeWatch {
  readonly #views = new Map<Server, { life: number; readonly byId: Map<number, View> }>();

  #view(server: Server, { id, applied }: ConnectionItem): View {
    let views = this.#views.get(server);
    if (views?.life !== server.life) {
      views = { life: server.life, byId: new Map() };
      this.#views.set(server, views);
    }
    let view = views.byId.get(id);
    if (!view) {
      const { now } = server.machine.time;
      view = { since: new Map(), lookedAt: now, sessionSince: 0, applied, movedAt: now, stalled: false };
      views.byId.set(id, view);
    }
    return view;
  }

  /** How long `what` has held. */
  #held(server: Server, { since }: View, what: string, holds: boolean): number {
    if (!holds) {
      since.delete(what);
      return 0;
    }
    const { now } = server.machine.time;
    const from = since.get(what) ?? now;
    since.set(what, from);
    return Math.min(now - from, server.awake);
  }

  look(server: Server, item: ConnectionItem): string | null {
    const view = this.#view(server, item);
    const { now } = server.machine.time;
    // What held at both looks need not have held in between.
    if (now - view.lookedAt > UNSEEN_MS_MAX) for (const what of GATE) view.since.delete(what);
    view.lookedAt = now;
    return (
      this.#figures(server, item) ??
      this.#stall(server, item, view) ??
      this.#gate(server, item, view) ??
      this.#verify(server, item, view)
    );
  }

  /** No age is negative, in the future, or older than the run. */
  #figures(server: Server, item: ConnectionItem): string | null {
    const { time } = server.machine;
    const { latencyMs, quietMs, heartbeatMs, recoveryPoint } = item;
    for (const [name, ms = -1] of Object.entries({ latencyMs, quietMs, heartbeatMs })) {
      if (ms < 0 && ms !== -1) return `${name} is ${ms}`;
      // Over a restart the age of a recovery point is one by the wall clock.
      if (ms > time.now + 3_000 && (name !== 'latencyMs' || time.neverSet))
        return `${name} is ${ms} after ${time.now} ms`;
    }
    if (typeof recoveryPoint === 'number' && Math.abs(time.wall() - latencyMs - recoveryPoint) > 2_000)
      return `a recovery point of ${recoveryPoint} with a latency of ${latencyMs} ms at ${time.wall()}`;
    return null;
  }

  /** I3: a stall is one of the connection, not of the clock. */
  #stall(server: Server, item: ConnectionItem, view: View): string | null {
    const { now } = server.machine.time;
    const waits = item.statistics.queuedOps > 0 || item.sequence > item.applied;
    const still = now - view.movedAt;
    if (view.applied !== item.applied || !waits) {
      view.applied = item.applied;
      view.movedAt = now;
    }
    // It is looked at now and then, so one that ends is said a moment longer.
    const fresh = item.stall !== null && !view.stalled;
    view.stalled = item.stall !== null;
    if (!fresh || !waits || item.stall?.cause === 'source_blocked') return null;
    const limit = (server.agent?.world.settings['connection.stall_s'] ?? 0) * 1_000 - 2 * STALL_LOOK_MS;
    return still < limit ? `I3: stalled is said ${Math.round(still)} ms after something moved` : null;
  }

  #gate(server: Server, item: ConnectionItem, view: View): string | null {
    const run = server.agent?.connections.run(item.id);
    if (!run) return null;
    const { settings, gate } = run.transmit.line;
    const s = item.statistics;
    if (!settings.limiting) {
      for (const what of GATE) view.since.delete(what);
      return s.transmitMode === 'Scheduled' ? 'TRN-04: Scheduled, with no limit switched on' : null;
    }
    const { window, start, stop } = settings;
    const held = (what: string, holds: boolean): number => this.#held(server, view, what, holds);
    const wall = server.machine.time.wall();
    const inside = !window.enabled || inWindow(wall, window.open, window.close);
    const away = held('closed', !inside && item.phase === 'linked');
    if (away > GATE_MS_MAX) return `TRN-20: linked for ${away} ms outside of the window`;
    const period = start.interval ? start.interval.every * UNIT_MS[start.interval.unit] : Number.POSITIVE_INFINITY;
    const begun = start.at !== null && wall >= Date.parse(`${start.at}Z`);
    const waiting = held('waiting', begun && inside && gate.phase === 'waiting');
    if (waiting > period + CORRECTION_MS_MAX + GATE_MS_MAX)
      return `TRN-11: no session for ${waiting} ms, at one each ${period} ms`;
    // One may follow the other within a second; a clock that is put back makes a session begin earlier.
    const since = gate.session?.since ?? 0;
    if (since > view.sessionSince) view.since.delete('session');
    view.sessionSince = since;
    const session = held('session', gate.phase === 'session');
    const most = stop.time ? stop.time.every * UNIT_MS[stop.time.unit] : Number.POSITIVE_INFINITY;
    if (session > most + 2 * GATE_MS_MAX) return `TRN-15: a session of ${session} ms at a limit of ${most} ms`;
    const empty = s.queuedOps === 0 && s.mirrorStatus === 'Idle' && s.targetDataState === 'OK';
    const alone = run.transmit.line.members.size === 1;
    const drained = held('drained', alone && gate.phase === 'session' && item.phase === 'linked' && empty);
    if (drained > DRAINED_MS_MAX) return `TRN-17: a session goes on for ${drained} ms with an empty queue`;
    return null;
  }

  #verify(server: Server, item: ConnectionItem, view: View): string | null {
    const plan = server.agent?.connections.run(item.id).verifying.schedule;
    const every = plan?.schedule?.everyMs ?? null;
    if (!plan?.schedule || every === null) return null;
    const wall = server.machine.time.wall();
    const ahead = plan.phase === 'waiting' && plan.next !== null && plan.schedule.start <= wall ? plan.next - wall : 0;
    const late = this.#held(server, view, 'verify', Math.abs(ahead) > every);
    if (late > VERIFY_LOOK_MS_MAX) return `VER-08: the next verification is ${ahead} ms ahead, at one each ${every} ms`;
    return null;
  }
}

/** By a clock in a zone that is UTC. */
function inWindow(wall: number, open: string, close: string): boolean {
  const minute = Math.floor(wall / 60_000) % 1_440;
  const from = minuteOf(open);
  const to = minuteOf(close);
  return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

const minuteOf = (text: string): number => {
  const [hour = 0, minute = 0] = text.split(':').map(Number);
  return (hour * 60 + minute) % 1_440;
};
