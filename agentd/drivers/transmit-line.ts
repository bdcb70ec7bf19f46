/** One target address: settings and sessions that all connections to it share (TRN-07, TRN-35, TRN-42). */
import type { ConnectionStatistics } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import type { LimitType, TransmitPatch, TransmitSettings, TransmitState } from '../../protocol/messages/transmit.js';
import { composeMode } from '../core/statistics/compose.js';
import {
  bytesPerSecond,
  cleared,
  isScheduled,
  kbpsAt,
  needsTicks,
  patched,
  startsAround,
  windowOpen,
} from '../core/transmit/limits.js';
import { notesOn } from '../core/transmit/notes.js';
import { shownAs } from '../core/transmit/presets.js';
import { queueUse } from '../core/transmit/queue.js';
import {
  type GateEffect,
  type GateFacts,
  type GateState,
  gateAsk,
  gateRearmed,
  gateStep,
} from '../core/transmit/step.js';
import type { SessionFact } from '../core/transmit/table.js';
import type { StoredLine } from './stored.js';
import type { TransmitRun } from './transmit-run.js';
import type { World } from './world.js';

/** Bytes of a session are saved after each such share of its limit, so a crash forgets no more than that. */
const SAVED_SHARES = 16;
const COMPRESSION_WORDS = ['off', 'minimum', 'medium', 'maximum'] as const;

const ENDED: Partial<Record<SessionFact, string>> = {
  drained: 'the queue is empty',
  window_closed: 'the transmission window closed',
  time_limit: 'the time limit is reached',
  byte_limit: 'the byte limit is reached',
  unscheduled: 'transmission is not scheduled any more',
};

export interface LineHost {
  readonly world: World;
  save(): void;
  /** Settings or members changed: whether the second is counted may have, too. */
  retime(): void;
}

interface Look {
  readonly facts: GateFacts;
  readonly counters: readonly ConnectionStatistics[];
}

export class Line {
  readonly members = new Set<TransmitRun>();
  settings: TransmitSettings;
  gate: GateState;
  /** Bytes of the session before the engine began to count. */
  #sentBefore: number;
  #saved: number;
  #rate = 0;

  constructor(
    readonly host: LineHost,
    readonly address: string,
    stored: Pick<StoredLine, 'settings' | 'gate' | 'sent'>,
  ) {
    this.settings = stored.settings;
    this.gate = stored.gate;
    this.#sentBefore = this.#saved = stored.sent;
  }

  toStored(): StoredLine {
    return { address: this.address, settings: this.settings, gate: this.gate, sent: this.#saved };
  }

  get ticks(): boolean {
    return this.members.size > 0 && needsTicks(this.settings);
  }

  get scheduled(): boolean {
    return isScheduled(this.settings);
  }

  /** Asks the gate what this second brings. */
  step(): void {
    const look = this.#look();
    const [next, effects] = gateStep(this.gate, look.facts);
    this.gate = next;
    this.#perform(effects, look);
    this.#applyRate(look.facts);
    this.#keepCount(look);
  }

  /** @throws Failure TRANSMIT_WINDOW_CLOSED (TRN-20) */
  checkWindow(): void {
    const { clock } = this.host.world;
    if (windowOpen(this.settings, clock, clock.wall())) return;
    const { open, close } = this.settings.window;
    throw failure('TRANSMIT_WINDOW_CLOSED', { address: this.address, open, close });
  }

  /** A session begins because a person asks for it. */
  begin(): void {
    const look = this.#look();
    const stepped = gateAsk(this.gate, look.facts);
    if (!stepped) {
      this.checkWindow();
      return;
    }
    this.gate = stepped[0];
    this.#perform(stepped[1], look);
  }

  /** @throws Failure TRANSMIT_INVALID; nothing was changed then */
  patch(patch: TransmitPatch): void {
    const next = patched(this.settings, patch);
    if ('problem' in next) throw failure('TRANSMIT_INVALID', next);
    this.#change(next, patch.start !== undefined || patch.limiting !== undefined);
  }

  clear(type: LimitType | null): void {
    this.#change(cleared(this.settings, type), type === null || type === 'start');
  }

  #change(next: TransmitSettings, rearm: boolean): void {
    const { world } = this.host;
    const before = this.settings;
    const bytes = this.#sessionBytes(this.#counters());
    this.settings = next;
    if (rearm) this.gate = gateRearmed(this.gate, world.clock.wall());
    if (this.gate.phase === 'session' && before.stop.bytes !== next.stop.bytes) this.#setBudget(bytes);
    if (before.compression !== next.compression) {
      for (const { owner } of this.members)
        if (owner.handle !== null) world.engine.transmitCompression(owner.handle, next.compression as 0 | 1 | 2 | 3);
      const level = COMPRESSION_WORDS[next.compression] ?? 'off';
      world.log.say('COMPRESSION_SET', { address: this.address, level });
    }
    const { compression: _old, ...oldLimits } = before;
    const { compression: _new, ...newLimits } = next;
    if (JSON.stringify(oldLimits) !== JSON.stringify(newLimits))
      world.log.say('TRANSMIT_SET', {
        address: this.address,
        connections: [...this.members].map((it) => it.owner.id).join(', '),
      });
    this.step();
    this.host.save();
    this.host.retime();
    world.hub.touch('connections', 'server');
  }

  /** A member's stream is open: the engine keeps limit and budget as long as there is any stream. */
  opened(handle: number): void {
    const { engine } = this.host.world;
    engine.transmitLimit(handle, this.#rate);
    const open = [...this.members].filter(({ owner }) => owner.handle !== null && owner.handle !== handle);
    if (open.length === 0 && this.gate.phase === 'session') this.#setBudget(this.#sentBefore, handle);
  }

  /** The last stream is about to be closed: its count must not be lost. */
  closing(): void {
    if (this.gate.phase !== 'session') return;
    const open = [...this.members].filter(({ owner }) => owner.handle !== null);
    if (open.length === 1) this.#sentBefore = this.#saved = this.#sessionBytes(this.#counters());
  }

  state(run: TransmitRun): TransmitState {
    const { clock } = this.host.world;
    const { settings } = this;
    const now = clock.wall();
    const { facts, counters } = this.#look();
    const { next } = startsAround(settings, clock, now);
    const { session } = this.gate;
    const kbps = settings.bandwidth.kbps;
    return {
      id: run.owner.id,
      address: this.address,
      connections: [...this.members].map(({ owner }) => owner.id).sort((a, b) => a - b),
      settings,
      commitMode: this.scheduled ? 'Scheduled' : 'Real-time',
      transmitMode: composeMode({
        phase: run.owner.link.phase,
        failures: run.owner.link.failures,
        manual: run.phase,
        session: this.gate.phase,
      }),
      session: session && { ...session, bytes: this.#sessionBytes(counters) },
      windowOpen: windowOpen(settings, clock, now),
      nextStart: settings.limiting ? next : null,
      bytesPerSecond: bytesPerSecond(kbpsAt(settings, clock, now)),
      shown: kbps === null ? null : shownAs(kbps),
      queueBytes: facts.queue.bytes,
      queuePercent: facts.queue.percent,
      notes: notesOn(settings, clock, now),
    };
  }

  #counters(): ConnectionStatistics[] {
    return [...this.members].flatMap((run) => run.counters() ?? []);
  }

  #look(): Look {
    const { clock } = this.host.world;
    const now = clock.wall();
    const seen = [...this.members].map((run) => {
      const counters = run.counters();
      return { counters, progress: run.progress(counters) };
    });
    const counters = seen.flatMap((each) => each.counters ?? []);
    return {
      counters,
      facts: {
        settings: this.settings,
        zone: clock,
        now,
        queue: queueUse(counters),
        drained: seen.some((each) => each.progress === 'done') && !seen.some((each) => each.progress === 'busy'),
        budgetSpent: counters.some((each) => each.budgetSpent),
      },
    };
  }

  /** The engine counts by address, so every connection says the same. */
  #sessionBytes(counters: readonly ConnectionStatistics[]): number {
    return this.gate.phase === 'session' ? this.#sentBefore + (counters[0]?.sessionBytes ?? 0) : 0;
  }

  /** @param sent bytes of the session so far; the engine counts from 0 again */
  #setBudget(sent: number, handle = [...this.members].find(({ owner }) => owner.handle !== null)?.owner.handle): void {
    this.#sentBefore = this.#saved = sent;
    const limit = this.gate.phase === 'session' ? this.settings.stop.bytes : null;
    if (typeof handle === 'number')
      this.host.world.engine.transmitBudget(handle, limit === null ? -1 : Math.max(0, limit - sent));
  }

  #perform(effects: readonly GateEffect[], look: Look): void {
    const { world } = this.host;
    const { address } = this;
    for (const { act, fact, session } of effects) {
      switch (act) {
        case 'begin':
          this.#setBudget(0);
          world.log.say('SESSION_STARTED', { address, why: session?.cause ?? '', queued: look.facts.queue.bytes });
          break;
        case 'end': {
          const seconds = Math.round((look.facts.now - (session?.since ?? look.facts.now)) / 1000);
          const bytes = this.#sentBefore + (look.counters[0]?.sessionBytes ?? 0);
          const why = ENDED[fact] ?? fact;
          world.log.say('SESSION_ENDED', { address, why, bytes, seconds, queued: look.facts.queue.bytes });
          // The budget stays as it is until the links are down, or more would slip through.
          break;
        }
        case 'apply':
          for (const run of this.members) run.apply();
          break;
        case 'tell_waits':
          world.log.say('TRANSMIT_SCHEDULED', { address });
          break;
        case 'tell_realtime':
          this.#setBudget(0);
          world.log.say('TRANSMIT_REALTIME', { address });
          break;
        case 'tell_outside':
          world.log.say('SESSION_OUTSIDE_WINDOW', { address, open: this.settings.window.open });
          break;
      }
    }
    if (effects.length === 0) return;
    this.host.save();
    world.hub.touch('connections', 'server');
  }

  #applyRate({ now }: GateFacts): void {
    const { clock, engine, log } = this.host.world;
    const rate = bytesPerSecond(kbpsAt(this.settings, clock, now));
    if (rate === this.#rate) return;
    this.#rate = rate;
    const handle = [...this.members].find(({ owner }) => owner.handle !== null)?.owner.handle;
    if (typeof handle === 'number') engine.transmitLimit(handle, rate);
    log.say('BANDWIDTH_SET', { address: this.address, kbps: rate / 125 });
  }

  #keepCount({ counters }: Look): void {
    const limit = this.settings.stop.bytes;
    if (limit === null || this.gate.phase !== 'session') return;
    const bytes = this.#sessionBytes(counters);
    if (bytes - this.#saved < limit / SAVED_SHARES) return;
    this.#saved = bytes;
    this.host.save();
  }
}
