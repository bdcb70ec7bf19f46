/** Time and chance; fakes make a driver repeatable. */
import type { Instant, WallTime } from '../../protocol/units.js';
import type { Zone } from '../core/transmit/calendar.js';

export interface Clock extends Zone {
  /** Wall clock, for display, logs and calendars. Somebody may set it: what lies between two looks at it is no duration. */
  wall(): WallTime;
  /** For how long something takes or holds: nobody sets this one. */
  steady(): Instant;
  /** Calls once after a while; the returned function withdraws it. */
  after(ms: number, call: () => void): () => void;
  /** 0 <= random < 1. */
  random(): number;
  /** A new permanent key: 16 hex digits that nobody guesses. */
  key(): string;
}
