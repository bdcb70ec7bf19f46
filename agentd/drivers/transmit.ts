/** Every target address of this source: kept on disk, and asked each second while that can change anything (TRN-06). */
import { TRANSMIT_TICK_MS } from '../../protocol/limits.js';
import { defaultSettings } from '../core/transmit/limits.js';
import { gateStart } from '../core/transmit/step.js';
import { loadDocument, SCHEDULE_FILE, StoredLines } from './stored.js';
import { Line, type LineHost } from './transmit-line.js';
import type { TransmitRun } from './transmit-run.js';
import { saveSoon, type World } from './world.js';

export class Lines implements LineHost {
  readonly #lines = new Map<string, Line>();
  #cancelTick: (() => void) | null = null;

  /** @throws Failure STATE_INVALID */
  constructor(readonly world: World) {
    const stored = loadDocument(world.documents, SCHEDULE_FILE, StoredLines)?.addresses ?? [];
    for (const one of stored) this.#lines.set(one.address, new Line(this, one.address, one));
  }

  /** The line to an address; a new one compresses as `compression` says. */
  line(address: string, compression: number): Line {
    const known = this.#lines.get(address);
    if (known) return known;
    const gate = gateStart(this.world.clock.wall());
    const line = new Line(this, address, { settings: defaultSettings(compression), gate, sent: 0 });
    this.#lines.set(address, line);
    return line;
  }

  join(run: TransmitRun): void {
    run.line.members.add(run);
    // A rate that holds already is known before the first stream is opened.
    run.line.step();
    this.retime();
  }

  /** The last connection to an address takes its settings along. */
  leave(run: TransmitRun): void {
    const { line } = run;
    line.members.delete(run);
    if (line.members.size === 0) this.#lines.delete(line.address);
    this.save();
    this.retime();
  }

  save(): void {
    saveSoon(this.world, SCHEDULE_FILE, {
      schema: 1,
      addresses: [...this.#lines.values()].map((line) => line.toStored()),
    });
  }

  /** Without anything that time decides, no clock ticks. */
  retime(): void {
    const wanted = [...this.#lines.values()].some((line) => line.ticks);
    if (wanted === (this.#cancelTick !== null)) return;
    if (wanted) this.#tickSoon();
    else this.close();
  }

  close(): void {
    this.#cancelTick?.();
    this.#cancelTick = null;
  }

  /** On the second by the wall clock, so that what is due at 22:00 happens at 22:00:00. */
  #tickSoon(): void {
    const { clock } = this.world;
    this.#cancelTick = clock.after(TRANSMIT_TICK_MS - (clock.wall() % TRANSMIT_TICK_MS), () => {
      this.#cancelTick = null;
      for (const line of this.#lines.values()) if (line.ticks) line.step();
      this.retime();
    });
  }
}
