/** Counts what simulated connections would send, by the minute, for days (CON-41, EDN-50). */
import { z } from 'zod';
import type { EngineEvent } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import { RATE_MINUTES_MAX } from '../../protocol/limits.js';
import type { Estimate } from '../../protocol/messages/estimate.js';
import {
  addMinute,
  type Minute,
  mirrorTime,
  neededRate,
  rates,
  shiftMinutes,
  worstLag,
} from '../core/estimate/estimate.js';
import type { ConnectionRun } from './connection-run.js';
import { loadDocument } from './stored.js';
import { saveDocument, saveSoon, type World } from './world.js';

export const RATES_FILE = 'rates.sts';
const MINUTE_MS = 60_000;
const SAVE_MINUTES = 10;
const MBIT = 1_000_000;

const StoredRate = z.object({
  since: z.number(),
  /** Of times with a running stream only. */
  observedMs: z.number(),
  minutes: z.array(z.tuple([z.number(), z.number(), z.number()])),
  mirror: z.object({ files: z.number(), bytes: z.number(), packed: z.number(), ms: z.number() }).nullable(),
});
const Stored = z.object({ schema: z.literal(1), rates: z.record(z.string(), StoredRate) });

interface Rate {
  since: number;
  observedMs: number;
  readonly minutes: Minute[];
  mirror: z.infer<typeof StoredRate>['mirror'];
  /** At the last look; null: there was no stream. */
  last: { readonly at: number; readonly steady: number; readonly bytes: number; readonly packed: number } | null;
}

export class Rates {
  readonly #rates = new Map<string, Rate>();
  #cancel: (() => void) | null = null;
  #looks = 0;

  constructor(
    readonly world: World,
    readonly simulated: () => readonly ConnectionRun[],
  ) {
    for (const [key, rate] of Object.entries(loadDocument(world.documents, RATES_FILE, Stored)?.rates ?? {}))
      this.#rates.set(key, {
        ...rate,
        minutes: rate.minutes.map(([minute, bytes, packed]) => ({ minute, bytes, packed })),
        last: null,
      });
  }

  /** Looks once a minute while there is something to look at. */
  arm(): void {
    if (this.#cancel || this.simulated().length === 0) return;
    const { clock } = this.world;
    this.#cancel = clock.after(MINUTE_MS - (clock.wall() % MINUTE_MS), () => {
      this.#cancel = null;
      for (const run of this.simulated()) this.#look(run);
      this.#looks += 1;
      if (this.#looks % SAVE_MINUTES === 0) saveSoon(this.world, RATES_FILE, this.#stored());
      this.arm();
    });
  }

  async stop(): Promise<void> {
    this.#cancel?.();
    this.#cancel = null;
    const runs = this.simulated();
    for (const run of runs) this.#look(run);
    if (runs.length > 0) await saveDocument(this.world, RATES_FILE, this.#stored()).catch(() => undefined);
  }

  removed(key: string): void {
    if (this.#rates.delete(key)) saveSoon(this.world, RATES_FILE, this.#stored());
  }

  mirrored(run: ConnectionRun, { files, sentBytes, ms }: Extract<EngineEvent, { kind: 'mirror_done' }>): void {
    const { statistics } = run.item();
    const share =
      statistics.sentMirrorBytes > 0 ? statistics.sentCompressedMirrorBytes / statistics.sentMirrorBytes : 1;
    this.#rate(run.key).mirror = { files, bytes: sentBytes, packed: Math.round(sentBytes * share), ms: Math.round(ms) };
    saveSoon(this.world, RATES_FILE, this.#stored());
  }

  /** @throws Failure NOT_SIMULATED */
  estimate(
    run: ConnectionRun,
    recoveryMs = 60_000,
    bandwidths: readonly number[] = [10 * MBIT, 100 * MBIT, 1_000 * MBIT],
    withMinutes = false,
  ): Estimate {
    if (!run.simulated) throw failure('NOT_SIMULATED', { id: run.id, set: run.stored.set });
    this.#look(run);
    const { since, observedMs, minutes, mirror } = this.#rate(run.key);
    const now = this.world.clock.wall();
    const to = Math.floor(now / MINUTE_MS);
    const from = Math.max(Math.floor(since / MINUTE_MS), to - RATE_MINUTES_MAX + 1);
    const sum = (pick: (minute: Minute) => number): number => minutes.reduce((all, one) => all + pick(one), 0);
    const speed = rates(minutes, from, to, observedMs / 1000);
    const size = run.setSize();
    return {
      set: run.stored.set,
      files: size.files,
      bytes: size.bytes,
      since,
      observedMs,
      mirror,
      changes: {
        bytes: sum((one) => one.bytes),
        packed: sum((one) => one.packed),
        mean: Math.round(speed.mean),
        busy: Math.round(speed.busy),
        peak: Math.round(speed.peak),
        peakAt: speed.peakMinute === null ? null : speed.peakMinute * MINUTE_MS,
      },
      recoveryMs,
      bandwidth: Math.ceil(neededRate(minutes, from, to, recoveryMs / 1000) * 8),
      bandwidths: bandwidths.map((bitsPerSecond) => {
        const rate = bitsPerSecond / 8;
        const lag = worstLag(minutes, from, to, rate);
        const time = mirror ? mirrorTime(mirror.packed, mirror.ms / 1000, speed.mean, rate) : null;
        return {
          bitsPerSecond,
          mirrorMs: time === null ? null : Math.round(time * 1000),
          worstMs: Number.isFinite(lag) ? Math.round(lag * 1000) : null,
        };
      }),
      minutes: withMinutes
        ? minutes.map(({ minute, bytes, packed }) => ({ at: minute * MINUTE_MS, bytes, packed }))
        : [],
    };
  }

  #look(run: ConnectionRun): void {
    const rate = this.#rate(run.key);
    const now = this.world.clock.wall();
    if (run.handle === null) {
      rate.last = null;
      return;
    }
    const { statistics } = run.item();
    const bytes = statistics.sentReplicationBytes;
    const packed = statistics.sentCompressedReplicationBytes;
    const { last } = rate;
    const steady = this.world.clock.steady();
    if (last) {
      // A clock that is put right later must leave no hole, and nothing that is counted beside what was counted long ago.
      const minutes = Math.round((now - last.at - (steady - last.steady)) / MINUTE_MS);
      shiftMinutes(rate.minutes, minutes);
      rate.since += minutes * MINUTE_MS;
    }
    // A stream that was opened anew counts from nothing.
    const before = last && bytes >= last.bytes && packed >= last.packed ? last : { bytes: 0, packed: 0 };
    addMinute(
      rate.minutes,
      Math.floor(now / MINUTE_MS),
      bytes - before.bytes,
      packed - before.packed,
      RATE_MINUTES_MAX,
    );
    // What a stream has counted by the first look at it, it has counted since it was opened.
    const since = last ? last.steady : statistics.connectedSince === null ? null : run.linkedAt;
    const observed = since === null ? 0 : steady - since;
    rate.observedMs += Math.round(observed);
    rate.last = { at: now, steady, bytes, packed };
  }

  #rate(key: string): Rate {
    const known = this.#rates.get(key);
    if (known) return known;
    const rate: Rate = { since: this.world.clock.wall(), observedMs: 0, minutes: [], mirror: null, last: null };
    this.#rates.set(key, rate);
    return rate;
  }

  #stored(): z.infer<typeof Stored> {
    return {
      schema: 1,
      rates: Object.fromEntries(
        [...this.#rates].map(([key, { since, observedMs, minutes, mirror }]) => [
          key,
          {
            since,
            observedMs,
            minutes: minutes.map(({ minute, bytes, packed }): [number, number, number] => [minute, bytes, packed]),
            mirror,
          },
        ]),
      ),
    };
  }
}
