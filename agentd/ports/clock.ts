/** Time and chance; fakes make a driver repeatable. */
import type { WallTime } from '../../protocol/units.js';
import type { Zone } from '../core/transmit/calendar.js';

export interface Clock extends Zone {
  /** Wall clock, for display and logs. */
  wall(): WallTime;
  /** Calls once after a while; the returned function withdraws it. */
  after(ms: number, call: () => void): () => void;
  /** 0 <= random < 1. */
  random(): number;
  /** A new permanent key: 16 hex digits that nobody guesses. */
  key(): string;
}
